//! The layout on its thread and the stager behind it, as one thing that takes decoded records and gives staged files.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Shard;
use crate::codec::Rows;
use crate::model::manifest::StagedFile;
use crate::model::plan::PlannedObject;
use crate::pipeline::error::RunError;
use crate::pipeline::layout::{Layout, LayoutContext, LayoutError, SinkClosed};
use crate::pipeline::open_log::OpenLog;
use crate::pipeline::stage::{self, Sender, Staged};
use crate::store::StoreError;

/// Hand-overs between reader and layout: one that is laid out, one that is ready.
const HANDOVERS_WAITING: usize = 2;

/// Decoded bytes of one hand-over, at the least: waking the layout's thread costs as much as laying out some ten
/// kilobytes.
const HANDOVER_BYTES: u64 = 256 << 10;

/// What the layout gets.
struct Item {
    index: u32,
    /// Number of the first row among the object's, from 1.
    first_row: u64,
    rows: Vec<Rows>,
}

/// One attempt's output.
pub(super) struct Writer {
    items: mpsc::Sender<Vec<Item>>,
    /// Rows of small objects, until they are worth a hand-over.
    gathered: Vec<Item>,
    gathered_bytes: u64,
    layout: JoinHandle<Result<(), (LayoutError, Option<String>)>>,
    stager: JoinHandle<Result<Staged, StoreError>>,
    sync: String,
}

impl Writer {
    /// Starts the threads of one attempt; with `cuts`, files are cut at those rows whatever the limits say.
    pub(super) fn start(
        shard: &Shard<'_>,
        attempt: &str,
        open_log: Arc<OpenLog>,
        cuts: Option<Vec<StagedFile>>,
    ) -> Result<Self, RunError> {
        let (plan, context) = (Arc::clone(shard.plan), shard.context);
        let budget = context.budget(&plan.settings, plan.layout_bytes);
        let (sink, stager) = stage::channel(
            Arc::clone(&context.destination),
            open_log,
            Arc::new(plan.settings.destination.object.clone()),
            plan.part_bytes,
            budget.upload_bytes,
        );
        let (items, mut receiver) = mpsc::channel(HANDOVERS_WAITING);
        let layout_context = LayoutContext {
            plan: Arc::clone(&plan),
            shard: shard.number,
            scratch: context.scratch.join(format!("{}-{}-{attempt}", plan.epoch, shard.number)),
            pool: context.pool.clone(),
            cuts,
            segment_bytes_max: context.destination.segment_bytes_max(),
        };

        let objects = Arc::clone(&shard.objects);
        let sync = plan.settings.id.to_string();
        let stager = tokio::spawn(stager.run());
        let layout = tokio::task::spawn_blocking(move || lay_out(layout_context, sink, &objects, &mut receiver));
        Ok(Self { items, gathered: Vec::new(), gathered_bytes: 0, layout, stager, sync })
    }

    /// Hands rows over; waits while the layout is behind.
    pub(super) async fn push(&mut self, index: u32, first_row: u64, rows: Vec<Rows>) -> Result<(), SinkClosed> {
        self.gathered_bytes += rows.iter().map(Rows::memory_bytes).sum::<u64>();
        self.gathered.push(Item { index, first_row, rows });
        if self.gathered_bytes < HANDOVER_BYTES {
            return Ok(());
        }
        self.gathered_bytes = 0;
        self.items.send(std::mem::take(&mut self.gathered)).await.map_err(|_| SinkClosed)
    }

    /// Waits until every file is staged.
    pub(super) async fn finish(self) -> Result<Staged, RunError> {
        // A layout that has gone says below why it did.
        let _ = self.items.send(self.gathered).await;
        drop(self.items);
        let layout = self.layout.await.expect("layouts do not panic");
        let staged = self.stager.await.expect("stagers do not panic");
        match (layout, staged) {
            (Ok(()), Ok(staged)) => Ok(staged),
            // The layout that finds its sink closed only repeats what the stager says.
            (_, Err(error)) => {
                let mut failed = RunError::from(error);
                failed.message = format!("{}: {}", self.sync, failed.message);
                Err(failed)
            }
            (Err((error, near)), _) => {
                let of_data = match &error {
                    LayoutError::Encode(error) => error.is_of_data(),
                    error => matches!(error, LayoutError::KeyOfData { .. }),
                };
                let near = near.filter(|_| of_data).map(|near| format!("{near}: ")).unwrap_or_default();
                let what = format!("{}: {near}{error}", self.sync);
                Err(RunError::because(error.kind(), what, error))
            }
        }
    }

    /// Why a push failed.
    pub(super) async fn failure(self) -> RunError {
        match self.finish().await {
            Err(error) => error,
            Ok(_) => unreachable!("a layout closes its queue early only with an error"),
        }
    }

    /// Gives up: the uploads stay for the open log to end.
    pub(super) async fn stop(self) {
        self.stager.abort();
        drop(self.items);
        // The layout sees the closed sink at its next call, or has nothing left to do; its result no longer matters.
        let _ = self.layout.await;
        let _ = self.stager.await;
    }
}

/// With an error goes the object that was being laid out. Encoders gather rows, so it may be an object before it that
/// is at fault.
fn lay_out(
    context: LayoutContext,
    sink: Sender,
    objects: &[PlannedObject],
    items: &mut mpsc::Receiver<Vec<Item>>,
) -> Result<(), (LayoutError, Option<String>)> {
    let mut layout = Layout::new(context, sink);
    let mut near = None;
    let name = |(first, last): (u32, u32)| match objects[last as usize].object.key.as_str() {
        key if first == last => key.to_owned(),
        key => format!("{key} or an object read before it"),
    };
    while let Some(gathered) = items.blocking_recv() {
        for Item { index, mut first_row, rows } in gathered {
            near = Some((near.map_or(index, |(first, _)| first), index));
            for rows in rows {
                layout
                    .push(index, &objects[index as usize], first_row, &rows)
                    .map_err(|error| (error, near.map(name)))?;
                first_row += rows.batch().num_rows() as u64;
            }
        }
    }
    layout.finish().map(drop).map_err(|error| (error, near.map(name)))
}
