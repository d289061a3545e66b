//! Sizes and durations as users write them.

use std::time::Duration;

/// The largest size that is accepted: what fits an `i64`, because JSON consumers and Kubernetes quantities end there.
pub const SIZE_BYTES_MAX: u64 = i64::MAX as u64;

/// Why a text is no size or no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not `^[0-9]+(Ki|Mi|Gi|Ti|k|M|G|T)?$`.
    #[error(
        "{0:?} is not a size; write a number of bytes, or a number with Ki, Mi, Gi, Ti, k, M, G or T such as 128Mi"
    )]
    Size(String),
    /// Not `^([0-9]+(s|m|h))+$`.
    #[error("{0:?} is not a duration; write numbers with s, m or h such as 90s or 1h30m")]
    Duration(String),
    /// More than the type holds.
    #[error("{0:?} is too large")]
    TooLarge(String),
}

/// Bytes of a size: `^[0-9]+(Ki|Mi|Gi|Ti|k|M|G|T)?$`. `Ki` and its kin are powers of 1,024, `k` and its kin powers of
/// 1,000, as in Kubernetes quantities.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit {
        "" => 1,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        _ => return Err(UnitError::Size(text.to_owned())),
    };
    if number.is_empty() {
        return Err(UnitError::Size(text.to_owned()));
    }
    let number: Option<u64> = number.parse().ok();
    number
        .and_then(|number| number.checked_mul(factor))
        .filter(|bytes| *bytes <= SIZE_BYTES_MAX)
        .ok_or_else(|| UnitError::TooLarge(text.to_owned()))
}

/// A duration: `^([0-9]+(s|m|h))+$`, the parts added up.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let wrong = || UnitError::Duration(text.to_owned());
    let mut rest = text;
    let mut seconds: u64 = 0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let factor = match tail.as_bytes().first() {
            Some(b's') => 1,
            Some(b'm') => 60,
            Some(b'h') => 3600,
            _ => return Err(wrong()),
        };
        if number.is_empty() {
            return Err(wrong());
        }
        let number: Option<u64> = number.parse().ok();
        seconds = number
            .and_then(|number| number.checked_mul(factor))
            .and_then(|part| seconds.checked_add(part))
            .ok_or_else(|| UnitError::TooLarge(text.to_owned()))?;
        rest = &tail[1..];
    }
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("0", Some(0)),
            ("128Mi", Some(128 << 20)),
            ("64Gi", Some(64 << 30)),
            ("2Ti", Some(2 << 40)),
            ("1k", Some(1000)),
            ("5M", Some(5_000_000)),
            ("", None),
            ("Mi", None),
            ("1.5Gi", None),
            ("-1", None),
            ("1 Mi", None),
            ("1K", None),
            ("99999999999999999999", None),
            ("9999999999Ti", None),
        ] {
            assert_eq!(parse_size(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, expected) in [
            ("0s", Some(0)),
            ("90s", Some(90)),
            ("1h30m", Some(5400)),
            ("1m1m", Some(120)),
            ("", None),
            ("5", None),
            ("5d", None),
            ("s", None),
            ("1é", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(parse_duration(text).ok().map(|value| value.as_secs()), expected, "{text}");
        }
    }
}
