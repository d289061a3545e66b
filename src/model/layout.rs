//! How files of a table are laid out: what a reader must know to read them together.

use serde::{Deserialize, Serialize};

use super::format::{Compression, OutputFormat};
use super::settings::{CsvWriteSettings, DestinationSettings, PartitionRule};
use super::template::extension;

/// The layout that files are written in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// What is written.
    pub format: OutputFormat,
    /// Of the whole file.
    pub compression: Compression,
    /// Hive partitions, outermost first.
    pub partition_by: Vec<PartitionRule>,
    /// Options of csv and tsv; `None` for other formats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csv: Option<CsvWriteSettings>,
}

impl Layout {
    /// The layout that a destination asks for.
    pub fn of(destination: &DestinationSettings) -> Layout {
        Layout {
            format: destination.format,
            compression: destination.compression,
            partition_by: destination.partition_by.clone(),
            csv: destination.format.delimiter().map(|_| destination.csv.clone()),
        }
    }

    /// What is different in `now`, as the subject and predicate of a sentence; `None` when nothing is.
    pub fn change_to(&self, now: &Layout) -> Option<String> {
        if self == now {
            return None;
        }
        let files = |layout: &Layout| extension(layout.format, layout.compression);
        let partitions = |layout: &Layout| match layout.partition_by.as_slice() {
            [] => "none".to_owned(),
            rules => rules.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>().join(", "),
        };
        let mut changes = Vec::new();
        if files(self) != files(now) {
            changes.push(format!("the format from {} to {}", files(self), files(now)));
        }
        if self.partition_by != now.partition_by {
            changes.push(format!("partitionBy from {} to {}", partitions(self), partitions(now)));
        }
        if self.format == now.format && self.csv != now.csv {
            changes.push("the csv options".to_owned());
        }
        Some(format!("the layout changed ({})", changes.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::model::fixtures::settings;

    #[test]
    fn what_a_reader_must_know_is_told_when_it_changes() {
        let check = |change: fn(&mut DestinationSettings), expected: Option<&str>| {
            let mut destination = settings().destination;
            destination.format = OutputFormat::Csv;
            let before = Layout::of(&destination);
            change(&mut destination);
            assert_eq!(before.change_to(&Layout::of(&destination)).as_deref(), expected);
        };
        let by_country = |to: &mut DestinationSettings| {
            to.partition_by = vec![PartitionRule { column: "c".into(), transform: None, name: "country".into() }];
        };
        check(|_| {}, None);
        check(|to| to.file_rows_max = NonZeroU64::new(7), None);
        check(|to| to.parquet.level = 9, None);
        check(|to| to.format = OutputFormat::Parquet, Some("the layout changed (the format from csv to parquet)"));
        check(|to| to.compression = Compression::Gzip, Some("the layout changed (the format from csv to csv.gz)"));
        check(by_country, Some("the layout changed (partitionBy from none to country)"));
        check(|to| to.csv.header = false, Some("the layout changed (the csv options)"));
    }
}
