//! Many resources on one cron minute: each runs once, and the controller stays small and quiet.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Site, api, call, history, memory_bytes, release, traffic, within};

/// How many resources share the minute.
const RESOURCES: usize = 300;
/// How many of them run at once: what a small node carries.
const AT_ONCE: usize = 24;

#[test]
fn three_hundred_resources_on_one_minute_run_once_each() {
    let _alone = release::alone();
    let site = Site::within_alone("many");
    release::install(&[&format!("maxConcurrentRuns={AT_ONCE}")]);
    site.put("orders/a.csv", "id\n0\n");
    // A slot soon, and none after it for a year.
    let slot = jiff::Zoned::now().in_tz("UTC").expect("UTC").saturating_add(jiff::Span::new().seconds(100));
    let schedule = format!("{} {} {} {} *", slot.minute(), slot.hour(), slot.day(), slot.month());
    for n in 0..RESOURCES {
        let name = format!("sync-{n:03}");
        let sync = site.sync(
            &name,
            "orders/",
            json!({"schedule": schedule, "worker": {"resources": {"requests": {"memory": "16Mi"}}}}),
        );
        site.apply(&sync).expect("accepted");
    }
    let syncs = || api::list(&api::syncs(&site.namespace), "");
    let done = |sync: &Value| history(sync).iter().any(|run| run["result"] == "Succeeded");
    within(Duration::from_secs(900), "every run", || {
        let done = syncs().iter().filter(|sync| done(sync)).count();
        if done == RESOURCES { Ok(()) } else { Err(format!("{done} of {RESOURCES} are done")) }
    });
    for sync in syncs() {
        assert_eq!(history(&sync).len(), 1, "{sync}");
        assert_eq!(sync["status"]["lastRun"]["rows"], 1, "{sync}");
    }
    let keys = call("keys", json!({"bucket": site.lake()}));
    let files = keys
        .as_array()
        .expect("keys")
        .iter()
        .filter(|key| key.as_str().is_some_and(|key| key.ends_with(".parquet")))
        .count();
    assert_eq!(files, RESOURCES, "one file each");
    // At rest: nothing is due, and everybody watches.
    let (before, since) = (traffic(), Instant::now());
    std::thread::sleep(Duration::from_secs(10));
    let after = traffic();
    let asked = (after.reads + after.writes - before.reads - before.writes) as f64 / since.elapsed().as_secs_f64();
    println!("at rest the controller asks {asked:.1} times a second, and holds {} MiB", memory_bytes() >> 20);
    assert!(asked < 20.0, "{asked} requests a second at rest");
    assert!(memory_bytes() < 100 << 20, "the controller holds {} bytes", memory_bytes());
    release::install(&[]);
}
