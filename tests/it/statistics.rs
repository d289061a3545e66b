//! What is known of a Parquet file once it is written, against what pyarrow reads from its footer and its rows.

use std::sync::Arc;

use arrow::array::*;
use arrow::compute::cast;
use arrow::datatypes::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use s3sync::api::manifest::check_text;
use s3sync::codec::decode::parquet::{Footer, ParquetDecoder, ParquetPlan, parse_footer, row_groups, schema};
use s3sync::codec::encode::{EncodeError, EncodeOptions, FileEncoder, parquet_codec};
use s3sync::codec::{Passthrough, Rows};
use s3sync::model::data_file::{Bound, FileStatistics};
use s3sync::model::scalar::Scalar;
use serde_json::{Value, json};

use crate::support::python;

/// What pyarrow says of a file, as `shown` shows what we do. What it does not say of a footer comes from the rows: a
/// bound is exact when it is a value; floats that are no number are counted; and the bounds of floats, which their
/// writer compares by IEEE 754's total order, are their least and greatest, because pyarrow does not know that order.
const FOOTER: &str = r#"
import struct
def bound(raw, column):
    logical, physical = json.loads(column.logical_type.to_json()), column.physical_type
    kind = logical["Type"]
    if kind == "Decimal":
        unscaled = raw if isinstance(raw, int) else int.from_bytes(raw, "big", signed=True)
        return {"decimal": str(unscaled), "scale": logical["scale"]}
    if kind in ("Time", "Timestamp"):
        unit = {"milliseconds": "ms", "microseconds": "us", "nanoseconds": "ns"}[logical["timeUnit"]]
        instant = {"instant": logical["isAdjustedToUTC"]} if kind == "Timestamp" else {}
        return {kind.lower(): raw, "unit": unit, **instant}
    if kind == "Date":
        return {"date": raw}
    if kind == "Float16":
        return {"float": struct.unpack("<e", raw)[0]}
    if kind in ("String", "JSON"):
        return {"text": raw.decode()}
    if isinstance(raw, bytes):
        return {"bytes": base64.b64encode(raw).decode()}
    if isinstance(raw, (bool, float)):
        return {type(raw).__name__: raw}
    if kind == "Int" and not logical["isSigned"]:
        return {"uint": raw % (1 << {"INT32": 32, "INT64": 64}[physical])}
    return {"int": raw}
def order(raw, column):
    shown = bound(raw, column)
    value = shown["text"].encode() if "text" in shown else base64.b64decode(shown["bytes"]) if "bytes" in shown else next(iter(shown.values()))
    return int(value) if "decimal" in shown else value
meta = pq.ParquetFile(path).metadata
table = pq.read_table(path)
groups = [meta.row_group(at) for at in range(meta.num_row_groups)]
columns = []
for leaf in range(meta.num_columns):
    column = meta.schema.column(leaf)
    chunks = [group.column(leaf) for group in groups]
    stats = [chunk.statistics for chunk in chunks]
    bounds = [(s.min_raw, s.max_raw) for s in stats if s is not None and s.has_min_max]
    bounds = [(a, b) for a, b in bounds if a == a and b == b]
    shown = {"path": column.path, "values": sum(c.num_values for c in chunks), "bytes": sum(c.total_compressed_size for c in chunks),
             "nulls": sum(s.null_count for s in stats)}
    shown["min"] = bound(min((a for a, _ in bounds), key=lambda raw: order(raw, column)), column) if bounds else None
    shown["max"] = bound(max((b for _, b in bounds), key=lambda raw: order(raw, column)), column) if bounds else None
    if "." not in column.path:
        rows = table[column.path]
        if pa.types.is_floating(rows.type):
            floats = [value for value in rows.to_pylist() if value is not None]
            shown["nans"] = sum(1 for value in floats if value != value)
            for end, of in (("min", min), ("max", max)):
                shown[end] = {"float": of(v for v in floats if v == v)} if len(floats) > shown["nans"] else None
        if bounds and ("text" in shown["min"] or "bytes" in shown["min"]):
            plain = {bytes(v) if isinstance(v, bytes) else v.encode() for v in rows.to_pylist() if v is not None}
            value = lambda b: b["text"].encode() if "text" in b else base64.b64decode(b["bytes"])
            shown["exact"] = [value(shown[end]) in plain for end in ("min", "max")]
    columns.append(shown)
first = lambda group: min(o for o in (group.column(0).dictionary_page_offset, group.column(0).data_page_offset) if o)
result = {"rows": meta.num_rows, "bytes": os.path.getsize(path), "splits": [first(group) for group in groups], "columns": columns}
"#;

fn unit(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    }
}

fn scalar(value: &Scalar) -> Value {
    match value {
        Scalar::Boolean(value) => json!({"bool": value}),
        Scalar::Int(value) => json!({"int": value}),
        Scalar::UInt(value) => json!({"uint": value}),
        Scalar::Float32(value) => json!({"float": f64::from(*value)}),
        Scalar::Float64(value) => json!({"float": value}),
        Scalar::Decimal { unscaled, scale } => json!({"decimal": unscaled.to_string(), "scale": scale}),
        Scalar::Date(days) => json!({"date": days}),
        Scalar::Time(value, of) => json!({"time": value, "unit": unit(*of)}),
        Scalar::Timestamp { value, unit: of, instant } => {
            json!({"timestamp": value, "unit": unit(*of), "instant": instant})
        }
        Scalar::Text(text) => json!({"text": text}),
        Scalar::Binary(bytes) => json!({"bytes": STANDARD.encode(bytes)}),
    }
}

/// `footer`'s columns name what is compared: NaN and exactness are known to pyarrow of some alone.
fn shown(statistics: &FileStatistics, footer: &Value) -> Value {
    let bound = |bound: &Option<Bound>| bound.as_ref().map(|bound| scalar(&bound.value));
    let exact = |bound: &Option<Bound>| bound.as_ref().map(|bound| bound.exact);
    let columns = statistics.columns.iter().enumerate().map(|(at, column)| {
        let mut shown = json!({
            "path": column.path.join("."), "values": column.values, "bytes": column.compressed_bytes,
            "nulls": column.nulls, "min": bound(&column.min), "max": bound(&column.max),
        });
        let footer = &footer["columns"][at];
        if let Some(counted) = footer.get("nans") {
            shown["nans"] = column.nans.map_or_else(|| counted.clone(), Value::from);
        }
        if footer.get("exact").is_some() {
            shown["exact"] = json!([exact(&column.min), exact(&column.max)]);
        }
        shown
    });
    json!({
        "rows": statistics.rows, "bytes": statistics.bytes, "splits": statistics.split_offsets,
        "columns": columns.collect::<Vec<_>>(),
    })
}

fn options(more: &str) -> EncodeOptions {
    let manifest = format!(
        "apiVersion: s3sync.dev/v1alpha1\nkind: S3Sync\nmetadata: {{name: one}}\nspec:\n  \
         source: {{bucket: raw}}\n  destination: {{bucket: lake, format: parquet{more}}}\n"
    );
    let manifest = check_text(&manifest).expect("a good manifest");
    EncodeOptions::new(&manifest.syncs[0].resolved.settings.destination, 64 << 10, Vec::new())
}

/// Writes a file, and compares what is said of it with what pyarrow says.
#[track_caller]
fn check(options: &EncodeOptions, schema: &SchemaRef, rows: &[Rows]) -> (Bytes, FileStatistics) {
    let mut encoder = FileEncoder::new(options, schema).expect("types that Parquet has");
    let mut file = Vec::new();
    let mut take = |bytes: Bytes| {
        file.extend_from_slice(&bytes);
        Ok::<(), EncodeError>(())
    };
    for rows in rows {
        encoder.write(rows).expect("rows in the file's schema");
        encoder.give_out(&mut take).expect("takes all");
    }
    let statistics = encoder.finish(&mut take).expect("ends");
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("file.parquet");
    std::fs::write(&path, &file).expect("writes");
    let footer = python(FOOTER, json!({"path": path}));
    assert_eq!(shown(&statistics, &footer), footer);
    (file.into(), statistics)
}

/// Twenty rows of every type: nulls among them, a row group of nulls alone, below zero and above.
fn every_type() -> RecordBatch {
    let numbers = Int64Array::from_iter((0..20).map(|n: i64| (n % 3 != 0 && n < 14).then_some(n * 37 % 101 - 50)));
    let numbers: ArrayRef = Arc::new(numbers);
    let positive: ArrayRef = Arc::new(Int64Array::from_iter((0..20).map(|n: i64| (n % 4 != 0).then_some(n * 11 % 97))));
    let of = |array: &ArrayRef, data_type: DataType| cast(array, &data_type).expect("fits");
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    let mut add = |name: &str, array: ArrayRef| columns.push((name.to_owned(), array));
    for data_type in [
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::Float16,
        DataType::Float32,
        DataType::Float64,
        DataType::Decimal128(9, 2),
        DataType::Decimal128(18, 3),
        DataType::Decimal128(38, 10),
        DataType::Decimal256(60, 5),
        DataType::Timestamp(TimeUnit::Second, Some("UTC".into())),
        DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
        DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Duration(TimeUnit::Millisecond),
    ] {
        add(&data_type.to_string(), of(&numbers, data_type));
    }
    for data_type in [
        DataType::UInt8,
        DataType::UInt16,
        DataType::UInt32,
        DataType::UInt64,
        DataType::Time64(TimeUnit::Microsecond),
        DataType::Time64(TimeUnit::Nanosecond),
    ] {
        add(&data_type.to_string(), of(&positive, data_type));
    }
    let days = of(&numbers, DataType::Int32);
    add("date", of(&days, DataType::Date32));
    let seconds = of(&positive, DataType::Int32);
    add("time s", of(&seconds, DataType::Time32(TimeUnit::Second)));
    add("time ms", of(&seconds, DataType::Time32(TimeUnit::Millisecond)));
    add("large", Arc::new(UInt64Array::from_iter_values((0..20).map(|n| u64::MAX - n))));
    add("flag", Arc::new(BooleanArray::from_iter((0..20).map(|n| (n % 5 != 0).then_some(n % 2 == 0)))));
    let floats = |n: i32| match n {
        3 | 9 => Some(f64::NAN),
        4 => None,
        n => Some(f64::from(n) / 3.0 - 2.0),
    };
    add("some NaN", Arc::new(Float64Array::from_iter((0..20).map(floats))));
    add(
        "first group NaN",
        Arc::new(Float32Array::from_iter_values((0..20).map(|n| if n < 7 { f32::NAN } else { n as f32 }))),
    );
    add("NaN alone", Arc::new(Float64Array::from(vec![Some(f64::NAN); 20])));
    add("nulls alone", Arc::new(Float64Array::from(vec![None; 20])));
    let texts = |long: bool| {
        let tail = if long { "ü€🦀".repeat(30) } else { String::new() };
        StringArray::from_iter((0..20).map(|n| (n % 6 != 0).then(|| format!("{}{tail}", n * 7 % 23))))
    };
    add("text", Arc::new(texts(false)));
    add("long text", Arc::new(texts(true)));
    // Nothing is greater than it that is shorter.
    add("greatest", Arc::new(BinaryArray::from_iter_values((0..20).map(|_| [0xff; 100]))));
    add("bytes", Arc::new(BinaryArray::from_iter_values((0..20u8).map(|n| [n, 0xff, 0]))));
    add("json", Arc::new(LargeStringArray::from_iter_values((0..20).map(|n| format!("{{\"n\":{n}}}")))));
    add("fixed", Arc::new(FixedSizeBinaryArray::try_from_iter((0..20u8).map(|n| [n; 16])).expect("one size")));
    let lists =
        (0..20).map(|n| (n % 4 != 0).then(|| (0..n % 3).map(|m| (m != 1).then_some(n + m)).collect::<Vec<_>>()));
    add("list", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists)));
    let fields = Fields::from(vec![Field::new("x", DataType::Int64, true), Field::new("y.z", DataType::Utf8, true)]);
    let outer = (0..20).map(|n| n % 5 != 2).collect::<Vec<bool>>().into();
    let inner: Vec<ArrayRef> = vec![Arc::clone(&numbers), Arc::new(texts(false))];
    add("struct", Arc::new(StructArray::new(fields, inner, Some(outer))));
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    for n in 0..20 {
        map.keys().append_value(format!("k{n}"));
        map.values().append_option((n % 3 != 0).then_some(n));
        map.append(n % 7 != 0).expect("one entry");
    }
    add("map", Arc::new(map.finish()));
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .expect("columns of one length")
}

#[test]
fn statistics_are_what_the_footer_says() {
    let batch = every_type();
    let options = options(", parquet: {rowGroupRows: 7}");
    let (_, statistics) = check(&options, &batch.schema(), &[Rows::Batch(batch.clone())]);
    assert_eq!((statistics.rows, statistics.split_offsets.len()), (20, 3));
    let of = |path: &str| statistics.columns.iter().find(|column| column.path.join(".") == path).expect(path);
    // Each of what pyarrow compares is there at all.
    let counted = |path: &str| (of(path).nulls, of(path).nans, of(path).min.is_some(), of(path).max.is_some());
    assert_eq!(counted("some NaN"), (Some(1), Some(2), true, true));
    assert_eq!(counted("first group NaN"), (Some(0), Some(7), true, true));
    assert_eq!(counted("NaN alone"), (Some(0), Some(20), false, false));
    assert_eq!(counted("nulls alone"), (Some(20), Some(0), false, false));
    assert_eq!(counted("Int64"), (Some(11), None, true, true));
    assert_eq!(of("struct.y.z").path, ["struct", "y.z"]);
    let long = [&of("long text").min, &of("long text").max].map(|bound| bound.clone().expect("a bound"));
    assert!(long.iter().all(|bound| !bound.exact && bound.value.memory_bytes() < size_of::<Scalar>() + 70), "{long:?}");
    assert!(of("text").min.as_ref().is_some_and(|bound| bound.exact));
    // Nothing written is a file too.
    let (_, nothing) = check(&options, &batch.schema(), &[]);
    assert_eq!((nothing.rows, nothing.columns.len()), (0, statistics.columns.len()));
}

/// What others wrote and we take over as it is, theirs are the statistics.
#[test]
fn statistics_of_chunks_that_are_taken_over_are_their_writers() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("theirs.parquet");
    let code = "n = 9000\n\
        t = pa.table({'id': range(n), 'text': [None if i % 5 == 0 else f'text {i * 7919 % n} ' + 'ü' * 90 for i in range(n)], \
                      'ratio': [i / 8 - 100 for i in range(n)]})\n\
        pq.write_table(t, path, compression='zstd', row_group_size=3000)";
    python(code, json!({"path": path}));
    let object = Bytes::from(std::fs::read(&path).expect("written"));
    let size = object.len() as u64;
    let Footer::Done(metadata) = parse_footer(object.clone(), size, size).expect("a footer") else {
        panic!("all of it is there")
    };
    let options = options("");
    let table = Arc::new(schema(&metadata).expect("a schema"));
    let groups = row_groups(&metadata, None);
    let codec = parquet_codec(&options.parquet).expect("zstd");
    let read = ParquetPlan::new(metadata, &table, &[], &groups, 1000, 1 << 20).expect("columns that are known");
    let mut decoder = ParquetDecoder::new(Arc::new(read), Arc::new(object.clone()), groups)
        .with_passthrough(Some(Passthrough { codec, bytes_min: 1 }));
    let mut rows = Vec::new();
    while let Some(decoded) = decoder.next().expect("reads") {
        rows.extend(decoded.rows);
    }
    let (file, statistics) = check(&options, &table.arrow(), &rows);
    let [_, text, ratio] = statistics.columns.as_slice() else { panic!("{statistics:?}") };
    assert_eq!((text.nulls, statistics.split_offsets.len()), (Some(1800), 3));
    // pyarrow counts no NaN, and what it does not say is not known.
    assert_eq!((ratio.nulls, ratio.nans), (Some(0), None));
    // It was taken over: the same bytes as theirs.
    let Footer::Done(ours) = parse_footer(file.clone(), file.len() as u64, size).expect("a footer") else {
        panic!("all of it is there")
    };
    let (start, length) = ours.row_group(0).column(1).byte_range();
    let chunk = &file[start as usize..(start + length) as usize];
    assert!(object.windows(chunk.len()).any(|window| window == chunk), "the chunk of text is theirs");
}
