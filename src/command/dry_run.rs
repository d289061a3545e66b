//! What `plan` and `tables` see: every selected object beside the ledger, gathered by table. Nothing is written,
//! nothing is read for good; memory grows with tables, never with objects.

pub mod plan;
pub mod tables;

mod key_collisions;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_schema::Field;
use jiff::Timestamp;
use serde::Serialize;

use self::key_collisions::Outputs;
use crate::command::render::counted;
use crate::command::run::report::Outcome;
use crate::command::run::request::Kept;
use crate::command::run::resources::Resources;
use crate::command::syncs::Sync;
use crate::model::cursor::{Cursor, Phase};
use crate::model::format::InputFormat;
use crate::model::ledger::Standing;
use crate::model::object::Object;
use crate::model::passed_over::Extensions;
use crate::model::reason::Reason;
use crate::model::request::Asked;
use crate::model::schema::{TableSchema, frozen, type_name};
use crate::model::settings::{SchemaMode, Settings, SyncId};
use crate::model::shard::format_of;
use crate::model::spec_hash::SpecHash;
use crate::model::write_mode::OnEmpty;
use crate::pipeline::commit::claim;
use crate::pipeline::context::Context;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::pipeline::layout::file_columns;
use crate::pipeline::planner::{Remarks, Sampler, Survey, Surveyed, Treatment, Visitor, nothing_selected};
use crate::pipeline::run::changed;
use crate::pipeline::sample::SourceSampler;
use crate::state::blobs::Blobs;
use crate::state::ledger::LedgerRoot;
use crate::state::seal::StateKey;

/// Objects of a table that are shown by key; the rest are counted.
pub const KEYS_MAX: usize = 10;

/// One sync as it was found.
pub struct DryRun {
    /// Its surroundings.
    pub context: Context,
    /// The cursor, when there is one.
    pub cursor: Option<Cursor>,
    /// What the ledger holds of the tables.
    pub ledger: LedgerRoot,
    /// The tables, by name.
    pub tables: BTreeMap<String, TableSurvey>,
    /// Says that nothing is selected, when nothing is.
    pub nothing: Option<String>,
    /// What a person should know of a run beside what it reads.
    pub remarks: Remarks,
    /// Two objects whose outputs would have one key.
    clash: Option<String>,
}

/// One table as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableSurvey {
    /// Objects.
    pub objects: u64,
    /// Their bytes as stored.
    pub bytes: u64,
    /// The newest one's time.
    pub last_modified: Option<Timestamp>,
    /// Their formats.
    pub formats: BTreeSet<InputFormat>,
    /// The extensions of their keys.
    pub extensions: Extensions,
    /// Those that a run would read.
    pub read: Reading,
    /// Overwritten ones that go into the ledger unread.
    pub ignored: u64,
    /// Those that are left out until they change.
    pub quarantined: Quarantine,
    /// First, largest and last of those a run would read, or of all where it would read none: what a schema is inferred
    /// from.
    samples: Option<[Object; 3]>,
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

impl Quarantine {
    /// A line for each object that is named, and one for the rest.
    pub fn lines(&self) -> Vec<String> {
        quarantined_lines(&self.keys, self.objects)
    }
}

/// A line for each object that is named, and one for the rest.
pub fn quarantined_lines(keys: &[QuarantinedKey], objects: u64) -> Vec<String> {
    let mut lines: Vec<String> = keys
        .iter()
        .map(|object| format!("quarantined until it changes: {}", blamed(&object.key, &object.reason)))
        .collect();
    let unnamed = objects.saturating_sub(keys.len() as u64);
    if unnamed > 0 {
        lines.push(format!("quarantined until they change: {} more", counted(unnamed, "object")));
    }
    lines
}

/// The object and what is wrong with it. Most reasons begin with the key, to tell the byte or the line of it.
pub fn blamed(key: &str, reason: &str) -> String {
    if reason.starts_with(key) { reason.to_owned() } else { format!("{key}: {reason}") }
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
}

impl TableSurvey {
    fn add(&mut self, found: Surveyed, format: Option<InputFormat>) {
        let Surveyed { object, standing, treatment, reason, .. } = found;
        self.objects += 1;
        self.bytes += object.size;
        self.last_modified = self.last_modified.max(Some(object.last_modified));
        self.formats.extend(format);
        self.extensions.add(&object.key);
        self.ignored += u64::from(treatment == Treatment::Ignore);
        if treatment == Treatment::Leave && standing == Standing::Quarantined {
            self.quarantined.objects += 1;
            if self.quarantined.keys.len() < KEYS_MAX {
                let reason = reason.unwrap_or_default();
                self.quarantined.keys.push(QuarantinedKey { key: object.key.clone(), reason });
            }
        }
        if treatment != Treatment::Read {
            if self.read.objects == 0 {
                self.sample(&object, self.objects == 1);
            }
            return;
        }
        self.sample(&object, self.read.objects == 0);
        let why = match standing {
            Standing::New => Why::New,
            Standing::Overwritten => Why::Overwritten,
            Standing::Replaced => Why::Retried,
            Standing::Known | Standing::Quarantined => Why::Again,
        };
        self.read.objects += 1;
        self.read.bytes += object.size;
        *self.read.why.entry(why).or_default() += 1;
        if self.read.keys.len() < KEYS_MAX {
            self.read.keys.push(ReadKey { key: object.key, bytes: object.size, why });
        }
    }

    fn sample(&mut self, object: &Object, first: bool) {
        match &mut self.samples {
            Some(samples) if !first => {
                if object.size > samples[1].size {
                    samples[1].clone_from(object);
                }
                samples[2].clone_from(object);
            }
            samples => *samples = Some([object.clone(), object.clone(), object.clone()]),
        }
    }
}

/// Gathers tables as the survey goes.
struct Gather<'a> {
    settings: &'a Settings,
    tables: BTreeMap<String, TableSurvey>,
    /// The first object that a run would stop at, and why.
    stop: Option<(String, &'static str)>,
    outputs: Option<Outputs<'a>>,
    /// The first two outputs of one key.
    clash: Option<String>,
}

impl Visitor for Gather<'_> {
    fn restart(&mut self) {
        self.tables.clear();
        self.stop = None;
        self.clash = None;
        self.outputs = Outputs::of(self.settings);
    }

    fn object(&mut self, found: Surveyed) {
        let format = format_of(self.settings, &found.object.key);
        let stop = match found.treatment {
            Treatment::Refuse => Some("it was overwritten after it had been read, and incremental.onOverwrite is Fail"),
            Treatment::Read if format.is_none() => {
                Some("its extension names no format: set source.format, or leave it out with source.exclude")
            }
            _ => None,
        };
        if self.stop.is_none() {
            self.stop = stop.map(|why| (found.object.key.clone(), why));
        }
        if found.treatment == Treatment::Read
            && self.clash.is_none()
            && let Some(outputs) = &mut self.outputs
        {
            self.clash = outputs.add(&found.table, &found.object.key);
        }
        self.tables.entry(found.table.clone()).or_default().add(found, format);
    }
}

impl DryRun {
    /// Looks at one sync, as a run would that is asked for this. What would stop a run before it has planned is an
    /// error here too.
    pub async fn at(resources: &Resources, sync: &Sync, asked: Option<&Asked>) -> Result<DryRun, RunError> {
        let request = match asked {
            Some(asked) => Some(Kept::find(sync, asked).await?.request),
            None => None,
        };
        // Nothing that a look does is sealed, and it makes no file.
        let context = Context { request, ..resources.context(sync, sync.stores().await?, StateKey::generate()) };
        let mut cursor = sync.load().await?.map(|(cursor, _)| cursor);
        allowed(&context, &mut cursor).await?;
        let settings = &context.settings;
        // Without a cursor no blob is ever asked for.
        let state_id = cursor.as_ref().map_or("none", |cursor| &cursor.state_id);
        let blobs = Blobs::new(context.destination.clone(), &settings.state_prefix, state_id);
        let root = cursor.as_ref().and_then(|cursor| cursor.ledger.as_ref());
        let run = cursor.as_ref().and_then(|cursor| cursor.run_under_way(context.request_id()));
        let request = context.request.as_ref();
        let survey = Survey {
            source: context.source.as_ref(),
            blobs: &blobs,
            ledger: root,
            manifest: cursor.as_ref().and_then(|cursor| cursor.manifest.as_ref()),
            run: run.map(|run| run.id.as_str()),
            request,
            since: cursor.as_ref().zip(request).map_or(0, |(cursor, request)| cursor.mark_of(request).since),
            settings,
            scratch: &context.scratch,
        };
        let mut gather =
            Gather { settings, tables: BTreeMap::new(), stop: None, outputs: Outputs::of(settings), clash: None };
        let remarks = survey.run(&mut gather).await?;
        let Gather { tables, stop, clash, .. } = gather;
        if let Some((key, why)) = stop {
            return Err(RunError::new(
                RunErrorKind::BadData,
                format!("{}: {}/{key}: {why}", settings.id, context.source.place()),
            ));
        }
        let ledger = match root {
            Some(key) => LedgerRoot::load_where(&blobs, key, |name| tables.contains_key(name)).await?,
            None => LedgerRoot::default(),
        };
        // Of a window, the remarks say it.
        let nothing = match tables.is_empty() && request.is_none_or(|request| request.asked.window.is_open()) {
            true => {
                Some(nothing_selected(context.source.as_ref(), settings, &remarks.passed_over, root.is_some()).await?)
            }
            false => None,
        };
        Ok(DryRun { context, cursor, ledger, tables, nothing, remarks, clash })
    }

    /// The schema that rows of a table would be verified against now.
    pub async fn schema(&self, name: &str, table: &TableSurvey) -> Result<TableSchema, RunError> {
        let settings = &self.context.settings;
        let mut samples = table.samples.as_ref().map(|samples| samples.to_vec()).unwrap_or_default();
        samples.sort_by(|a, b| a.key.cmp(&b.key));
        samples.dedup_by(|a, b| a.key == b.key);
        let inferred = match settings.schema.mode {
            SchemaMode::Declared => TableSchema::default(),
            SchemaMode::Infer | SchemaMode::Strings => SourceSampler::new(&self.context).sample(name, &samples).await?,
        };
        let replaces = !settings.destination.write_mode.keeps_published();
        frozen(&settings.schema, replaces, &inferred, self.ledger.schema(name)).map_err(|error| {
            let key = samples.first().map(|object| format!("{}: ", object.key)).unwrap_or_default();
            RunError::because(RunErrorKind::BadData, format!("{}: table {name}: {key}{error}", settings.id), error)
        })
    }

    /// Refuses what a run refuses once it has rows: columns that the files or their directories cannot be made of.
    pub fn check_files(&self, name: &str, schema: &TableSchema) -> Result<(), RunError> {
        let settings = &self.context.settings;
        let columns = schema.arrow();
        // What shows no column may have no rows.
        if columns.fields().is_empty() {
            return Ok(());
        }
        file_columns(&settings.destination, name, &columns)
            .map(drop)
            .map_err(|error| RunError::because(error.kind(), format!("{}: {error}", settings.id), error))
    }

    /// Where the epoch under way stands, when one is.
    pub fn under_way(&self) -> Option<String> {
        let cursor = self.cursor.as_ref()?;
        let epoch = cursor.epoch + 1;
        match cursor.phase {
            Phase::Idle => None,
            Phase::Running => Some(format!(
                "epoch {epoch} was planned and not finished: a run goes on with it, or plans it again when the spec changed"
            )),
            Phase::Committing => Some(format!(
                "epoch {epoch} is decided: a run first makes the rest of its files visible; its objects are still listed here"
            )),
        }
    }
}

/// The extensions of a table whose objects are all read in one format, whatever their keys say, where there are
/// several: a stray object among them is read too.
pub fn mixed_extensions<'a>(settings: &Settings, table: &'a TableSurvey) -> Option<&'a Extensions> {
    (settings.source.format.is_some() && table.extensions.len() > 1).then_some(&table.extensions)
}

/// Counted extensions as a part of a sentence.
pub fn extensions_text(counts: &BTreeMap<String, u64>) -> String {
    counts.iter().map(|(extension, count)| format!("{extension} ({count})")).collect::<Vec<_>>().join(", ")
}

/// One column of a schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ColumnSurvey {
    /// Its name.
    pub name: String,
    /// Its type, as `columns[].type` spells it.
    #[serde(rename = "type")]
    pub data_type: String,
}

/// The columns of a schema.
pub fn columns(schema: &TableSchema) -> Vec<ColumnSurvey> {
    let column =
        |field: &Arc<Field>| ColumnSurvey { name: field.name().clone(), data_type: type_name(field.data_type()) };
    schema.arrow().fields().iter().map(column).collect()
}

/// Columns as lines for people.
pub fn columns_text(columns: &[ColumnSurvey]) -> String {
    let width = columns.iter().map(|column| column.name.chars().count()).max().unwrap_or(0);
    let line = |column: &ColumnSurvey| {
        format!(
            "  {:width$}  {}\n",
            crate::command::render::printable(&column.name),
            crate::command::render::printable(&column.data_type)
        )
    };
    columns.iter().map(line).collect()
}

/// Checks what a run checks before it plans. Takes the ledger away where a run would begin an empty one.
async fn allowed(context: &Context, cursor: &mut Option<Cursor>) -> Result<(), RunError> {
    let settings = &context.settings;
    if let Some(cursor) = cursor
        && cursor.phase != Phase::Committing
        && !cursor.is_untouched()
        && let Some(change) = SpecHash::parse(&cursor.spec_hash).change_to(&SpecHash::parse(&context.spec_hash))
    {
        if !context.accept_spec_change {
            return Err(changed(settings, change));
        }
        if change.begins_anew() {
            cursor.ledger = None;
            cursor.manifest = None;
        }
    }
    let Some((claim, _)) = claim::read(context.destination.as_ref(), &claim::claim_key(settings)).await? else {
        return Ok(());
    };
    let ours = cursor.as_ref().map(|cursor| (cursor.state_id.as_str(), cursor.epoch));
    claim::conflict(context.destination.as_ref(), settings, ours, &claim).map_or(Ok(()), Err)
}

/// One sync that could not be looked at, among the results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failed {
    namespace: String,
    name: String,
    result: Outcome,
    reason: Reason,
    message: String,
}

impl Failed {
    /// What became of a sync.
    pub fn of(sync: &SyncId, error: &RunError) -> Failed {
        let (namespace, name) = (sync.namespace.clone(), sync.name.clone());
        Failed { namespace, name, result: Outcome::Failed, reason: error.kind.reason(), message: error.to_string() }
    }
}

/// Two output files of one key are refused, as a run refuses them once it has made them.
pub fn refuse_clash(look: &DryRun) -> Result<(), RunError> {
    let refused =
        |clash: &String| RunError::new(RunErrorKind::InvalidSpec, format!("{}: {clash}", look.context.settings.id));
    look.clash.as_ref().map_or(Ok(()), |clash| Err(refused(clash)))
}

/// Replacing what is there by nothing is refused, as a run refuses it.
pub fn refuse_empty(look: &DryRun) -> Result<(), RunError> {
    let destination = &look.context.settings.destination;
    let refuses = destination.write_mode.on_empty(destination.allow_empty) == OnEmpty::Refuse;
    if refuses && look.tables.is_empty() {
        let message = format!(
            "{}: nothing is selected, and writeMode Replace would leave an empty destination: correct source.prefix or source.include, or \
             set destination.allowEmpty",
            look.context.settings.id
        );
        return Err(RunError::new(RunErrorKind::BadData, message));
    }
    Ok(())
}
