//! What servers do that a directory does not: archives, names that are too long for their files, and whole histories on
//! each of them.

use serde_json::{Value, json};

use crate::support::{Site, merge};

fn ids(site: &Site) -> Value {
    site.sql("", "select id from read_json(FILES, union_by_name = true) order by id")
}

#[test]
fn an_archived_object_is_named_and_is_read_once_it_is_restored() {
    let site = Site::server("S3SYNC_TEST_MOTO");
    site.put("k/new.csv", "id\n1\n");
    let archive = "client().put_object(Bucket=bucket, Key='k/old.csv', Body=b'id\\n2\\n', StorageClass='GLACIER')";
    site.ask("run", json!({"code": archive, "bucket": site.raw()}));
    let spec = json!({"source": {"tables": {"from": "Fixed", "name": "t"}}, "destination": {"format": "jsonl"}});
    site.only(spec.clone());
    site.run_fails(4).says(&["k/old.csv", "archived", "onBadObject: Quarantine"]);

    site.only(merge(spec, json!({"errors": {"onBadObject": "Quarantine"}})));
    // Named when it is left out, and no news while it stays so.
    for said in [&["k/old.csv", "archived"][..], &["nothing new, nothing written"]] {
        site.run().expect(0).says(said);
        assert_eq!(ids(&site), json!([[1]]));
    }
    let restore = "client().restore_object(Bucket=bucket, Key='k/old.csv', RestoreRequest={'Days': 1})";
    site.ask("run", json!({"code": restore, "bucket": site.raw()}));
    for _ in 0..2 {
        site.run_ok();
        assert_eq!(ids(&site), json!([[1], [2]]));
    }
}

/// The server takes every part and would refuse the completion, when the epoch is decided.
#[test]
fn a_value_that_makes_a_name_too_long_for_the_server_is_bad_data_before_anything_is_decided() {
    for site in [Site::minio(), Site::server("S3SYNC_TEST_VERSITYGW"), Site::directory()] {
        let row = |id: u32, p: &str| format!("{}\n", json!({"id": id, "p": p}));
        site.put("k/1.jsonl", row(1, "ok") + &row(2, &"日".repeat(120)));
        let spec = json!({"source": {"tables": {"from": "Fixed", "name": "t"}}, "destination": {"format": "jsonl", "partitionBy": [{"column": "p"}]}});
        site.only(spec);
        for _ in 0..2 {
            site.run_fails(4).says(&["k/1.jsonl", "has 362 bytes", "at most 255", "partition by something shorter"]);
        }
        site.start(&["state", "abandon"], &[]).wait().expect(0).says(&["nothing to give up"]);
        site.put("k/1.jsonl", row(1, "ok"));
        site.run_ok();
        assert_eq!(ids(&site), json!([[1]]));
    }
}

#[test]
fn replace_leaves_one_generation_on_every_server() {
    for variable in ["S3SYNC_TEST_MOTO", "S3SYNC_TEST_VERSITYGW", "S3SYNC_TEST_GOFAKES3"] {
        let site = Site::server(variable);
        site.only(json!({"destination": {"format": "jsonl", "writeMode": "Replace"}}));
        for object in 0..4 {
            site.put(&format!("t/{object}.csv"), format!("id\n{object}\n"));
            let outcome = site.run().expect(0);
            assert!(!outcome.stderr.contains("it stays"), "{variable}: {outcome:?}");
            let expected: Vec<[u32; 1]> = (0..=object).map(|id| [id]).collect();
            assert_eq!(ids(&site), json!(expected), "{variable}");
        }
    }
}
