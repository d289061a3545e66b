//! The digits that a number is made of.

/// The digits of a number's text without the zeros around them: texts that say the same value have the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Significand<'a> {
    pub(super) negative: bool,
    /// From the first digit that is no zero to the last; the point may lie among them. Empty for zero.
    text: &'a [u8],
    /// How many digits that are.
    pub(super) len: usize,
    /// Where the point lies, counted from the first digit: 1 for `1.5`, -1 for `0.01`.
    point: i64,
}

impl<'a> Significand<'a> {
    /// Of a text that is a number by the grammar of the module. `None`: an exponent beyond all numbers.
    pub(super) fn of(text: &'a [u8]) -> Option<Significand<'a>> {
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let (mantissa, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(at) => (&text[..at], std::str::from_utf8(&text[at + 1..]).ok()?.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let matters = |byte: &u8| matches!(byte, b'1'..=b'9');
        let (Some(first), Some(last)) = (mantissa.iter().position(matters), mantissa.iter().rposition(matters)) else {
            return Some(Significand { negative, text: b"", len: 0, point: 0 });
        };
        // Texts are shorter than 2^31 bytes, as blocks are.
        let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
        let before_point = if first < point { (point - first) as i64 } else { -((first - point - 1) as i64) };
        let len = last + 1 - first - usize::from(first < point && point < last);
        Some(Significand { negative, text: &mantissa[first..=last], len, point: before_point + i64::from(exponent) })
    }

    /// The digits, as numbers.
    pub(super) fn digits(self) -> impl Iterator<Item = u8> + 'a {
        self.text.iter().filter(|byte| **byte != b'.').map(|digit| digit & 15)
    }

    /// The power of ten that the last digit counts.
    pub(super) fn power(self) -> i64 {
        self.point - self.len as i64
    }

    /// Digits before the point.
    pub(super) fn before(self) -> usize {
        usize::try_from(self.point).unwrap_or(0)
    }

    /// Digits behind the point, without the zeros at the end.
    pub(super) fn after(self) -> usize {
        usize::try_from(-self.power()).unwrap_or(0)
    }
}

impl PartialEq for Significand<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.negative, self.len, self.point) == (other.negative, other.len, other.point)
            && self.digits().eq(other.digits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_counted_without_the_zeros_around_them() {
        for (text, digits, before, after) in [
            ("0", "", 0, 0),
            ("-0.00", "", 0, 0),
            ("0e7", "", 0, 0),
            ("7", "7", 1, 0),
            ("-120", "12", 3, 0),
            ("1.50", "15", 1, 1),
            (".5", "5", 0, 1),
            ("0.0125", "125", 0, 4),
            ("100.001", "100001", 3, 3),
            ("1.5e3", "15", 4, 0),
            ("15e-3", "15", 0, 3),
            ("1.25e1", "125", 2, 1),
        ] {
            let of = Significand::of(text.as_bytes()).expect("a number");
            let shown: String = of.digits().map(|digit| char::from(b'0' + digit)).collect();
            assert_eq!(
                (shown.as_str(), of.len, of.before(), of.after()),
                (digits, digits.len(), before, after),
                "{text}"
            );
        }
        assert_eq!(Significand::of(b"1e99999999999"), None);
        assert_eq!(Significand::of(b"12.5"), Significand::of(b"0.1250e2"));
        assert_ne!(Significand::of(b"12.5"), Significand::of(b"-12.5"));
        assert_ne!(Significand::of(b"12.5"), Significand::of(b"125"));
    }
}
