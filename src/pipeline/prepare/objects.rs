//! Objects read ahead of their turn. They are begun in plan order, each with its share of the read budget, and consumed
//! in plan order: the one whose turn it is always has its share, so nothing waits for itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::Shard;
use crate::codec::Decoded;
use crate::model::format::Compression;
use crate::model::manifest::Excluded;
use crate::model::schema::TableSchema;
use crate::pipeline::read::{Output, ReadError, Reader, WHOLE_OBJECT_BYTES_MAX, cost_bytes};

/// Permits are kibibytes, so that any budget fits a semaphore.
const PERMIT_BYTES: u64 = 1 << 10;

/// Reads of a shard's objects, in plan order.
pub(super) struct ReadAhead {
    queue: mpsc::Receiver<Read>,
    _dispatcher: AbortOnDropHandle<()>,
}

/// One object's read, under way or done.
pub(super) struct Read {
    /// Index in the shard.
    pub(super) index: u32,
    decoded: mpsc::Receiver<Decoded>,
    task: Option<AbortOnDropHandle<Result<(), (ReadError, bool)>>>,
    taken_bytes: Arc<AtomicU64>,
    released: bool,
    _share: OwnedSemaphorePermit,
}

/// What a read gives next.
pub(super) enum Consumed {
    /// Decoded records.
    Decoded(Decoded),
    /// Nothing more.
    Ended(Result<(), ReadError>),
}

impl ReadAhead {
    /// Begins to read the shard's objects but the excluded ones.
    pub(super) fn start(shard: &Shard<'_>, excluded: &BTreeMap<String, Excluded>) -> Self {
        let budget = shard.context.budget(&shard.plan.settings, shard.plan.layout_bytes);
        let reader = Reader {
            source: Arc::clone(&shard.context.source),
            settings: Arc::new(shard.plan.settings.clone()),
            budget,
            pool: shard.context.pool.clone(),
            taken_bytes: Arc::default(),
        };
        // One read is with the consumer, the rest wait here.
        let (sender, queue) = mpsc::channel(budget.objects_max.saturating_sub(1).clamp(1, 1 << 16));
        let objects = Arc::clone(&shard.objects);
        let plan = Arc::clone(shard.plan);
        let skipped: Vec<String> = excluded.keys().cloned().collect();
        let dispatcher = tokio::spawn(async move {
            let shares = Arc::new(Semaphore::new((budget.read_bytes / PERMIT_BYTES) as usize));
            let mut table: Option<(u32, Arc<TableSchema>)> = None;
            for (index, planned) in objects.iter().enumerate() {
                if skipped.binary_search(&planned.object.key).is_ok() {
                    continue;
                }
                let compression = reader.settings.source.compression.of_key(&planned.object.key);
                // One of no known format is refused by its key alone.
                let cost = reader
                    .format(planned)
                    .map_or(0, |format| cost_bytes(planned, format, compression != Compression::None, &budget));
                let share = Arc::clone(&shares).acquire_many_owned((cost / PERMIT_BYTES).max(1) as u32);
                let share = share.await.expect("the semaphore is never closed");
                let whole = planned.slice.is_none() && planned.object.size <= WHOLE_OBJECT_BYTES_MAX;
                let (mut output, decoded) = Output::new(if whole { cost } else { 0 });
                let taken_bytes = Arc::default();
                let reader = Reader { taken_bytes: Arc::clone(&taken_bytes), ..reader.clone() };
                let objects = Arc::clone(&objects);
                // Objects come table by table.
                let schema = match table.take().filter(|(of, _)| *of == planned.table) {
                    Some((_, schema)) => schema,
                    None => plan.table(planned.table).read,
                };
                table = Some((planned.table, Arc::clone(&schema)));
                let task = AbortOnDropHandle::new(tokio::spawn(async move {
                    let done = reader.read(&objects[index], schema, &mut output).await;
                    done.map_err(|error| (error, output.released()))
                }));
                let read = Read {
                    index: index as u32,
                    decoded,
                    task: Some(task),
                    taken_bytes,
                    released: false,
                    _share: share,
                };
                if sender.send(read).await.is_err() {
                    return;
                }
            }
        });
        Self { queue, _dispatcher: AbortOnDropHandle::new(dispatcher) }
    }

    /// The next object, in plan order.
    pub(super) async fn next(&mut self) -> Option<Read> {
        self.queue.recv().await
    }
}

impl Read {
    /// What comes next; after `Ended` nothing does.
    pub(super) async fn next(&mut self) -> Consumed {
        if let Some(decoded) = self.decoded.recv().await {
            return Consumed::Decoded(decoded);
        }
        let task = self.task.take().expect("a read is not asked again after its end");
        match task.await.expect("reads neither panic nor are cancelled while they are awaited") {
            Ok(()) => Consumed::Ended(Ok(())),
            Err((error, released)) => {
                self.released = released;
                Consumed::Ended(Err(error))
            }
        }
    }

    /// Stored bytes that decoding has taken up so far.
    pub(super) fn taken_bytes(&self) -> u64 {
        self.taken_bytes.load(Ordering::Relaxed)
    }

    /// Whether rows of the failed object may have entered a file.
    pub(super) fn released(&self) -> bool {
        self.released
    }
}
