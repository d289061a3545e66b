//! Blobs: what the cursor names. Content-addressed, written before they are named, never changed.
//!
//! A blob's key is `<state prefix>/<state id>/<epoch>/<kind>-<sha256>.s3sync`; what attempts leave lies in
//! `<state prefix>/<state id>/<epoch>/<plan>/<shard>-<attempt>…s3sync`, and is found by LIST.

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use super::proof::{Chunks, Proof, digest};
use super::seal::StateKey;
use super::wire::{BlobKind, BlobReader, BlobWriter, WireError};
use crate::model::commit_record::{CommitRecord, CommittedFile};
use crate::model::manifest::{AttemptManifest, Decision};
use crate::model::plan::{BlobKey, Plan, PlannedObject};
use crate::store::{Condition, Store, StoreError};

/// One line of a commit record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CommitRecordLine {
    /// The first line.
    Header(CommitRecord),
    /// A shard's objects, in plan order: files name them by index.
    Objects {
        /// The shard.
        shard: u32,
        /// The objects' keys.
        keys: Vec<String>,
    },
    /// A file.
    File(CommittedFile),
}

/// The blobs of one cursor.
#[derive(Clone, Debug)]
pub struct Blobs {
    store: Arc<dyn Store>,
    /// The state prefix, which other syncs may share.
    root: String,
    /// This cursor's directory in it.
    prefix: String,
    /// Whoever only reads what the cursor names has none.
    key: Option<StateKey>,
}

/// An attempt's manifest holds a line for each file and for each object that was left out; this is a million of them,
/// compressed.
const ATTEMPT_BYTES_MAX: u64 = 64 << 20;

/// What can go wrong with a blob.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// It is named and not there. The caller reads the cursor again: if that still names it, the run must stop.
    #[error(
        "{place}/{key} is named by the cursor but is not there; put it back from a copy or a version of the bucket, or start over \
         with `s3sync state reset --yes`"
    )]
    Missing {
        /// The bucket.
        place: String,
        /// The blob.
        key: String,
    },
    /// Its bytes are not what we wrote.
    #[error(
        "{place}/{key}: {reason}; put it back from a copy or a version of the bucket, or start over with `s3sync state reset --yes`"
    )]
    Nonsense {
        /// The bucket.
        place: String,
        /// The blob.
        key: String,
        /// What does not fit.
        reason: String,
    },
    /// It would be longer than what is read back. Nothing was written.
    #[error("{what} would take {bytes} bytes, and no more than {} are read back: {advice}", .kind.line_bytes_max())]
    TooLong {
        /// The kind of blob.
        kind: BlobKind,
        /// What is too long, for people.
        what: &'static str,
        /// Bytes of its longest line.
        bytes: usize,
        /// What makes it shorter.
        advice: &'static str,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Refuses what would be written and could not be read back.
fn check_longest(kind: BlobKind, blob: &BlobWriter) -> Result<(), BlobError> {
    let bytes = blob.longest();
    if bytes <= kind.line_bytes_max() {
        return Ok(());
    }
    let (what, advice) = match kind {
        BlobKind::Attempt => (
            "the list of the files that one shard makes, and of the objects that it leaves out,",
            "have fewer and larger files by a coarser destination.partitionBy, or smaller epochs by limits.bytesPerCommit",
        ),
        BlobKind::Plan => ("the plan", "have fewer tables, in several syncs of some prefixes each"),
        _ => ("a line of the state", "have smaller epochs, by limits.objectsPerCommit and limits.bytesPerCommit"),
    };
    Err(BlobError::TooLong { kind, what, bytes, advice })
}

impl Blobs {
    /// The blobs of the cursor with `state_id`, under `state_prefix` of the destination bucket.
    pub fn new(store: Arc<dyn Store>, state_prefix: &str, state_id: &str) -> Self {
        let root = state_prefix.trim_end_matches('/').to_owned();
        Self { store, prefix: format!("{root}/{state_id}"), root, key: None }
    }

    /// The same for a worker, who seals what it leaves and tells what others of the sync have left.
    pub fn with_key(self, key: StateKey) -> Self {
        Self { key: Some(key), ..self }
    }

    /// The key, where there is one.
    pub fn key(&self) -> Option<&StateKey> {
        self.key.as_ref()
    }

    /// The state prefix, without a `/` at its end.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Whether a key lies in this cursor's directory.
    pub fn holds(&self, key: &str) -> bool {
        key.strip_prefix(&self.prefix).is_some_and(|rest| rest.starts_with('/'))
    }

    /// The bucket that they lie in.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Prefix of everything written for one epoch.
    pub fn epoch_prefix(&self, epoch: u64) -> String {
        format!("{}/{epoch}/", self.prefix)
    }

    /// Prefix of what attempts under one plan leave.
    pub fn attempts_prefix(&self, epoch: u64, plan: u32) -> String {
        format!("{}/{epoch}/{plan}/", self.prefix)
    }

    /// What the keys of one attempt begin with.
    pub fn attempt_stem(&self, epoch: u64, plan: u32, shard: u32, attempt: &str) -> String {
        format!("{}/{epoch}/{plan}/{shard}-{attempt}", self.prefix)
    }

    /// The epoch that a blob was written for; `None` for keys that are not under this cursor's prefix.
    pub fn epoch_of(&self, key: &BlobKey) -> Option<u64> {
        key.0.strip_prefix(&self.prefix)?.strip_prefix('/')?.split('/').next()?.parse().ok()
    }

    /// What a key under [`Blobs::epoch_prefix`] is, by its name; `None` for attempts and strangers.
    pub fn kind_of(key: &str) -> Option<BlobKind> {
        let name = key.rsplit('/').next()?;
        let (word, _) = name.strip_suffix(".s3sync")?.split_once('-')?;
        [
            BlobKind::Plan,
            BlobKind::Shard,
            BlobKind::Objects,
            BlobKind::Ledger,
            BlobKind::Decision,
            BlobKind::CommitRecord,
            BlobKind::Garbage,
        ]
        .into_iter()
        .find(|kind| kind.word() == word)
    }

    /// Writes a blob of `epoch`; writing the same content again is harmless.
    pub async fn put(&self, epoch: u64, kind: BlobKind, blob: BlobWriter) -> Result<BlobKey, BlobError> {
        check_longest(kind, &blob)?;
        self.put_bytes(epoch, kind, blob.finish()).await
    }

    /// Writes what [`BlobWriter::finish`] gave.
    pub async fn put_bytes(&self, epoch: u64, kind: BlobKind, bytes: Vec<u8>) -> Result<BlobKey, BlobError> {
        let key = format!("{}/{epoch}/{}-{}.s3sync", self.prefix, kind.word(), digest(&bytes));
        self.store.put(&key, Bytes::from(bytes), Condition::Any).await?;
        Ok(BlobKey(key))
    }

    /// Writes a blob of one line.
    pub async fn put_one(&self, epoch: u64, kind: BlobKind, value: &impl Serialize) -> Result<BlobKey, BlobError> {
        let mut blob = BlobWriter::new(kind);
        blob.line(value);
        self.put(epoch, kind, blob).await
    }

    /// Reads a blob of one line.
    pub async fn get_one<T: DeserializeOwned>(&self, key: &BlobKey, kind: BlobKind) -> Result<T, BlobError> {
        self.one(key, self.lines(key, kind)).await
    }

    async fn one<T: DeserializeOwned>(&self, key: &BlobKey, mut lines: Lines) -> Result<T, BlobError> {
        let value = lines.next().await?;
        let value = value.ok_or_else(|| self.nonsense(key, "it has no line".into()))?;
        match lines.next::<IgnoredAny>().await? {
            None => Ok(value),
            Some(_) => Err(self.nonsense(key, "it has more than one line".into())),
        }
    }

    /// Whether a blob is there and is what its name says; the reason where it is not.
    pub async fn is_lost(&self, key: &BlobKey, kind: BlobKind) -> Result<Option<String>, BlobError> {
        match self.lines(key, kind).next::<IgnoredAny>().await {
            Ok(_) => Ok(None),
            Err(BlobError::Missing { .. }) => Ok(Some("is not there any more".to_owned())),
            Err(BlobError::Nonsense { .. }) => Ok(Some("is not what it was".to_owned())),
            Err(error) => Err(error),
        }
    }

    /// Reads a blob line by line, in bounded memory. A blob that is not what its name says gives no line.
    pub fn lines(&self, key: &BlobKey, kind: BlobKind) -> Lines {
        Lines { blobs: self.clone(), key: key.clone(), kind, reader: BlobReader::new(kind), body: Body::Unopened }
    }

    /// Writes a plan's root.
    pub async fn put_plan(&self, plan: &Plan) -> Result<BlobKey, BlobError> {
        let mut blob = BlobWriter::of_version(BlobKind::Plan, plan.version);
        blob.line(plan);
        self.put(plan.epoch, BlobKind::Plan, blob).await
    }

    /// Reads a plan's root.
    pub async fn get_plan(&self, key: &BlobKey) -> Result<Plan, BlobError> {
        self.get_one(key, BlobKind::Plan).await
    }

    /// Reads a shard's objects: bounded by what the planner packs into a shard.
    pub async fn get_shard(&self, key: &BlobKey) -> Result<Vec<PlannedObject>, BlobError> {
        let mut lines = self.lines(key, BlobKind::Shard);
        let mut objects = Vec::new();
        while let Some(object) = lines.next().await? {
            objects.push(object);
        }
        Ok(objects)
    }

    /// Writes a decision.
    pub async fn put_decision(&self, decision: &Decision) -> Result<BlobKey, BlobError> {
        self.put_one(decision.epoch, BlobKind::Decision, decision).await
    }

    /// Reads a decision.
    pub async fn get_decision(&self, key: &BlobKey) -> Result<Decision, BlobError> {
        self.get_one(key, BlobKind::Decision).await
    }

    /// Writes an attempt's manifest under its own name, sealed where the plan asks for that.
    ///
    /// # Errors
    /// [`BlobError::TooLong`] before anything is written, and those of the store.
    pub async fn put_attempt(&self, plan: &Plan, manifest: &AttemptManifest) -> Result<(), BlobError> {
        // The plan whose attempts count for the shard.
        let number = plan.shards[manifest.shard as usize].plan;
        let key = format!("{}.s3sync", self.attempt_stem(plan.epoch, number, manifest.shard, &manifest.attempt));
        let write = |mut blob: BlobWriter| {
            blob.line(manifest);
            check_longest(BlobKind::Attempt, &blob)?;
            Ok::<_, BlobError>(blob.finish())
        };
        let body = match self.sealing(plan) {
            Some(state_key) => {
                state_key.seal(BlobKind::Attempt.word(), &key, &plan.seed, &write(BlobWriter::headless())?)
            }
            None => Bytes::from(write(BlobWriter::of_version(BlobKind::Attempt, 1))?),
        };
        self.store.put(&key, body, Condition::Any).await?;
        Ok(())
    }

    /// The key by which what is left in the plan's epoch is sealed; `None` where the plan does not ask for that.
    pub fn sealing(&self, plan: &Plan) -> Option<&StateKey> {
        plan.sealed().then(|| self.key.as_ref().expect("who works on an epoch has the key"))
    }

    /// Reads an attempt's manifest that was found by listing, with its digest. One that no worker of ours wrote for
    /// this place in this plan is [`BlobError::Nonsense`].
    pub async fn get_attempt(&self, key: &BlobKey, plan: &Plan) -> Result<(AttemptManifest, String), BlobError> {
        let proof = match self.sealing(plan) {
            Some(state_key) => Proof::Sealed(state_key.clone(), BlobKind::Attempt, plan.seed.clone()),
            None => Proof::None,
        };
        self.attempt(key, proof).await
    }

    /// Reads the attempt's manifest that was decided on for a shard.
    pub async fn get_decided(&self, decision: &Decision, shard: usize) -> Result<AttemptManifest, BlobError> {
        let proof = match decision.digests.get(shard) {
            Some(digest) => Proof::Digest(digest.clone()),
            // Decided by a release without digests.
            None => Proof::None,
        };
        self.attempt(&decision.attempts[shard], proof).await.map(|(manifest, _)| manifest)
    }

    async fn attempt(&self, key: &BlobKey, proof: Proof) -> Result<(AttemptManifest, String), BlobError> {
        let (chunks, digest) = self.open(key, &proof, ATTEMPT_BYTES_MAX).await?;
        let reader = BlobReader::new(BlobKind::Attempt);
        let lines =
            Lines { blobs: self.clone(), key: key.clone(), kind: BlobKind::Attempt, reader, body: Body::Open(chunks) };
        Ok((self.one(key, lines).await?, digest))
    }

    /// Begins a commit record: the header, and the objects of each shard. The files follow one by one.
    pub async fn begin_commit_record(
        &self,
        header: &CommitRecord,
        plan: &Plan,
    ) -> Result<CommitRecordWriter, BlobError> {
        let mut blob = BlobWriter::new(BlobKind::CommitRecord);
        blob.line(&CommitRecordLine::Header(header.clone()));
        for (shard, planned) in plan.shards.iter().enumerate() {
            let keys = self.get_shard(&planned.blob).await?.into_iter().map(|object| object.object.key).collect();
            blob.line(&CommitRecordLine::Objects { shard: shard as u32, keys });
        }
        Ok(CommitRecordWriter { blob, epoch: plan.epoch, files: 0 })
    }

    /// Writes a commit record.
    pub async fn put_commit_record(&self, record: CommitRecordWriter) -> Result<BlobKey, BlobError> {
        self.put(record.epoch, BlobKind::CommitRecord, record.blob).await
    }

    /// Reads a commit record without its objects: the header, and the files as they are asked for. There may be a
    /// million.
    pub async fn commit_record(&self, key: &BlobKey) -> Result<(CommitRecord, CommittedFiles), BlobError> {
        let mut lines = self.lines(key, BlobKind::CommitRecord);
        let Some(CommitRecordLine::Header(header)) = lines.next().await? else {
            return Err(self.nonsense(key, "it does not begin with its header".into()));
        };
        Ok((header, CommittedFiles(lines)))
    }

    pub(super) fn nonsense(&self, key: &BlobKey, reason: String) -> BlobError {
        BlobError::Nonsense { place: self.store.place().to_owned(), key: key.0.clone(), reason }
    }
}

/// A commit record that is being written: what is held is compressed.
pub struct CommitRecordWriter {
    blob: BlobWriter,
    epoch: u64,
    files: u64,
}

impl CommitRecordWriter {
    /// Adds a file.
    pub fn file(&mut self, file: CommittedFile) {
        self.blob.line(&CommitRecordLine::File(file));
        self.files += 1;
    }

    /// Files so far.
    pub fn files(&self) -> u64 {
        self.files
    }
}

/// The files of one commit record.
pub struct CommittedFiles(Lines);

impl CommittedFiles {
    /// The next file; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<CommittedFile>, BlobError> {
        while let Some(line) = self.0.next().await? {
            if let CommitRecordLine::File(file) = line {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }
}

/// The lines of one blob. The request is made when the first is asked for.
pub struct Lines {
    blobs: Blobs,
    key: BlobKey,
    kind: BlobKind,
    reader: BlobReader,
    body: Body,
}

enum Body {
    Unopened,
    Open(Chunks),
    Ended,
}

impl Lines {
    /// The next line; `None` at the blob's end.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, BlobError> {
        loop {
            if let Some(value) = self.reader.line().map_err(|error| self.wire(error))? {
                return Ok(Some(value));
            }
            match &mut self.body {
                Body::Ended => return Ok(None),
                Body::Open(bytes) => match bytes.try_next().await? {
                    Some(bytes) => self.reader.feed(bytes).map_err(|error| self.wire(error))?,
                    None => {
                        self.body = Body::Ended;
                        self.reader.end().map_err(|error| self.wire(error))?;
                    }
                },
                Body::Unopened => {
                    let proof = self.blobs.named_digest(&self.key, self.kind)?;
                    let (chunks, _) = self.blobs.open(&self.key, &proof, u64::MAX).await?;
                    self.body = Body::Open(chunks);
                }
            }
        }
    }

    fn wire(&self, error: WireError) -> BlobError {
        self.blobs.nonsense(&self.key, error.to_string())
    }
}

#[cfg(test)]
mod tests;
