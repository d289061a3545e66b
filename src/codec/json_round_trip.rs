//! What goes in as JSON comes out of json, jsonl and Parquet as the same JSON, whatever it is.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;

use super::decode::object::whole;
use super::decode::parquet::{Footer, parse_footer, schema};
use super::decode::{RecordDecoder, infer};
use super::encode::{EncodeError, EncodeOptions, FileEncoder};
use super::{Block, Decoded, LineEnd, Rows};
use crate::model::fixtures::settings;
use crate::model::format::{Decoding, OutputFormat, TextFormat};
use crate::model::schema::{TableSchema, frozen, merge, type_name};
use crate::model::settings::{CsvReadSettings, SchemaSettings};

fn rules() -> SchemaSettings {
    settings().schema
}

fn encode(format: OutputFormat, table: &TableSchema, batches: &[RecordBatch]) -> Bytes {
    let options = EncodeOptions { format, ..EncodeOptions::new(&settings().destination, 64 << 20, Vec::new()) };
    let mut encoder = FileEncoder::new(&options, &table.arrow()).expect("every type has a place");
    batches.iter().for_each(|batch| encoder.write(&Rows::Batch(batch.clone())).expect("encodes"));
    let mut out = Vec::new();
    let taken = encoder.finish(|bytes| {
        out.extend_from_slice(&bytes);
        Ok::<(), EncodeError>(())
    });
    taken.expect("takes all");
    out.into()
}

/// The rows of a text and their table, in blocks of one line each: the first shows the schema, and each may mismatch.
fn decode(lines: &[String]) -> (TableSchema, Vec<RecordBatch>) {
    let block =
        |line: &String| Block { bytes: Bytes::from(line.clone()), offset: 0, line: 1, line_end: LineEnd::Newline };
    let csv = CsvReadSettings::default();
    let mut table =
        frozen(&rules(), false, &infer(TextFormat::Jsonl, &csv, None, &block(&lines[0])).expect("infers"), None)
            .expect("one schema");
    'planned: for _ in 0..100 {
        let decoder =
            RecordDecoder::new(TextFormat::Jsonl, &csv, None, Arc::new(table.clone()), &[], 7).expect("options");
        let mut batches = Vec::new();
        for line in lines {
            let Decoded { rows, bad, mismatch, .. } = decoder.decode(&block(line)).expect("decodes");
            assert_eq!(bad, vec![], "{line}");
            if let Some(mismatch) = mismatch {
                let wider = frozen(&rules(), false, &merge(&table, &mismatch), None).expect("one schema");
                assert_ne!(wider, table, "{line} fits nothing");
                table = wider;
                continue 'planned;
            }
            batches.extend(rows.iter().map(Rows::batch).cloned());
        }
        return (table, batches);
    }
    panic!("planning does not end: {lines:?}");
}

fn of_parquet(object: &Bytes) -> (TableSchema, Vec<RecordBatch>) {
    let Ok(Footer::Done(metadata)) = parse_footer(object.clone(), object.len() as u64, 1 << 20) else {
        panic!("no footer")
    };
    let table = frozen(&rules(), false, &schema(&metadata).expect("a schema"), None).expect("one schema");
    let decoded = whole::decode(Decoding::Parquet, object, whole::options(object), table.clone(), 1 << 20);
    let mut batches = Vec::new();
    for decoded in decoded.expect("reads") {
        assert_eq!((&decoded.mismatch, &decoded.bad), (&None, &vec![]));
        batches.extend(decoded.batches());
    }
    (table, batches)
}

/// A number as sign, digits and power of ten, so that every text of it is the same: `1.50` and `15e-1`.
pub(super) fn number(text: &str) -> String {
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let digits = digits.trim_start_matches('0');
    let short = digits.trim_end_matches('0');
    if short.is_empty() {
        return "0".to_owned();
    }
    let exponent: i64 =
        exponent.parse::<i64>().expect("an exponent") - fraction.len() as i64 + (digits.len() - short.len()) as i64;
    format!("{sign}{short}e{exponent}")
}

/// A value with numbers as texts, which serde_json keeps as they are. A member that is null is as none: every column
/// stands in every object.
fn exact(text: &str) -> Value {
    let mut marked = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => {
                let mut escaped = false;
                let end = rest[1..].find(|c| {
                    let ends = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    ends
                });
                let end = end.expect("it closes") + 2;
                marked.push_str("\"$");
                marked.push_str(&rest[1..end]);
                end
            }
            '-' | '0'..='9' => {
                let end = rest.find(|c: char| !"+-.eE0123456789".contains(c)).unwrap_or(rest.len());
                marked.push_str(&format!("\"#{}\"", number(&rest[..end])));
                end
            }
            other => {
                marked.push(other);
                other.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    fn without_nulls(value: Value) -> Value {
        match value {
            Value::Object(members) => {
                let mut members: Vec<_> = members.into_iter().filter(|(_, value)| !value.is_null()).collect();
                members.sort_by(|a, b| a.0.cmp(&b.0));
                Value::Object(members.into_iter().map(|(name, value)| (name, without_nulls(value))).collect())
            }
            Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
            other => other,
        }
    }
    without_nulls(serde_json::from_str(&marked).unwrap_or_else(|error| panic!("{error} in {text}")))
}

/// Writes rows as each format that tells JSON's kinds apart, and looks whether they are what they were.
fn keeps(lines: &[String]) -> TableSchema {
    let expected: Vec<Value> = lines.iter().map(|line| exact(line)).collect();
    let rows = |text: &Bytes| -> Vec<Value> { std::str::from_utf8(text).expect("text").lines().map(exact).collect() };
    let (table, batches) = decode(lines);
    assert_eq!(rows(&encode(OutputFormat::Jsonl, &table, &batches)), expected, "jsonl");
    let array = encode(OutputFormat::Json, &table, &batches);
    assert_eq!(exact(std::str::from_utf8(&array).expect("text")), Value::Array(expected.clone()), "json");
    if !table.columns.is_empty() {
        let (again, batches) = of_parquet(&encode(OutputFormat::Parquet, &table, &batches));
        assert_eq!(rows(&encode(OutputFormat::Jsonl, &again, &batches)), expected, "by way of parquet");
    }
    table
}

#[track_caller]
fn check(lines: &[&str], types: &str) {
    let lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
    let table = keeps(&lines);
    let shown: Vec<String> =
        table.columns.iter().map(|column| format!("{}: {}", column.name, type_name(&column.data_type))).collect();
    assert_eq!(shown.join(", "), types, "{lines:?}");
}

#[test]
fn kinds_that_no_type_holds_are_json() {
    check(&[r#"{"a":{}}"#, r#"{"a":null}"#], "a: struct<>");
    check(&[r#"{"a":{}}"#, r#"{"a":[]}"#], "a: json");
    check(&[r#"{"a":[]}"#, r#"{"a":null}"#], "a: list<null>");
    check(&[r#"{"a":{"b":{},"c":[{}]}}"#], "a: struct<b: struct<>, c: list<struct<>>>");
    check(&[r#"{"a":1}"#, r#"{"a":"1"}"#, r#"{"a":"x"}"#], "a: json");
    check(&[r#"{"a":true}"#, r#"{"a":"true"}"#, r#"{"a":1}"#], "a: json");
    check(&[r#"{"a":[1,"a",null,[true]]}"#, r#"{"a":[]}"#], "a: json");
    check(&[r#"{"a":"x \"y\" \u00e9\n"}"#, r#"{"a":{"b":"x \"y\" \u00e9\n"}}"#], "a: json");
    check(&[r#"{"a": [1, 2] }"#, r#"{"a": { "b c" : [ 1, "d  e" ] } }"#], "a: json");
    check(&[r#"{"a":{"b":1}}"#, r#"{"a":{"b":"x"}}"#, r#"{"a":{"c":1.5}}"#], "a: struct<b: json, c: float64>");
    check(&[r#"{"a":123456789012345678901234567890123456789012345678901234567890}"#], "a: json");
    check(&[r#"{"a":1e400}"#, r#"{"a":0.5}"#], "a: json");
    check(&[r#"{"a":9007199254740993}"#, r#"{"a":5e-1}"#], "a: json");
    check(&[r#"{"a":1}"#, r#"{"a":0.1234567890123456789}"#], "a: decimal(20,19)");
}

#[test]
fn geometries_of_any_depth_keep_their_coordinates() {
    let feature = |kind: &str, coordinates: &str| {
        format!(r#"{{"type":"Feature","geometry":{{"type":"{kind}","coordinates":{coordinates}}},"properties":{{}}}}"#)
    };
    let lines = [
        feature("Point", "[102.0,0.5]"),
        feature("LineString", "[[102.0,0.0],[103.0,1.0]]"),
        feature("Polygon", "[[[100.0,0.0],[101.0,0.0],[101.0,1.0],[100.0,0.0]]]"),
    ];
    let table = keeps(&lines);
    let geometry = table.columns.iter().find(|column| column.name == "geometry").expect("it is there");
    assert_eq!(type_name(&geometry.data_type), "struct<type: utf8, coordinates: json>");
}

/// Texts of numbers. With an exponent they are floats in the notation of floats, and have no more digits than a double
/// keeps.
fn any_number() -> impl Strategy<Value = String> {
    let whole = "-?(0|[1-9][0-9]{0,60})";
    let float = "-?[1-9][0-9]{0,14}[eE][+-]?[0-9]{1,2}";
    prop_oneof![whole, "-?(0|[1-9][0-9]{0,20})\\.[0-9]{1,25}", float, "-?[1-9]e[34]00"]
}

fn any_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any_number(),
        "[a-z0-9é\"\\\\\n\u{1}😀]{0,6}".prop_map(|text| Value::from(text).to_string()),
        Just("{}".to_owned()),
        Just("[]".to_owned()),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[ {} ]", items.join(" , "))),
            proptest::collection::btree_map("[abc]", inner, 0..3).prop_map(object),
        ]
    })
}

fn object(members: std::collections::BTreeMap<String, String>) -> String {
    let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\" :{value}")).collect();
    format!("{{{}}}", members.join(", "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn what_goes_in_as_json_comes_out_as_the_same_json(
        lines in proptest::collection::vec(
            proptest::collection::btree_map("[a-c]", any_value(), 0..4).prop_map(object),
            1..6,
        ),
    ) {
        keeps(&lines);
    }
}
