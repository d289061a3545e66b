//! Where output goes, in words for people: bucket, path template, and the hive directories in their place.

use crate::model::settings::{DestinationSettings, PartitionRule};
use crate::model::template::{Template, extension};
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
            files: directory(&settings.destination, place, &tables),
            dead_letters: settings.errors.dead_letter_path.as_ref().map(|prefix| format!("{place}/{prefix}")),
        }
    }
}

/// The keys of a table's files: `orders/country=*/month=*/{{UUID}}.parquet`. Without a table its placeholders stay.
pub fn key_shape(destination: &DestinationSettings, table: Option<&str>) -> String {
    shape(
        &destination.template,
        &extension(destination.format, destination.compression),
        &destination.partition_by,
        table,
    )
}

/// The longest prefix that ends in `/` and begins all keys of these tables, or the one key there is, with the bucket:
/// where to look.
pub fn directory(destination: &DestinationSettings, place: &str, tables: &[&str]) -> String {
    let table = match tables {
        [one] => Some(*one),
        _ => None,
    };
    format!("{place}/{}", constant(&key_shape(destination, table)))
}

fn shape(template: &Template, extension: &str, partition_by: &[PartitionRule], table: Option<&str>) -> String {
    let mut shape = template.to_string();
    for placeholder in ["{{FORMAT}}", "{ext}"] {
        shape = shape.replace(placeholder, extension);
    }
    if let Some(table) = table {
        for placeholder in ["{{TABLE}}", "{table_name}"] {
            shape = shape.replace(placeholder, table);
        }
        shape = shape.replace("{{TABLE_HYPHEN}}", &table.replace('_', "-"));
    }
    let partition: String = partition_by.iter().map(|rule| format!("{}=*/", rule.name)).collect();
    if template.places_partition() {
        return shape.replace("{{PARTITION}}/", &partition).replace("{{PARTITION}}", partition.trim_end_matches('/'));
    }
    let name = shape.rfind('/').map_or(0, |slash| slash + 1);
    shape.insert_str(name, &partition);
    shape
}

/// What of a shape never varies.
fn constant(shape: &str) -> &str {
    match shape.find(['{', '*']) {
        // Of `month=*` the name alone leads nowhere.
        Some(variable) => shape[..variable].rfind('/').map_or("", |slash| &shape[..=slash]),
        None => shape,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, partitions: &[&str], expected: (&str, &str)) {
        let rule =
            |name: &&str| PartitionRule { column: (*name).to_owned(), transform: None, name: (*name).to_owned() };
        let rules: Vec<PartitionRule> = partitions.iter().map(rule).collect();
        let shape = shape(&Template::parse(template).unwrap(), "csv.gz", &rules, Some("order_items"));
        assert_eq!((shape.as_str(), constant(&shape)), expected, "{template}");
    }

    #[test]
    fn shapes_show_tables_partitions_and_extensions() {
        check("{{TABLE}}/{{UUID}}.{{FORMAT}}", &[], ("order_items/{{UUID}}.csv.gz", "order_items/"));
        check("a/{{TABLE_HYPHEN}}.{ext}", &["c", "d"], ("a/c=*/d=*/order-items.csv.gz", "a/"));
        check("{{PARTITION}}/x/{{UUID}}", &["c", "d"], ("c=*/d=*/x/{{UUID}}", ""));
        check("x/{{PARTITION}}/{{UUID}}", &[], ("x/{{UUID}}", "x/"));
        check("all.csv", &[], ("all.csv", "all.csv"));
    }
}
