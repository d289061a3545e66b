//! Parquet beside the other formats: the same values, the same answers; and what other writers write.

use serde_json::{Value, json};

use crate::support::{Site, python};

/// Writes columns given as Python text (a dict of name to `pa.array`) with pyarrow.
fn write(site: &Site, key: &str, columns: &str) {
    let code = format!(
        "D = decimal.Decimal\npathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)\n\
         at = lambda text: dt.datetime.fromisoformat(text)\npq.write_table(pa.table({columns}), path)"
    );
    python(&code, json!({"path": site.path("data/raw").join(key)}));
}

/// One value, one cast, three formats: the value, or exit code 4, from all of them.
#[test]
fn a_cast_gives_the_same_from_every_format() {
    let cases: &[(&str, &str, &str, &str, Option<Value>)] = &[
        ("1e300", "1e300", "pa.array([1e300])", "float32", None),
        ("0.1", "0.1", "pa.array([0.1])", "float32", Some(json!(0.1f32))),
        ("9007199254740993", "9007199254740993", "pa.array([2**53 + 1])", "float64", None),
        (
            "2019-06-15T00:00:12.868214001Z",
            "\"2019-06-15T00:00:12.868214001Z\"",
            "pa.array([1560556812868214001], pa.timestamp('ns', 'UTC'))",
            "timestamp(us)",
            None,
        ),
        (
            "2019-06-15T00:00:12Z",
            "\"2019-06-15T00:00:12Z\"",
            "pa.array([1560556812], pa.timestamp('s', 'UTC'))",
            "date32",
            None,
        ),
        (
            "1700000000123",
            "1700000000123",
            "pa.array([1700000000123])",
            "timestamp(ms)",
            Some(json!("2023-11-14T22:13:20.123000Z")),
        ),
        ("1700000000.5", "1700000000.5", "pa.array([1700000000.5])", "timestamp(us)", None),
        ("5.0", "5.0", "pa.array([5.0])", "int64", Some(json!(5))),
        ("true", "true", "pa.array([True])", "int64", None),
        ("1", "1", "pa.array([1])", "boolean", None),
        (" 5", "\" 5\"", "pa.array([' 5'])", "int64", None),
        (
            "0.123456789012345678",
            "0.123456789012345678",
            "pa.array([D('0.123456789012345678')], pa.decimal128(38, 18))",
            "float64",
            None,
        ),
    ];
    for (csv, jsonl, parquet, target, expected) in cases {
        for format in ["csv", "jsonl", "parquet"] {
            let site = Site::directory();
            site.only(
                json!({"schema": {"columns": [{"name": "v", "type": target}]}, "destination": {"format": "parquet"}}),
            );
            match format {
                "csv" => site.put("t/a.csv", format!("v\n{csv}\n")),
                "jsonl" => site.put("t/a.jsonl", format!("{{\"v\":{jsonl}}}\n")),
                _ => write(&site, "t/a.parquet", &format!("{{'v': {parquet}}}")),
            }
            match expected {
                Some(value) => {
                    site.run_ok();
                    assert_eq!(site.rows("t/"), json!([{"v": value}]), "{csv} as {target} from {format}");
                }
                None => {
                    site.run_fails(4).says(&["column", "v", target]);
                }
            }
        }
    }
}

/// The second run brings another type: each value is there as it was, or in `_rescued_data` with all its digits.
#[test]
fn rescue_cuts_nothing() {
    let cases = [
        (
            "pa.array([at('2024-01-01')], pa.timestamp('us'))",
            "pa.array([1560556812868214001], pa.timestamp('ns'))",
            "2019-06-15T00:00:12.868214001",
        ),
        (
            "pa.array([at('2024-01-01')], pa.timestamp('ms'))",
            "pa.array([1560556812868214], pa.timestamp('us'))",
            "2019-06-15T00:00:12.868214",
        ),
        (
            "pa.array([dt.date(2024, 1, 1)])",
            "pa.array([1560556812868214], pa.timestamp('us'))",
            "2019-06-15T00:00:12.868214",
        ),
        ("pa.array([0.5])", "pa.array([D('123456789012345678.91')], pa.decimal128(20, 2))", "123456789012345678.91"),
        ("pa.array([1])", "pa.array(['007'])", "007"),
        ("pa.array([True])", "pa.array([1])", "1"),
        (
            "pa.array([[at('2024-01-01')]], pa.list_(pa.timestamp('us')))",
            "pa.array([[1560556812868214001]], pa.list_(pa.timestamp('ns')))",
            "2019-06-15T00:00:12.868214001",
        ),
        (
            "pa.array([{'a': at('2024-01-01')}], pa.struct([('a', pa.timestamp('us'))]))",
            "pa.array([{'a': 1560556812868214001}], pa.struct([('a', pa.timestamp('ns'))]))",
            "2019-06-15T00:00:12.868214001",
        ),
    ];
    for (first, second, rescued) in cases {
        let site = Site::directory();
        site.only(json!({"schema": {"evolution": "Rescue"}, "destination": {"format": "parquet"}}));
        write(&site, "t/a.parquet", &format!("{{'id': pa.array([1]), 'v': {first}}}"));
        site.run_ok();
        write(&site, "t/b.parquet", &format!("{{'id': pa.array([2]), 'v': {second}}}"));
        site.run_ok();
        let rows = site.sql(
            "t/",
            "select id, v is null, _rescued_data from read_parquet(FILES, union_by_name = true) order by id",
        );
        let text = rows[1][2].as_str().unwrap_or_default();
        assert!(text.contains(rescued), "{first} then {second}: {rows}");
        assert_eq!(
            (&rows[0][1], &rows[0][2], &rows[1][1]),
            (&json!(false), &Value::Null, &json!(true)),
            "{first} then {second}"
        );
    }
}

/// An object without rows comes first, in between or last: it decides no type, adds no column, and stops no run.
#[test]
fn an_object_without_rows_constrains_nothing() {
    let rows = "{'id': pa.array([7]), 'amt': pa.array([D('1.1')], pa.decimal128(28, 9))}";
    let expected = json!([{"id": 7, "amt": "1.100000000"}]);
    let empty = |site: &Site, key: &str| match key.rsplit('.').next() {
        Some("csv") => site.put(key, "id,amt,more\n"),
        Some("json") => site.put(key, "[]"),
        Some("jsonl") => site.put(key, "\n"),
        _ => {
            let kind = ["null", "float64", "string"].into_iter().find(|kind| key.contains(kind)).expect("a kind");
            write(site, key, &format!("{{name: pa.array([], pa.{kind}()) for name in ['id', 'amt', 'more']}}"));
        }
    };
    for name in ["null.parquet", "float64.parquet", "string.parquet", "0.csv", "0.json", "0.jsonl"] {
        for evolution in ["AddColumns", "Fail", "Rescue"] {
            let site = Site::directory();
            site.only(json!({"schema": {"evolution": evolution}, "destination": {"format": "parquet"}}));
            empty(&site, &format!("t/a-{name}"));
            site.run_ok();
            assert!(site.keys().is_empty(), "{name}");
            write(&site, "t/b.parquet", rows);
            site.run_ok();
            empty(&site, &format!("t/c-{name}"));
            site.run_ok();
            let seen = site.sql("t/", "select id, amt, typeof(amt) from read_parquet(FILES)");
            assert_eq!(seen, json!([[7, "1.100000000", "DECIMAL(28,9)"]]), "{name} {evolution}");
            assert!(site.types("t/").get("more").is_none(), "{name} {evolution}");
            // All at once, more of them than are sampled.
            let site = Site::directory();
            site.only(json!({"schema": {"evolution": evolution}, "destination": {"format": "parquet"}}));
            for place in ["a", "b", "d", "e", "f"] {
                empty(&site, &format!("t/{place}-{name}"));
            }
            write(&site, "t/c.parquet", rows);
            site.run_ok();
            let rows = site.rows("t/");
            assert_eq!(
                (&rows[0]["id"], &rows[0]["amt"]),
                (&expected[0]["id"], &expected[0]["amt"]),
                "{name} {evolution}: {rows}"
            );
        }
    }
}

/// Columns that are encrypted under a plain footer look like damage, and are not.
#[test]
fn encrypted_columns_are_named() {
    let code = r#"
import pyarrow.parquet.encryption as pe
class Kms(pe.KmsClient):
    def __init__(self, config):
        super().__init__()
    def wrap_key(self, key, master):
        return base64.b64encode(key)
    def unwrap_key(self, wrapped, master):
        return base64.b64decode(wrapped)
factory = pe.CryptoFactory(Kms)
config = pe.EncryptionConfiguration(footer_key="footer", column_keys={"key": ["secret"]}, plaintext_footer=True)
pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
table = pa.table({"id": pa.array([1, 2]), "secret": pa.array(["a", "b"])})
with pq.ParquetWriter(path, table.schema, encryption_properties=factory.file_encryption_properties(pe.KmsConnectionConfig(), config)) as writer:
    writer.write_table(table)
"#;
    let site = Site::directory();
    site.only(json!({"destination": {"format": "parquet"}}));
    python(code, json!({"path": site.path("data/raw/t/a.parquet")}));
    site.run_fails(4).says(&["t/a.parquet", "its columns are encrypted (secret)", "source.exclude"]);
}

/// What is written for each type of a table is what readers know, whatever unit or layout it came in.
#[test]
fn every_type_is_written_as_readers_know_it() {
    let columns = [
        (
            "ts_s",
            "pa.array([1704067200], pa.timestamp('s', 'UTC'))",
            "timestamp[ms, tz=UTC]",
            "TIMESTAMP WITH TIME ZONE",
        ),
        ("ts_s_local", "pa.array([1704067200], pa.timestamp('s'))", "timestamp[ms]", "TIMESTAMP"),
        ("ts_ns", "pa.array([1], pa.timestamp('ns', 'UTC'))", "timestamp[ns, tz=UTC]", "TIMESTAMP WITH TIME ZONE"),
        ("time_s", "pa.array([86399], pa.time32('s'))", "time32[ms]", "TIME"),
        ("time_ns", "pa.array([1000], pa.time64('ns'))", "time64[ns]", "TIME"),
        ("date64", "pa.array([86400000], pa.date64())", "date32[day]", "DATE"),
        ("duration", "pa.array([7], pa.duration('us'))", "int64", "BIGINT"),
        ("uint8", "pa.array([255], pa.uint8())", "uint8", "UTINYINT"),
        ("uint64", "pa.array([2**64 - 1], pa.uint64())", "uint64", "UBIGINT"),
        ("half", "pa.array([1.5], pa.float32()).cast(pa.float16())", "float", "FLOAT"),
        ("decimal256", "pa.array([D('1.5')], pa.decimal256(30, 2))", "decimal128(30, 2)", "DECIMAL(30,2)"),
        ("dictionary", "pa.array(['a']).dictionary_encode()", "string", "VARCHAR"),
        ("large", "pa.array(['a'], pa.large_string())", "string", "VARCHAR"),
        ("large_bytes", "pa.array([b'a'], pa.large_binary())", "binary", "BLOB"),
        ("fixed", "pa.array([b'ab'], pa.binary(2))", "binary", "BLOB"),
        ("large_list", "pa.array([[1]], pa.large_list(pa.int64()))", "list<item: int64>", "BIGINT[]"),
        ("seconds", "pa.array([[1]], pa.list_(pa.timestamp('s')))", "list<item: timestamp[ms]>", "TIMESTAMP[]"),
        ("counted", "pa.array([1704067200])", "timestamp[ms, tz=UTC]", "TIMESTAMP WITH TIME ZONE"),
    ];
    let site = Site::directory();
    let cast = json!({"columns": [{"name": "counted", "type": "timestamp(s)"}]});
    site.only(json!({"schema": cast, "destination": {"format": "parquet"}}));
    let all: String = columns.iter().map(|(name, array, _, _)| format!("'{name}': {array}, ")).collect();
    write(&site, "t/a.parquet", &format!("{{{all}}}"));
    site.run_ok();
    let types = site.types("t/");
    let of_duckdb = site.sql("t/", "select column_name, column_type from (describe select * from read_parquet(FILES))");
    for (name, _, arrow, duckdb) in columns {
        let known = of_duckdb.as_array().expect("rows").iter().find(|row| row[0] == name).map(|row| &row[1]);
        assert_eq!((&types[name], known), (&json!(arrow), Some(&json!(duckdb))), "{name}");
    }
    let text = site.sql("t/", "select epoch(ts_s), epoch(counted), time_s::text from read_parquet(FILES)");
    assert_eq!(text, json!([[1_704_067_200.0, 1_704_067_200.0, "23:59:59"]]));
}

/// `timestamp(s)` stays what it is in text, from where it may come back.
#[test]
fn seconds_beyond_milliseconds_are_bad_data_in_parquet_alone() {
    for format in ["parquet", "jsonl"] {
        let site = Site::directory();
        site.only(
            json!({"schema": {"columns": [{"name": "at", "type": "timestamp(s)"}]}, "destination": {"format": format}}),
        );
        site.put("t/a.csv", "id,at\n1,9223372036854776\n");
        match format {
            "parquet" => {
                site.run_fails(4).says(&["t/a.csv", "column at", "cast it to utf8"]);
            }
            _ => {
                site.run_ok();
                assert_eq!(site.rows("t/"), json!([{"id": 1, "at": "+292278994-08-17T07:12:56.000000Z"}]));
            }
        }
    }
}

/// Bytes in a column of text: in one run and in the next, in either order, alone and inside.
#[test]
fn bytes_that_meet_text_are_text_or_bad() {
    let text = "pa.array(['AP8=', None])";
    let bytes = "pa.array([b't\\xc3\\xa9xt', b'AP8='], pa.binary())";
    let fixed = "pa.array([b't\\xc3\\xa9x', b'abcd'], pa.binary(4))";
    let wrong = "pa.array([b'\\xff\\x00', b'x'], pa.large_binary())";
    let list = |array: &str| format!("pa.array([[item] for item in {array}.to_pylist()], pa.list_({array}.type))");
    let structure = |array: &str| {
        format!("pa.array([{{'f': item}} for item in {array}.to_pylist()], pa.struct([('f', {array}.type)]))")
    };
    // How it is written, where the value is then, and its JSON where it is wrong.
    type Shape<'a> = (&'a dyn Fn(&str) -> String, &'a str, &'a str);
    let shapes: [Shape; 3] = [
        (&|array| array.to_owned(), "v", "\"/wA=\""),
        (&list, "v[1]", "[\"/wA=\"]"),
        (&structure, "v.f", "{\"f\":\"/wA=\"}"),
    ];
    let spec = |evolution: &str| json!({"schema": {"evolution": evolution}, "destination": {"format": "parquet"}});
    for (shape, value, json) in shapes {
        let column =
            |first: i64, array: &str| format!("{{'id': pa.array([{first}, {}]), 'v': {}}}", first + 1, shape(array));
        let query = format!("select id, {value} from read_parquet(FILES, union_by_name=true) order by 1");
        let published = json!([[1, "AP8="], [2, null], [3, "téxt"], [4, "AP8="], [5, "téx"], [6, "abcd"]]);
        for order in [["a", "b", "c"], ["c", "a", "b"], ["b", "c", "a"]] {
            for evolution in ["AddColumns", "Rescue"] {
                let site = Site::directory();
                site.only(spec(evolution));
                write(&site, &format!("t/{}.parquet", order[0]), &column(1, text));
                write(&site, &format!("t/{}.parquet", order[1]), &column(3, bytes));
                write(&site, &format!("t/{}.parquet", order[2]), &column(5, fixed));
                site.run_ok();
                assert_eq!(site.sql("t/", &query), published, "{value} {order:?}");
            }
        }
        for evolution in ["AddColumns", "Fail", "Rescue"] {
            let site = Site::directory();
            site.only(spec(evolution));
            write(&site, "t/a.parquet", &column(1, text));
            site.run_ok();
            write(&site, "t/b.parquet", &column(3, bytes));
            write(&site, "t/c.parquet", &column(5, fixed));
            site.run_ok();
            assert_eq!(site.sql("t/", &query), published, "{value} {evolution}");
            write(&site, "t/d.parquet", &column(7, wrong));
            if evolution != "Rescue" {
                site.run_fails(4).says(&["t/d.parquet", "column v", "/wA="]);
                continue;
            }
            site.run_ok();
            let rescued = format!(
                "select id, {value}, _rescued_data from read_parquet(FILES, union_by_name=true) where id > 6 order by 1"
            );
            assert_eq!(site.sql("t/", &rescued), json!([[7, null, format!("{{\"v\":{json}}}")], [8, "x", null]]));
        }
    }
}

/// Text where there are bytes in force: refused without a way that would read it as base64, or rescued.
#[test]
fn text_that_meets_bytes_is_no_base64() {
    let site = Site::directory();
    site.only(json!({"destination": {"format": "parquet"}}));
    write(&site, "t/a.parquet", "{'id': pa.array([1]), 'v': pa.array([b'\\xff'])}");
    site.run_ok();
    site.put("t/b.csv", "id,v\n2,test\n");
    site.run_fails(4)
        .says(&["t/b.csv", "column v is binary in earlier epochs and utf8 now; set schema.evolution to Rescue"]);
    site.only(json!({"schema": {"evolution": "Rescue"}, "destination": {"format": "parquet"}}));
    site.run_ok();
    let rows =
        site.sql("t/", "select id, base64(v), _rescued_data from read_parquet(FILES, union_by_name=true) order by 1");
    assert_eq!(rows, json!([[1, "/w==", null], [2, null, "{\"v\":\"test\"}"]]));
}

/// No reader is given a decimal that it would make a float of, unless it was one before.
#[test]
fn decimals_are_united_up_to_38_digits() {
    let decimal = |text: &str, of: &str| format!("{{'v': pa.array([D('{text}')], pa.decimal{of})}}");
    for (a, b, kind, values) in [
        (decimal("1.50", "128(10, 2)"), decimal("0.0005", "128(10, 4)"), "DECIMAL(12,4)", ["0.0005", "1.5000"]),
        (
            decimal("12", "128(38, 0)"),
            decimal("0.5", "128(38, 38)"),
            "VARCHAR",
            ["0.50000000000000000000000000000000000000", "12"],
        ),
        (decimal("12", "128(38, 20)"), "{'v': pa.array([7])}".to_owned(), "VARCHAR", ["12.00000000000000000000", "7"]),
        (decimal("12", "256(50, 2)"), "{'v': pa.array([7])}".to_owned(), "VARCHAR", ["12.00", "7"]),
    ] {
        let site = Site::directory();
        site.only(json!({"destination": {"format": "parquet"}}));
        write(&site, "t/a.parquet", &a);
        write(&site, "t/b.parquet", &b);
        site.run_ok();
        let rows = site.sql("t/", "select distinct typeof(v), v from read_parquet(FILES) order by v");
        assert_eq!(rows, json!([[kind, values[0]], [kind, values[1]]]), "{a} and {b}");
    }
    let site = Site::directory();
    site.only(json!({"destination": {"format": "parquet"}}));
    write(&site, "t/a.parquet", &decimal("123456789012345678901234567890123456789012345678.91", "256(50, 2)"));
    site.run_ok();
    assert_eq!(site.rows("t/"), json!([{"v": "123456789012345678901234567890123456789012345678.91"}]));
}

/// Inside of what becomes text a float keeps what it is.
#[test]
fn what_is_not_finite_has_a_name_inside_of_text() {
    let site = Site::directory();
    site.only(json!({"destination": {"format": "jsonl"}}));
    write(&site, "t/a.parquet", "{'id': pa.array([1]), 'v': pa.array([[float('nan'), float('-inf'), 0.5]])}");
    write(&site, "t/b.parquet", "{'id': pa.array([2]), 'v': pa.array(['x'])}");
    site.run_ok();
    assert_eq!(site.rows("t/"), json!([{"id": 1, "v": "[\"NaN\",\"-Infinity\",0.5]"}, {"id": 2, "v": "x"}]));
}

/// Times of old writers: exactly what they say, or a bad object whose advice helps.
#[test]
fn int96_cuts_no_digits() {
    let write = "pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)\n\
        pq.write_table(pa.table({'at': pa.array(at, pa.timestamp('ns'))}), path, use_deprecated_int96_timestamps=True)";
    let site = Site::directory();
    site.only(json!({"destination": {"format": "jsonl"}}));
    python(write, json!({"path": site.path("data/raw/t/a.parquet"), "at": [1560556812868214000_i64, -1000]}));
    site.run_ok();
    let micros = json!([{"at": "1969-12-31T23:59:59.999999"}, {"at": "2019-06-15T00:00:12.868214"}]);
    assert_eq!(site.rows("t/"), micros);
    let site = Site::directory();
    site.only(json!({"destination": {"format": "jsonl"}}));
    python(write, json!({"path": site.path("data/raw/t/a.parquet"), "at": [1560556812868214001_i64, null]}));
    site.run_fails(4).says(&[
        "t/a.parquet",
        "column at: 2019-06-15T00:00:12.868214001",
        "cast the column to timestamp(ns, no zone)",
    ]);
    site.only(json!({"schema": {"columns": [{"name": "at", "type": "timestamp(ns, no zone)"}]}, "destination": {"format": "jsonl"}}));
    site.run_ok();
    assert_eq!(site.rows("t/"), json!([{"at": "2019-06-15T00:00:12.868214001"}, {"at": null}]));
}
