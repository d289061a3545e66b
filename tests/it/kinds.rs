//! Kinds of values: what JSON tells apart, and columns that had nothing yet.

use serde_json::{Value, json};

use crate::support::{Site, python};

/// A value of each kind in every column, and what GeoJSON does with depths.
const LINES: [&str; 5] = [
    r#"{"id":1,"v":1,"big":12345678901234567890123456789012345678901234567890,"o":{},"l":[1,"a",null],"s":{"in":true},"g":[102.0,0.5]}"#,
    r#"{"id":2,"v":"1","big":1,"o":{},"l":[],"s":{"in":"x"},"g":[[102.0,0.0],[103.0,1.0]]}"#,
    r#"{"id":3,"v":{"a":[1.50,{"b":null}]},"big":-7,"o":null,"l":[{"k":"ü \" \\ \n"}],"s":{"in":[{}]},"g":[[[100.0,0.0],[101.0,0.0]]]}"#,
    r#"{"id":4,"v":null,"big":null,"o":{},"l":null,"s":null,"g":null}"#,
    r#"{"id":5,"v":[],"big":0,"o":{},"l":[[]],"s":{"in":"1"},"g":[]}"#,
];

fn lines() -> String {
    LINES.map(|line| format!("{line}\n")).concat()
}

/// The rows of json and jsonl output, numbers as the texts that stand there; they are where `LINES` has them.
fn texts(site: &Site) -> Value {
    let code = "numbers = {'parse_float': str, 'parse_int': str}\n\
        texts = [text(os.path.join(dir, name)) for name in files(dir)]\n\
        lines = lambda t: [json.loads(line, **numbers) for line in t.splitlines()]\n\
        parts = [json.loads(t, **numbers) if t.startswith('[') else lines(t) for t in texts]\n\
        result = sorted((row for part in parts for row in part), key=lambda row: row['id'])";
    python(code, json!({"dir": site.output()}))
}

fn expected() -> Value {
    let code = "result = [json.loads(line, parse_float=str, parse_int=str) for line in lines]";
    python(code, json!({"lines": LINES}))
}

#[test]
fn json_comes_out_as_the_same_json() {
    for from in ["json", "jsonl"] {
        for to in ["json", "jsonl"] {
            let site = Site::directory();
            site.only(json!({"destination": {"format": to}}));
            let array = format!("[{}]", LINES.join(",\n"));
            site.put(&format!("t/a.{from}"), if from == "json" { array } else { lines() });
            site.run_ok();
            assert_eq!(texts(&site), expected(), "{from} -> {to}");
        }
    }
}

/// Annotated in Parquet as JSON, which two engines know, and raw again on the way back.
#[test]
fn json_goes_by_way_of_parquet() {
    let site = Site::directory();
    site.only(json!({"destination": {"format": "parquet"}}));
    site.put("t/a.jsonl", lines());
    site.run_ok();
    let types = site.types("t/");
    for name in ["v", "o", "l", "g"] {
        assert_eq!(types[name], "extension<arrow.json>", "{types}");
    }
    let query = "select typeof(v), typeof(s.\"in\"), l->>'$[1]', g->>'$[0]' from read_parquet(FILES) where id = 1";
    assert_eq!(site.sql("t/", query), json!([["JSON", "JSON", "a", "102.0"]]));
    assert_eq!(
        site.sql("t/", "select v::varchar from read_parquet(FILES) where id = 3"),
        json!([["{\"a\":[1.50,{\"b\":null}]}"]])
    );

    let back = Site::directory();
    back.only(json!({"destination": {"format": "jsonl"}}));
    std::fs::create_dir_all(back.path("data/raw/t")).expect("writable");
    std::fs::copy(site.output().join(&site.keys()[0]), back.path("data/raw/t/a.parquet")).expect("copied");
    back.run_ok();
    assert_eq!(texts(&back), expected());
}

/// What another engine annotates as JSON, laid out in lines or none at all.
#[test]
fn json_of_other_writers_is_json() {
    let write = "pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)\n\
        query = 'select unnest(range(1, 5)) as id, unnest($docs)::json as doc'\n\
        duckdb.execute(f\"copy ({query}) to '{path}' (format parquet)\", {'docs': docs})";
    let docs = [Some(r#"{"a": [1.0, null]}"#), Some(r#""x""#), Some("[\n  7\n]"), None];
    let jsonl = concat!(
        r#"{"id":1,"doc":{"a": [1.0, null]}}"#,
        "\n",
        r#"{"id":2,"doc":"x"}"#,
        "\n{\"id\":3,\"doc\":[7]}\n{\"id\":4,\"doc\":null}\n"
    );
    let csv = concat!("id,doc\n", r#"1,"{""a"": [1.0, null]}""#, "\n2,x\n3,\"[\n  7\n]\"\n4,\n");
    for (to, found) in [("jsonl", jsonl), ("csv", csv)] {
        let site = Site::directory();
        site.only(json!({"destination": {"format": to}}));
        python(write, json!({"path": site.path("data/raw/t/a.parquet"), "docs": docs}));
        site.run_ok();
        let text = std::fs::read_to_string(site.output().join(&site.keys()[0])).expect("text");
        assert_eq!(text, found);
    }
}

#[test]
fn cells_may_be_declared_json() {
    let site = Site::directory();
    let columns = json!([{"name": "doc", "type": "json"}]);
    site.only(json!({"schema": {"columns": columns}, "destination": {"format": "jsonl"}}));
    site.put("t/a.csv", "id,doc\n1,\"{\"\"a\"\": 1.50}\"\n2,true\n3,\n");
    site.run_ok();
    let text = std::fs::read_to_string(site.output().join(&site.keys()[0])).expect("text");
    assert_eq!(text, "{\"id\":1,\"doc\":{\"a\": 1.50}}\n{\"id\":2,\"doc\":true}\n{\"id\":3,\"doc\":null}\n");
    site.put("t/b.csv", "id,doc\n4,{a}\n");
    site.run_fails(4).says(&["t/b.csv", "\"{a}\" of column doc is no json"]);
}

#[test]
fn json_is_text_where_there_are_no_kinds() {
    let site = Site::directory();
    site.only(json!({"destination": {"format": "csv", "partitionBy": [{"column": "p"}]}}));
    site.put(
        "t/a.jsonl",
        "{\"id\":1,\"p\":1,\"v\":\"a,b\"}\n{\"id\":2,\"p\":\"x\",\"v\":{\"a\":\"b\"}}\n{\"id\":3,\"p\":\"1\",\"v\":2.50}\n",
    );
    site.run_ok();
    let expected = json!([{"id": "1", "p": "1", "v": "a,b"}, {"id": "2", "p": "x", "v": "{\"a\":\"b\"}"}, {"id": "3", "p": "1", "v": "2.50"}]);
    assert_eq!(site.rows("t/"), expected);
}

/// Objects of several formats in one table: text is a string beside what JSON brings.
#[test]
fn text_meets_json_in_one_column() {
    let site = Site::directory();
    site.only(json!({"destination": {"format": "jsonl"}}));
    site.put("t/a.csv", "id,v\n1,abc\n2,7\n");
    site.put("t/b.jsonl", "{\"id\":3,\"v\":{\"k\":1}}\n{\"id\":4,\"v\":7}\n");
    let write = "pq.write_table(pa.table({'id': [5, 6], 'v': ['x', None]}), path)";
    python(write, json!({"path": site.path("data/raw/t/c.parquet")}));
    site.run_ok();
    let rows = json!([
        {"id": 1, "v": "abc"}, {"id": 2, "v": "7"}, {"id": 3, "v": {"k": 1}},
        {"id": 4, "v": 7}, {"id": 5, "v": "x"}, {"id": 6, "v": null}
    ]);
    assert_eq!(site.rows("t/"), rows);
}

/// Columns of nothing begin with their first value, in every format and both write modes.
#[test]
fn a_column_of_nulls_gets_its_type_later() {
    const FIRST: &str = "{\"id\":1,\"n\":null,\"t\":null,\"s\":{\"a\":1,\"b\":null},\"l\":[],\"o\":null}\n";
    const NEXT: &str =
        "{\"id\":2,\"n\":7,\"t\":\"x\",\"s\":{\"a\":2,\"b\":true},\"l\":[{\"k\":1.5}],\"o\":{\"k\":[1]}}\n";
    for mode in ["Append", "Replace"] {
        for to in ["parquet", "jsonl", "csv"] {
            let site = Site::directory();
            site.only(json!({"destination": {"format": to, "writeMode": mode}}));
            site.put("t/a.jsonl", FIRST);
            site.run_ok();
            if to == "csv" {
                let text = std::fs::read_to_string(site.output().join(&site.keys()[0])).expect("text");
                assert_eq!(text, "id,n,t,s,l,o\n1,,,\"{\"\"a\"\":1,\"\"b\"\":null}\",[],\n");
            }
            if to == "parquet" {
                assert_eq!(site.types("t/"), json!({"id": "int64", "s": "struct<a: int64>", "l": "list<item: null>"}));
            }
            site.put("t/b.jsonl", NEXT);
            site.run_ok();
            if to == "parquet" {
                let query = "select id, n, t, s.b, l, o from read_parquet(FILES, union_by_name = true) order by id";
                let expected = json!([[1, null, null, null, [], null], [2, 7, "x", true, [{"k": 1.5}], {"k": [1]}]]);
                assert_eq!(site.sql("t/", query), expected, "{mode}");
            }
            if to == "jsonl" {
                assert_eq!(
                    texts(&site),
                    python(
                        "result = [json.loads(line, parse_float=str, parse_int=str) for line in lines]",
                        json!({"lines": [FIRST, NEXT]})
                    )
                );
            }
        }
    }
}

/// The same from csv and from Parquet, with times; and no type ever is no error.
#[test]
fn a_column_of_nulls_may_become_a_time() {
    let site = Site::directory();
    site.only(json!({"destination": {"format": "parquet"}}));
    site.put("t/a.csv", "id,at,never\n1,,\n");
    site.run_ok();
    let write = "pq.write_table(pa.table({'id': [2], 'at': pa.nulls(1), 'never': pa.nulls(1)}), path)";
    python(write, json!({"path": site.path("data/raw/t/b.parquet")}));
    site.run_ok();
    site.put("t/c.csv", "id,at,never\n3,2024-01-31T01:02:03Z,\n");
    site.run_ok();
    assert_eq!(site.types("t/"), json!({"id": "int64", "at": "timestamp[us, tz=UTC]"}));
    let listed = site.start(&["tables"], &["-o", "json"]).wait().expect(0);
    assert!(listed.stdout.contains("\"null\""), "{}", listed.stdout);
}

/// `evolution: Fail` refuses a type that begins, and the way out that it names works.
#[test]
fn a_type_that_begins_is_a_change_under_fail() {
    let spec = |columns: Value| json!({"schema": {"evolution": "Fail", "columns": columns}, "destination": {"format": "parquet"}});
    let site = Site::directory();
    site.only(spec(json!([])));
    site.put("t/a.csv", "id,late\n1,\n");
    site.run_ok();
    site.put("t/b.csv", "id,late\n2,7\n");
    site.run_fails(4)
        .says(&["column late is null in earlier epochs and int64 now; cast it to int64 in schema.columns"]);
    site.only(spec(json!([{"name": "late", "type": "int64"}])));
    site.run_ok();
    assert_eq!(site.types("t/")["late"], "int64");
}

/// A file of which nothing is known but that its rows are there.
#[test]
fn rows_of_nulls_alone_are_rows() {
    for to in ["parquet", "csv", "jsonl"] {
        let site = Site::directory();
        site.only(json!({"destination": {"format": to}}));
        site.put("t/a.jsonl", "{\"a\":null,\"b\":null}\n{\"a\":null,\"b\":null}\n");
        site.run_ok();
        assert_eq!(site.rows("t/"), json!([{"a": null, "b": null}, {"a": null, "b": null}]), "{to}");
    }
}
