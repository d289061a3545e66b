//! How fast batches become files: `cargo bench --bench encode`.
//!
//! The rows are like an event log: an id, a time, a user, a country, a type, an amount, a url, a referrer that is often
//! missing, and free text with quotes and newlines. Throughput is of Arrow bytes.

use std::num::NonZeroU64;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use s3sync::codec::Rows;
use s3sync::codec::encode::{EncodeError, EncodeOptions, FileEncoder};
use s3sync::model::format::{Compression, OutputFormat};
use s3sync::model::settings::{CsvWriteSettings, ParquetCodec, ParquetSettings};

fn main() {
    divan::main();
}

const ROWS: i64 = 8192;
const BATCHES: i64 = 32;

/// A generator that is the same everywhere (SplitMix64).
fn mix(n: i64) -> u64 {
    let mut z = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn events() -> Vec<RecordBatch> {
    const COUNTRIES: [&str; 8] = ["DE", "FR", "US", "GB", "IN", "BR", "JP", "ZA"];
    const TYPES: [&str; 5] = ["click", "view", "purchase", "login", "logout"];
    const WORDS: [&str; 8] = ["lorem", "ipsum", "said \"so\"", "dolor,", "sit\namet", "elit", "sed", "do"];
    let batch = |first: i64| {
        let ids = || first..first + ROWS;
        let text = |id: i64| {
            (0..4 + mix(id) % 8).map(|word| WORDS[(mix(id + word as i64) % 8) as usize]).collect::<Vec<_>>().join(" ")
        };
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(Int64Array::from_iter_values(ids()))),
            (
                "ts",
                Arc::new(
                    TimestampMicrosecondArray::from_iter_values(ids().map(|id| 1_700_000_000_000_000 + id * 731_000))
                        .with_timezone("UTC"),
                ),
            ),
            ("user", Arc::new(StringArray::from_iter_values(ids().map(|id| format!("user-{:05}", mix(id) % 50_000))))),
            (
                "country",
                Arc::new(StringArray::from_iter_values(ids().map(|id| COUNTRIES[(mix(id) >> 20) as usize % 8]))),
            ),
            ("type", Arc::new(StringArray::from_iter_values(ids().map(|id| TYPES[(mix(id) >> 30) as usize % 5])))),
            ("amount", Arc::new(Float64Array::from_iter_values(ids().map(|id| (mix(id) % 1_000_000) as f64 / 100.0)))),
            (
                "url",
                Arc::new(StringArray::from_iter_values(
                    ids().map(|id| format!("https://example.com/p/{}?s={}", mix(id) % 10_000, mix(id) >> 40)),
                )),
            ),
            (
                "referrer",
                Arc::new(StringArray::from_iter(ids().map(|id| {
                    (!mix(id).is_multiple_of(3)).then(|| format!("https://ref{}.example.org/", mix(id) % 500))
                }))),
            ),
            ("text", Arc::new(StringArray::from_iter_values(ids().map(text)))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
            .expect("columns of one length")
    };
    (0..BATCHES).map(|at| batch(at * ROWS)).collect()
}

fn options(format: OutputFormat, compression: Compression, codec: ParquetCodec) -> EncodeOptions {
    EncodeOptions {
        format,
        compression,
        csv: CsvWriteSettings { delimiter: None, header: true, quote: Some(b'"'), null_value: String::new() },
        parquet: ParquetSettings { codec, row_group_rows: 1 << 20, row_group_bytes: 128 << 20, level: 3 },
        buffer_bytes_max: 64 << 20,
        target_file_bytes: NonZeroU64::new(128 << 20),
        metadata: vec![],
    }
}

fn bench(bencher: Bencher, options: &EncodeOptions) {
    let batches = events();
    let bytes: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
    let batches: Vec<Rows> = batches.into_iter().map(Rows::Batch).collect();
    bencher.counter(BytesCount::new(bytes)).counter(ItemsCount::new((ROWS * BATCHES) as usize)).bench_local(|| {
        let mut encoder = FileEncoder::new(options, &batches[0].batch().schema()).expect("types that every format has");
        let mut written = 0;
        let mut count = |bytes: bytes::Bytes| {
            written += bytes.len();
            Ok::<(), EncodeError>(())
        };
        for batch in &batches {
            encoder.write(batch).expect("a batch in the file's schema");
            encoder.give_out(&mut count).expect("nothing refuses");
        }
        encoder.finish(&mut count).expect("memory is enough");
        written
    });
}

#[divan::bench]
fn parquet_zstd(bencher: Bencher) {
    bench(bencher, &options(OutputFormat::Parquet, Compression::None, ParquetCodec::Zstd));
}

#[divan::bench]
fn parquet_snappy(bencher: Bencher) {
    bench(bencher, &options(OutputFormat::Parquet, Compression::None, ParquetCodec::Snappy));
}

#[divan::bench]
fn parquet_uncompressed(bencher: Bencher) {
    bench(bencher, &options(OutputFormat::Parquet, Compression::None, ParquetCodec::None));
}

#[divan::bench]
fn csv(bencher: Bencher) {
    bench(bencher, &options(OutputFormat::Csv, Compression::None, ParquetCodec::Zstd));
}

#[divan::bench]
fn csv_zstd(bencher: Bencher) {
    bench(bencher, &options(OutputFormat::Csv, Compression::Zstd, ParquetCodec::Zstd));
}

#[divan::bench]
fn csv_gzip(bencher: Bencher) {
    bench(bencher, &options(OutputFormat::Csv, Compression::Gzip, ParquetCodec::Zstd));
}

/// What a writer makes of the batches, for comparison. Times have an offset: Arrow's writers know no zone by its name.
fn bench_arrow(bencher: Bencher, write: impl Fn(&RecordBatch, &mut Vec<u8>) + Sync) {
    let with_offset = |batch: RecordBatch| {
        let zone = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
        let column = |column: &ArrayRef| match column.data_type() {
            DataType::Timestamp(..) => cast(column, &zone).expect("the same ticks"),
            _ => Arc::clone(column),
        };
        let columns: Vec<ArrayRef> = batch.columns().iter().map(column).collect();
        let names = batch.schema_ref().fields().iter().map(|field| field.name().clone());
        RecordBatch::try_from_iter_with_nullable(names.zip(columns).map(|(name, array)| (name, array, true)))
            .expect("columns of one length")
    };
    let batches: Vec<RecordBatch> = events().into_iter().map(with_offset).collect();
    let bytes: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
    bencher.counter(BytesCount::new(bytes)).counter(ItemsCount::new((ROWS * BATCHES) as usize)).bench_local(|| {
        let mut written = 0;
        let mut text = Vec::new();
        for batch in &batches {
            write(batch, &mut text);
            written += text.len();
            text.clear();
        }
        written
    });
}

/// What the crate's own writer makes of the same rows, for comparison. It runs on one thread.
#[divan::bench]
fn csv_arrow(bencher: Bencher) {
    bench_arrow(bencher, |batch, text| {
        arrow::csv::WriterBuilder::new().with_header(false).build(text).write(batch).expect("writes");
    });
}

/// What the crate's own writer makes of the same rows, for comparison. It runs on one thread.
#[divan::bench]
fn jsonl_arrow(bencher: Bencher) {
    bench_arrow(bencher, |batch, text| {
        let builder = arrow::json::WriterBuilder::new().with_explicit_nulls(true);
        let mut writer = builder.build::<_, arrow::json::writer::LineDelimited>(text);
        writer.write(batch).expect("writes");
        writer.finish().expect("ends");
    });
}

#[divan::bench]
fn jsonl(bencher: Bencher) {
    bench(bencher, &options(OutputFormat::Jsonl, Compression::None, ParquetCodec::Zstd));
}
