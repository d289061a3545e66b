//! Two buckets in memory, a cursor, and runs of which every epoch is recorded as it was planned.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::model::cursor::{Cursor, Run};
use crate::model::ledger::Entry;
use crate::model::object::Object;
use crate::model::plan::Plan;
use crate::model::request::Request;
use crate::model::schema::TableSchema;
use crate::model::settings::Settings;
use crate::pipeline::error::RunError;
use crate::pipeline::planner::{Freeze, Planned, Planner, Preview, PreviewOf, Remarks, Sampler, TablePreview, Why};
use crate::state::blobs::Blobs;
use crate::state::ledger::{LedgerRoot, LedgerStream, record};
use crate::store::Store;
use crate::store::faulty::{Faults, FaultyStore, never};
use crate::store::memory::{Behaviour, ManualClock, MemoryStore, Order};

/// See the module.
pub struct World {
    pub settings: Settings,
    pub source: MemoryStore,
    pub destination: MemoryStore,
    pub cursor: Cursor,
    pub sampler: Samples,
    /// What runs are asked for.
    pub request: Option<Request>,
    /// Counts the calls to the source.
    pub faults: Arc<Faults>,
    scratch: tempfile::TempDir,
    runs: u32,
}

/// What one run did.
#[derive(Debug, Default)]
pub struct Ran {
    /// Keys and etags that each epoch read, in plan order.
    pub epochs: Vec<Vec<(String, String)>>,
    /// The plans.
    pub plans: Vec<Plan>,
}

/// Remembers what it was asked.
#[derive(Default)]
pub struct Samples(pub Mutex<Vec<(String, Vec<String>)>>);

#[async_trait]
impl Sampler for Samples {
    async fn sample(&self, table: &str, objects: &[Object]) -> Result<TableSchema, RunError> {
        let keys = objects.iter().map(|object| object.key.clone()).collect();
        self.0.lock().unwrap().push((table.to_owned(), keys));
        Ok(TableSchema::default())
    }
}

impl World {
    pub fn new(change: impl FnOnce(&mut Settings)) -> Self {
        Self::with(1000, Order::Utf8, change)
    }

    pub fn with(page_objects_max: usize, order: Order, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = crate::model::fixtures::settings();
        change(&mut settings);
        let behaviour = Behaviour { page_objects_max, order, ..Behaviour::default() };
        if order == Order::Scattered {
            settings.source.bucket = "raw--usw2-az1--x-s3".into();
        }
        let cursor = Cursor::empty("abc".into(), 0, "x-y".into());
        Self {
            settings,
            source: MemoryStore::with("raw", behaviour, Arc::new(ManualClock::default())),
            destination: MemoryStore::new("lake"),
            cursor,
            sampler: Samples::default(),
            request: None,
            faults: Faults::new(never()),
            scratch: tempfile::tempdir().unwrap(),
            runs: 0,
        }
    }

    pub fn put(&self, key: &str, content: &[u8]) {
        self.source.insert(key, content.to_vec());
    }

    pub fn remove(&self, key: &str) {
        self.source.remove(key);
    }

    /// Every key with its etag.
    pub fn listed(&self) -> Vec<(String, String)> {
        let mut listed: Vec<(String, String)> =
            self.source.objects().into_iter().map(|object| (object.key, object.etag.as_str().to_owned())).collect();
        listed.sort();
        listed
    }

    pub fn blobs(&self) -> Blobs {
        Blobs::new(Arc::new(self.destination.clone()), &self.settings.state_prefix, &self.cursor.state_id)
    }

    /// Key and etag of every entry.
    pub fn ledger(&self) -> BTreeMap<String, String> {
        self.entries().into_iter().map(|entry| (entry.object.key, entry.object.etag.as_str().to_owned())).collect()
    }

    /// Every entry, by key.
    pub fn entries(&self) -> Vec<Entry> {
        let blobs = self.blobs();
        block_on(async {
            let Some(root) = &self.cursor.ledger else { return Vec::new() };
            let head = LedgerRoot::load_head(&blobs, root).await.unwrap();
            let mut stream = LedgerStream::new(&blobs, &head.runs, None);
            let mut entries = Vec::new();
            while let Some(entry) = stream.next().await.unwrap() {
                entries.push(entry);
            }
            entries
        })
    }

    /// A whole run: epochs until nothing is left of the pass.
    pub fn run(&mut self) -> Result<Ran, RunError> {
        self.runs += 1;
        let mut ran = Ran::default();
        self.cursor.listed_to = None;
        while let Some(plan) = self.epoch()? {
            let mut read = Vec::new();
            for shard in &plan.shards {
                let objects = block_on(self.blobs().get_shard(&shard.blob)).unwrap();
                assert_eq!(objects.len() as u64, shard.objects);
                read.extend(
                    objects.into_iter().map(|planned| (planned.object.key, planned.object.etag.as_str().to_owned())),
                );
            }
            ran.epochs.push(read);
            let ended = plan.listed_to.is_none();
            ran.plans.push(plan);
            if ended {
                break;
            }
        }
        Ok(ran)
    }

    /// One epoch, recorded as it was planned.
    pub fn epoch(&mut self) -> Result<Option<Plan>, RunError> {
        let blobs = self.blobs();
        let started = "2026-01-02T03:04:05Z".parse().unwrap();
        let run = Run { id: format!("run{}", self.runs), started, pass: 1, changed: false, ended: false };
        let source = FaultyStore::new(Arc::new(self.source.clone()), Arc::clone(&self.faults));
        let planner = self.planner(&source, &blobs, Some(&run.id));
        let freeze = Freeze { run: &run, seed: "00".repeat(16), now: started, holder: None };
        let Planned::Epoch(key, plan) = block_on(planner.plan_epoch(freeze, &mut Remarks::default()))? else {
            return Ok(None);
        };
        assert_eq!(block_on(blobs.get_plan(&key)).unwrap(), *plan);
        let recorded =
            block_on(record(&blobs, self.cursor.ledger.as_ref(), &plan, &BTreeMap::new(), &BTreeMap::new())).unwrap();
        self.cursor.request = plan.request.clone().or(self.cursor.request.take());
        self.cursor.epoch = plan.epoch;
        self.cursor.ledger = Some(recorded.root);
        self.cursor.listed_to.clone_from(&plan.listed_to);
        Ok(Some(*plan))
    }

    fn planner<'a>(&'a self, source: &'a dyn Store, blobs: &'a Blobs, run: Option<&'a str>) -> Planner<'a> {
        Planner {
            source,
            blobs,
            settings: &self.settings,
            cursor: &self.cursor,
            run,
            request: self.request.as_ref(),
            sampler: &self.sampler,
            scratch: self.scratch.path(),
        }
    }

    /// Key, table and reason of what a dry run says that a run would read.
    pub fn shown(&self) -> Result<Vec<(String, String, Why)>, RunError> {
        let read = |(table, preview): (String, TablePreview)| {
            preview.read.keys.into_iter().map(move |read| (read.key, table.clone(), read.why))
        };
        Ok(self.preview()?.tables.into_iter().flat_map(read).collect())
    }

    /// What a dry run finds.
    pub fn preview(&self) -> Result<Preview, RunError> {
        let blobs = self.blobs();
        block_on(self.planner(&self.source, &blobs, None).preview(PreviewOf::Tables))
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
