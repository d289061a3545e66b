//! Parquet files, read back by the reference implementation.

use ::arrow::compute::concat_batches;
use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;

fn read(bytes: Vec<u8>) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap();
    let schema = Arc::new(Schema::new(builder.schema().fields().clone()));
    let batches: Vec<RecordBatch> = builder.build().unwrap().map(|batch| batch.unwrap()).collect();
    concat_batches(
        &schema,
        batches.iter().map(|batch| batch.clone().with_schema(schema.clone()).unwrap()).collect::<Vec<_>>().iter(),
    )
    .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn files_read_back_equal_however_written(
        batch in batch(),
        codec in prop::sample::select(vec![
            ParquetCodec::Zstd, ParquetCodec::Snappy, ParquetCodec::Gzip, ParquetCodec::None,
        ]),
        row_group_rows in 1u64..50,
        buffer_bytes_max in 1usize..10_000,
        cut in 0usize..40,
    ) {
        let cut = cut.min(batch.num_rows());
        let parts = [batch.slice(0, cut), batch.slice(cut, batch.num_rows() - cut)];
        let mut options = options(OutputFormat::Parquet);
        options.parquet.codec = codec;
        options.parquet.row_group_rows = row_group_rows;
        options.buffer_bytes_max = buffer_bytes_max;
        let one = encode(&options, &parts, 1).unwrap();
        prop_assert_eq!(&one, &encode(&options, &parts, 2).unwrap());
        prop_assert_eq!(read(one), batch);
    }
}

#[test]
fn buffers_stay_within_their_bound() {
    let rows = 8192;
    let mut options = options(OutputFormat::Parquet);
    options.buffer_bytes_max = 1 << 20;
    let schema =
        Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true), Field::new("t", DataType::Utf8, true)]));
    let mut encoder = FileEncoder::new(&options, &schema).unwrap();
    let mut out = Vec::new();
    let (mut peak, mut emitted) = (0, 0);
    for at in 0..100i64 {
        let numbers: Vec<i64> = (0..rows).map(|row| (at * rows + row).wrapping_mul(0x5851_f42d_4c95_7f2d)).collect();
        let texts: StringArray = numbers.iter().map(|number| Some(format!("{number:x}"))).collect();
        let batch =
            RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from(numbers)), Arc::new(texts)]).unwrap();
        encoder.write(&Rows::Batch(batch)).unwrap();
        peak = peak.max(encoder.buffered_bytes());
        give_out(&mut encoder, &mut out).unwrap();
        let given: usize = out.iter().map(Bytes::len).sum();
        assert!(encoder.encoded_bytes() >= given as u64);
        emitted = given;
    }
    assert!(peak < 2 << 20, "{peak} bytes are buffered");
    assert!(emitted > 1 << 20, "row groups leave as soon as they close");
}

/// Ordinals of a dictionary take eight bytes a row until their page closes: they must not close the row group of a
/// table of codes.
#[test]
fn a_table_of_codes_has_full_row_groups() {
    let rows = 180_000;
    let mut options = options(OutputFormat::Parquet);
    options.buffer_bytes_max = 32 << 20;
    let codes: ArrayRef =
        Arc::new(StringArray::from_iter_values((0..rows).map(|row| ["DE", "FR", "NL", "PL"][row * 7 % 11 % 4])));
    let batch = RecordBatch::try_from_iter((0..24).map(|n| (format!("code{n}"), Arc::clone(&codes)))).unwrap();
    let batches: Vec<RecordBatch> = (0..rows).step_by(8192).map(|at| batch.slice(at, 8192.min(rows - at))).collect();
    let file = encode(&options, &batches, 2).unwrap();
    let metadata =
        ::parquet::file::metadata::ParquetMetaDataReader::new().parse_and_finish(&Bytes::from(file)).unwrap();
    assert_eq!(metadata.row_groups().iter().map(|group| group.num_rows()).collect::<Vec<_>>(), [rows as i64]);
}

#[test]
fn a_type_that_parquet_lacks_is_refused_by_its_column() {
    let union = UnionFields::try_new([0], [Field::new("i", DataType::Int32, true)]).unwrap();
    for (data_type, name) in [
        (DataType::Union(union, UnionMode::Dense), "Union"),
        (DataType::Struct(Fields::empty()), "Struct"),
        (DataType::Interval(IntervalUnit::MonthDayNano), "Interval(MonthDayNano)"),
    ] {
        let schema = Schema::new(vec![Field::new("fine", DataType::Int8, true), Field::new("odd", data_type, true)]);
        let error = FileEncoder::new(&options(OutputFormat::Parquet), &Arc::new(schema)).err().unwrap();
        assert!(error.to_string().starts_with(&format!("column odd is {name}")), "{error}");
    }
}

/// Parquet has no seconds: a column of them would be a bare integer.
#[test]
fn seconds_are_written_in_milliseconds() {
    let instants = || TimestampSecondArray::from(vec![Some(1_704_067_200), None, Some(-1)]).with_timezone("UTC");
    let times: ArrayRef = Arc::new(Time32SecondArray::from(vec![Some(86_399), None, Some(0)]));
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<TimestampSecondType, _, _>(vec![
        Some(vec![Some(7), None]),
        None,
        Some(vec![]),
    ]));
    let inner: ArrayRef = Arc::new(StructArray::try_from(vec![("at", Arc::new(instants()) as ArrayRef)]).unwrap());
    let columns = || {
        vec![
            ("at", Arc::new(instants()) as ArrayRef),
            ("time", times.clone()),
            ("list", lists.clone()),
            ("inner", inner.clone()),
        ]
    };
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns().into_iter().map(|(name, array)| (name, array, true)))
            .unwrap();
    let rows = read(encode(&options(OutputFormat::Parquet), &[batch.clone(), batch.slice(1, 2)], 2).unwrap());
    let millis = |unit: &DataType| {
        DataType::Timestamp(
            TimeUnit::Millisecond,
            matches!(unit, DataType::Timestamp(_, Some(_))).then(|| "UTC".into()),
        )
    };
    assert_eq!(*rows.column(0).data_type(), millis(instants().data_type()));
    assert_eq!(*rows.column(1).data_type(), DataType::Time32(TimeUnit::Millisecond));
    let expected = [Some(1_704_067_200_000), None, Some(-1_000), None, Some(-1_000)];
    assert_eq!(rows.column(0).as_primitive::<TimestampMillisecondType>().iter().collect::<Vec<_>>(), expected);
    assert_eq!(rows.column(1).as_primitive::<Time32MillisecondType>().value(0), 86_399_000);
    assert_eq!(rows.column(2).as_list::<i32>().value(0).as_primitive::<TimestampMillisecondType>().value(0), 7_000);
    let inner =
        rows.column(3).as_struct().column(0).as_primitive::<TimestampMillisecondType>().iter().collect::<Vec<_>>();
    assert_eq!(inner, expected);
}

#[test]
fn seconds_beyond_milliseconds_are_named() {
    let column: ArrayRef = Arc::new(TimestampSecondArray::from(vec![Some(0), None, Some(i64::MAX / 1000 + 1)]));
    let batch = RecordBatch::try_from_iter_with_nullable([("at", column, true)]).unwrap();
    let error = encode(&options(OutputFormat::Parquet), &[batch], 1).unwrap_err().to_string();
    let expected = "column at has a time that parquet, which counts milliseconds, cannot hold: +292278994-08-17T07:12:56.000000; cast it to utf8 in \
                    schema.columns";
    assert_eq!(error, expected);
}
