//! What `run` is asked for: windows by key and by time, and reading once more, over a directory and MinIO.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Outcome, Site};

/// Ten objects of a row each.
fn ten(site: &Site) {
    for id in 0..10 {
        site.put(&format!("orders/{id}.csv"), format!("id\n{id}\n"));
    }
}

fn site(site: Site, spec: Value) -> Site {
    site.only(spec);
    ten(&site);
    site
}

fn append() -> Value {
    json!({"destination": {"format": "parquet"}, "limits": {"objectsPerCommit": 2}})
}

fn asked(site: &Site, verb: &str, more: &[&str]) -> Outcome {
    site.start(&[verb], more).wait()
}

/// How many rows there are of each id.
#[track_caller]
fn counts(site: &Site) -> Value {
    site.sql("", "select list(n order by id) from (select id, count(*) n from read_parquet(FILES) group by id)")[0][0]
        .clone()
}

const WINDOW: [&str; 5] = ["--reread", "--from-key", "orders/3", "--to-key", "orders/6"];

#[test]
fn a_window_is_read_once_more_and_plan_shows_it() {
    for site in [site(Site::directory(), append()), site(Site::minio(), append())] {
        site.run_ok();
        let plan = asked(&site, "plan", &[&WINDOW[..], &["-o", "json"]].concat()).expect(0).json();
        let table = &plan["syncs"][0]["tables"][0];
        assert_eq!(
            (&table["again"], &table["objects"], &table["keys"][0]["key"]),
            (&json!(3), &json!(3), &json!("orders/3.csv"))
        );
        let said = "their rows are written again, and the rows of before stay beside them";
        asked(&site, "plan", &WINDOW).expect(0).says(&["again", said]);
        asked(&site, "run", &WINDOW).expect(0).says(&["3 rows of 3 objects", said]);
        assert_eq!(counts(&site), json!([1, 1, 1, 2, 2, 2, 1, 1, 1, 1]));
        site.run_ok();
        assert_eq!(counts(&site), json!([1, 1, 1, 2, 2, 2, 1, 1, 1, 1]), "what was asked for is no part of later runs");
        asked(&site, "run", &WINDOW).expect(0);
        assert_eq!(counts(&site), json!([1, 1, 1, 3, 3, 3, 1, 1, 1, 1]), "asked for once more");
    }
}

#[test]
fn without_reread_a_window_reads_what_is_new_and_leaves_the_rest_to_later_runs() {
    let site = site(Site::directory(), append());
    asked(&site, "run", &["--to-key", "orders/2"]).expect(0).says(&["2 rows of 2 objects"]);
    asked(&site, "run", &["--modified-to", "2000-01-01"]).expect(0).says(&[
        "nothing new, nothing written",
        "no object that the spec selects lies in the window (modified to 2000-01-01T00:00:00Z)",
    ]);
    asked(&site, "run", &["--modified-from", "2000-01-01T00:00:00Z", "--from-key", "orders/9"])
        .expect(0)
        .says(&["1 row of 1 object"]);
    site.run_ok();
    assert_eq!(counts(&site), json!([1, 1, 1, 1, 1, 1, 1, 1, 1, 1]));
}

#[test]
fn what_cannot_be_asked_is_said() {
    let site = site(Site::directory(), json!({"destination": {"format": "parquet", "writeMode": "Replace"}}));
    site.run_ok();
    let files = site.keys();
    for verb in ["run", "plan"] {
        asked(&site, verb, &WINDOW)
            .expect(2)
            .says(&["default/sync: destination.writeMode Replace keeps what one run reads", "leave the window out"]);
        asked(&site, verb, &["--modified-from", "yesterday"])
            .expect(2)
            .says(&["write a time with its zone, such as 2026-01-31T10:00:00Z"]);
    }
    assert_eq!(site.keys(), files);
    asked(&site, "run", &["--reread"]).expect(0);
    assert!(site.keys().iter().all(|key| !files.contains(key)), "everything is written anew");
    assert_eq!(counts(&site), json!([1, 1, 1, 1, 1, 1, 1, 1, 1, 1]));
    site.only(append());
    asked(&site, "run", &["--from-key", "b", "--to-key", "a"])
        .expect(2)
        .says(&["the window is empty: fromKey \"b\" is not before toKey \"a\""]);
}

/// The last request that was completed and is not kept any more.
fn completed(site: &Site) -> Option<String> {
    let read = |name: &str| std::fs::read_to_string(site.path(".s3sync/default").join(name)).ok();
    let cursor: Value = serde_json::from_str(&read("sync.cursor.json")?).expect("JSON");
    let request = &cursor["request"];
    let is_kept =
        read("sync.cursor.request").is_some_and(|kept| kept.contains(request["id"].as_str().unwrap_or("none")));
    (request["ended"] == true && !is_kept).then(|| request["id"].to_string())
}

/// Until what is read once more is complete, nothing else can be asked for; plain runs go on.
#[test]
fn another_request_waits_until_a_reread_is_complete() {
    let include = json!({"source": {"include": ["orders/*"]}, "destination": {"format": "parquet"}, "limits": {"objectsPerCommit": 2}});
    let site = site(Site::directory(), include);
    site.run_ok();
    // Behind the first two objects of the window, something that cannot be read.
    site.put("orders/45", "?");
    asked(&site, "run", &WINDOW).expect(4).says(&["orders/45: its extension names no format"]);
    let cursor: Value = serde_json::from_str(
        &std::fs::read_to_string(site.path(".s3sync/default/sync.cursor.json")).expect("a cursor"),
    )
    .expect("JSON");
    assert_eq!((&cursor["version"], &cursor["request"]["ended"]), (&json!(2), &json!(false)));
    site.remove("orders/45");
    for verb in ["run", "plan"] {
        for other in [&["--reread"][..], &WINDOW[1..], &["--modified-from", "2000-01-01"]] {
            asked(&site, verb, other).expect(2).says(&[
                "default/sync: an earlier run with --reread --from-key orders/3 --to-key orders/6 is not complete",
                "finish it with these options first, or remove",
                "sync.cursor.request to give it up",
            ]);
        }
    }
    site.run_ok();
    assert_eq!(counts(&site), json!([1, 1, 1, 2, 2, 1, 1, 1, 1, 1]), "what is not complete");
    asked(&site, "run", &WINDOW).expect(0);
    assert_eq!(counts(&site), json!([1, 1, 1, 2, 2, 2, 1, 1, 1, 1]));
    asked(&site, "run", &["--reread", "--to-key", "orders/1"]).expect(0);
    assert_eq!(counts(&site), json!([2, 1, 1, 2, 2, 2, 1, 1, 1, 1]), "asked for when nothing is open");
    // Given up.
    site.put("orders/45", "?");
    asked(&site, "run", &WINDOW).expect(4);
    site.remove("orders/45");
    std::fs::remove_file(site.path(".s3sync/default/sync.cursor.request")).expect("it is there");
    asked(&site, "run", &["--reread", "--to-key", "orders/1"]).expect(0);
    assert_eq!(counts(&site), json!([3, 1, 1, 3, 3, 2, 1, 1, 1, 1]));
}

/// The same command again goes on with the same request.
#[test]
fn a_killed_reread_goes_on_when_it_is_given_again() {
    for site in [site(Site::directory(), append()), site(Site::minio(), append())] {
        site.run_ok();
        let started = Instant::now();
        let mut expected = vec![1; 10];
        let add = |expected: &mut Vec<u32>| expected[3..6].iter_mut().for_each(|count| *count += 1);
        asked(&site, "run", &WINDOW).expect(0);
        add(&mut expected);
        let mut ended: BTreeSet<String> = completed(&site).into_iter().collect();
        let whole = started.elapsed().max(Duration::from_millis(50));
        for step in 1..8 {
            for part in [step, 8 - step] {
                let mut running = site.start(&["run"], &WINDOW);
                std::thread::sleep(whole * part / 8);
                if running.is_running() {
                    running.signal("KILL");
                }
                running.wait();
                // One that came to its end was this request; what is given again is another.
                if completed(&site).is_some_and(|id| ended.insert(id)) {
                    add(&mut expected);
                }
            }
            asked(&site, "run", &WINDOW).expect(0);
            add(&mut expected);
            ended.extend(completed(&site));
            assert_eq!(counts(&site), json!(expected), "after kills at {step}/8 of {whole:?}");
        }
    }
}
