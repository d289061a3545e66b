//! What one epoch will do, frozen before anything is read for good. Written to the destination as content-addressed
//! blobs; the cursor names the plan, the plan names the rest.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::object::Object;
use super::planned_table::PlannedTable;
use super::request::RequestMark;
use super::schema::TableSchema;
use super::settings::Settings;

/// A content-addressed blob under the state prefix: its whole key in the destination bucket.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlobKey(pub String);

/// The root of a plan. Bounded: it grows with tables and shards, never with objects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Version of this format.
    pub version: u32,
    /// The run that made it.
    pub run: String,
    /// The epoch it will become.
    pub epoch: u64,
    /// Plans are numbered inside an epoch, from 0; a wider schema makes the next.
    pub number: u32,
    /// Everything but credentials.
    pub settings: Settings,
    /// Placeholders of time, and lineage of the run, are of this instant.
    pub planned_at: Timestamp,
    /// Where UUID placeholders and s3sync-ids come from: 32 hexadecimal digits.
    pub seed: String,
    /// Bytes of every part of every upload but the last.
    pub part_bytes: u64,
    /// Bytes of rows that a layout buffers: half before it closes a row group, half before it spills.
    pub layout_bytes: u64,
    /// The tables, in the order of their first keys; objects refer to them by index.
    pub tables: Vec<FrozenTable>,
    /// The shards; a shard's number is its index here.
    pub shards: Vec<ShardRef>,
    /// Every object of the epoch in key order, in the ledger's segment format: what becomes the ledger when nothing is
    /// excluded.
    pub objects: Vec<SegmentRef>,
    /// Key that the listing reached; the next epoch of the run goes on after it. `None`: the listing ended.
    pub listed_to: Option<String>,
    /// Passes over the listing that this run has begun, from 1.
    pub pass: u32,
    /// The request that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestMark>,
}

impl Plan {
    /// The format that this build writes. From version 2 on, attempts and open logs of the plan's epoch carry a MAC.
    pub const VERSION: u32 = 2;

    /// Whether what workers leave in this epoch counts only with a MAC. An epoch that an earlier release planned is
    /// finished as it was begun.
    pub fn sealed(&self) -> bool {
        self.version >= 2
    }

    /// The table of this index, from its objects to its files. Derived when it is asked for: a plan may have more
    /// tables than a worker works on.
    pub fn table(&self, index: u32) -> PlannedTable {
        let FrozenTable { name, schema, .. } = &self.tables[index as usize];
        PlannedTable::new(name, Arc::new(schema.clone()), &self.settings.destination)
    }
}

/// Names the load that an epoch of a run is: `{load_id}`, and what the commit record and `state export` show.
pub fn load_id(run: &str, epoch: u64) -> String {
    format!("{run}-{epoch}")
}

/// One table of a plan, as it is frozen. [`Plan::table`] gives what follows from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrozenTable {
    /// Its name, sanitised.
    pub name: String,
    /// What gave the name, see [`super::table::Named::source`].
    pub source: String,
    /// What every row that is read is verified against.
    pub schema: TableSchema,
    /// Objects in this epoch.
    pub objects: u64,
    /// Their bytes as stored.
    pub bytes: u64,
}

/// Where one shard's objects are listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardRef {
    /// A blob of [`PlannedObject`] lines.
    pub blob: BlobKey,
    /// The plan number whose attempts count: a plan made for a wider schema keeps the shards it does not touch.
    pub plan: u32,
    /// Objects, or slices of one.
    pub objects: u64,
    /// Input bytes.
    pub bytes: u64,
    /// First and last table (indexes into [`Plan::tables`]): which shards a wider schema touches.
    pub tables: (u32, u32),
}

/// One object, or a slice of one, in a shard. A shard lists them by table, then key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedObject {
    /// The pinned version.
    #[serde(flatten)]
    pub object: Object,
    /// Index into [`Plan::tables`].
    pub table: u32,
    /// The part of a large object that this shard reads; `None`: all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<Slice>,
}

/// A part of an object, by where records begin (text) or by row group (parquet).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Slice {
    /// Records whose first byte lies in `start..end`, byte offsets in the object.
    Bytes {
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
    },
    /// Row groups whose middle byte (of their column chunks, by file offset) lies in `start..end`: needs no footer to
    /// plan.
    RowGroups {
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
    },
}

impl Slice {
    /// Bytes from first to last.
    pub fn bytes(self) -> u64 {
        let (Slice::Bytes { start, end } | Slice::RowGroups { start, end }) = self;
        end - start
    }
}

/// A sorted run's piece: a blob of ledger entries in key order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRef {
    /// The blob.
    pub blob: BlobKey,
    /// Its first key.
    pub first: String,
    /// Its last key.
    pub last: String,
    /// Entries.
    pub entries: u64,
    /// Bytes as stored.
    pub bytes: u64,
}
