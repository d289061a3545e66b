//! When an output file closes.

use std::num::NonZeroU64;

use super::settings::DestinationSettings;

/// S3 takes parts numbered 1 to 10,000 ("Amazon S3 multipart upload limits").
pub const PARTS_MAX: u64 = 10_000;

/// The limits of one output file. Bytes are encoded bytes, as far as they can be known while the file is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollingPolicy {
    file_rows_max: Option<NonZeroU64>,
    target_file_bytes: Option<NonZeroU64>,
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
        let one_file = !destination.template.is_unique();
        let unless_one = |limit: Option<NonZeroU64>| limit.filter(|_| !one_file);
        Self {
            file_rows_max: unless_one(destination.file_rows_max),
            target_file_bytes: unless_one(destination.target_file_bytes),
            // A hundredth is kept for what an estimate misses: a footer, rows that wait to be encoded.
            upload_bytes_max: part_bytes.saturating_mul(PARTS_MAX - PARTS_MAX / 100),
            one_file,
        }
    }

    /// Rows that a file of `rows` rows still takes.
    pub fn rows_left(&self, rows: u64) -> u64 {
        self.file_rows_max.map_or(u64::MAX, |max| max.get().saturating_sub(rows))
    }

    /// Encoded bytes at which files close, where they do.
    pub fn target_file_bytes(&self) -> Option<NonZeroU64> {
        self.target_file_bytes
    }

    /// Whether a key may be used once only.
    pub fn one_file(&self) -> bool {
        self.one_file
    }

    /// What becomes of a file of so many rows and encoded bytes.
    pub fn verdict(&self, rows: u64, bytes: u64) -> Verdict {
        let reached = |limit: Option<NonZeroU64>, value: u64| limit.is_some_and(|limit| value >= limit.get());
        match bytes >= self.upload_bytes_max {
            true if self.one_file => Verdict::TooLarge,
            true => Verdict::Full,
            false if reached(self.file_rows_max, rows) || reached(self.target_file_bytes, bytes) => Verdict::Full,
            false => Verdict::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures::settings;
    use crate::model::template::Template;

    /// The policy of settings with these limits, where an upload takes 9,900 bytes.
    fn rolling_policy(file_rows_max: u64, target_file_bytes: u64, one_file: bool) -> RollingPolicy {
        let mut destination = settings().destination;
        destination.file_rows_max = NonZeroU64::new(file_rows_max);
        destination.target_file_bytes = NonZeroU64::new(target_file_bytes);
        if one_file {
            destination.template = Template::parse("{{TABLE}}.parquet").unwrap();
        }
        RollingPolicy::new(&destination, 1)
    }

    #[test]
    fn the_first_limit_reached_closes_a_file() {
        for (limits, rows, bytes, expected) in [
            (rolling_policy(10, 100, false), 9, 99, Verdict::Open),
            (rolling_policy(10, 100, false), 10, 0, Verdict::Full),
            (rolling_policy(10, 100, false), 0, 100, Verdict::Full),
            (rolling_policy(0, 0, false), 1 << 40, 9_899, Verdict::Open),
            (rolling_policy(0, 0, false), 1, 9_900, Verdict::Full),
            (rolling_policy(10, 100, true), 1 << 40, 9_899, Verdict::Open),
            (rolling_policy(10, 100, true), 1, 9_900, Verdict::TooLarge),
        ] {
            assert_eq!(limits.verdict(rows, bytes), expected, "{limits:?} {rows} {bytes}");
        }
        assert_eq!(rolling_policy(10, 0, false).rows_left(4), 6);
        assert_eq!(rolling_policy(10, 0, true).rows_left(4), u64::MAX);
    }
}
