//! Protocol step 1: what an epoch reads, and how, frozen into a plan.
//!
//! One pass joins listing and ledger ([`scan`]); what the epoch takes is collected by table ([`take`]), in memory or,
//! beyond a bound, over scratch ([`sort`]); then the tables' schemas are settled and the objects packed into shards. A
//! pass that finds nothing writes nothing and asks nothing of any object. Everything that is written follows from
//! listing, ledger, settings, seed and time.

mod compare;
mod freeze;
mod nothing;
mod published;
mod remarks;
mod scan;
mod selection;
mod sort;
mod survey;
mod take;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

pub use self::nothing::nothing_selected;
pub use self::remarks::Remarks;
pub use self::scan::{Flow, Found, Scan, Sink};
pub use self::selection::Selection;
pub use self::survey::{Survey, Surveyed, Visitor};
pub use self::take::{Treatment, treatment};

use self::take::Taker;
use crate::model::cursor::{Cursor, Run};
use crate::model::ledger::LedgerHead;
use crate::model::object::Object;
use crate::model::plan::{BlobKey, Plan};
use crate::model::request::Request;
use crate::model::schema::TableSchema;
use crate::model::settings::Settings;
use crate::model::spec_hash::output_digest;
use crate::model::table::TableError;
use crate::model::write_mode::OnEmpty;
use crate::pipeline::commit::outputs::Holder;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::state::blobs::Blobs;
use crate::state::ledger::LedgerRoot;
use crate::store::Store;

/// Looks at objects to say what a table's schema may be.
#[async_trait]
pub trait Sampler: Sync {
    /// What these objects of one table (at most three, its first, largest and last among them) look like together.
    async fn sample(&self, table: &str, objects: &[Object]) -> Result<TableSchema, RunError>;
}

/// What a plan is made from.
pub struct PlanContext<'a> {
    /// The source bucket.
    pub source: Arc<dyn Store>,
    /// Where the ledger lies and the plan goes.
    pub blobs: &'a Blobs,
    /// The spec, as it will be frozen.
    pub settings: &'a Settings,
    /// Where the sync stands: phase Idle.
    pub cursor: &'a Cursor,
    /// The run that the epoch will belong to.
    pub run: &'a Run,
    /// What the run is asked for.
    pub request: Option<&'a Request>,
    /// 32 hexadecimal digits that nobody has seen before.
    pub seed: String,
    /// The time that placeholders will show.
    pub now: Timestamp,
    /// Chooses schemas.
    pub sampler: &'a dyn Sampler,
    /// A directory for what does not fit into memory.
    pub scratch: PathBuf,
    /// Takes the outputs of the plan's tables before the plan is written.
    pub holder: Option<Holder<'a>>,
}

impl PlanContext<'_> {
    /// Of a request to read what was read before, the epoch since which it is under way.
    fn since(&self) -> Option<u64> {
        self.request.filter(|request| request.asked.reread).map(|request| self.cursor.mark_of(request).since)
    }
}

/// The outcome.
pub enum Planned {
    /// The pass has ended, and nothing is to be done.
    Nothing,
    /// A plan, with all its blobs written; the cursor may name it.
    Epoch(BlobKey, Box<Plan>),
}

/// Plans the next epoch of a run. `remarks` gets what a person should know of it, whatever comes of it.
///
/// # Errors A request that these settings do not allow. A spec that names one key where nothing was read before and
/// nothing is. Bad data: a key without a table or a format, two sources of one table, an overwritten object where the
/// spec forbids it, a Replace of something by nothing. Whatever stores and sampler raise. An error leaves blobs at
/// most, which a later sweep removes.
pub async fn plan_epoch(context: &PlanContext<'_>, remarks: &mut Remarks) -> Result<Planned, RunError> {
    let settings = context.settings;
    asked_of(context.request, settings)?;
    let selection = Selection::new(settings).map_err(|error| table_error(settings, error))?;
    let selection = selection.within(context.request.map(|request| &request.asked.window));
    let head = match &context.cursor.ledger {
        Some(key) => LedgerRoot::load_head(context.blobs, key).await?,
        None => LedgerHead::default(),
    };
    remarks.of_head(&head, settings, &context.run.id);
    remarks.of_request(&head, settings, context.request);
    let mode = settings.destination.write_mode;
    let everything = mode.reads_everything();
    let scan = Scan {
        source: context.source.as_ref(),
        selection: &selection,
        blobs: context.blobs,
        runs: &head.runs,
        after: context.cursor.listed_to.as_deref(),
        scratch: &context.scratch,
    };
    // What reads everything has one epoch a run, so it never goes on in the middle of a listing.
    let scan = if everything { Scan { after: None, ..scan } } else { scan };
    let anew = context.since().is_some_and(|since| head.epoch <= since);
    if everything
        && !anew
        && context.cursor.ledger.is_some()
        && let Some(seen) = stands(&scan, &head, settings, context.cursor.manifest.as_ref(), remarks).await?
    {
        look_taken(context, &selection, remarks, true, seen).await?;
        return Ok(Planned::Nothing);
    }
    let mut taker = Taker::new(context, &selection, everything);
    let passed = Scan { runs: head.runs_for(settings, &context.run.id), ..scan }.run(&mut taker).await?;
    let whole = passed.is_some();
    remarks.passed_over(passed);
    look_taken(context, &selection, remarks, whole, taker.seen).await?;
    if taker.read.objects == 0 {
        match mode.on_empty(settings.destination.allow_empty) {
            // What is taken unread goes into the ledger.
            OnEmpty::Leave if taker.ignored > 0 => {}
            OnEmpty::Leave => return Ok(Planned::Nothing),
            OnEmpty::Refuse => return Err(empty(context, &selection)),
            // Nothing was published that could go.
            OnEmpty::Publish if head.runs.is_empty() => return Ok(Planned::Nothing),
            OnEmpty::Publish => {}
        }
    }
    if let Some(holder) = &context.holder {
        let tables: Vec<&str> = taker.tables.iter().map(|table| table.name.as_str()).collect();
        holder.take(settings, &tables).await?;
    }
    freeze::freeze(context, taker).await.map(|(key, plan)| Planned::Epoch(key, Box::new(plan)))
}

/// Whether what Replace would write stands there already: the listing and the spec are as they were, and so are the
/// published files. If so, how many objects are selected.
async fn stands(
    scan: &Scan<'_>,
    head: &LedgerHead,
    settings: &Settings,
    manifest: Option<&BlobKey>,
    remarks: &mut Remarks,
) -> Result<Option<u64>, RunError> {
    let Some((passed, seen)) = compare::is_same(scan, head, settings).await? else { return Ok(None) };
    let stands = match manifest {
        Some(manifest) => published::stands(scan.blobs, manifest, remarks).await?,
        None => true,
    };
    if stands {
        remarks.passed_over(Some(passed));
    }
    Ok(stands.then_some(seen))
}

/// Notes how many selected objects a look saw. That one of the whole listing saw none at all is said, or refused,
/// unless there was something before in this run.
async fn look_taken(
    context: &PlanContext<'_>,
    selection: &Selection<'_>,
    remarks: &mut Remarks,
    whole: bool,
    seen: u64,
) -> Result<(), RunError> {
    remarks.found(seen);
    if whole && !remarks.found && selection.window().is_some() {
        remarks.of_empty_window(selection);
    } else if whole && !remarks.found {
        let (source, read_before) = (context.source.as_ref(), context.cursor.ledger.is_some());
        remarks.nothing = Some(nothing_selected(source, context.settings, &remarks.passed_over, read_before).await?);
    }
    Ok(())
}

/// Refuses what cannot be asked of these settings.
fn asked_of(request: Option<&Request>, settings: &Settings) -> Result<(), RunError> {
    let refused = |reason| RunError::new(RunErrorKind::InvalidSpec, format!("{}: {reason}", settings.id));
    request.map_or(Ok(()), |request| request.asked.check(settings).map_err(refused))
}

/// Replacing what is there by nothing is more often a wrong prefix than a wish.
fn empty(context: &PlanContext<'_>, selection: &Selection<'_>) -> RunError {
    let id = &context.settings.id;
    let message = format!(
        "{id}: nothing to read under {}/{}, and writeMode Replace would leave an empty destination: correct source.prefix or \
         source.include, or set destination.allowEmpty",
        context.source.place(),
        selection.prefix()
    );
    RunError::new(RunErrorKind::BadData, message)
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

/// Whether Replace under these settings would write what stands there already, the listing aside.
fn same_settings(head: &LedgerHead, settings: &Settings) -> bool {
    head.settings == output_digest(settings)
}
