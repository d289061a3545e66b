//! What one epoch takes: up to the limits, its objects for shards and for the ledger, and its tables.

use std::collections::HashMap;

use super::assign::{Action, Assigned, Taker};
use super::external_sort::ExternalSorter;
use super::listing::scratch_error;
use super::schemas::Samples;
use super::{Planner, table_error};
use crate::model::ledger::{Entry, Outcome};
use crate::model::object::Object;
use crate::model::plan::PlannedObject;
use crate::model::shard::Totals;
use crate::model::table::TableError;
use crate::pipeline::error::RunError;
use crate::state::ledger::SegmentWriter;

/// A table of the epoch.
pub(super) struct EpochTable {
    pub name: String,
    pub totals: Totals,
    pub samples: Samples,
}

/// Collects an epoch. Memory grows with tables; objects go to the sorter, which spills, and to the ledger's segments.
pub(super) struct EpochObjects<'a> {
    planner: &'a Planner<'a>,
    /// Whether it takes everything, whatever the limits: it replaces what was there.
    everything: bool,
    /// What is noted beside each entry.
    epoch: Option<u64>,
    /// In the order of their first keys.
    pub tables: Vec<EpochTable>,
    by_name: HashMap<String, u32>,
    pub read: Totals,
    pub ignored: u64,
    pub sorter: ExternalSorter,
    pub segments: SegmentWriter<'a>,
}

impl<'a> EpochObjects<'a> {
    pub fn new(planner: &'a Planner<'a>, everything: bool) -> Self {
        let cursor = planner.cursor;
        let noted = planner.request.is_some() || cursor.request_is_open();
        Self {
            planner,
            everything,
            epoch: noted.then_some(cursor.epoch + 1),
            tables: Vec::new(),
            by_name: HashMap::new(),
            read: Totals::default(),
            ignored: 0,
            sorter: ExternalSorter::new(planner.scratch),
            segments: SegmentWriter::new(planner.blobs, cursor.epoch + 1),
        }
    }

    /// The index of an object's table, which counts it.
    fn count(&mut self, table: String, object: &Object) -> Result<u32, RunError> {
        self.read.add(object);
        if let Some(&index) = self.by_name.get(&table) {
            let known = &mut self.tables[index as usize];
            known.totals.add(object);
            known.samples.add(object);
            return Ok(index);
        }
        // The bound of their sources is reached long before.
        let index = u32::try_from(self.tables.len())
            .map_err(|_| table_error(self.planner.settings, TableError::TooMany { tables: self.tables.len() }))?;
        let mut totals = Totals::default();
        totals.add(object);
        self.tables.push(EpochTable { name: table.clone(), totals, samples: Samples::new(object) });
        self.by_name.insert(table, index);
        Ok(index)
    }
}

impl Taker for EpochObjects<'_> {
    const ACCOUNTED: bool = false;

    fn restart(&mut self) {
        *self = EpochObjects::new(self.planner, self.everything);
    }

    fn is_full(&self, object: &Object) -> bool {
        let limits = &self.planner.settings.limits;
        let taken = self.read.objects + self.ignored;
        !self.everything
            && taken > 0
            && (taken >= limits.objects_per_commit
                || self.read.bytes.saturating_add(object.size) > limits.bytes_per_commit)
    }

    async fn take(&mut self, assigned: Assigned) -> Result<(), RunError> {
        let Assigned { object, table, action, again, .. } = assigned;
        if action == Action::Ignore {
            self.ignored += 1;
            let entry = Entry { object, outcome: Outcome::Ignored, epoch: self.epoch, again: false };
            return Ok(self.segments.push(&entry).await?);
        }
        let table = self.count(table, &object)?;
        let entry = Entry { object, outcome: Outcome::Published, epoch: self.epoch, again };
        self.segments.push(&entry).await?;
        let planned = PlannedObject { object: entry.object, table, slice: None };
        self.sorter.push(planned).await.map_err(|error| scratch_error(self.planner.scratch, error))
    }
}
