//! What a resource is for: rows appear, each once; only what is new is read; what is invalid is refused.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::{ENDPOINT, Site, api, history, overlay, release, traffic, until};

#[test]
fn a_sync_publishes_each_row_once_and_a_second_run_reads_only_what_is_new() {
    let site = Site::new("first");
    site.put("orders/a.csv", "id,name\n0,ada\n1,bob\n");
    let applied = Instant::now();
    site.apply(&site.sync("orders", "orders/", json!({}))).expect("accepted");
    // The claim is the worker's first write to the bucket.
    until("the worker's first request", || {
        let cursor = site.cursor("orders").is_some_and(|map| map["data"]["cursor"].is_string());
        if cursor { Ok(()) } else { Err(site.story()) }
    });
    println!("from apply to the worker's first write: {} ms", applied.elapsed().as_millis());
    // Of the whole controller since its start: alone on a cluster, it has looked at this resource only.
    let metrics = release::metrics(&release::leader());
    let look = |line: &&str| {
        line.starts_with("s3sync_reconcile_duration_seconds_sum")
            || line.starts_with("s3sync_reconcile_duration_seconds_count")
    };
    println!("{}", metrics.lines().filter(look).collect::<Vec<_>>().join("\n"));
    let sync = site.succeeded("orders", 1);
    site.has_each_row_once("orders/", 2);
    let run = &sync["status"]["lastRun"];
    assert_eq!(
        (&run["objects"], &run["rows"], &run["tables"], &run["files"]),
        (&json!(1), &json!(2), &json!(1), &json!(1))
    );
    site.condition("orders", "Ready", "True", "Armed");
    site.condition("orders", "LastRunSucceeded", "True", "Succeeded");

    site.put("orders/b.csv", "id,name\n2,cyd\n");
    site.trigger("orders", "again");
    let sync = site.succeeded("orders", 2);
    assert_eq!((&sync["status"]["lastRun"]["objects"], &sync["status"]["lastRun"]["rows"]), (&json!(1), &json!(1)));
    assert_eq!(sync["status"]["lastTriggerAnnotation"], "again");
    site.has_each_row_once("orders/", 3);

    let cursor = site.cursor("orders").expect("a cursor");
    let mark: Value = serde_json::from_str(cursor["data"]["table.orders"].as_str().expect("a mark")).expect("JSON");
    assert_eq!(
        (&mark["objects"], &mark["rows"]),
        (&json!(2), &json!(3)),
        "a person reads the table's mark in the ConfigMap"
    );
}

#[test]
fn a_pass_that_finds_nothing_to_do_writes_nothing() {
    // Other tests' resources would write too.
    let _alone = release::alone();
    let site = Site::within_alone("quiet");
    site.put("orders/a.csv", "id\n0\n");
    site.apply(&site.sync("orders", "orders/", json!({}))).expect("accepted");
    site.succeeded("orders", 1);
    until("rest", || {
        let before = traffic();
        std::thread::sleep(Duration::from_secs(3));
        if traffic().writes == before.writes { Ok(()) } else { Err(format!("{before:?}")) }
    });
    let versions = || {
        let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
        (
            version(&site.cursor("orders").expect("a cursor")),
            site.jobs("orders").iter().map(version).collect::<Vec<_>>(),
        )
    };
    let (before, status, requests) = (versions(), site.get("orders")["status"].clone(), traffic());
    // Each touch is a pass; none of them has anything to do.
    for n in 0..5 {
        api::patch(&site.path("orders"), &json!({"metadata": {"annotations": {"tests/touched": n.to_string()}}}));
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(traffic().writes, requests.writes, "a pass wrote");
    assert_eq!((versions(), &site.get("orders")["status"]), (before, &status));
}

#[test]
fn three_workers_publish_what_one_does() {
    let site = Site::new("three");
    // More than three of the smallest shards.
    let rows = site.put_many("orders/", 150, 16_000);
    for (name, replicas) in [("one", 1), ("three", 3)] {
        // A part of a core each, so that workers are what there is too little of, also on a small node.
        let worker = json!({"replicas": replicas, "resources": {"limits": {"cpu": "300m"}}});
        site.apply(&site.sync(name, "orders/", json!({"worker": worker}))).expect("accepted");
        let sync = site.succeeded(name, 1);
        let run = &sync["status"]["lastRun"];
        assert_eq!(run["rows"], rows, "{name}: {sync}");
        // Each shard has a file of its own; what is left over may be one more.
        assert_eq!(run["files"].as_u64() >= Some(3), replicas == 3, "{name}: {sync}");
        site.has_each_row_once(&format!("{name}/"), rows);
        let run = &history(&sync)[0];
        println!("{replicas} workers of 300m: from {} to {}", run["startTime"], run["completionTime"]);
    }
    let all = |name: &str| site.sql(&format!("{name}/"), "select id, name, part from read_parquet(FILES) order by id");
    assert_eq!(all("one"), all("three"));
}

#[test]
fn partitions_and_lineage_arrive_as_written() {
    let site = Site::new("layout");
    let rows = site.put_many("orders/", 4, 20);
    let spec = json!({"destination": {"partitionBy": [{"column": "part"}], "lineage": true}});
    site.apply(&site.sync("orders", "orders/", spec)).expect("accepted");
    site.succeeded("orders", 1);
    site.has_each_row_once("orders/", rows);
    let seen = site.sql(
        "orders/",
        "select count(distinct part), count(distinct _s3sync_key) from read_parquet(FILES, hive_partitioning = true)",
    );
    assert_eq!(seen, json!([[7, 4]]));
}

#[test]
fn what_is_invalid_is_refused_by_the_api_server_with_our_sentence() {
    let site = Site::new("invalid");
    let refusals = [
        (json!({"timeZone": "Etc/UTC"}), "timeZone needs schedule"),
        (json!({"errors": {"maxBadRecords": 3}}), "maxBadRecords above 0 needs deadLetterPath"),
        (json!({"schema": {"mode": "Declared"}}), "mode Declared needs columns"),
        (json!({"source": {"uri": "s3://raw/x/"}}), "uri"),
        (json!({"worker": {"replicas": 0}}), "spec.worker.replicas"),
        (json!({"source": {"format": "xml"}}), "spec.source.format"),
        (json!({"worker": {"concurrency": 0}}), "concurrency must be at least 1"),
    ];
    for (spec, sentence) in refusals {
        let refusal =
            site.apply(&site.sync("orders", "orders/", spec.clone())).expect_err(&format!("{spec} was accepted"));
        assert!(refusal.starts_with("422 ") && refusal.contains(sentence), "{spec}: {refusal}");
    }
    let long = "n".repeat(53);
    let refusal = site.apply(&site.sync(&long, "orders/", json!({}))).expect_err("a name of 53 characters");
    assert!(refusal.contains("at most 52 characters"), "{refusal}");
}

/// The S3Syncs of a directory's manifests, with the file that each stands in.
fn examples_in(dir: &Path, found: &mut Vec<(PathBuf, Value)>) {
    for entry in std::fs::read_dir(dir).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            examples_in(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            let text = std::fs::read_to_string(&path).expect("text");
            for document in serde_yaml::Deserializer::from_str(&text) {
                let document = Value::deserialize(document).expect("YAML");
                if document["kind"] == "S3Sync" {
                    found.push((path.clone(), document));
                }
            }
        }
    }
}

#[test]
fn every_example_is_accepted_and_the_first_one_runs() {
    let site = Site::new("examples");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut examples = Vec::new();
    examples_in(&folder, &mut examples);
    assert!(examples.len() >= 9, "{} examples", examples.len());
    let place = format!("{}?dryRun=All", api::syncs(&site.namespace));
    for (file, mut sync) in examples {
        sync["metadata"].as_object_mut().expect("metadata").remove("namespace");
        let answer = api::create(&place, &sync);
        assert!(answer.is_ok(), "{}: {answer:?}", file.display());
    }
    // The one that a new user applies, with its sample, over the suite's own store.
    let first = folder.join("cluster/minio");
    let mut rows = 0;
    for entry in std::fs::read_dir(first.join("sample")).expect("readable") {
        let path = entry.expect("readable").path();
        let text = std::fs::read_to_string(&path).expect("text");
        rows += text.lines().count() - 1;
        site.put(&format!("orders/{}", path.file_name().expect("a name").to_string_lossy()), text);
    }
    let mut sync: Value =
        serde_yaml::from_str(&std::fs::read_to_string(first.join("sync.yaml")).expect("text")).expect("YAML");
    let at = |bucket: String| json!({"bucket": bucket, "endpoint": ENDPOINT, "secretRef": {"name": "s3"}});
    overlay(&mut sync["spec"], json!({"source": at(site.raw()), "destination": at(site.lake())}));
    site.apply(&sync).expect("accepted");
    site.trigger("orders", "at once");
    site.succeeded("orders", 1);
    let seen = site.sql(
        "orders/",
        "select count(*), count(distinct country) > 1 from read_parquet(FILES, hive_partitioning = true)",
    );
    assert_eq!(seen, json!([[rows, true]]));
}
