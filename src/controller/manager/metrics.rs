//! What `/metrics` shows: counts of the controller's own work, and what the resources' statuses and cursors say, read
//! when they are asked for, so that a resource that is gone leaves nothing behind but the counts, until they are
//! forgotten.

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

use crate::api::S3SyncStatus;
use crate::api::status::{ConditionType, RunOutcome, RunResult};
use crate::controller::decide::cursor::{CursorView, Summary};
use crate::controller::manager::health::Health;
use crate::controller::names::cursor_name;
use crate::controller::reconcile::LookError;
use crate::controller::reflectors::expectations::Key;
use crate::controller::reflectors::{Guarded, Reflectors};
use crate::model::reason::Reason;

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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    namespace: String,
    name: String,
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
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
    reviews: Family<ResultLabels, Counter>,
    notices: Family<ResultLabels, Counter>,
}

impl Metrics {
    /// Everything at zero; what resources say is read from `reflectors`, and how the watches fare from `health`.
    pub fn new(reflectors: Reflectors, health: Arc<Health>) -> Metrics {
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
        let (missed, runs) = (Family::default(), Family::default());
        registry.register_collector(Box::new(Counts { missed: missed.clone(), runs: runs.clone() }));
        let run_seconds = Histogram::new(RUN_SECONDS);
        registry.register("run_duration_seconds", "Duration of runs", run_seconds.clone());
        let leader = Gauge::default();
        registry.register("leader", "1 where this replica is the leader", leader.clone());
        let counted = |results: [&'static str; 3]| {
            let family = Family::<ResultLabels, Counter>::default();
            results.into_iter().for_each(|result| drop(family.get_or_create(&ResultLabels { result })));
            family
        };
        let reviews = counted(["allowed", "denied", "error"]);
        registry.register("webhook_requests", "Reviews that the webhook was asked for, by its answer", reviews.clone());
        let notices = counted(["sent", "failed", "dropped"]);
        registry.register("notices", "Notices of conditions that turned, by what became of them", notices.clone());
        registry.register_collector(Box::new(Resources(reflectors)));
        registry.register_collector(Box::new(Watches(health)));
        Metrics { registry, looks, look_seconds, errors, missed, runs, run_seconds, leader, reviews, notices }
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
        self.runs
            .get_or_create(&RunLabels { namespace: key.0.clone(), name: key.1.clone(), result: run.result.name() })
            .inc();
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

    /// The webhook was asked: whether it allowed, or `None` where it could not answer.
    pub fn reviewed(&self, allowed: Option<bool>) {
        let result = allowed.map_or("error", |allowed| if allowed { "allowed" } else { "denied" });
        self.reviews.get_or_create(&ResultLabels { result }).inc();
    }

    /// A notice was `sent`, `failed` for good, or `dropped` because too many waited.
    pub fn notified(&self, result: &'static str) {
        self.notices.get_or_create(&ResultLabels { result }).inc();
    }

    /// This replica leads.
    pub fn leads(&self) {
        self.leader.set(1);
    }

    /// Everything, in OpenMetrics 1.0; [`crate::controller::manager::exposition`] has other formats.
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
        let help =
            "1 where nothing but errors come from the watch of a kind in a namespace, or in all where that is empty";
        let mut family = encoder.encode_descriptor("watch_failing", help, None, MetricType::Gauge)?;
        for watched in self.0.watches() {
            let labels = WatchLabels { kind: watched.kind, namespace: watched.namespace };
            ConstGauge::new(flag(watched.failure.is_some())).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// What may not have happened yet. The registry leaves a family without a value out, and who looks for a name has to
/// find it.
#[derive(Debug)]
struct Counts {
    missed: Family<SyncLabels, Counter>,
    runs: Family<RunLabels, Counter>,
}

impl Collector for Counts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let missed = encoder.encode_descriptor(
            "missed_slots",
            "Scheduled slots that were never run",
            None,
            MetricType::Counter,
        )?;
        self.missed.encode(missed)?;
        let runs = encoder.encode_descriptor("runs", "Runs that ended, by result", None, MetricType::Counter)?;
        self.runs.encode(runs)
    }
}

/// What the resources say.
#[derive(Debug)]
struct Resources(Reflectors);

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
        let ready = |resource: &Resource| Some(flag(resource.status.condition(ConditionType::Ready)?.status == "True"));
        let duration = |resource: &Resource| run_seconds(resource.status.last_run.as_ref()?);
        let last = |resource: &Resource, count: fn(&RunResult) -> i64| {
            resource.status.last_run.as_ref().map(|run| count(run) as f64)
        };
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
            ("last_run_objects", "Objects that the last run published", &|resource| {
                last(resource, |run| run.counts.objects)
            }),
            ("last_run_rows", "Rows that the last run published", &|resource| last(resource, |run| run.counts.rows)),
            ("last_run_bytes", "Bytes that the last run wrote", &|resource| last(resource, |run| run.counts.bytes)),
            ("created_timestamp_seconds", "When the resource was made, in seconds since 1970", &|resource| {
                time(resource.created)
            }),
            ("last_success_timestamp_seconds", "End of the last successful run, in seconds since 1970", &|resource| {
                time(resource.status.last_successful_time.as_ref().map(|time| time.0))
            }),
            (
                "next_schedule_timestamp_seconds",
                "When the schedule's next run is due, in seconds since 1970",
                &|resource| time(resource.status.next_schedule_time.as_ref().map(|time| time.0)),
            ),
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
        let help =
            "Since when a run is in progress or waits, by the reason of Reconciling or Stalled, in seconds since 1970";
        let mut family =
            encoder.encode_descriptor("reconciling_since_timestamp_seconds", help, None, MetricType::Gauge)?;
        for resource in &resources {
            if let Some((reason, since)) = busy_since(&resource.status) {
                let SyncLabels { namespace, name } = resource.labels.clone();
                let labels = ReasonLabels { namespace, name, reason: reason.to_owned() };
                ConstGauge::new(since.as_second() as f64).encode(family.encode_family(&labels)?)?;
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

/// What a resource is busy with, and since when. A condition's own time is that of its status, whatever its reason was
/// meanwhile. A worker that waits beside others that are at work makes no wait of the run.
fn busy_since(status: &S3SyncStatus) -> Option<(&str, Timestamp)> {
    match (status.waiting(), &status.waiting_since) {
        (Some(waits), Some(since)) => Some((&waits.reason, since.0)),
        (Some(waits), None) => Some((Reason::Running.as_str(), waits.last_transition_time.0)),
        (None, _) => {
            let busy = status.condition(ConditionType::Reconciling)?;
            Some((busy.reason.as_str(), busy.last_transition_time.0))
        }
    }
}

fn run_seconds(run: &RunResult) -> Option<f64> {
    let (start, end) = (run.start_time.as_ref()?.0, run.completion_time.as_ref()?.0);
    Some(end.duration_since(start).as_secs_f64())
}

fn flag(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

fn resources(reflectors: &Reflectors) -> Vec<Resource> {
    let syncs: &Store<Guarded> = &reflectors.syncs;
    let mut resources: Vec<Resource> = (syncs.state().iter())
        .filter_map(|guarded| {
            let sync: &Arc<Guarded> = guarded;
            let sync = sync.0.as_ref().ok()?;
            let labels = SyncLabels {
                namespace: sync.metadata.namespace.clone().unwrap_or_default(),
                name: sync.metadata.name.clone().unwrap_or_default(),
            };
            let cursor = reflectors.cursors.get(&ObjectRef::new(&cursor_name(&labels.name)).within(&labels.namespace));
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
mod tests;
