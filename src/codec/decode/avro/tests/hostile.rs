//! What is not as it should be is refused by name, before it takes memory.

use super::*;

/// One record of one column whose schema and bytes are these.
fn refused_of(of: Value, record: Vec<u8>, reason: &str) {
    refused(&object(&column(&of), &[record]), reason);
}

#[test]
fn containers() {
    let schema = column(&json!("long"));
    let head = header(&schema, "null");
    let with = |rest: &[u8]| [&head[..], rest].concat();
    let offset = head.len();
    refused(b"", "it is cut off in its header");
    refused(b"Obj\x02", "it is not avro: it does not begin with Obj");
    refused(b"PAR1 and more", "it is not avro");
    refused(&head[..40], "it is cut off in its header");
    refused(&[b"Obj\x01".to_vec(), vec![0xff; 12]].concat(), "a number has more than 64 bits");
    refused(&[b"Obj\x01".to_vec(), long(1), long(-5)].concat(), "a length is no length");
    // A header that claims what is not there is waited for, and no more is held than came.
    refused(&[b"Obj\x01".to_vec(), long(i64::MAX), long(i64::MAX)].concat(), "it is cut off in its header");
    refused(&[b"Obj\x01".to_vec(), long(0), SYNC.to_vec(), block(1, &long(1))].concat(), "its header has no schema");
    refused(&[header(&schema, "lz5"), block(1, &long(1))].concat(), "its blocks are compressed by \"lz5\"");
    let cut = block(2, &[long(1), long(2)].concat());
    refused(&with(&cut[..cut.len() - 1]), "the object is cut off in a block");
    refused(&with(&[block(1, &long(1)), cut[..5].to_vec()].concat()), "the object is cut off in a block");
    refused(&with(&[long(1), text(long(1)), b"another marker!!".to_vec()].concat()), "does not end with the marker");
    refused(&with(&[long(-1), text(long(1)), SYNC.to_vec()].concat()), "a block says that it has -1 records");
    refused(&with(&[long(1), long(1 << 40)].concat()), "a block needs 1099511627776 bytes");
    refused(&with(&block(1, &[long(1), long(2)].concat())), "the block has 1 bytes behind its 1 records");
    refused(&with(&block(3, &long(1))), "the block says that it has 3 records in 1 bytes");
    refused(&with(&block(2, &long(1 << 20))), "record 1 of the block cannot be read");
    let error = rows(&with(&[block(1, &long(1)), block(1, &[0xff; 11])].concat()).into()).unwrap_err();
    let DecodeError::Bad { position: Some(position), .. } = error else { panic!("{error}") };
    assert_eq!(position.offset as usize, offset + block(1, &long(1)).len());
    // A header larger than the budget.
    let large = json!({ "type": "record", "name": "row", "doc": "x".repeat(5 << 20), "fields": [] });
    refused(&[header(&large, "null"), block(1, b"")].concat()[..5 << 20], "the header needs");
}

#[test]
fn bombs() {
    let schema = column(&json!("bytes"));
    let half = |bytes: Vec<u8>| bytes[..bytes.len() / 2].to_vec();
    for codec in ["deflate", "snappy", "zstandard", "bzip2", "xz"] {
        let bomb = compressed(codec, &text(vec![0; 8 << 20]));
        assert!(bomb.len() < 1 << 20, "{codec}");
        refused(&[header(&schema, codec), block(1, &bomb)].concat(), "a block needs");
        refused(&[header(&schema, codec), block(1, &half(compressed(codec, &text([0; 99]))))].concat(), "block");
        refused(&[header(&schema, codec), block(1, b"")].concat(), "block");
    }
    // A zstd frame of a window that is larger than is allowed, and an xz dictionary.
    let mut wide = zstd::Encoder::new(Vec::new(), 1).unwrap();
    wide.window_log(27).unwrap();
    wide.write_all(&text(vec![0; 1000])).unwrap();
    refused(&[header(&schema, "zstandard"), block(1, &wide.finish().unwrap())].concat(), "a block is corrupt");
    let options = liblzma::stream::LzmaOptions::new_preset(9).unwrap();
    let mut filters = liblzma::stream::Filters::new();
    filters.lzma2(&options);
    let stream = liblzma::stream::Stream::new_stream_encoder(&filters, liblzma::stream::Check::Crc64).unwrap();
    let mut wide = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    wide.write_all(&text(vec![0; 1000])).unwrap();
    refused(&[header(&schema, "xz"), block(1, &wide.finish().unwrap())].concat(), "a block is corrupt");
}

#[test]
fn schemas() {
    let record_of = |name: &str, fields: Value| json!({ "type": "record", "name": name, "fields": fields });
    refused(&object(&json!("string"), &[text("x")]), "its schema is no record, and rows are records");
    refused(&object(&json!(["null", "int"]), &[long(0)]), "its schema is no record, and rows are records");
    refused(&object(&json!({ "type": "record", "name": "r" }), &[vec![]]), "its schema is a record without fields");
    let twice = record(json!([{ "name": "a", "type": "int" }, { "name": "a", "type": "int" }]));
    refused(&object(&twice, &[vec![0, 0]]), "its schema has two fields named a");
    refused_of(json!("missing"), vec![0], "column v is of the type missing, which the schema does not define");
    refused_of(json!({ "items": 1 }), vec![0], "column v has no type in the schema");
    refused_of(json!([]), vec![0], "column v is a union of 0 types");
    refused_of(json!(["null", ["int", "null"]]), vec![0], "column v is a union in a union");
    refused_of(json!({ "type": "array", "items": "null" }), vec![0], "column v is an array of items without a byte");
    refused_of(json!({ "type": "fixed", "name": "f", "size": 0 }), vec![0], "column v is fixed in a size");
    refused_of(json!({ "type": "fixed", "name": "f", "size": 1_u64 << 40 }), vec![0], "column v is fixed in a size");
    let list = record_of("node", json!([{ "name": "next", "type": ["null", "node"] }]));
    refused_of(list, long(0), "column v.next holds node in itself");
    let mut fields = vec![json!({ "name": "c0", "type": record_of("d0", json!([{ "name": "x", "type": "int" }])) })];
    for n in 1..45 {
        let inside = record_of(&format!("d{n}"), json!([{ "name": "x", "type": format!("d{}", n - 1) }]));
        fields.push(json!({ "name": format!("c{n}"), "type": inside }));
    }
    refused(&object(&record(fields.into()), &[vec![0; 45]]), "is nested more than 40 levels deep");
    // Types that hold each other twice: thirty lines, and a billion columns.
    let mut fields = vec![json!({ "name": "c0", "type": record_of("b0", json!([{ "name": "x", "type": "int" }])) })];
    for n in 1..30 {
        let before = format!("b{}", n - 1);
        let twice = json!([{ "name": "x", "type": before }, { "name": "y", "type": before }]);
        fields.push(json!({ "name": format!("c{n}"), "type": record_of(&format!("b{n}"), twice) }));
    }
    refused(&object(&record(fields.into()), &[vec![0; 64]]), "the schema needs");
    let text = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    let deep = [b"Obj\x01".to_vec(), long(1), super::text("avro.schema"), super::text(text), long(0), SYNC.to_vec()];
    refused(&[deep.concat(), block(1, b"x")].concat(), "its schema cannot be read as JSON");
}

#[test]
fn values() {
    let decimal = |precision: u32| json!({ "type": "bytes", "logicalType": "decimal", "precision": precision });
    refused_of(decimal(77), text([1]), "column v is a decimal of 77 digits, and 76 can be held");
    refused_of(decimal(2), text(100i16.to_be_bytes()), "cannot be read");
    refused_of(
        json!({ "type": "array", "items": decimal(2) }),
        [long(1), text([100]), long(0)].concat(),
        "cannot be read",
    );
    let fixed = json!({ "type": "fixed", "name": "d", "size": 2, "logicalType": "decimal", "precision": 5 });
    refused_of(fixed, vec![0, 1], "column v is a decimal of 5 digits in 2 bytes, which hold 4");
    refused_of(json!("string"), text([0xff]), "cannot be read");
    refused_of(json!({ "type": "enum", "name": "e", "symbols": ["A"] }), long(1), "cannot be read");
    refused_of(json!(["null", "int"]), long(2), "cannot be read");
    refused_of(json!("int"), long(1 << 40), "cannot be read");
    refused_of(json!("string"), long(-1), "cannot be read");
    let duration = json!({ "type": "fixed", "name": "d", "size": 12, "logicalType": "duration" });
    refused_of(duration.clone(), vec![0; 12], "column v is an INTERVAL");
    refused_of(json!(["int", duration.clone(), "string"]), vec![0, 0], "column v is a union of a duration");
    // Dropped, it is passed over.
    let schema = record(json!([{ "name": "d", "type": duration }, { "name": "n", "type": "int" }]));
    let object = object(&schema, &[[vec![9; 12], long(5)].concat()]);
    let table = TableSchema { columns: vec![schema_of(&object).unwrap().columns[1].clone()], ..TableSchema::default() };
    let options = ObjectOptions { drop: vec!["d".to_owned()], ..whole::options(&object) };
    let decoded = whole::decode(Decoding::Avro, &object, options, table, 1 << 20).unwrap();
    assert_eq!(decoded[0].batches().iter().flat_map(shown).collect::<Vec<_>>(), ["5"]);
}

/// A byte that becomes kilobytes: nulls of a wide record, in rows and in the items of a list.
#[test]
fn nulls_of_wide_records() {
    let fields: Vec<Value> = (0..60).map(|n| json!({ "name": format!("c{n}"), "type": "long" })).collect();
    let wide = json!(["null", { "type": "record", "name": "wide", "fields": fields }]);
    // 500,000 rows of 480 bytes come in batches of some megabytes.
    let many = object(&column(&wide), &vec![long(0); 500_000]);
    let options = ObjectOptions { rows_per_batch: 1 << 20, ..whole::options(&many) };
    let decoded = whole::decode(Decoding::Avro, &many, options, schema_of(&many).unwrap(), 1 << 20).unwrap();
    assert_eq!(decoded.iter().map(|decoded| decoded.records).sum::<u64>(), 500_000);
    let largest = decoded.iter().flat_map(Decoded::batches).map(|batch| batch.get_array_memory_size()).max();
    assert!(largest.unwrap() < 64 << 20, "{largest:?}");
    let list = json!({ "type": "array", "items": wide });
    let few = [long(1000), vec![0; 1000], long(0)].concat();
    assert_eq!(rows(&object(&column(&list), &[few.clone(), few])).unwrap().len(), 2);
    let long_list = [long(900_000), vec![0; 900_000], long(0)].concat();
    refused(&object(&column(&list), &[long_list]), "one record needs");
}
