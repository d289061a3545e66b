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

/// The schema that an epoch works by: what was `inferred` (merged over all samples and surprises, by input names), under the user's
/// rules, continuing what earlier epochs committed (`in_force`, as [`TableSchema::settled`] left it).
///
/// - Columns stand in the order in force, then new ones in first-seen order. A column in force that is absent now stays, as nulls; one
///   that a rename, `drop` or `Declared` takes away leaves.
/// - `AddColumns` adds columns (also fields of structs), gives a type to those that had only nulls, and widens numbers; `Fail` allows
///   no change but a type that the user gives to a column of nulls; `Rescue` is AddColumns, and a column whose values would need another
///   type keeps it: what does not fit goes to [`RESCUED_COLUMN`], which every schema has under Rescue.
/// - What is utf8 in force stays text, whatever JSON brings: files that hold `"a"` for `a` do not read as one column with it.
/// - A schema in force without columns is that of objects without rows, and binds nothing.
/// - Applied to its own result it changes nothing, so a surprise may be merged either into what was inferred or into what was frozen.
///
/// # Errors
/// [`SchemaError`], which names the column and both types.
pub fn frozen(rules: &SchemaSettings, inferred: &TableSchema, in_force: Option<&TableSchema>) -> Result<TableSchema, SchemaError> {
    let by_source = rules_by_source(&rules.columns)?;
    let wanted = match rules.mode {
        SchemaMode::Declared => declared(&rules.columns)?,
        SchemaMode::Infer | SchemaMode::Strings => ruled(rules, &by_source, inferred),
    };
    let columns = match in_force.filter(|in_force| !in_force.columns.is_empty()) {
        Some(in_force) => evolved(rules, &by_source, in_force, wanted)?,
        None => wanted.into_iter().map(begun).collect(),
    };
    let rescued = rules.evolution == Evolution::Rescue || in_force.is_some_and(|schema| schema.rescued);
    // A column of that name in the input, of our own files read again for instance, holds what somebody may need: it is not filled anew.
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
        Ok(Column { source: source_of(rule).to_owned(), misfit: Misfit::BadRecord, ..Column::inferred(&rule.name, data_type) })
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
            Some(new) => columns.push(continued(rules.evolution, old, new)?),
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

/// A type in force: of what was published nothing else is known, and every utf8 of it stays one.
fn kept(typed: Typed) -> Typed {
    let mixed = if typed.data_type == DataType::Utf8 { Mixed::Kept } else { typed.mixed };
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
fn continued(evolution: Evolution, old: &Column, new: Column) -> Result<Column, SchemaError> {
    let cast = new.misfit == Misfit::BadRecord;
    let was = kept(Typed::of(old));
    let to = if cast { Typed::of(&new) } else { was.merge(&Typed::of(&new)) };
    let same = settle(&to.data_type) == settle(&old.data_type);
    // To give a type to what has none is no change that would surprise whoever asked for it.
    let allowed = evolution != Evolution::Fail || (cast && old.data_type == DataType::Null);
    if same || (allowed && widens(&old.data_type, &to.data_type)) {
        let column = new.typed(to);
        return Ok(if old.data_type == DataType::Null { begun(column) } else { column });
    }
    if evolution == Evolution::Rescue && !cast {
        return Ok(Column { misfit: Misfit::Rescue, ..new }.typed(was));
    }
    let in_force = settle(&old.data_type);
    let remedy = match (!is_written(&in_force), cast) {
        _ if in_force == DataType::Null && !is_written(&to.data_type) => "set schema.evolution to AddColumns".to_owned(),
        _ if in_force == DataType::Null => {
            format!("cast it to {} in schema.columns, or set schema.evolution to AddColumns", type_name(&to.data_type))
        }
        // Only the type in force fits to what was published, whatever a cast asks for; and advice names no type that cannot be written.
        (false, true) => format!("schema.columns must cast it to {} or leave its type out", type_name(&in_force)),
        (true, true) => "leave its type out of schema.columns".to_owned(),
        (false, false) => format!(
            "cast it to {} in schema.columns, so that values that do not fit are bad records, or set schema.evolution to Rescue",
            type_name(&in_force)
        ),
        (true, false) => "set schema.evolution to Rescue".to_owned(),
    };
    Err(SchemaError::Changed { in_force: type_name(&in_force), now: type_name(&settle(&to.data_type)), column: new.name, remedy })
}

/// Whether files of the old type and of the new one read as one column: numbers that only widen, structs that only gain fields.
fn widens(old: &DataType, new: &DataType) -> bool {
    let number =
        |t: &DataType| integer(t).is_some() || float_bits(t).is_some() || matches!(t, DataType::Decimal128(..) | DataType::Decimal256(..));
    match (old, new) {
        _ if settle(old) == settle(new) => true,
        (DataType::Null, _) => true,
        (DataType::Struct(old), DataType::Struct(new)) => {
            old.iter().all(|field| new.iter().any(|other| other.name() == field.name() && widens(field.data_type(), other.data_type())))
        }
        (DataType::List(old), DataType::List(new)) => widens(old.data_type(), new.data_type()),
        (DataType::Map(old, _), DataType::Map(new, _)) => widens(old.data_type(), new.data_type()),
        (old, new) if number(old) && number(new) => Typed::from(old.clone()).merge(&Typed::from(new.clone())).data_type == *new,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::merge;
    use super::*;

    fn rules(mode: SchemaMode, evolution: Evolution, columns: &[(&str, Option<DataType>, Option<&str>)], drop: &[&str]) -> SchemaSettings {
        let rule = |(name, data_type, from): &(&str, Option<DataType>, Option<&str>)| ColumnRule {
            name: (*name).to_owned(),
            data_type: data_type.clone(),
            from: from.map(str::to_owned),
        };
        SchemaSettings {
            mode,
            columns: columns.iter().map(rule).collect(),
            drop: drop.iter().map(|&name| name.to_owned()).collect(),
            evolution,
        }
    }

    fn table(columns: &[(&str, DataType)]) -> TableSchema {
        TableSchema { columns: columns.iter().map(|(name, t)| Column::inferred(*name, t.clone())).collect(), ..Default::default() }
    }

    /// `name<-source:type`, with `!` for bad records and `?` for rescue.
    fn shown(schema: &TableSchema) -> String {
        let column = |c: &Column| {
            let mark = match c.misfit {
                Misfit::Widen => "",
                Misfit::BadRecord => "!",
                Misfit::Rescue => "?",
            };
            format!("{}<-{}:{}{mark}", c.name, c.source, type_name(&c.data_type))
        };
        schema.columns.iter().map(column).collect::<Vec<_>>().join(" ")
    }

    fn check(rules: &SchemaSettings, inferred: &TableSchema, in_force: Option<&TableSchema>, expected: &str) {
        let result = frozen(rules, inferred, in_force);
        let text = match &result {
            Ok(schema) => shown(schema),
            Err(error) => error.to_string(),
        };
        assert_eq!(text, expected);
        if let Ok(schema) = result {
            assert_eq!(frozen(rules, &schema, in_force).as_ref(), Ok(&schema), "not idempotent");
            assert_eq!(frozen(rules, &merge(&schema, inferred), in_force).as_ref(), Ok(&schema), "not stable under merging");
        }
    }

    use DataType::*;
    use Evolution::*;
    use SchemaMode::*;

    #[test]
    fn modes_casts_renames_and_drops() {
        let seen = table(&[("a", Int64), ("b", Null), ("c", Float64)]);
        check(&rules(Infer, AddColumns, &[], &[]), &seen, None, "a<-a:int64 b<-b:null c<-c:float64");
        check(&rules(Strings, AddColumns, &[("c", Some(Float32), None)], &["b"]), &seen, None, "a<-a:utf8 c<-c:float32!");
        let renamed = [("x", None, Some("a")), ("c", Some(Utf8), None), ("absent", Some(Int8), None)];
        check(&rules(Infer, AddColumns, &renamed, &[]), &seen, None, "x<-a:int64 b<-b:null c<-c:utf8!");
        let declared = [("x", Some(Int8), Some("a")), ("z", Some(Date32), None)];
        check(&rules(Declared, AddColumns, &declared, &[]), &seen, None, "x<-a:int8! z<-z:date32!");
        check(
            &rules(Infer, AddColumns, &[("c", None, Some("a"))], &[]),
            &seen,
            None,
            "two columns would be named c; rename one in schema.columns, or drop it",
        );
        check(
            &rules(Infer, AddColumns, &[("x", None, Some("a")), ("y", None, Some("a"))], &[]),
            &seen,
            None,
            "schema.columns reads the input column a twice, as x and as y",
        );
    }

    /// The last way out of every changed type.
    const ANEW: &str = ", or write everything anew under another destination.path, accepted with `s3sync run --accept-spec-change`";

    #[test]
    fn columns_evolve_across_epochs() {
        let force = table(&[("a", Int64), ("b", Utf8)]);
        let add = rules(Infer, AddColumns, &[], &[]);
        check(&add, &table(&[("c", Date32), ("a", Float64)]), Some(&force), "a<-a:float64 b<-b:utf8 c<-c:date32");
        check(&add, &table(&[("b", Int64)]), Some(&force), "a<-a:int64 b<-b:utf8");
        let cast = "cast it to int64 in schema.columns, so that values that do not fit are bad records, or set schema.evolution to Rescue";
        let text = format!("column a is int64 in earlier epochs and utf8 now; {cast}{ANEW}");
        check(&add, &table(&[("a", Utf8)]), Some(&force), &text);
        check(&rules(Infer, Rescue, &[], &[]), &table(&[("a", Utf8)]), Some(&force), "a<-a:int64? b<-b:utf8");
        let fail = rules(Infer, Fail, &[], &[]);
        check(&fail, &table(&[("a", Null)]), Some(&force), "a<-a:int64 b<-b:utf8");
        check(&fail, &table(&[("c", Null)]), Some(&force), "column c (null) is not in the table's schema, and schema.evolution is Fail");
        check(
            &fail,
            &table(&[("a", Float64)]),
            Some(&force),
            &format!("column a is int64 in earlier epochs and float64 now; {cast}{ANEW}"),
        );
        check(&rules(Infer, AddColumns, &[("x", None, Some("a"))], &["b"]), &table(&[("a", Int64)]), Some(&force), "x<-a:int64");
        check(
            &rules(Infer, Rescue, &[("a", Some(Date32), None)], &[]),
            &table(&[("a", Int64)]),
            Some(&force),
            &format!(
                "column a is int64 in earlier epochs and date32 now; schema.columns must cast it to int64 or leave its type out{ANEW}"
            ),
        );
    }

    /// Of what was published only the type is known: an int64 may have all its digits, a float64 any.
    #[test]
    fn numbers_of_text_evolve_by_the_types_in_force() {
        use crate::model::schema::{Digits, Typed};
        let read = |data_type: DataType, before, after| {
            let typed = Typed { digits: Some(Digits { before, after }), ..data_type.into() };
            TableSchema { columns: vec![typed.into_column("a")], ..TableSchema::default() }
        };
        let decimal = |before: u8, after: u8| read(Decimal128(before + after, after as i8), before, after);
        let add = rules(Infer, AddColumns, &[], &[]);
        let rescue = rules(Infer, Rescue, &[], &[]);
        let advice = |from: &str| {
            format!(
                "column a is {from} in earlier epochs and utf8 now; cast it to {from} in schema.columns, so that values that do not fit are bad \
                 records, or set schema.evolution to Rescue{ANEW}"
            )
        };
        check(&add, &decimal(1, 18), Some(&table(&[("a", Int64)])), "a<-a:decimal(38,18)");
        check(&add, &decimal(1, 19), Some(&table(&[("a", Int64)])), &advice("int64"));
        check(&add, &decimal(1, 18), Some(&table(&[("a", Float64)])), &advice("float64"));
        check(&rescue, &decimal(1, 18), Some(&table(&[("a", Float64)])), "a<-a:float64?");
        check(&add, &read(Float64, 1, 2), Some(&table(&[("a", Int64)])), "a<-a:float64");
        let force = table(&[("a", Decimal128(31, 18))]);
        check(&add, &read(Float64, 1, 2), Some(&force), "a<-a:decimal(31,18)");
        check(&add, &read(Int64, 3, 0), Some(&force), "a<-a:decimal(31,18)");
        check(&add, &decimal(15, 2), Some(&force), "a<-a:decimal(33,18)");
        check(&add, &decimal(15, 30), Some(&force), &advice("decimal(31,18)"));
        check(&add, &table(&[("a", Float64)]), Some(&force), &advice("decimal(31,18)"));
        assert_eq!(decimal(1, 18).settled().columns[0].digits, None);
    }

    #[test]
    fn a_schema_without_columns_binds_nothing() {
        for evolution in [AddColumns, Fail, Rescue] {
            check(&rules(Infer, evolution, &[], &[]), &table(&[("a", Int64)]), Some(&table(&[])), "a<-a:int64");
            check(&rules(Infer, evolution, &[], &[]), &table(&[]), Some(&table(&[("a", Int64)])), "a<-a:int64");
        }
    }

    #[test]
    fn what_was_rescued_elsewhere_is_not_filled_anew() {
        let seen = table(&[("a", Int64), (RESCUED_COLUMN, Utf8)]);
        let same = "two columns would be named _rescued_data; rename one in schema.columns, or drop it";
        check(&rules(Infer, Rescue, &[], &[]), &seen, None, same);
        check(&rules(Infer, Rescue, &[], &[]), &seen, Some(&table(&[("a", Int64)])), same);
        check(&rules(Infer, Rescue, &[], &[RESCUED_COLUMN]), &seen, None, "a<-a:int64");
        check(&rules(Infer, Rescue, &[("old", None, Some(RESCUED_COLUMN))], &[]), &seen, None, "a<-a:int64 old<-_rescued_data:utf8");
        check(&rules(Infer, AddColumns, &[], &[]), &seen, None, "a<-a:int64 _rescued_data<-_rescued_data:utf8");
    }

    #[test]
    fn a_type_begins_whenever_it_is_seen() {
        let force = table(&[("n", Null)]);
        let add = rules(Infer, AddColumns, &[], &[]);
        let structure = Struct(vec![arrow_schema::Field::new("a", Null, true)].into());
        let list = List(std::sync::Arc::new(arrow_schema::Field::new("item", Null, true)));
        for (data_type, name) in
            [(Int64, "int64"), (Date32, "date32"), (Utf8, "utf8"), (JSON, "json"), (structure, "struct<a: null>"), (list, "list<null>")]
        {
            for evolution in [AddColumns, Rescue] {
                check(&rules(Infer, evolution, &[], &[]), &table(&[("n", data_type.clone())]), Some(&force), &format!("n<-n:{name}"));
            }
            let next = frozen(&add, &table(&[("n", data_type.clone())]), Some(&force)).map(|schema| schema.settled());
            assert_eq!(next, Ok(TableSchema { columns: vec![Column::inferred("n", data_type)], ..Default::default() }));
        }
        let fail = |cast: Option<DataType>| rules(Infer, Fail, &[("n", cast, None)], &[]);
        let text = "column n is null in earlier epochs and int64 now; cast it to int64 in schema.columns, or set schema.evolution to AddColumns, \
                    or write everything anew under another destination.path, accepted with `s3sync run --accept-spec-change`";
        check(&fail(None), &table(&[("n", Int64)]), Some(&force), text);
        check(&fail(Some(Int64)), &table(&[("n", Int64)]), Some(&force), "n<-n:int64!");
    }

    /// What JSON brings to a column that is in force as utf8, by this release or an earlier one, at any depth.
    #[test]
    fn text_in_force_stays_text() {
        let json = Typed::of_json;
        let list = |item: Typed| Typed::from(List(std::sync::Arc::new(item.into_field("item")))).of_json();
        let column = |typed: Typed| TableSchema { columns: vec![Column::inferred("c", Null).typed(typed)], ..Default::default() };
        let utf8 = || Typed::from(Utf8);
        let add = rules(Infer, AddColumns, &[], &[]);
        for seen in [json(Typed::from(Int64)), Typed::from(JSON), list(utf8())] {
            check(&add, &column(seen), Some(&column(utf8())), "c<-c:utf8");
        }
        check(&add, &column(list(json(Typed::from(Int64)))), Some(&column(list(utf8()))), "c<-c:list<utf8>");
        check(&add, &column(list(Typed::from(JSON))), Some(&column(list(utf8()))), "c<-c:list<utf8>");
        check(&add, &column(list(Typed::from(JSON))), Some(&column(list(Typed::from(Null)))), "c<-c:list<json>");
        check(&add, &column(list(Typed::from(JSON))), None, "c<-c:json");
        check(&add, &column(list(list(Typed::from(JSON)))), None, "c<-c:json");
        let text = "column c is json in earlier epochs and utf8 now; schema.columns must cast it to json or leave its type out, or write everything \
                    anew under another destination.path, accepted with `s3sync run --accept-spec-change`";
        check(&rules(Infer, AddColumns, &[("c", Some(Utf8), None)], &[]), &column(utf8()), Some(&column(Typed::from(JSON))), text);
    }

    #[test]
    fn structs_gain_fields_but_do_not_become_text() {
        use arrow_schema::Field;
        let of = |fields: &[(&str, DataType)]| Struct(fields.iter().map(|(n, t)| Field::new(*n, t.clone(), true)).collect());
        let force = table(&[("s", of(&[("a", Int64)]))]);
        let add = rules(Infer, AddColumns, &[], &[]);
        check(&add, &table(&[("s", of(&[("b", Utf8), ("a", Float64)]))]), Some(&force), "s<-s:struct<a: float64, b: utf8>");
        check(
            &add,
            &table(&[("s", Utf8)]),
            Some(&force),
            &format!("column s is struct<a: int64> in earlier epochs and utf8 now; set schema.evolution to Rescue{ANEW}"),
        );
    }

    /// Advice names no type that users cannot write.
    #[test]
    fn a_type_in_force_is_named_where_it_can_be_written() {
        use arrow_schema::TimeUnit::Microsecond;
        let add = rules(Infer, AddColumns, &[], &[]);
        for (in_force, advised) in [
            (Timestamp(Microsecond, None), Some("cast it to timestamp(us, no zone) in schema.columns")),
            (Decimal128(10, 2), Some("cast it to decimal(10,2) in schema.columns")),
            (Time64(Microsecond), None),
        ] {
            let error = frozen(&add, &table(&[("a", Utf8)]), Some(&table(&[("a", in_force.clone())]))).unwrap_err().to_string();
            assert_eq!(error.contains("cast it to"), advised.is_some(), "{error}");
            assert!(error.contains(advised.unwrap_or("set schema.evolution to Rescue")), "{error}");
        }
    }
}
