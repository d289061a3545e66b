//! The tools that users come from: one test a row of docs/moving.md, over MinIO, with what they do and what they lack.

use serde_json::{Value, json};

use crate::support::{Site, call, python};

const SALES: &str = "id,year,month,sold_at,amount\n1,2023,12,2023-12-31T23:00:00Z,1.5\n2,2024,1,2024-01-01T00:00:00Z,2.5\n3,2024,1,2024-01-09T10:00:00Z,3.5\n";

fn sorted_dirs(site: &Site) -> Vec<String> {
    site.keys().iter().map(|key| key.rsplit_once('/').map_or(String::new(), |(dir, _)| dir.to_owned())).collect()
}

#[test]
fn sqlflow_s3_2_0() {
    for (extension, format) in [("csv", "csv"), ("parquet", "parquet"), ("json", "json")] {
        // A uri whose extension decides; implicit credentials; one object, replaced by each run.
        let site = Site::minio();
        let uri = format!("s3://{}/daily/orders.{extension}", site.lake());
        let endpoint = std::env::var("S3SYNC_TEST_ENDPOINT").expect("set by tests/run");
        let sync = json!({"apiVersion": "s3sync.dev/v1alpha1", "kind": "S3Sync", "metadata": {"name": "orders"}, "spec": {
            "source": {"uri": format!("s3://{}/sales/*.csv", site.raw()), "tables": {"from": "Fixed", "name": "orders"}, "endpoint": endpoint},
            "destination": {"uri": uri, "writeMode": "Replace", "endpoint": endpoint}}});
        site.manifest(&[sync]);
        let key = std::env::var("S3SYNC_TEST_ACCESS_KEY").expect("set by tests/run");
        let secret = std::env::var("S3SYNC_TEST_SECRET_KEY").expect("set by tests/run");
        let chain = [("AWS_ACCESS_KEY_ID", key.as_str()), ("AWS_SECRET_ACCESS_KEY", secret.as_str())];
        for rows in [3, 4] {
            if rows == 4 {
                site.put("sales/b.csv", "id,year,month,sold_at,amount\n4,2024,2,2024-02-01T00:00:00Z,4.5\n");
            } else {
                site.put("sales/a.csv", SALES);
            }
            site.start_with(&["run"], &[], &chain).wait().expect(0);
            assert_eq!(site.keys(), [format!("daily/orders.{extension}")], "{format}");
            assert_eq!(site.rows("daily/").as_array().map(Vec::len), Some(rows), "{format}");
        }
    }
    // What it lacks: append, format options, explicit credentials and region.
    let site = Site::minio();
    site.put("sales/a.csv", SALES);
    site.only(json!({"source": {"region": "us-east-1"}, "destination": {"region": "us-east-1", "uri": format!("s3://{}/appended/", site.lake()), "format": "csv",
        "compression": "gzip", "csv": {"delimiter": ";"}}, }));
    site.run_ok();
    site.put("sales/b.csv", SALES);
    site.run_ok();
    assert_eq!(site.keys().len(), 2);
    assert!(
        site.keys().iter().all(|key| key.starts_with("appended/") && key.ends_with(".csv.gz")),
        "{:?}",
        site.keys()
    );
    let rows = call("rows", json!({"dir": site.output(), "csv": {"delim": ";"}}));
    assert_eq!(rows.as_array().map(Vec::len), Some(6));
}

#[test]
fn sqlflow_s3_1_0() {
    for format in ["csv", "parquet", "json", "jsonl"] {
        // bucket + key that ends in /, partition_cols, keys as ${AWS_KEY} (the site's Secret is such a one),
        // endpoint_url, region.
        let site = Site::minio();
        site.put("in/sales.csv", SALES);
        let spec = |partitions: Value| {
            json!({"source": {"tables": {"from": "Fixed", "name": "sales"}, "region": "eu-central-1"},
                   "destination": {"path": "sales/", "format": format, "writeMode": "Replace", "partitionBy": partitions, "region": "eu-central-1"}})
        };
        site.only(spec(json!([{"column": "year"}, {"column": "month"}])));
        site.run_ok();
        assert_eq!(sorted_dirs(&site), ["sales/year=2023/month=12", "sales/year=2024/month=1"], "{format}");
        assert_eq!(site.rows("sales/").as_array().map(Vec::len), Some(3), "{format}");
    }
    // Year and month from a timestamp, csv_delimiter \t, csv_header off.
    let site = Site::minio();
    site.put("in/sales.csv", SALES);
    site.only(json!({"source": {"tables": {"from": "Fixed", "name": "sales"}},
        "schema": {"drop": ["year", "month"]},
        "destination": {"path": "sales/", "format": "csv", "csv": {"delimiter": "\\t", "header": false},
            "partitionBy": [{"column": "sold_at", "transform": "Year", "name": "year"}, {"column": "sold_at", "transform": "Month", "name": "month"}]}}));
    site.run_ok();
    assert_eq!(sorted_dirs(&site), ["sales/year=2023/month=12", "sales/year=2024/month=1"]);
    let text = std::fs::read_to_string(site.output().join(&site.keys()[0])).expect("text");
    assert_eq!(text, "1\t2023-12-31T23:00:00.000000Z\t1.5\n");
    // And incremental, which it lacks.
    site.put("in/more.csv", "id,year,month,sold_at,amount\n9,2025,5,2025-05-05T00:00:00Z,9.0\n");
    let report = site.run_ok();
    assert_eq!(report["tables"][0]["rows"], 1);
    assert_eq!(sorted_dirs(&site).last().map(String::as_str), Some("sales/year=2025/month=5"));
}

#[test]
fn cloudquery_s3_destination() {
    let site = Site::minio();
    let body: String = (0..2500).map(|n| format!("{n},{n}\n")).collect();
    site.put("aws/ec2/instances.csv", format!("id,n\n{body}"));
    site.put("aws/s3/buckets.jsonl", "{\"id\":1,\"tags\":{\"a\":\"b\"}}\n");
    let spec =
        |more: Value| crate::support::merge(json!({"destination": {"path": "cq/{{TABLE}}/{{UUID}}.{{FORMAT}}"}}), more);
    // batch_size; json there is jsonl here; encryption and acl do not disturb.
    site.only(spec(
        json!({"destination": {"format": "jsonl", "batch": {"rows": 1000, "bytes": 0}, "pathStyle": true, "object": {"acl": "private"}}}),
    ));
    site.run_ok();
    let (instances, buckets): (Vec<String>, Vec<String>) =
        site.keys().into_iter().partition(|key| key.starts_with("cq/aws_ec2/"));
    assert_eq!((instances.len(), buckets.len()), (3, 1));
    assert_eq!(site.rows("cq/aws_s3/"), json!([{"id": 1, "tags": {"a": "b"}}]));
    assert_eq!(site.rows("cq/aws_ec2/").as_array().map(Vec::len), Some(2500));
    // The write probe leaves nothing: all that is there is what was published and the state.
    let all: Vec<String> = serde_json::from_value(call("keys", json!({"bucket": site.lake()}))).expect("keys");
    assert!(all.iter().all(|key| key.starts_with("cq/") || key.starts_with("_s3sync/")), "{all:?}");
    // batch_size_bytes, and the later placeholders.
    let site = Site::minio();
    site.put("t/a.csv", format!("id,n\n{body}"));
    site.only(json!({"destination": {"format": "csv", "batch": {"bytes": "8k"}, "path": "{{TABLE_HYPHEN}}/{{SYNC_ID}}/{{YEAR}}/{{MONTH}}/{{DAY}}/{{HOUR}}/{{UUID}}.{{FORMAT}}"}}));
    site.run_ok();
    assert!(site.keys().len() >= 2, "{:?}", site.keys());
    assert_eq!(site.rows("").as_array().map(Vec::len), Some(2500));
    // no_rotate with one name, and replace, which it lacks.
    let site = Site::minio();
    site.put("t/a.csv", format!("id,n\n{body}"));
    site.only(
        json!({"destination": {"format": "csv", "batch": {"rows": 0, "bytes": 0}, "path": "{{TABLE}}.{{FORMAT}}", "writeMode": "Replace"}}),
    );
    site.run_ok();
    assert_eq!(site.keys(), ["t.csv"]);
}

#[test]
fn ingestr_s3() {
    let check = |uri: &str, expected: &[i64]| {
        let site = Site::minio();
        site.put("top.csv", "id\n1\n");
        site.put("dir/a.csv", "id\n2\n");
        site.put("dir/deep/b.csv", "id\n3\n");
        site.put("dir/c.jsonl", "{\"id\":4}\n");
        site.put("dir/deep/er/d.jsonl", "{\"id\":5}\n");
        python(
            "pathlib.Path(path).parent.mkdir(exist_ok=True)\npq.write_table(pa.table({'id': [6]}), path)\nput(bucket, 'dir/e.parquet', path)",
            json!({"path": site.path("upload/e.parquet"), "bucket": site.raw()}),
        );
        site.only(json!({"source": {"uri": uri.replace("BUCKET", site.raw()), "tables": {"from": "Fixed", "name": "events"}}, "destination": {"path": "{table_name}/{load_id}.{file_id}.{ext}", "format": "parquet"}}));
        site.run_ok();
        let found = site.sql("events/", "select id from read_parquet(FILES) order by 1");
        assert_eq!(found, expected.iter().map(|id| json!([id])).collect::<Value>(), "{uri}");
        site
    };
    check("s3://BUCKET/**/*.csv", &[1, 2, 3]);
    check("s3://BUCKET/*.csv", &[1]);
    check("s3://BUCKET/dir/**/*.jsonl", &[4, 5]);
    check("s3://BUCKET/dir/e.parquet", &[6]);
    let site = check("s3://BUCKET/dir/a.csv", &[2]);
    // Load bookkeeping: what was committed, by load id, with its source keys.
    let export = site.start(&["state", "export"], &["-o", "json"]).wait().expect(0).stdout;
    let load_id = site.keys()[0].trim_start_matches("events/").split('.').next().expect("a load id").to_owned();
    for part in [load_id.as_str(), "dir/a.csv", site.keys()[0].as_str()] {
        assert!(export.contains(part), "{part:?} is not in {export}");
    }
    // Its default layout: one file a table, in a place that Replace owns.
    let site = Site::minio();
    site.put("a.csv", "id\n1\n");
    site.only(json!({"destination": {"path": "{table_name}.{ext}", "format": "parquet", "writeMode": "Replace"}}));
    site.run_ok();
    assert_eq!(site.keys(), ["a.parquet"]);
}

#[test]
fn cq_source_s3() {
    let site = Site::minio();
    let make = "for key in keys_:\n\
        \x20   path = os.path.join(dir, 'x.parquet')\n\
        \x20   pq.write_table(pa.table({'key': [key] * 3, 'n': [1, 2, 3]}), path)\n\
        \x20   put(bucket, key, path)";
    let objects = ["datafile_0.parquet", "data/2024/x.parquet", "data/2024/y.parquet", "data-set/sub dir/z.parquet"];
    std::fs::create_dir_all(site.path("made")).expect("writable");
    python(make, json!({"keys_": objects, "dir": site.path("made"), "bucket": site.raw()}));
    site.only(json!({"source": {"format": "parquet", "include": ["**/*.parquet"]}, "worker": {"rowsPerBatch": 500, "concurrency": -1}, "destination": {"format": "parquet"}}));
    // Listing the tables, before anything is read.
    let listed = site.start(&["tables"], &["-o", "json"]).wait().expect(0).stdout;
    for table in ["datafile_0", "data_2024", "data_set_sub_dir"] {
        assert!(listed.contains(&format!("\"{table}\"")), "{table} is not in {listed}");
    }
    site.run_ok();
    let by_table =
        site.sql("", "select split_part(filename, '/', -2), count(*) from read_parquet(FILES, filename = true) group by 1 order by 1");
    assert_eq!(by_table, json!([["data_2024", 6], ["data_set_sub_dir", 3], ["datafile_0", 3]]));
    // A cursor a table: one grows, the others are left alone.
    python(make, json!({"keys_": ["data/2024/a-late-one.parquet"], "dir": site.path("made"), "bucket": site.raw()}));
    let report = site.run_ok();
    let touched: Vec<&Value> = report["tables"].as_array().expect("tables").iter().filter(|t| t["rows"] != 0).collect();
    assert_eq!(touched.len(), 1, "{report}");
    assert_eq!((&touched[0]["name"], &touched[0]["rows"]), (&json!("data_2024"), &json!(3)));
    // path_prefix; and what it lacks: csv and json sources, and a malformed object that is never silently passed.
    let site = Site::minio();
    site.put("exports/users/a.csv", "id\n1\n");
    site.put("exports/users/b.jsonl", "{\"id\":2}\n");
    site.put("other/c.csv", "id\n3\n");
    site.only(json!({"source": {"prefix": "exports/"}, "destination": {"format": "parquet"}, "incremental": {"enabled": false}}));
    site.run_ok();
    assert_eq!(site.sql("exports_users/", "select id from read_parquet(FILES) order by 1"), json!([[1], [2]]));
    site.put("exports/users/c.parquet", "PAR1 this is no parquet PAR1");
    site.run_fails(4).says(&["exports/users/c.parquet"]);
}
