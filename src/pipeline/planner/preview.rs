//! What people are shown of a source beside its ledger: what a run would read, and why. The same steps as a run's, up
//! to the schemas; nothing is written, and nothing is read for good. Memory grows with tables, never with objects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use serde::Serialize;

use super::assign::{Action, Assign, Assigned, Taker};
use super::compare::LedgerJoin;
use super::key_collisions::KeyCollisions;
use super::schemas::{SAMPLES_AT_ONCE, Samples};
use super::{Planner, Remarks};
use crate::model::cursor::TableMark;
use crate::model::format::InputFormat;
use crate::model::ledger::Standing;
use crate::model::object::Object;
use crate::model::passed_over::Extensions;
use crate::model::planned_table::PlannedTable;
use crate::model::settings::Settings;
use crate::model::shard::format_of;
use crate::model::write_mode::{LedgerLife, OnEmpty, Superseded};
use crate::pipeline::error::{RunError, RunErrorKind};

/// Objects of a table that are shown by key; the rest are counted.
pub const KEYS_MAX: usize = 10;

/// What a preview is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreviewOf {
    /// A run: the tables that it would read have a schema, and what it would refuse is an error.
    Run,
    /// What there is: every table has a schema.
    Tables,
}

/// A source as it was found.
#[derive(Debug)]
pub struct Preview {
    /// The number of the first epoch that a run would record.
    pub epoch: u64,
    /// Whether files of earlier runs go: when the new ones are published, or at once where there is nothing to publish.
    pub replaces: bool,
    /// The tables, by name.
    pub tables: BTreeMap<String, TablePreview>,
    /// What a person should know of a run beside what it reads.
    pub remarks: Remarks,
}

/// One table as it was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TablePreview {
    /// Objects.
    pub objects: u64,
    /// Their bytes as stored.
    pub bytes: u64,
    /// The newest one's time.
    pub last_modified: Option<Timestamp>,
    /// Their formats.
    pub formats: BTreeSet<InputFormat>,
    /// Those that a run would read.
    pub read: Reading,
    /// Overwritten ones that go into the ledger unread.
    pub ignored: u64,
    /// Those that are left out until they change.
    pub quarantined: Quarantine,
    /// How far the cursor is; `None`: nothing of the table was read yet.
    pub mark: Option<TableMark>,
    /// What would be read and written now, where the preview is of that.
    pub planned: Option<PlannedTable>,
    extensions: Extensions,
    /// Of those that a run would read, or of all where it would read none.
    samples: Option<Samples>,
}

/// What a run would read of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Objects.
    pub objects: u64,
    /// Their bytes as stored.
    pub bytes: u64,
    /// How many for each reason.
    pub why: BTreeMap<Why, u64>,
    /// The first of them.
    pub keys: Vec<ReadKey>,
}

/// An object that a run would read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReadKey {
    /// Its key.
    pub key: String,
    /// Its bytes as stored.
    pub bytes: u64,
    /// Why it is read.
    pub why: Why,
}

/// Why an object is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Why {
    /// It was never read.
    New,
    /// It was read, and is another version now.
    Overwritten,
    /// It was quarantined, and is another version now.
    Retried,
    /// It was read, and is read again: with Replace, where no ledger is kept, or because that is asked for.
    Again,
}

impl Why {
    /// The word that is shown.
    pub fn word(self) -> &'static str {
        match self {
            Why::New => "new",
            Why::Overwritten => "overwritten",
            Why::Retried => "retried",
            Why::Again => "again",
        }
    }

    fn of(standing: Standing) -> Self {
        match standing {
            Standing::New => Why::New,
            Standing::Overwritten => Why::Overwritten,
            Standing::Replaced => Why::Retried,
            Standing::Known | Standing::Quarantined => Why::Again,
        }
    }
}

/// Objects that could not be read and have not changed since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quarantine {
    /// How many.
    pub objects: u64,
    /// The first of them.
    pub keys: Vec<QuarantinedKey>,
}

/// An object that is left out, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuarantinedKey {
    /// Its key.
    pub key: String,
    /// What was wrong with it.
    pub reason: String,
}

impl Preview {
    /// The tables that a run would read, by name.
    pub fn read(&self) -> impl Iterator<Item = (&str, &TablePreview)> {
        self.tables.iter().filter(|(_, table)| table.read.objects > 0).map(|(name, table)| (name.as_str(), table))
    }
}

impl TablePreview {
    /// The extensions of the table's keys, where its objects are all read in one format whatever their keys say, and
    /// there are several: a stray object among them is read too.
    pub fn mixed_extensions(&self, settings: &Settings) -> Option<&Extensions> {
        (settings.source.format.is_some() && self.extensions.len() > 1).then_some(&self.extensions)
    }

    fn add(&mut self, assigned: Assigned, format: Option<InputFormat>) {
        let Assigned { object, standing, action, reason, .. } = assigned;
        self.objects += 1;
        self.bytes += object.size;
        self.last_modified = self.last_modified.max(Some(object.last_modified));
        self.formats.extend(format);
        self.extensions.add(&object.key);
        self.ignored += u64::from(action == Action::Ignore);
        if action == Action::Skip && standing == Standing::Quarantined {
            self.quarantined.objects += 1;
            if self.quarantined.keys.len() < KEYS_MAX {
                let reason = reason.unwrap_or_default();
                self.quarantined.keys.push(QuarantinedKey { key: object.key.clone(), reason });
            }
        }
        let read = action == Action::Read;
        match &mut self.samples {
            // What is read counts more than all before it.
            Some(samples) if read == (self.read.objects > 0) => samples.add(&object),
            Some(_) if !read => {}
            samples => *samples = Some(Samples::new(&object)),
        }
        if read {
            self.read.add(object, Why::of(standing));
        }
    }
}

impl Reading {
    fn add(&mut self, object: Object, why: Why) {
        self.objects += 1;
        self.bytes += object.size;
        *self.why.entry(why).or_default() += 1;
        if self.keys.len() < KEYS_MAX {
            self.keys.push(ReadKey { key: object.key, bytes: object.size, why });
        }
    }
}

/// Gathers tables.
struct Tables<'a> {
    settings: &'a Settings,
    tables: BTreeMap<String, TablePreview>,
    outputs: KeyCollisions<'a>,
}

impl Taker for Tables<'_> {
    const ACCOUNTED: bool = true;

    fn restart(&mut self) {
        self.tables.clear();
        self.outputs = KeyCollisions::new(self.settings);
    }

    /// Limits cut a run into epochs, and the preview is of all of them.
    fn is_full(&self, _: &Object) -> bool {
        false
    }

    async fn take(&mut self, assigned: Assigned) -> Result<(), RunError> {
        if assigned.action == Action::Read {
            self.outputs.add(&assigned.table, &assigned.object.key);
        }
        let format = format_of(self.settings, &assigned.object.key);
        self.tables.entry(assigned.table.clone()).or_default().add(assigned, format);
        Ok(())
    }
}

impl Planner<'_> {
    /// What a run would find and do.
    ///
    /// # Errors
    /// Those of [`Planner::plan_epoch`] but those of limits and of other syncs' outputs. Of a run, also what it would
    /// find out once it has rows: outputs of one key, and columns that no file can be made of.
    pub async fn preview(&self, of: PreviewOf) -> Result<Preview, RunError> {
        let settings = self.settings;
        let mut remarks = Remarks::default();
        let (selection, head) = self.begin(&mut remarks).await?;
        let mode = settings.destination.write_mode;
        let join = self.join(&selection, &head.runs);
        let unchanged = self.unchanged(&join, &head, &mut remarks).await?.is_some();
        let runs = match mode.ledger(settings.incremental.enabled) {
            LedgerLife::Run => head.runs_for(settings, self.run.unwrap_or_default()),
            // Of what every epoch reads anew, people see what is new and what is read again.
            LedgerLife::Sync | LedgerLife::Epoch => &head.runs,
        };
        let taker = Tables { settings, tables: BTreeMap::new(), outputs: KeyCollisions::new(settings) };
        let mut assign = Assign::new(self, &selection, mode.reads_everything() && !unchanged, taker);
        let passed = LedgerJoin { runs, ..join }.run(&mut assign).await?;
        let whole = passed.is_some();
        remarks.passed_over(passed);
        self.note_found(&selection, &mut remarks, whole, assign.seen).await?;
        let Assign { sources, taker: Tables { mut tables, outputs, .. }, .. } = assign;
        if of == PreviewOf::Run {
            if tables.is_empty() && mode.on_empty(settings.destination.allow_empty) == OnEmpty::Refuse {
                return Err(self.empty("nothing is selected"));
            }
            outputs.refuse()?;
        }
        let names: BTreeSet<&str> = tables.keys().map(String::as_str).collect();
        let reads = || tables.iter().filter(|(_, table)| table.read.objects > 0);
        let ledger = self.known_tables(&names, reads().next().map(|(name, _)| name.as_str())).await?;
        let shown = tables.iter().filter(|(_, table)| of == PreviewOf::Tables || table.read.objects > 0);
        let planned = stream::iter(shown).map(|(name, table)| {
            let ledger = &ledger;
            let source = sources.source(name);
            async move {
                let samples = table.samples.as_ref().expect("a table has an object");
                let read = Arc::new(self.schema(ledger, name, source, samples).await?);
                let planned = PlannedTable::new(name, read, &settings.destination);
                if of == PreviewOf::Run {
                    self.check_files(&planned)?;
                }
                Ok::<_, RunError>((name.clone(), planned))
            }
        });
        let planned: Vec<(String, PlannedTable)> = planned.buffered(SAMPLES_AT_ONCE).try_collect().await?;
        let replaces = match mode.supersedes() {
            Superseded::Nothing => false,
            // Then everything is read or nothing; an empty listing takes away what is published, if anything is.
            Superseded::Everything => {
                self.cursor.commit_record.is_some()
                    && (!planned.is_empty() || tables.is_empty() && !head.runs.is_empty())
            }
        };
        for (name, planned) in planned {
            tables.entry(name).or_default().planned = Some(planned);
        }
        for (name, known) in ledger.tables {
            tables.entry(name).or_default().mark = Some(known.mark);
        }
        Ok(Preview { epoch: self.cursor.epoch + 1, replaces, tables, remarks })
    }

    /// Refuses what a run refuses once it has rows: columns that the files or their directories cannot be made of.
    fn check_files(&self, table: &PlannedTable) -> Result<(), RunError> {
        match &table.write {
            // What shows no column may have no rows.
            Err(error) if !table.read.arrow().fields().is_empty() => {
                let message = format!("{}: {error}", self.settings.id);
                Err(RunError::because(RunErrorKind::InvalidSpec, message, error.clone()))
            }
            _ => Ok(()),
        }
    }
}
