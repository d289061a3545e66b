//! What a run works with: stores, cursor, settings, budget, and everything that is not the same twice (clock,
//! randomness, interruption).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::model::request::Request;
use crate::model::settings::Settings;
use crate::pipeline::budget::Budget;
use crate::pipeline::cpu::CpuPool;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::pipeline::progress::Progress;
use crate::state::CursorStore;
use crate::state::seal::StateKey;
use crate::store::Store;

/// Gives the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Gives 32 hexadecimal digits that nobody has seen before.
pub type Ids = Arc<dyn Fn() -> String + Send + Sync>;

/// One worker's surroundings. Clones share everything.
#[derive(Clone)]
pub struct Context {
    /// The source bucket.
    pub source: Arc<dyn Store>,
    /// The destination bucket, where blobs lie too.
    pub destination: Arc<dyn Store>,
    /// The arbiter.
    pub cursor: Arc<dyn CursorStore>,
    /// What the sync's workers seal with: it lies beside the cursor, and in no bucket.
    pub state_key: StateKey,
    /// The spec as it is now; an epoch under way goes by its plan's.
    pub settings: Arc<Settings>,
    /// What this run is asked for beside its spec.
    pub request: Option<Request>,
    /// Identity of source and destination.
    pub spec_hash: String,
    /// Whether a changed identity is accepted.
    pub accept_spec_change: bool,
    /// Whether an epoch that is decided is finished, and nothing begun: a suspended sync's.
    pub finish_only: bool,
    /// Where the cursor lives, for the claim: a ConfigMap's uid, or host and path.
    pub owner: String,
    /// This worker's index; worker 0 leads.
    pub index: u32,
    /// The process's memory budget in bytes, and how many workers share it.
    pub memory_bytes: u64,
    /// Workers of the run in this process.
    pub workers_here: u32,
    /// The CPU pool.
    pub pool: CpuPool,
    /// Where layouts spill.
    pub scratch: PathBuf,
    /// Counters for a person.
    pub progress: Arc<Progress>,
    /// The time.
    pub clock: Clock,
    /// Randomness.
    pub ids: Ids,
    /// How long workers wait for each other.
    pub patience: Patience,
    /// Ends the run at the next safe place.
    pub cancel: CancellationToken,
}

/// How long workers wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How often an idle worker looks whether others have finished their shards.
    pub look_every: Duration,
    /// How long an idle worker leaves a shard to its owner.
    pub left_to_owner: Duration,
    /// How long a follower waits for the cursor to move before it reads it anyway: a watch may be lost.
    pub look_again: Duration,
}

impl Default for Patience {
    /// A shard takes seconds: a worker that is silent for a minute is likely gone, and if it is not, two attempts at
    /// one shard do no harm.
    fn default() -> Self {
        Self {
            look_every: Duration::from_millis(250),
            left_to_owner: Duration::from_secs(60),
            look_again: Duration::from_secs(30),
        }
    }
}

impl Context {
    /// The id of what this run is asked for.
    pub fn request_id(&self) -> Option<&str> {
        self.request.as_ref().map(|request| request.id.as_str())
    }

    /// The budget's shares for a plan that buffers `layout_bytes`.
    pub fn budget(&self, settings: &Settings, layout_bytes: u64) -> Budget {
        Budget::new(
            self.memory_bytes,
            self.pool.threads(),
            settings.worker.concurrency,
            layout_bytes,
            self.workers_here,
        )
    }

    /// An error when the run was asked to stop.
    pub fn go_on(&self) -> Result<(), RunError> {
        if self.cancel.is_cancelled() {
            return Err(self.interrupted());
        }
        Ok(())
    }

    /// What an interrupted run ends with.
    pub fn interrupted(&self) -> RunError {
        RunError::new(
            RunErrorKind::Interrupted,
            format!(
                "{}: stopped before the run was done; nothing is lost and it is safe to repeat: run it again to go on",
                self.settings.id
            ),
        )
    }
}
