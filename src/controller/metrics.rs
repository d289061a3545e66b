//! What `/metrics` shows: counts of the controller's own work, and what the resources' statuses and cursors say, read when they are
//! asked for, so that a resource that is gone leaves nothing behind but the counts, until they are forgotten.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::reflector::{ObjectRef, Store};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::cursor::{CursorView, Summary};
use super::health::Health;
use super::memory::Key;
use super::names::cursor_name;
use super::reconcile::LookError;
use super::stores::{Guarded, Stores};
use crate::api::S3SyncStatus;
use crate::api::status::{RunOutcome, RunResult};

/// Bounds of a look's duration in seconds: most touch memory alone, one that starts a run makes a few requests.
const LOOK_SECONDS: [f64; 9] = [0.0001, 0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// Bounds of a run's duration in seconds: from a run that finds nothing new to one that reads for a night.
const RUN_SECONDS: [f64; 10] = [1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 4.0 * 3600.0, 12.0 * 3600.0];

/// A resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SyncLabels {
    namespace: String,
    name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunLabels {
    namespace: String,
    name: String,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WatchLabels {
    kind: &'static str,
    namespace: String,
}

/// What is measured.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    looks: Counter,
    look_seconds: Histogram,
    errors: Family<ErrorLabels, Counter>,
    missed: Family<SyncLabels, Counter>,
    runs: Family<RunLabels, Counter>,
    run_seconds: Histogram,
    leader: Gauge<u64, AtomicU64>,
}

impl Metrics {
    /// Everything at zero; what resources say is read from `stores`, and how the watches fare from `health`.
    pub fn new(stores: Stores, health: Arc<Health>) -> Metrics {
        let mut registry = Registry::with_prefix("s3sync");
        let looks = Counter::default();
        registry.register("reconciles", "Looks at resources", looks.clone());
        let look_seconds = Histogram::new(LOOK_SECONDS);
        registry.register("reconcile_duration_seconds", "Duration of looks at resources", look_seconds.clone());
        let errors = Family::<ErrorLabels, Counter>::default();
        // At zero from the start: a rate has to see the first one, and alerts have to find the name.
        for kind in LookError::KINDS {
            drop(errors.get_or_create(&ErrorLabels { kind }));
        }
        registry.register("reconcile_errors", "Looks that failed, by kind of error", errors.clone());
        let missed = Family::default();
        registry.register("missed_slots", "Scheduled slots that were never run", missed.clone());
        let runs = Family::default();
        registry.register("runs", "Runs that ended, by result", runs.clone());
        let run_seconds = Histogram::new(RUN_SECONDS);
        registry.register("run_duration_seconds", "Duration of runs", run_seconds.clone());
        let leader = Gauge::default();
        registry.register("leader", "1 where this replica is the leader", leader.clone());
        registry.register_collector(Box::new(Resources(stores)));
        registry.register_collector(Box::new(Watches(health)));
        Metrics { registry, looks, look_seconds, errors, missed, runs, run_seconds, leader }
    }

    /// A look ended.
    pub fn looked(&self, duration: Duration, error: Option<&'static str>) {
        self.looks.inc();
        self.look_seconds.observe(duration.as_secs_f64());
        if let Some(kind) = error {
            self.errors.get_or_create(&ErrorLabels { kind }).inc();
        }
    }

    /// So many slots will never run: none, most of the time, which begins the count.
    pub fn missed(&self, key: &Key, slots: u32) {
        self.missed.get_or_create(&SyncLabels { namespace: key.0.clone(), name: key.1.clone() }).inc_by(slots.into());
    }

    /// A run ended.
    pub fn ended(&self, key: &Key, run: &RunResult) {
        self.runs.get_or_create(&RunLabels { namespace: key.0.clone(), name: key.1.clone(), result: run.result.name() }).inc();
        if let Some(seconds) = run_seconds(run) {
            self.run_seconds.observe(seconds);
        }
    }

    /// A resource is gone.
    pub fn forget(&self, key: &Key) {
        let (namespace, name) = key.clone();
        for result in [RunOutcome::Succeeded, RunOutcome::Failed] {
            self.runs.remove(&RunLabels { namespace: namespace.clone(), name: name.clone(), result: result.name() });
        }
        self.missed.remove(&SyncLabels { namespace, name });
    }

    /// This replica leads.
    pub fn leads(&self) {
        self.leader.set(1);
    }

    /// The text that Prometheus reads (OpenMetrics 1.0).
    pub fn text(&self) -> String {
        let mut text = String::new();
        if text::encode(&mut text, &self.registry).is_err() {
            // A String takes every text, so this is a bug of ours that should not end a scrape.
            let _ = writeln!(text, "# incomplete");
        }
        text
    }
}

/// How the watches fare.
#[derive(Debug)]
struct Watches(Arc<Health>);

impl Collector for Watches {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "1 where nothing but errors come from the watch of a kind in a namespace, or in all where that is empty";
        let mut family = encoder.encode_descriptor("watch_failing", help, None, MetricType::Gauge)?;
        for watched in self.0.watches() {
            let labels = WatchLabels { kind: watched.kind, namespace: watched.namespace };
            ConstGauge::new(flag(watched.failure.is_some())).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// What the resources say.
#[derive(Debug)]
struct Resources(Stores);

/// One resource, as far as metrics go.
struct Resource {
    labels: SyncLabels,
    suspended: bool,
    created: Option<Timestamp>,
    status: S3SyncStatus,
    cursor: Option<Summary>,
}

type Reading<'a> = (&'a str, &'a str, &'a dyn Fn(&Resource) -> Option<f64>);
type Count<'a> = (&'a str, &'a str, &'a dyn Fn(&Summary) -> u64);

impl Collector for Resources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let resources = resources(&self.0);
        let time = |time: Option<Timestamp>| time.map(|time| time.as_second() as f64);
        let ready = |resource: &Resource| {
            let ready = resource.status.conditions.iter().find(|condition| condition.type_ == "Ready")?;
            Some(flag(ready.status == "True"))
        };
        let duration = |resource: &Resource| run_seconds(resource.status.last_run.as_ref()?);
        let last = |resource: &Resource, count: fn(&RunResult) -> i64| resource.status.last_run.as_ref().map(|run| count(run) as f64);
        let readings: [Reading<'_>; 14] = [
            ("ready", "1 where the condition Ready is true", &ready),
            ("suspended", "1 where spec.suspend is true", &|resource| Some(flag(resource.suspended))),
            ("active_runs", "Runs in progress", &|resource| Some(resource.status.active.len() as f64)),
            ("consecutive_failures", "Runs that failed since the last success", &|resource| {
                Some(f64::from(resource.status.consecutive_failures))
            }),
            ("last_run_succeeded", "1 where the last run succeeded", &|resource| {
                resource.status.last_run.as_ref().map(|run| flag(run.result == RunOutcome::Succeeded))
            }),
            ("last_run_duration_seconds", "Duration of the last run", &duration),
            ("last_run_objects", "Objects that the last run published", &|resource| last(resource, |run| run.counts.objects)),
            ("last_run_rows", "Rows that the last run published", &|resource| last(resource, |run| run.counts.rows)),
            ("last_run_bytes", "Bytes that the last run wrote", &|resource| last(resource, |run| run.counts.bytes)),
            ("created_timestamp_seconds", "When the resource was made, in seconds since 1970", &|resource| time(resource.created)),
            ("last_success_timestamp_seconds", "End of the last successful run, in seconds since 1970", &|resource| {
                time(resource.status.last_successful_time.as_ref().map(|time| time.0))
            }),
            ("next_schedule_timestamp_seconds", "When the next run is due, in seconds since 1970", &|resource| {
                time(resource.status.next_schedule_time.as_ref().map(|time| time.0))
            }),
            ("cursor_bytes", "Size of the cursor's ConfigMap, of at most 1 MiB", &|resource| {
                resource.cursor.as_ref().map(|cursor| cursor.size_bytes as f64)
            }),
            ("tables", "Tables in the cursor", &|resource| resource.cursor.as_ref().map(|cursor| cursor.tables as f64)),
        ];
        for (name, help, read) in readings {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for resource in &resources {
                if let Some(value) = read(resource) {
                    ConstGauge::new(value).encode(family.encode_family(&resource.labels)?)?;
                }
            }
        }
        let counts: [Count<'_>; 3] = [
            ("objects", "Objects published, by the tables in the cursor", &|cursor| cursor.objects),
            ("rows", "Rows published, by the tables in the cursor", &|cursor| cursor.rows),
            ("bytes", "Bytes written, by the tables in the cursor", &|cursor| cursor.bytes),
        ];
        for (name, help, read) in counts {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for resource in &resources {
                if let Some(cursor) = &resource.cursor {
                    ConstCounter::new(read(cursor)).encode(family.encode_family(&resource.labels)?)?;
                }
            }
        }
        Ok(())
    }
}

fn run_seconds(run: &RunResult) -> Option<f64> {
    let (start, end) = (run.start_time.as_ref()?.0, run.completion_time.as_ref()?.0);
    Some(end.duration_since(start).as_secs_f64())
}

fn flag(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

fn resources(stores: &Stores) -> Vec<Resource> {
    let syncs: &Store<Guarded> = &stores.syncs;
    let mut resources: Vec<Resource> = (syncs.state().iter())
        .filter_map(|guarded| {
            let sync: &Arc<Guarded> = guarded;
            let sync = sync.0.as_ref().ok()?;
            let labels = SyncLabels {
                namespace: sync.metadata.namespace.clone().unwrap_or_default(),
                name: sync.metadata.name.clone().unwrap_or_default(),
            };
            let cursor = stores.cursors.get(&ObjectRef::new(&cursor_name(&labels.name)).within(&labels.namespace));
            Some(Resource {
                suspended: sync.spec.suspend,
                created: sync.metadata.creation_timestamp.as_ref().map(|time| time.0),
                status: sync.status.clone().unwrap_or_default(),
                cursor: cursor.map(|map| CursorView::of(&map).summary),
                labels,
            })
        })
        .collect();
    resources.sort_by(|a, b| (&a.labels.namespace, &a.labels.name).cmp(&(&b.labels.namespace, &b.labels.name)));
    resources
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use kube::core::DeserializeGuard;
    use kube::runtime::reflector;
    use kube::runtime::watcher::Event;

    use super::*;
    use crate::controller::fixtures::{at, sync};
    use crate::controller::stores::stores;

    #[test]
    fn what_prometheus_reads() {
        let (stores, _) = stores();
        let (syncs, mut writer) = reflector::store();
        let mut resource = sync();
        let run: RunResult = serde_json::from_value(serde_json::json!({
            "job": "orders-1", "result": "Failed", "rows": 12, "startTime": "2026-11-21T12:00:00Z", "completionTime": "2026-11-21T12:01:30Z"}))
        .unwrap();
        resource.status = Some(S3SyncStatus {
            consecutive_failures: 2,
            last_run: Some(run.clone()),
            next_schedule_time: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at("13:00:00"))),
            ..S3SyncStatus::default()
        });
        writer.apply_watcher_event(&Event::Apply(DeserializeGuard(Ok(resource))));
        let health = Arc::new(Health::default());
        health.pulse("pods", "data");
        let metrics = Metrics::new(Stores { syncs, ..stores }, health);
        let key = ("data".to_owned(), "orders".to_owned());
        metrics.looked(Duration::from_millis(3), Some("conflict"));
        metrics.missed(&key, 3);
        metrics.ended(&key, &run);
        metrics.leads();
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
            format!("s3sync_created_timestamp_seconds{of} 1795262400.0"),
            format!("s3sync_consecutive_failures{of} 2.0"),
            format!("s3sync_last_run_succeeded{of} 0.0"),
            format!("s3sync_last_run_rows{of} 12.0"),
            format!("s3sync_last_run_duration_seconds{of} 90.0"),
            format!("s3sync_next_schedule_timestamp_seconds{of} 1795266000.0"),
        ] {
            assert!(text.lines().any(|seen| seen == line), "{line}\n{text}");
        }
        let types: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
        assert_eq!(types.len(), types.iter().collect::<BTreeSet<_>>().len(), "{types:?}");
        assert!(text.ends_with("# EOF\n"));
        metrics.forget(&key);
        let counted = ["s3sync_missed_slots_total{", "s3sync_runs_total{"].map(|name| (text.contains(name), metrics.text().contains(name)));
        assert_eq!(counted, [(true, false); 2]);
    }
}
