use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use proptest::prelude::*;

use crate::codec::decode::{RecordDecoder, infer};
use crate::codec::{Block, Decoded, LineEnd};
use crate::model::format::TextFormat;
use crate::model::schema::{Column, JSON, Misfit, Mixed, TableSchema, Unknown, type_name};
use crate::model::settings::{CsvReadSettings, Encoding};

fn csv() -> CsvReadSettings {
    CsvReadSettings {
        delimiter: None,
        header: true,
        quote: None,
        escape: None,
        comment: None,
        null_values: vec![],
        encoding: Encoding::Utf8,
        skip_rows: 0,
    }
}

fn block(text: impl Into<Vec<u8>>) -> Block {
    Block { bytes: Bytes::from(text.into()), offset: 100, line: 2, line_end: LineEnd::Newline }
}

fn infer_of(format: TextFormat, text: &str) -> TableSchema {
    infer(format, &csv(), None, &block(text)).expect("infers")
}

fn decode(format: TextFormat, table: TableSchema, drop: &[&str], text: impl Into<Vec<u8>>) -> Decoded {
    let drop: Vec<String> = drop.iter().map(|&name| name.to_owned()).collect();
    let decoder = RecordDecoder::new(format, &csv(), None, Arc::new(table), &drop, 3).expect("options");
    decoder.decode(&block(text)).expect("decodes")
}

fn table(columns: &[(&str, DataType, Misfit)]) -> TableSchema {
    let column = |(name, data_type, misfit): &(&str, DataType, Misfit)| Column {
        misfit: *misfit,
        ..Column::inferred(*name, data_type.clone())
    };
    TableSchema { columns: columns.iter().map(column).collect(), ..TableSchema::default() }
}

fn shown_schema(schema: &TableSchema) -> String {
    let column = |c: &Column| format!("{}:{}{}", c.name, type_name(&c.data_type), if c.wide { "!" } else { "" });
    schema.columns.iter().map(column).collect::<Vec<_>>().join(" ")
}

/// Rows as JSON, by the crate's writer.
fn shown(batches: &[RecordBatch]) -> String {
    let mut out = Vec::new();
    let mut writer = arrow::json::LineDelimitedWriter::new(&mut out);
    batches.iter().for_each(|batch| writer.write(batch).expect("written"));
    drop(writer);
    String::from_utf8(out).expect("utf-8")
}

/// The schema of a text, and its rows under it.
fn check(text: &str, schema: &str, rows: &str) {
    let inferred = infer_of(TextFormat::Jsonl, text);
    assert_eq!(shown_schema(&inferred), schema, "{text}");
    let decoded = decode(TextFormat::Jsonl, inferred.clone(), &[], text);
    assert_eq!((&decoded.mismatch, &decoded.bad), (&None, &vec![]));
    assert_eq!(shown(&decoded.batches()), rows, "{text}");
    decoded.batches().iter().for_each(|batch| assert_eq!(batch.schema(), inferred.arrow()));
}

#[test]
fn columns_have_the_type_of_their_values() {
    check("{\"a\":1,\"b\":\"x\"}\n{\"b\":null,\"a\":-2}\n", "a:int64 b:utf8", "{\"a\":1,\"b\":\"x\"}\n{\"a\":-2}\n");
    check("{\"b\":1.5}\n\n  \n{\"a\":true,\"b\":2}", "b:float64 a:boolean", "{\"b\":1.5}\n{\"b\":2.0,\"a\":true}\n");
    check("{\"a\":\"2024-01-01\"}\n", "a:utf8", "{\"a\":\"2024-01-01\"}\n");
    check("{\"a\":\"\\u00e9\\n\\ud83d\\ude00\"}\r\n", "a:utf8", "{\"a\":\"é\\n😀\"}\n");
    check("{\"a\":1}\n{\"a\":\"x\"}\n", "a:json", "{\"a\":\"1\"}\n{\"a\":\"\\\"x\\\"\"}\n");
    check("{\"a\":1}\n{\"a\":true}\n", "a:json", "{\"a\":\"1\"}\n{\"a\":\"true\"}\n");
    check(
        "{\"a\":12345678901234567890}\n{\"a\":-1}\n",
        "a:decimal(20,0)",
        "{\"a\":12345678901234567890}\n{\"a\":-1}\n",
    );
    check(
        "{\"a\":0.123456789012345678}\n{\"a\":1234567890123.123456}\n",
        "a:decimal(31,18)",
        "{\"a\":0.123456789012345678}\n{\"a\":1234567890123.123456000000000000}\n",
    );
    check(
        "{\"a\":[1,0.123456789012345678]}\n",
        "a:list<decimal(19,18)>",
        "{\"a\":[1.000000000000000000,0.123456789012345678]}\n",
    );
    check("{\"a\":-0}\n", "a:float64", "{\"a\":-0.0}\n");
    check("{\"a\":9007199254740993}\n", "a:int64!", "{\"a\":9007199254740993}\n");
    check("{\"a\":9007199254740993}\n{\"a\":0.5}\n", "a:decimal(17,1)", "{\"a\":9007199254740993.0}\n{\"a\":0.5}\n");
    check("{\"a\":9007199254740993}\n{\"a\":5e-1}\n", "a:json", "{\"a\":\"9007199254740993\"}\n{\"a\":\"5e-1\"}\n");
    check("{\"a\":1e400}\n", "a:json", "{\"a\":\"1e400\"}\n");
    check("{\"a\":null}\n{}\n", "a:null", "{}\n{}\n");
    check("{\"a\":1,\"a\":2}\n", "a:int64", "{\"a\":2}\n");
    check("{\"a\\n\":1,\"\":2}\n", "a\n:int64 :int64", "{\"a\\n\":1,\"\":2}\n");
}

#[test]
fn nested_values_merge() {
    check(
        "{\"s\":{\"a\":1}}\n{\"s\":{\"b\":[1,2.5],\"a\":2}}\n{\"s\":null}\n{\"s\":{}}\n",
        "s:struct<a: int64, b: list<float64>>",
        "{\"s\":{\"a\":1}}\n{\"s\":{\"a\":2,\"b\":[1.0,2.5]}}\n{}\n{\"s\":{}}\n",
    );
    check("{\"l\":[]}\n{\"l\":[null]}\n", "l:list<null>", "{\"l\":[]}\n{\"l\":[null]}\n");
    check(
        "{\"l\":[{\"a\":1},{\"b\":[]}]}\n",
        "l:list<struct<a: int64, b: list<null>>>",
        "{\"l\":[{\"a\":1},{\"b\":[]}]}\n",
    );
    check("{\"o\":{}}\n", "o:struct<>", "{\"o\":\"{}\"}\n");
    check(
        "{\"m\":1.50}\n{\"m\":{ \"a b\" : [1, \"x y\"]}}\n{\"m\":\"s\"}\n",
        "m:json",
        "{\"m\":\"1.50\"}\n{\"m\":\"{\\\"a b\\\":[1,\\\"x y\\\"]}\"}\n{\"m\":\"\\\"s\\\"\"}\n",
    );
    check("{\"m\":[1]}\n{\"m\":2}\n", "m:json", "{\"m\":\"[1]\"}\n{\"m\":\"2\"}\n");
}

#[test]
fn json_objects_hold_one_array_or_values() {
    for text in ["{\"a\":1},\n {\"a\":[2]}\n ]\n", "{\"a\":1}\n{\"a\":[2]}", ",{\"a\":1},{\"a\":[2]}"] {
        let inferred = infer_of(TextFormat::Json, text);
        assert_eq!(shown_schema(&inferred), "a:json");
        let decoded = decode(TextFormat::Json, inferred, &[], text);
        assert_eq!(shown(&decoded.batches()), "{\"a\":\"1\"}\n{\"a\":\"[2]\"}\n", "{text}");
        assert_eq!((decoded.records, decoded.bad), (2, vec![]));
    }
    let decoded = decode(
        TextFormat::Json,
        table(&[("a", DataType::Int64, Misfit::Widen)]),
        &[],
        "1,\n[{\"a\":1}],{\"a\":\n 2\n x}, {\"a\":3}]",
    );
    let bad: Vec<_> =
        decoded.bad.iter().map(|bad| (bad.record, bad.position.line, bad.reason.as_str(), bad.raw.as_str())).collect();
    assert_eq!(
        bad,
        [
            (0, Some(2), "a record is an object, and this is none", "1"),
            (1, Some(3), "a record is an object, and this is none", "[{\"a\":1}]"),
            (
                2,
                Some(3),
                "a comma or the end of the object was expected, 2 lines into the record at column 2",
                "{\"a\":\n 2\n x}"
            ),
        ]
    );
    assert_eq!(shown(&decoded.batches()), "{\"a\":3}\n");
}

#[test]
fn bad_records_are_named_and_left_out() {
    let schema = table(&[
        ("a", DataType::Int64, Misfit::BadRecord),
        ("s", infer_of(TextFormat::Jsonl, "{\"s\":{\"x\":[\"y\"]}}").columns[0].data_type.clone(), Misfit::Widen),
    ]);
    let text = b"{\"a\":1,\"s\":{\"x\":[\"p\"]}}\n{\"a\":2,\"s\":{\"x\":[\"q\",\"r\"\n[1]\n{\"s\":{\"x\":[\"t\"]},\"a\":\"x\"}\n{\"s\":{\"x\":[\"\xff\"]}}\n{\"s\":{\"x\":[\"\\ud800\"]}}\n{\"a\":3} x\n{\"a\":\"4\"}\n".to_vec();
    let decoded = decode(TextFormat::Jsonl, schema, &[], text);
    assert_eq!(shown(&decoded.batches()), "{\"a\":1,\"s\":{\"x\":[\"p\"]}}\n{\"a\":4}\n");
    let bad: Vec<_> = decoded
        .bad
        .iter()
        .map(|bad| (bad.record, bad.position.line.unwrap_or(0), bad.position.offset, bad.reason.as_str()))
        .collect();
    assert_eq!(
        bad,
        [
            (1, 3, 124, "a comma or the end of the array was expected at column 25"),
            (2, 4, 149, "a record is an object, and this is none"),
            (3, 5, 153, "\"x\" of column a is no int64"),
            (4, 6, 179, "not valid UTF-8"),
            (5, 7, 197, "an escape is half of a surrogate pair at column 13"),
            (6, 8, 220, "something stands behind the object at column 9"),
        ]
    );
    assert_eq!(decoded.records, 8);
    let deep = format!("{{\"a\":{}1{}}}\n", "[".repeat(10_000), "]".repeat(10_000));
    let decoded = decode(TextFormat::Jsonl, table(&[("a", DataType::Utf8, Misfit::Widen)]), &[], deep);
    assert_eq!(decoded.bad[0].reason, "values are nested more than 41 levels deep at column 46");
}

#[test]
fn a_value_that_does_not_fit_shows_the_blocks_schema() {
    use DataType::*;
    let list = |item: DataType| List(Arc::new(Field::new("item", item, true)));
    let structure = |name: &str, of: DataType| Struct(vec![Field::new(name, of, true)].into());
    for (data_type, text, expected) in [
        (Int64, "{\"a\":1.5}", "a:float64"),
        (Int64, "{\"a\":\"5\"}", "a:utf8"),
        (Float64, "{\"a\":9007199254740993}", "a:int64!"),
        (Null, "{\"a\":[1]}", "a:list<int64>"),
        (Boolean, "{\"a\":0}", "a:int64"),
        (list(Int64), "{\"a\":[1,\"x\"]}", "a:utf8"),
        (list(Null), "{\"a\":[1]}", "a:list<int64>"),
        (structure("x", Int64), "{\"a\":{\"x\":1,\"y\":2}}", "a:struct<x: int64, y: int64>"),
        (structure("x", Int64), "{\"a\":[]}", "a:list<null>"),
        (Date32, "{\"a\":\"2024-01-01\"}", "a:utf8"),
        (Utf8, "{\"a\":1}", "a:int64"),
        (Utf8, "{\"a\":[\"x\"]}", "a:list<utf8>"),
        (list(Utf8), "{\"a\":[true]}", "a:list<boolean>"),
        (Struct(Fields::empty()), "{\"a\":{\"b\":1}}", "a:struct<b: int64>"),
        (UInt8, "{\"a\":256}", "a:int64"),
    ] {
        let decoded = decode(TextFormat::Jsonl, table(&[("a", data_type.clone(), Misfit::Widen)]), &[], text);
        let expected = if text == "{\"a\":[1,\"x\"]}" { "a:list<json>" } else { expected };
        assert_eq!(decoded.mismatch.as_ref().map(shown_schema).as_deref(), Some(expected), "{data_type} {text}");
        assert_eq!(decoded.batches(), []);
    }
}

/// A column in force as utf8 takes every value as its text, as it always has; a JSON column takes it as it is.
#[test]
fn kept_text_and_json_hold_whatever_comes() {
    let text = "{\"a\":1.50}\n{\"a\":\"x\\n\"}\n{\"a\":{ \"b\" : [] }}\n{\"a\":null}\n{\"a\":true}\n";
    let rows = |column: Column| -> Vec<Option<String>> {
        let table = TableSchema { columns: vec![column], ..TableSchema::default() };
        let decoded = decode(TextFormat::Jsonl, table, &[], text);
        assert_eq!((&decoded.mismatch, &decoded.bad), (&None, &vec![]));
        let texts = decoded
            .rows
            .iter()
            .map(|rows| rows.batch())
            .map(|batch| cast(batch.column(0), &DataType::Utf8).expect("text"));
        texts
            .flat_map(|array| array.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>())
            .collect()
    };
    let of = |texts: [&str; 4]| {
        let [a, b, c, d] = texts.map(|text| Some(text.to_owned()));
        vec![a, b, c, None, d]
    };
    let kept = Column { mixed: Mixed::Kept, ..Column::inferred("a", DataType::Utf8) };
    assert_eq!(rows(kept), of(["1.50", "x\n", "{\"b\":[]}", "true"]));
    let declared = Column { misfit: Misfit::BadRecord, ..Column::inferred("a", DataType::Utf8) };
    assert_eq!(rows(declared), of(["1.50", "x\n", "{\"b\":[]}", "true"]));
    for misfit in [Misfit::Widen, Misfit::BadRecord] {
        let json = Column { misfit, ..Column::inferred("a", JSON) };
        assert_eq!(rows(json), of(["1.50", "\"x\\n\"", "{\"b\":[]}", "true"]));
    }
}

#[test]
fn unknown_and_dropped_members() {
    let schema = table(&[("a", DataType::Int64, Misfit::Widen)]);
    let text = "{\"x\":[{\"y\":\"\\\"\"}],\"a\":1}\n";
    let decoded = decode(TextFormat::Jsonl, schema.clone(), &[], text);
    assert_eq!(decoded.mismatch.as_ref().map(shown_schema).as_deref(), Some("x:list<struct<y: utf8>> a:int64"));
    assert_eq!(shown(&decode(TextFormat::Jsonl, schema.clone(), &["x"], text).batches()), "{\"a\":1}\n");
    let ignoring = TableSchema { unknown: Unknown::Ignore, ..schema };
    assert_eq!(shown(&decode(TextFormat::Jsonl, ignoring, &[], text).batches()), "{\"a\":1}\n");
}

#[test]
fn declared_types_read_strings_and_numbers() {
    use DataType::*;
    let utc = |unit| Timestamp(unit, Some("+00:00".into()));
    for (data_type, value, expected) in [
        (Int8, "127", Some("127")),
        (Int8, "\"127\"", Some("127")),
        (Int8, "128", None),
        (Int64, "true", None),
        (UInt64, "18446744073709551615", Some("18446744073709551615")),
        (Float64, "\"1.5\"", Some("1.5")),
        (Boolean, "true", Some("true")),
        (Date32, "\"2024-02-29\"", Some("\"2024-02-29\"")),
        (Date32, "\"2023-02-29\"", None),
        (utc(TimeUnit::Second), "\"2024-01-01 00:00:00\"", Some("\"2024-01-01T00:00:00Z\"")),
        (utc(TimeUnit::Second), "1704067200", Some("\"2024-01-01T00:00:00Z\"")),
        (utc(TimeUnit::Millisecond), "\"1704067200000\"", Some("\"2024-01-01T00:00:00Z\"")),
        (utc(TimeUnit::Microsecond), "1700000000.5", None),
        (Float64, "0.123456789012345678", None),
        (Float64, "-0", Some("-0.0")),
        (Float32, "0.1", Some("0.1")),
        (Float32, "\"0.123456789\"", None),
        (Decimal128(10, 2), "12.5", Some("12.50")),
        (Decimal128(10, 2), "\"12.5\"", Some("12.50")),
        (Decimal128(3, 2), "12.5", None),
        (Binary, "\"AAEC\"", Some("\"000102\"")),
        (Utf8, "12.50", Some("\"12.50\"")),
        (Utf8, "{ \"a\": 1 }", Some("\"{\\\"a\\\":1}\"")),
    ] {
        let decoded = decode(
            TextFormat::Jsonl,
            table(&[("a", data_type.clone(), Misfit::BadRecord)]),
            &[],
            format!("{{\"a\":{value}}}\n"),
        );
        let got = shown(&decoded.batches());
        let expected = expected.map(|value| format!("{{\"a\":{value}}}\n")).unwrap_or_default();
        assert_eq!(got, expected, "{value} as {data_type}");
        assert_eq!(decoded.bad.len(), usize::from(expected.is_empty()));
    }
}

#[test]
fn what_does_not_fit_is_rescued() {
    let mut schema = table(&[("a", DataType::Int64, Misfit::Rescue), ("b", DataType::Boolean, Misfit::Rescue)]);
    schema.rescued = true;
    let decoded = decode(
        TextFormat::Jsonl,
        schema,
        &[],
        "{\"a\":1,\"b\":true}\n{\"a\":{\"x\": \"y z\"},\"b\":\"q\"}\n{\"a\":\"x\",\"a\":2}\n{\"a\":\"bad\"\n{\"b\":1}\n",
    );
    assert_eq!(
        shown(&decoded.batches()),
        "{\"a\":1,\"b\":true}\n{\"_rescued_data\":\"{\\\"a\\\":{\\\"x\\\":\\\"y z\\\"},\\\"b\\\":\\\"q\\\"}\"}\n{\"a\":2}\n{\"_rescued_data\":\"{\\\"b\\\":1}\"}\n"
    );
    assert_eq!(decoded.bad.len(), 1);
}

fn any_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        (-(1i64 << 60)..1 << 60).prop_map(Into::into),
        (-1e6..1e6f64).prop_map(Into::into),
        "[a-zé\"\\\\\n😀]{0,20}".prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            proptest::collection::btree_map("[abc]", inner, 0..3)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A block fits the schema inferred from it, and its rows say what the text said.
    #[test]
    fn a_block_fits_its_own_schema(
        records in proptest::collection::vec(proptest::collection::btree_map("[a-d]", any_value(), 0..4), 1..8),
    ) {
        let text: String = records.iter().map(|record| serde_json::to_string(record).expect("json") + "\n").collect();
        let schema = infer_of(TextFormat::Jsonl, &text);
        let decoded = decode(TextFormat::Jsonl, schema.clone(), &[], text.clone());
        prop_assert_eq!((&decoded.mismatch, &decoded.bad), (&None, &vec![]));
        let rows: usize = decoded.batches().iter().map(RecordBatch::num_rows).sum();
        prop_assert_eq!(rows, records.len());
        let array = format!("{}]", text.replace('\n', " ,\n"));
        let array = decode(TextFormat::Json, schema, &[], array.replace(" ,\n]", "]"));
        prop_assert_eq!(array.batches(), decoded.batches());
    }

    /// arrow-json's reader over the same text and schema, where the two mean the same.
    #[test]
    fn arrow_json_reads_the_same_rows(
        records in proptest::collection::vec(
            (
                any::<i64>(),
                "[a-zé\"\\\\\n]{0,40}",
                proptest::option::of(any::<bool>()),
                proptest::collection::vec(-1e3..1e3f64, 0..3),
            ),
            1..20,
        ),
    ) {
        let text: String = records
            .iter()
            .map(|(i, s, b, l)| serde_json::json!({"i": i, "s": s, "b": b, "o": {"l": l}}).to_string() + "\n")
            .collect();
        let item = Arc::new(Field::new("item", DataType::Float64, true));
        let schema = table(&[
            ("i", DataType::Int64, Misfit::Widen),
            ("s", DataType::Utf8, Misfit::Widen),
            ("b", DataType::Boolean, Misfit::Widen),
            ("o", DataType::Struct(vec![Field::new("l", DataType::List(item), true)].into()), Misfit::Widen),
        ]);
        let ours = decode(TextFormat::Jsonl, schema.clone(), &[], text.clone());
        let reader = arrow::json::ReaderBuilder::new(schema.arrow()).build(text.as_bytes()).expect("a reader");
        let theirs: Vec<RecordBatch> = reader.collect::<Result<_, _>>().expect("reads");
        prop_assert_eq!(shown(&ours.batches()), shown(&theirs));
    }

    /// Texts of any kind never make it panic, and every record is a row or bad.
    #[test]
    fn any_text_decodes(text in "([{}\\[\\]\",:\n\\\\ua0-9. -]|null|true|\"a\":|\\{\"a\":1\\}\n){0,40}", json: bool) {
        let format = if json { TextFormat::Json } else { TextFormat::Jsonl };
        let schema = TableSchema { unknown: Unknown::Ignore, ..table(&[("a", JSON, Misfit::Widen)]) };
        let decoded = decode(format, schema, &[], text.clone());
        let rows: usize = decoded.batches().iter().map(RecordBatch::num_rows).sum();
        prop_assert_eq!(rows + decoded.bad.len(), decoded.records as usize);
        infer_of(format, &text);
    }
}
