//! A store that fails on purpose: wraps any other, and asks a [`FaultPlan`] before every call what shall go wrong.
//!
//! One [`Faults`] belongs to one simulated process. All stores of that process (and whatever else of it makes calls,
//! such as its cursor) share it, so that calls are counted over all of them and a crash ends them together. What a
//! crash leaves behind is the state of the wrapped stores, on which a new process with a new `Faults` goes on.

mod plan;
mod store;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::{ErrorKind, Store, StoreError};

pub use plan::{at, never, on, random};

/// What goes wrong with one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The call is not done and fails.
    Before(ErrorKind),
    /// The call is done, but its response is lost: it fails all the same. A call that reads fails as with
    /// [`Fault::Before`].
    After(ErrorKind),
    /// The process ends before the call is done: this and every later call of it fails with an error that [`is_crash`]
    /// recognises.
    CrashBefore,
    /// The process ends after the call is done, before it sees the response.
    CrashAfter,
    /// A body or a listing breaks after this many bytes or pages; other calls are not touched.
    Break {
        /// Bytes of a body, or pages of a listing, that still come.
        after: u64,
        /// How it breaks.
        kind: ErrorKind,
    },
    /// `get`, `head`, `put` and `complete_upload` give an etag that is not the object's; other calls are not touched.
    WrongEtag,
    /// The call waits this long by tokio's clock first (tests pause that clock).
    Slow(Duration),
}

/// A call that is about to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// How many calls this process made before.
    pub number: u64,
    /// Which call: the trait's method, `list` once for a whole listing.
    pub op: &'a str,
    /// The key or the prefix.
    pub key: &'a str,
}

/// Decides what goes wrong. Closures over [`Call`] are plans.
pub trait FaultPlan: Send + Sync {
    /// What shall go wrong with this call. Called once for each.
    fn fault(&self, call: &Call<'_>) -> Fault;
}

impl<F: Fn(&Call<'_>) -> Fault + Send + Sync> FaultPlan for F {
    fn fault(&self, call: &Call<'_>) -> Fault {
        self(call)
    }
}

/// The faults of one simulated process. See the module.
pub struct Faults {
    plan: Box<dyn FaultPlan>,
    calls: AtomicU64,
    crashed: AtomicBool,
}

impl Faults {
    /// Faults by `plan`, for all stores of one process.
    pub fn new(plan: impl FaultPlan + 'static) -> Arc<Self> {
        Arc::new(Self { plan: Box::new(plan), calls: AtomicU64::new(0), crashed: AtomicBool::new(false) })
    }

    /// Counts a call and decides about it; public so that simulated state (a cursor) can take part. After a crash it is
    /// always [`Fault::CrashBefore`].
    pub fn next(&self, op: &str, key: &str) -> Fault {
        if self.crashed() {
            return Fault::CrashBefore;
        }
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        self.plan.fault(&Call { number, op, key })
    }

    /// Ends the process.
    pub fn crash(&self) {
        self.crashed.store(true, Ordering::SeqCst);
    }

    /// Whether it has ended.
    pub fn crashed(&self) -> bool {
        self.crashed.load(Ordering::SeqCst)
    }

    /// Calls made so far: run once without faults to learn at how many places a history can be cut.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }
}

/// A store with faults. See the module.
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    faults: Arc<Faults>,
}

impl FaultyStore {
    /// `inner` with the faults of one process.
    pub fn new(inner: Arc<dyn Store>, faults: Arc<Faults>) -> Self {
        Self { inner, faults }
    }
}

impl std::fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaultyStore")
            .field("inner", &self.inner)
            .field("calls", &self.faults.calls())
            .finish_non_exhaustive()
    }
}

/// The cause of every error after a crash.
#[derive(Debug, thiserror::Error)]
#[error("the process has crashed")]
pub struct Crashed;

/// Whether `error`, or one of its causes, is a simulated crash.
pub fn is_crash(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<Crashed>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The error of a call that a crash cut off.
pub fn crash_error(op: &'static str, place: &str, key: &str) -> StoreError {
    StoreError::new(ErrorKind::Other, op, place, key, "the process has crashed").caused_by(Crashed)
}

#[cfg(test)]
mod tests;
