//! Decimals.

use arrow::datatypes::i256;

use super::digits::Significand;
use super::number::{Form, form};

/// A number as an integer of units of `10^-scale`, when that is exact and fits: the float grammar, without rounding.
pub(in crate::codec::decode) fn decimal(text: &[u8], precision: u8, scale: i8) -> Option<i256> {
    let form = form(text)?;
    match short(form, precision, scale) {
        Some(value) => Some(i256::from_i128(value)),
        None => long(text, precision, scale),
    }
}

/// The same for a column whose type was inferred: what is in a float's own notation is none of its values, even where
/// one would do.
pub(in crate::codec::decode) fn plain_decimal(text: &[u8], precision: u8, scale: i8) -> Option<i256> {
    let value = decimal(text, precision, scale)?;
    let negative_zero = value == i256::ZERO && text[0] == b'-';
    (!negative_zero && !text.iter().any(|byte| matches!(byte, b'e' | b'E'))).then_some(value)
}

/// Most decimals: few digits, and no more of them behind the point than the column has. `None` says nothing.
#[inline]
fn short(form: Form, precision: u8, scale: i8) -> Option<i128> {
    let zeros = usize::try_from(scale).ok()?.checked_sub(form.fraction)?;
    if !form.is_known() || precision > 38 {
        return None;
    }
    let value = i128::from(form.mantissa).checked_mul(10i128.checked_pow(zeros as u32)?)?;
    (value < 10i128.pow(precision.into())).then_some(if form.negative { -value } else { value })
}

fn long(text: &[u8], precision: u8, scale: i8) -> Option<i256> {
    let number = Significand::of(text)?;
    if number.len == 0 {
        return Some(i256::ZERO);
    }
    let zeros = usize::try_from(number.power() + i64::from(scale)).ok()?;
    if number.len + zeros > usize::from(precision).min(76) {
        return None;
    }
    let ten = i256::from_i128(10);
    let digits = number.digits().chain(std::iter::repeat_n(0, zeros));
    let value =
        digits.fold(i256::ZERO, |value, digit| value.wrapping_mul(ten).wrapping_add(i256::from_i128(digit.into())));
    Some(if number.negative { value.wrapping_neg() } else { value })
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
        check(
            "-99999999999999999999999999999999999999999999.5",
            76,
            1,
            Some("-999999999999999999999999999999999999999999995"),
        );
        check("007", 5, 0, None);
        check("1e99999999999999999999", 5, 0, None);
        check("abc", 5, 0, None);
        check("", 5, 0, None);
        check("1e-400", 5, 0, None);
        check("0.123456789012345678", 31, 18, Some("123456789012345678"));
        check("1234567890123.123456", 31, 18, Some("1234567890123123456000000000000"));
        check("-0.5", 38, 38, Some("-50000000000000000000000000000000000000"));
        check("0.50", 38, 1, Some("5"));
        check("99999999999999999999999999999999999999", 38, 0, Some("99999999999999999999999999999999999999"));
        check("100000000000000000000000000000000000000", 38, 0, None);
        check("9999999999999999999", 38, 20, None);
        check("999999999999999999", 38, 20, Some("99999999999999999900000000000000000000"));
    }

    #[test]
    fn an_inferred_decimal_is_no_float() {
        for (text, expected) in
            [("1.50", Some(150)), ("-2", Some(-200)), ("0", Some(0)), ("1e2", None), ("-0", None), ("-0.00", None)]
        {
            assert_eq!(plain_decimal(text.as_bytes(), 10, 2), expected.map(i256::from_i128), "{text}");
        }
    }
}
