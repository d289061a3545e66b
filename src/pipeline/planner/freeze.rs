//! From what an epoch takes to its plan: schemas, shards, blobs.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt, TryStreamExt};

use super::scan::scratch_error;
use super::selection::Selection;
use super::take::{Taken, Taker};
use super::{PlanContext, second_table, table_error, takes_one_table};
use crate::codec::compression::{MAGIC_BYTES, detect};
use crate::model::format::{Compression, CompressionRule};
use crate::model::object::Object;
use crate::model::plan::{BlobKey, Plan, PlannedObject, PlannedTable, ShardRef};
use crate::model::schema::frozen;
use crate::model::settings::{SchemaMode, TableRule};
use crate::model::shard::{LAYOUT_BYTES, Packer, Placement, Totals, part_bytes};
use crate::model::table::collision;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::state::ledger::LedgerRoot;
use crate::state::wire::{BlobKind, BlobWriter};
use crate::store::ErrorKind;

/// Tables sampled at once: each costs up to three small requests and their text.
const SAMPLES_AT_ONCE: usize = 4;

/// Settles the tables' schemas, packs the objects, and writes everything.
pub(super) async fn freeze(context: &PlanContext<'_>, taker: Taker<'_>) -> Result<(BlobKey, Plan), RunError> {
    let Taker { tables, read, listed_to, sorter, segments, .. } = taker;
    let root = match &context.cursor.ledger {
        Some(key) => {
            let names: BTreeSet<&str> = tables.iter().map(|table| table.name.as_str()).collect();
            let mut other = None;
            let wanted = |name: &str| {
                let wanted = names.contains(name);
                if !wanted {
                    other.get_or_insert_with(|| name.to_owned());
                }
                wanted
            };
            let root = LedgerRoot::load_where(context.blobs, key, wanted).await?;
            // What was published of another table lies where this one's files would go.
            if let (Some(other), Some(table)) = (other, tables.first())
                && context.settings.destination.write_mode.keeps_published()
                && takes_one_table(context.settings)
            {
                return Err(second_table(context.settings, &other, &table.name));
            }
            root
        }
        None => LedgerRoot::default(),
    };
    let mut planned = Vec::with_capacity(tables.len());
    let mut settled = stream::iter(&tables).map(|table| settle(context, &root, table)).buffered(SAMPLES_AT_ONCE);
    while let Some(table) = settled.try_next().await? {
        planned.push(table);
    }
    drop(settled);
    let mut sorted = sorter.finish().await.map_err(|error| scratch_error(&context.scratch, error))?;
    let mut shards = Shards { context, writer: None, shards: Vec::new() };
    let mut packer = Packer::new(context.settings, read);
    while let Some(object) = sorted.next().await.map_err(|error| scratch_error(&context.scratch, error))? {
        let totals = tables[object.table as usize].totals;
        let place = match packer.place(object.table, totals, &object.object) {
            // The packer has closed the shard at hand for the slices, and does the same for the whole.
            Placement::Slices(_) if is_compressed(context, &object.object).await? => Placement::Next,
            place => place,
        };
        shards.place(place, object).await?;
    }
    let shards = shards.finish().await?;
    let plan = Plan {
        version: Plan::VERSION,
        run: context.run.id.clone(),
        epoch: context.cursor.epoch + 1,
        number: 0,
        settings: context.settings.clone(),
        planned_at: context.now,
        seed: context.seed.clone(),
        part_bytes: part_bytes(context.settings, read.bytes),
        layout_bytes: LAYOUT_BYTES,
        tables: planned,
        shards,
        objects: segments.finish().await?,
        listed_to,
        pass: context.run.pass,
        request: context.request.map(|request| context.cursor.mark_of(request)),
    };
    let key = context.blobs.put_plan(&plan).await?;
    Ok((key, plan))
}

/// A table with the schema that its rows are verified against.
async fn settle(context: &PlanContext<'_>, root: &LedgerRoot, table: &Taken) -> Result<PlannedTable, RunError> {
    let settings = context.settings;
    let known = root.tables.get(&table.name);
    if let Some(known) = known
        && known.source != table.source
        && is_listed(context, &table.name, &known.source).await?
    {
        return Err(table_error(settings, collision(&table.name, &known.source, &table.source)));
    }
    let mut samples = table.samples.to_vec();
    samples.dedup_by(|a, b| a.key == b.key);
    let inferred = match settings.schema.mode {
        // The columns are given, and nothing that is found would change them.
        SchemaMode::Declared => Default::default(),
        SchemaMode::Infer | SchemaMode::Strings => context.sampler.sample(&table.name, &samples).await?,
    };
    let replaces = !settings.destination.write_mode.keeps_published();
    let schema = frozen(&settings.schema, replaces, &inferred, known.map(|table| &table.schema)).map_err(|error| {
        let key = &samples[0].key;
        RunError::because(
            RunErrorKind::BadData,
            format!("{}: table {}: {key}: {error}", settings.id, table.name),
            error,
        )
    })?;
    let Totals { objects, bytes } = table.totals;
    Ok(PlannedTable { name: table.name.clone(), source: table.source.clone(), schema, objects, bytes })
}

/// Whether an object is still listed that gives a table this source. An earlier epoch took the table from there; when
/// nothing is left of that, the table may move. What a window leaves out counts: it is there for the next run.
async fn is_listed(context: &PlanContext<'_>, table: &str, source: &str) -> Result<bool, RunError> {
    let settings = context.settings;
    if matches!(settings.source.tables, TableRule::Fixed { .. }) {
        return Ok(false);
    }
    let selection = Selection::new(settings).map_err(|error| table_error(settings, error))?;
    let mut pages = context.source.list(selection.prefix_of_source(source), None);
    while let Some(page) = pages.next().await {
        let gives = |key: &str| matches!(selection.table(key), Ok(Some(named)) if named.table == table && named.source == source);
        if page?.iter().any(|object| selection.takes(object) && gives(&object.key)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether an object that its key calls plain is compressed by its first bytes, so that no slice of it could be read.
/// One small request, for objects of more than a shard.
async fn is_compressed(context: &PlanContext<'_>, object: &Object) -> Result<bool, RunError> {
    let rule = context.settings.source.compression;
    if rule != CompressionRule::Auto || object.archived {
        return Ok(false);
    }
    let first = context.source.get(&object.key, Some(0..MAGIC_BYTES as u64), Some(&object.etag)).await;
    let first = match first {
        Ok(body) => body.bytes.map_ok(|bytes| bytes.to_vec()).try_concat().await,
        Err(error) => Err(error),
    };
    match first {
        Ok(first) => Ok(detect(rule, &first) != Compression::None),
        // What changed under way, or cannot be read before it is restored, is for the read to report.
        Err(error) if matches!(error.kind, ErrorKind::Changed | ErrorKind::NotFound | ErrorKind::Archived) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Writes shards one after the other.
struct Shards<'a> {
    context: &'a PlanContext<'a>,
    writer: Option<Open>,
    shards: Vec<ShardRef>,
}

struct Open {
    blob: BlobWriter,
    bytes: u64,
    tables: (u32, u32),
}

impl Shards<'_> {
    async fn place(&mut self, place: Placement, object: PlannedObject) -> Result<(), RunError> {
        match place {
            Placement::Here => self.push(&object, object.object.size),
            Placement::Next => {
                self.close().await?;
                self.push(&object, object.object.size);
            }
            Placement::Slices(slices) => {
                for slice in slices {
                    self.close().await?;
                    self.push(&PlannedObject { slice: Some(slice), ..object.clone() }, slice.bytes());
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, object: &PlannedObject, bytes: u64) {
        let open = self.writer.get_or_insert_with(|| Open {
            blob: BlobWriter::new(BlobKind::Shard),
            bytes: 0,
            tables: (object.table, object.table),
        });
        open.blob.line(object);
        open.bytes += bytes;
        open.tables.1 = object.table;
    }

    async fn close(&mut self) -> Result<(), RunError> {
        let Some(Open { blob, bytes, tables }) = self.writer.take() else { return Ok(()) };
        let objects = blob.lines();
        let blob = self.context.blobs.put(self.context.cursor.epoch + 1, BlobKind::Shard, blob).await?;
        self.shards.push(ShardRef { blob, plan: 0, objects, bytes, tables });
        Ok(())
    }

    async fn finish(mut self) -> Result<Vec<ShardRef>, RunError> {
        self.close().await?;
        Ok(self.shards)
    }
}
