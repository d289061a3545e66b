//! The grammar of scalar values, one for the inferrer and the parsers: a text is a number, a date or a truth value exactly when it is
//! matched here, and every such text can be written again without loss. Whatever is not matched stays text.
//!
//! ```text
//! boolean    true True TRUE false False FALSE
//! int64      0 | -?[1-9][0-9]*                                   within 64 bits; no +, no leading zeros, no -0
//! float64    -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)?       finite; also without the 0 before the point; no NaN, no inf
//! date32     YYYY-MM-DD                                          a day of the proleptic Gregorian calendar, years 0000 to 9999
//! timestamp  date [Tt ] HH:MM:SS [.f{1,9}] [Zz | ±HH[[:]MM]]     RFC 3339, and a space for the T, and no or a short offset
//! ```
//!
//! A timestamp without an offset is in UTC, one with an offset is converted to it. A fraction has to be exact in the unit of the column:
//! digits beyond it may only be zeros. Second 60 is not accepted, since Arrow has no leap seconds. Nothing is trimmed.

mod decimal;
mod number;
mod seen;
mod time;

pub(super) use decimal::decimal;
pub(super) use number::{exact_in_float64, float, integer, unsigned_integer};
pub(super) use seen::{Seen, classify};
pub(super) use time::{Instant, date, timestamp};

/// A truth value.
pub(super) fn boolean(text: &[u8]) -> Option<bool> {
    match text {
        b"true" | b"True" | b"TRUE" => Some(true),
        b"false" | b"False" | b"FALSE" => Some(false),
        _ => None,
    }
}

/// A number as float64. `exact`: an integer has to be one that float64 holds.
#[inline]
pub(super) fn float64(text: &[u8], exact: bool) -> Option<f64> {
    let (value, whole) = float(text)?;
    // 15 digits are below 2^53 whatever they are.
    (!exact || !whole || text.len() <= 15 || exact_in_float64(text)).then_some(value)
}

/// A number as float32. `exact`: as float64 it has to be the same.
pub(super) fn float32(text: &[u8], exact: bool) -> Option<f32> {
    let (value, _) = float(text)?;
    let narrow = value as f32;
    (narrow.is_finite() && (!exact || f64::from(narrow) == value)).then_some(narrow)
}

/// A timestamp, or the start of a day. A column without a zone holds no text that names an offset.
#[inline]
pub(super) fn instant(text: &[u8], zoned: bool) -> Option<Instant> {
    match timestamp(text) {
        Some(instant) => (zoned || !instant.zoned).then_some(instant),
        None => Some(Instant::midnight(date(text)?)),
    }
}
