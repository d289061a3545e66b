//! Protocol step 2: one attempt at a shard. Objects are read side by side and consumed in plan order, so what is
//! written depends on the plan alone; uploads are staged, never completed.

mod dead_letters;
mod objects;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use self::dead_letters::DeadLetters;
use self::objects::{Consumed, ReadAhead};
use self::writer::Writer;
use crate::codec::BadRecord;
use crate::model::format::InputFormat;
use crate::model::manifest::{AttemptManifest, Excluded, Exclusion, SchemaMismatch, StagedFile, TableTotals};
use crate::model::plan::{Plan, PlannedObject, Slice};
use crate::model::schema::merge;
use crate::model::settings::{OnBadObject, Settings};
use crate::pipeline::commit::own::{self, OwnKeys};
use crate::pipeline::context::Context;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::pipeline::open_log::OpenLog;
use crate::pipeline::read::{ReadError, at};
use crate::state::blobs::{BlobError, Blobs};

/// A shard that a worker prepares.
pub struct Shard<'a> {
    /// The surroundings.
    pub context: &'a Context,
    /// Where blobs lie.
    pub blobs: &'a Blobs,
    /// The plan.
    pub plan: &'a Arc<Plan>,
    /// Index into the plan's shards.
    pub number: u32,
    /// Its objects, in plan order.
    pub objects: Arc<Vec<PlannedObject>>,
}

/// How a rebuild ended.
pub enum Rebuilt {
    /// The wanted files, staged again.
    Staged(Vec<StagedFile>),
    /// An object that its rows come from is no longer what it was.
    SourceGone(Excluded),
}

/// How an attempt ended.
enum Attempt {
    /// All that can be read is staged.
    Prepared(Box<AttemptManifest>),
    /// An object failed after rows of it had entered a file: try again without it.
    Void(Excluded),
}

impl Shard<'_> {
    /// Prepares the shard, with as many attempts as it has objects that fail midway, and writes the manifest of the one
    /// that holds.
    pub async fn prepare(&self) -> Result<(), RunError> {
        let mut excluded = BTreeMap::new();
        loop {
            self.context.go_on()?;
            let attempt = (self.context.ids)();
            let open_log = self.open_log(&attempt);
            match self.attempt(&attempt, &open_log, &excluded, None).await? {
                Attempt::Prepared(manifest) => {
                    // What worker 0 would refuse is refused here: it would be prepared again without an end.
                    if let Err(reason) =
                        own::check_attempt(self.plan, &OwnKeys::of(&self.plan.settings), self.number, &manifest)
                    {
                        open_log.abort_all().await;
                        return Err(RunError::new(
                            RunErrorKind::InvalidSpec,
                            format!("{}: {reason}", self.plan.settings.id),
                        ));
                    }
                    let written = self.blobs.put_attempt(self.plan, &manifest).await;
                    if let Err(BlobError::TooLong { .. }) = written {
                        open_log.abort_all().await;
                    }
                    return written.map_err(|error| RunError::from(error).of(&self.plan.settings.id));
                }
                Attempt::Void(object) => {
                    tracing::warn!(
                        key = object.key,
                        reason = object.message,
                        "left out after rows of it were staged: trying again without it"
                    );
                    open_log.abort_all().await;
                    excluded.insert(object.key.clone(), object);
                }
            }
        }
    }

    /// Stages recorded files again, from the same objects.
    pub async fn rebuild(
        &self,
        wanted: &[StagedFile],
        excluded: &BTreeMap<String, Excluded>,
    ) -> Result<Rebuilt, RunError> {
        let attempt = (self.context.ids)();
        let open_log = self.open_log(&attempt);
        let gone = match self.attempt(&attempt, &open_log, excluded, Some(wanted)).await? {
            Attempt::Prepared(manifest) => {
                let new = manifest.excluded.iter().find(|object| !excluded.contains_key(&object.key)).cloned();
                match new {
                    Some(object) => object,
                    None => return Ok(Rebuilt::Staged(manifest.files)),
                }
            }
            Attempt::Void(object) => object,
        };
        open_log.abort_all().await;
        Ok(Rebuilt::SourceGone(gone))
    }

    fn open_log(&self, attempt: &str) -> Arc<OpenLog> {
        let stem =
            self.blobs.attempt_stem(self.plan.epoch, self.plan.shards[self.number as usize].plan, self.number, attempt);
        Arc::new(OpenLog::new(Arc::clone(&self.context.destination), stem, self.blobs.sealing(self.plan).cloned()))
    }

    async fn attempt(
        &self,
        attempt: &str,
        open_log: &Arc<OpenLog>,
        excluded: &BTreeMap<String, Excluded>,
        wanted: Option<&[StagedFile]>,
    ) -> Result<Attempt, RunError> {
        let settings = &self.plan.settings;
        let mut reads = ReadAhead::start(self, excluded);
        let mut writer = Some(Writer::start(self, attempt, Arc::clone(open_log), wanted.map(<[StagedFile]>::to_vec))?);
        let mut dead_letters = DeadLetters::new(self, Arc::clone(open_log), wanted);
        let mut totals: BTreeMap<u32, TableTotals> = BTreeMap::new();
        let mut left_out: Vec<Excluded> = excluded.values().cloned().collect();
        let mut mismatches: BTreeMap<u32, SchemaMismatch> = BTreeMap::new();
        let mut bad_records = 0u64;
        while let Some(mut read) = reads.next().await {
            let planned = &self.objects[read.index as usize];
            let table = totals
                .entry(planned.table)
                .or_insert_with(|| TableTotals { table: planned.table, ..TableTotals::default() });
            let stored_bytes = planned.slice.map_or(planned.object.size, slice_bytes);
            let (mut records, mut rows, mut shown_bytes) = (0u64, 0u64, 0u64);
            let ended = loop {
                let decoded = tokio::select! {
                    biased;
                    () = self.context.cancel.cancelled() => return Err(self.context.interrupted()),
                    consumed = read.next() => match consumed {
                        Consumed::Decoded(decoded) => decoded,
                        Consumed::Ended(ended) => break ended,
                    },
                };
                let taken_bytes = read.taken_bytes().min(stored_bytes);
                self.context.progress.bytes_done.fetch_add(taken_bytes - shown_bytes, Ordering::Relaxed);
                shown_bytes = taken_bytes;
                let first = records;
                records += decoded.records;
                if let Some(bad) = decoded.bad.first()
                    && settings.errors.max_bad_records == 0
                {
                    return Err(self.bad_record(planned, bad));
                }
                bad_records += decoded.bad.len() as u64;
                if bad_records > settings.errors.max_bad_records {
                    let last = decoded.bad.last().expect("the count has just grown");
                    return Err(self.bad_record(planned, last));
                }
                if let Some(schema) = decoded.mismatch {
                    // Nothing of this attempt can be used; what is left is read on only to know every mismatch at once.
                    if let Some(writer) = writer.take() {
                        writer.stop().await;
                    }
                    mismatches
                        .entry(planned.table)
                        .and_modify(|mismatch| mismatch.schema = merge(&mismatch.schema, &schema))
                        .or_insert_with(|| SchemaMismatch {
                            table: planned.table,
                            key: planned.object.key.clone(),
                            schema,
                        });
                    continue;
                }
                if let Some(active) = &mut writer {
                    dead_letters.add(planned, first, &decoded.bad).await?;
                    let first_row = rows + 1;
                    let more: u64 = decoded.rows.iter().map(|rows| rows.batch().num_rows() as u64).sum();
                    rows += more;
                    table.rows += more;
                    self.context.progress.rows.fetch_add(more, Ordering::Relaxed);
                    if active.push(read.index, first_row, decoded.rows).await.is_err() {
                        let failed = writer.take().expect("it was just used");
                        return Err(failed.failure().await);
                    }
                }
            };
            match ended {
                Ok(()) => {
                    let first_slice = !matches!(planned.slice, Some(Slice::Bytes { start, .. } | Slice::RowGroups { start, .. }) if start > 0);
                    table.objects += u64::from(first_slice);
                    table.bytes += stored_bytes;
                    let newest = (planned.object.last_modified, planned.object.key.clone());
                    table.newest = Some(table.newest.take().map_or(newest.clone(), |known| known.max(newest)));
                }
                Err(error) => {
                    let object = self.exclusion(planned, error)?;
                    // A rebuild needs every object that the recorded rows came from.
                    if wanted.is_some() || (read.released() && writer.is_some()) {
                        return Ok(Attempt::Void(object));
                    }
                    left_out.push(object);
                }
            }
            self.context.progress.objects_done.fetch_add(1, Ordering::Relaxed);
            self.context.progress.bytes_done.fetch_add(stored_bytes - shown_bytes, Ordering::Relaxed);
        }
        let mut files: Vec<StagedFile> = Vec::new();
        match writer {
            Some(writer) => {
                files = writer.finish().await?;
                files.extend(dead_letters.finish().await?);
            }
            None => open_log.abort_all().await,
        }
        Ok(Attempt::Prepared(Box::new(AttemptManifest {
            sliced: self.objects.first().filter(|first| first.slice.is_some()).map(|first| first.object.key.clone()),
            files,
            tables: totals.into_values().collect(),
            excluded: left_out,
            bad_records,
            mismatches: mismatches.into_values().collect(),
            ..AttemptManifest::empty(self.number, self.plan.number, attempt, self.context.destination.server_time())
        })))
    }

    /// What a failed read means: an object to leave out, or the end of the run.
    fn exclusion(&self, planned: &PlannedObject, error: ReadError) -> Result<Excluded, RunError> {
        let reason = match &error {
            ReadError::Changed { .. } => Exclusion::Changed,
            ReadError::Archived { .. } if self.plan.settings.errors.on_bad_object == OnBadObject::Quarantine => {
                Exclusion::Archived
            }
            ReadError::Archived { .. } => {
                return Err(RunError::new(
                    RunErrorKind::BadData,
                    format!(
                        "{}: {}/{error}; restore it, leave it out with source.exclude, or set errors.onBadObject: Quarantine, which leaves it out \
                         until it is restored",
                        self.plan.settings.id,
                        self.context.source.place(),
                    ),
                ));
            }
            ReadError::Bad { .. } if self.plan.settings.errors.on_bad_object == OnBadObject::Quarantine => {
                Exclusion::Quarantined
            }
            ReadError::Bad { .. } => {
                return Err(RunError::new(
                    RunErrorKind::BadData,
                    format!(
                        "{}: {}/{error}; {}mend or remove the object, or set errors.onBadObject: Quarantine",
                        self.plan.settings.id,
                        self.context.source.place(),
                        stray(&self.plan.settings, &planned.object.key),
                    ),
                ));
            }
            ReadError::Stopped => return Err(self.context.interrupted()),
            ReadError::Store(_) => {
                let ReadError::Store(error) = error else { unreachable!("just matched") };
                let mut run_error = RunError::from(error);
                run_error.message = format!("{}: {}", self.plan.settings.id, run_error.message);
                return Err(run_error);
            }
        };
        Ok(Excluded {
            key: planned.object.key.clone(),
            etag: planned.object.etag.as_str().to_owned(),
            reason,
            message: error.to_string(),
        })
    }

    fn bad_record(&self, planned: &PlannedObject, bad: &BadRecord) -> RunError {
        let allowed = self.plan.settings.errors.max_bad_records;
        let advice = if allowed == 0 {
            "mend the object, or allow bad records with errors.maxBadRecords and errors.deadLetterPath".to_owned()
        } else {
            format!("it is one more than the {allowed} that errors.maxBadRecords allows")
        };
        RunError::new(
            RunErrorKind::BadData,
            format!(
                "{}: {}/{}{}: {}; {}{advice}",
                self.plan.settings.id,
                self.context.source.place(),
                planned.object.key,
                at(&Some(bad.position)),
                bad.reason,
                stray(&self.plan.settings, &planned.object.key),
            ),
        )
    }
}

/// What may be wrong with an object that cannot be read in the format that the spec names, where its key says another
/// one, or none.
fn stray(settings: &Settings, key: &str) -> String {
    match settings.source.format {
        Some(format) if InputFormat::of_key(key).is_none_or(|(named, _)| named != format) => {
            format!(
                "source.format reads every object as {format}, whatever its key says: leave it out with source.exclude, "
            )
        }
        _ => String::new(),
    }
}

fn slice_bytes(slice: Slice) -> u64 {
    match slice {
        Slice::Bytes { start, end } | Slice::RowGroups { start, end } => end - start,
    }
}
