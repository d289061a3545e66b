//! Stored row groups that a file takes over: the same rows, the same chunks, and only where the file is what was asked
//! for.

use ::arrow::compute::concat_batches;
use ::parquet::arrow::ArrowWriter;
use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use ::parquet::basic::{Compression as Codec, ZstdLevel};
use ::parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use ::parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};

use super::*;
use crate::codec::decode::object::{ObjectOptions, whole};
use crate::model::format::Decoding;
use crate::model::schema::{Column, TableSchema};

const ROWS: i64 = 3000;
const GROUP_ROWS: usize = 1000;

/// Columns id, text, price and place (a struct of two), with nulls.
fn rows() -> RecordBatch {
    let ids = Int64Array::from_iter((0..ROWS).map(|id| (id % 97 != 0).then_some(id)));
    let texts = StringArray::from_iter(
        (0..ROWS).map(|id| (id % 5 != 0).then(|| format!("text {}", id.wrapping_mul(2_654_435_761) % 9_973))),
    );
    let prices = Float64Array::from_iter_values((0..ROWS).map(|id| id as f64 / 7.0));
    let fields = Fields::from(vec![Field::new("x", DataType::Float64, true), Field::new("y", DataType::Utf8, true)]);
    let place = StructArray::new(fields, vec![Arc::new(prices.clone()), Arc::new(texts.clone())], None);
    let columns: [(&str, ArrayRef, bool); 4] = [
        ("id", Arc::new(ids), true),
        ("text", Arc::new(texts), true),
        ("price", Arc::new(prices), true),
        ("place", Arc::new(place), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn zstd() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_compression(Codec::ZSTD(ZstdLevel::try_new(1).unwrap()))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
}

/// An object as another program writes it.
fn stored(batch: &RecordBatch, properties: WriterPropertiesBuilder) -> Bytes {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties.build())).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes.into()
}

fn table(batch: &RecordBatch) -> TableSchema {
    let columns =
        batch.schema().fields().iter().map(|field| Column::inferred(field.name(), field.data_type().clone())).collect();
    TableSchema { columns, ..TableSchema::default() }
}

/// What row groups of 1,000 rows are large enough for.
fn taking() -> EncodeOptions {
    EncodeOptions { buffer_bytes_max: 16 << 10, ..options(OutputFormat::Parquet) }
}

/// Writes a file of an object's rows, offering each row group.
fn rewrite(object: &Bytes, table: &TableSchema, options: &EncodeOptions) -> Result<Bytes, crate::codec::DecodeError> {
    let passthrough = |codec| crate::codec::Passthrough { codec, bytes_min: 1 };
    let passthrough = parquet_codec(&options.parquet).ok().map(passthrough);
    let read = ObjectOptions { rows_per_batch: 300, passthrough, ..whole::options(object) };
    let mut encoder = FileEncoder::new(options, &table.arrow()).unwrap();
    let mut out = Vec::new();
    for decoded in whole::decode(Decoding::Parquet, object, read, table.clone(), 1 << 20)? {
        for rows in &decoded.rows {
            encoder.write(rows).unwrap();
        }
        give_out(&mut encoder, &mut out).unwrap();
    }
    assert!(encoder.may_end(), "a row group is taken over to its end");
    finish(encoder, &mut out).unwrap();
    Ok(out.concat().into())
}

fn read(bytes: &Bytes) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap();
    let batches: Vec<RecordBatch> = builder.build().unwrap().collect::<Result<_, _>>().unwrap();
    let batch = concat_batches(&batches[0].schema(), &batches).unwrap();
    RecordBatch::try_from_iter_with_nullable(
        batch
            .schema()
            .fields()
            .iter()
            .zip(batch.columns())
            .map(|(field, column)| (field.name(), Arc::clone(column), field.is_nullable())),
    )
    .unwrap()
}

fn footer(bytes: &Bytes) -> ParquetMetaData {
    ParquetMetaDataReader::new().parse_and_finish(bytes).unwrap()
}

/// The bytes of every chunk of a leaf.
fn chunks(bytes: &Bytes, leaf: usize) -> Vec<Bytes> {
    let range = |group: &::parquet::file::metadata::RowGroupMetaData| group.column(leaf).byte_range();
    footer(bytes)
        .row_groups()
        .iter()
        .map(range)
        .map(|(start, length)| bytes.slice(start as usize..(start + length) as usize))
        .collect()
}

#[test]
fn chunks_of_the_same_type_are_taken_and_ordinals_are_encoded() {
    let object = stored(&rows(), zstd());
    let file = rewrite(&object, &table(&rows()), &taking()).unwrap();
    assert_eq!(read(&file), rows());
    for leaf in 1..5 {
        assert_eq!(chunks(&file, leaf), chunks(&object, leaf), "leaf {leaf}");
        let statistics = |bytes: &Bytes| -> Vec<_> {
            footer(bytes).row_groups().iter().map(|group| group.column(leaf).statistics().cloned()).collect()
        };
        assert_eq!(statistics(&file), statistics(&object), "leaf {leaf}");
    }
    assert_ne!(chunks(&file, 0), chunks(&object, 0));
}

/// Others store seconds as bare integers, and say what they are where Arrow looks alone.
#[test]
fn seconds_are_not_taken_for_milliseconds() {
    let at = |unit: i64| (0..ROWS).map(move |second| second * 7_919 * unit);
    let struct_of = |at: ArrayRef| {
        let fields = Fields::from(vec![Field::new("at", at.data_type().clone(), true)]);
        Arc::new(StructArray::new(fields, vec![at], None)) as ArrayRef
    };
    let seconds = struct_of(Arc::new(TimestampSecondArray::from_iter_values(at(1))));
    let text = rows().column_by_name("text").unwrap().clone();
    let batch = RecordBatch::try_from_iter_with_nullable([("text", text, true), ("inner", seconds, true)]).unwrap();
    let object = stored(&batch, zstd());
    let file = rewrite(&object, &table(&batch), &taking()).unwrap();
    assert_eq!(read(&file).column(1), &struct_of(Arc::new(TimestampMillisecondArray::from_iter_values(at(1_000)))));
}

/// A column that the table has and the object has not is nulls beside the chunks that are taken.
#[test]
fn a_column_that_is_absent_is_written_beside_them() {
    let object = stored(&rows(), zstd());
    let mut wider = table(&rows());
    wider.columns.insert(1, Column::inferred("more", DataType::Utf8));
    let file = rewrite(&object, &wider, &taking()).unwrap();
    let written = read(&file);
    assert_eq!(written.column(1).null_count(), ROWS as usize);
    assert_eq!(written.project(&[0, 2, 3, 4]).unwrap(), rows());
    assert_eq!(chunks(&file, 2), chunks(&object, 1));
}

/// A column that had only nulls is not in the file: what stands behind it is taken from where the object has it.
#[test]
fn a_column_without_a_type_does_not_shift_what_is_taken() {
    let rows_of = rows();
    let named = rows_of.schema_ref().fields().iter().zip(rows_of.columns());
    let mut with_nulls: Vec<(String, ArrayRef, bool)> =
        named.map(|(f, c)| (f.name().clone(), Arc::clone(c), true)).collect();
    with_nulls.insert(1, ("nothing".to_owned(), Arc::new(NullArray::new(ROWS as usize)), true));
    let batch = RecordBatch::try_from_iter_with_nullable(with_nulls).unwrap();
    let object = stored(&batch, zstd());
    let file = rewrite(&object, &table(&batch), &taking()).unwrap();
    assert_eq!(read(&file), rows());
    for leaf in 1..5 {
        assert_eq!(chunks(&file, leaf), chunks(&object, leaf + 1), "leaf {leaf}");
    }
}

#[test]
fn a_column_may_get_another_name() {
    let object = stored(&rows(), zstd());
    let mut schema = table(&rows());
    schema.columns[1].name = "words".into();
    let file = rewrite(&object, &schema, &taking()).unwrap();
    assert_eq!(chunks(&file, 1), chunks(&object, 1));
    assert_eq!(read(&file).column_by_name("words").unwrap(), rows().column(1));
}

#[test]
fn nothing_is_taken_where_the_file_would_be_another() {
    let plain = |change: fn(&mut EncodeOptions)| {
        let mut options = taking();
        change(&mut options);
        options
    };
    let as_they_are = |_: &mut TableSchema| {};
    let smaller = |schema: &mut TableSchema| schema.columns[2].data_type = DataType::Utf8;
    type Change = fn(&mut TableSchema);
    let cases: [(&str, WriterPropertiesBuilder, EncodeOptions, Change); 8] = [
        ("another codec", zstd(), plain(|options| options.parquet.codec = ParquetCodec::Snappy), as_they_are),
        ("a level that was asked for", zstd(), plain(|options| options.parquet.level = 9), as_they_are),
        (
            "more rows than a row group may have",
            zstd(),
            plain(|options| options.parquet.row_group_rows = 999),
            as_they_are,
        ),
        (
            "more bytes than a row group may have",
            zstd(),
            plain(|options| options.parquet.row_group_bytes = 2 << 10),
            as_they_are,
        ),
        (
            "too large for the file",
            zstd(),
            plain(|options| options.target_file_bytes = NonZeroU64::new(16 << 10)),
            as_they_are,
        ),
        ("so small that it is better joined", zstd(), plain(|options| options.buffer_bytes_max = 1 << 20), as_they_are),
        ("no statistics", zstd().set_statistics_enabled(EnabledStatistics::None), taking(), as_they_are),
        ("a cast", zstd(), taking(), smaller),
    ];
    for (why, properties, options, change) in cases {
        let object = stored(&rows(), properties);
        let mut schema = table(&rows());
        change(&mut schema);
        let file = rewrite(&object, &schema, &options).unwrap();
        assert_ne!(chunks(&file, 1), chunks(&object, 1), "{why}");
        let written = read(&file);
        assert_eq!(written.num_rows(), ROWS as usize, "{why}");
        assert_eq!(written.column(1), rows().column(1), "{why}");
    }
}

/// A list has several values a row: its chunk's pages do not say where rows begin.
#[test]
fn a_list_keeps_its_row_group_from_being_taken() {
    let tags =
        ListArray::from_iter_primitive::<Float64Type, _, _>((0..ROWS).map(|id| Some(vec![Some(id as f64), None])));
    let batch =
        RecordBatch::try_from_iter([("text", Arc::clone(rows().column(1))), ("tags", Arc::new(tags) as ArrayRef)])
            .unwrap();
    let object = stored(&batch, zstd());
    let file = rewrite(&object, &table(&batch), &taking()).unwrap();
    assert_ne!(chunks(&file, 0), chunks(&object, 0));
    assert_eq!(read(&file).column(0), batch.column(0));
}

/// Readers that ask for a page index find every page of every column.
#[test]
fn the_page_index_knows_pages_that_were_taken() {
    let object = stored(&rows(), zstd().set_data_page_row_count_limit(128).set_write_batch_size(64));
    let file = rewrite(&object, &table(&rows()), &taking()).unwrap();
    assert_eq!(chunks(&file, 1), chunks(&object, 1));
    let policy = ::parquet::file::metadata::PageIndexPolicy::Required;
    // Offset in the chunk, bytes and first row of each page of the text.
    let pages = |bytes: &Bytes, group: usize| -> Vec<_> {
        let metadata = ParquetMetaDataReader::new().with_offset_index_policy(policy).parse_and_finish(bytes).unwrap();
        let index = metadata.page_index_for_row_group(group);
        assert!((0..5).all(|leaf| index.page_locations(leaf).is_some()), "every leaf has one");
        let start = metadata.row_group(group).column(1).byte_range().0 as i64;
        let place = |page: &::parquet::file::page_index::offset_index::PageLocation| {
            (page.offset - start, page.compressed_page_size, page.first_row_index)
        };
        index.page_locations(1).unwrap().iter().map(place).collect()
    };
    for group in 0..3 {
        assert_eq!(pages(&file, group), pages(&object, group));
        assert!(pages(&file, group).len() > 5);
    }
}

/// Its bytes are not made again, and all the same every page is read: what is corrupt never gets into a file.
#[test]
fn what_is_taken_over_has_been_verified() {
    let object = stored(&rows(), zstd());
    let (start, length) = footer(&object).row_group(1).column(1).byte_range();
    let mut bytes = object.to_vec();
    let end = (start + length) as usize;
    bytes[end - 64..end].fill(0xff);
    let error = rewrite(&bytes.into(), &table(&rows()), &taking()).map(|file| file.len()).unwrap_err();
    assert!(error.to_string().contains("row group 1 cannot be read"), "{error}");
}
