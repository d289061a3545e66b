//! Where files go, how large they are, and what is beside the rows.

use serde_json::{Value, json};

use crate::support::{Site, python};

fn keys(spec: Value, objects: &[(&str, &str)]) -> Vec<String> {
    let site = Site::directory();
    site.only(spec);
    for (key, body) in objects {
        site.put(key, body);
    }
    site.run_ok();
    site.keys()
}

/// Hexadecimal digits as `h`, other digits as `0`, inside names made of chance or time.
fn shape(key: &str) -> String {
    let uuid = regex::Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").expect("a pattern");
    regex::Regex::new("[0-9]+").expect("a pattern").replace_all(&uuid.replace_all(key, "UUID"), "0").into_owned()
}

#[test]
fn every_placeholder() {
    let one = [("in/some-table/a.csv", "id\n1\n")];
    let check = |path: &str, expected: &str| {
        let found = keys(json!({"destination": {"format": "csv", "compression": "gzip", "path": path}}), &one);
        assert_eq!(found.iter().map(|key| shape(key)).collect::<Vec<_>>(), [expected], "{path}");
    };
    check("{{TABLE}}/{{UUID}}.{{FORMAT}}", "in_some_table/UUID.csv.gz");
    check("{{TABLE_HYPHEN}}/{{UUID}}", "in-some-table/UUID");
    check("{{YEAR}}/{{MONTH}}/{{DAY}}/{{HOUR}}/{{MINUTE}}/{{UUID}}", "0/0/0/0/0/UUID");
    check("{{EPOCH}}-{{SHARD}}-{{SEQ}}.x", "0-0-0.x");
    check("{{SOURCE_DIR}}/{{SOURCE_STEM}}/{{UUID}}.csv.gz", "in/some-table/a/UUID.csv.gz");
    check("x/", "x/UUID.csv.gz");
}

#[test]
fn dlt_names() {
    let path = "{table_name}/{schema_name}/{file_id}.{ext}";
    let found = keys(
        json!({"destination": {"format": "csv", "compression": "gzip", "path": path}}),
        &[("in/some-table/a.csv", "id\n1\n")],
    );
    let named = regex::Regex::new("^in_some_table/sync/[0-9a-zA-Z_-]+\\.csv\\.gz$").expect("a pattern");
    assert!(found.len() == 1 && named.is_match(&found[0]), "{found:?}");
}

#[test]
fn dlt_times_are_the_plans() {
    let path = "{YYYY}|{YY}|{MM}|{MMM}|{DD}|{HH}|{mm}|{ss}|{SSS}|{ddd}|{Q}|{curr_date}|{timestamp}|{timestamp_ms}|{load_id}.{file_id}";
    let found = keys(json!({"destination": {"format": "csv", "path": path}}), &[("t/a.csv", "id\n1\n")]);
    let parts: Vec<&str> = found[0].split('|').collect();
    assert_eq!(parts.len(), 15, "{found:?}");
    let seconds: i64 = parts[12].parse().expect("seconds");
    let millis: i64 = parts[13].parse().expect("milliseconds");
    assert_eq!(millis / 1000, seconds);
    let day = jiff::Timestamp::from_second(seconds).expect("a time").to_zoned(jiff::tz::TimeZone::UTC);
    assert_eq!(format!("{}-{}-{}", parts[0], parts[2], parts[4]), day.strftime("%Y-%m-%d").to_string());
    assert_eq!(
        (parts[5], parts[6], parts[7]),
        (&*day.strftime("%H").to_string(), &*day.strftime("%M").to_string(), &*day.strftime("%S").to_string())
    );
    assert_eq!(
        (parts[1], parts[3], parts[9]),
        (
            &*day.strftime("%y").to_string(),
            &*day.strftime("%b").to_string().to_lowercase(),
            &*day.strftime("%a").to_string().to_lowercase()
        )
    );
}

#[test]
fn an_unknown_placeholder_is_refused_with_a_suggestion() {
    let site = Site::directory();
    site.put("t/a.csv", "id\n1\n");
    site.only(json!({"destination": {"format": "csv", "path": "{{TABEL}}/{{UUID}}"}}));
    site.run_fails(2).says(&["TABEL", "TABLE"]);
}

#[test]
fn hive_partitions() {
    for site in [Site::directory(), Site::minio()] {
        site.only(json!({"destination": {"format": "parquet", "partitionBy": [
            {"column": "country"}, {"column": "at", "transform": "Year"}, {"column": "at", "transform": "Month", "name": "month"}, {"column": "at", "transform": "Date", "name": "day"}]}}));
        site.put("t/a.csv", "id,country,at\n1,DE,2024-01-31T23:30:00Z\n2,a/b c=ü,2024-11-02T00:00:00+02:00\n3,,\n");
        site.run_ok();
        let dirs: Vec<String> =
            site.keys().iter().map(|key| key.rsplit_once('/').expect("a directory").0.to_owned()).collect();
        let null = "__HIVE_DEFAULT_PARTITION__";
        assert_eq!(
            dirs,
            [
                "t/country=DE/at_year=2024/month=1/day=2024-01-31".to_owned(),
                format!("t/country={null}/at_year={null}/month={null}/day={null}"),
                "t/country=a%2Fb%20c%3Dü/at_year=2024/month=11/day=2024-11-01".to_owned(),
            ]
        );
        let files = site.types("t/");
        assert!(files.get("country").is_none(), "a plain partition column leaves the file: {files}");
        assert!(files.get("at").is_some(), "a transformed one stays: {files}");
        let read = site.sql(
            "t/",
            "select id, country, month from read_parquet(FILES, hive_partitioning = true, hive_types_autocast = false) order by id",
        );
        assert_eq!(read, json!([[1, "DE", "1"], [2, "a/b c=ü", "11"], [3, null, null]]));
    }
}

#[test]
fn partitions_that_cannot_be() {
    let refused = |partition: Value, parts: &[&str]| {
        let site = Site::directory();
        site.put("t/a.csv", "id,country,at\n1,DE,2024-01-31\n2,de,2024-01-31\n");
        site.only(json!({"destination": {"format": "parquet", "partitionBy": [partition]}}));
        let outcome = site.run();
        assert!([Some(2), Some(4)].contains(&outcome.code), "{outcome:?}");
        assert_eq!(site.keys(), Vec::<String>::new());
        outcome.says(parts);
    };
    refused(json!({"column": "id", "transform": "Month"}), &["id"]);
    refused(json!({"column": "at", "transform": "Month", "name": "country"}), &["country"]);
    refused(json!({"column": "nowhere"}), &["nowhere"]);
}

#[test]
fn files_close_at_rows_and_at_bytes() {
    let body: String =
        (0..100_000).map(|n| format!("{n},{:08x}\n", n as u32 ^ 0x5bd1_e995_u32.wrapping_mul(n as u32))).collect();
    let files = |batch: Value| {
        let site = Site::directory();
        site.only(json!({"destination": {"format": "csv", "batch": batch}}));
        site.put("t/a.csv", format!("id,x\n{body}"));
        site.run_ok();
        assert_eq!(
            site.sql("", "select count(*), count(distinct id) from read_csv(FILES)"),
            json!([[100_000, 100_000]])
        );
        let dir = site.output();
        site.keys().iter().map(|key| std::fs::metadata(dir.join(key)).expect("there").len()).collect::<Vec<u64>>()
    };
    assert_eq!(files(json!({"rows": 30_000})).len(), 4);
    let sizes = files(json!({"bytes": "400k"}));
    assert!(sizes.len() >= 3 && sizes.iter().all(|size| *size < 600_000), "{sizes:?}");
    assert_eq!(files(json!({"rows": 0, "bytes": 0})).len(), 1);
}

#[test]
fn small_inputs_are_packed_into_full_files() {
    let objects: Vec<(String, String)> = (0..200).map(|n| (format!("t/{n}.csv"), format!("id\n{n}\n"))).collect();
    let site = Site::directory();
    site.only(json!({"destination": {"format": "parquet"}}));
    for (key, body) in &objects {
        site.put(key, body);
    }
    site.run_ok();
    assert_eq!(site.keys().len(), 1);
    assert_eq!(site.sql("", "select count(*), sum(id) from read_parquet(FILES)"), json!([[200, 19900]]));
}

#[test]
fn one_output_for_each_input() {
    let found = keys(
        json!({"source": {"tables": {"from": "Fixed", "name": "t"}}, "destination": {"format": "jsonl", "writeMode": "Replace", "path": "copy/{{SOURCE_DIR}}/{{SOURCE_STEM}}.{{FORMAT}}"}}),
        &[("in/a.csv", "id\n1\n"), ("in/deep/b.csv", "id\n2\n"), ("root.csv", "id\n3\n")],
    );
    assert_eq!(found, ["copy/in/a.jsonl", "copy/in/deep/b.jsonl", "copy/root.jsonl"]);
}

#[test]
fn many_partitions_do_not_become_tiny_row_groups() {
    let site = Site::directory();
    site.only(json!({"destination": {"format": "parquet", "partitionBy": [{"column": "p"}]}}));
    for object in 0..5u32 {
        let body: String = (0..40_000u32)
            .map(|n| format!("{},{},{:x}\n", object * 40_000 + n, n % 200, n.wrapping_mul(2_654_435_761)))
            .collect();
        site.put(&format!("t/{object}.csv"), format!("id,p,x\n{body}"));
    }
    site.start(&["run"], &["--memory", "192Mi"]).wait().expect(0);
    assert_eq!(
        site.sql(
            "",
            "select count(*), count(distinct id), count(distinct p) from read_parquet(FILES, hive_partitioning = true)"
        ),
        json!([[200_000, 200_000, 200]])
    );
    assert_eq!(site.keys().len(), 200, "one file a partition");
    let groups = python(
        "result = max(pq.ParquetFile(os.path.join(dir, key)).num_row_groups for key in files(dir))",
        json!({"dir": site.output()}),
    );
    assert!(groups.as_u64() <= Some(2), "{groups} row groups of 1,000 rows");
}

#[test]
fn lineage_says_where_each_row_came_from() {
    let site = Site::minio();
    site.only(json!({"destination": {"format": "parquet", "lineage": true}}));
    site.put("t/a.csv", "id\n1\n2\n");
    site.put("t/b.jsonl", "{\"id\":3}\n");
    site.run_ok();
    let read =
        site.sql("", "select id, _s3sync_key, _s3sync_row, _s3sync_last_modified > '2020-01-01' from read_parquet(FILES) order by id");
    assert_eq!(read, json!([[1, "t/a.csv", 1, true], [2, "t/a.csv", 2, true], [3, "t/b.jsonl", 1, true]]));
    let types = site.types("");
    assert_eq!(
        (&types["_s3sync_row"], &types["_s3sync_last_modified"]),
        (&json!("int64"), &json!("timestamp[us, tz=UTC]"))
    );
}

/// Also where the second table comes with a later run.
#[test]
fn several_tables_need_a_path_that_tells_them_apart() {
    let site = Site::directory();
    site.only(json!({"destination": {"path": "all/{{UUID}}.{{FORMAT}}", "format": "jsonl"}}));
    site.put("a/1.csv", "id\n1\n");
    site.run_ok();
    site.put("b/1.csv", "id\n2\n");
    site.run_fails(2).says(&["a, b", "{{TABLE}}"]);
    assert_eq!(site.rows(""), json!([{"id": 1}]));

    let site = Site::directory();
    site.only(json!({"destination": {"path": "all/{{UUID}}.{{FORMAT}}", "format": "jsonl"}}));
    site.put("a/1.csv", "id\n1\n");
    site.put("b/1.csv", "id\n2\n");
    for verb in ["plan", "run"] {
        site.start(&[verb], &[]).wait().expect(2).says(&["a, b", "{{TABLE}}"]);
    }
}

#[test]
fn tables_by_prefix_fixed_and_pattern() {
    let objects = [("2024/x.csv", "id\n1\n"), ("data/2024/x.csv", "id\n2\n"), ("file-0.csv.gz", "")];
    let check = |tables: Value, expected: &[&str]| {
        let site = Site::directory();
        site.only(json!({"source": {"tables": tables}, "destination": {"format": "csv"}}));
        for (key, body) in &objects[..2] {
            site.put(key, body);
        }
        site.put("file-0.csv", "id\n3\n");
        site.run_ok();
        let mut found: Vec<String> =
            site.keys().iter().map(|key| key.split('/').next().expect("a table").to_owned()).collect();
        found.dedup();
        assert_eq!(found, expected, "{tables}");
    };
    check(json!({}), &["2024", "data_2024", "file_0"]);
    check(json!({"include": ["data*"]}), &["data_2024"]);
    check(json!({"from": "Fixed", "name": "my table"}), &["my_table"]);
    check(json!({"from": "Pattern", "pattern": "(?<table>[a-z]*)[^/]*\\.csv$|^(?<never>never)"}), &["file", "x"]);
}

#[test]
fn parquet_options_and_object_attributes() {
    let site = Site::minio();
    site.only(json!({"destination": {"format": "parquet", "parquet": {"rowGroupRows": 1000, "level": 9},
        "object": {"tags": {"team": "data"}, "metadata": {"origin": "tests"}, "storageClass": "REDUCED_REDUNDANCY"}}}));
    let body: String = (0..2500).map(|n| format!("{n}\n")).collect();
    site.put("t/a.csv", format!("id\n{body}"));
    site.run_ok();
    let groups = python(
        "meta = pq.read_metadata(os.path.join(dir, files(dir)[0]))\nresult = [meta.row_group(n).num_rows for n in range(meta.num_row_groups)]",
        json!({"dir": site.output()}),
    );
    assert_eq!(groups, json!([1000, 1000, 500]));
    let head = crate::support::call("head", json!({"bucket": site.lake(), "key": site.keys()[0]}));
    assert_eq!(
        (&head["Tags"], &head["Metadata"]["origin"], &head["StorageClass"]),
        (&json!({"team": "data"}), &json!("tests"), &json!("REDUCED_REDUNDANCY"))
    );
    assert!(head["Metadata"]["s3sync-id"].is_string());
}
