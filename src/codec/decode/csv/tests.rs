use std::sync::Arc;

use arrow::array::{ArrayRef, make_array};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use proptest::prelude::*;

use crate::codec::decode::{RecordDecoder, infer};
use crate::codec::{Block, Decoded, LineEnd};
use crate::model::format::TextFormat;
use crate::model::schema::{Column, JSON, Misfit, TableSchema, Unknown, settle, type_name};
use crate::model::settings::CsvReadSettings;

fn block(text: impl Into<Vec<u8>>) -> Block {
    Block { bytes: Bytes::from(text.into()), offset: 100, line: 2, line_end: LineEnd::Newline }
}

fn names(names: &str) -> Vec<String> {
    names.split(',').map(str::to_owned).collect()
}

fn table(columns: &[(&str, DataType, Misfit)]) -> TableSchema {
    let column = |(name, data_type, misfit): &(&str, DataType, Misfit)| Column {
        misfit: *misfit,
        ..Column::inferred(*name, data_type.clone())
    };
    TableSchema { columns: columns.iter().map(column).collect(), ..TableSchema::default() }
}

fn decode(csv: &CsvReadSettings, header: &str, table: TableSchema, text: impl Into<Vec<u8>>) -> Decoded {
    let decoder =
        RecordDecoder::new(TextFormat::CSV, csv, Some(&names(header)), Arc::new(table), &[], 3).expect("options");
    decoder.decode(&block(text)).expect("decodes")
}

/// Arrow prints zones by their offset alone.
fn zoned(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Timestamp(unit, Some(_)) => {
            let offset = DataType::Timestamp(*unit, Some("+00:00".into()));
            make_array(column.to_data().into_builder().data_type(offset).build().expect("the same layout"))
        }
        _ => column.clone(),
    }
}

/// Rows as arrow prints them, batches separated by a rule.
fn shown(batches: &[RecordBatch]) -> Vec<String> {
    let options = arrow::util::display::FormatOptions::default().with_null("null");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch.columns().iter().map(|column| zoned(column)).collect();
        let columns: Vec<_> = columns
            .iter()
            .map(|column| arrow::util::display::ArrayFormatter::try_new(column, &options).expect("shown"))
            .collect();
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|"));
        }
    }
    rows
}

fn shown_schema(schema: &TableSchema) -> String {
    let column = |column: &Column| {
        format!("{}:{}{}", column.name, type_name(&column.data_type), if column.wide { "!" } else { "" })
    };
    schema.columns.iter().map(column).collect::<Vec<_>>().join(" ")
}

const UTC: fn(TimeUnit) -> DataType = |unit| DataType::Timestamp(unit, Some("UTC".into()));

/// What one column of text becomes: the inferred type and the values under it.
fn check(cells: &[&str], expected_type: &str, expected: &[&str]) {
    let text: String = cells.iter().map(|cell| format!("{cell},\n")).collect();
    let schema =
        infer(TextFormat::CSV, &CsvReadSettings::default(), Some(&names("a,b")), &block(text.clone())).expect("infers");
    assert_eq!(shown_schema(&schema), format!("a:{expected_type} b:null"));
    let decoded = decode(&CsvReadSettings::default(), "a,b", schema.clone(), text);
    assert_eq!((&decoded.mismatch, &decoded.bad), (&None, &vec![]));
    let rows: Vec<String> = expected.iter().map(|row| format!("{row}|null")).collect();
    assert_eq!(shown(&decoded.batches()), rows);
    decoded.batches().iter().for_each(|batch| assert_eq!(batch.schema(), schema.arrow()));
}

#[test]
fn columns_have_the_type_of_their_texts() {
    check(&["1", "-22", ""], "int64", &["1", "-22", "null"]);
    check(&["\"1\"", "2"], "int64", &["1", "2"]);
    check(&["1", "", "2.50", "3"], "float64", &["1.0", "null", "2.5", "3.0"]);
    check(&["true", "False", ""], "boolean", &["true", "false", "null"]);
    check(&["true", "1"], "utf8", &["true", "1"]);
    check(&["007", "1"], "utf8", &["007", "1"]);
    check(&["12345678901234567890", "-1"], "decimal(20,0)", &["12345678901234567890", "-1"]);
    check(&["100000000000000000000000000000000000000"], "utf8", &["100000000000000000000000000000000000000"]);
    check(
        &["0.123456789012345678", "2", "1.50"],
        "decimal(19,18)",
        &["0.123456789012345678", "2.000000000000000000", "1.500000000000000000"],
    );
    check(&["0.30000000000000004", "1.0"], "float64", &["0.30000000000000004", "1.0"]);
    check(&["0.123456789012345678", "1e5"], "utf8", &["0.123456789012345678", "1e5"]);
    check(&["1.234567890123456789e-05", "2"], "float64", &["0.000012345678901234568", "2.0"]);
    check(&["-0", "1"], "float64", &["-0.0", "1.0"]);
    check(&["9007199254740993", "1"], "int64!", &["9007199254740993", "1"]);
    check(&["9007199254740993", "1.5"], "decimal(17,1)", &["9007199254740993.0", "1.5"]);
    check(&["9007199254740993", "1.5", "1e5"], "utf8", &["9007199254740993", "1.5", "1e5"]);
    check(&["2024-02-29", ""], "date32", &["2024-02-29", "null"]);
    check(
        &["2024-02-29", "2024-01-01T01:00:00+01:00"],
        "timestamp(us)",
        &["2024-02-29T00:00:00Z", "2024-01-01T00:00:00Z"],
    );
    check(&[" 1", "2"], "utf8", &[" 1", "2"]);
    check(&["", "\"\"", "x"], "utf8", &["null", "", "x"]);
    check(&["\"a \"\"b\"\"\"", "\"c,\nd\"", "e\"f"], "utf8", &["a \"b\"", "c,\nd", "e\"f"]);
    check(&["", ""], "null", &["null", "null"]);
    check(&["é", "日本語日本語日本語日本語"], "utf8", &["é", "日本語日本語日本語日本語"]);
}

#[test]
fn named_nulls_are_unquoted() {
    let of = CsvReadSettings { null_values: vec!["NA".to_owned(), "\\N".to_owned()], ..CsvReadSettings::default() };
    let text = "NA,1\n\\N,\"NA\"\n\"NA\",NA\n,2\n";
    let schema = infer(TextFormat::CSV, &of, Some(&names("a,b")), &block(text)).expect("infers");
    assert_eq!(shown_schema(&schema), "a:utf8 b:utf8");
    let decoded = decode(&of, "a,b", schema, text);
    assert_eq!(shown(&decoded.batches()), ["null|1", "null|NA", "NA|null", "|2"]);
}

#[test]
fn batches_are_cut_by_rows() {
    let schema = table(&[("a", DataType::Int64, Misfit::Widen)]);
    let decoded = decode(&CsvReadSettings::default(), "a", schema, "1\n2\n3\n4\n\n6\n7");
    assert_eq!(decoded.batches().iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [3, 3, 1]);
    assert_eq!(shown(&decoded.batches()), ["1", "2", "3", "4", "null", "6", "7"]);
    assert_eq!(decoded.records, 7);
}

#[test]
fn columns_are_found_by_their_source_name() {
    let mut schema = table(&[("z", DataType::Utf8, Misfit::Widen), ("a", DataType::Int64, Misfit::Widen)]);
    schema.columns[1] = Column { source: "b".to_owned(), ..schema.columns[1].clone() };
    let decoded = decode(&CsvReadSettings::default(), "b,z", schema.clone(), "1,x\n");
    assert_eq!(shown(&decoded.batches()), ["x|1"]);
    let decoded = decode(&CsvReadSettings::default(), "b", schema.clone(), "1\n");
    assert_eq!(shown(&decoded.batches()), ["null|1"]);
    let decoded = decode(&CsvReadSettings::default(), "b,z,new", schema.clone(), "1,x,y\n");
    assert_eq!(decoded.mismatch.as_ref().map(shown_schema).as_deref(), Some("b:int64 z:utf8 new:utf8"));
    assert_eq!(decoded.batches(), []);
    let decoder = RecordDecoder::new(
        TextFormat::CSV,
        &CsvReadSettings::default(),
        Some(&names("b,z,new")),
        Arc::new(schema.clone()),
        &names("new"),
        9,
    );
    assert_eq!(shown(&decoder.expect("options").decode(&block("1,x,y\n")).expect("decodes").batches()), ["x|1"]);
    let ignoring = TableSchema { unknown: Unknown::Ignore, ..schema };
    assert_eq!(shown(&decode(&CsvReadSettings::default(), "b,z,new", ignoring, "1,x,y\n").batches()), ["x|1"]);
}

#[test]
fn a_value_that_does_not_fit_shows_the_blocks_schema() {
    for (data_type, text, expected) in [
        (DataType::Int64, "1\n2.5\n", "a:float64"),
        (DataType::Int64, "1\nx\n", "a:utf8"),
        (DataType::Float64, "1.5\n9007199254740993\n", "a:decimal(17,1)"),
        (DataType::Float64, "0.123456789012345678\n", "a:decimal(18,18)"),
        (DataType::Int64, "9223372036854775808\n", "a:decimal(19,0)"),
        (DataType::Int64, "-0\n", "a:float64"),
        (DataType::Decimal128(31, 18), "12345678901234.5\n", "a:float64"),
        (DataType::Decimal128(31, 18), "1e5\n", "a:float64"),
        (DataType::Decimal128(31, 18), "-0.0\n", "a:float64"),
        (DataType::Float64, "9007199254740993\n", "a:int64!"),
        (DataType::Date32, "2024-01-01 10:00:00\n", "a:timestamp(us)"),
        (DataType::Null, "1\n", "a:int64"),
        (DataType::Boolean, "1\n", "a:int64"),
        (DataType::UInt8, "256\n", "a:int64"),
        (DataType::Float32, "0.1\n", "a:float64"),
        // Merging would change nothing, so that the value would mismatch for ever.
        (UTC(TimeUnit::Nanosecond), "1500-01-01\n", "a:utf8"),
        (DataType::Binary, "AAEC\n", "a:utf8"),
    ] {
        let schema = table(&[("a", data_type.clone(), Misfit::Widen)]);
        let decoded = decode(&CsvReadSettings::default(), "a", schema, text);
        assert_eq!(decoded.mismatch.as_ref().map(shown_schema).as_deref(), Some(expected), "{data_type} {text:?}");
    }
}

#[test]
fn declared_types_make_bad_records() {
    use DataType::*;
    let check = |data_type: DataType, cell: &str, expected: Option<&str>| {
        let schema = table(&[("a", data_type.clone(), Misfit::BadRecord)]);
        let decoded = decode(&CsvReadSettings::default(), "a", schema, format!("{cell}\n"));
        match expected {
            Some(value) => assert_eq!(shown(&decoded.batches()), [value], "{cell} as {data_type}"),
            None => {
                assert_eq!(decoded.batches(), []);
                let reason =
                    format!("{:?} of column a is no {}", cell.trim_matches('"'), type_name(&settle(&data_type)));
                assert_eq!(decoded.bad.iter().map(|bad| bad.reason.clone()).collect::<Vec<_>>(), [reason]);
            }
        }
    };
    check(JSON, "\"[1, {\"\"a\"\": \"\"b\"\"}]\"", Some("[1, {\"a\": \"b\"}]"));
    check(JSON, "1e400", Some("1e400"));
    check(JSON, "abc", None);
    check(JSON, "1 2", None);
    check(Int8, "-128", Some("-128"));
    check(Int8, "128", None);
    check(Int16, "32767", Some("32767"));
    check(Int32, "2147483648", None);
    check(UInt16, "65535", Some("65535"));
    check(UInt32, "-1", None);
    check(UInt64, "18446744073709551615", Some("18446744073709551615"));
    check(Float32, "0.1", Some("0.1"));
    check(Float32, "1e39", None);
    check(Float32, "0.123456789", None);
    check(Float32, "16777217", None);
    check(Float32, "1.0e-50", None);
    check(Float64, "9007199254740993", None);
    check(Float64, "0.123456789012345678", None);
    check(Float64, "1.234567890123456789e-05", Some("0.000012345678901234568"));
    check(Float64, "-0", Some("-0.0"));
    check(UTC(TimeUnit::Millisecond), "1700000000000", Some("2023-11-14T22:13:20Z"));
    check(UTC(TimeUnit::Microsecond), "1700000000.5", None);
    check(Boolean, "yes", None);
    check(Boolean, "1", None);
    check(Boolean, "t", Some("true"));
    check(Boolean, "f", Some("false"));
    check(Decimal128(5, 2), "123.45", Some("123.45"));
    check(Decimal128(5, 2), "123.456", None);
    check(
        Decimal256(50, 0),
        "12345678901234567890123456789012345678901234567890",
        Some("12345678901234567890123456789012345678901234567890"),
    );
    check(Date32, "2024-02-30", None);
    check(UTC(TimeUnit::Second), "2024-01-01T00:00:00.5Z", None);
    check(UTC(TimeUnit::Nanosecond), "2024-01-01T00:00:00.123456789Z", Some("2024-01-01T00:00:00.123456789Z"));
    check(UTC(TimeUnit::Millisecond), "2024-01-01", Some("2024-01-01T00:00:00Z"));
    check(Binary, "AAEC", Some("000102"));
    check(Binary, "AAE", None);
    check(Utf8, "007", Some("007"));
    check(Int64, "", Some("null"));
    check(Int64, "\"\"", None);
}

#[test]
fn the_width_is_that_of_the_first_record_that_is_one() {
    let plain = super::Dialect { delimiter: b',', quote: Some(b'"'), escape: None, comment: None };
    for (text, expected) in [
        ("", 0),
        ("\n\r\r\n", 0),
        ("a,b\nc\n", 2),
        ("\n\"a\",b,c", 3),
        ("1,\"p\"x\n", 2),
        ("\"p\"x\n1,\"q\",2\n", 3),
        ("1,\"p\"x\r\"q\"y", 2),
        ("1,\"p", 2),
    ] {
        assert_eq!(super::first_width(text.as_bytes(), plain), expected, "{text:?}");
    }
}

#[test]
fn bad_records_are_named_and_left_out() {
    let schema = table(&[("a", DataType::Int64, Misfit::BadRecord), ("b", DataType::Utf8, Misfit::Widen)]);
    let text = b"1,x\n2\n\"3\",\"y\nz\"\nfour,v\n5,\xff\n6,w\n\"7\" ,u\n8,t".to_vec();
    let decoded = decode(&CsvReadSettings::default(), "a,b", schema, text);
    assert_eq!(shown(&decoded.batches()), ["1|x", "3|y\nz", "6|w", "8|t"]);
    let bad: Vec<_> = decoded
        .bad
        .iter()
        .map(|bad| {
            (bad.record, bad.position.line.unwrap_or(0), bad.position.offset, bad.reason.as_str(), bad.raw.as_str())
        })
        .collect();
    assert_eq!(
        bad,
        [
            (1, 3, 104, "1 fields, where the header has 2", "2"),
            (3, 6, 116, "\"four\" of column a is no int64", "four,v"),
            (
                4,
                7,
                123,
                "not valid UTF-8; if it is in another encoding, name that in source.csv.encoding",
                "5,\u{fffd}"
            ),
            (6, 9, 131, "text follows the closing quote of field 1", "\"7\" ,u"),
        ]
    );
    assert_eq!(decoded.records, 8);
}

#[test]
fn what_does_not_fit_is_rescued() {
    let mut schema = table(&[("a", DataType::Int64, Misfit::Rescue), ("b", DataType::Date32, Misfit::Rescue)]);
    schema.rescued = true;
    let decoded = decode(&CsvReadSettings::default(), "a,b", schema, "1,2024-01-01\nx\"y,2024-01-02\nz,\"\"\n");
    assert_eq!(
        shown(&decoded.batches()),
        ["1|2024-01-01|null", "null|2024-01-02|{\"a\":\"x\\\"y\"}", "null|null|{\"a\":\"z\",\"b\":\"\"}"]
    );
}

/// arrow-csv's reader over the same text, where the two mean the same: no null but the empty cell, no blank lines.
#[test]
fn arrow_csv_reads_the_same_rows() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(300));
    let cell = prop_oneof![
        "-?[1-9][0-9]{0,17}",
        "-?[1-9][0-9]{0,3}\\.[0-9]{1,12}",
        "[a-zé]{1,40}",
        "\"[a-z,\né]{1,12}(\"\"x)?\"",
        Just(String::new()),
    ];
    let rows = proptest::collection::vec((cell.clone(), cell, "-?[1-9][0-9]{0,17}"), 1..40);
    let schema = table(&[
        ("a", DataType::Utf8, Misfit::Widen),
        ("b", DataType::Utf8, Misfit::Widen),
        ("c", DataType::Int64, Misfit::Widen),
    ]);
    runner
        .run(&rows, |rows| {
            let text: String = rows.iter().map(|(a, b, c)| format!("{a},{b},{c}\r\n")).collect();
            let ours = decode(&CsvReadSettings::default(), "a,b,c", schema.clone(), text.clone());
            let reader = arrow::csv::ReaderBuilder::new(schema.arrow()).build(text.as_bytes()).expect("a reader");
            let theirs: Vec<RecordBatch> = reader.collect::<Result<_, _>>().expect("reads");
            prop_assert_eq!(shown(&ours.batches()), shown(&theirs));
            Ok(())
        })
        .expect("equal");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever the text is, the schema inferred from it holds it, and every record is a row or bad.
    #[test]
    fn a_block_fits_its_own_schema(
        text in "([0-9.e-]{0,4}|true|2024-01-0[0-9]|[a\",\r]{0,4}|9007199254740993|,|\n){0,60}", width in 1usize..4,
    ) {
        let header = (0..width).map(|i| format!("c{i}")).collect::<Vec<_>>().join(",");
        let (options, columns) = (CsvReadSettings::default(), names(&header));
        let schema = infer(TextFormat::CSV, &options, Some(&columns), &block(text.clone())).expect("infers");
        let decoded = decode(&CsvReadSettings::default(), &header, schema, text);
        prop_assert_eq!(&decoded.mismatch, &None);
        let rows: usize = decoded.batches().iter().map(RecordBatch::num_rows).sum();
        prop_assert_eq!(rows + decoded.bad.len(), decoded.records as usize);
    }

    /// Bytes of any kind never make it panic.
    #[test]
    fn any_bytes_decode(
        bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'"'), Just(b','), Just(b'\n')], 0..200),
    ) {
        let schema = table(&[("a", DataType::Utf8, Misfit::Widen), ("b", DataType::Int64, Misfit::BadRecord)]);
        let decoded = decode(&CsvReadSettings::default(), "a,b", schema, bytes);
        let rows: usize = decoded.batches().iter().map(RecordBatch::num_rows).sum();
        prop_assert_eq!(rows + decoded.bad.len(), decoded.records as usize);
    }
}
