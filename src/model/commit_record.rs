//! What an epoch published: its commit record. Together with the records before it, back to the last that supersedes
//! what was there, it is the snapshot that readers may trust.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::plan::{BlobKey, Plan, load_id};
use super::write_mode::Superseded;

/// The first line of a commit record. The files follow, a line each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommitRecord {
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
    /// The commit record before this one.
    pub previous: Option<BlobKey>,
    /// Whether it takes the place of everything before it.
    pub replaces: bool,
}

impl CommitRecord {
    /// The format that this build writes.
    pub const VERSION: u32 = 1;

    /// That of what a plan published, after the record `previous`. It follows from the plan, so that recording twice
    /// writes the same record.
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

/// One file of a commit record.
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
