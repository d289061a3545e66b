//! The reading side, one thread: cutting text into blocks, and blocks into batches. Throughput is in bytes of text.
//!
//! `cargo bench --bench decode`

use std::fmt::Write;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use bytes::Bytes;
use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use s3sync::codec::Block;
use s3sync::codec::decode::text::{Step, TextOptions, TextReader};
use s3sync::codec::decode::{RecordDecoder, infer};
use s3sync::model::format::{CompressionRule, TextFormat};
use s3sync::model::schema::TableSchema;
use s3sync::model::settings::CsvReadSettings;

fn main() {
    divan::main();
}

/// Enough to leave every cache.
const TEXT_BYTES: usize = 32 << 20;

/// Bytes of one piece as it comes from the network.
const PIECE_BYTES: usize = 256 << 10;

/// Deterministic numbers (xorshift64*): the benchmark needs variety, not quality.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}

const COUNTRIES: [&str; 8] = ["DE", "FR", "US", "IN", "BR", "JP", "NG", "CL"];
const TYPES: [&str; 5] = ["view", "click", "purchase", "refund", "signup"];
const WORDS: [&str; 8] = ["the", "quick", "brown", "parcel", "arrived", "late, again", "thanks", "größe"];

/// Nine columns as in the comparison with other programs: numbers, times, short and long texts, nulls, quotes and
/// newlines.
fn event(numbers: &mut Numbers, id: u64) -> [String; 9] {
    let at = numbers.below(86_400 * 365);
    let (day, second) = (at / 86_400, at % 86_400);
    let timestamp = format!(
        "2024-{:02}-{:02} {:02}:{:02}:{:02}",
        day / 31 + 1,
        day % 28 + 1,
        second / 3600,
        second / 60 % 60,
        second % 60
    );
    let mut text = String::new();
    for _ in 0..numbers.below(9) + 4 {
        text += WORDS[numbers.below(8) as usize];
        text += if numbers.below(12) == 0 { " \"so\"\n" } else { " " };
    }
    let referrer = if numbers.below(3) == 0 {
        String::new()
    } else {
        format!("https://search.example/?q={}", numbers.below(99_999))
    };
    [
        id.to_string(),
        timestamp,
        format!("user_{}", numbers.below(1_000_000)),
        COUNTRIES[numbers.below(8) as usize].to_owned(),
        TYPES[numbers.below(5) as usize].to_owned(),
        format!("{}.{:02}", numbers.below(5000), numbers.below(100)),
        format!("https://shop.example/products/{}/view?session={:08x}", numbers.below(100_000), numbers.below(1 << 32)),
        referrer,
        text,
    ]
}

const NAMES: [&str; 9] = ["id", "timestamp", "user", "country", "type", "amount", "url", "referrer", "text"];

fn csv_text() -> Bytes {
    let mut numbers = Numbers(42);
    let mut text = NAMES.join(",") + "\n";
    for id in 0.. {
        for (i, cell) in event(&mut numbers, id).iter().enumerate() {
            let separator = if i == 8 { "\n" } else { "," };
            if cell.contains([',', '"', '\n']) {
                write!(text, "\"{}\"{separator}", cell.replace('"', "\"\"")).expect("to memory");
            } else {
                write!(text, "{cell}{separator}").expect("to memory");
            }
        }
        if text.len() > TEXT_BYTES {
            break;
        }
    }
    text.into()
}

fn jsonl_text() -> Bytes {
    let mut numbers = Numbers(42);
    let mut text = String::new();
    for id in 0.. {
        for (i, cell) in event(&mut numbers, id).iter().enumerate() {
            let (open, close) = (if i == 0 { "{" } else { "," }, if i == 8 { "}\n" } else { "" });
            let value = match i {
                0 | 5 => cell.clone(),
                7 if cell.is_empty() => "null".to_owned(),
                _ => format!("\"{}\"", cell.replace('"', "\\\"").replace('\n', "\\n")),
            };
            write!(text, "{open}\"{}\":{value}{close}", NAMES[i]).expect("to memory");
        }
        if text.len() > TEXT_BYTES {
            break;
        }
    }
    text.into()
}

/// Numbers alone, no quotes: what cutting costs at its cheapest.
fn plain_text() -> Bytes {
    let mut numbers = Numbers(42);
    let mut text = "a,b,c,d,e,f,g,h\n".to_owned();
    while text.len() < TEXT_BYTES {
        for i in 0..8 {
            write!(text, "{}{}", numbers.below(1 << 31), if i == 7 { "\n" } else { "," }).expect("to memory");
        }
    }
    text.into()
}

/// The blocks of a text that comes in pieces, and its columns.
fn split(format: TextFormat, text: &Bytes, piece_bytes: usize) -> (Vec<Block>, Option<Vec<String>>) {
    let options = TextOptions {
        format,
        csv: CsvReadSettings::default(),
        compression: CompressionRule::Auto,
        slice: None,
        block_bytes: TextOptions::BLOCK_BYTES,
        record_bytes_max: 8 << 20,
        zstd_window_max: 8 << 20,
    };
    let mut reader = TextReader::new(options).expect("options");
    let (mut blocks, mut at) = (Vec::new(), 0);
    loop {
        match reader.next().expect("valid") {
            Step::Block(block) => blocks.push(block),
            Step::Finished => return (blocks, reader.header().map(<[String]>::to_vec)),
            Step::NeedsData if at == text.len() => reader.end(),
            Step::NeedsData => {
                let end = text.len().min(at + piece_bytes);
                reader.feed(text.slice(at..end));
                at = end;
            }
        }
    }
}

fn bench_split(bencher: Bencher, format: TextFormat, text: Bytes, piece_bytes: usize) {
    let bencher = bencher.counter(BytesCount::new(text.len()));
    // Blocks are dropped as they come, as they are when they have been decoded.
    bencher.bench_local(|| split(format, black_box(&text), piece_bytes).0.len());
}

fn bench_decode(bencher: Bencher, format: TextFormat, text: Bytes) {
    let (blocks, header) = split(format, &text, text.len());
    let table = Arc::new(infer(format, &CsvReadSettings::default(), header.as_deref(), &blocks[0]).expect("infers"));
    let decoder =
        RecordDecoder::new(format, &CsvReadSettings::default(), header.as_deref(), table, &[], 8192).expect("options");
    bencher.counter(BytesCount::new(text.len())).bench_local(|| {
        for block in &blocks {
            let decoded = decoder.decode(black_box(block)).expect("decodes");
            assert!(decoded.mismatch.is_none() && decoded.bad.is_empty());
            black_box(&decoded.rows);
        }
    });
}

fn bench_infer(bencher: Bencher, format: TextFormat, text: Bytes) {
    let (blocks, header) = split(format, &text, text.len());
    let bytes: usize = blocks.iter().map(|block| block.bytes.len()).sum();
    bencher.counter(BytesCount::new(bytes)).bench_local(|| {
        blocks
            .iter()
            .for_each(|block| drop(black_box(infer(format, &CsvReadSettings::default(), header.as_deref(), block))));
    });
}

/// A table's schema with an offset where a time has a zone: Arrow's readers know none by its name.
fn with_offsets(table: &TableSchema) -> SchemaRef {
    let field = |field: &FieldRef| match field.data_type() {
        DataType::Timestamp(unit, Some(_)) => {
            Field::clone(field).with_data_type(DataType::Timestamp(*unit, Some("+00:00".into()))).into()
        }
        _ => FieldRef::clone(field),
    };
    Arc::new(Schema::new(table.arrow().fields().iter().map(field).collect::<Fields>()))
}

/// What the crate's own reader does with the same text, for comparison.
#[divan::bench]
fn csv_arrow(bencher: Bencher) {
    let text = csv_text();
    let (blocks, header) = split(TextFormat::CSV, &text, text.len());
    let table = infer(TextFormat::CSV, &CsvReadSettings::default(), header.as_deref(), &blocks[0]).expect("infers");
    bencher.counter(BytesCount::new(text.len())).bench_local(|| {
        let reader = arrow::csv::ReaderBuilder::new(with_offsets(&table)).with_header(true).with_batch_size(8192);
        reader.build(black_box(&text[..])).expect("a reader").for_each(|batch| drop(black_box(batch.expect("reads"))));
    });
}

/// What the crate's own reader does with the same text, for comparison.
#[divan::bench]
fn jsonl_arrow(bencher: Bencher) {
    let text = jsonl_text();
    let (blocks, _) = split(TextFormat::Jsonl, &text, text.len());
    let table = infer(TextFormat::Jsonl, &CsvReadSettings::default(), None, &blocks[0]).expect("infers");
    bencher.counter(BytesCount::new(text.len())).bench_local(|| {
        let reader = arrow::json::ReaderBuilder::new(with_offsets(&table)).with_batch_size(8192);
        reader.build(black_box(&text[..])).expect("a reader").for_each(|batch| drop(black_box(batch.expect("reads"))));
    });
}

#[divan::bench]
fn csv_split_plain(bencher: Bencher) {
    bench_split(bencher, TextFormat::CSV, plain_text(), PIECE_BYTES);
}

#[divan::bench]
fn csv_split_quoted(bencher: Bencher) {
    bench_split(bencher, TextFormat::CSV, csv_text(), PIECE_BYTES);
}

#[divan::bench]
fn csv_split_without_copies(bencher: Bencher) {
    bench_split(bencher, TextFormat::CSV, csv_text(), TEXT_BYTES * 2);
}

#[divan::bench]
fn jsonl_split(bencher: Bencher) {
    bench_split(bencher, TextFormat::Jsonl, jsonl_text(), PIECE_BYTES);
}

#[divan::bench]
fn json_split(bencher: Bencher) {
    bench_split(bencher, TextFormat::Json, jsonl_text(), PIECE_BYTES);
}

#[divan::bench]
fn csv_decode(bencher: Bencher) {
    bench_decode(bencher, TextFormat::CSV, csv_text());
}

#[divan::bench]
fn csv_decode_numbers(bencher: Bencher) {
    bench_decode(bencher, TextFormat::CSV, plain_text());
}

#[divan::bench]
fn csv_infer(bencher: Bencher) {
    bench_infer(bencher, TextFormat::CSV, csv_text());
}

#[divan::bench]
fn jsonl_decode(bencher: Bencher) {
    bench_decode(bencher, TextFormat::Jsonl, jsonl_text());
}

#[divan::bench]
fn json_decode(bencher: Bencher) {
    bench_decode(bencher, TextFormat::Json, jsonl_text());
}

#[divan::bench]
fn jsonl_infer(bencher: Bencher) {
    bench_infer(bencher, TextFormat::Jsonl, jsonl_text());
}
