//! What may change between epochs.

use super::super::merge;
use super::*;

fn rules(
    mode: SchemaMode,
    evolution: Evolution,
    columns: &[(&str, Option<DataType>, Option<&str>)],
    drop: &[&str],
) -> SchemaSettings {
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
    TableSchema {
        columns: columns.iter().map(|(name, t)| Column::inferred(*name, t.clone())).collect(),
        ..Default::default()
    }
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
    let result = frozen(rules, false, inferred, in_force);
    let text = match &result {
        Ok(schema) => shown(schema),
        Err(error) => error.to_string(),
    };
    assert_eq!(text, expected);
    if let Ok(schema) = result {
        assert_eq!(frozen(rules, false, &schema, in_force).as_ref(), Ok(&schema), "not idempotent");
        assert_eq!(
            frozen(rules, false, &merge(&schema, inferred), in_force).as_ref(),
            Ok(&schema),
            "not stable under merging"
        );
    }
}

/// No file of the old types is left beside those of the new ones.
#[test]
fn what_is_replaced_is_bound_to_no_type() {
    let force = table(&[("a", Float64), ("b", Int64), ("gone", Date32)]);
    for (cast, seen, expected) in [
        (None, Decimal128(38, 18), "a<-a:decimal(38,18)"),
        (None, Utf8, "a<-a:utf8"),
        (None, Float32, "a<-a:float64"),
        (Some(Int8), Float64, "a<-a:int8!"),
    ] {
        let rules = |evolution| rules(Infer, evolution, &[("a", cast.clone(), None)], &[]);
        let seen = table(&[("a", seen), ("b", Int32)]);
        let anew = frozen(&rules(AddColumns), true, &seen, Some(&force)).unwrap();
        assert_eq!(shown(&anew), format!("{expected} b<-b:int64 gone<-gone:date32"));
        assert_eq!(frozen(&rules(AddColumns), true, &merge(&anew, &seen), Some(&force)), Ok(anew));
        assert_eq!(frozen(&rules(Fail), true, &seen, Some(&force)), frozen(&rules(Fail), false, &seen, Some(&force)));
        assert_eq!(
            frozen(&rules(Rescue), true, &seen, Some(&force)),
            frozen(&rules(Rescue), false, &seen, Some(&force))
        );
    }
}

#[test]
fn text_beside_bytes_in_force_is_not_told_to_be_base64() {
    let text = format!("column a is binary in earlier epochs and utf8 now; set schema.evolution to Rescue{ANEW}");
    check(&rules(Infer, AddColumns, &[], &[]), &table(&[("a", Utf8)]), Some(&table(&[("a", Binary)])), &text);
    check(&rules(Infer, AddColumns, &[], &[]), &table(&[("a", Binary)]), Some(&table(&[("a", Utf8)])), "a<-a:utf8");
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
const ANEW: &str =
    ", or write everything anew under another destination.path, accepted with `s3sync run --accept-spec-change`";

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
    check(
        &fail,
        &table(&[("c", Null)]),
        Some(&force),
        "column c (null) is not in the table's schema, and schema.evolution is Fail",
    );
    check(
        &fail,
        &table(&[("a", Float64)]),
        Some(&force),
        &format!("column a is int64 in earlier epochs and float64 now; {cast}{ANEW}"),
    );
    check(
        &rules(Infer, AddColumns, &[("x", None, Some("a"))], &["b"]),
        &table(&[("a", Int64)]),
        Some(&force),
        "x<-a:int64",
    );
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
    check(
        &rules(Infer, Rescue, &[("old", None, Some(RESCUED_COLUMN))], &[]),
        &seen,
        None,
        "a<-a:int64 old<-_rescued_data:utf8",
    );
    check(&rules(Infer, AddColumns, &[], &[]), &seen, None, "a<-a:int64 _rescued_data<-_rescued_data:utf8");
}

#[test]
fn a_type_begins_whenever_it_is_seen() {
    let force = table(&[("n", Null)]);
    let add = rules(Infer, AddColumns, &[], &[]);
    let structure = Struct(vec![arrow_schema::Field::new("a", Null, true)].into());
    let list = List(std::sync::Arc::new(arrow_schema::Field::new("item", Null, true)));
    for (data_type, name) in [
        (Int64, "int64"),
        (Date32, "date32"),
        (Utf8, "utf8"),
        (JSON, "json"),
        (structure, "struct<a: null>"),
        (list, "list<null>"),
    ] {
        for evolution in [AddColumns, Rescue] {
            check(
                &rules(Infer, evolution, &[], &[]),
                &table(&[("n", data_type.clone())]),
                Some(&force),
                &format!("n<-n:{name}"),
            );
        }
        let next =
            frozen(&add, false, &table(&[("n", data_type.clone())]), Some(&force)).map(|schema| schema.settled());
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
    let column =
        |typed: Typed| TableSchema { columns: vec![Column::inferred("c", Null).typed(typed)], ..Default::default() };
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
    check(
        &rules(Infer, AddColumns, &[("c", Some(Utf8), None)], &[]),
        &column(utf8()),
        Some(&column(Typed::from(JSON))),
        text,
    );
}

#[test]
fn structs_gain_fields_but_do_not_become_text() {
    use arrow_schema::Field;
    let of =
        |fields: &[(&str, DataType)]| Struct(fields.iter().map(|(n, t)| Field::new(*n, t.clone(), true)).collect());
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
        let error = frozen(&add, false, &table(&[("a", Utf8)]), Some(&table(&[("a", in_force.clone())])))
            .unwrap_err()
            .to_string();
        assert_eq!(error.contains("cast it to"), advised.is_some(), "{error}");
        assert!(error.contains(advised.unwrap_or("set schema.evolution to Rescue")), "{error}");
    }
}
