mod parquet;
mod passthrough;
mod text;

use std::num::NonZeroU64;
use std::sync::Arc;

use ::arrow::array::*;
use ::arrow::datatypes::*;
use proptest::prelude::*;

use super::*;
use crate::model::settings::ParquetCodec;

/// The options of a format, as they are by default.
fn options(format: OutputFormat) -> EncodeOptions {
    EncodeOptions {
        format,
        compression: Compression::None,
        csv: CsvWriteSettings { delimiter: None, header: true, quote: Some(b'"'), null_value: String::new() },
        parquet: ParquetSettings {
            codec: ParquetCodec::Zstd,
            row_group_rows: 1 << 20,
            row_group_bytes: 128 << 20,
            level: 3,
        },
        buffer_bytes_max: 64 << 20,
        target_file_bytes: None,
        metadata: vec![],
    }
}

/// A file of these batches, written on so many threads.
fn encode(options: &EncodeOptions, batches: &[RecordBatch], threads: usize) -> Result<Vec<u8>, EncodeError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let mut encoder = FileEncoder::new(options, &batches[0].schema())?;
        let mut out = Vec::new();
        for batch in batches {
            encoder.write(&Rows::Batch(batch.clone()))?;
            give_out(&mut encoder, &mut out)?;
        }
        finish(encoder, &mut out)?;
        Ok(out.concat())
    })
}

fn give_out(encoder: &mut FileEncoder, out: &mut Vec<Bytes>) -> Result<(), EncodeError> {
    encoder.give_out(|bytes| {
        out.push(bytes);
        Ok(())
    })
}

fn finish(encoder: FileEncoder, out: &mut Vec<Bytes>) -> Result<FileStatistics, EncodeError> {
    encoder.finish(|bytes| {
        out.push(bytes);
        Ok(())
    })
}

/// A nullable column of each kind of type, with values drawn at random.
fn batch() -> impl Strategy<Value = RecordBatch> {
    (1usize..40).prop_flat_map(|rows| {
        let texts = proptest::collection::vec(proptest::option::of("[a-c,\"\\n\\r\\\\ é\u{1}]{0,6}"), rows);
        let longs = proptest::collection::vec(proptest::option::of(any::<i64>()), rows);
        let floats = proptest::collection::vec(
            proptest::option::of(any::<f64>().prop_filter("finite", |value| value.is_finite())),
            rows,
        );
        let flags = proptest::collection::vec(proptest::option::of(any::<bool>()), rows);
        let blobs = proptest::collection::vec(proptest::option::of(proptest::collection::vec(any::<u8>(), 0..5)), rows);
        let decimals = proptest::collection::vec(proptest::option::of(-(10i128.pow(38) - 1)..10i128.pow(38)), rows);
        let lists = proptest::collection::vec(
            proptest::option::of(proptest::collection::vec(proptest::option::of(any::<i32>()), 0..3)),
            rows,
        );
        (
            texts.prop_map(|v| Arc::new(StringArray::from(v)) as ArrayRef),
            longs.prop_map(|v| Arc::new(Int64Array::from(v)) as ArrayRef),
            floats.prop_map(|v| Arc::new(Float64Array::from(v)) as ArrayRef),
            flags.prop_map(|v| Arc::new(BooleanArray::from(v)) as ArrayRef),
            blobs.prop_map(|v| Arc::new(BinaryArray::from_iter(v)) as ArrayRef),
            decimals
                .prop_map(|v| Arc::new(Decimal128Array::from(v).with_precision_and_scale(38, 5).unwrap()) as ArrayRef),
            lists.prop_map(|v| Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(v)) as ArrayRef),
        )
            .prop_map(|(text, long, float, flag, blob, decimal, list)| {
                let inner = StructArray::try_from(vec![("x", long.clone()), ("y", text.clone())]).unwrap();
                RecordBatch::try_from_iter_with_nullable([
                    ("text", text, true),
                    ("long", long, true),
                    ("float", float, true),
                    ("flag", flag, true),
                    ("blob", blob, true),
                    ("decimal", decimal, true),
                    ("list", list, true),
                    ("inner", Arc::new(inner) as ArrayRef, true),
                ])
                .unwrap()
            })
    })
}
