//! What a run would find and do, for people to look at: the same scan and the same rules, and nothing is written or
//! read for good.

use std::path::Path;

use super::scan::{Flow, Found, Scan, Sink};
use super::selection::Selection;
use super::take::{Treatment, is_due, treatment};
use super::{Remarks, asked_of, second_table, stands, table_error, takes_one_table};
use crate::model::ledger::{LedgerHead, Standing};
use crate::model::object::Object;
use crate::model::plan::BlobKey;
use crate::model::request::Request;
use crate::model::settings::Settings;
use crate::model::table::TableSources;
use crate::model::write_mode::LedgerLife;
use crate::pipeline::error::RunError;
use crate::state::blobs::Blobs;
use crate::state::ledger::LedgerRoot;
use crate::store::Store;

/// A look at a source beside its ledger.
pub struct Survey<'a> {
    /// The source bucket.
    pub source: &'a dyn Store,
    /// Where the ledger lies.
    pub blobs: &'a Blobs,
    /// The ledger's root, as the cursor names it.
    pub ledger: Option<&'a BlobKey>,
    /// The last committed manifest, as the cursor names it.
    pub manifest: Option<&'a BlobKey>,
    /// The run under way, when one is: a ledger that is kept for the length of a run counts for that run only.
    pub run: Option<&'a str>,
    /// What the run is asked for.
    pub request: Option<&'a Request>,
    /// The epoch since which the request is under way; the last one, where it would begin with this run.
    pub since: u64,
    /// The spec.
    pub settings: &'a Settings,
    /// A directory for what does not fit into memory.
    pub scratch: &'a Path,
}

/// One selected object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surveyed {
    /// The object.
    pub object: Object,
    /// Its table's name.
    pub table: String,
    /// What it is beside the ledger: why it is treated so.
    pub standing: Standing,
    /// What a run would do with it.
    pub treatment: Treatment,
    /// Why it is quarantined, where it is.
    pub reason: Option<String>,
}

/// Takes what a survey shows.
pub trait Visitor: Send {
    /// Everything so far is void, see [`Sink::restart`].
    fn restart(&mut self);

    /// The next object, in key order.
    fn object(&mut self, surveyed: Surveyed);
}

impl Survey<'_> {
    /// Shows every selected object to `visitor`, and gives what a person should know of a run.
    ///
    /// # Errors
    /// Those of [`plan_epoch`](super::plan_epoch) that concern keys and tables, and those of the stores.
    pub async fn run(&self, visitor: &mut impl Visitor) -> Result<Remarks, RunError> {
        let settings = self.settings;
        asked_of(self.request, settings)?;
        let selection = Selection::new(settings).map_err(|error| table_error(settings, error))?;
        let selection = selection.within(self.request.map(|request| &request.asked.window));
        let since = self.request.filter(|request| request.asked.reread).map(|_| self.since);
        let head = match self.ledger {
            Some(key) => LedgerRoot::load_head(self.blobs, key).await?,
            None => LedgerHead::default(),
        };
        let all = Scan {
            source: self.source,
            selection: &selection,
            blobs: self.blobs,
            runs: &head.runs,
            after: None,
            scratch: self.scratch,
        };
        let mut remarks = Remarks::default();
        remarks.of_head(&head, settings, self.run.unwrap_or_default());
        remarks.of_request(&head, settings, self.request);
        let mode = settings.destination.write_mode;
        let anew = since.is_some_and(|since| head.epoch <= since);
        let stands = mode.reads_everything()
            && !anew
            && self.ledger.is_some()
            && stands(&all, &head, settings, self.manifest, &mut remarks).await?.is_some();
        let everything = mode.reads_everything() && !stands;
        let runs = match mode.ledger(settings.incremental.enabled) {
            LedgerLife::Run => head.runs_for(settings, self.run.unwrap_or_default()),
            // Of what every epoch reads anew, people see what is new and what is read again.
            LedgerLife::Sync | LedgerLife::Epoch => &head.runs,
        };
        let mut look = Look {
            settings,
            selection: &selection,
            everything,
            since,
            seen: 0,
            sources: TableSources::default(),
            only: None,
            visitor,
        };
        let passed = Scan { runs, ..all }.run(&mut look).await?;
        if look.seen == 0 {
            remarks.of_empty_window(&selection);
        }
        remarks.passed_over(passed);
        Ok(remarks)
    }
}

struct Look<'a, V> {
    settings: &'a Settings,
    selection: &'a Selection<'a>,
    everything: bool,
    since: Option<u64>,
    seen: u64,
    sources: TableSources,
    /// The first table's name, where the path takes one alone.
    only: Option<String>,
    visitor: &'a mut V,
}

impl<V: Visitor> Sink for Look<'_, V> {
    fn restart(&mut self) {
        self.sources = TableSources::default();
        self.only = None;
        self.seen = 0;
        self.visitor.restart();
    }

    async fn found(&mut self, Found { object, standing, reason, read_in }: Found) -> Result<Flow, RunError> {
        self.seen += 1;
        let error = |error| table_error(self.settings, error);
        let Some(named) = self.selection.table(&object.key).map_err(error)? else { return Ok(Flow::Go) };
        self.sources.add(&named).map_err(error)?;
        let table = named.table;
        if takes_one_table(self.settings) {
            let only = self.only.get_or_insert_with(|| table.clone());
            if *only != table {
                return Err(second_table(self.settings, only, &table));
            }
        }
        let again = is_due(self.since, read_in);
        let treatment = treatment(standing, self.settings.incremental.on_overwrite, self.everything, again);
        self.visitor.object(Surveyed { object, table, standing, treatment, reason });
        Ok(Flow::Go)
    }
}
