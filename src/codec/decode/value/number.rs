//! Integers and floats.

use super::digits::Significand;
use crate::model::schema::FLOAT64_INTEGER_MAX;

/// An int64: `0|-?[1-9][0-9]*` within 64 bits.
#[inline]
pub(in crate::codec::decode) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    // 19 digits are at most 9,999,999,999,999,999,999, which u64 holds.
    if digits.is_empty() || digits.len() > 19 || (digits[0] == b'0' && (digits.len() > 1 || negative)) {
        return None;
    }
    let value = unsigned(digits)?;
    match (negative, i64::try_from(value)) {
        (false, Ok(value)) => Some(value),
        (true, Ok(value)) => Some(-value),
        (true, Err(_)) if value == 1 << 63 => Some(i64::MIN),
        _ => None,
    }
}

/// A uint64, by the same grammar.
#[inline]
pub(in crate::codec::decode) fn unsigned_integer(text: &[u8]) -> Option<u64> {
    let (last, head) = text.split_last()?;
    if text.len() > 20 || (text[0] == b'0' && !head.is_empty()) {
        return None;
    }
    let digit = last.wrapping_sub(b'0');
    (digit <= 9).then_some(unsigned(head)?.checked_mul(10)?.checked_add(u64::from(digit))?)
}

/// Whether an integer's text is at most 2^53 from zero: float64 holds it as it is.
pub(in crate::codec::decode) fn exact_in_float64(text: &[u8]) -> bool {
    integer(text).is_some_and(|value| value.unsigned_abs() <= FLOAT64_INTEGER_MAX)
}

/// At most 19 digits, nothing else.
#[inline]
fn unsigned(digits: &[u8]) -> Option<u64> {
    let mut value = 0u64;
    let (eights, rest) = digits.as_chunks::<8>();
    for eight in eights {
        value = value * 100_000_000 + eight_digits(*eight)?;
    }
    for &byte in rest {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    Some(value)
}

/// Eight digits at once, in three multiplications.
#[inline]
pub(super) fn eight_digits(text: [u8; 8]) -> Option<u64> {
    let word = u64::from_le_bytes(text);
    if !all_digits(word) {
        return None;
    }
    let word = (word & 0x0f0f_0f0f_0f0f_0f0f).wrapping_mul(2561) >> 8;
    let word = (word & 0x00ff_00ff_00ff_00ff).wrapping_mul(6_553_601) >> 16;
    Some((word & 0x0000_ffff_0000_ffff).wrapping_mul(42_949_672_960_001) >> 32)
}

/// Whether every byte is `0` to `9`: the high half is 3, and stays 3 when 6 is added.
#[inline]
pub(super) fn all_digits(word: u64) -> bool {
    let high = word & 0xf0f0_f0f0_f0f0_f0f0;
    let carried = word.wrapping_add(0x0606_0606_0606_0606) & 0xf0f0_f0f0_f0f0_f0f0;
    (high | (carried >> 4)) == 0x3333_3333_3333_3333
}

/// Powers of ten that float64 holds exactly.
pub(in crate::codec::decode) const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// A number as the float that is nearest to it, and how it is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::codec::decode) struct Float {
    /// Finite; zero only where the text says zero.
    pub(in crate::codec::decode) value: f64,
    pub(in crate::codec::decode) notation: Notation,
    pub(super) form: Form,
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::codec::decode) enum Notation {
    /// Digits alone.
    Whole,
    /// Digits around a point.
    Point,
    /// What only floats have: an exponent, or a negative zero.
    Float,
}

/// What the text of a number consists of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::codec::decode) struct Form {
    pub(super) negative: bool,
    /// The digits as an integer, modulo 2^64.
    pub(super) mantissa: u64,
    /// Digits before the point.
    whole: usize,
    /// Digits behind it.
    pub(super) fraction: usize,
    /// No exponent follows.
    plain: bool,
}

impl Form {
    /// Whether the mantissa is the text's: 19 digits fit into it.
    #[inline]
    pub(super) fn is_known(&self) -> bool {
        self.plain && self.whole <= 19 && self.fraction <= 19 - self.whole
    }

    /// At most 15 digits that matter: whatever they are, float64 gives them back (IEEE 754; C calls it `DBL_DIG`).
    #[inline]
    pub(super) fn is_short(&self) -> bool {
        self.is_known() && self.mantissa < 1_000_000_000_000_000
    }

    /// Clinger's fast path, for a known mantissa up to 2^53: both numbers are exact, so one division rounds once.
    #[inline]
    pub(super) fn divided(&self) -> f64 {
        let value = self.mantissa as f64 / EXACT_POWERS[self.fraction];
        if self.negative { -value } else { value }
    }

    /// Whether these digits are the shortest text of `value`, the float nearest to them, as most programs print it. In
    /// integers, which decides nearly all numbers of 16 and 17 digits at a fraction of what printing costs; `None` for
    /// the others.
    ///
    /// In units of `2^-(shift + 1)` and of the last digit, the float is `twice`, and what rounds to it lies less than
    /// `half` away. The digits are its shortest text when no number that ends in 0 lies there, and no other is closer.
    fn is_shortest(&self, value: f64) -> Option<bool> {
        const FRACTION_BITS: u32 = f64::MANTISSA_DIGITS - 1;
        let bits = value.to_bits() & !(1 << 63);
        let (fraction, exponent) = (bits & ((1 << FRACTION_BITS) - 1), (bits >> FRACTION_BITS) as i32);
        let last = self.mantissa % 10;
        // Subnormal numbers and powers of two have other neighbours; zeros at the end are no digits.
        if exponent == 0 || fraction == 0 || last == 0 || !self.is_known() {
            return None;
        }
        let shift = 1075 - exponent - self.fraction as i32;
        // 64 bits of digits and 61 of shift fit into 127.
        if !(0..=60).contains(&shift) {
            return None;
        }
        let scaled = |digits: u64| i128::from(digits) << (shift + 1);
        let half = 5i128.pow(self.fraction as u32);
        let twice = i128::from(fraction | 1 << FRACTION_BITS) * half * 2;
        let (below, above) =
            (twice - scaled(self.mantissa - last), scaled(self.mantissa - last) + (10 << (shift + 1)) - twice);
        let (away, unit) = ((scaled(self.mantissa) - twice).abs() * 2, 1 << (shift + 1));
        // On the edge it depends on how ties are rounded.
        if below == half || above == half || away == unit {
            return None;
        }
        Some(below > half && above > half && away < unit)
    }
}

/// Splits a number by the grammar of the module.
#[inline(always)]
pub(super) fn form(text: &[u8]) -> Option<Form> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (mut mantissa, mut at) = (0u64, 0);
    while let Some(digit) = digit_at(rest, at) {
        mantissa = mantissa.wrapping_mul(10).wrapping_add(digit);
        at += 1;
    }
    let whole = at;
    if whole > 1 && rest[0] == b'0' {
        return None;
    }
    let mut fraction = 0;
    if rest.get(at) == Some(&b'.') {
        at += 1;
        while let Some(digit) = digit_at(rest, at) {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(digit);
            at += 1;
        }
        fraction = at - whole - 1;
        if fraction == 0 {
            return None;
        }
    }
    let plain = at == rest.len();
    (whole + fraction > 0 && (plain || exponent(&rest[at..]))).then_some(Form {
        negative,
        mantissa,
        whole,
        fraction,
        plain,
    })
}

/// A number by the grammar of the module. The nearest float is taken, as everywhere; whether it says what the text says
/// is another question: [`Float::gives_back`].
#[inline]
pub(in crate::codec::decode) fn float(text: &[u8]) -> Option<Float> {
    float_of(text, form(text)?)
}

/// The float of a text that was split already.
pub(super) fn float_of(text: &[u8], form: Form) -> Option<Float> {
    let value = if form.is_known() && form.mantissa <= FLOAT64_INTEGER_MAX {
        form.divided()
    } else {
        let value = lexical_core::parse::<f64>(text).ok().filter(|value| value.is_finite())?;
        // Nothing is left of what is too close to zero; it has no float, as what is too large has none.
        if value == 0.0 && Significand::of(text)?.len > 0 {
            return None;
        }
        value
    };
    let notation = match (form.plain && !(form.negative && value == 0.0), form.fraction) {
        (true, 0) => Notation::Whole,
        (true, _) => Notation::Point,
        (false, _) => Notation::Float,
    };
    Some(Float { value, notation, form })
}

impl Float {
    /// Whether the float says what its text says: its shortest text is the same number, digit by digit. An exponent is
    /// a float's own notation, whose digits nobody counts (`%.18e` prints 19 of them).
    pub(super) fn gives_back(&self, text: &[u8]) -> bool {
        self.form.is_short()
            || self.notation == Notation::Float
            || self.form.is_shortest(self.value).unwrap_or_else(|| float64_says(self.value, text))
    }
}

/// Whether a float's shortest text has the value of this one: then no digit of it is lost.
#[cold]
pub(in crate::codec::decode) fn float64_says(value: f64, text: &[u8]) -> bool {
    value.is_finite() && Significand::of(text) == Significand::of(ryu::Buffer::new().format_finite(value).as_bytes())
}

/// Whether a float is equal to the number that a text says, whatever its shortest text is.
#[cold]
pub(in crate::codec::decode) fn float64_equals(value: f64, text: &[u8]) -> bool {
    // The last bit of a float counts 2^(exponent - 1075), which has as many digits behind the point as it has halves;
    // Rust prints all of them.
    let exponent = (value.to_bits() >> (f64::MANTISSA_DIGITS - 1) & 0x7ff).max(1);
    let digits = usize::try_from(1075_u64.saturating_sub(exponent)).unwrap_or(0);
    value.is_finite() && Significand::of(text) == Significand::of(format!("{value:.digits$}").as_bytes())
}

/// A float64 as the float32 that is equal to it; NaN and infinities stay.
#[inline]
pub(in crate::codec::decode) fn equal_float32(value: f64) -> Option<f32> {
    let narrow = value as f32;
    (f64::from(narrow) == value || !value.is_finite()).then_some(narrow)
}

/// A float64 as the float32 of the same shortest text.
#[cold]
pub(in crate::codec::decode) fn shortest_float32(value: f64) -> Option<f32> {
    let narrow = value as f32;
    let (mut short, mut long) = (ryu::Buffer::new(), ryu::Buffer::new());
    if !narrow.is_finite() || !value.is_finite() {
        return None;
    }
    let same = Significand::of(short.format_finite(narrow).as_bytes())
        == Significand::of(long.format_finite(value).as_bytes());
    same.then_some(narrow)
}

/// A float64 as the float32 that is equal to it, or has the same shortest text (0.1).
#[inline]
pub(in crate::codec::decode) fn float32_of(value: f64) -> Option<f32> {
    equal_float32(value).or_else(|| shortest_float32(value))
}

#[inline]
fn digit_at(text: &[u8], at: usize) -> Option<u64> {
    let digit = text.get(at)?.wrapping_sub(b'0');
    (digit <= 9).then_some(u64::from(digit))
}

/// `[eE][+-]?[0-9]+`
fn exponent(text: &[u8]) -> bool {
    let digits = match text {
        [b'e' | b'E', b'+' | b'-', digits @ ..] | [b'e' | b'E', digits @ ..] => digits,
        _ => return false,
    };
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers_are_canonical() {
        for (text, expected) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("-7", Some(-7)),
            ("12345678", Some(12_345_678)),
            ("1234567890123", Some(1_234_567_890_123)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("99999999999999999999", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("+1", None),
            ("007", None),
            ("1 ", None),
            (" 1", None),
            ("1_0", None),
            ("0x10", None),
            ("1234567a", None),
            ("12345678:", None),
            ("1.0", None),
        ] {
            assert_eq!(integer(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn floats_follow_the_json_grammar_and_allow_a_bare_point() {
        use Notation::*;
        for (text, expected) in [
            ("1.5", Some((1.5, Point))),
            ("-0.25", Some((-0.25, Point))),
            (".5", Some((0.5, Point))),
            ("1e3", Some((1000.0, Float))),
            ("1E-3", Some((0.001, Float))),
            ("12", Some((12.0, Whole))),
            ("0", Some((0.0, Whole))),
            ("-0", Some((-0.0, Float))),
            ("-0.00", Some((-0.0, Float))),
            ("0.1", Some((0.1, Point))),
            ("123456789012345678", Some((123_456_789_012_345_680.0, Whole))),
            ("0.30000000000000004", Some((0.30000000000000004, Point))),
            ("0e-999", Some((0.0, Float))),
            ("1e-99999999999", None),
            ("1e999", None),
            ("1e-999", None),
            ("NaN", None),
            ("nan", None),
            ("inf", None),
            ("Infinity", None),
            ("1.", None),
            (".", None),
            ("-", None),
            ("", None),
            ("e5", None),
            ("1e", None),
            ("1e+", None),
            ("01.5", None),
            ("+1.5", None),
            ("1.5 ", None),
            ("1,5", None),
            ("0x1p3", None),
        ] {
            let got = float(text.as_bytes()).map(|float| (float.value, float.notation));
            assert_eq!(got, expected, "{text:?}");
            assert_eq!(
                got.map(|got| got.0.is_sign_negative()),
                expected.map(|expected| expected.0.is_sign_negative()),
                "{text:?}"
            );
        }
        let tiny = format!("0.{}1", "0".repeat(400));
        assert_eq!(float(tiny.as_bytes()), None);
    }

    #[test]
    fn a_float_gives_back_what_its_shortest_text_says() {
        for (text, expected) in [
            ("0.1", true),
            ("1.50", true),
            ("100000", true),
            ("123456789012345", true),
            ("9007199254740993", false),
            ("9007199254740994", true),
            ("10000000000000000000000", true),
            ("0.30000000000000004", true),
            ("0.30000000000000003", false),
            ("0.123456789012345678", false),
            ("1234567890123.123456", false),
            ("1.0000000000000000000000", true),
            ("1.0000000000000000000001", false),
            ("-2.5", true),
            ("99999.999999999990001", false),
            ("1.234567890123456789e5", true),
            ("-0.0", true),
            // Both are as short and as close to the float, 1125899906842624.25; it prints the even one.
            ("1125899906842624.2", true),
            ("1125899906842624.3", false),
        ] {
            let float = float(text.as_bytes()).expect("a number");
            assert_eq!(float.gives_back(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_float_equals_all_of_its_digits() {
        for (value, text, expected) in [
            (9_223_372_036_854_775_808.0, "9223372036854775808", true),
            (9_223_372_036_854_775_808.0, "9223372036854775809", false),
            (-1_152_921_504_606_846_976.0, "-1152921504606846976.00", true),
            (0.1, "0.1000000000000000055511151231257827021181583404541015625", true),
            (0.1, "0.1", false),
            (5e-324, "5e-324", false),
            (0.5, "5e-1", true),
            (1e300, "1e300", false),
            (f64::INFINITY, "1", false),
        ] {
            assert_eq!(float64_equals(value, text.as_bytes()), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn unsigned_integers_agree_with_the_standard_library(value: u64, text in "[0-9]{0,22}") {
            prop_assert_eq!(unsigned_integer(value.to_string().as_bytes()), Some(value));
            let canonical = text == "0" || !text.starts_with('0');
            prop_assert_eq!(unsigned_integer(text.as_bytes()), text.parse().ok().filter(|_| canonical));
        }

        #[test]
        fn integers_agree_with_the_standard_library(value: i64) {
            prop_assert_eq!(integer(value.to_string().as_bytes()), Some(value));
        }

        #[test]
        fn floats_agree_with_the_standard_library(text in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?") {
            let expected: f64 = text.parse().expect("a number");
            let digits = text.split(['e', 'E']).next().unwrap_or_default();
            let vanished = expected == 0.0 && digits.contains(|c: char| matches!(c, '1'..='9'));
            let got = float(text.as_bytes()).map(|float| float.value.to_bits());
            prop_assert_eq!(got, (expected.is_finite() && !vanished).then_some(expected.to_bits()), "{}", text);
        }

        /// What integers decide is what printing says.
        #[test]
        fn digits_are_shortest_where_printing_gives_them(
            text in "-?(0|[1-9][0-9]{0,10})\\.[0-9]{5,19}", value in prop_oneof![-1e3..1e3f64, -1e9..1e9f64, -1e-3..1e-3f64], last in 0u8..10, more: bool,
        ) {
            let printed = format!("{value}");
            let beside = if more { format!("{printed}{last}") } else { format!("{}{last}", &printed[..printed.len() - 1]) };
            for text in [text, printed, beside] {
                let Some(number) = float(text.as_bytes()) else { continue };
                let decided = number.form.is_shortest(number.value);
                let says = float64_says(number.value, text.as_bytes());
                prop_assert!(decided.is_none_or(|decided| decided == says), "{}: {:?}", text, decided);
            }
        }

        /// What is short needs no look, and what a float prints itself comes back.
        #[test]
        fn short_numbers_and_printed_floats_are_given_back(text in "-?(0|[1-9][0-9]{0,9})\\.[0-9]{1,12}", value in proptest::num::f64::NORMAL) {
            let number = float(text.as_bytes()).expect("a number");
            prop_assert!(float64_says(number.value, text.as_bytes()) || !number.form.is_short(), "{}", text);
            // As output is printed. The standard library takes the other of two shortest texts that are equally close.
            let printed = ryu::Buffer::new().format_finite(value).to_string();
            prop_assert!(float(printed.as_bytes()).expect("a number").gives_back(printed.as_bytes()), "{}", printed);
        }

        #[test]
        fn whatever_is_no_number_for_the_standard_library_is_none_for_us(text in "[-+.eE0-9x ]{0,12}") {
            if text.parse::<f64>().is_err() {
                prop_assert_eq!(float(text.as_bytes()), None);
                prop_assert_eq!(integer(text.as_bytes()), None);
            }
        }
    }
}
