//! What a run has done so far, for a person who watches it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of the epoch under way and of the run. Any thread adds; any thread reads; a reader may see one counter
/// ahead of another.
#[derive(Debug, Default)]
pub struct Progress {
    /// The epoch under way.
    pub epoch: AtomicU64,
    /// Objects read in this epoch.
    pub objects_done: AtomicU64,
    /// Objects of this epoch.
    pub objects_total: AtomicU64,
    /// Input bytes read in this epoch.
    pub bytes_done: AtomicU64,
    /// Input bytes of this epoch.
    pub bytes_total: AtomicU64,
    /// Rows laid out in this epoch.
    pub rows: AtomicU64,
    step: Mutex<Step>,
}

/// The steps of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Step {
    /// Listing, comparing, sampling.
    #[default]
    Plan,
    /// Reading, converting, staging.
    Prepare,
    /// Making the decision durable.
    Decide,
    /// Completing uploads.
    Publish,
    /// Writing ledger and manifest.
    Record,
}

impl Step {
    /// The word a person reads.
    pub fn word(self) -> &'static str {
        match self {
            Step::Plan => "planning",
            Step::Prepare => "reading",
            Step::Decide => "deciding",
            Step::Publish => "publishing",
            Step::Record => "recording",
        }
    }
}

impl Progress {
    /// Begins an epoch of `objects` and `bytes`.
    pub fn begin(&self, epoch: u64, objects: u64, bytes: u64) {
        self.epoch.store(epoch, Ordering::Relaxed);
        self.objects_total.store(objects, Ordering::Relaxed);
        self.bytes_total.store(bytes, Ordering::Relaxed);
        self.objects_done.store(0, Ordering::Relaxed);
        self.bytes_done.store(0, Ordering::Relaxed);
        self.rows.store(0, Ordering::Relaxed);
    }

    /// Joins an epoch that worker 0 began: its totals are worker 0's to know.
    pub fn join(&self, epoch: u64) {
        if self.epoch.swap(epoch, Ordering::Relaxed) != epoch {
            self.objects_done.store(0, Ordering::Relaxed);
            self.bytes_done.store(0, Ordering::Relaxed);
            self.rows.store(0, Ordering::Relaxed);
        }
    }

    /// The step under way.
    pub fn step(&self) -> Step {
        *self.step.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Enters a step.
    pub fn enter(&self, step: Step) {
        *self.step.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = step;
        tracing::debug!(step = step.word(), epoch = self.epoch.load(Ordering::Relaxed), "step");
    }
}
