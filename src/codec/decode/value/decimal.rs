//! Decimals.

use arrow::datatypes::i256;

/// The value of a number's text: digits times a power of ten. The first and the last digit are not 0, so that equal values are equal here; zero has
/// no digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::codec::decode) struct Literal {
    negative: bool,
    digits: Vec<u8>,
    power: i64,
}

impl Literal {
    /// The value of a text of the float grammar.
    pub(in crate::codec::decode) fn new(text: &[u8]) -> Option<Literal> {
        // The grammar; its value is not needed, and a number that overflows float64 is none of any type.
        super::float(text)?;
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let end = rest.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(rest.len());
        let exponent: i64 = match rest.get(end + 1..) {
            Some(exponent) if end < rest.len() => std::str::from_utf8(exponent).ok()?.parse().ok()?,
            _ => 0,
        };
        let point = rest[..end].iter().position(|byte| *byte == b'.');
        let fraction = point.map_or(0, |point| end - point - 1);
        let mut digits: Vec<u8> = rest[..end].iter().filter(|byte| **byte != b'.').copied().collect();
        let Some(first) = digits.iter().position(|digit| *digit != b'0') else {
            return Some(Literal { negative: false, digits: Vec::new(), power: 0 });
        };
        let last = digits.iter().rposition(|digit| *digit != b'0')?;
        let power = exponent.checked_sub(i64::try_from(fraction).ok()?)?.checked_add(i64::try_from(digits.len() - 1 - last).ok()?)?;
        digits.truncate(last + 1);
        digits.drain(..first);
        Some(Literal { negative, digits, power })
    }
}

/// A number as an integer of units of `10^-scale`, when that is exact and fits: the float grammar, without rounding.
pub(in crate::codec::decode) fn decimal(text: &[u8], precision: u8, scale: i8) -> Option<i256> {
    let Literal { negative, digits, power } = Literal::new(text)?;
    if digits.is_empty() {
        return Some(i256::ZERO);
    }
    let zeros = usize::try_from(power.checked_add(i64::from(scale))?).ok()?;
    if digits.len().saturating_add(zeros) > usize::from(precision).min(76) {
        return None;
    }
    let mut value = i256::ZERO;
    for digit in digits.iter().map(|digit| digit & 15).chain(std::iter::repeat_n(0, zeros)) {
        value = value.wrapping_mul(i256::from_i128(10)).wrapping_add(i256::from_i128(i128::from(digit)));
    }
    Some(if negative { value.wrapping_neg() } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, precision: u8, scale: i8, expected: Option<&str>) {
        let expected = expected.map(|text| i256::from_string(text).expect("an integer"));
        assert_eq!(decimal(text.as_bytes(), precision, scale), expected, "{text:?} as decimal({precision},{scale})");
    }

    #[test]
    fn decimals_are_exact_or_nothing() {
        check("1.5", 3, 2, Some("150"));
        check("-1.50", 3, 2, Some("-150"));
        check("0", 1, 0, Some("0"));
        check("0.00", 1, 0, Some("0"));
        check("1.005", 10, 2, None);
        check("10.00", 3, 2, None);
        check("9.99", 3, 2, Some("999"));
        check("1e2", 5, 0, Some("100"));
        check("1.5e-1", 5, 2, Some("15"));
        check("1200", 2, -2, Some("12"));
        check("1250", 4, -2, None);
        check("12345678901234567890123456789012345678", 38, 0, Some("12345678901234567890123456789012345678"));
        check("-99999999999999999999999999999999999999999999.5", 76, 1, Some("-999999999999999999999999999999999999999999995"));
        check("007", 5, 0, None);
        check("1e99999999999999999999", 5, 0, None);
        check("abc", 5, 0, None);
        check("", 5, 0, None);
    }
}
