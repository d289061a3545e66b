//! Parquet objects: footer first, then the wanted columns of each row group through windows, row groups side by side.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ::parquet::file::metadata::ParquetMetaData;
use ::parquet::file::reader::ChunkReader;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Output, ReadError, Reader, WHOLE_OBJECT_BYTES_MAX};
use crate::codec::decode::object::{Decode, Step};
use crate::codec::decode::parquet::{FooterDecoder, ParquetDecoder, open_page_bytes, row_groups, stretches};
use crate::codec::encode::parquet_codec;
use crate::codec::{DecodeError, Decoded, Passthrough};
use crate::model::format::OutputFormat;
use crate::model::plan::PlannedObject;
use crate::model::schema::TableSchema;
use crate::model::shard::LAYOUT_BYTES;
use crate::pipeline::fetch::get_whole;
use crate::pipeline::windows::WindowedObject;

/// Row groups of one object decoded side by side: one a core of a small machine, and the second hides the round trips
/// of the first. Where their pages are large one has to do.
const ROW_GROUPS_AT_ONCE: usize = 2;

/// Bytes of one row group fetched at once: what most programs write as a row group, compressed, fits; larger ones go
/// through windows.
const ROW_GROUP_BYTES: u64 = 16 << 20;

/// What one streaming object holds at the most, as it is stored: two large row groups being decoded, or more small
/// ones, some of them fetched ahead.
pub(super) const PARQUET_FETCH_BYTES: u64 = ROW_GROUP_BYTES * 5 / 2;

/// Row groups of one object under way, small ones too: each is a request at the least.
const ROW_GROUPS_MAX: usize = 4;

/// Batches of one row group that wait for their turn: the next one is decoded while this one waits.
const BATCHES_WAITING: usize = 1;

/// A row group on its thread.
struct RowGroup {
    decoded: mpsc::Receiver<Result<Decoded, DecodeError>>,
    object: Option<WindowedObject>,
    thread: JoinHandle<()>,
}

/// A row group on its way here.
struct Fetching {
    group: usize,
    object: WindowedObject,
    cost: Cost,
}

/// What a row group takes.
struct Cost {
    /// Bytes of its wanted columns, as they are stored.
    stored_bytes: u64,
    /// Bytes of its open pages.
    page_bytes: u64,
}

impl Cost {
    /// Stored bytes that are held at once.
    fn fetched_bytes(&self) -> u64 {
        self.stored_bytes.min(ROW_GROUP_BYTES)
    }
}

impl Reader {
    pub(super) async fn read_parquet(
        &self,
        planned: &PlannedObject,
        table: Arc<TableSchema>,
        output: &mut Output,
    ) -> Result<(), ReadError> {
        if planned.slice.is_none() && planned.object.size <= WHOLE_OBJECT_BYTES_MAX {
            let bytes = self.get(planned, None).await?;
            let metadata = self.footer(planned, Some(&bytes)).await?;
            let groups = row_groups(&metadata, None);
            let row_group = self.decode_on_thread(bytes, metadata, &table, groups, None);
            return self.drain(planned, row_group, output).await;
        }
        let metadata = self.footer(planned, None).await?;
        let drop = &self.settings.schema.drop;
        let of_decode = |error| ReadError::of_decode(planned, error);
        // Each is looked at once, also where it has to wait.
        let next = |group| -> Result<(usize, Vec<Range<u64>>, Cost), ReadError> {
            let ranges = stretches(&metadata, group, &table, drop).map_err(of_decode)?;
            let stored_bytes = ranges.iter().map(|range| range.end - range.start).sum();
            let page_bytes = open_page_bytes(&metadata, group, &table, drop).map_err(of_decode)?;
            Ok((group, ranges, Cost { stored_bytes, page_bytes }))
        };
        let mut waiting = row_groups(&metadata, planned.slice).into_iter().map(next).peekable();
        let mut fetching: VecDeque<Fetching> = VecDeque::new();
        let mut running: VecDeque<(RowGroup, Cost)> = VecDeque::new();
        loop {
            let fits = |cost: &Cost| {
                let costs =
                    || fetching.iter().map(|fetching| &fetching.cost).chain(running.iter().map(|(_, cost)| cost));
                let fetched_bytes: u64 = costs().map(Cost::fetched_bytes).sum();
                costs().count() < ROW_GROUPS_MAX
                    && (fetched_bytes == 0 || fetched_bytes + cost.fetched_bytes() <= PARQUET_FETCH_BYTES)
            };
            if let Some(next) = waiting.next_if(|next| next.as_ref().map_or(true, |(_, _, cost)| fits(cost))) {
                let (group, ranges, cost) = next?;
                // Windows need not hold as much as what is fetched at once: what they feed takes memory of its own.
                let memory = if cost.stored_bytes > ROW_GROUP_BYTES { ROW_GROUP_BYTES / 4 } else { ROW_GROUP_BYTES };
                let object = WindowedObject::new(Arc::clone(&self.source), planned.object.clone(), &ranges, memory);
                fetching.push_back(Fetching { group, object, cost });
                continue;
            }
            while let Some(next) = fetching.front() {
                let open_bytes: u64 = running.iter().map(|(_, cost)| cost.page_bytes).sum();
                let alone = open_bytes.saturating_add(next.cost.page_bytes) > self.budget.read_bytes / 2;
                if running.len() == ROW_GROUPS_AT_ONCE || !running.is_empty() && alone {
                    break;
                }
                let Some(Fetching { group, object, cost }) = fetching.pop_front() else { break };
                let row_group =
                    self.decode_on_thread(object.clone(), Arc::clone(&metadata), &table, vec![group], Some(object));
                running.push_back((row_group, cost));
            }
            let Some((row_group, cost)) = running.pop_front() else { return Ok(()) };
            self.drain(planned, row_group, output).await?;
            self.taken_bytes.fetch_add(cost.stored_bytes, Ordering::Relaxed);
        }
    }

    /// The footer, from `whole` where the object is here already.
    async fn footer(&self, planned: &PlannedObject, whole: Option<&Bytes>) -> Result<Arc<ParquetMetaData>, ReadError> {
        let mut decoder = FooterDecoder::new(planned.object.size, self.budget.record_bytes_max);
        loop {
            match decoder.next().map_err(|error| ReadError::of_decode(planned, error))? {
                Step::Ready(metadata) => return Ok(metadata),
                Step::NeedsRange(range) => decoder.push(match whole {
                    Some(whole) => whole.slice(range.start as usize..range.end as usize),
                    None => self.get(planned, Some(range)).await?,
                }),
                Step::Finished => unreachable!("an object has a footer, or an error"),
            }
        }
    }

    pub(crate) async fn get(&self, planned: &PlannedObject, range: Option<Range<u64>>) -> Result<Bytes, ReadError> {
        // All of it is asked for without a range: an empty object has none.
        let range = range.filter(|range| *range != (0..planned.object.size));
        get_whole(self.source.as_ref(), &planned.object, range)
            .await
            .map_err(|error| ReadError::of_store(planned, error))
    }

    /// Decodes row groups on a blocking thread, because the decoder may wait for the network in the middle of a page.
    fn decode_on_thread<R: ChunkReader + 'static>(
        &self,
        reader: R,
        metadata: Arc<ParquetMetaData>,
        table: &Arc<TableSchema>,
        groups: Vec<usize>,
        object: Option<WindowedObject>,
    ) -> RowGroup {
        let (sender, decoded) = mpsc::channel(BATCHES_WAITING);
        let (table, settings, page_bytes_max) =
            (Arc::clone(table), Arc::clone(&self.settings), self.budget.record_bytes_max);
        // Only what is in memory can be taken over: behind a window it would have to be fetched again.
        let is_held = object.as_ref().is_none_or(WindowedObject::is_held);
        let destination = &settings.destination;
        let takes_over = is_held && destination.format == OutputFormat::Parquet && destination.partition_by.is_empty();
        // An eighth of what a layout gives a row group: below it none is taken over.
        let passthrough = |codec| Passthrough { codec, bytes_min: LAYOUT_BYTES / 16 };
        let passthrough = takes_over.then(|| parquet_codec(&destination.parquet).ok().map(passthrough)).flatten();
        let thread = tokio::task::spawn_blocking(move || {
            let rows = settings.worker.rows_per_batch;
            let decoder =
                ParquetDecoder::new(reader, metadata, table, &settings.schema.drop, groups, rows, page_bytes_max);
            let mut decoder = match decoder {
                Ok(decoder) => decoder.with_passthrough(passthrough),
                Err(error) => {
                    // Whoever no longer listens has its own reason.
                    let _ = sender.blocking_send(Err(error));
                    return;
                }
            };
            while let Some(next) = decoder.next().transpose() {
                let failed = next.is_err();
                if sender.blocking_send(next).is_err() || failed {
                    return;
                }
            }
        });
        RowGroup { decoded, object, thread }
    }

    async fn drain(&self, planned: &PlannedObject, mut group: RowGroup, output: &mut Output) -> Result<(), ReadError> {
        while let Some(decoded) = group.decoded.recv().await {
            let decoded =
                decoded.map_err(|error| match group.object.as_ref().and_then(WindowedObject::take_failure) {
                    Some(error) => ReadError::of_store(planned, error),
                    None => ReadError::of_decode(planned, error),
                })?;
            self.emit(planned, decoded, output).await?;
        }
        group.thread.await.expect("decoders do not panic");
        Ok(())
    }
}
