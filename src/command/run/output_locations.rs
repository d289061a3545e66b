//! Where output goes, in words for people.

use crate::model::settings::Settings;
use crate::pipeline::context::Context;
use crate::pipeline::run::RunSummary;

/// Where the output of a sync is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputLocations {
    /// Of the files: bucket and path template.
    pub files: String,
    /// Of the records that were set aside.
    pub dead_letters: Option<String>,
}

impl OutputLocations {
    /// Where a run's output is.
    pub fn of(context: &Context, summary: &RunSummary) -> OutputLocations {
        let settings = &context.settings;
        let place = context.destination.place();
        let tables: Vec<&str> = summary.tables.keys().map(String::as_str).collect();
        OutputLocations {
            files: directory(settings, place, &tables),
            dead_letters: settings.errors.dead_letter_path.as_ref().map(|prefix| format!("{place}/{prefix}")),
        }
    }
}

/// The longest prefix that ends in `/` and begins all keys of these tables, or the one key there is, with the bucket:
/// where to look.
fn directory(settings: &Settings, place: &str, tables: &[&str]) -> String {
    let table = match tables {
        [one] => Some(*one),
        _ => None,
    };
    let keys = settings.output_keys(table);
    format!("{place}/{}", keys.only_key().unwrap_or_else(|| keys.directory()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures::settings;
    use crate::model::settings::PartitionRule;
    use crate::model::template::Template;

    #[test]
    fn output_is_looked_for_where_all_of_it_is() {
        let rule =
            |name: &&str| PartitionRule { column: (*name).to_owned(), transform: None, name: (*name).to_owned() };
        for (template, partitions, tables, expected) in [
            ("{{TABLE}}/{{UUID}}.{{FORMAT}}", &[][..], &["order_items"][..], "order_items/"),
            ("{{TABLE}}/{{UUID}}.{{FORMAT}}", &[], &["order_items", "orders"], ""),
            ("{{TABLE}}/{{UUID}}.{{FORMAT}}", &[], &[], ""),
            ("a/{{TABLE_HYPHEN}}.{ext}", &["c", "d"], &["order_items"], "a/"),
            ("a/{{TABLE_HYPHEN}}.{ext}", &[], &["order_items"], "a/order-items.parquet"),
            ("{{PARTITION}}/x/{{UUID}}", &["c", "d"], &["order_items"], ""),
            ("x/{{PARTITION}}/{{UUID}}", &[], &["order_items"], "x/"),
            ("all.csv", &[], &["order_items"], "all.csv"),
        ] {
            let mut settings = settings();
            settings.destination.template = Template::parse(template).unwrap();
            settings.destination.partition_by = partitions.iter().map(rule).collect();
            assert_eq!(directory(&settings, "s3://lake", tables), format!("s3://lake/{expected}"), "{template}");
        }
    }
}
