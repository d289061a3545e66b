//! Avro as fastavro writes and reads it.

use serde_json::{Value, json};

use crate::support::{Site, python};

/// Every logical type, as a field and what values of it are in Python.
const FIELDS: &str = r#"
L = lambda base, logical, **more: {"type": base, "logicalType": logical, **more}
N = lambda of: ["null", of]
D, at = decimal.Decimal, dt.datetime(2024, 2, 3, 4, 5, 6, 789012, tzinfo=dt.timezone.utc)
columns = {
    "id": ("long", [1, 2, 3]),
    "boolean": (N("boolean"), [True, False, None]),
    "int": (N("int"), [-2**31, 2**31 - 1, None]), "long": (N("long"), [-2**63, 2**63 - 1, None]),
    "float": (N("float"), [0.5, -1.25, None]), "double": (N("double"), [0.1, 1.7976931348623157e308, None]),
    "bytes": (N("bytes"), [bytes(range(256)), b"", None]), "string": (N("string"), ["grüße 🦀", "", None]),
    "null": ("null", [None, None, None]),
    "date": (N(L("int", "date")), [dt.date(1, 1, 1), dt.date(9999, 12, 31), None]),
    "time_ms": (N(L("int", "time-millis")), [dt.time(1, 2, 3, 4000), dt.time(0), None]),
    "time_us": (N(L("long", "time-micros")), [dt.time(1, 2, 3, 4), dt.time(0), None]),
    "ts_ms": (N(L("long", "timestamp-millis")), [at.replace(microsecond=789000), at.replace(year=1900, microsecond=0), None]),
    "ts_us": (N(L("long", "timestamp-micros")), [at, at.replace(year=1900), None]),
    "local_ms": (N(L("long", "local-timestamp-millis")), [at.replace(tzinfo=None, microsecond=789000), None, None]),
    "local_us": (N(L("long", "local-timestamp-micros")), [at.replace(tzinfo=None), None, None]),
    "decimal": (N(L("bytes", "decimal", precision=38, scale=12)), [D("12345678901234567890123456.789012345678"), D("-0.000000000001"), None]),
    "fixed_decimal": (N({"type": "fixed", "name": "d", "size": 5, "logicalType": "decimal", "precision": 10, "scale": 2}), [D("12345678.90"), D("-0.01"), None]),
    "uuid": (N(L("string", "uuid")), [uuid.UUID(int=7), uuid.UUID(int=2**127), None]),
    "fixed": (N({"type": "fixed", "name": "f", "size": 4}), [b"abcd", b"\0\0\0\0", None]),
    "enum": (N({"type": "enum", "name": "e", "symbols": ["A", "B"]}), ["A", "B", None]),
    "array": (N({"type": "array", "items": N("int")}), [[1, None, 3], [], None]),
    "map": ({"type": "map", "values": "long"}, [{"a": 1}, {}, {"b": 2, "c": 3}]),
    "record": (N({"type": "record", "name": "r", "fields": [{"name": "a", "type": "long"}, {"name": "b", "type": N("string")}]}), [{"a": 1, "b": "x"}, {"a": 2, "b": None}, None]),
    "nested": ({"type": "array", "items": {"type": "record", "name": "n", "fields": [{"name": "k", "type": {"type": "array", "items": N("e")}}]}}, [[{"k": ["A"]}], [], [{"k": [None]}]]),
    "numbers": (["null", "int", "long"], [1, 2**40, None]),
}
fields = [{"name": name, "type": of} for name, (of, _) in columns.items()]
rows = [{name: values[row] for name, (_, values) in columns.items()} for row in range(3)]
"#;

/// What fastavro reads back, as the outputs say it.
const READ: &str = "seen = lambda v: str(v) if isinstance(v, uuid.UUID) else {k: seen(x) for k, x in v.items()} if isinstance(v, dict) else \
    [seen(x) for x in v] if isinstance(v, list) else v\nresult = [plain(seen(row)) for row in read_avro(path)]\n";

fn by_id(mut rows: Value) -> Value {
    rows.as_array_mut().expect("rows").sort_by_key(|row| row["id"].as_i64());
    rows
}

#[test]
fn every_logical_type_in_every_codec_is_what_fastavro_reads() {
    for codec in ["null", "deflate", "snappy", "zstandard", "bzip2", "xz"] {
        for to in ["parquet", "jsonl"] {
            let site = Site::directory();
            site.only(json!({"destination": {"format": to}}));
            let code = format!("import uuid\n{FIELDS}\nwrite_avro(path, fields, rows, codec)\n{READ}");
            let wanted = python(&code, json!({"path": site.path("data/raw/t/a.avro"), "codec": codec}));
            site.run_ok();
            let found = by_id(site.rows("t/"));
            for (row, want) in found.as_array().expect("rows").iter().zip(wanted.as_array().expect("rows")) {
                for (name, value) in want.as_object().expect("a row") {
                    let got = &row[name];
                    match (to, name.as_str()) {
                        // Parquet has no column of nulls alone, and a map is its pairs.
                        ("parquet", "null") => assert!(got.is_null()),
                        ("parquet", "map") => {
                            let pairs = value.as_object().expect("a map").iter().map(|(k, v)| json!([k, v]));
                            assert_eq!(*got, pairs.collect::<Value>(), "{codec} {name}");
                        }
                        // A JSON number, of which Python's parser makes a float.
                        ("jsonl", "decimal" | "fixed_decimal") => assert_eq!(got.is_null(), value.is_null(), "{name}"),
                        ("jsonl", "time_ms" | "time_us" | "local_ms" | "local_us") => {
                            let (got, want) = (got.as_str().unwrap_or_default(), value.as_str().unwrap_or_default());
                            let bare = |text: &str| match text.split_once('.') {
                                Some((whole, part)) => format!("{whole}.{}", part.trim_end_matches('0')),
                                None => format!("{text}."),
                            };
                            assert_eq!(bare(got), bare(want), "{codec} {name}");
                        }
                        _ => assert_eq!(got, value, "{codec} -> {to}: {name}"),
                    }
                }
            }
        }
    }
}

#[test]
fn a_union_is_json_and_says_which_value_it_had() {
    let site = Site::directory();
    site.only(json!({"destination": {"format": "jsonl"}}));
    let code = "point = {'type': 'record', 'name': 'p', 'fields': [{'name': 'x', 'type': 'int'}]}\n\
        fields = [{'name': 'id', 'type': 'long'}, {'name': 'v', 'type': ['null', 'long', 'string', point, {'type': 'array', 'items': ['int', 'string']}]}]\n\
        write_avro(path, fields, [{'id': n, 'v': v} for n, v in enumerate([None, 7, '7', {'x': 1}, [1, 'a']])])";
    python(code, json!({"path": site.path("data/raw/t/a.avro")}));
    let tables = site.start(&["tables"], &["-o", "json"]).wait();
    tables.says(&["avro"]).says(&["json"]);
    site.run_ok();
    let rows: Vec<Value> =
        by_id(site.rows("t/")).as_array().expect("rows").iter().map(|row| row["v"].clone()).collect();
    assert_eq!(Value::Array(rows), json!([null, 7, "7", {"x": 1}, [1, "a"]]));
}

/// Columns that come later are added, numbers widen, and Parquet beside Avro is the same table.
#[test]
fn schemas_of_several_objects_make_one_table() {
    let site = Site::directory();
    site.only(json!({"destination": {"format": "parquet"}}));
    let write = |key: &str, fields: &str, rows: &str| {
        let code = format!("write_avro(path, [{{'name': n, 'type': t}} for n, t in {fields}], {rows})");
        python(&code, json!({"path": site.path("data/raw").join(key)}));
    };
    write("t/a.avro", "[('id', 'int'), ('n', 'int')]", "[{'id': 1, 'n': 7}]");
    write("t/b.avro", "[('id', 'long'), ('s', ['null', 'string'])]", "[{'id': 2**40, 's': 'x'}]");
    site.run_ok();
    write("t/c.avro", "[('id', 'long'), ('s', 'string'), ('later', 'double')]", "[{'id': 3, 's': 'y', 'later': 0.5}]");
    python(
        "pq.write_table(pa.table({'id': [4], 's': ['z']}), path)",
        json!({"path": site.path("data/raw/t/d.parquet")}),
    );
    site.run_ok();
    let rows = site.sql("t/", "select id, n, s, later from read_parquet(FILES, union_by_name = true) order by id");
    assert_eq!(
        rows,
        json!([[1, 7, null, null], [3, null, "y", 0.5], [4, null, "z", null], [1_i64 << 40, null, "x", null]])
    );
}

/// Blocks of many parts, read side by side; and one of them corrupt, which the error finds.
#[test]
fn a_corrupt_block_is_named_by_key_and_byte() {
    let site = Site::directory();
    site.only(json!({"destination": {"format": "parquet"}}));
    let code = "rows = [{'id': n, 't': f'some text {n * 7919 % 100003}' * 5} for n in range(60000)]\n\
        write_avro(path, [{'name': 'id', 'type': 'long'}, {'name': 't', 'type': 'string'}], rows, 'zstandard', 64000)\n";
    let path = site.path("data/raw/t/a.avro");
    python(code, json!({"path": path}));
    site.run_ok();
    let seen = site.sql("t/", "select count(*), count(distinct id), sum(id) from read_parquet(FILES)");
    assert_eq!(seen, json!([[60_000, 60_000, 1_799_970_000_u64]]));

    let broken = Site::directory();
    broken.only(json!({"destination": {"format": "parquet"}, "errors": {"onBadObject": "Fail"}}));
    let mut bytes = std::fs::read(&path).expect("written");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 40].fill(0x5a);
    broken.put("t/a.avro", &bytes);
    broken.run_fails(4).says(&["t/a.avro byte ", "block"]);
    broken.put("t/a.avro", &bytes[..middle]);
    broken.run_fails(4).says(&["t/a.avro byte "]);
    broken.only(json!({"destination": {"format": "parquet"}, "errors": {"onBadObject": "Quarantine"}}));
    broken.put("t/b.csv", "id,t\n1,x\n");
    broken.run_ok();
    assert_eq!(broken.sql("t/", "select count(*) from read_parquet(FILES)"), json!([[1]]));
}
