//! Dates and times as text: RFC 3339, years beyond 9999 and before 0 with a sign and at least six digits (ISO 8601,
//! expanded representation).

use arrow_schema::TimeUnit;

const DIGITS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

const DAY_SECONDS: i64 = 86_400;

/// Year, month and day of a number of days since 1970-01-01, in the proleptic Gregorian calendar: Howard Hinnant's
/// `civil_from_days` ("chrono-compatible low-level date algorithms").
pub(crate) fn civil(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u32, day as u32)
}

/// Ticks of a unit in a second.
pub(crate) fn ticks(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

fn push_two(value: u32, out: &mut Vec<u8>) {
    let at = value as usize % 100 * 2;
    out.extend_from_slice(&DIGITS[at..at + 2]);
}

/// `2024-01-31`
pub(crate) fn push_date(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil(days);
    if (0..=9999).contains(&year) {
        push_two(year as u32 / 100, out);
        push_two(year as u32 % 100, out);
    } else {
        out.push(if year < 0 { b'-' } else { b'+' });
        out.extend_from_slice(format!("{:06}", year.unsigned_abs()).as_bytes());
    }
    out.push(b'-');
    push_two(month, out);
    out.push(b'-');
    push_two(day, out);
}

/// `05:09:03.000000`: six digits of fraction, nine for nanoseconds, so that the width tells the unit and no digit is
/// lost.
pub(crate) fn push_time(ticks_of_day: i64, unit: TimeUnit, out: &mut Vec<u8>) {
    let second = (ticks_of_day / ticks(unit)) as u32;
    let fraction = ticks_of_day % ticks(unit);
    push_two(second / 3600, out);
    out.push(b':');
    push_two(second / 60 % 60, out);
    out.push(b':');
    push_two(second % 60, out);
    out.push(b'.');
    let (fraction, pairs) = match unit {
        TimeUnit::Nanosecond => (fraction * 10, 5),
        _ => (fraction * (1_000_000 / ticks(unit)), 3),
    };
    for pair in (0..pairs).rev() {
        push_two((fraction / 100_i64.pow(pair) % 100) as u32, out);
    }
    if unit == TimeUnit::Nanosecond {
        out.pop();
    }
}

/// `2024-01-31T05:09:03.000000Z`; without the Z for a local time, which names no instant.
pub(crate) fn push_timestamp(value: i64, unit: TimeUnit, utc: bool, out: &mut Vec<u8>) {
    let day = ticks(unit) * DAY_SECONDS;
    push_date(value.div_euclid(day), out);
    out.push(b'T');
    push_time(value.rem_euclid(day), unit, out);
    if utc {
        out.push(b'Z');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(value: i64, unit: TimeUnit, utc: bool, expected: &str) {
        let mut out = Vec::new();
        push_timestamp(value, unit, utc, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn timestamps_keep_every_digit() {
        check(0, TimeUnit::Second, true, "1970-01-01T00:00:00.000000Z");
        check(-1, TimeUnit::Microsecond, true, "1969-12-31T23:59:59.999999Z");
        check(1_704_604_143_042, TimeUnit::Millisecond, true, "2024-01-07T05:09:03.042000Z");
        check(1_704_604_143_042_000_009, TimeUnit::Nanosecond, false, "2024-01-07T05:09:03.042000009");
        check(253_402_300_800, TimeUnit::Second, true, "+010000-01-01T00:00:00.000000Z");
        check(-62_167_219_201, TimeUnit::Second, true, "-000001-12-31T23:59:59.000000Z");
        check(i64::MIN, TimeUnit::Nanosecond, true, "1677-09-21T00:12:43.145224192Z");
    }

    proptest! {
        #[test]
        fn they_read_back_equal(
            micros in jiff::Timestamp::MIN.as_microsecond()..jiff::Timestamp::MAX.as_microsecond(),
        ) {
            let mut out = Vec::new();
            push_timestamp(micros, TimeUnit::Microsecond, true, &mut out);
            let read: jiff::Timestamp = String::from_utf8(out).unwrap().parse().unwrap();
            prop_assert_eq!(read.as_microsecond(), micros);
        }
    }
}
