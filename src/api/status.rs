//! `status`: what the operator says. Written by the controller alone, by server-side apply, and only when it changes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scalar::wire_enum;
use crate::model::passed_over::{self, PassedOver};
use crate::model::reason::Reason;

/// What the operator says.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct S3SyncStatus {
    /// The generation of the spec that this status is about.
    #[serde(default = "never")]
    pub observed_generation: i64,
    /// Ready: the spec is valid, the schedule is armed, and no run has waited for too long. LastRunSucceeded: what its
    /// name says. Reconciling and Stalled only while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
    /// The run in progress or else the last one, for people: Running, Waiting (reason), Succeeded, Failed (reason). The
    /// reason is that of Reconciling, Stalled or lastRun. Absent before the first run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub run: Option<String>,
    /// The sentence that matters most now: why the sync is not ready, else what is stuck or waits, else what became of
    /// the last run, else what Ready says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// When the next run starts by itself: the schedule's, or the repetition of one that failed. Absent where none
    /// does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_run_time: Option<Time>,
    /// Since when a run waits: for its pod, its queue, a place, or an API server that takes it. Absent while none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<Time>,
    /// The slot that the last scheduled run belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_schedule_time: Option<Time>,
    /// When the schedule's next run is due, or the first that is due and not run yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_schedule_time: Option<Time>,
    /// When the last successful run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_successful_time: Option<Time>,
    /// spec.trigger as it was when it last started a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_trigger: Option<String>,
    /// The annotation s3sync.dev/trigger as it was when it last started a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_trigger_annotation: Option<String>,
    /// Hash of source, schema, destination, incremental and errors as the last run had them. Another one starts a run,
    /// where there is no schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_spec_hash: Option<String>,
    /// Runs that failed since the last one that succeeded.
    #[serde(default)]
    pub consecutive_failures: i32,
    /// Runs in progress.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub active: Vec<ActiveRun>,
    /// How far the run in progress is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// The last run that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<RunResult>,
    /// Earlier runs, the latest first, at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub history: Vec<RunResult>,
    /// The durable position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<CursorStatus>,
}

/// What `observedGeneration` is before the first reconciliation, so that tools wait for it (kstatus).
fn never() -> i64 {
    -1
}

impl Default for S3SyncStatus {
    fn default() -> Self {
        S3SyncStatus {
            observed_generation: never(),
            conditions: Vec::new(),
            run: None,
            message: None,
            next_run_time: None,
            waiting_since: None,
            last_schedule_time: None,
            next_schedule_time: None,
            last_successful_time: None,
            last_trigger: None,
            last_trigger_annotation: None,
            last_spec_hash: None,
            consecutive_failures: 0,
            active: Vec::new(),
            progress: None,
            last_run: None,
            history: Vec::new(),
            cursor: None,
        }
    }
}

/// A run in progress.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActiveRun {
    /// Its Job.
    pub job: String,
    /// The S3SyncRun that asked for it. Absent: none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
}

/// How far the run in progress is.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// The commit under way.
    #[serde(default)]
    pub epoch: i64,
    /// Objects read.
    #[serde(default)]
    pub objects_done: i64,
    /// Objects planned.
    #[serde(default)]
    pub objects_total: i64,
    /// Input bytes read.
    #[serde(default)]
    pub bytes_done: i64,
    /// Input bytes planned.
    #[serde(default)]
    pub bytes_total: i64,
    /// The same for people, such as 120/400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

wire_enum! {
    /// Types of conditions, in the order in which they are shown.
    ConditionType {
        /// The spec is valid, the schedule is armed, and no run has waited for too long.
        Ready = "Ready",
        /// What its name says.
        LastRunSucceeded = "LastRunSucceeded",
        /// A run is in progress, or due. Only while true.
        Reconciling = "Reconciling",
        /// It needs somebody's hand. Only while true.
        Stalled = "Stalled",
        /// Of an S3SyncRun: it has ended well.
        Complete = "Complete",
        /// Of an S3SyncRun: it has ended, and not well.
        Failed = "Failed",
    }
}

wire_enum! {
    /// How a run ended.
    RunOutcome {
        /// Everything was published.
        Succeeded = "Succeeded",
        /// See reason and message.
        Failed = "Failed",
    }
}

/// What a run did, in numbers: the same in a worker's report and in the status.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunCounts {
    /// Tables written.
    #[serde(default)]
    pub tables: i64,
    /// Objects published.
    #[serde(default)]
    pub objects: i64,
    /// Rows published.
    #[serde(default)]
    pub rows: i64,
    /// Bytes written.
    #[serde(default)]
    pub bytes: i64,
    /// Files written.
    #[serde(default)]
    pub files: i64,
    /// Bad records set aside.
    #[serde(default)]
    pub bad_records: i64,
    /// Objects set aside.
    #[serde(default)]
    pub quarantined: i64,
    /// Objects under the source's prefix that are not read, by reason. Absent when there are none.
    #[serde(default, skip_serializing_if = "PassedOverCounts::is_empty")]
    pub passed_over: PassedOverCounts,
}

/// Objects that are not read, by reason.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PassedOverCounts {
    /// Their extension names no format, and source.format is not set.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unknown_extension: i64,
    /// No glob of source.include matches.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_included: i64,
    /// A glob of source.exclude matches.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub excluded: i64,
    /// Of tables that are not in source.tables.include.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub other_table: i64,
    /// Empty objects whose keys end in /.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub directory_marker: i64,
    /// State of a sync.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub state: i64,
}

impl PassedOverCounts {
    /// The counts of a run.
    pub fn of(passed: &PassedOver) -> Self {
        use passed_over::Reason;
        let count = |reason| i64::try_from(passed.count(reason)).unwrap_or(i64::MAX);
        Self {
            unknown_extension: count(Reason::UnknownExtension),
            not_included: count(Reason::NotIncluded),
            excluded: count(Reason::Excluded),
            other_table: count(Reason::OtherTable),
            directory_marker: count(Reason::DirectoryMarker),
            state: count(Reason::State),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn is_zero(count: &i64) -> bool {
    *count == 0
}

/// A run that ended.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunResult {
    /// Its Job.
    pub job: String,
    /// The S3SyncRun that asked for it. Absent: none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// Succeeded or Failed.
    pub result: RunOutcome,
    /// One word: Succeeded NothingFound BadData Denied NotFound OOMKilled Interrupted Cancelled DeadlineExceeded
    /// DecisionUnpublishable Failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// One sentence that says what happened and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// What it published.
    #[serde(flatten)]
    pub counts: RunCounts,
}

impl RunResult {
    /// Its word, where this release knows it.
    pub fn known_reason(&self) -> Option<Reason> {
        self.reason.as_deref()?.parse().ok()
    }
}

/// The durable position.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CursorStatus {
    /// The ConfigMap that holds it.
    pub config_map: String,
    /// Tables seen so far.
    #[serde(default)]
    pub tables: i64,
    /// Last modified of the newest object that was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<Time>,
    /// Size of the ConfigMap in bytes; 1 MiB is the cluster's limit.
    #[serde(default)]
    pub size_bytes: i64,
}
