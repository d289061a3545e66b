//! The world of one history: two buckets and a cursor that outlive every process, and what a process is made of.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use s3sync::api::manifest::check_text;
use s3sync::model::cursor::Cursor;
use s3sync::model::request::Request;
use s3sync::model::server::Lack;
use s3sync::model::settings::Settings;
use s3sync::model::spec_hash::SpecHash;
use s3sync::pipeline::context::{Context, Patience};
use s3sync::pipeline::cpu::CpuPool;
use s3sync::pipeline::progress::Progress;
use s3sync::state::CursorStore;
use s3sync::state::memory::MemoryCursor;
use s3sync::state::seal::StateKey;
use s3sync::store::Store;
use s3sync::store::adapted::Adapted;
use s3sync::store::faulty::{Faults, FaultyStore};
use s3sync::store::memory::{Behaviour, ManualClock, MemoryStore};
use tokio_util::sync::CancellationToken;

/// One pool for all histories: threads are dear, and hold no state.
static POOL: LazyLock<CpuPool> = LazyLock::new(|| CpuPool::new(2).expect("two threads"));

/// What outlives processes.
pub struct World {
    pub source: MemoryStore,
    pub destination: MemoryStore,
    pub cursor: MemoryCursor,
    pub clock: Arc<ManualClock>,
    pub settings: Settings,
    pub state_key: StateKey,
    /// What processes are asked for.
    pub request: Option<Request>,
    /// What the destination's server does otherwise than S3.
    pub lacks: BTreeSet<Lack>,
    ids: Arc<AtomicU64>,
    seed: u64,
}

impl World {
    pub fn new(seed: u64, settings: Settings, behaviour: Behaviour) -> Self {
        let clock = Arc::new(ManualClock::default());
        let lacks = behaviour.lacks.clone();
        Self {
            lacks,
            source: MemoryStore::with(
                "raw",
                Behaviour { page_objects_max: 3, chunk_bytes: 7, ..Behaviour::default() },
                Arc::clone(&clock),
            ),
            destination: MemoryStore::with("lake", behaviour, Arc::clone(&clock)),
            cursor: MemoryCursor::default(),
            clock,
            settings,
            state_key: state_key(),
            request: None,
            ids: Arc::default(),
            seed,
        }
    }

    /// A worker of a process with these faults.
    pub fn worker(&self, faults: &Arc<Faults>, index: u32, workers: u32, cancel: &CancellationToken) -> Context {
        let (clock, ids, seed) = (Arc::clone(&self.clock), Arc::clone(&self.ids), self.seed);
        let faulty = |store: &MemoryStore| -> Arc<dyn Store> {
            Arc::new(FaultyStore::new(Arc::new(store.clone()), Arc::clone(faults)))
        };
        Context {
            source: faulty(&self.source),
            destination: Arc::new(Adapted::new(faulty(&self.destination))),
            cursor: Arc::new(self.cursor.with_faults(Arc::clone(faults))),
            state_key: self.state_key.clone(),
            settings: Arc::new(self.settings.clone()),
            request: self.request.clone(),
            spec_hash: SpecHash::of(&self.settings).to_string(),
            finish_only: false,
            accept_spec_change: false,
            owner: "model".into(),
            index,
            memory_bytes: 256 << 20,
            workers_here: workers,
            pool: POOL.clone(),
            scratch: PathBuf::from("/nonexistent/scratch"),
            progress: Arc::new(Progress::default()),
            clock: Arc::new(move || clock.now()),
            ids: Arc::new(move || format!("{:016x}{:016x}", seed, ids.fetch_add(1, Ordering::SeqCst))),
            patience: Patience {
                look_every: Duration::from_micros(200),
                left_to_owner: Duration::from_millis(5),
                look_again: Duration::from_millis(5),
            },
            cancel: cancel.clone(),
        }
    }

    /// The cursor as it stands, without faults.
    pub async fn cursor(&self) -> Option<Cursor> {
        self.cursor.load().await.expect("memory does not fail").map(|(cursor, _)| cursor)
    }
}

/// What the sync's workers seal with.
pub fn state_key() -> StateKey {
    StateKey::parse(&"5".repeat(64)).expect("64 digits")
}

/// Settings of a sync from `raw` to `lake`, csv in and jsonl out.
pub fn settings() -> Settings {
    let manifest = "apiVersion: s3sync.dev/v1alpha1\nkind: S3Sync\nmetadata: {name: model}\nspec:\n  \
                    source: {bucket: raw, prefix: in/}\n  \
                    destination: {bucket: lake, format: jsonl, path: \"out/{{TABLE}}/{{UUID}}.{{FORMAT}}\"}\n";
    let mut settings = check_text(manifest).expect("a good manifest").syncs[0].resolved.settings.clone();
    settings.destination.allow_empty = true;
    settings
}
