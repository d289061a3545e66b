//! Whatever two types meet in a column, what is published says the values that were read, or they are named: over all
//! pairs of types, alone, in lists and in structs, in both orders of arrival, in one run and in the next.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::*;
use arrow_schema::DataType;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;

use super::decode::object::whole;
use super::decode::parquet::{Footer, parse_footer, schema};
use super::decode::{RecordDecoder, infer};
use super::encode::value::{RAW, WholeJson, push_json_string, writer};
use super::json_round_trip::number;
use super::{Block, Decoded, LineEnd};
use crate::model::fixtures::settings;
use crate::model::format::{Decoding, TextFormat};
use crate::model::schema::{JSON, RESCUED_COLUMN, TableSchema, frozen, merge, type_name};
use crate::model::settings::{CsvReadSettings, Evolution, SchemaSettings};

/// What a value says, in the ways that a type may hold it.
#[derive(Clone, Debug)]
struct Said {
    /// As text; `None` for bytes that are none.
    text: Option<String>,
    /// As JSON, which `_rescued_data` has.
    json: String,
    /// As a number, in one form for all its texts.
    number: Option<String>,
    float: Option<f64>,
    /// As a date or time, without the zeros at its end.
    time: Option<String>,
    bytes: Option<Vec<u8>>,
    is_day: bool,
    /// What the only item or member of it says; `None` for null.
    inside: Option<Box<Said>>,
}

impl Said {
    fn is_text(&self) -> bool {
        self.inside.as_ref().map_or(self.text.is_some(), |inside| inside.is_text())
    }
}

/// An object of one column, `v`, and what its rows say.
struct Object {
    name: String,
    format: Decoding,
    bytes: Bytes,
    rows: Vec<Option<Said>>,
}

fn text_of(array: &ArrayRef, row: usize) -> String {
    let mut text = Vec::new();
    writer(array.as_ref(), &RAW)(row, &mut text);
    String::from_utf8(text).unwrap()
}

fn json_of(array: &ArrayRef, row: usize) -> String {
    let mut text = Vec::new();
    writer(array.as_ref(), &WholeJson)(row, &mut text);
    String::from_utf8(text).unwrap()
}

fn quoted(text: &str) -> String {
    let mut json = Vec::new();
    push_json_string(text, &mut json);
    String::from_utf8(json).unwrap()
}

/// A date is its midnight; zeros at the end of a fraction say nothing.
fn time(text: &str) -> String {
    let (text, zone) = text.strip_suffix('Z').map_or((text, ""), |text| (text, "Z"));
    let text = if text.contains(':') { text.to_owned() } else { format!("{text}T00:00:00.0") };
    format!("{}{zone}", text.trim_end_matches('0'))
}

/// What lies in a list of one item, or in a struct of one member.
fn inside(array: &ArrayRef, row: usize) -> Option<ArrayRef> {
    match array.data_type() {
        DataType::List(_) => Some(array.as_list::<i32>().value(row)),
        DataType::Struct(_) => Some(array.as_struct().column(0).slice(row, 1)),
        _ => None,
    }
}

/// Whether a row is null, also in an array of nulls alone, which has no mask.
fn is_null(array: &ArrayRef, row: usize) -> bool {
    array.logical_nulls().is_some_and(|nulls| nulls.is_null(row))
}

fn said(array: &ArrayRef, row: usize) -> Option<Said> {
    if is_null(array, row) {
        return None;
    }
    let text = if array.data_type().is_nested() { json_of(array, row) } else { text_of(array, row) };
    let (mut said, data_type) = (
        Said {
            text: Some(text.clone()),
            json: json_of(array, row),
            number: None,
            float: None,
            time: None,
            bytes: None,
            is_day: *array.data_type() == DataType::Date32,
            inside: None,
        },
        array.data_type(),
    );
    match data_type {
        DataType::Float32 => said.float = Some(array.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => said.float = Some(array.as_primitive::<Float64Type>().value(row)),
        _ => {}
    }
    // What is no float has what a float's shortest text says, but for the sign of zero.
    if said.float.is_some_and(|float| float.is_finite() && (float != 0.0 || float.is_sign_positive())) {
        said.number = Some(number(&text));
    }
    match data_type {
        _ if data_type.is_floating() => {}
        _ if data_type.is_numeric() => said.number = Some(number(&text)),
        _ if data_type.is_temporal() => said.time = Some(time(&text)),
        DataType::Binary => said.bytes = Some(array.as_binary::<i32>().value(row).to_vec()),
        DataType::FixedSizeBinary(_) => said.bytes = Some(array.as_fixed_size_binary().value(row).to_vec()),
        _ => {}
    }
    said.inside = inside(array, row).and_then(|inside| self::said(&inside, 0)).map(Box::new);
    if let Some(bytes) = &said.bytes {
        said.text = String::from_utf8(bytes.clone()).ok();
    }
    Some(said)
}

/// Whether a value of a table says the same.
fn says(array: &ArrayRef, row: usize, said: &Said) -> bool {
    if is_null(array, row) {
        return false;
    }
    let text = text_of(array, row);
    match array.data_type() {
        DataType::Utf8 => said.text == Some(text),
        &JSON => match (&said.bytes, &said.text) {
            (Some(_), text) => text.as_deref().map(quoted) == Some(json_of(array, row)),
            _ => said.json == json_of(array, row),
        },
        data_type if data_type.is_nested() => match (&said.inside, inside(array, row)) {
            (Some(said), Some(item)) => says(&item, 0, said),
            _ => said.json == json_of(array, row),
        },
        DataType::Float64 | DataType::Float32 => {
            let value = array.to_data();
            let value = match array.data_type() {
                DataType::Float32 => f64::from(Float32Array::from(value).value(row)),
                _ => Float64Array::from(value).value(row),
            };
            said.float.map_or_else(|| said.number == Some(number(&text)), |float| float.to_bits() == value.to_bits())
        }
        data_type if data_type.is_numeric() => said.number == Some(number(&text)),
        data_type if data_type.is_temporal() => {
            // A day is the instant at which it begins, with a zone and without.
            let is_day = said.is_day || *array.data_type() == DataType::Date32;
            let zone = if is_day { "Z" } else { "" };
            said.time.as_ref().is_some_and(|said| said.trim_end_matches(zone) == time(&text).trim_end_matches(zone))
        }
        DataType::Binary => said.bytes.as_deref() == Some(array.as_binary::<i32>().value(row)),
        _ => said.text == Some(text),
    }
}

fn parquet(name: &str, array: ArrayRef) -> Object {
    let batch = RecordBatch::try_from_iter_with_nullable([("v", array.clone(), true)]).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let rows = (0..array.len()).map(|row| said(&array, row)).collect();
    Object { name: format!("parquet {name}"), format: Decoding::Parquet, bytes: bytes.into(), rows }
}

fn avro(name: &str, array: &ArrayRef) -> Object {
    let batch = RecordBatch::try_from_iter_with_nullable([("v", array.clone(), true)]).unwrap();
    let mut writer = arrow_avro::writer::AvroWriter::new(Vec::new(), batch.schema().as_ref().clone()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    let rows = (0..array.len()).map(|row| said(array, row)).collect();
    Object { name: format!("avro {name}"), format: Decoding::Avro, bytes: writer.into_inner().into(), rows }
}

/// Cells of csv, or values of JSON, which are what they say.
fn text(format: TextFormat, values: &[&str]) -> Object {
    let row = |value: &&str| {
        let json = if format == TextFormat::CSV { quoted(value) } else { (*value).to_owned() };
        let is_number = value.parse::<f64>().is_ok();
        let said = Said {
            text: Some(if format == TextFormat::CSV {
                (*value).to_owned()
            } else {
                value.trim_matches('"').to_owned()
            }),
            json,
            number: is_number.then(|| number(value)),
            float: None,
            time: (value.starts_with("20")).then(|| time(value)),
            bytes: None,
            is_day: value.len() == 10,
            inside: None,
        };
        (!value.is_empty() && *value != "null").then_some(said)
    };
    let lines = values
        .iter()
        .map(|value| if format == TextFormat::CSV { format!("{value}\n") } else { format!("{{\"v\":{value}}}\n") });
    let name = format!("{format:?} {}", values[0]);
    Object {
        name,
        format: Decoding::Text(format),
        bytes: lines.collect::<String>().into(),
        rows: values.iter().map(row).collect(),
    }
}

fn rules(evolution: Evolution) -> SchemaSettings {
    SchemaSettings { evolution, ..settings().schema }
}

fn block(object: &Object) -> Block {
    Block { bytes: object.bytes.clone(), offset: 0, line: 1, line_end: LineEnd::Newline }
}

fn header(object: &Object) -> Option<Vec<String>> {
    (object.format == Decoding::Text(TextFormat::CSV)).then(|| vec!["v".to_owned()])
}

fn footer(object: &Object) -> Arc<parquet::file::metadata::ParquetMetaData> {
    let Ok(Footer::Done(metadata)) = parse_footer(object.bytes.clone(), object.bytes.len() as u64, 1 << 20) else {
        panic!("no footer")
    };
    metadata
}

fn schema_of(object: &Object) -> TableSchema {
    match object.format {
        Decoding::Parquet => schema(&footer(object)).unwrap(),
        Decoding::Text(format) => {
            infer(format, &CsvReadSettings::default(), header(object).as_deref(), &block(object)).unwrap()
        }
        Decoding::Avro => whole::schema_of(Decoding::Avro, &object.bytes, 1 << 20).unwrap(),
    }
}

fn decode(object: &Object, table: &TableSchema) -> Decoded {
    let table = Arc::new(table.clone());
    match object.format {
        Decoding::Text(format) => {
            let (csv, header) = (CsvReadSettings::default(), header(object));
            let decoder = RecordDecoder::new(format, &csv, header.as_deref(), table, &[], 1000).unwrap();
            decoder.decode(&block(object)).unwrap()
        }
        Decoding::Parquet | Decoding::Avro => {
            let (options, table) = (whole::options(&object.bytes), table.as_ref().clone());
            let decoded = whole::decode(object.format, &object.bytes, options, table, 1 << 20).unwrap();
            decoded.into_iter().next().expect("a batch")
        }
    }
}

/// One run over some objects, of which the first `sampled` show the schema.
fn run(
    objects: &[&Object],
    sampled: usize,
    evolution: Evolution,
    in_force: Option<&TableSchema>,
) -> Result<TableSchema, String> {
    let inferred = objects[..sampled].iter().map(|object| schema_of(object)).reduce(|a, b| merge(&a, &b)).unwrap();
    let mut table = frozen(&rules(evolution), false, &inferred, in_force).map_err(|error| error.to_string())?;
    for _ in 0..8 {
        let decoded: Vec<Decoded> = objects.iter().map(|object| decode(object, &table)).collect();
        let mismatch = decoded.iter().filter_map(|decoded| decoded.mismatch.clone()).reduce(|a, b| merge(&a, &b));
        let Some(mismatch) = mismatch else {
            objects.iter().zip(&decoded).for_each(|(object, decoded)| looked_at(object, decoded, &table));
            return Ok(table);
        };
        let wider =
            frozen(&rules(evolution), false, &merge(&table, &mismatch), in_force).map_err(|error| error.to_string())?;
        assert_ne!(wider, table, "a mismatch that changes nothing");
        table = wider;
    }
    panic!("planning does not end");
}

/// Every row of an object is there as what it was, or rescued as that, or a bad record that shows it.
fn looked_at(object: &Object, decoded: &Decoded, table: &TableSchema) {
    let bad: BTreeMap<u64, &str> = decoded.bad.iter().map(|bad| (bad.record, bad.raw.as_str())).collect();
    let rows = arrow::compute::concat_batches(&table.arrow(), &decoded.batches()).unwrap();
    assert_eq!(rows.num_rows() + bad.len(), object.rows.len(), "rows are lost");
    let column = rows.column_by_name("v").unwrap();
    let mut next = 0;
    for (row, said) in object.rows.iter().enumerate() {
        if let Some(raw) = bad.get(&(row as u64)) {
            let said = said.as_ref().expect("a null is no bad record");
            assert!(!said.is_text() && raw.contains(&said.json), "{raw} for {said:?}");
            continue;
        }
        let rescued = rows.column_by_name(RESCUED_COLUMN).map(|column| column.as_string::<i32>());
        let rescued = rescued.filter(|column| column.is_valid(next)).map(|column| column.value(next));
        match (said, rescued) {
            (None, rescued) => assert!(is_null(column, next) && rescued.is_none(), "a null became something"),
            (Some(said), None) => assert!(says(column, next, said), "{said:?} became {}", text_of(column, next)),
            (Some(said), Some(rescued)) => {
                assert_eq!(rescued, format!("{{\"v\":{}}}", said.json));
                assert!(is_null(column, next), "it is there twice");
            }
        }
        next += 1;
    }
}

fn decimals(values: &[i128], precision: u8, scale: i8) -> ArrayRef {
    let values = values.iter().copied().map(Some).chain([None]);
    if precision > 38 {
        let array: Decimal256Array = values.map(|value| value.map(i256::from_i128)).collect();
        return Arc::new(array.with_precision_and_scale(precision, scale).unwrap());
    }
    Arc::new(values.collect::<Decimal128Array>().with_precision_and_scale(precision, scale).unwrap())
}

fn arrays() -> Vec<(String, ArrayRef)> {
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(NullArray::new(2)),
        Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        Arc::new(Int8Array::from(vec![Some(-128), Some(7), None])),
        Arc::new(UInt16Array::from(vec![Some(0), Some(u16::MAX), None])),
        Arc::new(Int64Array::from(vec![Some(-7), Some(1 << 53), None])),
        Arc::new(Int64Array::from(vec![Some((1 << 53) + 1), Some(1 << 60), Some(i64::MIN), Some(i64::MAX)])),
        Arc::new(UInt64Array::from(vec![Some(7), Some(u64::MAX), None])),
        Arc::new(Float32Array::from(vec![Some(0.1), Some(-0.0), Some(f32::NAN), Some(1e30), None])),
        Arc::new(Float64Array::from(vec![
            Some(0.1),
            Some(-0.0),
            Some(f64::NEG_INFINITY),
            Some(1e300),
            Some(1e18),
            None,
        ])),
        decimals(&[150, -99_999], 10, 2),
        decimals(&[150, -99_999, 10_i128.pow(37)], 38, 0),
        decimals(&[1, 10_i128.pow(37)], 38, 38),
        decimals(&[1, 10_i128.pow(37)], 38, 20),
        decimals(&[150, i128::MAX], 50, 2),
        decimals(&[150, i128::MIN], 76, 40),
        Arc::new(StringArray::from(vec![
            Some("x"),
            Some(""),
            Some("7"),
            Some("true"),
            Some("AP8="),
            Some("2024-01-31"),
            None,
        ])),
        Arc::new(BinaryArray::from_opt_vec(vec![Some(b"text"), Some(b"AP8="), Some(b""), None])),
        Arc::new(BinaryArray::from_opt_vec(vec![Some(b"\xff\x00"), Some(b"t\xc3\xa9xt"), None])),
        Arc::new(FixedSizeBinaryArray::try_from_iter([b"abc", b"\xff\xfe\xfd"].into_iter()).unwrap()),
        Arc::new(Date32Array::from(vec![Some(-1), Some(19_753), None])),
        Arc::new(Date32Array::from(vec![Some(i32::MAX)])),
        Arc::new(Time32MillisecondArray::from(vec![Some(1), Some(86_399_999), None])),
        Arc::new(Time64MicrosecondArray::from(vec![Some(1), None])),
        Arc::new(Time64NanosecondArray::from(vec![Some(1), None])),
    ];
    for zone in [None, Some("UTC")] {
        arrays.push(Arc::new(
            TimestampMillisecondArray::from(vec![Some(1), Some(-62_135_596_800_000), None]).with_timezone_opt(zone),
        ));
        arrays.push(Arc::new(
            TimestampMicrosecondArray::from(vec![Some(1), Some(i64::MAX), Some(0), None]).with_timezone_opt(zone),
        ));
        arrays.push(Arc::new(
            TimestampNanosecondArray::from(vec![Some(1), Some(i64::MIN), None]).with_timezone_opt(zone),
        ));
    }
    arrays.into_iter().map(|array| (array.data_type().to_string(), array)).collect()
}

/// Each value as the only item of a list, and as the only member of a struct.
fn nested(array: &ArrayRef) -> [ArrayRef; 2] {
    let item = Arc::new(Field::new("item", array.data_type().clone(), true));
    let list =
        ListArray::new(item, OffsetBuffer::from_lengths(std::iter::repeat_n(1, array.len())), array.clone(), None);
    let member = Fields::from(vec![Field::new("f", array.data_type().clone(), true)]);
    [Arc::new(list), Arc::new(StructArray::new(member, vec![array.clone()], None))]
}

/// Both orders of arrival, with one object sampled or both, and then in two runs.
fn meet(a: &Object, b: &Object) {
    let force = run(&[a], 1, Evolution::AddColumns, None).unwrap().settled();
    for objects in [[a, b], [b, a]] {
        for sampled in [1, 2] {
            run(&objects, sampled, Evolution::AddColumns, None).unwrap();
            run(&objects, sampled, Evolution::Rescue, None).unwrap();
        }
    }
    run(&[b], 1, Evolution::Rescue, Some(&force)).expect("Rescue refuses nothing");
    for evolution in [Evolution::AddColumns, Evolution::Fail] {
        if let Err(error) = run(&[b], 1, evolution, Some(&force)) {
            let in_force = type_name(&force.columns[0].data_type);
            assert!(error.starts_with(&format!("column v is {in_force} in earlier epochs and ")), "{error}");
        }
    }
}

fn meet_all(objects: &[Object]) {
    let pairs = objects.iter().flat_map(|a| objects.iter().map(move |b| (a, b)));
    let fails = |(a, b): &(&Object, &Object)| catch_unwind(AssertUnwindSafe(|| meet(a, b))).is_err();
    let failed: Vec<String> = pairs.filter(fails).map(|(a, b)| format!("{} with {}", a.name, b.name)).collect();
    assert!(failed.is_empty(), "what they say is above:\n{}", failed.join("\n"));
}

fn texts() -> Vec<Object> {
    let csv = |values: &[&str]| text(TextFormat::CSV, values);
    let jsonl = |values: &[&str]| text(TextFormat::Jsonl, values);
    vec![
        csv(&["7", "-12", ""]),
        csv(&["9007199254740993", "9223372036854775807"]),
        csv(&["1.5", "0.1", ""]),
        csv(&["1e300", "-0"]),
        csv(&["0.123456789012345678", "12345678901234567890"]),
        csv(&["12345678901234567890123456789012345678"]),
        csv(&["true", "false"]),
        csv(&["2024-01-31", ""]),
        csv(&["2024-01-31T01:02:03.000004Z"]),
        csv(&["x", "007", "AP8="]),
        jsonl(&["7", "-12", "null"]),
        jsonl(&["1.5", "9007199254740993"]),
        jsonl(&["true"]),
        jsonl(&["\"x\"", "\"7\""]),
        jsonl(&["[1]", "[]"]),
        jsonl(&["{\"a\":1}"]),
    ]
}

#[test]
fn values_survive_whatever_they_meet() {
    // Avro goes the way of parquet from there on, so that some of its types show the rest.
    let of_avro = ["Int64", "Float32", "Decimal128(38, 20)", "Timestamp(µs, \"UTC\")"];
    let some = arrays().into_iter().filter(|(name, _)| of_avro.contains(&name.as_str()));
    let avro: Vec<Object> = some.map(|(name, array)| avro(&name, &array)).collect();
    assert!(avro.len() >= of_avro.len(), "{} of them", avro.len());
    let objects = arrays().into_iter().map(|(name, array)| parquet(&name, array)).chain(texts()).chain(avro);
    meet_all(&objects.collect::<Vec<_>>());
}

#[test]
fn values_inside_survive_whatever_they_meet() {
    for shape in [0, 1] {
        let objects: Vec<Object> =
            arrays().iter().map(|(name, array)| parquet(name, nested(array)[shape].clone())).collect();
        meet_all(&objects);
    }
}
