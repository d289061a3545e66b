//! What an epoch takes of a scan.

use std::collections::HashMap;

use super::scan::{Flow, Found, Sink, scratch_error};
use super::selection::Selection;
use super::sort::Sorter;
use super::{PlanContext, second_table, table_error, takes_one_table};
use crate::model::ledger::{Entry, Outcome, Standing};
use crate::model::object::Object;
use crate::model::plan::PlannedObject;
use crate::model::settings::{OnOverwrite, Settings};
use crate::model::shard::{Totals, format_of};
use crate::model::table::{Named, TableError, TableSources};
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::state::ledger::SegmentWriter;

/// What is done with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// It is read.
    Read,
    /// It goes into the ledger unread.
    Ignore,
    /// The run fails.
    Refuse,
    /// Nothing: it is accounted for.
    Leave,
}

/// What is done with an object of this standing. `everything`: the ledger decides nothing. `again`: a request is about
/// this version, and has not read it yet.
pub fn treatment(standing: Standing, on_overwrite: OnOverwrite, everything: bool, again: bool) -> Treatment {
    match standing {
        _ if everything => Treatment::Read,
        Standing::New | Standing::Replaced => Treatment::Read,
        Standing::Known | Standing::Quarantined if again => Treatment::Read,
        Standing::Known | Standing::Quarantined => Treatment::Leave,
        Standing::Overwritten => match on_overwrite {
            OnOverwrite::Reprocess => Treatment::Read,
            OnOverwrite::Ignore => Treatment::Ignore,
            OnOverwrite::Fail => Treatment::Refuse,
        },
    }
}

/// Whether a version that was read in this epoch is due again. `since`: of a request to read what was read before.
pub(super) fn is_due(since: Option<u64>, read_in: Option<u64>) -> bool {
    since.zip(read_in).is_some_and(|(since, read_in)| read_in <= since)
}

/// A table of the epoch.
pub(super) struct Taken {
    pub name: String,
    pub source: String,
    pub totals: Totals,
    /// The first, the largest and the last object: what its schema is inferred from.
    pub samples: [Object; 3],
}

/// Collects an epoch. Memory grows with tables; objects go to the sorter, which spills, and to the ledger's segments.
pub(super) struct Taker<'a> {
    context: &'a PlanContext<'a>,
    selection: &'a Selection<'a>,
    everything: bool,
    /// See [`is_due`].
    since: Option<u64>,
    /// What is noted beside each entry.
    epoch: Option<u64>,
    pub tables: Vec<Taken>,
    by_name: HashMap<String, u32>,
    sources: TableSources,
    pub read: Totals,
    pub ignored: u64,
    /// Selected objects seen, taken or not.
    pub seen: u64,
    last: Option<String>,
    /// The key of the last object taken, when the limits closed the epoch before the listing ended.
    pub listed_to: Option<String>,
    pub sorter: Sorter,
    pub segments: SegmentWriter<'a>,
}

impl<'a> Taker<'a> {
    pub fn new(context: &'a PlanContext<'a>, selection: &'a Selection<'a>, everything: bool) -> Self {
        Self {
            context,
            selection,
            everything,
            since: context.since(),
            epoch: (context.request.is_some() || context.cursor.request_is_open()).then_some(context.cursor.epoch + 1),
            tables: Vec::new(),
            by_name: HashMap::new(),
            sources: TableSources::default(),
            read: Totals::default(),
            ignored: 0,
            seen: 0,
            last: None,
            listed_to: None,
            sorter: Sorter::new(&context.scratch),
            segments: SegmentWriter::new(context.blobs, context.cursor.epoch + 1),
        }
    }

    /// Whether another object would be one too many. One epoch that takes everything has no limits: it replaces what
    /// was there.
    fn is_full(&self, object: &Object) -> bool {
        let limits = &self.context.settings.limits;
        let taken = self.read.objects + self.ignored;
        !self.everything
            && taken > 0
            && (taken >= limits.objects_per_commit
                || self.read.bytes.saturating_add(object.size) > limits.bytes_per_commit)
    }

    /// The index of an object's table, which counts it.
    fn count(&mut self, named: Named<'_>, object: &Object) -> Result<u32, RunError> {
        let settings = self.context.settings;
        let error = |error| table_error(settings, error);
        self.sources.add(&named).map_err(error)?;
        let index = match self.by_name.get(&named.table) {
            Some(&index) => index,
            None => {
                if let Some(first) = self.tables.first().filter(|_| takes_one_table(settings)) {
                    return Err(second_table(settings, &first.name, &named.table));
                }
                // The sources' bound is reached long before.
                let index = u32::try_from(self.tables.len())
                    .map_err(|_| error(TableError::TooMany { tables: self.tables.len() }))?;
                self.by_name.insert(named.table.clone(), index);
                let samples = [object.clone(), object.clone(), object.clone()];
                self.tables.push(Taken {
                    name: named.table,
                    source: named.source.to_owned(),
                    totals: Totals::default(),
                    samples,
                });
                index
            }
        };
        let table = &mut self.tables[index as usize];
        table.totals.add(object);
        if object.size > table.samples[1].size {
            table.samples[1].clone_from(object);
        }
        table.samples[2].clone_from(object);
        self.read.add(object);
        Ok(index)
    }

    fn bad(&self, key: &str, reason: &str) -> RunError {
        let Settings { id, .. } = self.context.settings;
        RunError::new(RunErrorKind::BadData, format!("{id}: {}/{key}: {reason}", self.context.source.place()))
    }
}

impl Sink for Taker<'_> {
    fn restart(&mut self) {
        *self = Taker::new(self.context, self.selection, self.everything);
    }

    async fn found(&mut self, Found { object, standing, read_in, .. }: Found) -> Result<Flow, RunError> {
        self.seen += 1;
        let again = is_due(self.since, read_in);
        let treatment = treatment(standing, self.context.settings.incremental.on_overwrite, self.everything, again);
        if treatment == Treatment::Leave {
            return Ok(Flow::Go);
        }
        let named = self.selection.table(&object.key).map_err(|error| table_error(self.context.settings, error))?;
        let Some(named) = named else { return Ok(Flow::Go) };
        if treatment == Treatment::Refuse {
            let reason = "it was overwritten after it had been read, and incremental.onOverwrite is Fail: put the old version back, or \
                          set Reprocess or Ignore";
            return Err(self.bad(&object.key, reason));
        }
        if self.is_full(&object) {
            self.listed_to = self.last.take();
            return Ok(Flow::Stop);
        }
        self.last = Some(object.key.clone());
        if treatment == Treatment::Ignore {
            self.ignored += 1;
            self.segments.push(&Entry { object, outcome: Outcome::Ignored, epoch: self.epoch, again: false }).await?;
            return Ok(Flow::Go);
        }
        if format_of(self.context.settings, &object.key).is_none() {
            return Err(self.bad(
                &object.key,
                "its extension names no format: set source.format, or leave it out with source.exclude",
            ));
        }
        let table = self.count(named, &object)?;
        // Replace leaves nothing of before.
        let again = again && !self.everything && standing == Standing::Known;
        let entry = Entry { object, outcome: Outcome::Published, epoch: self.epoch, again };
        self.segments.push(&entry).await?;
        let planned = PlannedObject { object: entry.object, table, slice: None };
        self.sorter.push(planned).await.map_err(|error| scratch_error(&self.context.scratch, error))?;
        Ok(Flow::Go)
    }
}
