//! The last step: the plan, and with it everything that no worker may decide for itself.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;

use super::Planner;
use super::assign::Assign;
use super::epoch::{EpochObjects, EpochTable};
use super::schemas::SAMPLES_AT_ONCE;
use super::shards::pack;
use crate::model::cursor::Run;
use crate::model::plan::{BlobKey, FrozenTable, Plan};
use crate::model::shard::{LAYOUT_BYTES, Totals, part_bytes};
use crate::model::table::TableSources;
use crate::pipeline::commit::outputs::Holder;
use crate::pipeline::error::RunError;
use crate::state::ledger::LedgerRoot;

/// What is frozen beside what was found: a plan that is made again from the same is the same.
pub struct Freeze<'a> {
    /// The run that the epoch belongs to.
    pub run: &'a Run,
    /// 32 hexadecimal digits that nobody has seen before.
    pub seed: String,
    /// The time that placeholders will show.
    pub now: Timestamp,
    /// Takes the outputs of the plan's tables before the plan is written.
    pub holder: Option<Holder<'a>>,
}

impl Planner<'_> {
    /// Settles the tables' schemas, packs the objects, and writes everything.
    pub(super) async fn freeze(
        &self,
        freeze: Freeze<'_>,
        epoch: Assign<'_, EpochObjects<'_>>,
    ) -> Result<(BlobKey, Plan), RunError> {
        let Assign { sources, listed_to, taker, .. } = epoch;
        let EpochObjects { tables, read, sorter, segments, .. } = taker;
        let names: BTreeSet<&str> = tables.iter().map(|table| table.name.as_str()).collect();
        if let Some(holder) = &freeze.holder {
            let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
            holder.take(self.settings, &names).await?;
        }
        let ledger = self.known_tables(&names, tables.first().map(|table| table.name.as_str())).await?;
        let planned = stream::iter(&tables).map(|table| self.planned(&ledger, &sources, table));
        let planned: Vec<FrozenTable> = planned.buffered(SAMPLES_AT_ONCE).try_collect().await?;
        let totals: Vec<Totals> = tables.iter().map(|table| table.totals).collect();
        let shards = pack(self, sorter, read, &totals).await?;
        let plan = Plan {
            version: Plan::VERSION,
            run: freeze.run.id.clone(),
            epoch: self.cursor.epoch + 1,
            number: 0,
            settings: self.settings.clone(),
            planned_at: freeze.now,
            seed: freeze.seed,
            part_bytes: part_bytes(self.settings, read.bytes),
            layout_bytes: LAYOUT_BYTES,
            tables: planned,
            shards,
            objects: segments.finish().await?,
            listed_to,
            pass: freeze.run.pass,
            request: self.request.map(|request| self.cursor.mark_of(request)),
        };
        let key = self.blobs.put_plan(&plan).await?;
        Ok((key, plan))
    }

    async fn planned(
        &self,
        ledger: &LedgerRoot,
        sources: &TableSources,
        EpochTable { name, totals, samples }: &EpochTable,
    ) -> Result<FrozenTable, RunError> {
        let source = sources.source(name).unwrap_or_default();
        let schema = self.schema(ledger, name, Some(source), samples).await?;
        let Totals { objects, bytes } = *totals;
        Ok(FrozenTable { name: name.clone(), source: source.to_owned(), schema, objects, bytes })
    }
}
