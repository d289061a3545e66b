use std::collections::BTreeSet;
use std::path::Path;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::DeserializeGuard;
use kube::runtime::reflector;
use kube::runtime::watcher::Event;

use super::*;
use crate::controller::fixtures::{at, sync};
use crate::controller::manager::exposition::Exposition;
use crate::controller::reflectors::reflectors;

#[test]
fn what_prometheus_reads() {
    let (reflectors, _) = reflectors();
    let (syncs, mut writer) = reflector::store();
    let mut resource = sync();
    let run: RunResult = serde_json::from_value(serde_json::json!({
        "job": "orders-1", "result": "Failed", "rows": 12, "startTime": "2026-11-21T12:00:00Z", "completionTime": "2026-11-21T12:01:30Z"}))
    .unwrap();
    resource.status = Some(S3SyncStatus {
        consecutive_failures: 2,
        last_run: Some(run.clone()),
        next_schedule_time: Some(Time(at("13:00:00"))),
        waiting_since: Some(Time(at("12:30:00"))),
        conditions: vec![
            serde_json::from_value(
                serde_json::json!({"type": "Reconciling", "status": "True", "reason": "WorkerWaiting",
                "message": "", "lastTransitionTime": "2026-11-21T12:00:00Z"}),
            )
            .unwrap(),
        ],
        ..S3SyncStatus::default()
    });
    writer.apply_watcher_event(&Event::Apply(DeserializeGuard(Ok(resource))));
    let health = Arc::new(Health::default());
    health.pulse("pods", "data");
    let metrics = Metrics::new(Reflectors { syncs, ..reflectors }, health);
    let key = ("data".to_owned(), "orders".to_owned());
    metrics.looked(Duration::from_millis(3), Some("conflict"));
    metrics.missed(&key, 3);
    metrics.ended(&key, &run);
    metrics.leads();
    metrics.reviewed(Some(false));
    metrics.reviewed(None);
    let text = metrics.text();
    let of = r#"{namespace="data",name="orders"}"#;
    for line in [
        "s3sync_reconciles_total 1".to_owned(),
        r#"s3sync_reconcile_errors_total{kind="conflict"} 1"#.to_owned(),
        r#"s3sync_reconcile_errors_total{kind="timeout"} 0"#.to_owned(),
        r#"s3sync_reconcile_duration_seconds_bucket{le="0.01"} 1"#.to_owned(),
        format!("s3sync_missed_slots_total{of} 3"),
        r#"s3sync_runs_total{namespace="data",name="orders",result="Failed"} 1"#.to_owned(),
        r#"s3sync_run_duration_seconds_bucket{le="300.0"} 1"#.to_owned(),
        "s3sync_leader 1".to_owned(),
        r#"s3sync_watch_failing{kind="pods",namespace="data"} 0.0"#.to_owned(),
        r#"s3sync_webhook_requests_total{result="allowed"} 0"#.to_owned(),
        r#"s3sync_webhook_requests_total{result="denied"} 1"#.to_owned(),
        r#"s3sync_webhook_requests_total{result="error"} 1"#.to_owned(),
        r#"s3sync_notices_total{result="dropped"} 0"#.to_owned(),
        format!("s3sync_created_timestamp_seconds{of} 1795262400.0"),
        format!("s3sync_consecutive_failures{of} 2.0"),
        format!("s3sync_last_run_succeeded{of} 0.0"),
        format!("s3sync_last_run_rows{of} 12.0"),
        format!("s3sync_last_run_duration_seconds{of} 90.0"),
        format!("s3sync_next_schedule_timestamp_seconds{of} 1795266000.0"),
        r#"s3sync_reconciling_since_timestamp_seconds{namespace="data",name="orders",reason="WorkerWaiting"} 1795264200.0"#.to_owned(),
    ] {
        assert!(text.lines().any(|seen| seen == line), "{line}\n{text}");
    }
    let types: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
    assert_eq!(types.len(), types.iter().collect::<BTreeSet<_>>().len(), "{types:?}");
    assert!(text.ends_with("# EOF\n"));
    metrics.forget(&key);
    let counted = ["s3sync_missed_slots_total{", "s3sync_runs_total{"]
        .map(|name| (text.contains(name), metrics.text().contains(name)));
    assert_eq!(counted, [(true, false); 2]);
}

#[test]
fn a_worker_that_waits_beside_others_is_no_wait_of_the_run() {
    let condition =
        serde_json::from_value(serde_json::json!({"type": "Reconciling", "status": "True", "reason": "WorkerWaiting",
        "message": "", "lastTransitionTime": "2026-11-21T12:00:00Z"}));
    let mut status = S3SyncStatus { conditions: vec![condition.unwrap()], ..S3SyncStatus::default() };
    assert_eq!(busy_since(&status), Some(("Running", at("12:00:00"))));
    status.waiting_since = Some(Time(at("12:30:00")));
    assert_eq!(busy_since(&status), Some(("WorkerWaiting", at("12:30:00"))));
}

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("s3sync_")).map(str::to_owned).collect()
}

/// Every metric that is served, with its type. A name is declared also where nothing has a value yet.
fn served() -> Vec<(String, String)> {
    let text = Exposition::Text.of(Metrics::new(reflectors().0, Arc::default()).text());
    let declared = |word: &'static str| {
        let lines = text
            .lines()
            .filter_map(move |line| line.strip_prefix("# ")?.strip_prefix(word)?.strip_prefix(' ')?.split_once(' '));
        lines.map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect::<Vec<_>>()
    };
    let (helps, types) = (declared("HELP"), declared("TYPE"));
    let names = |of: &[(String, String)]| of.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&helps), names(&types), "each has HELP and TYPE");
    assert!(helps.iter().all(|(_, help)| help.len() > 10), "{helps:?}");
    types
}

#[test]
fn the_docs_list_what_is_served() {
    let page = read("docs/operator.md");
    let section = page.split("\n## ").find(|section| section.starts_with("Metrics\n")).unwrap();
    let table: String = section.lines().filter(|line| line.starts_with('|')).collect();
    let served: BTreeSet<String> = served().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names(&table), served);
}

/// An alert on a name that nobody serves would never fire.
#[test]
fn alerts_and_dashboard_ask_for_what_is_served() {
    let samples = |(name, kind): (String, String)| match kind.as_str() {
        "histogram" => ["_bucket", "_sum", "_count"].map(|part| format!("{name}{part}")).to_vec(),
        _ => vec![name],
    };
    let served: BTreeSet<String> = served().into_iter().flat_map(samples).collect();
    for file in ["charts/s3sync/templates/prometheusrule.yaml", "charts/s3sync/files/dashboard.json"] {
        let asked = names(&read(file));
        assert!(
            asked.len() > 5 && asked.is_subset(&served),
            "{file}: {:?}",
            asked.difference(&served).collect::<Vec<_>>()
        );
    }
}
