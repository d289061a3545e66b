//! What a run did, for people and for `-o json`.

use std::collections::BTreeMap;

use crate::model::manifest::Excluded;
use crate::pipeline::commit::record::PublishedTable;
use crate::pipeline::planner::Remarks;

/// Quarantined objects that are named; the rest are counted.
const NAMED_MAX: usize = 100;

/// What a run published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunSummary {
    /// By table name.
    pub tables: BTreeMap<String, TableSummary>,
    /// Epochs recorded by this run.
    pub epochs: u64,
    /// Objects that were quarantined.
    pub quarantined: u64,
    /// The first of them, with the reason.
    pub quarantined_objects: Vec<Excluded>,
    /// Bad records set aside.
    pub bad_records: u64,
    /// What a person should know beside it.
    pub remarks: Remarks,
}

/// What a run published of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableSummary {
    /// Objects read.
    pub objects: u64,
    /// Rows written.
    pub rows: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Files written.
    pub files: u64,
}

impl TableSummary {
    /// Adds an epoch.
    pub(super) fn add(&mut self, published: &PublishedTable) {
        self.objects += published.update.mark.objects;
        self.rows += published.update.mark.rows;
        self.bytes += published.update.mark.bytes;
        self.files += published.files;
    }
}

impl RunSummary {
    /// Notes an object that was quarantined.
    pub(super) fn quarantine(&mut self, object: Excluded) {
        self.quarantined += 1;
        if self.quarantined_objects.len() < NAMED_MAX {
            self.quarantined_objects.push(object);
        }
    }
}
