//! How an object's columns become a table's.

use std::collections::HashMap;

use arrow_schema::DataType;

use super::{Incoming, bad};
use crate::codec::DecodeError;
use crate::codec::decode::cast::is_text;
use crate::model::schema::{Column, Misfit, TableSchema, Typed, Unknown, type_name};

/// Where one column of the table comes from.
#[derive(Clone, Debug)]
pub(in crate::codec::decode) enum Source {
    /// The object has no such column: nulls.
    Absent,
    /// An object's column, by its place in the projection.
    Column {
        /// Its ordinal among the columns that are read.
        at: usize,
    },
}

/// What the decoder does for each batch.
#[derive(Debug)]
pub(super) enum Plan {
    /// For each column of the table, where it comes from.
    Read(Vec<Source>),
    /// The table cannot hold the object: what would.
    SchemaMismatch(TableSchema),
}

/// Compares an object's columns with a table. `wanted` are those that will be read, in order. Columns `without_rows`
/// mismatch nobody.
pub(super) fn plan(
    incoming: &[Incoming<'_>],
    wanted: &[usize],
    table: &TableSchema,
    drop: &[String],
    without_rows: bool,
) -> Result<Plan, DecodeError> {
    let by_source: HashMap<&str, &Column> =
        table.columns.iter().map(|column| (column.source.as_str(), column)).collect();
    let mut mismatched = false;
    for root in incoming.iter().filter(|root| !without_rows && !drop.iter().any(|name| name == root.name)) {
        let fits = match by_source.get(root.name) {
            Some(column) => column.misfit != Misfit::Widen || holds(column, &root.carried.clone().into()),
            None => table.unknown == Unknown::Ignore,
        };
        mismatched |= !fits;
    }
    if mismatched {
        let columns = incoming.iter().filter(|root| !drop.iter().any(|name| name == root.name));
        let columns = columns.map(|root| Column::inferred(root.name, root.carried.clone())).collect();
        return Ok(Plan::SchemaMismatch(TableSchema { columns, rescued: false, unknown: Unknown::Widen }));
    }
    let read: HashMap<&str, usize> = wanted.iter().enumerate().map(|(at, &root)| (incoming[root].name, at)).collect();
    let source = |column: &Column| {
        let Some(&at) = read.get(column.source.as_str()).filter(|_| !drop.contains(&column.source)) else {
            return Ok(Source::Absent);
        };
        let carried = incoming[wanted[at]].carried;
        if has_interval(carried) {
            let reason = format!(
                "column {} is an INTERVAL, which no output format and no other input can hold; add it to schema.drop",
                column.source
            );
            return Err(bad(reason));
        }
        Ok(Source::Column { at })
    };
    Ok(Plan::Read(table.columns.iter().map(source).collect::<Result<_, _>>()?))
}

/// Whether a column's type holds a type by the lattice of types: merging them changes nothing.
pub(super) fn holds(column: &Column, typed: &Typed) -> bool {
    let of = |typed: &Typed| Typed {
        wide: column.wide,
        digits: None,
        mixed: column.mixed.max(typed.mixed),
        ..typed.clone()
    };
    let alone = of(&Typed::of(column));
    // Merging with itself first gives both sides the same spelling of nested fields.
    alone.merge(&of(typed)).data_type == alone.merge(&alone).data_type
}

fn has_interval(data_type: &DataType) -> bool {
    match data_type {
        DataType::Interval(_) => true,
        DataType::Struct(fields) => fields.iter().any(|field| has_interval(field.data_type())),
        DataType::List(item) | DataType::Map(item, _) => has_interval(item.data_type()),
        _ => false,
    }
}

/// Why a value is bad, as part of a sentence. `value` is JSON, in which bytes are base64.
pub(super) fn misfit_reason(column: &Column, from: &DataType, value: &str) -> String {
    const VALUE_CHARS_MAX: usize = 80;
    let cut: String = value.chars().take(VALUE_CHARS_MAX).collect();
    let more = if cut.len() < value.len() { "…" } else { "" };
    let target = column.written_type();
    if *from == DataType::Binary && is_text(&target) {
        return format!(
            "column {}: its bytes, {cut}{more} in base64, are not UTF-8, and the column is {}",
            column.source,
            type_name(&target)
        );
    }
    format!("column {}: {cut}{more} is not {}", column.source, type_name(&target))
}
