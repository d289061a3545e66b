//! What the syncs of one command share: memory, threads, scratch; and a sync's surroundings made from it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::command::run::scratch::Scratch;
use crate::command::syncs::{Stores, Sync};
use crate::command::{CommandError, FailureKind};
use crate::pipeline::budget::default_memory_bytes;
use crate::pipeline::context::{Context, Patience};
use crate::pipeline::cpu::CpuPool;
use crate::pipeline::progress::Progress;
use crate::state::seal::StateKey;

/// What the syncs of one command share.
#[derive(Debug)]
pub struct Resources {
    /// The process's memory budget in bytes.
    pub memory_bytes: u64,
    /// Workers of each run.
    pub replicas: u32,
    /// Whether a changed source or destination is accepted.
    pub accept_spec_change: bool,
    /// See [`Context::finish_only`].
    pub finish_only: bool,
    /// Ends what is under way at the next safe place.
    pub cancel: CancellationToken,
    pool: CpuPool,
    scratch: Scratch,
}

impl Resources {
    /// One worker with the default budget, and a scratch directory in `parent`, or in the system's.
    pub fn new(parent: Option<&Path>) -> Result<Resources, CommandError> {
        let cannot = |what: String, error: anyhow::Error| CommandError::new(FailureKind::Other, error.context(what));
        let parent: PathBuf = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let scratch = Scratch::create(&parent, &unique()).map_err(|error| {
            let what =
                format!("no scratch directory can be made in {}; name another with --scratch-dir", parent.display());
            cannot(what, error.into())
        })?;
        Ok(Resources {
            memory_bytes: default_memory_bytes(),
            replicas: 1,
            accept_spec_change: false,
            finish_only: false,
            cancel: CancellationToken::new(),
            pool: CpuPool::of_cores()
                .map_err(|error| cannot("the system gives no threads".to_owned(), error.into()))?,
            scratch,
        })
    }

    /// The surroundings of a sync's worker 0.
    pub fn context(&self, sync: &Sync, stores: Stores, state_key: StateKey) -> Context {
        let mut settings = sync.settings().clone();
        // A plan packs shards for the workers there are here; the manifest's number is of pods.
        settings.worker.replicas = self.replicas;
        Context {
            source: stores.source,
            destination: stores.destination,
            cursor: sync.cursor.shared(),
            state_key,
            settings: Arc::new(settings),
            request: None,
            spec_hash: sync.spec_hash(),
            accept_spec_change: self.accept_spec_change,
            finish_only: self.finish_only,
            owner: sync.owner(),
            index: 0,
            memory_bytes: self.memory_bytes,
            workers_here: self.replicas,
            pool: self.pool.clone(),
            scratch: self.scratch.path().to_owned(),
            progress: Arc::new(Progress::default()),
            clock: Arc::new(jiff::Timestamp::now),
            ids: Arc::new(unique),
            patience: Patience::default(),
            cancel: self.cancel.clone(),
        }
    }
}

/// 32 hexadecimal digits that nobody has seen before.
pub fn unique() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
