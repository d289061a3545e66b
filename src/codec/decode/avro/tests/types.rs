//! Each type of the specification: what it is carried in, and what a value of it says.

use super::*;

fn logical(base: &str, logical: &str) -> Value {
    json!({ "type": base, "logicalType": logical })
}

fn decimal(base: &str, precision: u32, scale: u32) -> Value {
    json!({ "type": base, "logicalType": "decimal", "precision": precision, "scale": scale })
}

#[test]
fn each_type_says_what_it_is() {
    let point = json!({ "type": "record", "name": "p", "fields": [
        { "name": "x", "type": "int" }, { "name": "y", "type": ["null", "string"] },
    ] });
    let fixed =
        |size: u32, logical: &str| json!({ "type": "fixed", "name": "f", "size": size, "logicalType": logical });
    let list = |item: Value| json!({ "type": "array", "items": item });
    let map = |value: Value| json!({ "type": "map", "values": value });
    let cases: Vec<(Value, Vec<u8>, &str, &str)> = vec![
        (json!("boolean"), vec![1], "boolean", "true"),
        (json!("int"), long(i32::MIN.into()), "int32", "-2147483648"),
        (json!("long"), long(i64::MAX), "int64", "9223372036854775807"),
        (json!("float"), 0.1f32.to_le_bytes().to_vec(), "float32", "0.1"),
        (json!("double"), (0.1f64 + 0.2).to_le_bytes().to_vec(), "float64", "0.30000000000000004"),
        (json!("bytes"), text([0, 255]), "binary", "AP8="),
        (json!("string"), text("grüße 🦀"), "utf8", "grüße 🦀"),
        (json!({ "type": "string", "avro.java.string": "String" }), text("x"), "utf8", "x"),
        (json!({ "type": { "type": "string" } }), text("x"), "utf8", "x"),
        (logical("int", "date"), long(-1), "date32", "1969-12-31"),
        (logical("int", "time-millis"), long(86_399_999), "time(ms)", "23:59:59.999000"),
        (logical("long", "time-micros"), long(1), "time(us)", "00:00:00.000001"),
        (logical("long", "timestamp-millis"), long(-1), "timestamp(ms)", "1969-12-31T23:59:59.999000Z"),
        (logical("long", "timestamp-micros"), long(1), "timestamp(us)", "1970-01-01T00:00:00.000001Z"),
        (logical("long", "timestamp-nanos"), long(1), "timestamp(ns)", "1970-01-01T00:00:00.000000001Z"),
        (logical("long", "local-timestamp-millis"), long(1), "timestamp(ms, no zone)", "1970-01-01T00:00:00.001000"),
        (logical("long", "local-timestamp-micros"), long(1), "timestamp(us, no zone)", "1970-01-01T00:00:00.000001"),
        (logical("long", "local-timestamp-nanos"), long(1), "timestamp(ns, no zone)", "1970-01-01T00:00:00.000000001"),
        (decimal("bytes", 4, 2), text([0xff, 0x38]), "decimal(4,2)", "-2.00"),
        (decimal("bytes", 38, 0), text([0x00, 0xff]), "decimal(38,0)", "255"),
        (decimal("bytes", 60, 1), text([0x01; 20]), "decimal(60,1)", "573137896992510948315170522633836478296444134.5"),
        // What makes no sense as a decimal is bytes (Avro, "Logical Types").
        (decimal("bytes", 2, 3), text([1]), "binary", "AQ=="),
        (logical("bytes", "decimal"), text([1]), "binary", "AQ=="),
        (logical("bytes", "big-decimal"), text([1]), "binary", "AQ=="),
        (logical("int", "timestamp-micros"), long(5), "int32", "5"),
        (
            json!({ "type": "fixed", "name": "d", "size": 4, "logicalType": "decimal", "precision": 9, "scale": 3 }),
            (-1500i32).to_be_bytes().to_vec(),
            "decimal(9,3)",
            "-1.500",
        ),
        (json!({ "type": "fixed", "name": "f", "size": 3 }), b"abc".to_vec(), "binary", "YWJj"),
        (fixed(16, "uuid"), vec![7; 16], "binary", "BwcHBwcHBwcHBwcHBwcHBw=="),
        // A uuid in a string is the string, however it is written.
        (
            logical("string", "uuid"),
            text("F81D4FAE-7dec-11d0-a765-00a0c91e6bf6"),
            "utf8",
            "F81D4FAE-7dec-11d0-a765-00a0c91e6bf6",
        ),
        (json!({ "type": "enum", "name": "e", "symbols": ["A", "B"] }), long(1), "utf8", "B"),
        (json!(["null", "int"]), [long(1), long(3)].concat(), "int32", "3"),
        (json!(["int", "null"]), [long(0), long(3)].concat(), "int32", "3"),
        (json!(["null", "int"]), long(0), "int32", ""),
        (json!([{ "type": "null" }, "int"]), long(0), "int32", ""),
        (json!(["int"]), [long(0), long(3)].concat(), "int32", "3"),
        (json!(["int", "null", "long"]), [long(2), long(1 << 40)].concat(), "int64", "1099511627776"),
        (json!(["int", "null", "long"]), long(1), "int64", ""),
        (
            json!(["float", "double"]),
            [long(0), 0.1f32.to_le_bytes().to_vec()].concat(),
            "float64",
            "0.10000000149011612",
        ),
        // Of other unions each value is what it is in JSON.
        (json!(["null", "int", "string"]), [long(1), long(3)].concat(), "json", "3"),
        (json!(["null", "int", "string"]), [long(2), text("3")].concat(), "json", "3"),
        (json!(["null", "int", "string"]), long(0), "json", ""),
        (json!(["long", "double"]), [long(0), long((1 << 53) + 1)].concat(), "json", "9007199254740993"),
        (
            json!(["boolean", point.clone()]),
            [long(1), long(3), long(1), text("a")].concat(),
            "json",
            r#"{"x":3,"y":"a"}"#,
        ),
        (
            list(json!(["null", "int", "string"])),
            [long(2), long(1), long(3), long(2), text("3"), long(0)].concat(),
            "list<json>",
            r#"[3,"3"]"#,
        ),
        (
            list(json!("int")),
            [long(-2), long(2), long(1), long(2), long(1), long(3), long(0)].concat(),
            "list<int32>",
            "[1,2,3]",
        ),
        (list(list(json!("string"))), [long(1), long(0), long(0)].concat(), "list<list<utf8>>", "[[]]"),
        (map(json!("long")), [long(1), text("k"), long(7), long(0)].concat(), "map<utf8, int64>", r#"{"k":7}"#),
        (point.clone(), [long(3), long(0)].concat(), "struct<x: int32, y: utf8>", r#"{"x":3,"y":null}"#),
        (json!(["null", point]), long(0), "struct<x: int32, y: utf8>", ""),
    ];
    for (of, value, type_wanted, wanted) in cases {
        let object = object(&column(&of), std::slice::from_ref(&value));
        let schema = schema_of(&object).unwrap_or_else(|error| panic!("{of}: {error}"));
        assert_eq!(type_name(&schema.columns[0].data_type), type_wanted, "{of}");
        let found = rows(&object).unwrap_or_else(|error| panic!("{of}: {error}"));
        assert_eq!(found, [wanted], "{of}");
    }
}

#[test]
fn names_are_found_wherever_they_stand() {
    let inner = json!({ "type": "record", "name": "other.ns.P", "fields": [{ "name": "x", "type": "int" }] });
    let schema = json!({ "type": "record", "name": "row", "namespace": "my.ns", "fields": [
        { "name": "a", "type": inner },
        { "name": "b", "type": "other.ns.P" },
        { "name": "e", "type": { "type": "enum", "name": "E", "symbols": ["A"] } },
        { "name": "f", "type": ["null", "my.ns.E"] },
        { "name": "g", "type": { "type": "array", "items": "E" } },
        // Defined again, as some writers do.
        { "name": "h", "type": { "type": "enum", "name": "E", "symbols": ["Z"] } },
        { "name": "odd name", "type": "E" },
    ] });
    let record = [long(1), long(2), long(0), long(1), long(0), long(1), long(0), long(0), long(0), long(0)].concat();
    assert_eq!(rows(&object(&schema, &[record])).unwrap(), [r#"{"x":1},{"x":2},A,A,["A"],Z,Z"#]);
}

/// Rows of nothing are rows all the same.
#[test]
fn records_without_bytes_are_counted() {
    let none = record(json!([{ "name": "n", "type": "null" }]));
    let object: Bytes = [header(&none, "null"), block(3, b""), block(2, b"")].concat().into();
    let decoded = read(&object, schema_of(&object).unwrap()).unwrap();
    assert_eq!(decoded.iter().map(|decoded| decoded.records).sum::<u64>(), 5);
}
