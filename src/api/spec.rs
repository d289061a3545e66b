//! `spec`: what the user writes. A field's documentation is what `kubectl explain` and docs/reference.md show, so it
//! speaks to users.
//!
//! A default that depends on no other field is a serde default here, and thereby in the CRD's schema; the others are
//! made in [`super::validate`]. Every list and string is bounded, so that the API server can bound the cost of the CEL
//! rules.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

mod connection;
mod destination;
mod schema;
mod source;
mod worker;

pub use connection::{
    CONNECTION_KIND, CONNECTION_REF_MESSAGE, CONNECTION_REF_RULE, ConnectionRef, ConnectionSpec, S3Connection,
    S3ConnectionSpec, SecretRef, URL_PATTERN,
};
pub use destination::{
    BatchSpec, CsvWriteSpec, DestinationSpec, ObjectSpec, OutputCompression, OutputFormat, ParquetSpec, PartitionSpec,
    PartitionTransform, Sse, WriteMode,
};
pub use schema::{ColumnSpec, Evolution, SchemaMode, SchemaSpec};
pub use source::{CsvReadSpec, Encoding, InputCompression, InputFormat, SourceSpec, TableSource, TablesSpec};
pub use worker::{PodResources, WorkerSpec};

use super::scalar::{DURATION_PATTERN, Size, wire_enum};
use super::status::S3SyncStatus;
use crate::model::settings;

/// The API group.
pub const GROUP: &str = "s3sync.dev";
/// The served version.
pub const VERSION: &str = "v1alpha1";
/// The kind.
pub const KIND: &str = "S3Sync";

/// Keeps one S3 prefix in sync as tables: which objects to read, what files to write, and when.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "s3sync.dev",
    version = "v1alpha1",
    kind = "S3Sync",
    plural = "s3syncs",
    shortname = "s3s",
    category = "s3sync",
    namespaced,
    status = "S3SyncStatus",
    derive = "PartialEq",
    doc = "An S3Sync keeps one S3 prefix in sync as tables: it reads new objects, converts and lays out their rows, and publishes each object's rows exactly once.",
    validation = Rule::new("size(self.metadata.name) <= 52").message("metadata.name must be at most 52 characters, because Jobs are named after it"),
    printcolumn(name = "Schedule", type_ = "string", json_path = ".spec.schedule"),
    printcolumn(name = "Suspend", type_ = "boolean", json_path = ".spec.suspend"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Run", type_ = "string", json_path = ".status.run"),
    printcolumn(name = "Progress", type_ = "string", json_path = ".status.progress.summary"),
    printcolumn(name = "Objects", type_ = "integer", json_path = ".status.lastRun.objects"),
    printcolumn(name = "Last-Success", type_ = "date", json_path = ".status.lastSuccessfulTime"),
    printcolumn(name = "Next", type_ = "string", json_path = ".status.nextRunTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1)
)]
#[x_kube(validation = Rule::new("!has(self.timeZone) || has(self.schedule)").message("timeZone needs schedule").field_path(".timeZone"))]
#[serde(rename_all = "camelCase")]
pub struct S3SyncSpec {
    /// When to run: a cron expression of five fields, or a name such as @hourly. H spreads syncs over the field's range
    /// by the resource's name, so H/15 is every 15 minutes at some minute. Absent: a run per change of what is synced,
    /// and on trigger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub schedule: Option<String>,
    /// The schedule's time zone, by its IANA name such as Europe/Berlin. Absent: UTC. Needs schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
    /// Delays each scheduled run by up to this duration, always by the same for one resource, so that many resources on
    /// one minute do not start together.
    #[serde(default = "jitter")]
    #[schemars(length(max = 32), regex(pattern = DURATION_PATTERN))]
    pub jitter: String,
    /// Starts no new run while true. A run in progress goes on.
    #[serde(default)]
    pub suspend: bool,
    /// Skips a scheduled run that could not start within this many seconds. Absent: it starts late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub starting_deadline_seconds: Option<i64>,
    /// Any new value starts a run; status.lastTrigger echoes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub trigger: Option<String>,
    /// Jobs of successful runs that are kept.
    #[serde(default = "history_limit")]
    #[schemars(range(min = 0, max = 100))]
    pub successful_runs_history_limit: i32,
    /// Jobs of failed runs that are kept.
    #[serde(default = "history_limit")]
    #[schemars(range(min = 0, max = 100))]
    pub failed_runs_history_limit: i32,
    /// What is read.
    pub source: SourceSpec,
    /// What the rows look like.
    #[serde(default)]
    pub schema: SchemaSpec,
    /// What is written.
    pub destination: DestinationSpec,
    /// Whether objects that were read are remembered.
    #[serde(default)]
    pub incremental: IncrementalSpec,
    /// What happens to bad input.
    #[serde(default)]
    pub errors: ErrorsSpec,
    /// How much one commit may hold. A run makes as many commits as it needs.
    #[serde(default)]
    pub limits: LimitsSpec,
    /// Where the sync's state lies.
    #[serde(default)]
    pub state: StateSpec,
    /// The pods that do the work, and how much they do at once.
    #[serde(default)]
    pub worker: WorkerSpec,
}

fn jitter() -> String {
    "0s".to_owned()
}

fn history_limit() -> i32 {
    3
}

fn yes() -> bool {
    true
}

wire_enum! {
    /// What an overwritten object means.
    OnOverwrite -> settings::OnOverwrite {
        /// The new version is read; rows of the old one stay.
        Reprocess = "Reprocess",
        /// The new version is not read.
        Ignore = "Ignore",
        /// The run fails with the key.
        Fail = "Fail",
    }
}

/// Whether objects that were read are remembered.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IncrementalSpec {
    /// Reads only objects that are new since the last run. With false every run reads everything.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What an object means that was read before and has changed since. Reprocess: it is read again, and with writeMode
    /// Append the rows of its old version stay. Ignore: it is not read. Fail: the run fails with its key.
    #[serde(default = "on_overwrite")]
    pub on_overwrite: OnOverwrite,
}

fn on_overwrite() -> OnOverwrite {
    OnOverwrite::Reprocess
}

impl Default for IncrementalSpec {
    fn default() -> Self {
        IncrementalSpec { enabled: true, on_overwrite: on_overwrite() }
    }
}

wire_enum! {
    /// What an unreadable object means.
    OnBadObject -> settings::OnBadObject {
        /// The run fails.
        Fail = "Fail",
        /// The object is left out by name.
        Quarantine = "Quarantine",
    }
}

wire_enum! {
    /// What it means that no object is selected.
    OnNothingFound -> settings::OnNothingFound {
        /// The run succeeds with the reason NothingFound.
        Succeed = "Succeed",
        /// The run fails.
        Fail = "Fail",
    }
}

/// What happens to bad input.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.maxBadRecords == 0 || has(self.deadLetterPath)").message("maxBadRecords above 0 needs deadLetterPath, the place where bad records are kept").field_path(".maxBadRecords"))]
pub struct ErrorsSpec {
    /// What an object means that cannot be read (a truncated gzip, a broken footer). Fail: the run fails with its key.
    /// Quarantine: it is named in the run's result and left out until its content changes; nothing of it is published.
    #[serde(default = "on_bad_object")]
    pub on_bad_object: OnBadObject,
    /// What it means that no object at all is selected: none under the prefix, or none that include, exclude,
    /// tables.include and the formats let through. Succeed: the run succeeds with the reason NothingFound. Fail: it
    /// fails with NotFound (exit code 3), before anything is removed.
    #[serde(default = "on_nothing_found")]
    pub on_nothing_found: OnNothingFound,
    /// Bad records (a row with too many fields, a value that does not parse) allowed in one commit; the next one fails
    /// it. Above 0 it needs deadLetterPath.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub max_bad_records: i64,
    /// A prefix in the destination bucket. Each bad record is written there with its object's key, line or offset,
    /// reason and raw text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub dead_letter_path: Option<String>,
}

fn on_bad_object() -> OnBadObject {
    OnBadObject::Fail
}

fn on_nothing_found() -> OnNothingFound {
    OnNothingFound::Succeed
}

impl Default for ErrorsSpec {
    fn default() -> Self {
        ErrorsSpec {
            on_bad_object: on_bad_object(),
            on_nothing_found: on_nothing_found(),
            max_bad_records: 0,
            dead_letter_path: None,
        }
    }
}

/// How much one commit may hold.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitsSpec {
    /// Objects in one commit. Files become visible commit by commit.
    #[serde(default = "objects_per_commit")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub objects_per_commit: i64,
    /// Input bytes in one commit. An object that is larger makes a commit of its own.
    #[serde(default = "bytes_per_commit")]
    pub bytes_per_commit: Size,
}

fn objects_per_commit() -> i64 {
    100_000
}

fn bytes_per_commit() -> Size {
    Size::new("64Gi")
}

impl Default for LimitsSpec {
    fn default() -> Self {
        LimitsSpec { objects_per_commit: objects_per_commit(), bytes_per_commit: bytes_per_commit() }
    }
}

wire_enum! {
    /// What becomes of the cursor when the resource is deleted.
    OnDelete {
        /// It stays, and a resource of the same name goes on from it.
        Retain = "Retain",
        /// It goes too, so a resource of the same name reads everything again.
        Delete = "Delete",
    }
}

/// Where the sync's state lies.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StateSpec {
    /// The prefix in the destination bucket under which plans, ledgers and manifests are kept. Never read as source.
    #[serde(default = "state_prefix")]
    #[schemars(length(min = 1, max = 256), regex(pattern = "^[^/]"))]
    pub prefix: String,
    /// What becomes of the cursor ConfigMap when the resource is deleted. Retain: a resource of the same name goes on
    /// where this one stopped. Delete: it reads everything again. Data is never deleted.
    #[serde(default = "on_delete")]
    pub on_delete: OnDelete,
}

fn state_prefix() -> String {
    "_s3sync".to_owned()
}

fn on_delete() -> OnDelete {
    OnDelete::Retain
}

impl Default for StateSpec {
    fn default() -> Self {
        StateSpec { prefix: state_prefix(), on_delete: on_delete() }
    }
}
