//! Dates and timestamps.

use arrow::datatypes::TimeUnit;

use super::number::all_digits;

/// Every zone here is UTC, which has no shorter and longer days.
pub(in crate::codec::decode) const DAY_SECONDS: i64 = 86_400;

/// Days of 400 years, after which the calendar repeats.
const CYCLE_DAYS: i64 = 146_097;

/// A point in time: seconds since 1970-01-01T00:00:00Z and nanoseconds after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::codec::decode) struct Instant {
    pub(in crate::codec::decode) seconds: i64,
    pub(in crate::codec::decode) nanos: u32,
    /// Whether the text names an offset (or Z).
    pub(in crate::codec::decode) zoned: bool,
}

impl Instant {
    /// The start of a day (days since 1970-01-01) in UTC.
    #[inline]
    pub(in crate::codec::decode) fn midnight(days: i32) -> Instant {
        Instant { seconds: i64::from(days) * DAY_SECONDS, nanos: 0, zoned: false }
    }

    /// Units since the epoch; `None` when the unit cannot hold it exactly.
    #[inline]
    pub(in crate::codec::decode) fn in_unit(self, unit: TimeUnit) -> Option<i64> {
        let (per_second, nanos_per_unit) = match unit {
            TimeUnit::Second => (1, 1_000_000_000),
            TimeUnit::Millisecond => (1_000, 1_000_000),
            TimeUnit::Microsecond => (1_000_000, 1_000),
            TimeUnit::Nanosecond => (1_000_000_000, 1),
        };
        if !self.nanos.is_multiple_of(nanos_per_unit) {
            return None;
        }
        let units = i64::from(self.nanos / nanos_per_unit);
        match self.seconds.checked_mul(per_second) {
            Some(seconds) => seconds.checked_add(units),
            // The first second that 64 bits hold begins before them.
            None => i64::try_from(i128::from(self.seconds) * i128::from(per_second) + i128::from(units)).ok(),
        }
    }
}

/// Days since 1970-01-01 of `YYYY-MM-DD`, or of a year with a sign.
#[inline]
pub(in crate::codec::decode) fn date(text: &[u8]) -> Option<i32> {
    match text.try_into() {
        Ok(text) => date_of(text),
        Err(_) => match far_date(text)? {
            (days, []) => i32::try_from(days).ok(),
            _ => None,
        },
    }
}

/// Days since 1970-01-01 of a date whose year needs more than four digits or a sign, as we write it, and what follows
/// it.
#[inline]
fn far_date(text: &[u8]) -> Option<(i64, &[u8])> {
    match text {
        [sign @ (b'+' | b'-'), rest @ ..] => far_date_of(*sign == b'-', rest),
        _ => None,
    }
}

#[cold]
fn far_date_of(negative: bool, text: &[u8]) -> Option<(i64, &[u8])> {
    // A timestamp in seconds reaches years of twelve digits.
    const DIGITS: std::ops::RangeInclusive<usize> = 6..=12;
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !DIGITS.contains(&digits) || (digits > *DIGITS.start() && text[0] == b'0') {
        return None;
    }
    let year = text[..digits].iter().fold(0_i64, |year, digit| year * 10 + i64::from(digit & 15));
    let year = if negative { -year } else { year };
    let ([b'-', m, n, b'-', d, e], rest) = text[digits..].split_first_chunk()? else { return None };
    let (month, day) = (two_digits(*m, *n)?, two_digits(*d, *e)?);
    // Years repeat after 400.
    let in_cycle = year.rem_euclid(400) as u32;
    if (0..=9999).contains(&year) || (negative && year == 0) || day == 0 || day > days_in_month(in_cycle, month) {
        return None;
    }
    Some((i64::from(days_from_civil(in_cycle, month, day)) + year.div_euclid(400) * CYCLE_DAYS, rest))
}

#[inline]
fn date_of(text: &[u8; 10]) -> Option<i32> {
    if text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    // The eight digits side by side, checked at once.
    let digits = [text[0], text[1], text[2], text[3], text[5], text[6], text[8], text[9]];
    if !all_digits(u64::from_le_bytes(digits)) {
        return None;
    }
    let digit = |i: usize| u32::from(digits[i] & 15);
    let year = digit(0) * 1000 + digit(1) * 100 + digit(2) * 10 + digit(3);
    let (month, day) = (digit(4) * 10 + digit(5), digit(6) * 10 + digit(7));
    if day == 0 || day > days_in_month(year, month) {
        return None;
    }
    Some(days_from_civil(year, month, day))
}

/// 0 for what is no month.
#[inline]
fn days_in_month(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        1..=12 => 31,
        _ => 0,
    }
}

/// Days since 1970-01-01, by counting years from March: a leap day is then the last of its year.
#[inline]
fn days_from_civil(year: u32, month: u32, day: u32) -> i32 {
    // 400 years are added and taken off again, so that January of year 0 stays positive.
    let year = year + 400 - u32::from(month <= 2);
    let month = (month + 9) % 12;
    let in_year = (153 * month + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + in_year;
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    days as i32 - CYCLE_DAYS as i32 - 719_468
}

/// A date and a time of day, see the grammar of the module.
#[inline]
pub(in crate::codec::decode) fn timestamp(text: &[u8]) -> Option<Instant> {
    let (days, rest) = match far_date(text) {
        Some(found) => found,
        None => {
            let (day, rest) = text.split_first_chunk::<10>()?;
            (i64::from(date_of(day)?), rest)
        }
    };
    let (clock, rest) = rest.split_first_chunk::<9>()?;
    if !matches!(clock[0], b'T' | b't' | b' ') || clock[3] != b':' || clock[6] != b':' {
        return None;
    }
    let pair = |at: usize| two_digits(clock[at], clock[at + 1]);
    let (hour, minute, second) = (pair(1)?, pair(4)?, pair(7)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (nanos, rest) = match rest {
        [b'.', rest @ ..] => fraction(rest)?,
        rest => (0, rest),
    };
    let (offset, zoned) = match rest {
        [] => (0, false),
        [b'Z' | b'z'] => (0, true),
        rest => (offset_seconds(rest)?, true),
    };
    let seconds = days.checked_mul(DAY_SECONDS)?.checked_add(i64::from(hour * 3600 + minute * 60 + second) - offset)?;
    Some(Instant { seconds, nanos, zoned })
}

#[inline]
fn two_digits(tens: u8, ones: u8) -> Option<u32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| u32::from(tens) * 10 + u32::from(ones))
}

/// One to nine digits as nanoseconds, and what follows them.
#[inline]
fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || digits > 9 {
        return None;
    }
    let value = text[..digits].iter().fold(0, |value, byte| value * 10 + u32::from(byte & 15));
    Some((value * 10u32.pow(9 - digits as u32), &text[digits..]))
}

/// `±HH`, `±HHMM` or `±HH:MM`.
fn offset_seconds(text: &[u8]) -> Option<i64> {
    let (sign, hours, minutes) = match *text {
        [sign, a, b] => (sign, two_digits(a, b)?, 0),
        [sign, a, b, c, d] | [sign, a, b, b':', c, d] => (sign, two_digits(a, b)?, two_digits(c, d)?),
        _ => return None,
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = i64::from(hours * 3600 + minutes * 60);
    match sign {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_are_of_the_calendar() {
        for (text, expected) in [
            ("1970-01-01", Some(0)),
            ("1969-12-31", Some(-1)),
            ("2024-02-29", Some(19_782)),
            ("0000-01-01", Some(-719_528)),
            ("9999-12-31", Some(2_932_896)),
            ("2023-02-29", None),
            ("1900-02-29", None),
            ("2000-02-29", Some(11_016)),
            ("2024-13-01", None),
            ("2024-00-01", None),
            ("2024-01-00", None),
            ("2024-04-31", None),
            ("2024/01/01", None),
            ("24-01-01", None),
            ("2024-1-1", None),
            ("2024-01-01 ", None),
            ("2024-01-0a", None),
            ("", None),
        ] {
            assert_eq!(date(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn timestamps_are_rfc_3339_and_what_databases_print() {
        let micros = |text: &str| timestamp(text.as_bytes()).and_then(|instant| instant.in_unit(TimeUnit::Microsecond));
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1970-01-01 00:00:01", Some(1_000_000)),
            ("1970-01-01t00:00:00.5z", Some(500_000)),
            ("1970-01-01T01:00:00+01:00", Some(0)),
            ("1970-01-01T01:00:00+0100", Some(0)),
            ("1970-01-01 01:00:00+01", Some(0)),
            ("1969-12-31T23:59:59.999999Z", Some(-1)),
            ("1970-01-01T00:00:00-00:30", Some(1_800_000_000)),
            ("1970-01-01T00:00:00.123456000Z", Some(123_456)),
            ("1970-01-01T00:00:00.123456789Z", None),
            ("1970-01-01T00:00:00.Z", None),
            ("1970-01-01T00:00:00.1234567890Z", None),
            ("1970-01-01T24:00:00Z", None),
            ("1970-01-01T23:60:00Z", None),
            ("1970-01-01T23:59:60Z", None),
            ("1970-01-01T00:00Z", None),
            ("1970-01-01", None),
            ("1970-01-01T00:00:00+1", None),
            ("1970-01-01T00:00:00+24:00", None),
            ("1970-01-01T00:00:00 Z", None),
            ("1970-01-01_00:00:00", None),
        ] {
            assert_eq!(micros(text), expected, "{text:?}");
        }
        let nanos =
            timestamp(b"2262-04-11T23:47:16.854775807Z").and_then(|instant| instant.in_unit(TimeUnit::Nanosecond));
        assert_eq!(nanos, Some(i64::MAX));
        let first =
            timestamp(b"1677-09-21T00:12:43.145224192Z").and_then(|instant| instant.in_unit(TimeUnit::Nanosecond));
        assert_eq!(first, Some(i64::MIN));
        assert_eq!(
            timestamp(b"2262-04-11T23:47:16.854775808Z").and_then(|instant| instant.in_unit(TimeUnit::Nanosecond)),
            None
        );
    }

    #[test]
    fn years_of_more_digits_are_those_that_we_write() {
        for (text, expected) in [
            ("+010000-01-01", Some(2_932_897)),
            ("-000001-12-31", Some(-719_529)),
            ("-000004-02-29", Some(-720_930)),
            ("+5881580-07-11", Some(i32::MAX)),
            ("-5877641-06-23", Some(i32::MIN)),
            ("+5881580-07-12", None),
            ("-000000-01-01", None),
            ("+002024-01-01", None),
            ("+10000-01-01", None),
            ("10000-01-01", None),
            ("+0010000-01-01", None),
            ("+010001-02-29", None),
            ("+010000-01-01x", None),
            ("+010000-1-1", None),
            ("+", None),
        ] {
            assert_eq!(date(text.as_bytes()), expected, "{text:?}");
        }
        let seconds = |text: &str| timestamp(text.as_bytes()).map(|instant| (instant.seconds, instant.zoned));
        assert_eq!(seconds("+010000-01-01T00:00:01Z"), Some((253_402_300_801, true)));
        assert_eq!(seconds("-000001-12-31 23:59:59"), Some((-62_167_219_201, false)));
        assert_eq!(seconds("+999999999999-01-01T00:00:00Z"), None);
    }

    proptest! {
        /// Every time that a type holds is read back from its text.
        #[test]
        fn what_is_written_is_read(value: i64, days: i32) {
            use crate::codec::encode::time_text::{push_date, push_timestamp};
            let mut text = Vec::new();
            push_date(days.into(), &mut text);
            prop_assert_eq!(date(&text), Some(days));
            for unit in [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
                text.clear();
                push_timestamp(value, unit, true, &mut text);
                prop_assert_eq!(timestamp(&text).and_then(|instant| instant.in_unit(unit)), Some(value));
            }
        }

        #[test]
        fn instants_agree_with_jiff(seconds in -62_167_219_200i64..253_402_207_200, nanos in 0u32..1_000_000_000) {
            let expected = jiff::Timestamp::new(seconds, 0).expect("in range") + jiff::SignedDuration::new(0, nanos as i32);
            let instant = timestamp(expected.to_string().as_bytes()).expect("a timestamp");
            prop_assert_eq!((instant.seconds, instant.nanos, instant.zoned), (seconds, nanos, true));
        }
    }
}
