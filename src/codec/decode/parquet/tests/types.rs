//! Every type that a writer may use, and every codec.

use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::*;
use arrow_schema::{DataType, TimeUnit};
use parquet::basic::{BrotliLevel, Compression, Encoding, GzipLevel, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int96, Int96Type};
use parquet::file::properties::WriterVersion;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::*;
use crate::model::schema::{Column, JSON, Misfit, merge};

/// A column that is carried as it is written.
#[track_caller]
fn same(array: impl Array + 'static) {
    let array: ArrayRef = Arc::new(array);
    carried_as(array.clone(), array);
}

#[track_caller]
fn carried_as(array: ArrayRef, expected: ArrayRef) {
    let object = object(vec![("x", array)], plainly());
    let metadata = footer(&object).unwrap();
    let table = schema(&metadata).unwrap();
    assert_eq!(table.columns[0].data_type, *expected.data_type());
    let read = read_from(object.clone(), metadata.clone(), &table, &[], 1000).unwrap().rows.unwrap();
    assert_eq!(read.column(0).as_ref(), expected.as_ref());
    for window_bytes in [1, 3] {
        let trickle = Trickle { object: object.clone(), window_bytes };
        assert_eq!(read_from(trickle, metadata.clone(), &table, &[], 1000).unwrap().rows.unwrap(), read);
    }
}

#[test]
fn numbers_and_times_keep_their_type() {
    same(BooleanArray::from(vec![Some(true), None, Some(false)]));
    same(Int8Array::from(vec![Some(i8::MIN), None]));
    same(Int16Array::from(vec![Some(i16::MIN), None]));
    same(Int32Array::from(vec![Some(i32::MIN), None]));
    same(Int64Array::from(vec![Some(i64::MIN), None]));
    same(UInt8Array::from(vec![Some(u8::MAX), None]));
    same(UInt16Array::from(vec![Some(u16::MAX), None]));
    same(UInt32Array::from(vec![Some(u32::MAX), None]));
    same(UInt64Array::from(vec![Some(u64::MAX), None]));
    same(Float32Array::from(vec![Some(1.5), None]));
    same(Float64Array::from(vec![Some(f64::MIN_POSITIVE), None]));
    same(Date32Array::from(vec![Some(-1), None]));
    same(Time32SecondArray::from(vec![Some(1), None]));
    same(Time32MillisecondArray::from(vec![Some(1), None]));
    same(Time64MicrosecondArray::from(vec![Some(1), None]));
    same(Time64NanosecondArray::from(vec![Some(1), None]));
    for (precision, scale) in [(5, 2), (18, 0), (38, 10)] {
        let decimals = Decimal128Array::from(vec![Some(-12_345), None]);
        same(decimals.with_precision_and_scale(precision, scale).unwrap());
    }
    same(Decimal256Array::from(vec![Some(i256::MINUS_ONE), None]).with_precision_and_scale(76, 3).unwrap());
}

#[test]
fn a_column_of_nulls_is_pending() {
    let object = object(vec![("x", Arc::new(NullArray::new(3)) as ArrayRef)], plainly());
    let table = schema(&footer(&object).unwrap()).unwrap();
    assert_eq!(table.columns[0].data_type, DataType::Null);
    let expected: ArrayRef = Arc::new(NullArray::new(3));
    assert_eq!(&column_of(&object, "x"), &expected);
}

#[test]
fn timestamps_are_utc_or_without_a_zone() {
    same(TimestampSecondArray::from(vec![Some(-1), None]));
    same(TimestampMillisecondArray::from(vec![Some(-1), None]));
    same(TimestampMicrosecondArray::from(vec![Some(-1), None]).with_timezone("UTC"));
    same(TimestampNanosecondArray::from(vec![Some(i64::MIN), None]));
    same(TimestampSecondArray::from(vec![Some(7)]).with_timezone("UTC"));
    carried_as(
        Arc::new(TimestampMicrosecondArray::from(vec![7]).with_timezone("Europe/Rome")),
        Arc::new(TimestampMicrosecondArray::from(vec![7]).with_timezone("UTC")),
    );
    carried_as(
        Arc::new(Date64Array::from(vec![Some(86_400_000), None])),
        Arc::new(TimestampMillisecondArray::from(vec![Some(86_400_000), None])),
    );
    carried_as(Arc::new(DurationMillisecondArray::from(vec![7])), Arc::new(Int64Array::from(vec![7])));
}

#[test]
fn text_and_bytes_have_one_layout_each() {
    let texts = || StringArray::from(vec![Some("a"), None, Some(""), Some("größer")]);
    same(texts());
    carried_as(Arc::new(LargeStringArray::from_iter(texts().iter())), Arc::new(texts()));
    carried_as(Arc::new(StringViewArray::from_iter(texts().iter())), Arc::new(texts()));
    carried_as(Arc::new(texts().iter().collect::<DictionaryArray<Int32Type>>()), Arc::new(texts()));
    let bytes = || BinaryArray::from_opt_vec(vec![Some(b"\xff\0".as_slice()), None, Some(b"")]);
    same(bytes());
    carried_as(Arc::new(LargeBinaryArray::from_iter(bytes().iter())), Arc::new(bytes()));
    carried_as(Arc::new(BinaryViewArray::from_iter(bytes().iter())), Arc::new(bytes()));
    carried_as(
        Arc::new(FixedSizeBinaryArray::try_from_iter([[1_u8, 2], [3, 4]].iter()).unwrap()),
        Arc::new(BinaryArray::from_vec(vec![&[1, 2], &[3, 4]])),
    );
    let halves = Float16Array::from_iter(Float32Array::from(vec![Some(1.5), None]).iter().map(|v| v.map(half_of)));
    carried_as(Arc::new(halves), Arc::new(Float32Array::from(vec![Some(1.5), None])));
}

/// 1.5 without naming the crate of half floats.
fn half_of(value: f32) -> <Float16Type as ArrowPrimitiveType>::Native {
    let cast = arrow::compute::cast(&Float32Array::from(vec![value]), &DataType::Float16).unwrap();
    cast.as_primitive::<Float16Type>().value(0)
}

#[test]
fn nested_values_come_under_the_usual_names() {
    let numbers = Int32Array::from(vec![Some(1), None, Some(3)]);
    let offsets = || OffsetBuffer::new(ScalarBuffer::from(vec![0, 2, 2, 3]));
    let nulls = || Some(NullBuffer::from(vec![true, false, true]));
    let named = |name: &str| {
        let item = Arc::new(Field::new(name, DataType::Int32, true));
        ListArray::new(item, offsets(), Arc::new(numbers.clone()), nulls())
    };
    same(named("item"));
    carried_as(Arc::new(named("element")), Arc::new(named("item")));
    let large = LargeListArray::new(
        Arc::new(Field::new("item", DataType::Int32, true)),
        OffsetBuffer::new(ScalarBuffer::from(vec![0_i64, 2, 2, 3])),
        Arc::new(numbers.clone()),
        nulls(),
    );
    carried_as(Arc::new(large), Arc::new(named("item")));
    let fixed = FixedSizeListArray::new(
        Arc::new(Field::new("item", DataType::Int32, true)),
        3,
        Arc::new(numbers.clone()),
        None,
    );
    let expected = ListArray::new(
        Arc::new(Field::new("item", DataType::Int32, true)),
        OffsetBuffer::new(ScalarBuffer::from(vec![0, 3])),
        Arc::new(numbers.clone()),
        None,
    );
    carried_as(Arc::new(fixed), Arc::new(expected));

    let fields: arrow_schema::Fields =
        vec![Field::new("n", DataType::Int32, true), Field::new("l", named("item").data_type().clone(), true)].into();
    let columns: Vec<ArrayRef> = vec![Arc::new(numbers.clone()), Arc::new(named("item"))];
    same(StructArray::new(fields, columns, nulls()));

    let map = |key: &str, value: &str| {
        let fields: arrow_schema::Fields =
            vec![Field::new(key, DataType::Utf8, false), Field::new(value, DataType::Int32, true)].into();
        let keys: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c"]));
        let entries = StructArray::new(fields.clone(), vec![keys, Arc::new(numbers.clone())], None);
        let entry = Arc::new(Field::new("entries", DataType::Struct(fields), false));
        MapArray::new(entry, offsets(), entries, nulls(), false)
    };
    same(map("key", "value"));
    carried_as(Arc::new(map("keys", "values")), Arc::new(map("key", "value")));
}

#[test]
fn every_codec_version_and_encoding_is_read() {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter((0..5000).map(|i| (i % 7 != 0).then_some(i * 3))));
    let texts: ArrayRef =
        Arc::new(StringArray::from_iter((0..5000).map(|i| (i % 5 != 0).then(|| format!("value {}", i % 100)))));
    let columns = || vec![("n", numbers.clone()), ("t", texts.clone())];
    let expected = object(columns(), plainly());
    let check = |properties: WriterPropertiesBuilder| {
        let object = object(columns(), properties);
        let all = |object: &Bytes| read(object, &schema(&footer(object).unwrap()).unwrap()).unwrap();
        assert_eq!(all(&object).rows, all(&expected).rows);
        assert_eq!(all(&object).batch_rows, [1000; 5]);
    };
    for codec in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ] {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            check(plainly().set_compression(codec).set_writer_version(version).set_data_page_size_limit(2000));
        }
    }
    check(plainly().set_dictionary_enabled(false));
    check(plainly().set_dictionary_enabled(false).set_column_encoding("t".into(), Encoding::DELTA_BYTE_ARRAY));
    check(plainly().set_dictionary_enabled(false).set_column_encoding("t".into(), Encoding::DELTA_LENGTH_BYTE_ARRAY));
    check(plainly().set_dictionary_enabled(false).set_column_encoding("n".into(), Encoding::DELTA_BINARY_PACKED));
}

/// An object of one column of bytes, by parquet's own schema language.
fn raw(message: &str, values: &[&[u8]]) -> Bytes {
    let mut bytes = Vec::new();
    let message = Arc::new(parse_message_type(message).unwrap());
    let mut writer = SerializedFileWriter::new(&mut bytes, message, Arc::new(plainly().build())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let values: Vec<ByteArray> = values.iter().map(|value| ByteArray::from(value.to_vec())).collect();
    column.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    bytes.into()
}

#[test]
fn enums_and_json_must_be_utf8() {
    let texts = |texts: [&'static str; 2]| -> ArrayRef { Arc::new(StringArray::from(texts.to_vec())) };
    for (annotation, is_json) in [("(ENUM)", false), ("(JSON)", true), ("(UTF8)", false)] {
        let message = format!("message m {{ required binary x {annotation}; }}");
        let expected = texts(["7", "\"ö\""]);
        let expected = if is_json { cast(&expected, &JSON).unwrap() } else { expected };
        assert_eq!(&column_of(&raw(&message, &[b"7", "\"ö\"".as_bytes()]), "x"), &expected, "{annotation}");
        let broken = raw(&message, &[b"7", b"\xff"]);
        let table = schema(&footer(&broken).unwrap()).unwrap();
        assert!(read(&broken, &table).is_err(), "{annotation}");
    }
}

/// What is annotated as JSON and is none makes the column text, for every row of it.
#[test]
fn json_that_is_none_is_text() {
    let object = raw("message m { required binary x (JSON); }", &[b"{\"a\":1}", b"{'a':1}"]);
    let table = schema(&footer(&object).unwrap()).unwrap();
    assert_eq!(table.columns[0].data_type, JSON);
    let mismatch = read(&object, &table).unwrap().decoded[0].mismatch.clone().expect("a mismatch");
    let wider = merge(&table, &mismatch);
    let expected: ArrayRef = Arc::new(StringArray::from(vec!["{\"a\":1}", "{'a':1}"]));
    assert_eq!(wider.columns[0].data_type, DataType::Utf8);
    assert_eq!(read(&object, &wider).unwrap().rows.unwrap().column(0), &expected);
}

/// Times as a day since 1970 and nanoseconds, `None` for null, as old writers have them.
fn int96(times: &[Option<(i64, u64)>], required: bool, properties: WriterPropertiesBuilder) -> Bytes {
    let message = format!("message m {{ {} int96 x; }}", if required { "required" } else { "optional" });
    int96_of(&message, times, required, properties)
}

fn int96_of(message: &str, times: &[Option<(i64, u64)>], required: bool, properties: WriterPropertiesBuilder) -> Bytes {
    let mut bytes = Vec::new();
    let message = Arc::new(parse_message_type(message).unwrap());
    let mut writer = SerializedFileWriter::new(&mut bytes, message, Arc::new(properties.build())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let value = |(day, nanos): &(i64, u64)| {
        let mut value = Int96::new();
        value.set_data(*nanos as u32, (nanos >> 32) as u32, (day + 2_440_588) as u32);
        value
    };
    let values: Vec<Int96> = times.iter().flatten().map(value).collect();
    let levels: Vec<i16> = times.iter().map(|time| i16::from(time.is_some())).collect();
    column.typed::<Int96Type>().write_batch(&values, (!required).then_some(&levels[..]), None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    bytes.into()
}

/// Whatever pages they lie in: INT96 is exactly what it says, or the object is bad, and a cast to nanoseconds helps.
#[test]
fn int96_is_microseconds_or_declared_nanoseconds() {
    use parquet::file::properties::WriterVersion::{PARQUET_1_0, PARQUET_2_0};
    let nanos = TableSchema {
        columns: vec![Column {
            misfit: Misfit::BadRecord,
            ..Column::inferred("x", DataType::Timestamp(TimeUnit::Nanosecond, None))
        }],
        ..TableSchema::default()
    };
    for (version, dictionary, required) in [PARQUET_1_0, PARQUET_2_0]
        .into_iter()
        .flat_map(|version| [(true, true), (true, false), (false, true), (false, false)].map(|(d, r)| (version, d, r)))
    {
        let write = |times: &[Option<(i64, u64)>]| {
            int96(times, required, plainly().set_writer_version(version).set_dictionary_enabled(dictionary))
        };
        let null = |time| if required { Some(time) } else { None };
        // 9999-12-31 is a usual sentinel.
        let object = write(&[Some((1, 1000)), null((0, 0)), Some((2_932_896, 0)), Some((-1, 86_399_999_999_000))]);
        let expected = [Some(86_400_000_001), required.then_some(0), Some(253_402_214_400_000_000), Some(-1)];
        assert_eq!(column_of(&object, "x").as_ref(), &TimestampMicrosecondArray::from(expected.to_vec()));
        let error = read(&object, &nanos).unwrap_err().to_string();
        assert!(error.contains("column x: 9999-12-31T00:00:00.000000000 is not timestamp(ns)"), "{error}");

        let fine = write(&[null((0, 0)), Some((1, 1500))]);
        let error = read(&fine, &schema(&footer(&fine).unwrap()).unwrap()).unwrap_err().to_string();
        assert!(error.contains("column x: 1970-01-02T00:00:00.000001500 is an INT96 time"), "{error}");
        assert!(error.contains("cast the column to timestamp(ns, no zone) in schema.columns"), "{error}");
        let rows = read(&fine, &nanos).unwrap().rows.unwrap();
        assert_eq!(
            rows.column(0).as_ref(),
            &TimestampNanosecondArray::from(vec![required.then_some(0), Some(86_400_000_001_500)])
        );
    }
    // Beyond what microseconds count.
    let error = read(&int96(&[Some((200_000_000, 0))], true, plainly()), &nanos).unwrap_err().to_string();
    assert!(error.contains("is not timestamp(ns)"), "{error}");
}

/// Only a whole column can be cast, so nobody is told to cast a part of one.
#[test]
fn int96_within_a_column_cannot_be_cast_and_can_be_dropped() {
    let fine = int96_of("message m { required group s { required int96 x; } }", &[Some((1, 1500))], true, plainly());
    let error = read(&fine, &schema(&footer(&fine).unwrap()).unwrap()).unwrap_err().to_string();
    assert!(error.contains("column s.x: 1970-01-02T00:00:00.000001500 is an INT96 time"), "{error}");
    assert!(error.ends_with("does not hold: leave the column s out with schema.drop"), "{error}");
}

#[test]
fn an_interval_is_refused_by_name_unless_it_is_dropped() {
    let months: ArrayRef = Arc::new(IntervalYearMonthArray::from(vec![7]));
    let object = object(vec![("span", months), ("n", Arc::new(Int64Array::from(vec![1])))], plainly());
    let metadata = footer(&object).unwrap();
    let table = schema(&metadata).unwrap();
    let error = read(&object, &table).unwrap_err().to_string();
    assert!(error.contains("column span is an INTERVAL"), "{error}");
    let table = TableSchema { columns: table.columns[1..].to_vec(), ..table };
    assert_eq!(read_from(object, metadata, &table, &["span"], 10).unwrap().batch_rows, [1]);
}

#[test]
fn a_hint_that_does_not_fit_is_left_alone() {
    // The embedded schema of another object.
    let other = Schema::new(vec![Field::new("y", DataType::Timestamp(TimeUnit::Second, None), true)]);
    let batch = RecordBatch::try_from_iter(vec![("x", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap();
    let mut bytes = Vec::new();
    let key_values = ["bm9uc2Vuc2U=".to_owned(), parquet::arrow::encode_arrow_schema(&other)];
    for hint in key_values {
        bytes.clear();
        let options =
            parquet::arrow::arrow_writer::ArrowWriterOptions::new().with_skip_arrow_metadata(true).with_properties(
                plainly()
                    .set_key_value_metadata(Some(vec![parquet::file::metadata::KeyValue::new(
                        "ARROW:schema".to_owned(),
                        hint,
                    )]))
                    .build(),
            );
        let mut writer = ArrowWriter::try_new_with_options(&mut bytes, batch.schema(), options).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        assert_eq!(column_of(&bytes.clone().into(), "x").as_ref(), batch.column(0).as_ref());
    }
}
