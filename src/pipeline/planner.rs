//! Protocol step 1: what an epoch reads, and how, frozen into a plan. A run takes every step. A dry run takes the same
//! ones but packs and freezes nothing: it stops at a [`Preview`].
//!
//! | step | type | what it gives |
//! | --- | --- | --- |
//! | list | `Listing` | what the source has, in key order |
//! | select | [`Selection`] | what of it the spec reads |
//! | compare | [`LedgerJoin`] | each object beside the ledger |
//! | assign | `Assign` | what is done with it, and its table; `EpochObjects` and [`Preview`] take it |
//! | sample | [`Sampler`] | the schema of each table |
//! | pack | `pack` | shards |
//! | freeze | [`Freeze`] | the plan |
//!
//! A pass that finds nothing writes nothing and asks nothing of any object. Everything that is written follows from
//! listing, ledger, settings, seed and time.

mod assign;
mod compare;
mod epoch;
mod external_sort;
mod freeze;
mod key_collisions;
mod listing;
mod nothing;
mod preview;
mod published;
mod remarks;
mod schemas;
mod selection;
mod shards;
#[cfg(test)]
mod tests;
mod unchanged;

use std::path::Path;

pub use self::assign::{Action, action};
pub use self::compare::{Compared, LedgerJoin, Sink};
pub use self::freeze::Freeze;
pub use self::preview::{KEYS_MAX, Preview, PreviewOf, Quarantine, QuarantinedKey, ReadKey, TablePreview, Why};
pub use self::remarks::Remarks;
pub use self::schemas::Sampler;
pub use self::selection::Selection;

use self::assign::Assign;
use self::epoch::EpochObjects;
use self::nothing::nothing_selected;
use crate::model::cursor::Cursor;
use crate::model::ledger::LedgerHead;
use crate::model::plan::{BlobKey, Plan, SegmentRef};
use crate::model::request::Request;
use crate::model::settings::Settings;
use crate::model::table::TableError;
use crate::model::write_mode::OnEmpty;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::state::blobs::Blobs;
use crate::state::ledger::LedgerRoot;
use crate::store::Store;

/// What is planned from, by a run and by a dry run.
pub struct Planner<'a> {
    /// The source bucket.
    pub source: &'a dyn Store,
    /// Where the ledger lies and the plan goes.
    pub blobs: &'a Blobs,
    /// The spec, as it will be frozen.
    pub settings: &'a Settings,
    /// Where the sync stands.
    pub cursor: &'a Cursor,
    /// The run that plans: a ledger that is kept for the length of a run counts for that run only. `None`: one that has
    /// not begun.
    pub run: Option<&'a str>,
    /// What the run is asked for.
    pub request: Option<&'a Request>,
    /// Chooses schemas.
    pub sampler: &'a dyn Sampler,
    /// A directory for what does not fit into memory.
    pub scratch: &'a Path,
}

/// The outcome.
pub enum Planned {
    /// The pass has ended, and nothing is to be done.
    Nothing,
    /// A plan, with all its blobs written; the cursor may name it.
    Epoch(BlobKey, Box<Plan>),
}

impl<'a> Planner<'a> {
    /// Plans the next epoch of a run. `remarks` gets what a person should know of it, whatever comes of it.
    ///
    /// # Errors
    /// A request that these settings do not allow. A spec that names one key where nothing was read before and nothing
    /// is. Bad data: a key without a table or a format, two sources of one table, an overwritten object where the spec
    /// forbids it, a Replace of something by nothing. Whatever stores and sampler raise. An error leaves blobs at most,
    /// which a later sweep removes.
    pub async fn plan_epoch(&self, freeze: Freeze<'_>, remarks: &mut Remarks) -> Result<Planned, RunError> {
        let settings = self.settings;
        let (selection, head) = self.begin(remarks).await?;
        let mode = settings.destination.write_mode;
        let everything = mode.reads_everything();
        if let Some(seen) = self.unchanged(&self.join(&selection, &head.runs), &head, remarks).await? {
            self.note_found(&selection, remarks, true, seen).await?;
            return Ok(Planned::Nothing);
        }
        // What reads everything has one epoch a run, so it never goes on in the middle of a listing.
        let after = self.cursor.listed_to.as_deref().filter(|_| !everything);
        let runs = head.runs_for(settings, self.run.unwrap_or_default());
        let mut epoch = Assign::new(self, &selection, everything, EpochObjects::new(self, everything));
        let passed = LedgerJoin { after, ..self.join(&selection, runs) }.run(&mut epoch).await?;
        let whole = passed.is_some();
        remarks.passed_over(passed);
        self.note_found(&selection, remarks, whole, epoch.seen).await?;
        let EpochObjects { read, ignored, .. } = &epoch.taker;
        if read.objects == 0 {
            match mode.on_empty(settings.destination.allow_empty) {
                // What is taken unread goes into the ledger.
                OnEmpty::Leave if *ignored > 0 => {}
                OnEmpty::Leave => return Ok(Planned::Nothing),
                OnEmpty::Refuse => {
                    let place = self.source.place();
                    return Err(self.empty(&format!("nothing to read under {place}/{}", selection.prefix())));
                }
                // Nothing was published that could go.
                OnEmpty::Publish if head.runs.is_empty() => return Ok(Planned::Nothing),
                OnEmpty::Publish => {}
            }
        }
        let (key, plan) = self.freeze(freeze, epoch).await?;
        Ok(Planned::Epoch(key, Box::new(plan)))
    }

    /// What is selected, and what stands in the ledger.
    async fn begin(&self, remarks: &mut Remarks) -> Result<(Selection<'a>, LedgerHead), RunError> {
        let (settings, request) = (self.settings, self.request);
        if let Some(request) = request {
            let refused = |reason| RunError::new(RunErrorKind::InvalidSpec, format!("{}: {reason}", settings.id));
            request.asked.check(settings).map_err(refused)?;
        }
        let selection = Selection::new(settings).map_err(|error| table_error(settings, error))?;
        let selection = selection.within(request.map(|request| &request.asked.window));
        let head = match &self.cursor.ledger {
            Some(key) => LedgerRoot::load_head(self.blobs, key).await?,
            None => LedgerHead::default(),
        };
        remarks.of_head(&head, settings, self.run.unwrap_or_default());
        remarks.of_request(&head, settings, request);
        Ok((selection, head))
    }

    /// The whole listing beside these runs of the ledger.
    fn join<'s>(&'s self, selection: &'s Selection<'s>, runs: &'s [Vec<SegmentRef>]) -> LedgerJoin<'s> {
        let Planner { source, blobs, scratch, .. } = *self;
        LedgerJoin { source, selection, blobs, runs, after: None, scratch }
    }

    /// Of what reads everything or nothing, whether what it would write stands there already. If so, how many objects
    /// are selected.
    async fn unchanged(
        &self,
        join: &LedgerJoin<'_>,
        head: &LedgerHead,
        remarks: &mut Remarks,
    ) -> Result<Option<u64>, RunError> {
        let everything = self.settings.destination.write_mode.reads_everything();
        let anew = self.since().is_some_and(|since| head.epoch <= since);
        if !everything || anew || self.cursor.ledger.is_none() {
            return Ok(None);
        }
        unchanged::stands(join, head, self.settings, self.cursor.commit_record.as_ref(), remarks).await
    }

    /// Of a request to read what was read before, the epoch since which it is under way; the last one, where it would
    /// begin with this plan.
    fn since(&self) -> Option<u64> {
        self.request.filter(|request| request.asked.reread).map(|request| self.cursor.mark_of(request).since)
    }

    /// Notes how many selected objects a look saw. That one of the whole listing saw none at all is said, or refused,
    /// unless there was something before in this run.
    async fn note_found(
        &self,
        selection: &Selection<'_>,
        remarks: &mut Remarks,
        whole: bool,
        seen: u64,
    ) -> Result<(), RunError> {
        remarks.found(seen);
        if whole && !remarks.found && selection.window().is_some() {
            remarks.of_empty_window(selection);
        } else if whole && !remarks.found {
            let read_before = self.cursor.ledger.is_some();
            let nothing = nothing_selected(self.source, self.settings, &remarks.passed_over, read_before).await?;
            remarks.nothing = Some(nothing);
        }
        Ok(())
    }

    /// Replacing what is there by nothing is more often a wrong prefix than a wish. `what` there is not begins the
    /// sentence.
    fn empty(&self, what: &str) -> RunError {
        let message = format!(
            "{}: {what}, and writeMode Replace would leave an empty destination: correct source.prefix or source.include, or set \
             destination.allowEmpty",
            self.settings.id
        );
        RunError::new(RunErrorKind::BadData, message)
    }
}

/// A path that names no table keeps one table alone apart from others. One whose files are named after their sources
/// tells them apart too.
fn takes_one_table(settings: &Settings) -> bool {
    let template = &settings.destination.template;
    !template.has_table() && !template.per_source()
}

/// What a second table gets where there is a place for one.
fn second_table(settings: &Settings, first: &str, second: &str) -> RunError {
    let message = format!(
        "{}: the objects make several tables ({first}, {second} and so on), and destination.path names none; put {{{{TABLE}}}} into the path, or \
         join the tables with source.tables.from: Fixed",
        settings.id
    );
    RunError::new(RunErrorKind::InvalidSpec, message)
}

/// What a table's error means for a run.
fn table_error(settings: &Settings, error: TableError) -> RunError {
    RunError::because(RunErrorKind::BadData, format!("{}: {error}", settings.id), error)
}
