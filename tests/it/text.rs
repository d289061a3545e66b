//! Text as other programs write it: no row is lost and no value changed, whatever the numbers and the lines look like.

use serde_json::{Value, json};

use crate::support::{Site, python};

/// Numbers as text, read back as text, from every text format to every other and to Parquet.
#[test]
fn long_numbers_keep_every_digit() {
    let columns: &[(&str, &[&str])] = &[
        ("amount", &["0.123456789012345678", "1234567890123.123456", "-7", "2.5"]),
        ("id", &["9223372036854775807", "9223372036854775808", "-99999999999999999999", "0"]),
        ("ratio", &["0.30000000000000004", "0.1", "1e-7", "-0"]),
        ("wide", &["9007199254740993", "0.5", "1", "2"]),
    ];
    let row = |n: usize| columns.iter().map(move |(_, values)| values[n]);
    let csv = "amount,id,ratio,wide\n".to_owned()
        + &(0..4).map(|n| row(n).collect::<Vec<_>>().join(",") + "\n").collect::<String>();
    let object = |n: usize| {
        let members = columns.iter().zip(row(n)).map(|((name, _), value)| format!("\"{name}\":{value}"));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    };
    let jsonl: String = (0..4).map(|n| object(n) + "\n").collect();
    let json = format!("[{}]", (0..4).map(object).collect::<Vec<_>>().join(",\n"));
    for (from, text) in [("csv", &csv), ("jsonl", &jsonl), ("json", &json)] {
        for to in ["csv", "jsonl", "parquet"] {
            let site = Site::directory();
            site.only(json!({"destination": {"format": to}}));
            site.put(&format!("t/a.{from}"), text);
            site.run_ok();
            // Decimal is exact, and the float's zero has a sign.
            let code = "import json as j\nD = decimal.Decimal\n\
                [path] = files(dir, 't/')\npath = os.path.join(dir, path)\n\
                if to == 'parquet': rows = pq.read_table(path).to_pylist()\n\
                elif to == 'jsonl': rows = [j.loads(line, parse_float=D) for line in open(path)]\n\
                else:\n    import csv as c\n    rows = list(c.DictReader(open(path)))\n\
                same = lambda name, got, want: (math.copysign(1, float(got)), float(got)) == (math.copysign(1, float(want)), float(want)) \
                    if name == 'ratio' else D(str(got)) == D(want)\n\
                result = [f'{name}: {row[name]} is not {want}' for i, row in enumerate(rows) for name, values in columns for want in [values[i]]\n    \
                    if not same(name, row[name], want)] + ([] if len(rows) == 4 else [len(rows)])";
            let wrong = python(code, json!({"dir": site.output(), "to": to, "columns": columns}));
            assert_eq!(wrong, json!([]), "{from} -> {to}");
            if to == "parquet" {
                let sum = site.sql("t/", "select sum(amount)::varchar, typeof(any_value(id)) from read_parquet(FILES)");
                assert_eq!(sum, json!([["1234567890118.746912789012345678", "DECIMAL(20,0)"]]), "{from}");
            }
        }
    }
}

/// The number that needs a decimal stands far behind the sample.
#[test]
fn a_late_long_number_loses_nothing_that_came_before_it() {
    let site = Site::directory();
    site.only(json!({"destination": {"format": "parquet"}}));
    let early: String = (0..200_000).map(|n| format!("{n},{n}.25\n")).collect();
    site.put("t/a.csv", format!("id,n\n{early}200000,0.123456789012345678\n200001,123456789012\n"));
    site.run_ok();
    let seen = "select count(*), max(n)::varchar, min(n)::varchar, sum(n)::varchar, typeof(any_value(n)) from read_parquet(FILES)";
    assert_eq!(
        site.sql("t/", seen),
        json!([[
            200_002,
            "123456789012.000000000000000000",
            "0.123456789012345678",
            "143456739012.123456789012345678",
            "DECIMAL(30,18)"
        ]])
    );
}

/// A float64 that was published stays one: its advice is followed here, and leads out.
#[test]
fn a_published_float_is_no_decimal_later() {
    let spec = |more: Value| crate::support::merge(json!({"destination": {"format": "parquet"}}), more);
    let begun = || {
        let site = Site::directory();
        site.only(spec(json!({})));
        site.put("t/a.csv", "id,v\n1,1.5\n");
        site.run_ok();
        site.put("t/b.csv", "id,v\n2,0.123456789012345678\n3,2.5\n");
        site.run_fails(4).says(&[
            "t/b.csv",
            "column v is float64 in earlier epochs",
            "cast it to float64",
            "schema.evolution to Rescue",
        ]);
        site
    };
    let rows = |site: &Site| site.sql("t/", "select id, v from read_parquet(FILES, union_by_name=true) order by 1");
    let site = begun();
    site.only(spec(
        json!({"schema": {"columns": [{"name": "v", "type": "float64"}]}, "errors": {"maxBadRecords": 1, "deadLetterPath": "rejects/"}}),
    ));
    assert_eq!(site.run_ok()["badRecords"], 1);
    assert_eq!(rows(&site), json!([[1, 1.5], [3, 2.5]]));
    let site = begun();
    site.only(spec(json!({"schema": {"evolution": "Rescue"}})));
    site.run_ok();
    assert_eq!(rows(&site), json!([[1, 1.5], [2, null], [3, 2.5]]));
    let rescued = site.sql("t/", "select _rescued_data from read_parquet(FILES, union_by_name=true) where id = 2");
    assert!(rescued.to_string().contains("0.123456789012345678"), "{rescued}");
}

/// Epochs of many systems, in csv and json, as numbers and as text.
#[test]
fn whole_numbers_are_cast_to_timestamps_by_their_unit() {
    let (s, ms) = (1_700_000_000_i64, 1_700_000_000_123_i64);
    for (key, text) in [
        ("t/a.csv", format!("s,ms,date\n{s},{ms},2023-11-14T22:13:20Z\n")),
        ("t/a.jsonl", json!({"s": s, "ms": ms, "date": "2023-11-14T22:13:20Z"}).to_string()),
        ("t/a.json", json!([{"s": s.to_string(), "ms": ms.to_string(), "date": "2023-11-14T22:13:20Z"}]).to_string()),
    ] {
        let site = Site::directory();
        let columns = [("s", "timestamp(s)"), ("ms", "timestamp(ms)"), ("date", "timestamp(us)")]
            .map(|(name, of)| json!({"name": name, "type": of}));
        site.only(json!({"schema": {"columns": columns}, "destination": {"format": "jsonl"}}));
        site.put(key, &text);
        site.run_ok();
        let row = json!([{"s": "2023-11-14T22:13:20.000000Z", "ms": "2023-11-14T22:13:20.123000Z", "date": "2023-11-14T22:13:20.000000Z"}]);
        assert_eq!(site.rows("t/"), row, "{key}");
        site.put("t/b.jsonl", "{\"s\":1700000000.5}\n");
        site.run_fails(4).says(&["t/b.jsonl", "line 1", "1700000000.5 of column s is no timestamp(s)"]);
    }
}

/// Lines of old exports and spreadsheets, also several kinds in one object, and as quoted text.
#[test]
fn lines_may_end_with_carriage_returns() {
    let expected = json!([{"id": 1, "note": "a"}, {"id": 2, "note": "b\rc"}, {"id": 3, "note": "d\r\ne"}, {"id": 4, "note": null}]);
    for ends in [["\r"; 5], ["\n"; 5], ["\r\n"; 5], ["\r", "\n", "\r\n", "\r", "\r"], ["\r\n", "\r", "\r", "\n", ""]] {
        let [a, b, c, d, e] = ends;
        let text = format!("id,note{a}1,a{b}2,\"b\rc\"{c}3,\"d\r\ne\"{d}4,{e}");
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let tsv = text.replace(',', "\t");
        for (key, encoding, bytes) in
            [("a.csv", "utf-8", text.as_bytes()), ("a.tsv", "utf-8", tsv.as_bytes()), ("a.csv", "utf-16le", &utf16)]
        {
            let site = Site::directory();
            site.only(json!({"source": {"csv": {"encoding": encoding}}, "destination": {"format": "jsonl"}}));
            site.put(&format!("t/{key}"), bytes);
            site.run_ok();
            assert_eq!(site.rows("t/"), expected, "{key} {encoding} {ends:?}");
        }
    }
    let site = Site::directory();
    site.only(json!({"source": {"csv": {"header": false, "skipRows": 1, "comment": "#"}}, "destination": {"format": "jsonl"}}));
    site.put("t/a.csv", "a report\r#\r1,2\r#\r3,4");
    site.run_ok();
    assert_eq!(site.rows("t/"), json!([{"column_1": 1, "column_2": 2}, {"column_1": 3, "column_2": 4}]));
    site.put("t/b.csv", "a report\r5,6\r7\r");
    site.run_fails(4).says(&["t/b.csv line 3", "1 fields"]);
}

/// The same rows, whichever worker reads which part of an object.
#[test]
fn a_large_object_with_carriage_returns_is_shared_out() {
    let row = |n: u32| format!("{n},{}{}", "x".repeat(n as usize % 50), ["\r", "\r\n", "\n"][n as usize % 3]);
    let rows: String = (0..1_500_000).map(row).collect();
    // The names of the columns stand far from most slices, behind more than a first look at the object sees.
    let long = format!("#{}\rcolumn_1,column_2\r", "x".repeat(3 << 19));
    for (header, text) in [(false, rows.clone()), (true, long + &rows)] {
        let site = Site::directory();
        site.only(json!({"source": {"csv": {"header": header, "quote": "", "comment": "#"}}, "destination": {"format": "parquet"}}));
        site.put("t/a.csv", text);
        site.start(&["run"], &["--replicas", "4"]).wait().expect(0);
        let seen = "select count(*), count(distinct column_1), sum(column_1)::bigint, sum(length(column_2))::bigint from read_parquet(FILES)";
        assert_eq!(site.sql("t/", seen), json!([[1_500_000, 1_500_000, 1_124_999_250_000_i64, 36_750_000]]));
        assert!(site.keys().len() > 1, "{:?}", site.keys());
    }
}

/// An object of which nothing can be read is never published as one without rows.
#[test]
fn records_that_cannot_be_split_are_bad_also_where_they_come_first() {
    let begun = |more: Value, text: &str| {
        let site = Site::directory();
        site.only(crate::support::merge(
            json!({"source": {"csv": {"header": false, "delimiter": "|"}}, "destination": {"format": "jsonl", "path": "{{TABLE}}/{{UUID}}.{{FORMAT}}"}}),
            more,
        ));
        site.put("t/a.csv", text);
        site
    };
    let first = "1|\"p\"x\n2|\"q\"\n";
    let declared =
        json!({"schema": {"mode": "Declared", "columns": [{"name": "v", "from": "column_1", "type": "int64"}]}});
    for more in [json!({}), json!({"schema": {"mode": "Strings"}}), declared] {
        for text in [first, "1|\"p\"x\n", "1|\"p\"x"] {
            let site = begun(more.clone(), text);
            site.run_fails(4).says(&["t/a.csv line 1", "text follows the closing quote of field 2"]);
            site.put("t/a.csv", "1|p\n");
            site.run_ok();
            assert_eq!(site.rows("t/").as_array().map(Vec::len), Some(1), "after it is mended");
        }
    }
    let site = begun(json!({"errors": {"onBadObject": "Quarantine"}}), first);
    assert_eq!(site.run_ok()["quarantined"], 1);
    let site = begun(json!({"errors": {"maxBadRecords": 1, "deadLetterPath": "rejects/"}}), first);
    assert_eq!(site.run_ok()["badRecords"], 1);
    assert_eq!(site.rows("t/"), json!([{"column_1": 2, "column_2": "q"}]));
    // A skipped preamble that is all there is.
    let site = begun(json!({"source": {"csv": {"skipRows": 3}}}), "1|p\n2|q\n");
    site.run_fails(4).says(&["t/a.csv", "it ends after 2 lines, and source.csv.skipRows skips 3"]);
}

/// The advice of a text that is not UTF-8, followed.
#[test]
fn another_encoding_is_named_and_helps() {
    let spec = |csv: Value| json!({"source": {"csv": csv}, "destination": {"format": "jsonl"}});
    let site = Site::directory();
    site.only(spec(json!({})));
    site.put("t/a.csv", b"id,note\n1,caf\xe9\n");
    site.run_fails(4)
        .says(&["t/a.csv line 2", "not valid UTF-8; if it is in another encoding, name that in source.csv.encoding"]);
    site.only(spec(json!({"encoding": "latin-1"})));
    site.run_ok();
    assert_eq!(site.rows("t/"), json!([{"id": 1, "note": "café"}]));
    let site = Site::directory();
    site.only(spec(json!({})));
    site.put("t/a.csv", b"\xff\xfei\0d\0\n\x001\0\n\0");
    site.run_fails(4).says(&["t/a.csv", "set source.csv.encoding to utf-16"]);
    site.only(spec(json!({"encoding": "utf-16"})));
    site.run_ok();
    assert_eq!(site.rows("t/"), json!([{"id": 1}]));
    let site = Site::directory();
    site.only(spec(json!({})));
    site.put("t/a.json", b"\xff\xfe{\0}\0");
    site.run_fails(4).says(&["t/a.json", "json is read as utf-8 alone; convert the object"]);
}

/// An object has no rows only if it says nothing; what a sample could not see of it is read all the same.
#[test]
fn an_object_without_rows_is_one_that_says_nothing() {
    let spec = |header: bool, more: Value| {
        let base = json!({"source": {"csv": {"header": header, "comment": "#"}}, "destination": {"format": "jsonl", "path": "{{TABLE}}/{{UUID}}.{{FORMAT}}"}});
        crate::support::merge(base, more)
    };
    let gzip = |text: &str| -> Vec<u8> {
        serde_json::from_value(python("result = list(gzip.compress(text.encode()))", json!({"text": text})))
            .expect("bytes")
    };
    let site = Site::directory();
    for header in [true, false] {
        site.only(spec(header, json!({})));
        for (key, body) in [
            ("t/empty.csv", &b""[..]),
            ("t/mark.csv", b"\xef\xbb\xbf"),
            ("t/blank.csv", b"\n\r\n\r\r"),
            ("t/comments.csv", b"#a,b\r#\n#"),
            ("t/nothing.csv.gz", &gzip("")),
            ("t/blank.jsonl", b"\n \t\r\n\n"),
            ("t/blank.json", b" \r\n"),
            ("t/list.json", b"[ ]\n"),
        ] {
            site.put(key, body);
            site.run_ok();
            assert_eq!(site.rows("t/"), json!([]), "{key}");
            site.remove(key);
        }
    }
    for (key, body) in [
        ("t/a.json", "1 2"),
        ("t/a.json", "null"),
        ("t/a.json", "[1,[]]"),
        ("t/a.json", "\"text\""),
        ("t/a.jsonl", "1\n"),
        ("t/a.jsonl", "{\n"),
        ("t/a.jsonl", "{}\r{}\r"),
        ("t/a.csv", "\"never closed"),
        ("t/a.csv", "\"p\"x"),
    ] {
        site.put(key, body);
        site.run_fails(4).says(&[key]);
        site.remove(key);
    }
    // Longer than a sample, each: a record, a header, a comment, and what comes before a mismatch.
    let long = "x".repeat(3 << 19);
    let names: Vec<String> = (0..200).map(|n| format!("{n}_{}", &long[..8 << 10])).collect();
    for (header, key, body, rows) in [
        (false, "t/a.csv", format!("{long},1\n2,3\n"), 2),
        (false, "t/a.csv", format!("#{long}\n2,3\n"), 1),
        (true, "t/a.csv", format!("{}\n{}\n", names.join(","), vec!["1"; 200].join(",")), 1),
        (true, "t/a.jsonl", format!("{{\"a\":\"{long}\"}}\n{{\"b\":1}}\n"), 2),
        (true, "t/a.json", format!("{}[{{\"a\":1}}]", " ".repeat(3 << 19)), 1),
    ] {
        let site = Site::directory();
        site.only(spec(header, json!({})));
        site.put(key, &body);
        assert_eq!(site.run_ok()["tables"][0]["rows"], rows, "{key} {}", &body[..20]);
        let site = Site::directory();
        site.only(spec(header, json!({})));
        site.put(&format!("{key}.gz"), gzip(&body));
        assert_eq!(site.run_ok()["tables"][0]["rows"], rows, "{key}.gz {}", &body[..20]);
    }
    // Where all records are bad, they go where bad records go.
    for (header, key, body) in
        [(false, "t/a.csv", "\"a\"x\n\"b\"y,\"c\"\n"), (true, "t/a.jsonl", "1\n{]\n"), (true, "t/a.csv", "a,b\n1\n2\n")]
    {
        let site = Site::directory();
        site.only(spec(header, json!({"errors": {"maxBadRecords": 2, "deadLetterPath": "rejects/"}})));
        site.put(key, body);
        assert_eq!(site.run_ok()["badRecords"], 2, "{key} {body}");
        site.only(spec(header, json!({"errors": {"maxBadRecords": 1, "deadLetterPath": "rejects/"}})));
        site.put(&format!("{key}.{}", &key[4..]), body);
        site.run_fails(4);
    }
}

/// A line with nothing on it is no row to readers: a null alone in its row has to have a text.
#[test]
fn a_null_alone_in_its_row_is_no_blank_line() {
    for format in ["csv", "tsv"] {
        let spec = |csv: Value| json!({"destination": {"format": format, "csv": csv}});
        let site = Site::directory();
        site.only(spec(json!({})));
        site.put("t/a.jsonl", "{\"v\":1}\n{\"v\":null}\n{\"v\":3}\n");
        site.run_fails(4).says(&[
            "t/a.jsonl",
            "column v, the only one, is null in a row",
            "set destination.csv.nullValue",
        ]);
        site.only(spec(json!({"nullValue": "NULL"})));
        site.run_ok();
        assert_eq!(site.rows("t/"), json!([{"v": "1"}, {"v": "3"}, {"v": "NULL"}]));
        let back = Site::directory();
        back.only(json!({"source": {"csv": {"nullValues": ["NULL"]}}, "destination": {"format": "jsonl"}}));
        let text = std::fs::read(site.output().join(&site.keys()[0])).expect("a file");
        back.put(&format!("t/a.{format}"), text);
        back.run_ok();
        assert_eq!(back.rows("t/"), json!([{"v": 1}, {"v": 3}, {"v": null}]));
    }
}

/// An object with none of the declared columns is another kind of object, and no table of nulls; one without rows says
/// nothing.
#[test]
fn an_object_without_any_declared_column_is_bad() {
    let spec = |more: Value| {
        let columns = json!([{"name": "id", "type": "int64"}, {"name": "at", "type": "date32", "from": "when"}]);
        crate::support::merge(
            json!({"schema": {"mode": "Declared", "columns": columns}, "destination": {"format": "jsonl"}}),
            more,
        )
    };
    let write = "pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)\npq.write_table(pa.table({'x': [1], 'at': [2]}), path)";
    for key in ["t/a.csv", "t/a.tsv", "t/a.parquet"] {
        let site = Site::directory();
        site.only(spec(json!({})));
        match key {
            "t/a.csv" => site.put(key, "x,at\n1,2\n"),
            "t/a.tsv" => site.put(key, "x\tat\n1\t2\n"),
            _ => drop(python(write, json!({"path": site.path("data/raw").join(key)}))),
        }
        site.put("t/none.csv", "x,y\n");
        let sentence = "it has none of the columns that schema.columns declares (id, when), but at, x: name them as the object does";
        site.run_fails(4).says(&[key, sentence]);
        site.put("t/b.csv", "when\n2024-01-31\n");
        site.only(spec(json!({"errors": {"onBadObject": "Quarantine"}})));
        assert_eq!(site.run_ok()["quarantined"], 1, "{key}");
        assert_eq!(site.rows("t/"), json!([{"id": null, "at": "2024-01-31"}]), "{key}");
    }
}

/// Years that RFC 3339 has no place for come back as what they were.
#[test]
fn years_beyond_four_digits_are_read_back() {
    let site = Site::directory();
    site.only(json!({"destination": {"format": "csv"}}));
    let write = "pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)\n\
        pq.write_table(pa.table({'d': pa.array([2932897, -719529], pa.date32()), 't': pa.array([253402300800000001, -62167219200000001], pa.timestamp('us', 'UTC'))}), path)";
    python(write, json!({"path": site.path("data/raw/t/a.parquet")}));
    site.run_ok();
    let text = std::fs::read_to_string(site.output().join(&site.keys()[0])).expect("text");
    assert_eq!(
        text,
        "d,t\n+010000-01-01,+010000-01-01T00:00:00.000001Z\n-000001-12-31,-000001-12-31T23:59:59.999999Z\n"
    );
    let back = Site::directory();
    back.only(json!({"destination": {"format": "parquet"}}));
    back.put("t/a.csv", text);
    back.run_ok();
    assert_eq!(back.types("t/"), json!({"d": "date32[day]", "t": "timestamp[us, tz=UTC]"}));
    let rows = back.sql("t/", "select d::varchar, epoch_us(t) from read_parquet(FILES)");
    assert_eq!(rows, json!([["10000-01-01", 253402300800000001_i64], ["0002-12-31 (BC)", -62167219200000001_i64]]));
}

/// Every run of Replace writes everything: nothing of the type before is left beside it.
#[test]
fn replace_takes_the_type_that_its_values_need() {
    let spec = |more: Value| {
        crate::support::merge(
            json!({"destination": {"format": "parquet", "writeMode": "Replace", "path": "t.parquet"}}),
            more,
        )
    };
    let query = "select v::varchar, typeof(v) from read_parquet(FILES) order by v";
    let site = Site::directory();
    site.only(spec(json!({})));
    site.put("t/a.csv", "v\n1.5\n");
    site.run_ok();
    assert_eq!(site.sql("", query), json!([["1.5", "DOUBLE"]]));
    site.put("t/b.csv", "v\n0.123456789012345678\n");
    for evolution in ["Fail", "Rescue"] {
        site.only(spec(json!({"schema": {"evolution": evolution}})));
        let held = site.run();
        assert_eq!(held.code, Some(if evolution == "Fail" { 4 } else { 0 }), "{}", held.stderr);
        assert!(site.sql("", query).to_string().contains("DOUBLE"));
    }
    site.only(spec(json!({"schema": {"drop": ["_rescued_data"]}})));
    site.run_ok();
    assert_eq!(
        site.sql("", query),
        json!([["0.123456789012345678", "DECIMAL(19,18)"], ["1.500000000000000000", "DECIMAL(19,18)"]])
    );
    site.only(spec(json!({"schema": {"columns": [{"name": "v", "type": "utf8"}]}})));
    site.run_ok();
    assert_eq!(site.sql("", query), json!([["0.123456789012345678", "VARCHAR"], ["1.5", "VARCHAR"]]));
}
