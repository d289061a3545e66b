//! `s3sync doctor`: each thing that is wrong is told with its reason and what to do, nothing is left behind, and the
//! exit code is for scripts.

use serde_json::{Value, json};

use crate::advice::walk;
use crate::in_cluster::World;
use crate::state::{count, died_at};
use crate::support::{Outcome, Running, Site, merge};

fn doctor(site: &Site, more: &[&str]) -> Outcome {
    site.start(&["doctor"], more).wait()
}

fn report(site: &Site, code: i32) -> Value {
    doctor(site, &["-o", "json"]).expect(code).json()
}

/// The line of a check.
#[track_caller]
fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let found = report["checks"].as_array().expect("checks").iter().find(|check| check["check"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

/// Every object of the destination, state too, and every file beside the manifest.
fn everything(site: &Site) -> Vec<Value> {
    let mut all: Vec<Value> = walk(&site.path("")).into_iter().map(|file| json!(file)).collect();
    if !site.endpoint().is_empty() {
        all.push(site.ask("keys", json!({"bucket": site.lake()})));
        all.push(site.ask("uploads", json!({"bucket": site.lake(), "key": "t/s3sync-doctor.s3sync"})));
    }
    all
}

fn over(site: Site, spec: Value) -> Site {
    site.only(merge(json!({"destination": {"format": "jsonl"}}), spec));
    site.put("t/a.csv", "id\n1\n");
    site
}

/// Before and after a first run, on a server and in a directory: all is well, and nothing is left.
#[test]
fn what_is_well_is_well_and_nothing_is_left() {
    for site in [over(Site::minio(), json!({})), over(Site::directory(), json!({}))] {
        let before = everything(&site);
        let found = report(&site, 0);
        assert_eq!(found["result"], "Ok", "{found:#}");
        assert_eq!(everything(&site), before);
        site.run_ok();
        let before = everything(&site);
        let found = report(&site, 0);
        assert_eq!(found["result"], "Ok", "{found:#}");
        for name in [
            "SourceConnection",
            "SourceList",
            "SourceRead",
            "DestinationWrite",
            "DestinationPath",
            "Cursor",
            "State",
            "Claim",
        ] {
            assert_eq!(check(&found, name)["result"], "Ok", "{found:#}");
        }
        assert_eq!(everything(&site), before);
        doctor(&site, &[]).expect(0).says(&["ABOUT", "default/sync", "SourceRead", "t/a.csv can be read"]);
        site.run_ok();
    }
}

#[test]
fn what_is_wrong_is_told_with_what_to_do_and_a_code() {
    let minio = |spec: Value| over(Site::minio(), spec);
    let nobody = json!({"secretRef": null, "anonymous": true});
    for (spec, name, code, why, fix) in [
        (
            json!({"source": {"bucket": "nowhere-at-all"}}),
            "SourceList",
            3,
            "no such bucket",
            "check bucket and endpoint",
        ),
        (json!({"source": nobody}), "SourceList", 3, "access denied", "allow s3:ListBucket to the credentials in use"),
        (
            json!({"destination": nobody}),
            "DestinationList",
            3,
            "access denied",
            "allow s3:ListBucket to the credentials in use",
        ),
        (
            json!({"source": {"endpoint": "http://127.0.0.1:1"}}),
            "SourceConnection",
            1,
            "no connection to 127.0.0.1",
            "check the endpoint's port",
        ),
        (
            json!({"destination": {"endpoint": "http://no-such-host.invalid:9000"}}),
            "DestinationConnection",
            1,
            "the name no-such-host.invalid is not known here",
            "check the endpoint",
        ),
        (json!({"source": {"prefix": "nothing/"}}), "SourceList", 0, "nothing lies under", "look at source.prefix"),
    ] {
        let site = minio(spec.clone());
        let found = report(&site, code);
        let check = check(&found, name);
        assert_eq!(check["result"], if code == 0 { "Warning" } else { "Failed" }, "{spec}: {found:#}");
        assert!(check["why"].as_str().is_some_and(|text| text.contains(why)), "{spec}: {check}");
        assert!(check["fix"].as_str().is_some_and(|text| text.contains(fix)), "{spec}: {check}");
    }
}

/// An end that does not answer does not hide the other, and is told in seconds.
#[test]
fn a_server_that_is_silent_is_told_in_seconds() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", silent.local_addr().expect("bound"));
    let site = over(Site::minio(), json!({"source": {"endpoint": endpoint}}));
    let started = std::time::Instant::now();
    let found = report(&site, 1);
    assert!(started.elapsed() < std::time::Duration::from_secs(60), "after {:?}", started.elapsed());
    assert_eq!(check(&found, "SourceConnection")["result"], "Failed", "{found:#}");
    assert_eq!(check(&found, "DestinationPath")["result"], "Ok", "{found:#}");
}

/// What workers left in an epoch that is not decided is opened with the key beside the cursor.
#[test]
fn a_key_that_does_not_open_what_workers_left_is_told() {
    let (site, _) = died_at("PUT /lake", "decision-");
    assert_eq!(site.phase(), "Running");
    let found = report(&site, 0);
    assert_eq!(check(&found, "StateKey")["result"], "Ok", "{found:#}");
    assert!(check(&found, "StateKey")["why"].as_str().is_some_and(|why| why.ends_with("it opens 1")), "{found:#}");
    std::fs::write(site.path(".s3sync/default/sync.cursor.state-key"), "5".repeat(64)).expect("writable");
    let found = report(&site, 0);
    let told = check(&found, "StateKey");
    assert_eq!((&told["result"], &found["result"]), (&json!("Warning"), &json!("Warning")), "{found:#}");
    assert!(told["why"].as_str().is_some_and(|why| why.ends_with("it opens 0")), "{told}");
    // As it says.
    site.run_ok();
    assert_eq!(count(&site), json!([[10, 10]]));
}

/// In a cluster the buckets are looked at in a Job, where S3 is within reach.
#[test]
fn buckets_of_a_cluster_are_looked_at_where_the_workers_are() {
    let world = World::new();
    let ready = |reason: &str, status: &str| json!({"type": "Ready", "status": status, "reason": reason, "message": "why; do this", "observedGeneration": 1, "lastTransitionTime": "2026-11-21T12:00:10Z"});
    world.set(json!({"conditions": [ready("Armed", "True")], "lastRun": {"job": "orders-202611211530", "result": "Succeeded"}}));
    let found = world.start(&["doctor", "orders", "-o", "json"]).wait();
    let found = found.json();
    for name in ["Ready", "Secret", "Pod", "SourceRead", "DestinationWrite", "Cursor", "StateKey", "State", "Claim"] {
        assert_eq!(check(&found, name)["result"], "Ok", "{found:#}");
    }
    for name in ["Operator", "OwnRights", "Admission"] {
        assert_eq!(check(&found, name)["result"], "Warning", "not to be seen, and no failure: {found:#}");
    }
    assert_eq!(world.jobs(), 1);
    // Before the first run no pod starts, which is no failure.
    world.never_ran();
    let new = world.start(&["doctor", "orders", "--image", "mine:1", "-o", "json"]).wait().json();
    let pod = check(&new, "Pod");
    assert_eq!(pod["result"], "Warning", "{new:#}");
    assert!(
        pod["fix"].as_str().is_some_and(|fix| fix.contains("kubectl s3sync trigger orders") && fix.contains("--local")),
        "{pod}"
    );
    assert_eq!(world.jobs(), 1, "none is made");
    world.set(json!({"conditions": [ready("Armed", "True")], "lastRun": {"job": "orders-202611211530", "result": "Succeeded"}}));
    // From here nothing answers, which --local says.
    world.close();
    let local = world.start(&["doctor", "orders", "--local", "-o", "json"]).wait().expect(1).json();
    assert_eq!(check(&local, "SourceConnection")["result"], "Failed", "{local:#}");
    // Without a name each sync is one line.
    world.set(json!({"conditions": [ready("SpecChanged", "False")]}));
    let all = world.start(&["doctor", "-o", "json"]).wait().expect(2).json();
    let line = check(&all, "Sync");
    assert_eq!(
        (&line["about"], &line["why"], &line["fix"]),
        (&json!("data/orders"), &json!("SpecChanged: why"), &json!("do this"))
    );
    Running::start(std::path::Path::new("."), &["doctor", "--help"], &[]).wait().expect(0).says(&["--local", "-f"]);
}
