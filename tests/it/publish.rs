//! Append, Replace, overwritten objects, limits, several workers: each row once.

use serde_json::{Value, json};

use crate::support::Site;

fn csv(ids: std::ops::Range<u32>) -> String {
    ids.fold("id,name\n".to_owned(), |text, id| format!("{text}{id},n{id}\n"))
}

/// What should be there: the ids of `csv`.
fn ids(ids: impl IntoIterator<Item = u32>) -> Value {
    ids.into_iter().map(|id| json!([id])).collect()
}

#[track_caller]
fn published(site: &Site) -> Value {
    site.sql("", "select id from read_parquet(FILES) order by id")
}

fn both(test: impl Fn(Site)) {
    test(Site::directory());
    test(Site::minio());
}

#[test]
fn append_publishes_each_object_once() {
    both(|site| {
        site.only(json!({"destination": {"format": "parquet"}}));
        site.put("orders/a.csv", csv(0..10));
        let report = site.run_ok();
        assert_eq!(
            (&report["tables"][0]["name"], &report["tables"][0]["rows"], &report["tables"][0]["objects"]),
            (&json!("orders"), &json!(10), &json!(1))
        );
        assert_eq!(published(&site), ids(0..10));

        let before = site.keys();
        site.run_ok();
        assert_eq!(site.keys(), before, "nothing new, nothing written");

        // Sorts before what was read, and after it.
        site.put("orders/0.csv", csv(20..25));
        site.put("orders/b.csv", csv(10..20));
        let report = site.run_ok();
        assert_eq!((&report["tables"][0]["rows"], &report["tables"][0]["objects"]), (&json!(15), &json!(2)));
        assert_eq!(published(&site), ids(0..25));
        assert!(before.iter().all(|key| site.keys().contains(key)), "append leaves what is there");
    });
}

#[test]
fn replace_publishes_a_whole_new_generation() {
    both(|site| {
        site.only(json!({"destination": {"format": "parquet", "writeMode": "Replace"}}));
        site.put("orders/a.csv", csv(0..10));
        site.run_ok();
        let first = site.keys();
        site.run_ok();
        assert_eq!(site.keys(), first, "nothing changed, nothing written");

        site.put("orders/b.csv", csv(10..12));
        site.run_ok();
        assert_eq!(published(&site), ids(0..12));
        assert!(site.keys().iter().all(|key| !first.contains(key)), "the old generation is gone");

        site.remove("orders/a.csv");
        site.run_ok();
        assert_eq!(published(&site), ids(10..12));
    });
}

#[test]
fn replace_of_one_named_file_keeps_its_name() {
    both(|site| {
        site.only(json!({"source": {"tables": {"from": "Fixed", "name": "orders"}},
                         "destination": {"path": "latest/orders.parquet", "format": "parquet", "writeMode": "Replace"}}));
        for last in [5, 9] {
            site.put("in/a.csv", csv(0..last));
            site.run_ok();
            assert_eq!(site.keys(), ["latest/orders.parquet"]);
            assert_eq!(published(&site), ids(0..last));
        }
    });
}

#[test]
fn replace_refuses_an_empty_listing_unless_allowed() {
    let site = Site::directory();
    let spec = json!({"destination": {"format": "parquet", "writeMode": "Replace"}});
    site.only(spec.clone());
    site.put("orders/a.csv", csv(0..3));
    site.run_ok();
    site.remove("orders/a.csv");
    let refused = site.run();
    assert_ne!(refused.code, Some(0), "{refused:?}");
    refused.says(&["allowEmpty"]);
    assert_eq!(published(&site), ids(0..3));
    site.only(crate::support::merge(spec, json!({"destination": {"allowEmpty": true}})));
    site.run_ok();
    assert_eq!(site.keys(), Vec::<String>::new());
}

#[test]
fn an_overwritten_object_is_what_on_overwrite_says() {
    let overwritten = |policy: &str| {
        let site = Site::minio();
        site.only(json!({"destination": {"format": "parquet"}, "incremental": {"onOverwrite": policy}}));
        site.put("orders/a.csv", csv(0..3));
        site.run_ok();
        site.put("orders/a.csv", csv(100..102));
        site
    };
    let site = overwritten("Reprocess");
    site.run_ok();
    assert_eq!(published(&site), ids([0, 1, 2, 100, 101]), "the old version's rows stay");
    let site = overwritten("Ignore");
    site.run_ok();
    assert_eq!(published(&site), ids(0..3));
    overwritten("Fail").run_fails(4).says(&["orders/a.csv", "onOverwrite"]);
}

#[test]
fn without_incremental_every_run_reads_everything() {
    let site = Site::directory();
    site.only(json!({"destination": {"format": "parquet"}, "incremental": {"enabled": false}}));
    site.put("orders/a.csv", csv(0..2));
    site.run_ok();
    site.run_ok();
    assert_eq!(published(&site), ids([0, 0, 1, 1]));
}

#[test]
fn limits_cut_a_run_into_epochs() {
    both(|site| {
        site.only(json!({"destination": {"format": "parquet"}, "limits": {"objectsPerCommit": 2}}));
        for n in 0..7 {
            site.put(&format!("orders/{n}.csv"), csv(n * 10..n * 10 + 10));
        }
        let report = site.run_ok();
        assert_eq!((&report["tables"][0]["objects"], &report["tables"][0]["rows"]), (&json!(7), &json!(70)));
        assert_eq!(site.epoch(), 4, "7 objects, 2 an epoch");
        assert_eq!(published(&site), ids(0..70));
    });
}

#[test]
fn three_workers_publish_the_same_rows_as_one() {
    both(|site| {
        site.only(json!({"destination": {"format": "parquet"}}));
        for n in 0..12 {
            site.put(&format!("t{}/{n}.csv", n % 2), csv(n * 100..n * 100 + 100));
        }
        site.start(&["run"], &["-o", "json", "--replicas", "3"]).wait().expect(0);
        assert_eq!(published(&site), ids(0..1200));
    });
}

/// I5: what the files hold does not depend on the machine, the attempt, or how many workers there were.
#[test]
fn the_same_plan_gives_the_same_bytes() {
    let outcome = |memory: &str, replicas: &str| {
        let site = Site::directory();
        site.only(
            json!({"destination": {"format": "parquet", "path": "{{TABLE}}/{{EPOCH}}-{{SHARD}}-{{SEQ}}.{{FORMAT}}",
                                         "partitionBy": [{"column": "part"}]}}),
        );
        for n in 0..6u32 {
            let body = (0..3000u32).fold("id,part,text\n".to_owned(), |t, i| {
                format!("{t}{},{},some text {}\n", n * 3000 + i, i % 7, i % 113)
            });
            site.put(&format!("orders/{n}.csv"), body);
        }
        site.start(&["run"], &["--memory", memory, "--replicas", replicas]).wait().expect(0);
        let digest = "import hashlib\n\
            def shape(path):\n\
            \x20   file = pq.ParquetFile(path)\n\
            \x20   groups = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]\n\
            \x20   return groups + [hashlib.sha256(repr(file.read().to_pylist()).encode()).hexdigest()]\n\
            result = [[key] + shape(os.path.join(dir, key)) for key in files(dir)]";
        crate::support::python(digest, json!({"dir": site.output()}))
    };
    let one = outcome("1Gi", "1");
    assert_eq!(one.as_array().map(Vec::len), Some(7));
    assert_eq!(outcome("256Mi", "1"), one);
}

#[test]
fn two_runs_at_once_publish_once() {
    let site = Site::minio();
    site.only(json!({"destination": {"format": "parquet"}}));
    for n in 0..10 {
        site.put(&format!("orders/{n}.csv"), csv(n * 1000..n * 1000 + 1000));
    }
    let running: Vec<_> = (0..3).map(|_| site.start(&["run"], &["-o", "json"])).collect();
    for outcome in running.into_iter().map(|one| one.wait()) {
        assert!([Some(0), Some(1), Some(5)].contains(&outcome.code), "{outcome:?}");
    }
    site.run_ok();
    assert_eq!(published(&site), ids(0..10_000));
}

#[test]
fn two_state_directories_do_not_publish_twice() {
    let site = Site::minio();
    site.only(json!({"destination": {"format": "parquet"}}));
    site.put("orders/a.csv", csv(0..5));
    site.run_ok();
    let other = site.start(&["run"], &["--state-dir", "elsewhere"]).wait();
    assert_ne!(other.code, Some(0), "{other:?}");
    other.says(&["adopt"]);
    assert_eq!(published(&site), ids(0..5));
}

#[test]
fn a_lost_state_directory_stops_the_run() {
    let site = Site::minio();
    site.only(json!({"destination": {"format": "parquet"}}));
    site.put("orders/a.csv", csv(0..5));
    site.run_ok();
    std::fs::remove_dir_all(site.path(".s3sync")).expect("the default state directory is beside the manifest");
    let stopped = site.run();
    assert_ne!(stopped.code, Some(0), "{stopped:?}");
    assert_eq!(published(&site), ids(0..5));
}

#[test]
fn a_changed_identity_needs_consent() {
    let site = Site::directory();
    site.only(json!({"source": {"prefix": "a/"}, "destination": {"format": "parquet"}}));
    site.put("a/1.csv", csv(0..2));
    site.put("b/1.csv", csv(10..12));
    site.run_ok();
    site.only(json!({"source": {"prefix": "b/"}, "destination": {"format": "parquet"}}));
    site.run_fails(2).says(&["--accept-spec-change"]);
    site.start(&["run"], &["--accept-spec-change"]).wait().expect(0);
    assert_eq!(published(&site), ids([0, 1, 10, 11]));
}

/// Nothing was published yet, so nothing ties the cursor to what was misspelt.
#[test]
fn a_first_run_that_failed_needs_no_consent() {
    both(|site| {
        site.put("a/1.csv", csv(0..2));
        site.put("bad/1.csv", "id,name\n1,a,b,c\n");
        let (source, destination) = (site.raw(), json!({"format": "parquet"}));
        site.only(json!({"source": {"bucket": format!("{source}-misspelt")}, "destination": destination}));
        site.run_fails(3).says(&["misspelt"]);
        site.only(json!({"source": {"prefix": "bad/"}, "destination": destination}));
        site.run_fails(4).says(&["bad/1.csv"]);
        site.only(json!({"source": {"prefix": "a/"}, "destination": destination}));
        site.run_ok();
        assert_eq!(published(&site), ids(0..2));
    });
}

/// Objects of one second, and an upload that began before the run and ended after it, whose time lies behind any
/// watermark.
#[test]
fn what_finishes_late_is_not_lost() {
    let site = Site::minio();
    site.only(json!({"destination": {"format": "parquet"}}));
    let begin = "s3 = client()\nresult = s3.create_multipart_upload(Bucket=bucket, Key='orders/late.csv')['UploadId']";
    let upload = crate::support::python(begin, json!({"bucket": site.raw()}));
    site.put("orders/z.csv", csv(0..5));
    site.run_ok();
    let finish = "s3 = client()\n\
        part = s3.upload_part(Bucket=bucket, Key='orders/late.csv', UploadId=upload, PartNumber=1, Body=body.encode())\n\
        s3.complete_multipart_upload(Bucket=bucket, Key='orders/late.csv', UploadId=upload, MultipartUpload={'Parts': [{'PartNumber': 1, 'ETag': part['ETag']}]})";
    crate::support::python(finish, json!({"bucket": site.raw(), "upload": upload, "body": csv(5..8)}));
    site.put("orders/y.csv", csv(8..9));
    site.run_ok();
    assert_eq!(published(&site), ids(0..9));
}
