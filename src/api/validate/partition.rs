//! `spec.destination.partitionBy`: names, and what the schema already says about the columns. What inferred columns are
//! is known only at the plan, which checks the same for them.

use arrow_schema::DataType;

use super::columns::data_type;
use super::{FieldError, Problems};
use crate::api::spec::{PartitionSpec, SchemaMode, SchemaSpec};
use crate::model::settings::PartitionRule;

pub(super) fn rules(specs: &[PartitionSpec], schema: &SchemaSpec, problems: &mut Problems) -> Vec<PartitionRule> {
    let mut rules: Vec<PartitionRule> = Vec::with_capacity(specs.len());
    for (i, spec) in specs.iter().enumerate() {
        let path = format!("spec.destination.partitionBy[{i}]");
        let default_name = match spec.transform {
            Some(transform) => format!("{}_{}", spec.column, transform.name().to_ascii_lowercase()),
            None => spec.column.clone(),
        };
        let rule = PartitionRule {
            column: spec.column.clone(),
            transform: spec.transform.map(Into::into),
            name: spec.name.clone().unwrap_or(default_name),
        };
        // Stores that fold case, and engines that do, would take the two for one.
        if let Some(earlier) = rules.iter().find(|earlier| earlier.name.eq_ignore_ascii_case(&rule.name)) {
            let message = format!("has the name {:?}, and an earlier partition has {:?}", rule.name, earlier.name);
            problems.add(FieldError::new(&path, message).suggest("give one of them another name"));
        }
        against_schema(&rule, schema, &path, problems);
        rules.push(rule);
    }
    for (i, rule) in rules.iter().enumerate() {
        // A reader would see the partition and the column as two columns of one name.
        let stays = |column: &str| rules.iter().all(|other| other.column != column || other.transform.is_some());
        let column =
            known_columns(schema, &rules).find(|column| column.eq_ignore_ascii_case(&rule.name) && stays(column));
        if let Some(column) = column {
            let message = format!("has the name {:?}, and the column {column:?} stays in the file", rule.name);
            problems.add(
                FieldError::new(format!("spec.destination.partitionBy[{i}]"), message)
                    .suggest("give the partition another name"),
            );
        }
    }
    rules
}

/// Columns that output files are sure to have: those that are declared, and those that partitions are taken from.
fn known_columns<'a>(schema: &'a SchemaSpec, rules: &'a [PartitionRule]) -> impl Iterator<Item = &'a str> {
    schema.columns.iter().map(|column| column.name.as_str()).chain(rules.iter().map(|rule| rule.column.as_str()))
}

fn against_schema(rule: &PartitionRule, schema: &SchemaSpec, path: &str, problems: &mut Problems) {
    let declared = schema.columns.iter().find(|column| column.name == rule.column);
    if declared.is_none() && schema.drop.contains(&rule.column) {
        problems.add(FieldError::new(
            format!("{path}.column"),
            format!("is {:?}, which schema.drop leaves out", rule.column),
        ));
    }
    if declared.is_none() && schema.mode == SchemaMode::Declared {
        let error = FieldError::new(
            format!("{path}.column"),
            format!("is {:?}, which schema.columns does not declare", rule.column),
        );
        problems.add(error.nearest(&rule.column, schema.columns.iter().map(|column| column.name.as_str())));
    }
    let named_type = declared.and_then(|column| column.data_type.as_deref());
    let known_type = match (named_type, schema.mode) {
        (Some(name), _) => data_type(name).ok().map(|data_type| (name, data_type)),
        (None, SchemaMode::Strings) => Some(("utf8", DataType::Utf8)),
        (None, _) => None,
    };
    if let (Some(_), Some((name, data_type))) = (rule.transform, known_type)
        && !matches!(data_type, DataType::Date32 | DataType::Timestamp(_, _))
    {
        let message = format!("works on dates and timestamps, and the column {:?} is {name}", rule.column);
        problems.add(
            FieldError::new(format!("{path}.transform"), message)
                .suggest("give the column the type timestamp(us) or date32 in schema.columns"),
        );
    }
}
