//! What an attempt at a shard made, what was chosen, and what an epoch published.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::plan::{BlobKey, Plan, load_id};
use super::schema::TableSchema;
use super::write_mode::Superseded;

/// One attempt at a shard, complete: its uploads are all there and none is visible.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptManifest {
    /// Version of this format.
    pub version: u32,
    /// Which shard.
    pub shard: u32,
    /// The plan number it worked by.
    pub plan: u32,
    /// Which attempt: unique, made by the worker.
    pub attempt: String,
    /// The object that this shard reads a slice of, when it does: all slices of an object are published, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sliced: Option<String>,
    /// Uploads, in the order they were begun. Empty when `mismatches` is not.
    pub files: Vec<StagedFile>,
    /// What was read, a line for each table of the shard.
    pub tables: Vec<TableTotals>,
    /// Objects of the shard whose rows are in no file.
    pub excluded: Vec<Excluded>,
    /// Bad records that were set aside.
    pub bad_records: u64,
    /// Schemas that the frozen one cannot hold: the shard must be read again under a wider one.
    #[serde(rename = "surprises")]
    pub mismatches: Vec<SchemaMismatch>,
    /// The server's time when the manifest was about to be written: uploads have a limited life.
    pub prepared_at: Timestamp,
}

impl AttemptManifest {
    /// The format that this build writes.
    pub const VERSION: u32 = 1;

    /// An attempt that has made nothing of its shard.
    pub fn empty(shard: u32, plan: u32, attempt: &str, prepared_at: Timestamp) -> Self {
        Self {
            version: Self::VERSION,
            shard,
            plan,
            attempt: attempt.to_owned(),
            sliced: None,
            files: Vec::new(),
            tables: Vec::new(),
            excluded: Vec::new(),
            bad_records: 0,
            mismatches: Vec::new(),
            prepared_at,
        }
    }
}

impl Decision {
    /// The format that this build writes. From version 2 on it holds the attempts' digests.
    pub const VERSION: u32 = 2;

    /// The uploads that stand in for vanished ones, by key.
    pub fn amended_by_key(&self) -> BTreeMap<&str, &StagedFile> {
        self.amended.iter().map(|file| (file.key.as_str(), file)).collect()
    }
}

/// An upload whose parts are all there, not completed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedFile {
    /// The key it will have.
    pub key: String,
    /// Index into the plan's tables.
    pub table: u32,
    /// What it is.
    pub kind: FileKind,
    /// The hive directories, `a=1/b=2`, or nothing.
    pub partition: String,
    /// The store's name for the upload.
    pub upload: String,
    /// The parts, in order, from number 1.
    pub parts: Vec<String>,
    /// The object metadata `s3sync-id`: how a completed upload is known to be this one.
    pub id: String,
    /// The etag it will have, where the store knows it before completion.
    pub etag: Option<String>,
    /// Bytes.
    pub size: u64,
    /// First row: ordinal among the rows of this table and partition in this shard, in plan order.
    pub first_row: u64,
    /// Rows.
    pub rows: u64,
    /// First and last object (index in the shard) that rows of it may come from.
    pub objects: (u32, u32),
}

impl StagedFile {
    /// The file as a committed manifest lists it, with the etag that it has now.
    pub fn committed(self, plan: &Plan, shard: u32, etag: String) -> CommittedFile {
        CommittedFile {
            table: plan.tables[self.table as usize].name.clone(),
            key: self.key,
            id: self.id,
            etag,
            bytes: self.size,
            rows: self.rows,
            shard,
            objects: self.objects,
        }
    }
}

/// What a staged file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileKind {
    /// Rows of a table.
    Data,
    /// Bad records.
    DeadLetter,
}

/// What an attempt read of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableTotals {
    /// Index into the plan's tables.
    pub table: u32,
    /// Objects read to the end (a sliced object counts in its first slice).
    pub objects: u64,
    /// Their bytes as stored.
    pub bytes: u64,
    /// Rows in files.
    pub rows: u64,
    /// The newest object: its time and key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<(Timestamp, String)>,
}

/// An object that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excluded {
    /// The object.
    pub key: String,
    /// The pinned version.
    pub etag: String,
    /// Why.
    pub reason: Exclusion,
    /// One sentence for people.
    pub message: String,
}

/// Why an object was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exclusion {
    /// It is another version now, or gone: not in the ledger, the next pass sees what there is.
    Changed,
    /// It is bad and `onBadObject` is Quarantine: in the ledger by that name until its etag changes.
    Quarantined,
    /// It is archived and `onBadObject` is Quarantine: in the ledger as that until it is restored.
    Archived,
}

/// Values that a frozen schema cannot hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchemaMismatch {
    /// Index into the plan's tables.
    pub table: u32,
    /// The first object that showed it.
    pub key: String,
    /// What the mismatching data alone would be (to be merged into the frozen schema).
    pub schema: TableSchema,
}

/// The commit: one attempt for each shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Version of this format.
    pub version: u32,
    /// The epoch.
    pub epoch: u64,
    /// The plan.
    pub plan: BlobKey,
    /// The chosen attempts' manifests, by shard.
    pub attempts: Vec<BlobKey>,
    /// The SHA-256 of each of these manifests, in hexadecimal digits: their names do not hold it, as those of blobs do.
    /// Empty before version 2.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<String>,
    /// Uploads that stand in for vanished ones, by key.
    pub amended: Vec<StagedFile>,
    /// Shards whose files are not published, because another slice of their object could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<u32>,
    /// Keys given up by `state abandon`.
    pub abandoned: Vec<String>,
}

/// What an epoch published: the snapshot that readers may trust. Files follow the header line by line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommittedHeader {
    /// Version of this format.
    pub version: u32,
    /// The epoch.
    pub epoch: u64,
    /// The run.
    pub run: String,
    /// `{load_id}`.
    pub load_id: String,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The manifest before this one.
    pub previous: Option<BlobKey>,
    /// Whether it takes the place of everything before it.
    pub replaces: bool,
}

impl CommittedHeader {
    /// The format that this build writes.
    pub const VERSION: u32 = 1;

    /// That of what a plan published, after the manifest `previous`. It follows from the plan, so that recording twice
    /// writes the same manifest.
    pub fn of(plan: &Plan, previous: Option<BlobKey>, superseded: Superseded) -> Self {
        Self {
            version: Self::VERSION,
            epoch: plan.epoch,
            run: plan.run.clone(),
            load_id: load_id(&plan.run, plan.epoch),
            recorded_at: plan.planned_at,
            previous,
            replaces: match superseded {
                Superseded::Nothing => false,
                Superseded::Everything => true,
            },
        }
    }
}

/// One file of a committed manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedFile {
    /// The table's name.
    pub table: String,
    /// The key.
    pub key: String,
    /// Its `s3sync-id`.
    pub id: String,
    /// Its etag, as HEAD or completion gave it.
    pub etag: String,
    /// Bytes.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
    /// The shard.
    pub shard: u32,
    /// First and last object of the shard, see [`StagedFile::objects`].
    pub objects: (u32, u32),
}
