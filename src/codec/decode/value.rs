//! The grammar of scalar values, one for the inferrer and the parsers: a text is a number, a date or a truth value
//! exactly when it is matched here, and every such text can be written again without loss. Whatever is not matched
//! stays text.
//!
//! ```text
//! boolean    true True TRUE false False FALSE
//! int64      0 | -?[1-9][0-9]*                                within 64 bits; no +, no leading zeros, no -0
//! float64    -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)?    no NaN, no inf, no -0; also without the leading 0
//! decimal    -?(0|[1-9][0-9]*)(.[0-9]+)?                      at most 38 digits: what int64 and float64 lose
//! date32     YYYY-MM-DD                                       of the proleptic Gregorian calendar, years 0000 to 9999
//!            ±YYYYYY-MM-DD                                    other years, of six digits or as many as they need
//! timestamp  date [Tt ] HH:MM:SS [.f{1,9}] [Zz | ±HH[[:]MM]]  RFC 3339; a space for the T, no or a short offset
//! ```
//!
//! A timestamp without an offset is in UTC, one with an offset is converted to it. A fraction has to be exact in the
//! unit of the column: digits beyond it may only be zeros. Second 60 is not accepted, since Arrow has no leap seconds.
//! Nothing is trimmed.
//!
//! The numbers of a declared column need not be written again as they were: a plus and leading zeros mean nothing there
//! ([`number`]).

mod decimal;
mod digits;
mod number;
mod parsing;
mod seen;
mod time;

pub(super) use decimal::{decimal, plain_decimal};
pub(super) use number::{
    EXACT_POWERS, equal_float32, float32_of, float64_equals, float64_says, integer, shortest_float32, unsigned_integer,
};
pub(super) use parsing::{Parsing, parsing, truth};
pub(super) use seen::{Seen, classify};
pub(super) use time::{DAY_SECONDS, date};

use arrow::datatypes::{TimeUnit, i256};

use number::{Form, Notation, exact_in_float64, float_of, form};
use time::{Instant, timestamp};

/// A number by one of the grammars above. `exact` as for [`float64`]: without it, a plus and leading zeros are passed
/// over.
#[inline]
pub(super) fn number<V>(text: &[u8], exact: bool, parse: impl Fn(&[u8]) -> Option<V>) -> Option<V> {
    match parse(text) {
        None if !exact => parse(&plain(text)?),
        found => found,
    }
}

/// The text of a number without a plus and leading zeros; `None` when it has neither.
#[cold]
fn plain(text: &[u8]) -> Option<Vec<u8>> {
    let (sign, digits) = match text {
        [b'+', digits @ ..] => (&b""[..], digits),
        [b'-', digits @ ..] => (&b"-"[..], digits),
        digits => (&b""[..], digits),
    };
    let zeros = digits.iter().take_while(|byte| **byte == b'0').count();
    // The last zero stays where no digit follows it.
    let zeros = if digits.get(zeros).is_some_and(u8::is_ascii_digit) { zeros } else { zeros.saturating_sub(1) };
    let digits = &digits[zeros..];
    let sign = if digits == b"0" { &b""[..] } else { sign };
    let plain = [sign, digits].concat();
    (digits.first().is_some_and(u8::is_ascii_digit) && plain != text).then_some(plain)
}

/// A truth value.
pub(super) fn boolean(text: &[u8]) -> Option<bool> {
    match text {
        b"true" | b"True" | b"TRUE" => Some(true),
        b"false" | b"False" | b"FALSE" => Some(false),
        _ => None,
    }
}

/// A number as float64, when the float says what the text says ([`Float::gives_back`](number::Float::gives_back)).
/// `exact`: an integer has to be one of those that float64 holds without a gap between them; otherwise what the float
/// is equal to does, too (2^63).
#[inline(always)]
pub(super) fn float64(text: &[u8], exact: bool) -> Option<f64> {
    let form = form(text)?;
    if form.is_short() { Some(form.divided()) } else { long_float64(text, form, exact) }
}

#[inline(never)]
fn long_float64(text: &[u8], form: Form, exact: bool) -> Option<f64> {
    let float = float_of(text, form)?;
    let kept = match float.notation {
        Notation::Whole if exact => exact_in_float64(text),
        _ => float.gives_back(text) || (!exact && float64_equals(float.value, text)),
    };
    kept.then_some(float.value)
}

/// A number as float32. `exact`: as float64 it has to be the same; otherwise as [`float32_of`].
pub(super) fn float32(text: &[u8], exact: bool) -> Option<f32> {
    let wide = float64(text, exact)?;
    if exact { equal_float32(wide) } else { float32_of(wide) }
}

/// An integer. Not `exact`: whatever number is a whole one, `5.0` and `1e3` too.
#[inline(always)]
pub(super) fn whole<N: TryFrom<i64> + TryFrom<i128>>(text: &[u8], exact: bool) -> Option<N> {
    match integer(text) {
        Some(value) => N::try_from(value).ok(),
        None if exact => None,
        None => N::try_from(whole_decimal(text)?.to_i128()?).ok(),
    }
}

/// A uint64, as [`whole`].
#[inline]
pub(super) fn unsigned_whole(text: &[u8], exact: bool) -> Option<u64> {
    match unsigned_integer(text) {
        None if !exact => u64::try_from(whole_decimal(text)?.to_i128()?).ok(),
        found => found,
    }
}

#[cold]
fn whole_decimal(text: &[u8]) -> Option<i256> {
    /// Of the largest integers there are, uint64's.
    const DIGITS: u8 = 20;
    number(text, false, |text| decimal(text, DIGITS, 0))
}

/// A day. Not `exact`: also a timestamp at the start of one, in UTC.
#[inline]
pub(super) fn day(text: &[u8], exact: bool) -> Option<i32> {
    match date(text) {
        None if !exact => {
            let instant = timestamp(text).filter(|instant| instant.nanos == 0 && instant.seconds % DAY_SECONDS == 0)?;
            i32::try_from(instant.seconds / DAY_SECONDS).ok()
        }
        found => found,
    }
}

/// Units since 1970: a timestamp, or the start of a day. A column without a zone holds no text that names an offset.
/// Not `exact`: a whole number counts the units.
#[inline(always)]
pub(super) fn instant(text: &[u8], unit: TimeUnit, zoned: bool, exact: bool) -> Option<i64> {
    let instant = match timestamp(text) {
        Some(instant) => instant,
        None => match date(text) {
            Some(days) => Instant::midnight(days),
            None if exact => return None,
            None => return whole(text, false),
        },
    };
    if instant.zoned && !zoned { None } else { instant.in_unit(unit) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_numbers_may_have_a_plus_and_leading_zeros() {
        for (text, expected) in [
            ("007", Some(7)),
            ("+7", Some(7)),
            ("-007", Some(-7)),
            ("+0", Some(0)),
            ("-0", Some(0)),
            ("000", Some(0)),
            ("7", Some(7)),
            ("++7", None),
            ("+-7", None),
            ("+", None),
            ("", None),
            ("0x7", None),
            (" 7", None),
            ("00000000000000000000000000007", Some(7)),
        ] {
            assert_eq!(whole::<i64>(text.as_bytes(), false), expected, "{text:?}");
        }
        assert_eq!(whole::<i64>(b"007", true), None);
        assert_eq!(number(b"+01.50", false, |text| float64(text, false)), Some(1.5));
        assert_eq!(number(b"-00.5e1", false, |text| float64(text, false)), Some(-5.0));
        assert_eq!(number(b"001.5", false, |text| decimal(text, 3, 1)?.to_i128()), Some(15));
    }

    /// What a text is as a number of each float: inferred, and cast.
    #[test]
    fn floats_are_what_their_texts_say() {
        for (text, inferred, wide, narrow) in [
            ("0.1", Some(0.1), Some(0.1), Some(0.1)),
            ("16777217", Some(16777217.0), Some(16777217.0), None),
            ("9007199254740993", None, None, None),
            // Nobody knows which of its neighbours it stands for, so that no column is float64 for it.
            ("9007199254740994", None, Some(9007199254740994.0), None),
            ("0.30000000000000004", Some(0.30000000000000004), Some(0.30000000000000004), None),
            ("0.123456789012345678", None, None, None),
            ("1.234567890123456789e-5", Some(1.2345678901234568e-5), Some(1.2345678901234568e-5), None),
            ("1.000000014901161194e-01", Some(0.10000000149011612), Some(0.10000000149011612), Some(0.1)),
            ("1e39", Some(1e39), Some(1e39), None),
            ("1e-50", Some(1e-50), Some(1e-50), None),
            ("1e400", None, None, None),
            ("1e-400", None, None, None),
            ("-0", Some(-0.0), Some(-0.0), Some(-0.0)),
        ] {
            let text = text.as_bytes();
            let shown = String::from_utf8_lossy(text);
            assert_eq!(
                (float64(text, true), float64(text, false), float32(text, false)),
                (inferred, wide, narrow),
                "{shown}"
            );
        }
        assert_eq!(
            (float32(b"0.5", true), float32(b"0.1", true), float32(b"0.5000000000000000000001", true)),
            (Some(0.5), None, None)
        );
    }

    #[test]
    fn a_whole_number_counts_units_of_a_declared_timestamp() {
        use TimeUnit::*;
        for (text, unit, expected) in [
            ("1700000000", Second, Some(1_700_000_000)),
            ("1700000000000", Millisecond, Some(1_700_000_000_000)),
            ("-1", Nanosecond, Some(-1)),
            ("+007", Second, Some(7)),
            ("1700000000.0", Second, Some(1_700_000_000)),
            ("1.7e9", Microsecond, Some(1_700_000_000)),
            ("1700000000.5", Microsecond, None),
            ("9223372036854775807", Nanosecond, Some(i64::MAX)),
            ("9223372036854775808", Nanosecond, None),
            ("1970-01-02", Second, Some(86_400)),
            ("1970-01-01T00:00:01.5Z", Second, None),
            ("1970-01-01T00:00:01.5Z", Millisecond, Some(1_500)),
            ("x", Second, None),
            ("", Second, None),
        ] {
            assert_eq!(instant(text.as_bytes(), unit, true, false), expected, "{text} in {unit:?}");
        }
        assert_eq!(instant(b"1700000000", Second, true, true), None);
        assert_eq!(instant(b"1970-01-01T00:00:00Z", Second, false, false), None);
        assert_eq!(instant(b"1970-01-01T00:00:00", Second, false, true), Some(0));
    }
}
