//! What bad input gets: a sentence that names the object, where in it, and what to do; the exit code; nothing visible;
//! a cursor that did not move. And after the cause is gone, a run that publishes everything once.

use serde_json::{Value, json};

use crate::support::{Site, python};

const GOOD: &str = "id,name\n1,a\n2,b\n";

/// A good object and a bad one beside it; the run must fail and say `parts`. Then the bad object is mended and the run
/// repeated.
#[track_caller]
fn refused(key: &str, body: &[u8], parts: &[&str]) {
    for site in [Site::directory(), Site::minio()] {
        site.only(json!({"destination": {"format": "jsonl", "path": "{{TABLE}}/{{UUID}}.{{FORMAT}}"}}));
        site.put("good/a.csv", GOOD);
        site.put(key, body);
        site.run_fails(4).says(&[key]).says(parts);
        site.remove(key);
        site.run_ok();
        assert_eq!(site.rows(""), json!([{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]), "after {key} is gone");
    }
}

fn gzip(text: &str) -> Vec<u8> {
    bytes(python("result = list(gzip.compress(text.encode()))", json!({"text": text})))
}

fn bytes(list: Value) -> Vec<u8> {
    serde_json::from_value(list).expect("bytes")
}

/// A Parquet file by pyarrow, as bytes, after `mangle` (Python over `data`, a bytearray).
fn parquet(mangle: &str) -> Vec<u8> {
    let code = "out = io.BytesIO()\n\
        pq.write_table(pa.table({'id': list(range(5000)), 'word': [f'w{n % 50}' for n in range(5000)]}), out, compression='zstd')\n\
        data = bytearray(out.getvalue())\nmeta = pq.read_metadata(io.BytesIO(bytes(data)))\n";
    bytes(python(&format!("{code}{mangle}\nresult = list(data)"), json!({})))
}

#[test]
fn truncated_gzip() {
    let text: String = (0..20_000).map(|n| format!("{n},some text {n}\n")).collect();
    let whole = gzip(&format!("id,text\n{text}"));
    refused("bad/x.csv.gz", &whole[..whole.len() - 20], &["gzip"]);
    refused("bad/x.csv.gz", &whole[..whole.len() / 2], &["gzip"]);
}

/// `compression: auto` goes by the first bytes where they and the extension disagree; a fixed one does not.
#[test]
fn gzip_that_is_none() {
    let site = Site::directory();
    site.only(json!({"source": {"compression": "gzip"}, "destination": {"format": "parquet"}}));
    site.put("bad/x.csv.gz", b"id\n1\n");
    site.run_fails(4).says(&["bad/x.csv.gz", "gzip"]);
}

#[test]
fn corrupt_gzip_checksum() {
    let mut whole = gzip("id\n1\n2\n3\n");
    let end = whole.len();
    whole[end - 6] ^= 0xff;
    refused("bad/x.csv.gz", &whole, &["gzip"]);
}

#[test]
fn corrupt_zstd() {
    let whole = bytes(python(
        "result = list(zstandard.ZstdCompressor(write_checksum=True).compress(b'id\\n' + b'1\\n' * 9999))",
        json!({}),
    ));
    refused("bad/x.csv.zst", &whole[..whole.len() - 3], &["zst"]);
}

#[test]
fn corrupt_parquet_footer() {
    refused(
        "bad/x.parquet",
        &parquet("data[-20] ^= 0xff; data[-40] ^= 0xff; data[-60] ^= 0xff; data[-30:-10] = bytes(20)"),
        &["parquet"],
    );
    refused("bad/x.parquet", &parquet("data = data[:-3]"), &["parquet"]);
    refused("bad/x.parquet", &parquet("data[-8:-4] = (2**31 - 1).to_bytes(4, 'little')"), &["parquet"]);
    refused("bad/x.parquet", b"PAR1", &["parquet"]);
}

#[test]
fn corrupt_parquet_page() {
    refused(
        "bad/x.parquet",
        &parquet("at = meta.row_group(0).column(0).data_page_offset\ndata[at + 40 : at + 400] = bytes(360)"),
        &[],
    );
}

#[test]
fn corrupt_parquet_dictionary() {
    refused(
        "bad/x.parquet",
        &parquet("at = meta.row_group(0).column(1).dictionary_page_offset\ndata[at + 20 : at + 60] = b'\\xff' * 40"),
        &[],
    );
}

#[test]
fn invalid_utf8() {
    refused("bad/x.csv", b"id,name\n1,ok\n2,\xff\xfe\n", &["line 3", "UTF-8", "name that in source.csv.encoding"]);
    refused("bad/x.csv", b"id,n\xe4me\n1,ok\n", &["column 2", "UTF-8", "name that in source.csv.encoding"]);
    refused("bad/x.jsonl", b"{\"a\":\"ok\"}\n{\"a\":\"\xff\"}\n", &["line 2", "UTF-8"]);
}

#[test]
fn a_quote_that_never_closes() {
    refused("bad/x.csv", b"id,name\n1,\"never closed\n2,b\n", &["line 2", "quote"]);
}

#[test]
fn a_row_with_too_many_fields() {
    refused("bad/x.csv", b"id,name\n1,a\n2,b,c\n", &["line 3", "3 fields"]);
    refused("bad/x.tsv", b"id\tname\n1\n", &["line 2"]);
}

#[test]
fn a_json_line_that_ends_early() {
    refused("bad/x.jsonl", b"{\"id\":1}\n{\"id\":\n{\"id\":3}\n", &["line 2"]);
    refused("bad/x.jsonl", b"{\"id\":1}\n[1]\n", &["line 2"]);
    refused("bad/x.json", b"[{\"id\":1},{\"id\":2}", &[]);
    refused("bad/x.json", b"[{\"id\":1} {\"id\":2}]", &[]);
}

#[test]
fn nesting_ten_thousand_deep() {
    let deep = format!("{{\"a\":{}1{}}}\n", "[".repeat(10_000), "]".repeat(10_000));
    refused("bad/x.jsonl", deep.as_bytes(), &["deep"]);
    let deep = format!("{}1{}\n", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    refused("bad/x.json", deep.as_bytes(), &["deep"]);
}

#[test]
fn numbers_that_a_declared_type_does_not_hold_are_refused_by_name() {
    let site = Site::directory();
    site.only(json!({"schema": {"mode": "Declared", "columns": [{"name": "count", "type": "int64"}]}, "destination": {"format": "jsonl"}}));
    site.put("t/a.csv", "count\n5\n18446744073709551616\n");
    site.run_fails(4).says(&["t/a.csv", "line 3", "count", "int64"]);
}

#[test]
fn an_empty_object_and_a_directory_marker_are_no_rows() {
    let site = Site::minio();
    site.only(json!({"destination": {"format": "jsonl"}}));
    site.put("t/a.csv", GOOD);
    site.put("t/empty.csv", "");
    site.put("t/header.csv", "id,name\n");
    site.put("t/empty.jsonl", "");
    python("client().put_object(Bucket=bucket, Key='t/', Body=b'')", json!({"bucket": site.raw()}));
    site.run_ok();
    assert_eq!(site.rows(""), json!([{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]));
    site.run_ok();
    assert_eq!(site.keys().len(), 1);
}

#[test]
fn an_empty_parquet_object_is_refused() {
    refused("bad/x.parquet", b"", &["parquet"]);
}

#[test]
fn an_object_that_vanishes_or_changes_is_published_in_the_form_it_has() {
    // Many objects are replaced and removed while the run reads: whatever it saw, a repeat ends with what a reader of
    // the bucket sees now.
    let site = Site::minio();
    site.only(json!({"destination": {"format": "parquet"}, "worker": {"concurrency": 1}}));
    let body = |version: u32, n: u32| {
        (0..2000).fold("id,version\n".to_owned(), |text, row| format!("{text}{},{version}\n", n * 2000 + row))
    };
    for n in 0..12 {
        site.put(&format!("t/{n:02}.csv"), body(1, n));
    }
    let running = site.start(&["run"], &["-o", "json"]);
    site.put("t/10.csv", body(2, 10));
    site.remove("t/11.csv");
    let outcome = running.wait();
    assert!(outcome.code == Some(0) || outcome.code == Some(4), "{outcome:?}");
    site.run_ok();
    let seen = site.sql(
        "",
        "select version, count(*), count(distinct id) from read_parquet(FILES) where id < 22000 group by 1 order by 1",
    );
    // The first eleven objects, each version that was read once, and of the eleventh the new version in any case.
    let versions = seen.as_array().expect("rows");
    assert!(versions.iter().all(|row| row[1] == row[2]), "a row twice: {seen}");
    assert_eq!(versions.last(), Some(&json!([2, 2000, 2000])), "{seen}");
    assert!([20_000, 22_000].contains(&versions[0][1].as_u64().expect("a count")), "{seen}");
}

#[test]
fn a_bucket_that_is_not_there() {
    let site = Site::minio();
    site.only(json!({"source": {"bucket": "no-such-bucket"}, "destination": {"format": "parquet"}}));
    site.run_fails(3).says(&["no-such-bucket"]);
    let site = Site::minio();
    site.put("t/a.csv", GOOD);
    site.only(json!({"destination": {"bucket": "no-such-lake", "format": "parquet"}}));
    site.run_fails(3).says(&["no-such-lake"]);
}

#[test]
fn credentials_that_are_wrong_or_missing() {
    let site = Site::minio();
    site.put("t/a.csv", GOOD);
    site.only(json!({"destination": {"format": "parquet"}}));
    let wrong = site.start_with(&["run"], &[], &[("TEST_SECRET", "wrong-wrong-wrong")]).wait().expect(3);
    wrong.says(&["credentials", "secretRef"]);
    site.only(json!({"source": {"secretRef": {"name": "nowhere"}}, "destination": {"format": "parquet"}}));
    site.run_fails(3).says(&["nowhere"]);
}

#[test]
fn a_key_that_is_denied() {
    let site = Site::minio();
    site.put("t/a.csv", GOOD);
    site.put("t/secret.csv", GOOD);
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": ["*"]}, "Action": ["s3:ListBucket", "s3:GetBucketLocation"], "Resource": [format!("arn:aws:s3:::{}", site.raw())]},
        {"Effect": "Allow", "Principal": {"AWS": ["*"]}, "Action": ["s3:GetObject"], "Resource": [format!("arn:aws:s3:::{}/t/a.csv", site.raw())]},
    ]});
    python(
        "client().put_bucket_policy(Bucket=bucket, Policy=policy)",
        json!({"bucket": site.raw(), "policy": policy.to_string()}),
    );
    site.only(json!({"source": {"anonymous": true, "secretRef": null}, "destination": {"format": "parquet"}}));
    site.run_fails(3).says(&["t/secret.csv"]);
    site.only(json!({"source": {"anonymous": true, "secretRef": null, "exclude": ["t/secret.csv"]}, "destination": {"format": "parquet"}}));
    site.run_ok();
}

#[test]
fn two_prefixes_that_give_one_table() {
    let site = Site::directory();
    site.only(json!({"destination": {"format": "parquet"}}));
    site.put("a-b/x.csv", GOOD);
    site.put("a_b/x.csv", GOOD);
    site.run_fails(4).says(&["a-b/", "a_b/", "Fixed"]);
}

#[test]
fn a_template_that_would_overwrite_itself() {
    let site = Site::directory();
    site.put("t/a.csv", GOOD);
    site.only(json!({"destination": {"format": "parquet", "path": "all.parquet"}}));
    site.run_fails(2).says(&["path", "UUID"]);
    site.put("u/a.csv", GOOD);
    site.only(json!({"destination": {"format": "parquet", "path": "x/{{UUID}}.parquet"}}));
    site.run_fails(2).says(&["path", "TABLE"]);
}

#[test]
fn a_destination_that_is_its_own_source() {
    let site = Site::directory();
    site.put("t/a.csv", GOOD);
    site.only(json!({"destination": {"bucket": "raw", "path": "out/{{TABLE}}/{{UUID}}.{{FORMAT}}", "format": "csv"}}));
    site.run_fails(2).says(&["source"]);
    // The same bucket is fine where the selection keeps them apart.
    site.only(
        json!({"source": {"prefix": "t/"}, "destination": {"bucket": "raw", "path": "out/{{TABLE}}/{{UUID}}.{{FORMAT}}", "format": "csv"}}),
    );
    site.run_ok();
}

#[test]
fn a_bad_object_can_be_quarantined() {
    let site = Site::minio();
    site.only(json!({"errors": {"onBadObject": "Quarantine"}, "destination": {"format": "jsonl"}}));
    site.put("t/a.csv", GOOD);
    site.put("t/bad.csv", "id,name\n7,\"never closed\n");
    let report = site.run_ok();
    assert!(report["quarantined"].to_string().contains("t/bad.csv") || report["quarantined"] == 1, "{report}");
    let rows = json!([{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]);
    assert_eq!(site.rows("t/"), rows);
    site.run_ok();
    assert_eq!(site.rows("t/"), rows, "it is not tried again as it is");
    site.put("t/bad.csv", "id,name\n7,mended\n");
    site.run_ok();
    assert_eq!(site.rows("t/"), json!([{"id": 1, "name": "a"}, {"id": 2, "name": "b"}, {"id": 7, "name": "mended"}]));
}

#[test]
fn bad_records_are_set_aside_up_to_a_number() {
    let site = Site::minio();
    let spec = |max: u32| json!({"errors": {"maxBadRecords": max, "deadLetterPath": "rejects/"}, "destination": {"format": "parquet"}});
    site.only(spec(1));
    site.put("t/a.csv", "id,name\n1,a\n2,b,too many\n3,c\n4\n5,e\n");
    site.run_fails(4).says(&["t/a.csv", "maxBadRecords"]);
    site.only(spec(2));
    let report = site.run_ok();
    assert_eq!(report["badRecords"], 2, "{report}");
    assert_eq!(site.sql("t/", "select id from read_parquet(FILES) order by 1"), json!([[1], [3], [5]]));
    let letters = python(
        "result = '\\n'.join(text(os.path.join(dir, key)) for key in files(dir, 'rejects/'))",
        json!({"dir": site.output()}),
    );
    let letters = letters.as_str().expect("text");
    for part in ["t/a.csv", "2,b,too many", "3", "5"] {
        assert!(letters.contains(part), "{part:?} is not in {letters}");
    }
    assert_eq!(letters.lines().filter(|line| !line.is_empty()).count(), 2, "{letters}");
}

/// As deep as a plan can hold, and one level more.
#[test]
fn nesting_at_the_limit() {
    let nested = |levels: usize| format!("{}1{}\n", "{\"a\":".repeat(levels), "}".repeat(levels));
    let site = Site::directory();
    site.only(json!({"destination": {"format": "jsonl"}}));
    site.put("t/x.jsonl", nested(41));
    site.run_ok();
    assert_eq!(site.rows(""), json!([serde_json::from_str::<Value>(&nested(41)).expect("JSON")]));
    refused("bad/x.jsonl", nested(42).as_bytes(), &["more than 41 levels deep"]);
    let code = "value = {'v': 1}\nfor _ in range(60): value = {'a': value}\n\
        out = io.BytesIO()\npq.write_table(pa.Table.from_pylist([value]), out)\nresult = list(out.getvalue())";
    refused("bad/x.parquet", &bytes(python(code, json!({}))), &["column a is nested more than 40 levels deep"]);
}

/// Where a writer made checksums of its pages they are compared.
#[test]
fn a_parquet_page_that_its_checksum_does_not_fit() {
    let code = "out = io.BytesIO()\n\
        pq.write_table(pa.table({'s': [f's{n}' for n in range(1000)]}), out, compression='none', use_dictionary=False,\n\
            write_statistics=False, write_page_checksum=True)\n\
        data = out.getvalue()\nassert data.count(b's500') == 1\nresult = list(data.replace(b's500', b'sX00'))";
    refused("bad/x.parquet", &bytes(python(code, json!({}))), &["CRC"]);
}

/// One long header would be no rows, without a word.
#[test]
fn a_csv_that_is_no_lines_of_text() {
    refused("bad/x.csv.gz", b"\x1f", &["0x1f", "no text"]);
    refused("bad/x.csv", &[0; 64], &["0x00", "no text"]);
}

/// Replace never turns what is published into nothing, unless it is told to: whether nothing is listed or nothing can
/// be read.
#[test]
fn what_cannot_be_read_replaces_nothing() {
    let spec = |more: Value| {
        let base = json!({"source": {"tables": {"from": "Fixed", "name": "t"}}, "errors": {"onBadObject": "Quarantine"},
            "destination": {"format": "jsonl", "writeMode": "Replace", "path": "{{TABLE}}.{{FORMAT}}"}});
        crate::support::merge(base, more)
    };
    for site in [Site::directory(), Site::minio()] {
        site.only(spec(json!({})));
        site.put("a/1.csv", "id\n1\n");
        site.run_ok();
        for empty in ["id\n1,2\n", "id\n"] {
            site.put("a/1.csv", empty);
            site.run_fails(4).says(&["would be replaced by nothing", "destination.allowEmpty"]);
            assert_eq!(site.rows(""), json!([{"id": 1}]));
        }
        site.only(spec(json!({"destination": {"allowEmpty": true}})));
        site.run_ok();
        assert_eq!(site.keys(), Vec::<String>::new());
    }
}
