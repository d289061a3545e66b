//! Everything that a decision is made from, and what it shows at once. PURE.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::check::{Checked, Refusal, check};
use super::cursor::CursorView;
use super::run::{Run, Worker};
use crate::api::{S3Sync, S3SyncRun};
use crate::controller::connections::Connections;
use crate::controller::names::CANCEL;
use crate::controller::policy::Policy;

/// Everything that a decision is made from.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The resource, with what its S3Connections say in the place of their names.
    pub sync: S3Sync,
    /// What became of the connections that it names.
    pub connections: Connections,
    /// The Jobs with its label, its own and others'.
    pub runs: Vec<Run>,
    /// Their pods.
    pub workers: Vec<Worker>,
    /// The S3SyncRuns that name it; `None`: they are not listed yet.
    pub requested: Option<Vec<S3SyncRun>>,
    /// Its cursor's ConfigMap.
    pub cursor: Option<CursorView>,
    /// Names that it needs and somebody else has, with the kind of the object.
    pub taken: BTreeMap<String, &'static str>,
    /// Why the API server took no Job at the last try.
    pub refused: Option<String>,
    /// What the last warning says of the Job or pod that [`super::conditions::silent`] names.
    pub warned: Option<String>,
    /// Whether the cap on concurrent runs leaves room for one.
    pub capacity: bool,
    /// Whether the namespace is being deleted: nothing can be made there any more.
    pub namespace_ends: bool,
    /// What resources may ask for.
    pub policy: Arc<Policy>,
    /// The time.
    pub now: Timestamp,
}

impl Observed {
    /// The resource's name.
    pub fn name(&self) -> &str {
        self.sync.metadata.name.as_deref().unwrap_or_default()
    }

    /// Whether somebody has cancelled the run.
    pub fn cancels(&self, job: &str) -> bool {
        self.sync.metadata.annotations.as_ref().and_then(|all| all.get(CANCEL)).is_some_and(|name| name == job)
    }

    /// Whether the resource can run, and may.
    pub fn checked(&self) -> Result<Checked, Refusal> {
        if let Some(refusal) = &self.connections.refusal {
            return Err(refusal.clone());
        }
        let checked = check(&self.sync)?;
        self.policy.check(&self.sync)?;
        Ok(checked)
    }

    /// Whether pods of a run in progress are being deleted. Their namespace may be the reason: its pods go first, and
    /// their Job, which waits to replace them (podReplacementPolicy Failed, backoffLimitPerIndex), holds them for ever
    /// where no pod can be made.
    pub fn dying(&self) -> bool {
        let at_work =
            |job: &str| self.runs.iter().any(|run| run.owned && run.active() && !run.deleting && run.job == job);
        self.workers.iter().any(|worker| worker.deleted.is_some() && at_work(&worker.job))
    }
}
