//! From what was seen to what is in force: modes, casts, renames, and what may change between epochs.

use std::collections::{HashMap, HashSet};

use arrow_schema::DataType;

use super::merge::Typed;
use super::numbers::{float_bits, integer};
use super::{Column, JSON, Misfit, Mixed, RESCUED_COLUMN, TableSchema, Unknown, is_written, settle, type_name};
use crate::model::settings::{ColumnRule, Evolution, SchemaMode, SchemaSettings};

/// Why a table has no schema. The caller adds the key of the object that showed it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// The type changed in a way that `evolution` does not allow.
    #[error(
        "column {column} is {in_force} in earlier epochs and {now} now; {remedy}, or write everything anew under another destination.path, \
         accepted with `s3sync run --accept-spec-change`"
    )]
    Changed {
        /// The output column.
        column: String,
        /// The committed type.
        in_force: String,
        /// The type that holds both.
        now: String,
        /// What lets the table go on as it is.
        remedy: String,
    },
    /// Any change is refused (`evolution: Fail`).
    #[error("column {column} ({now}) is not in the table's schema, and schema.evolution is Fail")]
    Added {
        /// The output column.
        column: String,
        /// Its type.
        now: String,
    },
    /// Two columns would have one name.
    #[error("two columns would be named {column}; rename one in schema.columns, or drop it")]
    SameName {
        /// The output column.
        column: String,
    },
    /// Two rules read one input column.
    #[error("schema.columns reads the input column {source_column} twice, as {first} and as {second}")]
    ReadTwice {
        /// The input column.
        source_column: String,
        /// One output column.
        first: String,
        /// The other.
        second: String,
    },
    /// A declared column has no type. Validation refuses this earlier.
    #[error("column {column} has no type, and schema.mode is Declared")]
    NoType {
        /// The output column.
        column: String,
    },
}

/// The schema that an epoch works by: what was `inferred` (merged over all samples and mismatches, by input names),
/// under the user's rules, continuing what earlier epochs committed (`in_force`, as [`TableSchema::settled`] left it).
///
/// - Columns stand in the order in force, then new ones in first-seen order. A column in force that is absent now
///   stays, as nulls; one that a rename, `drop` or `Declared` takes away leaves.
/// - `AddColumns` adds columns (also fields of structs), gives a type to those that had only nulls, and widens numbers;
///   `Fail` allows no change but a type that the user gives to a column of nulls; `Rescue` is AddColumns, and a column
///   whose values would need another type keeps it: what does not fit goes to [`RESCUED_COLUMN`], which every schema
///   has under Rescue.
/// - What is utf8 in force stays text, whatever JSON brings: files that hold `"a"` for `a` do not read as one column
///   with it.
/// - Where every run writes everything anew (`replaces`), no file of the type in force is left beside the new ones:
///   under `AddColumns` a column takes the type that its values need, or that it is cast to.
/// - A schema in force without columns is that of objects without rows, and binds nothing.
/// - Applied to its own result it changes nothing, so a mismatch may be merged either into what was inferred or into
///   what was frozen.
///
/// # Errors
/// [`SchemaError`], which names the column and both types.
pub fn frozen(
    rules: &SchemaSettings,
    replaces: bool,
    inferred: &TableSchema,
    in_force: Option<&TableSchema>,
) -> Result<TableSchema, SchemaError> {
    let by_source = rules_by_source(&rules.columns)?;
    let wanted = match rules.mode {
        SchemaMode::Declared => declared(&rules.columns)?,
        SchemaMode::Infer | SchemaMode::Strings => ruled(rules, &by_source, inferred),
    };
    let columns = match in_force.filter(|in_force| !in_force.columns.is_empty()) {
        Some(in_force) => evolved(rules, replaces, &by_source, in_force, wanted)?,
        None => wanted.into_iter().map(begun).collect(),
    };
    let rescued = rules.evolution == Evolution::Rescue || in_force.is_some_and(|schema| schema.rescued);
    // A column of that name in the input, of our own files read again for instance, holds what somebody may need: it is
    // not filled anew.
    let mut names: HashSet<&str> = if rescued { HashSet::from([RESCUED_COLUMN]) } else { HashSet::new() };
    if let Some(column) = columns.iter().find(|column| !names.insert(&column.name)) {
        return Err(SchemaError::SameName { column: column.name.clone() });
    }
    let unknown = if rules.mode == SchemaMode::Declared { Unknown::Ignore } else { Unknown::Widen };
    Ok(TableSchema { columns, rescued, unknown })
}

fn source_of(rule: &ColumnRule) -> &str {
    rule.from.as_deref().unwrap_or(&rule.name)
}

fn rules_by_source(rules: &[ColumnRule]) -> Result<HashMap<&str, &ColumnRule>, SchemaError> {
    let mut by_source: HashMap<&str, &ColumnRule> = HashMap::new();
    for rule in rules {
        if let Some(first) = by_source.insert(source_of(rule), rule) {
            return Err(SchemaError::ReadTwice {
                source_column: source_of(rule).to_owned(),
                first: first.name.clone(),
                second: rule.name.clone(),
            });
        }
    }
    Ok(by_source)
}

fn declared(rules: &[ColumnRule]) -> Result<Vec<Column>, SchemaError> {
    let column = |rule: &ColumnRule| {
        let Some(data_type) = rule.data_type.clone() else {
            return Err(SchemaError::NoType { column: rule.name.clone() });
        };
        Ok(Column {
            source: source_of(rule).to_owned(),
            misfit: Misfit::BadRecord,
            ..Column::inferred(&rule.name, data_type)
        })
    };
    rules.iter().map(column).collect()
}

/// Infer and Strings: the input's columns, less what is dropped, renamed and cast.
fn ruled(rules: &SchemaSettings, by_source: &HashMap<&str, &ColumnRule>, inferred: &TableSchema) -> Vec<Column> {
    let column = |seen: &Column| {
        let rule = by_source.get(seen.source.as_str());
        let cast = rule.and_then(|rule| rule.data_type.clone());
        let misfit = if cast.is_some() { Misfit::BadRecord } else { seen.misfit };
        let data_type = match (cast, rules.mode) {
            (Some(cast), _) => cast,
            (None, SchemaMode::Strings) => DataType::Utf8,
            (None, _) => seen.data_type.clone(),
        };
        Column {
            name: rule.map_or(&seen.source, |rule| &rule.name).clone(),
            source: seen.source.clone(),
            wide: seen.wide && data_type == DataType::Int64,
            digits: seen.digits.filter(|_| data_type == seen.data_type && misfit != Misfit::BadRecord),
            mixed: match (&misfit, rules.mode) {
                (Misfit::BadRecord, _) => Mixed::Text,
                (_, SchemaMode::Strings) => Mixed::Kept,
                _ => seen.mixed,
            },
            data_type,
            misfit,
        }
    };
    inferred.columns.iter().filter(|seen| !rules.drop.contains(&seen.source)).map(column).collect()
}

fn evolved(
    rules: &SchemaSettings,
    replaces: bool,
    by_source: &HashMap<&str, &ColumnRule>,
    in_force: &TableSchema,
    wanted: Vec<Column>,
) -> Result<Vec<Column>, SchemaError> {
    let sources: HashSet<String> = wanted.iter().map(|column| column.source.clone()).collect();
    let mut wanted: Vec<Option<Column>> = wanted.into_iter().map(Some).collect();
    let index: HashMap<String, usize> =
        wanted.iter().enumerate().filter_map(|(i, column)| column.as_ref().map(|c| (c.name.clone(), i))).collect();
    let mut columns = Vec::new();
    for old in &in_force.columns {
        match index.get(&old.name).and_then(|&i| wanted[i].take()) {
            Some(new) => columns.push(continued(rules.evolution, replaces, old, new)?),
            None => {
                let taken = sources.contains(&old.source)
                    || rules.drop.contains(&old.source)
                    || by_source.get(old.source.as_str()).is_some_and(|rule| rule.name != old.name)
                    || rules.mode == SchemaMode::Declared;
                if !taken {
                    columns.push(Column { misfit: Misfit::Widen, ..old.clone() }.typed(kept(Typed::of(old))));
                }
            }
        }
    }
    for new in wanted.into_iter().flatten() {
        if rules.evolution == Evolution::Fail {
            return Err(SchemaError::Added { now: type_name(&new.written_type()), column: new.name });
        }
        columns.push(begun(new));
    }
    Ok(columns)
}

/// A type in force: of what was published nothing else is known, and every utf8 of it stays one, as do decimals that
/// would not begin.
fn kept(typed: Typed) -> Typed {
    let mixed =
        if matches!(typed.data_type, DataType::Utf8 | DataType::Decimal256(..)) { Mixed::Kept } else { typed.mixed };
    Typed { mixed, digits: None, ..typed }.map_fields(kept)
}

/// A column as its first file has it: lists of JSON are JSON as a whole.
fn begun(column: Column) -> Column {
    fn whole(typed: Typed) -> Typed {
        let typed = typed.map_fields(whole);
        match &typed.data_type {
            DataType::List(item) if *item.data_type() == JSON => JSON.into(),
            _ => typed,
        }
    }
    let typed = whole(Typed::of(&column));
    column.typed(typed)
}

/// One column from epoch to epoch.
fn continued(evolution: Evolution, replaces: bool, old: &Column, new: Column) -> Result<Column, SchemaError> {
    let cast = new.misfit == Misfit::BadRecord;
    let was = kept(Typed::of(old));
    let to = if cast { Typed::of(&new) } else { was.merge(&Typed::of(&new)) };
    let same = settle(&to.data_type) == settle(&old.data_type);
    // To give a type to what has none is no change that would mismatch whoever asked for it.
    let allowed = evolution != Evolution::Fail || (cast && old.data_type == DataType::Null);
    if same || (allowed && widens(&old.data_type, &to.data_type)) {
        let column = new.typed(to);
        return Ok(if old.data_type == DataType::Null { begun(column) } else { column });
    }
    if evolution == Evolution::Rescue && !cast {
        return Ok(Column { misfit: Misfit::Rescue, ..new }.typed(was));
    }
    if replaces && evolution == Evolution::AddColumns {
        return Ok(begun(new));
    }
    let in_force = settle(&old.data_type);
    // A cast of text to binary reads base64, which may be another text by accident.
    let castable = is_written(&in_force) && (cast || in_force != DataType::Binary);
    let remedy = match (!castable, cast) {
        _ if in_force == DataType::Null && !is_written(&to.data_type) => {
            "set schema.evolution to AddColumns".to_owned()
        }
        _ if in_force == DataType::Null => {
            format!("cast it to {} in schema.columns, or set schema.evolution to AddColumns", type_name(&to.data_type))
        }
        // Only the type in force fits to what was published, whatever a cast asks for; and advice names no type that
        // cannot be written.
        (false, true) => format!("schema.columns must cast it to {} or leave its type out", type_name(&in_force)),
        (true, true) => "leave its type out of schema.columns".to_owned(),
        (false, false) => format!(
            "cast it to {} in schema.columns, so that values that do not fit are bad records, or set schema.evolution to Rescue",
            type_name(&in_force)
        ),
        (true, false) => "set schema.evolution to Rescue".to_owned(),
    };
    Err(SchemaError::Changed {
        in_force: type_name(&in_force),
        now: type_name(&settle(&to.data_type)),
        column: new.name,
        remedy,
    })
}

/// Whether files of the old type and of the new one read as one column: numbers that only widen, structs that only gain
/// fields.
fn widens(old: &DataType, new: &DataType) -> bool {
    let number = |t: &DataType| {
        integer(t).is_some()
            || float_bits(t).is_some()
            || matches!(t, DataType::Decimal128(..) | DataType::Decimal256(..))
    };
    match (old, new) {
        _ if settle(old) == settle(new) => true,
        (DataType::Null, _) => true,
        (DataType::Struct(old), DataType::Struct(new)) => old.iter().all(|field| {
            new.iter().any(|other| other.name() == field.name() && widens(field.data_type(), other.data_type()))
        }),
        (DataType::List(old), DataType::List(new)) => widens(old.data_type(), new.data_type()),
        (DataType::Map(old, _), DataType::Map(new, _)) => widens(old.data_type(), new.data_type()),
        (old, new) if number(old) && number(new) => {
            Typed::from(old.clone()).merge(&Typed::from(new.clone())).data_type == *new
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
