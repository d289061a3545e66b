//! Protocol step 2: one attempt at a shard. Objects are read side by side and consumed in plan order, so what is
//! written depends on the plan alone; uploads are staged, never completed.

mod attempt;
mod dead_letters;
mod objects;
mod refusal;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::attempt::{OpenObject, ShardAttempt};
use self::objects::{Consumed, ReadAhead};
use crate::model::data_file::DataFile;
use crate::model::manifest::{AttemptManifest, Excluded, StagedFile};
use crate::model::plan::{Plan, PlannedObject};
use crate::pipeline::commit::own::{self, OwnKeys};
use crate::pipeline::context::Context;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::pipeline::open_log::OpenLog;
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

/// What an attempt made.
#[derive(Debug)]
pub struct PreparedShard {
    /// What is written down of it.
    pub manifest: AttemptManifest,
    /// What else is known of the manifest's data files, in their order; dead letters stand behind them.
    pub data_files: Vec<DataFile>,
}

/// How an attempt ended.
enum Outcome {
    /// All that can be read is staged.
    Prepared(Box<PreparedShard>),
    /// An object failed after rows of it had entered a file: try again without it.
    Void(Excluded),
}

impl Shard<'_> {
    /// Prepares the shard, with as many attempts as it has objects that fail midway, and writes the manifest of the one
    /// that holds.
    pub async fn prepare(&self) -> Result<PreparedShard, RunError> {
        let mut excluded = BTreeMap::new();
        loop {
            self.context.go_on()?;
            let attempt = (self.context.ids)();
            let open_log = self.open_log(&attempt);
            match self.attempt(&attempt, &open_log, &excluded, None).await? {
                Outcome::Prepared(prepared) => {
                    let manifest = &prepared.manifest;
                    // What worker 0 would refuse is refused here: it would be prepared again without an end.
                    if let Err(reason) =
                        own::check_attempt(self.plan, &OwnKeys::of(&self.plan.settings), self.number, manifest)
                    {
                        open_log.abort_all().await;
                        return Err(RunError::new(
                            RunErrorKind::InvalidSpec,
                            format!("{}: {reason}", self.plan.settings.id),
                        ));
                    }
                    let written = self.blobs.put_attempt(self.plan, manifest).await;
                    if let Err(BlobError::TooLong { .. }) = written {
                        open_log.abort_all().await;
                    }
                    return match written {
                        Ok(()) => Ok(*prepared),
                        Err(error) => Err(RunError::from(error).of(&self.plan.settings.id)),
                    };
                }
                Outcome::Void(object) => {
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
            Outcome::Prepared(prepared) => {
                let manifest = prepared.manifest;
                let new = manifest.excluded.iter().find(|object| !excluded.contains_key(&object.key)).cloned();
                match new {
                    Some(object) => object,
                    None => return Ok(Rebuilt::Staged(manifest.files)),
                }
            }
            Outcome::Void(object) => object,
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
        id: &str,
        open_log: &Arc<OpenLog>,
        excluded: &BTreeMap<String, Excluded>,
        wanted: Option<&[StagedFile]>,
    ) -> Result<Outcome, RunError> {
        let mut reads = ReadAhead::start(self, excluded);
        let mut attempt = ShardAttempt::start(self, id, open_log, excluded, wanted)?;
        while let Some(mut read) = reads.next().await {
            let mut object = OpenObject::new(self, read.index);
            let ended = loop {
                let decoded = tokio::select! {
                    biased;
                    () = self.context.cancel.cancelled() => return Err(self.context.interrupted()),
                    consumed = read.next() => match consumed {
                        Consumed::Decoded(decoded) => decoded,
                        Consumed::Ended(ended) => break ended,
                    },
                };
                object.show_bytes(read.taken_bytes());
                attempt.on_decoded(&mut object, decoded).await?;
            };
            match ended {
                Ok(()) => attempt.on_end(&object),
                Err(error) => {
                    if let Some(excluded) = attempt.on_failure(&object, error, read.released())? {
                        return Ok(Outcome::Void(excluded));
                    }
                }
            }
            object.show_done();
        }
        attempt.finish().await
    }
}
