//! `kill -9` of a real process over a real MinIO, then a repeat: the rows are the input's, once each.
//!
//! The process dies at every request it makes: before the server sees it, and after the server has done it. Kills by
//! time meet what lies between requests: writes of the cursor's file, and work on rows.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Moment, Proxy, Site, merge};

/// Three tables, one with partitions' worth of values, two epochs a run.
fn fill(site: &Site, from: u32) {
    for n in 0..3 {
        let body = (0..300)
            .fold("id,part\n".to_owned(), |text, row| format!("{text}{},{}\n", (from + n) * 1000 + row, row % 3));
        site.put(&format!("t{n}/{from}.csv"), body);
    }
}

fn published(site: &Site) -> Value {
    site.sql("", "select count(*), count(distinct id), sum(id)::bigint from read_parquet(FILES, union_by_name = true)")
}

/// What `fill(site, from)` adds to `published`.
fn expected(froms: &[u32]) -> Value {
    let sum = |from: u32| (0..3).map(|n| u64::from(from + n) * 1000 * 300 + 299 * 300 / 2).sum::<u64>();
    let count = 900 * froms.len();
    json!([[count, count, froms.iter().map(|from| sum(*from)).sum::<u64>()]])
}

fn append() -> Value {
    json!({"destination": {"format": "parquet", "partitionBy": [{"column": "part"}]}, "limits": {"objectsPerCommit": 2}})
}

fn replace() -> Value {
    json!({"destination": {"format": "parquet", "writeMode": "Replace"}})
}

/// One life: the first generation is published, new objects come, the process dies at `at`, and is repeated.
fn one_life(site: &Site, spec: &Value, at: Option<(usize, Moment)>) -> Vec<String> {
    let proxy = Proxy::new(site.endpoint(), at);
    site.only(merge(
        spec.clone(),
        json!({"source": {"endpoint": proxy.endpoint}, "destination": {"endpoint": proxy.endpoint}}),
    ));
    fill(site, 0);
    let running = site.start(&["run"], &["-o", "json"]);
    let killed = kill_when_triggered(running, &proxy, at);
    let died = proxy.requests();
    proxy.open();
    let visible = site.keys();
    if site.phase() == "Running" {
        assert!(
            spec["limits"].is_object() || visible.is_empty(),
            "visible before the decision, at {at:?}: {visible:?}"
        );
    }
    let repeat = site.run();
    assert_eq!(repeat.code, Some(0), "after a kill at {at:?} ({killed}): {repeat:?}\nrequests: {died:#?}");
    assert_eq!(published(site), expected(&[0]), "after a kill at {at:?} ({killed})\nrequests: {died:#?}");
    // And life goes on.
    fill(site, 50);
    site.run().expect(0);
    assert_eq!(published(site), expected(&[0, 50]), "the run after the recovery from a kill at {at:?}");
    died
}

fn kill_when_triggered(
    mut running: crate::support::Running,
    proxy: &Proxy,
    at: Option<(usize, Moment)>,
) -> &'static str {
    loop {
        if proxy.triggered.recv_timeout(Duration::from_millis(2)).is_ok() {
            running.signal("KILL");
            running.wait();
            return "killed";
        }
        if !running.is_running() {
            let outcome = running.wait();
            assert_eq!(outcome.code, Some(0), "a run that nobody killed, at {at:?}: {outcome:?}");
            return "ended before";
        }
    }
}

fn at_every_request(spec: Value) {
    let whole = one_life(&Site::minio(), &spec, None);
    assert!(whole.len() > 10, "a run of {} requests: {whole:#?}", whole.len());
    for number in 1..=whole.len() {
        // What is found out about the server comes first and is the same in every mode: its own test kills it at every
        // call.
        if whole[number - 1].contains("/probe/") {
            continue;
        }
        one_life(&Site::minio(), &spec, Some((number, Moment::Before)));
        // A read that was answered or not leaves the same; a write does not.
        if !whole[number - 1].starts_with("GET") && !whole[number - 1].starts_with("HEAD") {
            one_life(&Site::minio(), &spec, Some((number, Moment::After)));
        }
    }
}

#[test]
fn append_survives_kill_9_at_every_request() {
    at_every_request(append());
}

#[test]
fn replace_survives_kill_9_at_every_request() {
    at_every_request(replace());
}

#[test]
fn kill_9_at_many_times_and_again_while_recovering() {
    let site = Site::minio();
    site.only(append());
    let mut froms = vec![0];
    fill(&site, 0);
    let started = Instant::now();
    site.run().expect(0);
    let whole = started.elapsed();
    for step in 0..24 {
        let from = 100 * (step + 1);
        froms.push(from);
        fill(&site, from);
        // Twice: the second kill meets the recovery of the first.
        for part in [step, 24 - step] {
            let running = site.start(&["run"], &[]);
            std::thread::sleep(whole * part / 24);
            running.signal("KILL");
            running.wait();
        }
        site.run().expect(0);
        assert_eq!(published(&site), expected(&froms), "after kills at {step}/24 and {}/24 of {whole:?}", 24 - step);
    }
}

#[test]
fn kill_9_over_directories() {
    let site = Site::directory();
    site.only(replace());
    let started = Instant::now();
    fill(&site, 0);
    site.run().expect(0);
    let whole = started.elapsed();
    let mut froms = vec![0];
    for step in 0..16 {
        let from = 100 * (step + 1);
        froms.push(from);
        fill(&site, from);
        let running = site.start(&["run"], &[]);
        std::thread::sleep(whole * step / 16);
        running.signal("KILL");
        running.wait();
        site.run().expect(0);
        assert_eq!(published(&site), expected(&froms), "after a kill at {step}/16 of {whole:?}");
    }
}

#[test]
fn interrupted_by_ctrl_c_it_says_so_and_is_safe_to_repeat() {
    let site = Site::minio();
    site.only(
        json!({"destination": {"format": "parquet"}, "limits": {"objectsPerCommit": 1}, "worker": {"concurrency": 1}}),
    );
    for n in 0..40 {
        let body = (0..2000).fold("id\n".to_owned(), |text, row| format!("{text}{}\n", n * 2000 + row));
        site.put(&format!("t/{n:02}.csv"), body);
    }
    let mut running = site.start(&["run"], &[]);
    // The first epoch is visible: the run is in the middle.
    while running.is_running() && site.keys().is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    running.signal("INT");
    running.wait().expect(5).says(&["safe to repeat"]);
    site.run().expect(0);
    assert_eq!(site.sql("", "select count(*), count(distinct id) from read_parquet(FILES)"), json!([[80_000, 80_000]]));
}

/// Whoever does not answer is not waited for when the run is told to stop.
#[test]
fn a_run_that_waits_for_a_server_stops_when_it_is_told_to() {
    let site = Site::directory();
    let endpoint = "http://127.0.0.1:9"; // the discard service, which nobody runs
    site.only(json!({"source": {"endpoint": endpoint, "anonymous": true}, "destination": {"format": "parquet"}}));
    let mut running = site.start(&["run"], &[]);
    std::thread::sleep(Duration::from_secs(1));
    assert!(running.is_running(), "it tries again");
    running.signal("INT");
    running.wait().expect(5).says(&["safe to repeat"]);
}

/// On servers that differ, by a few kills each: what is told apart by id and what by etag, and what a sweep finds.
fn at_some_requests(variable: &str) {
    for (spec, step) in [(append(), 9), (replace(), 5)] {
        let whole = one_life(&Site::server(variable), &spec, None);
        let numbers = (1..=whole.len()).filter(|number| !whole[number - 1].contains("/probe/"));
        for number in numbers.step_by(step) {
            for moment in [Moment::Before, Moment::After] {
                let site = Site::server(variable);
                one_life(&site, &spec, Some((number, moment)));
                let left = site.ask("uploads", json!({"bucket": site.lake(), "key": ""}));
                assert_eq!(left, json!([]), "uploads that a kill at {number} {moment:?} left\nrequests: {whole:#?}");
            }
        }
    }
}

#[test]
fn kill_9_on_moto() {
    at_some_requests("S3SYNC_TEST_MOTO");
}

#[test]
fn kill_9_on_versitygw() {
    at_some_requests("S3SYNC_TEST_VERSITYGW");
}

#[test]
fn kill_9_on_gofakes3() {
    at_some_requests("S3SYNC_TEST_GOFAKES3");
}
