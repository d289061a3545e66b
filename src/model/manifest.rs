//! What an attempt at a shard made: its manifest. And the decision, which chooses one attempt of each shard.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::commit_record::CommittedFile;
use super::plan::{BlobKey, Plan};
use super::schema::TableSchema;

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
    /// The file as a commit record lists it, with the etag that it has now.
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
