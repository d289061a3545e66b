//! What a run did: for people, for `-o json`, and, epoch by epoch, in committed manifests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::manifest::Excluded;

/// Quarantined objects that are named; the rest are counted.
const NAMED_MAX: usize = 100;

/// What a run, or one epoch of it, published.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSummary {
    /// By table name.
    pub tables: BTreeMap<String, TableSummary>,
    /// Epochs recorded.
    pub epochs: u64,
    /// Objects that were quarantined.
    pub quarantined: u64,
    /// The first of them, with the reason.
    pub quarantined_objects: Vec<Excluded>,
    /// Bad records set aside.
    pub bad_records: u64,
}

/// What a run published of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

impl RunSummary {
    /// Notes an object that was quarantined.
    pub fn quarantine(&mut self, object: Excluded) {
        self.quarantined += 1;
        if self.quarantined_objects.len() < NAMED_MAX {
            self.quarantined_objects.push(object);
        }
    }

    /// Adds what came after.
    pub fn add(&mut self, later: RunSummary) {
        for (name, more) in later.tables {
            let table = self.tables.entry(name).or_default();
            table.objects += more.objects;
            table.rows += more.rows;
            table.bytes += more.bytes;
            table.files += more.files;
        }
        self.epochs += later.epochs;
        self.bad_records += later.bad_records;
        let counted = self.quarantined + later.quarantined;
        later.quarantined_objects.into_iter().for_each(|object| self.quarantine(object));
        self.quarantined = counted;
    }
}
