//! Step 4: what is done with each object, and the table that it belongs to. A run and a dry run go by the same rules.

use std::future::Future;
use std::ops::ControlFlow;

use super::compare::{Compared, Sink};
use super::selection::Selection;
use super::{Planner, second_table, table_error, takes_one_table};
use crate::model::ledger::Standing;
use crate::model::object::Object;
use crate::model::settings::{OnOverwrite, Settings};
use crate::model::shard::format_of;
use crate::model::table::TableSources;
use crate::pipeline::error::{RunError, RunErrorKind};

/// What is done with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is read.
    Read,
    /// It goes into the ledger unread.
    Ignore,
    /// The run fails.
    Refuse,
    /// Nothing: it is accounted for.
    Skip,
}

/// What is done with an object of this standing. `everything`: the ledger decides nothing. `due`: a request is about
/// this version, and has not read it yet.
pub fn action(standing: Standing, on_overwrite: OnOverwrite, everything: bool, due: bool) -> Action {
    match standing {
        _ if everything => Action::Read,
        Standing::New | Standing::Replaced => Action::Read,
        Standing::Known | Standing::Quarantined if due => Action::Read,
        Standing::Known | Standing::Quarantined => Action::Skip,
        Standing::Overwritten => match on_overwrite {
            OnOverwrite::Reprocess => Action::Read,
            OnOverwrite::Ignore => Action::Ignore,
            OnOverwrite::Fail => Action::Refuse,
        },
    }
}

/// An object with its table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// The object.
    pub object: Object,
    /// Its table's name.
    pub table: String,
    /// What it is beside the ledger: why this is done with it.
    pub standing: Standing,
    /// What is done with it; never [`Action::Refuse`].
    pub action: Action,
    /// Why it is quarantined, where it is.
    pub reason: Option<String>,
    /// Whether it is read once more, and what it gave before stays published.
    pub again: bool,
}

/// Takes assigned objects, in key order: of an epoch, or for people to look at.
pub(super) trait Taker: Send {
    /// Whether it is shown what is accounted for, too.
    const ACCOUNTED: bool;

    /// Everything so far is void, see [`Sink::restart`].
    fn restart(&mut self);

    /// Whether this object would be one too many.
    fn is_full(&self, object: &Object) -> bool;

    /// The next object.
    fn take(&mut self, assigned: Assigned) -> impl Future<Output = Result<(), RunError>> + Send;
}

/// Assigns compared objects. Memory grows with tables, never with objects.
pub(super) struct Assign<'a, T> {
    planner: &'a Planner<'a>,
    selection: &'a Selection<'a>,
    everything: bool,
    /// Of a request to read what was read before, the epoch since which it is under way.
    since: Option<u64>,
    one_table: bool,
    first_table: Option<String>,
    /// Where the names of tables that are read come from.
    pub sources: TableSources,
    /// Selected objects, whatever is done with them.
    pub seen: u64,
    last: Option<String>,
    /// The key of the last object taken, when the taker was full before the listing ended.
    pub listed_to: Option<String>,
    /// Who takes them.
    pub taker: T,
}

impl<'a, T: Taker> Assign<'a, T> {
    /// `everything`: see [`action`].
    pub fn new(planner: &'a Planner<'a>, selection: &'a Selection<'a>, everything: bool, taker: T) -> Self {
        Self {
            planner,
            selection,
            everything,
            since: planner.since(),
            one_table: takes_one_table(planner.settings),
            first_table: None,
            sources: TableSources::default(),
            seen: 0,
            last: None,
            listed_to: None,
            taker,
        }
    }

    fn bad(&self, key: &str, reason: &str) -> RunError {
        let Settings { id, .. } = self.planner.settings;
        RunError::new(RunErrorKind::BadData, format!("{id}: {}/{key}: {reason}", self.planner.source.place()))
    }
}

impl<T: Taker> Sink for Assign<'_, T> {
    fn restart(&mut self) {
        self.taker.restart();
        (self.sources, self.first_table) = (TableSources::default(), None);
        (self.seen, self.last) = (0, None);
    }

    async fn listed(&mut self, compared: Compared) -> Result<ControlFlow<()>, RunError> {
        let settings = self.planner.settings;
        let Compared { object, standing, reason, read_in } = compared;
        self.seen += 1;
        let due = self.since.zip(read_in).is_some_and(|(since, read_in)| read_in <= since);
        let action = action(standing, settings.incremental.on_overwrite, self.everything, due);
        if action == Action::Skip && !T::ACCOUNTED {
            return Ok(ControlFlow::Continue(()));
        }
        let named = self.selection.table(&object.key).map_err(|error| table_error(settings, error))?;
        let Some(named) = named else { return Ok(ControlFlow::Continue(())) };
        if action == Action::Refuse {
            let reason = "it was overwritten after it had been read, and incremental.onOverwrite is Fail: put the old version back, or \
                          set Reprocess or Ignore";
            return Err(self.bad(&object.key, reason));
        }
        if action != Action::Skip {
            if self.taker.is_full(&object) {
                self.listed_to = self.last.take();
                return Ok(ControlFlow::Break(()));
            }
            self.last = Some(object.key.clone());
        }
        if action == Action::Read {
            if format_of(settings, &object.key).is_none() {
                let reason = "its extension names no format: set source.format, or leave it out with source.exclude";
                return Err(self.bad(&object.key, reason));
            }
            self.sources.add(&named).map_err(|error| table_error(settings, error))?;
            if self.one_table {
                let first = self.first_table.get_or_insert_with(|| named.table.clone());
                if *first != named.table {
                    return Err(second_table(settings, first, &named.table));
                }
            }
        }
        let table = named.table;
        // Replace leaves nothing of before.
        let again = due && !self.everything && standing == Standing::Known;
        self.taker.take(Assigned { object, table, standing, action, reason, again }).await?;
        Ok(ControlFlow::Continue(()))
    }
}
