//! When an output file closes.

use super::settings::DestinationSettings;

/// S3 takes parts numbered 1 to 10,000 ("Amazon S3 multipart upload limits").
pub const PARTS_MAX: u64 = 10_000;

/// The limits of one output file. Bytes are encoded bytes, as far as they can be known while the file is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollingPolicy {
    rows_max: u64,
    bytes_max: u64,
    upload_bytes_max: u64,
    one_file: bool,
}

/// What becomes of an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It takes more rows.
    Open,
    /// It is full: the next row begins another file.
    Full,
    /// It is as large as an upload may be, and there may be no other file.
    TooLarge,
}

impl RollingPolicy {
    /// The limits that a destination's settings mean, with uploads in parts of `part_bytes`. A template without a
    /// unique placeholder names one file, which `batch` does not close.
    pub fn new(destination: &DestinationSettings, part_bytes: u64) -> Self {
        let limit = |value: u64| if value == 0 { u64::MAX } else { value };
        Self {
            rows_max: limit(destination.batch_rows),
            bytes_max: limit(destination.batch_bytes),
            // A hundredth is kept for what an estimate misses: a footer, rows that wait to be encoded.
            upload_bytes_max: part_bytes.saturating_mul(PARTS_MAX - PARTS_MAX / 100),
            one_file: !destination.template.is_unique(),
        }
    }

    /// Rows that a file of `rows` rows still takes.
    pub fn rows_left(&self, rows: u64) -> u64 {
        if self.one_file { u64::MAX } else { self.rows_max.saturating_sub(rows) }
    }

    /// Encoded bytes at which files close, where they do.
    pub fn bytes_max(&self) -> Option<u64> {
        (!self.one_file && self.bytes_max != u64::MAX).then_some(self.bytes_max)
    }

    /// Whether a key may be used once only.
    pub fn one_file(&self) -> bool {
        self.one_file
    }

    /// What becomes of a file of so many rows and encoded bytes.
    pub fn verdict(&self, rows: u64, bytes: u64) -> Verdict {
        if self.one_file {
            return if bytes >= self.upload_bytes_max { Verdict::TooLarge } else { Verdict::Open };
        }
        let full = rows >= self.rows_max || bytes >= self.bytes_max.min(self.upload_bytes_max);
        if full { Verdict::Full } else { Verdict::Open }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rolling_policy(rows_max: u64, bytes_max: u64, one_file: bool) -> RollingPolicy {
        RollingPolicy { rows_max, bytes_max, upload_bytes_max: 9_900, one_file }
    }

    #[test]
    fn the_first_limit_reached_closes_a_file() {
        for (limits, rows, bytes, expected) in [
            (rolling_policy(10, 100, false), 9, 99, Verdict::Open),
            (rolling_policy(10, 100, false), 10, 0, Verdict::Full),
            (rolling_policy(10, 100, false), 0, 100, Verdict::Full),
            (rolling_policy(u64::MAX, u64::MAX, false), 1 << 40, 9_899, Verdict::Open),
            (rolling_policy(u64::MAX, u64::MAX, false), 1, 9_900, Verdict::Full),
            (rolling_policy(10, 100, true), 1 << 40, 9_899, Verdict::Open),
            (rolling_policy(10, 100, true), 1, 9_900, Verdict::TooLarge),
        ] {
            assert_eq!(limits.verdict(rows, bytes), expected, "{limits:?} {rows} {bytes}");
        }
        assert_eq!(rolling_policy(10, 0, false).rows_left(4), 6);
        assert_eq!(rolling_policy(10, 0, true).rows_left(4), u64::MAX);
    }
}
