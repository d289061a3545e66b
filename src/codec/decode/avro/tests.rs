//! Objects made by hand, byte for byte as the specification says; those of other writers are read in tests/it.

mod hostile;
mod types;

use std::io::Write;

use arrow::array::RecordBatch;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::codec::decode::object::{decoder, whole};
use crate::codec::encode::value::{WHOLE, writer};
use crate::model::format::Decoding;
use crate::model::schema::{Misfit, merge, type_name};

const SYNC: &[u8; 16] = b"0123456789abcdef";

/// A number, zigzag and in sevens of bits.
fn long(value: i64) -> Vec<u8> {
    let mut bits = ((value << 1) ^ (value >> 63)) as u64;
    let mut bytes = Vec::new();
    while bits > 0x7f {
        bytes.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    bytes.push(bits as u8);
    bytes
}

fn text(text: impl AsRef<[u8]>) -> Vec<u8> {
    [long(text.as_ref().len() as i64), text.as_ref().to_vec()].concat()
}

fn header(schema: &Value, codec: &str) -> Vec<u8> {
    let schema = text(schema.to_string());
    // Two blocks of metadata, one of which says its size.
    let codec = [text("avro.codec"), text(codec)].concat();
    let parts = [long(1), text("avro.schema"), schema, long(-1), long(codec.len() as i64), codec, long(0)];
    [b"Obj\x01".to_vec(), parts.concat(), SYNC.to_vec()].concat()
}

fn block(count: i64, data: &[u8]) -> Vec<u8> {
    [long(count), text(data), SYNC.to_vec()].concat()
}

fn compressed(codec: &str, data: &[u8]) -> Vec<u8> {
    match codec {
        "null" => data.to_vec(),
        "deflate" => {
            let mut writer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
            writer.write_all(data).unwrap();
            writer.finish().unwrap()
        }
        "snappy" => {
            let packed = snap::raw::Encoder::new().compress_vec(data).unwrap();
            [packed, crc32fast::hash(data).to_be_bytes().to_vec()].concat()
        }
        "zstandard" => zstd::encode_all(data, 3).unwrap(),
        "bzip2" => {
            let mut writer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
            writer.write_all(data).unwrap();
            writer.finish().unwrap()
        }
        "xz" => {
            let mut writer = liblzma::write::XzEncoder::new(Vec::new(), 1);
            writer.write_all(data).unwrap();
            writer.finish().unwrap()
        }
        other => panic!("{other}"),
    }
}

fn record(fields: Value) -> Value {
    json!({ "type": "record", "name": "row", "fields": fields })
}

/// A schema of one column, `v`.
fn column(of: &Value) -> Value {
    record(json!([{ "name": "v", "type": of }]))
}

/// An object of one block.
fn object(schema: &Value, records: &[Vec<u8>]) -> Bytes {
    [header(schema, "null"), block(records.len() as i64, &records.concat())].concat().into()
}

fn schema_of(object: &Bytes) -> Result<TableSchema, DecodeError> {
    whole::schema_of(Decoding::Avro, object, 1 << 20)
}

fn read(object: &Bytes, table: TableSchema) -> Result<Vec<Decoded>, DecodeError> {
    whole::decode(Decoding::Avro, object, whole::options(object), table, 1 << 20)
}

/// The rows of an object under its own schema.
fn rows(object: &Bytes) -> Result<Vec<String>, DecodeError> {
    let decoded = read(object, schema_of(object)?)?;
    assert!(decoded.iter().all(|decoded| decoded.mismatch.is_none() && decoded.bad.is_empty()), "{decoded:?}");
    Ok(decoded.iter().flat_map(Decoded::batches).flat_map(|batch| shown(&batch)).collect())
}

/// Each row: its values as text, with commas between.
fn shown(batch: &RecordBatch) -> Vec<String> {
    let row = |row: usize| {
        let mut text = Vec::new();
        for (at, column) in batch.columns().iter().enumerate() {
            if at > 0 {
                text.push(b',');
            }
            writer(column.as_ref(), &WHOLE)(row, &mut text);
        }
        String::from_utf8(text).unwrap()
    };
    (0..batch.num_rows()).map(row).collect()
}

fn refused(object: &[u8], reason: &str) {
    let object = Bytes::copy_from_slice(object);
    let error = rows(&object).expect_err(reason);
    assert!(error.to_string().contains(reason), "{error}\nis not\n{reason}");
}

#[test]
fn every_codec_gives_the_same_rows() {
    let schema = record(json!([{ "name": "n", "type": "long" }, { "name": "t", "type": ["null", "string"] }]));
    let records: Vec<Vec<u8>> = (0..2000)
        .map(|n| [long(n), if n % 3 == 0 { long(0) } else { [long(1), text(format!("row {n}"))].concat() }].concat())
        .collect();
    let expected: Vec<String> =
        (0..2000).map(|n| if n % 3 == 0 { format!("{n},") } else { format!("{n},row {n}") }).collect();
    for codec in ["null", "deflate", "snappy", "zstandard", "bzip2", "xz"] {
        let blocks =
            records.chunks(300).map(|records| block(records.len() as i64, &compressed(codec, &records.concat())));
        let object: Bytes = [header(&schema, codec), blocks.collect::<Vec<_>>().concat()].concat().into();
        let found = rows(&object).unwrap();
        assert!(found == expected, "{codec}: {:?}", &found[..3]);
        // Every byte of a block's inside counts, or the codec cannot tell; none makes other rows without a word.
        let at = object.len() - SYNC.len() - 3;
        let mut corrupt = object.to_vec();
        corrupt[at] ^= 0x55;
        let (is_checked, corrupt) = (codec != "null" && codec != "deflate", Bytes::from(corrupt));
        if is_checked || rows(&corrupt).is_err() {
            let error = rows(&corrupt).expect_err(codec);
            let DecodeError::Bad { position: Some(position), .. } = error else { panic!("{codec}: {error}") };
            assert!(object[position.offset as usize..].starts_with(&long(200)), "{codec}: {position:?}");
        }
    }
}

#[test]
fn an_object_without_rows_decides_nothing() {
    let schema = column(&json!("long"));
    let empty: Bytes = header(&schema, "null").into();
    assert_eq!(schema_of(&empty).unwrap(), TableSchema::default());
    let columns = vec![crate::model::schema::Column::inferred("other", arrow_schema::DataType::Utf8)];
    let table = TableSchema { columns, ..TableSchema::default() };
    assert!(read(&empty, table.clone()).unwrap().is_empty());
    let with_empty_blocks: Bytes = [&empty[..], &block(0, b""), &block(0, b"")].concat().into();
    assert!(read(&with_empty_blocks, table).unwrap().is_empty());
}

#[test]
fn columns_are_those_of_the_table() {
    let schema = record(json!([{ "name": "a", "type": "int" }, { "name": "b", "type": "string" }]));
    let one = object(&schema, &[[long(7), text("x")].concat(), [long(8), text("9")].concat()]);
    let other = object(&record(json!([{ "name": "b", "type": "long" }])), &[long(1)]);
    let table = merge(&schema_of(&one).unwrap(), &schema_of(&other).unwrap());
    assert_eq!(table.columns.iter().map(|column| type_name(&column.data_type)).collect::<Vec<_>>(), ["int32", "utf8"]);
    let texts =
        |decoded: &[Decoded]| decoded.iter().flat_map(Decoded::batches).flat_map(|b| shown(&b)).collect::<Vec<_>>();
    assert_eq!(texts(&read(&one, table.clone()).unwrap()), ["7,x", "8,9"]);
    assert_eq!(texts(&read(&other, table.clone()).unwrap()), [",1"]);
    // What the table cannot hold is a mismatch, once.
    let narrow = TableSchema { columns: schema_of(&other).unwrap().columns, ..TableSchema::default() };
    let decoded = read(&one, narrow.clone()).unwrap();
    assert_eq!(decoded.len(), 1);
    assert_eq!(decoded[0].mismatch.as_ref().map(|schema| schema.columns.len()), Some(2));
    // What a declared column does not hold is a bad record, named by the block and its place in it.
    let mut declared = table;
    declared.columns[1].data_type = arrow_schema::DataType::Int64;
    declared.columns[1].misfit = Misfit::BadRecord;
    let decoded = read(&one, declared).unwrap();
    assert_eq!(texts(&decoded), ["8,9"]);
    let bad = &decoded[0].bad[0];
    assert_eq!(bad.reason, "record 0 of the block: column b: \"x\" is not int64");
    assert_eq!(bad.position.offset, header(&schema, "null").len() as u64);
}

/// Parts are the same however the bytes arrive, and each is decoded without the others.
#[test]
fn parts_stand_alone() {
    let schema = record(json!([{ "name": "n", "type": "long" }, { "name": "t", "type": "string" }]));
    let records: Vec<Vec<u8>> = (0..20_000).map(|n| [long(n), text(format!("{n:0100}"))].concat()).collect();
    let blocks = records.chunks(150).map(|records| block(records.len() as i64, &records.concat()));
    let object: Bytes = [header(&schema, "null"), blocks.collect::<Vec<_>>().concat()].concat().into();
    let table = Arc::new(schema_of(&object).unwrap());
    let mut decoder = decoder(Decoding::Avro, whole::options(&object), table).unwrap();
    let mut parts = Vec::new();
    loop {
        match decoder.next().unwrap() {
            Step::NeedsRange(range) => decoder.push(object.slice(range.start as usize..range.end as usize)),
            Step::Ready(part) => parts.push(part),
            Step::Finished => break,
        }
    }
    assert_eq!(parts.len(), 4);
    let mut found = Vec::new();
    for part in parts.into_iter().rev() {
        let (mut rows, mut next) = (Vec::new(), Some(part));
        while let Some(part) = next {
            let (decoded, rest) = part.decode().unwrap();
            rows.extend(decoded.batches().iter().flat_map(shown));
            next = rest;
        }
        found.push(rows);
    }
    let found: Vec<String> = found.into_iter().rev().flatten().collect();
    assert!(found == (0..20_000).map(|n| format!("{n},{n:0100}")).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rows_do_not_depend_on_how_bytes_arrive(
        values in proptest::collection::vec((any::<i64>(), "[a-zé]{0,8}"), 1..60),
        codec in prop_oneof![Just("null"), Just("snappy"), Just("zstandard")],
        per_block in 1usize..20,
        piece_bytes in 1usize..200,
        rows_per_batch in 1usize..30,
    ) {
        let schema = record(json!([{ "name": "n", "type": ["null", "long"] }, { "name": "t", "type": "string" }]));
        let records: Vec<Vec<u8>> =
            values.iter().map(|(n, t)| [if *n < 0 { long(0) } else { [long(1), long(*n)].concat() }, text(t)].concat()).collect();
        let blocks = records.chunks(per_block).map(|records| block(records.len() as i64, &compressed(codec, &records.concat())));
        let object: Bytes = [header(&schema, codec), blocks.collect::<Vec<_>>().concat()].concat().into();
        let table = whole::schema_of(Decoding::Avro, &object, piece_bytes).unwrap();
        let options = ObjectOptions { rows_per_batch, ..whole::options(&object) };
        let decode = |piece_bytes| whole::decode(Decoding::Avro, &object, options.clone(), table.clone(), piece_bytes).unwrap();
        let batches = |decoded: &[Decoded]| decoded.iter().flat_map(Decoded::batches).collect::<Vec<_>>();
        let (pieces, at_once) = (batches(&decode(piece_bytes)), batches(&decode(1 << 20)));
        prop_assert_eq!(&pieces, &at_once);
        prop_assert!(pieces.iter().all(|batch| batch.num_rows() <= rows_per_batch));
        let expected: Vec<String> = values.iter().map(|(n, t)| if *n < 0 { format!(",{t}") } else { format!("{n},{t}") }).collect();
        prop_assert_eq!(pieces.iter().flat_map(shown).collect::<Vec<_>>(), expected);
    }

    /// No bytes make it panic, and a cut object never passes for a whole one.
    #[test]
    fn what_is_cut_or_changed_is_an_error_or_other_rows(at in 0usize..400, byte in any::<u8>(), cut: bool) {
        let schema = record(json!([{ "name": "n", "type": ["null", "long"] }, { "name": "l", "type": { "type": "array", "items": "string" } }]));
        let record = [long(1), long(77), long(2), text("a"), text("bc"), long(0)].concat();
        let blocks = [block(9, &record.repeat(9)), block(3, &record.repeat(3))].concat();
        let whole: Vec<u8> = [header(&schema, "null"), blocks].concat();
        let at = at % whole.len();
        let mut object = whole.clone();
        if cut { object.truncate(at); } else { object[at] = byte; }
        let found = rows(&object.into());
        if cut {
            let ends = [header(&schema, "null").len(), header(&schema, "null").len() + block(9, &record.repeat(9)).len()];
            prop_assert!(found.is_err() || ends.contains(&at));
        }
    }
}
