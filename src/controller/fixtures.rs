//! Values that the controller's tests begin with.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::report::RunReport;
use crate::api::status::{RunCounts, RunOutcome};
use crate::api::{S3Sync, S3SyncRun};
use crate::controller::connections::{Connections, look_up};
use crate::controller::decide::Observed;
use crate::controller::decide::cursor::{CursorView, Position};
use crate::controller::decide::run::{End, Ended, Marks, Run, Worker};
use crate::controller::names::{Repeat, job_name};
use crate::controller::reflectors::GuardedConnection;
use crate::model::cursor::Phase;

/// 2026-11-21, a Saturday.
pub fn at(time: &str) -> Timestamp {
    format!("2026-11-21T{time}Z").parse().unwrap()
}

/// `data/orders`, generation 3, made at noon, without a schedule.
pub fn sync() -> S3Sync {
    sync_with(json!({}))
}

/// The same with other fields of its spec.
pub fn sync_with(spec: Value) -> S3Sync {
    let mut whole = json!({"source": {"bucket": "raw"}, "destination": {"bucket": "lake", "format": "parquet"}});
    let fields = whole.as_object_mut().unwrap();
    fields.extend(spec.as_object().unwrap().clone());
    serde_json::from_value(json!({
        "apiVersion": "s3sync.dev/v1alpha1",
        "kind": "S3Sync",
        "metadata": {
            "name": "orders", "namespace": "data", "uid": "uid-1", "generation": 3, "resourceVersion": "100",
            "creationTimestamp": "2026-11-21T12:00:00Z",
        },
        "spec": whole,
    }))
    .unwrap()
}

/// An S3SyncRun of `orders`, made at a time.
pub fn asks(name: &str, made: &str, spec: Value) -> S3SyncRun {
    let mut whole = json!({"syncRef": {"name": "orders"}});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let metadata = json!({"name": name, "namespace": "data", "uid": format!("0000-{name}"), "generation": 1, "resourceVersion": "100",
        "creationTimestamp": format!("2026-11-21T{made}Z")});
    serde_json::from_value(
        json!({"apiVersion": "s3sync.dev/v1alpha1", "kind": "S3SyncRun", "metadata": metadata, "spec": whole}),
    )
    .unwrap()
}

/// The S3Connection `minio`, of a generation.
pub fn minio(generation: i64, spec: Value) -> Arc<GuardedConnection> {
    let metadata = json!({"name": "minio", "namespace": "data", "uid": "uid-minio", "generation": generation});
    let connection =
        json!({"apiVersion": "s3sync.dev/v1alpha1", "kind": "S3Connection", "metadata": metadata, "spec": spec});
    Arc::new(serde_json::from_value(connection).unwrap())
}

/// A resource with [`minio`] looked up, or with no connection to be found.
pub fn connected(mut sync: S3Sync, minio: Option<&Arc<GuardedConnection>>) -> (S3Sync, Connections) {
    let connections = look_up(&mut sync, &|name| minio.filter(|_| name == "minio").cloned());
    (sync, connections)
}

/// Nothing but the resource, seen at a time.
pub fn observed(sync: S3Sync, now: &str) -> Observed {
    Observed {
        sync,
        connections: Default::default(),
        runs: vec![],
        workers: vec![],
        requested: Some(vec![]),
        cursor: None,
        taken: Default::default(),
        refused: None,
        warned: None,
        capacity: true,
        namespace_ends: false,
        policy: Default::default(),
        now: at(now),
    }
}

/// A run in progress.
pub fn run(slot: &str, repeat: Repeat, created: &str) -> Run {
    Run {
        job: job_name("orders", slot, repeat),
        uid: format!("job-{slot}-{created}"),
        owned: true,
        created: at(created),
        started: Some(at(created)),
        deleting: false,
        held: false,
        ending: false,
        end: None,
        marks: Marks { slot: slot.to_owned(), ..Marks::default() },
    }
}

impl Run {
    /// The same, ended.
    pub fn ended(self, time: &str, succeeded: bool) -> Run {
        let reason = if succeeded { "SuccessPolicy" } else { "PodFailurePolicy" };
        Run { end: Some(End { at: at(time), succeeded, reason: reason.into(), message: String::new() }), ..self }
    }
}

/// Worker 0 of a run, with what it reported.
pub fn reported(run: &Run, exit_code: i32, report: RunReport) -> Worker {
    Worker {
        pod: format!("{}-0-abcde", run.job),
        uid: format!("pod-{}", run.uid),
        job: run.job.clone(),
        index: 0,
        created: Some(run.created),
        deleted: None,
        begun: true,
        memory_limit: None,
        ended: Some(Ended { exit_code, reason: String::new(), report: Some(report) }),
        waits: None,
        lacks_config: false,
        killed: None,
    }
}

/// What worker 0 says of a good run.
pub fn good() -> RunReport {
    RunReport {
        result: RunOutcome::Succeeded,
        reason: "Succeeded".into(),
        message: "2 objects, 10 rows".into(),
        counts: RunCounts { tables: 1, objects: 2, rows: 10, bytes: 100, files: 1, ..RunCounts::default() },
    }
}

/// A cursor of the fixture's source and destination.
pub fn cursor(phase: Phase, garbage: bool) -> CursorView {
    let identity = Some(crate::controller::decide::check::check(&sync()).unwrap().identity);
    CursorView { position: Position::At { phase, garbage, identity }, ..CursorView::default() }
}
