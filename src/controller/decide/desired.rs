//! What should be: the whole of a decision. PURE.

use std::time::Duration;

use super::run::Marks;
use crate::api::status::RunResult;
use crate::api::text;
use crate::api::{S3SyncRunStatus, S3SyncStatus};
use crate::model::request::Request;

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// What is synced is new, or has changed.
    Change,
    /// The trigger has a new value.
    Trigger,
    /// The schedule says so.
    Slot,
    /// The last run failed.
    Retry,
    /// The last run left something half done.
    Recovery,
    /// An S3SyncRun asks for it.
    Requested,
}

/// A run to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Its Job's name.
    pub job: String,
    /// What it is for, as written on the Job.
    pub marks: Marks,
    /// What it is for, as told to people.
    pub why: Why,
    /// What its workers are asked for beside the spec.
    pub request: Option<Request>,
}

/// An object by name and uid, so that a namesake is not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// What an S3SyncRun is to say.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The S3SyncRun.
    pub run: Named,
    /// Its status.
    pub status: S3SyncRunStatus,
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whether somebody should have a look.
    pub warning: bool,
    /// One word.
    pub reason: String,
    /// One sentence.
    pub message: String,
}

impl Note {
    /// Something that went as it should.
    pub fn normal(reason: impl Into<String>, message: impl AsRef<str>) -> Note {
        Note { warning: false, reason: reason.into(), message: text::message(message.as_ref()) }
    }

    /// Something that somebody should look at.
    pub fn warning(reason: impl Into<String>, message: impl AsRef<str>) -> Note {
        Note { warning: true, ..Note::normal(reason, message) }
    }
}

/// What should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// The status.
    pub status: S3SyncStatus,
    /// The run to start. Its Job is made first, and the status is written at the look that follows.
    pub start: Option<Start>,
    /// A run is due, and waits for a place under the caps.
    pub waits_for_place: bool,
    /// Jobs beyond the history's limits, once their results are in the status.
    pub delete_jobs: Vec<Named>,
    /// Jobs of runs that somebody cancelled.
    pub cancel: Vec<Named>,
    /// What is new to say of the S3SyncRuns, before the status and all that is deleted after it.
    pub told: Vec<Told>,
    /// S3SyncRuns that ended long enough ago.
    pub expired: Vec<Named>,
    /// Pods on lost nodes.
    pub force_delete: Vec<Named>,
    /// What people are told, once the status is written.
    pub notes: Vec<Note>,
    /// Pods that were ended from outside, by uid, and what people are told of each, once.
    pub killed: Vec<(String, Note)>,
    /// Runs whose end is new, to be counted once the status is written.
    pub ended: Vec<RunResult>,
    /// Slots that will never run: to be counted once the start is made, or else the status written.
    pub missed: u32,
    /// Whether what pods need may have been removed by hand.
    pub mend_rights: bool,
    /// Whether a pod waits for the Secret with the key of the state: it may have been deleted under it, and the kubelet
    /// goes on once it is there.
    pub make_state_key: bool,
    /// Whether the cursor is to live and die otherwise than it does, by `state.onDelete`.
    pub own_cursor: bool,
    /// When to look again.
    pub requeue: Duration,
}

impl Desired {
    /// Whether the status says nothing new but how far the run is.
    pub fn moves_progress_alone(&self, before: S3SyncStatus) -> bool {
        S3SyncStatus { progress: self.status.progress.clone(), ..before } == self.status
    }
}
