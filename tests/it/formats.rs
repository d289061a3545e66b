//! Every format in, every format out, every type, read back by other engines.

use serde_json::{Value, json};

use crate::support::{Site, call, python};

const OUTPUTS: [&str; 5] = ["csv", "tsv", "json", "jsonl", "parquet"];

const INPUTS: [&str; 6] = ["csv", "tsv", "json", "jsonl", "parquet", "avro"];

/// Rows that every format can say: JSON's view of them, and text's.
fn plain_rows() -> Vec<Value> {
    (0..100)
        .map(|n: i64| {
            json!({
                "id": n * 90_000_000_000_001_i64, "flag": n % 3 == 0, "ratio": n as f64 / 8.0, "name": format!("näme, \"{n}\"\nsecond line"),
                "maybe": if n % 4 == 0 { Value::Null } else { json!(n) }, "day": format!("2024-02-{:02}", 1 + n % 29),
                "at": format!("2024-02-03T04:05:{:02}.{:06}Z", n % 60, n),
            })
        })
        .collect()
}

fn input(rows: &[Value], format: &str) -> Vec<u8> {
    let field = |value: &Value, delimiter: char| match value {
        Value::Null => String::new(),
        Value::String(text) if text.contains([delimiter, '"', '\n']) => format!("\"{}\"", text.replace('"', "\"\"")),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let delimited = |delimiter: char| {
        let names: Vec<&str> = rows[0].as_object().expect("rows are objects").keys().map(String::as_str).collect();
        let mut text = names.join(&delimiter.to_string()) + "\n";
        for row in rows {
            let fields: Vec<String> = names.iter().map(|name| field(&row[*name], delimiter)).collect();
            text += &(fields.join(&delimiter.to_string()) + "\n");
        }
        text.into_bytes()
    };
    match format {
        "csv" => delimited(','),
        "tsv" => delimited('\t'),
        "json" => serde_json::to_vec_pretty(rows).expect("values"),
        "jsonl" => rows.iter().map(|row| format!("{row}\n")).collect::<String>().into_bytes(),
        other => panic!("{other}"),
    }
}

/// Puts the rows as an object of the format; Parquet is written by pyarrow, Avro by fastavro.
fn put(site: &Site, key: &str, rows: &[Value], format: &str) {
    let write = match format {
        "parquet" => "pq.write_table(pa.Table.from_pylist(rows), path)",
        "avro" => {
            "types = {'id': 'long', 'flag': 'boolean', 'ratio': 'double', 'name': 'string', 'maybe': ['null', 'long'],\n\
             \x20   'day': {'type': 'int', 'logicalType': 'date'}, 'at': {'type': 'long', 'logicalType': 'timestamp-micros'}}\n\
             write_avro(path, [{'name': name, 'type': types[name]} for name in rows[0]], rows, 'deflate')"
        }
        _ => return site.put(key, input(rows, format)),
    };
    let code = "for row in rows:\n\
        \x20   row['day'] = dt.date.fromisoformat(row['day'])\n\
        \x20   row['at'] = dt.datetime.fromisoformat(row['at'].replace('Z', '+00:00'))\n\
        pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)\n";
    python(&format!("{code}{write}"), json!({"rows": rows, "path": site.path("data/raw").join(key)}));
}

/// What a csv reader sees of the rows.
fn as_text(rows: &Value) -> Value {
    let text = |value: &Value| match value {
        Value::Null | Value::String(_) => value.clone(),
        other => json!(other.to_string()),
    };
    rows.as_array()
        .expect("rows")
        .iter()
        .map(|row| row.as_object().expect("a row").iter().map(|(k, v)| (k.clone(), text(v))).collect::<Value>())
        .collect()
}

/// Sorted by id, whatever the order in the files.
fn by_id(mut rows: Value) -> Value {
    let id = |row: &Value| row["id"].as_i64().or_else(|| row["id"].as_str().and_then(|text| text.parse().ok()));
    rows.as_array_mut().expect("rows").sort_by_key(id);
    rows
}

#[test]
fn every_pair_of_formats_keeps_every_value() {
    let rows = plain_rows();
    let expected = Value::Array(rows.clone());
    for from in INPUTS {
        for to in OUTPUTS {
            let site = Site::directory();
            site.only(json!({"destination": {"format": to}}));
            put(&site, &format!("t/a.{from}"), &rows, from);
            let report = site.run_ok();
            assert_eq!(report["tables"][0]["rows"], 100, "{from} -> {to}");
            let found = by_id(site.rows("t/"));
            let mut expected = if ["csv", "tsv"].contains(&to) { as_text(&expected) } else { expected.clone() };
            // JSON has no time: a timestamp from JSON text stays the text it was, unless the input's format types it.
            if !["csv", "tsv", "parquet", "avro"].contains(&from) {
                assert_eq!(found, expected, "{from} -> {to}");
                continue;
            }
            for row in expected.as_array_mut().expect("rows") {
                let at = row["at"].as_str().expect("text").to_owned();
                row["at"] = json!(at);
            }
            assert_eq!(found, expected, "{from} -> {to}");
        }
    }
}

#[test]
fn every_compression_in_and_out() {
    let rows = plain_rows();
    for (from, extension) in [("none", ""), ("gzip", ".gz"), ("zstd", ".zst")] {
        for (to, written) in [("none", "jsonl"), ("gzip", "jsonl.gz"), ("zstd", "jsonl.zst")] {
            let site = Site::directory();
            site.only(json!({"destination": {"format": "jsonl", "compression": to}}));
            let path = site.path("data/raw/t").join(format!("a.jsonl{extension}"));
            std::fs::create_dir_all(path.parent().expect("below")).expect("writable");
            // gzip in two members, zstd in two frames: both are legal and common.
            let code = "packed = {'none': lambda b: b, 'gzip': gzip.compress, 'zstd': zstandard.ZstdCompressor().compress}[kind]\n\
                half = body.index('\\n', len(body) // 2) + 1\n\
                pathlib.Path(path).write_bytes(packed(body[:half].encode()) + packed(body[half:].encode()))";
            let body = String::from_utf8(input(&rows, "jsonl")).expect("text");
            python(code, json!({"kind": from, "path": path, "body": body}));
            site.run_ok();
            assert!(site.keys().iter().all(|key| key.ends_with(&format!(".{written}"))), "{:?}", site.keys());
            assert_eq!(by_id(site.rows("t/")), Value::Array(rows.clone()), "{from} -> {to}");
        }
    }
}

#[test]
fn parquet_codecs_are_what_was_asked_for() {
    for codec in ["zstd", "snappy", "gzip", "none"] {
        let site = Site::directory();
        site.only(json!({"destination": {"format": "parquet", "compression": codec}}));
        site.put("t/a.csv", "id\n1\n2\n");
        site.run_ok();
        let found = python(
            "result = pq.ParquetFile(os.path.join(dir, files(dir)[0])).metadata.row_group(0).column(0).compression",
            json!({"dir": site.output()}),
        );
        assert_eq!(found, if codec == "none" { "UNCOMPRESSED".to_owned() } else { codec.to_uppercase() });
        assert!(site.keys()[0].ends_with(".parquet"));
    }
}

/// Parquet's types through Parquet unchanged, and through text with every digit.
#[test]
fn every_type_of_parquet_survives() {
    let make = r#"
import zoneinfo
D = decimal.Decimal
at = dt.datetime(2024, 2, 3, 4, 5, 6, 789012, tzinfo=dt.timezone.utc)
columns = {
    "id": pa.array([1, 2, 3], pa.int64()),
    "boolean": pa.array([True, False, None]),
    "int8": pa.array([-128, 127, None], pa.int8()), "int16": pa.array([-32768, 32767, None], pa.int16()),
    "int32": pa.array([-2**31, 2**31 - 1, None], pa.int32()), "int64": pa.array([-2**63, 2**63 - 1, None], pa.int64()),
    "uint8": pa.array([0, 255, None], pa.uint8()), "uint16": pa.array([0, 65535, None], pa.uint16()),
    "uint32": pa.array([0, 2**32 - 1, None], pa.uint32()), "uint64": pa.array([0, 2**64 - 1, None], pa.uint64()),
    "float32": pa.array([0.1, -1e38, None], pa.float32()), "float64": pa.array([0.1, 1.7976931348623157e308, None], pa.float64()),
    "decimal": pa.array([D("12345678901234567890123456.789012345678"), D("-0.000000000001"), None], pa.decimal128(38, 12)),
    "utf8": pa.array(["grüße 🦀", "", None]), "large_utf8": pa.array(["x" * 100, "", None], pa.large_string()),
    "binary": pa.array([bytes(range(256)), b"", None], pa.binary()), "fixed": pa.array([b"abcd", b"\0\0\0\0", None], pa.binary(4)),
    "date32": pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31), None], pa.date32()),
    "ts_ms": pa.array([at.replace(microsecond=789000), at.replace(year=1900, microsecond=0), None], pa.timestamp("ms", "UTC")),
    "ts_us": pa.array([at, at.replace(year=1900), None], pa.timestamp("us", "UTC")),
    "ts_local": pa.array([at.replace(tzinfo=None), None, None], pa.timestamp("us")),
    "list": pa.array([[1, None, 3], [], None], pa.list_(pa.int32())),
    "struct": pa.array([{"a": 1, "b": "x"}, {"a": None, "b": None}, None], pa.struct([("a", pa.int64()), ("b", pa.string())])),
    "nested": pa.array([[{"k": [1]}], [], None], pa.list_(pa.struct([("k", pa.list_(pa.int64()))]))),
    "dictionary": pa.array(["a", "b", "a"]).dictionary_encode(),
}
pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
table = pa.table(columns)
pq.write_table(table, path, compression=codec, data_page_version=page, row_group_size=2)
result = [plain(row) for row in table.to_pylist()]
"#;
    for (codec, page) in
        [("snappy", "1.0"), ("zstd", "2.0"), ("brotli", "1.0"), ("gzip", "2.0"), ("lz4", "1.0"), ("none", "2.0")]
    {
        for to in ["parquet", "jsonl"] {
            let site = Site::directory();
            site.only(json!({"destination": {"format": to}}));
            let rows = python(make, json!({"path": site.path("data/raw/t/a.parquet"), "codec": codec, "page": page}));
            site.run_ok();
            let found = by_id(site.rows("t/"));
            if to == "parquet" {
                assert_eq!(found, rows, "{codec} {page}");
                continue;
            }
            for (row, want) in found.as_array().expect("rows").iter().zip(rows.as_array().expect("rows")) {
                for (name, value) in want.as_object().expect("a row") {
                    let got = &row[name];
                    match name.as_str() {
                        // As a JSON number: Python's parser keeps the digits only of integers, so compare as floats
                        // here and as text in `digits`.
                        "decimal" => assert_eq!(got.is_null(), value.is_null(), "{name}"),
                        "float32" => {
                            assert_eq!(got.as_f64().map(|f| f as f32), value.as_f64().map(|f| f as f32), "{name}")
                        }
                        "ts_local" => {
                            assert_eq!(got.as_str().map(|t| t.trim_end_matches('Z')), value.as_str(), "{name}")
                        }
                        _ => assert_eq!(got, value, "{codec} {page} {name}"),
                    }
                }
            }
        }
    }
}

#[test]
fn text_keeps_every_digit() {
    let site = Site::directory();
    site.only(json!({"destination": {"format": "csv"}}));
    let make = "D = decimal.Decimal\npathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)\n\
        pq.write_table(pa.table({'d': pa.array([D('12345678901234567890.123456789012345678')], pa.decimal128(38, 18)), 'i': pa.array([2**63 - 1]),\n\
        'u': pa.array([2**64 - 1], pa.uint64()), 'f': pa.array([0.1 + 0.2]), 't': pa.array([1706934306789012], pa.timestamp('us', 'UTC')), 'b': pa.array([b'\\x00\\xff'])}), path)";
    python(make, json!({"path": site.path("data/raw/t/a.parquet")}));
    site.run_ok();
    let row = json!([{"d": "12345678901234567890.123456789012345678", "i": "9223372036854775807", "u": "18446744073709551615",
                      "f": "0.30000000000000004", "t": "2024-02-03T04:25:06.789012Z", "b": "AP8="}]);
    assert_eq!(site.rows("t/"), row);
}

/// The csv lattice, seen from outside: what each column of text becomes.
#[test]
fn text_gets_the_types_that_lose_nothing() {
    let columns: &[(&str, [&str; 3], &str)] = &[
        ("int", ["1", "-2", ""], "int64"),
        ("float", ["1", "2.5", ""], "double"),
        ("boolean", ["true", "false", ""], "bool"),
        ("date", ["2024-01-31", "1999-12-31", ""], "date32[day]"),
        ("at", ["2024-01-31T01:02:03Z", "2024-01-31T01:02:03.5+02:00", ""], "timestamp[us, tz=UTC]"),
        ("date_and_time", ["2024-01-31", "2024-01-31T01:02:03Z", ""], "timestamp[us, tz=UTC]"),
        ("zip", ["01234", "99999", ""], "string"),
        ("plus", ["+1", "2", ""], "string"),
        ("long", ["9223372036854775808", "1", ""], "decimal128(19, 0)"),
        ("longer", ["100000000000000000000000000000000000000", "1", ""], "string"),
        ("digits", ["0.123456789012345678", "12.5", ""], "decimal128(20, 18)"),
        ("printed", ["0.30000000000000004", "1.2345678901234567890e-05", "-0"], "double"),
        ("hex", ["0x1f", "1", ""], "string"),
        ("nan", ["NaN", "1.5", ""], "string"),
        ("exact", ["9007199254740993", "0.5", ""], "decimal128(17, 1)"),
        ("inexact", ["9007199254740993", "5e-1", ""], "string"),
        ("mixed", ["1", "2024-01-31", ""], "string"),
        ("spaces", [" 1", "2", ""], "string"),
    ];
    let site = Site::directory();
    site.only(json!({"destination": {"format": "parquet"}}));
    let line = |cells: Vec<&str>| cells.join(",") + "\n";
    let mut text = line(columns.iter().map(|c| c.0).collect());
    for row in 0..3 {
        text += &line(columns.iter().map(|c| c.1[row]).collect());
    }
    site.put("t/a.csv", text);
    site.run_ok();
    let types = site.types("t/");
    for (name, _, wanted) in columns {
        assert_eq!(types[name].as_str().map(|t| t.replace("large_", "")).as_deref(), Some(*wanted), "{name}");
    }
}

/// A value far behind the sample that does not fit: the epoch is planned again, wider, and nothing is lost or doubled.
#[test]
fn a_late_mismatch_widens_the_schema_before_anything_is_visible() {
    let site = Site::directory();
    site.only(json!({"destination": {"format": "parquet"}}));
    let early: String = (0..200_000).map(|n| format!("{n},{n}\n")).collect();
    site.put("t/a.csv", format!("id,value\n{early}200000,mismatch\n"));
    site.put("t/b.csv", "id,value\n200001,1.5\n");
    site.run_ok();
    assert_eq!(site.types("t/")["value"].as_str().map(|t| t.replace("large_", "")).as_deref(), Some("string"));
    let seen = site.sql(
        "t/",
        "select count(*), count(distinct id), max(value) filter (id = 200000), max(value) filter (id = 7) from read_parquet(FILES)",
    );
    assert_eq!(seen, json!([[200_002, 200_002, "mismatch", "7"]]));
}

#[test]
fn options_of_csv_input() {
    let site = Site::directory();
    site.only(json!({"source": {"csv": {"delimiter": ";", "quote": "'", "comment": "#", "skipRows": 1, "nullValues": ["", "NULL"], "encoding": "latin-1", "header": false}},
                     "destination": {"format": "jsonl"}}));
    site.put("t/a.csv", b"report of today\n1;'a;b';gr\xfc\xdfe\n# not a row\n2;NULL;'NULL'\n");
    site.run_ok();
    let rows = json!([{"column_1": 1, "column_2": "a;b", "column_3": "grüße"}, {"column_1": 2, "column_2": null, "column_3": "NULL"}]);
    assert_eq!(site.rows("t/"), rows);
}

#[test]
fn text_of_every_encoding_is_read() {
    for (encoding, python_name) in [
        ("utf-8", "utf-8"),
        ("utf-8", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("utf-16le", "utf-16-le"),
        ("utf-16be", "utf-16-be"),
        ("latin-1", "latin-1"),
    ] {
        let site = Site::directory();
        site.only(json!({"source": {"csv": {"encoding": encoding}}, "destination": {"format": "jsonl"}}));
        let path = site.path("data/raw/t/a.csv");
        python(
            "pathlib.Path(path).parent.mkdir()\npathlib.Path(path).write_bytes('id,größe\\r\\n1,\"é\\r\\nü\"\\r\\n2,\\r\\n'.encode(name))",
            json!({"path": path, "name": python_name}),
        );
        site.run_ok();
        assert_eq!(site.rows("t/"), json!([{"id": 1, "größe": "é\r\nü"}, {"id": 2, "größe": null}]), "{python_name}");
    }
}

#[test]
fn options_of_csv_output() {
    let site = Site::directory();
    site.only(
        json!({"destination": {"format": "csv", "csv": {"delimiter": "\\t", "nullValue": "NULL", "quote": "'"}}}),
    );
    site.put("t/a.jsonl", "{\"a\":1,\"b\":null,\"c\":\"it's\\there\"}\n{\"a\":2,\"b\":\"NULL\",\"c\":\"\"}\n");
    site.run_ok();
    let text = std::fs::read_to_string(site.output().join(&site.keys()[0])).expect("text");
    assert_eq!(text, "a\tb\tc\n1\tNULL\t'it''s\there'\n2\t'NULL'\t\n");
}

#[test]
fn modes_casts_renames_and_drops() {
    let text = "id,price,secret\n007,1.50,x\n8,+02.25,y\n";
    let outcome = |schema: Value| {
        let site = Site::directory();
        site.only(json!({"schema": schema, "destination": {"format": "parquet"}}));
        site.put("t/a.csv", text);
        site.run_ok();
        (site.types("t/"), site.rows("t/"))
    };
    let (types, rows) = outcome(json!({"mode": "Strings", "drop": ["secret"]}));
    assert_eq!(rows, json!([{"id": "007", "price": "1.50"}, {"id": "8", "price": "+02.25"}]));
    assert!(types["price"].as_str().is_some_and(|t| t.ends_with("string")), "{types}");
    let (types, rows) = outcome(
        json!({"columns": [{"name": "number", "type": "int32", "from": "id"}, {"name": "price", "type": "decimal(10,2)"}], "drop": ["secret"]}),
    );
    assert_eq!((&types["number"], &types["price"]), (&json!("int32"), &json!("decimal128(10, 2)")));
    assert_eq!(rows, json!([{"number": 7, "price": "1.50"}, {"number": 8, "price": "2.25"}]));
    let (types, rows) = outcome(
        json!({"mode": "Declared", "columns": [{"name": "price", "type": "float32"}, {"name": "absent", "type": "date32"}]}),
    );
    assert_eq!(types, json!({"price": "float", "absent": "date32[day]"}));
    assert_eq!(rows, json!([{"price": 1.5, "absent": null}, {"price": 2.25, "absent": null}]));
}

#[test]
fn json_shapes_merge_into_one_schema() {
    let site = Site::directory();
    site.only(json!({"destination": {"format": "parquet"}}));
    site.put(
        "t/a.json",
        r#"[{"id": 1, "who": {"name": "a"}, "tags": []}, {"id": 2, "who": {"age": 7}, "tags": ["x"]}]"#,
    );
    site.put("t/b.json", r#"{"id": 3, "who": null, "more": 1.5} {"id": 4, "big": 18446744073709551616}"#);
    site.run_ok();
    let rows = by_id(site.rows("t/"));
    assert_eq!(rows[0]["who"], json!({"name": "a", "age": null}));
    assert_eq!((&rows[1]["who"], &rows[1]["tags"]), (&json!({"name": null, "age": 7}), &json!(["x"])));
    assert_eq!((&rows[2]["more"], &rows[2]["id"]), (&json!(1.5), &json!(3)));
    assert_eq!(rows[3]["big"], "18446744073709551616", "every digit is there");
}

#[test]
fn evolution_between_runs() {
    let run = |evolution: &str, second: &str| {
        let site = Site::directory();
        site.only(json!({"schema": {"evolution": evolution}, "destination": {"format": "parquet"}}));
        site.put("t/a.csv", "id,n\n1,10\n");
        site.run_ok();
        site.put("t/b.csv", second);
        site
    };
    let site = run("AddColumns", "id,n,more\n2,20,x\n");
    site.run_ok();
    assert_eq!(by_id(site.rows("t/")), json!([{"id": 1, "n": 10}, {"id": 2, "n": 20, "more": "x"}]));
    run("AddColumns", "id,n\n2,word\n").run_fails(4).says(&["t/b.csv", "n"]);
    run("Fail", "id,n,more\n2,20,x\n").run_fails(4).says(&["t/b.csv", "more"]);
    let site = run("Rescue", "id,n\n2,word\n3,30\n");
    site.run_ok();
    let rows = by_id(site.rows("t/"));
    assert_eq!(
        (&rows[1]["n"], rows[1]["_rescued_data"].as_str().is_some_and(|text| text.contains("word"))),
        (&Value::Null, true),
        "{rows}"
    );
    assert_eq!(rows[2]["n"], 30);
}

#[test]
fn json_array_output_is_one_array_a_file() {
    let site = Site::directory();
    site.only(json!({"destination": {"format": "json", "batch": {"rows": 2}}}));
    site.put("t/a.csv", "id\n1\n2\n3\n4\n5\n");
    site.run_ok();
    assert_eq!(site.keys().len(), 3);
    assert_eq!(
        call("rows", json!({"dir": site.output()})),
        json!([{"id": 1}, {"id": 2}, {"id": 3}, {"id": 4}, {"id": 5}])
    );
}

/// Row groups that are as ours would be keep their chunks, whoever wrote them: the rows are the same, and nothing is
/// compressed again.
#[test]
fn row_groups_of_parquet_are_taken_over() {
    let write = r#"
import random
random.seed(7)
rows = 2 * 40960
pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
events = pa.table({
    "id": pa.array(range(rows), pa.int64()),
    "text": pa.array([None if n % 11 == 0 else random.randbytes(130).hex() for n in range(rows)], pa.string()),
    "price": pa.array([n / 7 for n in range(rows)], pa.float64()),
})
if writer == "duckdb":
    duckdb.sql(f"copy events to '{path}' (format parquet, compression zstd, row_group_size 40960)")
else:
    pq.write_table(events, path, compression="zstd", row_group_size=40960, data_page_version=writer, write_page_checksum=True)
"#;
    let compare = r#"
out = [os.path.join(dir, name) for name in files(dir)]
def chunks(paths):
    groups = [pq.ParquetFile(p).metadata.row_group(g) for p in paths for g in range(pq.ParquetFile(p).metadata.num_row_groups)]
    return [[g.num_rows, g.column(1).total_compressed_size, g.column(1).statistics.null_count, g.column(1).statistics.max] for g in groups]
def rows(paths):
    return duckdb.sql(f"select count(*), sum(id), count(text), md5(string_agg(text, '' order by id)), sum(price) from read_parquet({paths})").fetchall()
result = [chunks([path]) == chunks(out), rows([path]) == rows(out), len(chunks(out))]
"#;
    for writer in ["1.0", "2.0", "duckdb"] {
        let site = Site::directory();
        site.only(json!({"destination": {"format": "parquet"}}));
        let object = json!({"path": site.path("data/raw/t/a.parquet"), "writer": writer, "dir": site.output()});
        python(write, object.clone());
        site.run_ok();
        assert_eq!(python(compare, object), json!([true, true, 2]), "{writer}");
    }
}

#[test]
fn a_timestamp_without_a_zone_is_wall_clock_time_in_every_format() {
    let site = Site::directory();
    let schema = json!({"columns": [{"name": "at", "type": "timestamp(us, no zone)"}]});
    let to = |format: &str| json!({"schema": schema, "destination": {"format": format, "path": format!("{format}/{{{{UUID}}}}")}});
    site.put("t/a.csv", "at\n2026-01-02T03:04:05.000006\n");
    site.put("t/b.jsonl", "{\"at\": \"2026-01-02 03:04:05.000006\"}\n");
    for format in ["parquet", "csv", "jsonl"] {
        site.manifest(&[site.sync(format, to(format))]);
        site.run_ok();
    }
    assert_eq!(site.types("parquet"), json!({"at": "timestamp[us]"}));
    let wall = "2026-01-02T03:04:05.000006";
    for format in ["csv", "jsonl"] {
        let key = site.keys().into_iter().find(|key| key.starts_with(format)).expect("published");
        let text = std::fs::read_to_string(site.path("data/lake").join(key)).expect("text");
        assert!(text.matches(wall).count() == 2 && !text.contains('Z'), "{format}: {text}");
    }
    // Back from parquet, under the name that `tables` prints.
    let key = site.keys().into_iter().find(|key| key.starts_with("parquet")).expect("published");
    let again = Site::directory();
    again.put("t/a.parquet", std::fs::read(site.path("data/lake").join(key)).expect("there"));
    again.only(to("jsonl"));
    again.start(&["tables"], &[]).wait().expect(0).says(&["at  timestamp(us, no zone)"]);
    again.run_ok();
    assert_eq!(
        again.sql("", "select distinct \"at\" from read_json_auto(FILES)").to_string().matches("03:04:05").count(),
        1
    );
    // An offset says another thing than a clock on a wall.
    again.put("t/z.csv", "at\n2026-01-02T03:04:05Z\n");
    again.run_fails(4).says(&["t/z.csv", "line 2"]);
}
