//! One attempt at a shard, step by step: what becomes of an object's batches, of its end, and of what the frozen schema
//! cannot hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::dead_letters::DeadLetters;
use super::refusal::{bad_record, exclusion};
use super::writer::Writer;
use super::{Outcome, PreparedShard, Shard};
use crate::codec::Decoded;
use crate::model::manifest::{AttemptManifest, Excluded, SchemaMismatch, StagedFile, TableTotals};
use crate::model::plan::{PlannedObject, Slice};
use crate::model::schema::{TableSchema, merge};
use crate::pipeline::error::RunError;
use crate::pipeline::open_log::OpenLog;
use crate::pipeline::read::ReadError;
use crate::pipeline::stage::Staged;

/// What an attempt has made so far. Objects come one after the other, in plan order.
pub(super) struct ShardAttempt<'a> {
    shard: &'a Shard<'a>,
    id: &'a str,
    open_log: Arc<OpenLog>,
    /// The recorded files that it makes again, and no others.
    wanted: Option<&'a [StagedFile]>,
    /// `None` from the first mismatch on: nothing of the attempt can be used then, and what is left is read only to
    /// know every mismatch at once.
    writer: Option<Writer>,
    dead_letters: DeadLetters<'a>,
    tables: BTreeMap<u32, TableTotals>,
    excluded: Vec<Excluded>,
    mismatches: BTreeMap<u32, SchemaMismatch>,
    bad_records: u64,
}

/// The object whose turn it is.
pub(super) struct OpenObject<'a> {
    shard: &'a Shard<'a>,
    /// Index in the shard.
    index: u32,
    /// Records and rows of its batches so far.
    records: u64,
    rows: u64,
    /// Its bytes that are counted as done.
    shown_bytes: u64,
}

impl<'a> ShardAttempt<'a> {
    /// An attempt that has read nothing and leaves these objects out.
    pub(super) fn start(
        shard: &'a Shard<'a>,
        id: &'a str,
        open_log: &Arc<OpenLog>,
        excluded: &BTreeMap<String, Excluded>,
        wanted: Option<&'a [StagedFile]>,
    ) -> Result<Self, RunError> {
        Ok(Self {
            shard,
            id,
            open_log: Arc::clone(open_log),
            wanted,
            writer: Some(Writer::start(shard, id, Arc::clone(open_log), wanted.map(<[StagedFile]>::to_vec))?),
            dead_letters: DeadLetters::new(shard, Arc::clone(open_log), wanted),
            tables: BTreeMap::new(),
            excluded: excluded.values().cloned().collect(),
            mismatches: BTreeMap::new(),
            bad_records: 0,
        })
    }

    /// Takes what came next of an object.
    ///
    /// # Errors
    /// A bad record more than are allowed, and what stopped the files.
    pub(super) async fn on_decoded(&mut self, object: &mut OpenObject<'_>, decoded: Decoded) -> Result<(), RunError> {
        let first_record = object.records;
        object.records += decoded.records;
        self.count_bad_records(object, &decoded)?;
        if let Some(schema) = decoded.mismatch {
            self.on_mismatch(object, schema).await;
            return Ok(());
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        self.dead_letters.add(object.planned(), first_record, &decoded.bad).await?;
        let first_row = object.rows + 1;
        let rows: u64 = decoded.rows.iter().map(|rows| rows.batch().num_rows() as u64).sum();
        object.rows += rows;
        totals(&mut self.tables, object.planned().table).rows += rows;
        self.shard.context.progress.rows.fetch_add(rows, Ordering::Relaxed);
        if writer.push(object.index, first_row, decoded.rows).await.is_err() {
            let writer = self.writer.take().expect("it was just used");
            return Err(writer.failure().await);
        }
        Ok(())
    }

    fn count_bad_records(&mut self, object: &OpenObject<'_>, decoded: &Decoded) -> Result<(), RunError> {
        let allowed = self.shard.plan.settings.errors.max_bad_records;
        self.bad_records += decoded.bad.len() as u64;
        if self.bad_records <= allowed {
            return Ok(());
        }
        let bad = if allowed == 0 { decoded.bad.first() } else { decoded.bad.last() };
        Err(bad_record(self.shard, object.planned(), bad.expect("the count has just grown")))
    }

    /// Gives the files up, and notes what the frozen schema of the object's table cannot hold.
    async fn on_mismatch(&mut self, object: &OpenObject<'_>, schema: TableSchema) {
        if let Some(writer) = self.writer.take() {
            writer.stop().await;
        }
        let PlannedObject { table, object, .. } = object.planned();
        self.mismatches
            .entry(*table)
            .and_modify(|mismatch| mismatch.schema = merge(&mismatch.schema, &schema))
            .or_insert_with(|| SchemaMismatch { table: *table, key: object.key.clone(), schema });
    }

    /// An object was read to its end.
    pub(super) fn on_end(&mut self, object: &OpenObject<'_>) {
        let planned = object.planned();
        let totals = totals(&mut self.tables, planned.table);
        let later_slice =
            matches!(planned.slice, Some(Slice::Bytes { start, .. } | Slice::RowGroups { start, .. }) if start > 0);
        totals.objects += u64::from(!later_slice);
        totals.bytes += object.stored_bytes();
        let newest = (planned.object.last_modified, planned.object.key.clone());
        totals.newest = Some(totals.newest.take().map_or(newest.clone(), |known| known.max(newest)));
    }

    /// An object could not be read to its end: it is left out. `released` says whether rows of it may be in a file
    /// already; the attempt is void then, and that is the object to leave out of the next one.
    ///
    /// # Errors
    /// Where such an object ends the run.
    pub(super) fn on_failure(
        &mut self,
        object: &OpenObject<'_>,
        error: ReadError,
        released: bool,
    ) -> Result<Option<Excluded>, RunError> {
        totals(&mut self.tables, object.planned().table);
        let excluded = exclusion(self.shard, object.planned(), error)?;
        // A rebuild needs every object that the recorded rows came from.
        if self.wanted.is_some() || (released && self.writer.is_some()) {
            return Ok(Some(excluded));
        }
        self.excluded.push(excluded);
        Ok(None)
    }

    /// Ends the files and says what there is.
    pub(super) async fn finish(self) -> Result<Outcome, RunError> {
        let (shard, context) = (self.shard, self.shard.context);
        let mut staged = Staged::default();
        match self.writer {
            Some(writer) => {
                staged = writer.finish().await?;
                staged.files.extend(self.dead_letters.finish().await?);
            }
            None => self.open_log.abort_all().await,
        }
        let manifest = AttemptManifest {
            sliced: shard.objects.first().filter(|first| first.slice.is_some()).map(|first| first.object.key.clone()),
            files: staged.files,
            tables: self.tables.into_values().collect(),
            excluded: self.excluded,
            bad_records: self.bad_records,
            mismatches: self.mismatches.into_values().collect(),
            ..AttemptManifest::empty(shard.number, shard.plan.number, self.id, context.destination.server_time())
        };
        Ok(Outcome::Prepared(Box::new(PreparedShard { manifest, data_files: staged.data_files })))
    }
}

fn totals(tables: &mut BTreeMap<u32, TableTotals>, table: u32) -> &mut TableTotals {
    tables.entry(table).or_insert_with(|| TableTotals { table, ..TableTotals::default() })
}

impl<'a> OpenObject<'a> {
    pub(super) fn new(shard: &'a Shard<'a>, index: u32) -> Self {
        Self { shard, index, records: 0, rows: 0, shown_bytes: 0 }
    }

    fn planned(&self) -> &'a PlannedObject {
        &self.shard.objects[self.index as usize]
    }

    /// Bytes of it, or of its slice, as stored.
    fn stored_bytes(&self) -> u64 {
        let planned = self.planned();
        planned.slice.map_or(planned.object.size, Slice::bytes)
    }

    /// Shows how many of its stored bytes are decoded.
    pub(super) fn show_bytes(&mut self, taken_bytes: u64) {
        let taken_bytes = taken_bytes.min(self.stored_bytes());
        self.shard.context.progress.bytes_done.fetch_add(taken_bytes - self.shown_bytes, Ordering::Relaxed);
        self.shown_bytes = taken_bytes;
    }

    /// Shows that it is done, whether it could be read or not.
    pub(super) fn show_done(mut self) {
        self.show_bytes(u64::MAX);
        self.shard.context.progress.objects_done.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
