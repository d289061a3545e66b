//! `plan` and `tables`: what a [`DryRun`](crate::pipeline::run::DryRun) found, in words and JSON.

pub mod plan;
pub mod tables;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::Field;
use serde::Serialize;

use crate::command::render::{counted, printable};
use crate::command::run::report::Outcome;
use crate::command::run::request::Kept;
use crate::command::run::resources::Resources;
use crate::command::syncs::Sync;
use crate::model::reason::Reason;
use crate::model::request::Asked;
use crate::model::schema::{TableSchema, type_name};
use crate::model::settings::SyncId;
use crate::pipeline::context::Context;
use crate::pipeline::error::RunError;
use crate::pipeline::planner::{PreviewOf, QuarantinedKey};
use crate::pipeline::run::{self, DryRun};
use crate::state::seal::StateKey;

/// Looks at one sync, as a run would that is asked for this.
async fn dry_run(
    resources: &Resources,
    sync: &Sync,
    asked: Option<&Asked>,
    of: PreviewOf,
) -> Result<(Context, DryRun), RunError> {
    let request = match asked {
        Some(asked) => Some(Kept::find(sync, asked).await?.request),
        None => None,
    };
    // Nothing that a look does is sealed, and it makes no file.
    let context = Context { request, ..resources.context(sync, sync.stores().await?, StateKey::generate()) };
    let cursor = sync.load().await?.map(|(cursor, _)| cursor);
    let found = run::dry_run(&context, cursor, of).await?;
    Ok((context, found))
}

/// A line for each object that is named, and one for the rest.
pub fn quarantined_lines(keys: &[QuarantinedKey], objects: u64) -> Vec<String> {
    let mut lines: Vec<String> = keys
        .iter()
        .map(|object| format!("quarantined until it changes: {}", blamed(&object.key, &object.reason)))
        .collect();
    let unnamed = objects.saturating_sub(keys.len() as u64);
    if unnamed > 0 {
        lines.push(format!("quarantined until they change: {} more", counted(unnamed, "object")));
    }
    lines
}

/// The object and what is wrong with it. Most reasons begin with the key, to tell the byte or the line of it.
pub fn blamed(key: &str, reason: &str) -> String {
    if reason.starts_with(key) { reason.to_owned() } else { format!("{key}: {reason}") }
}

/// Counted extensions as a part of a sentence.
pub fn extensions_text(counts: &BTreeMap<String, u64>) -> String {
    counts.iter().map(|(extension, count)| format!("{extension} ({count})")).collect::<Vec<_>>().join(", ")
}

/// One column of a schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShownColumn {
    /// Its name.
    pub name: String,
    /// Its type, as `columns[].type` spells it.
    #[serde(rename = "type")]
    pub data_type: String,
}

/// The columns of a schema.
pub fn columns(schema: &TableSchema) -> Vec<ShownColumn> {
    let column =
        |field: &Arc<Field>| ShownColumn { name: field.name().clone(), data_type: type_name(field.data_type()) };
    schema.arrow().fields().iter().map(column).collect()
}

/// Columns as lines for people.
pub fn columns_text(columns: &[ShownColumn]) -> String {
    let width = columns.iter().map(|column| column.name.chars().count()).max().unwrap_or(0);
    let line =
        |column: &ShownColumn| format!("  {:width$}  {}\n", printable(&column.name), printable(&column.data_type));
    columns.iter().map(line).collect()
}

/// One sync that could not be looked at, among the results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failed {
    namespace: String,
    name: String,
    result: Outcome,
    reason: Reason,
    message: String,
}

impl Failed {
    /// What became of a sync.
    pub fn of(sync: &SyncId, error: &RunError) -> Failed {
        let (namespace, name) = (sync.namespace.clone(), sync.name.clone());
        Failed { namespace, name, result: Outcome::Failed, reason: error.kind.reason(), message: error.to_string() }
    }
}
