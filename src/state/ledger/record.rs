//! Protocol step 5: an epoch's objects become a run of the ledger. Everything written follows from the old root, the
//! plan and what the decision left out, so recording twice writes the same blobs under the same names.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::segments::SegmentWriter;
use super::stream::{LedgerStream, Piece};
use crate::model::cursor::{Cursor, TableMark};
use crate::model::layout::Layout;
use crate::model::ledger::{Entry, LedgerHead, LedgerTable, Outcome, cut, merge_from};
use crate::model::manifest::{Excluded, Exclusion};
use crate::model::plan::{BlobKey, FrozenTable, Plan, SegmentRef};
use crate::model::spec_hash::output_digest;
use crate::model::write_mode::Superseded;
use crate::state::blobs::{BlobError, Blobs, Lines};
use crate::state::wire::{BlobKind, BlobWriter};

/// Bytes of a key that a mark shows: enough to recognise it, and a thousand marks stay small.
const MARK_KEY_BYTES_MAX: usize = 120;

/// What an epoch adds to one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableUpdate {
    /// Objects, rows and bytes of this epoch, and its newest object.
    pub mark: TableMark,
}

/// A ledger as it was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// The new root.
    pub root: BlobKey,
    /// Every blob that it needs, itself among them.
    pub referenced: BTreeSet<BlobKey>,
    /// Blobs that the old root needed and the new one does not, of epochs before the last but one: nobody reads them
    /// any more. What younger epochs wrote is found when their own turn comes.
    pub dropped: Vec<BlobKey>,
    /// The tables' marks for the cursor: the first [`Cursor::TABLES_MAX`] by name.
    pub marks: BTreeMap<String, TableMark>,
}

/// Records the plan's objects over the `old` root. `excluded` (by key) are left out or quarantined, `updates` are by
/// index into the plan's tables. Memory does not grow with the ledger.
pub async fn record(
    blobs: &Blobs,
    old: Option<&BlobKey>,
    plan: &Plan,
    excluded: &BTreeMap<String, Excluded>,
    updates: &BTreeMap<u32, TableUpdate>,
) -> Result<Recorded, BlobError> {
    let (old_head, old_tables) = match old {
        Some(key) => {
            let (head, tables) = super::open(blobs, key).await?;
            (head, Some(tables))
        }
        None => (LedgerHead::default(), None),
    };
    let mut runs = old_head.runs_for(&plan.settings, &plan.run).to_vec();
    runs.push(recorded_run(blobs, plan, excluded).await?);
    runs.retain(|run| !run.is_empty());
    let sizes: Vec<u64> = runs.iter().map(|run| run.iter().map(|segment| segment.entries).sum()).collect();
    let newer = runs.split_off(merge_from(&sizes));
    match <[_; 1]>::try_from(newer) {
        Ok([run]) => runs.push(run),
        Err(newer) if newer.is_empty() => {}
        Err(newer) => {
            runs.push(merged(SegmentWriter::new(blobs, plan.epoch), LedgerStream::new(blobs, &newer, None)).await?)
        }
    }
    let head = LedgerHead {
        run: plan.run.clone(),
        epoch: plan.epoch,
        settings: output_digest(&plan.settings),
        runs,
        layout: Some(Layout::of(&plan.settings.destination)),
        request: plan.request.clone().or(old_head.request.clone()),
    };
    let (root, marks) = write_root(blobs, plan, &head, old_tables, updates).await?;
    let mut referenced = blobs_of(&head);
    referenced.insert(root.clone());
    let before = blobs_of(&old_head).into_iter().chain(old.cloned());
    let old_enough = |key: &BlobKey| blobs.epoch_of(key).is_some_and(|epoch| epoch + 2 <= plan.epoch);
    let dropped = before.filter(|key| !referenced.contains(key) && old_enough(key)).collect();
    Ok(Recorded { root, referenced, dropped, marks })
}

fn blobs_of(head: &LedgerHead) -> BTreeSet<BlobKey> {
    head.runs.iter().flatten().map(|segment| segment.blob.clone()).collect()
}

/// The plan's segments, those that hold something excluded written anew.
async fn recorded_run(
    blobs: &Blobs,
    plan: &Plan,
    excluded: &BTreeMap<String, Excluded>,
) -> Result<Vec<SegmentRef>, BlobError> {
    let mut writer = SegmentWriter::new(blobs, plan.epoch);
    for segment in &plan.objects {
        let range = (Bound::Included(segment.first.as_str()), Bound::Included(segment.last.as_str()));
        if excluded.range::<str, _>(range).next().is_none() {
            writer.adopt(segment.clone()).await?;
            continue;
        }
        let mut lines = blobs.lines(&segment.blob, BlobKind::Objects);
        while let Some(mut entry) = lines.next::<Entry>().await? {
            match excluded.get(&entry.object.key) {
                // Whatever stands there now is for the next pass to see.
                Some(Excluded { reason: Exclusion::Changed, .. }) => continue,
                // Its rows of before are published. Were that forgotten, they would be written again when it can be
                // read, whatever onOverwrite says.
                Some(_) if entry.again => {}
                Some(Excluded { reason: Exclusion::Archived, .. }) => entry.outcome = Outcome::Archived,
                Some(Excluded { reason: Exclusion::Quarantined, message, .. }) => {
                    entry.outcome = Outcome::quarantined(message)
                }
                None => {}
            }
            writer.push(&entry).await?;
        }
    }
    writer.finish().await
}

/// Several runs as one. Large segments that overlap no other run are kept as they are: keys that grow with time are
/// never rewritten.
pub(super) async fn merged(
    mut writer: SegmentWriter<'_>,
    mut runs: LedgerStream,
) -> Result<Vec<SegmentRef>, BlobError> {
    while let Some(piece) = runs.next_piece(writer.adopted_bytes_min()).await? {
        match piece {
            Piece::Entry(entry) => writer.push(&entry).await?,
            Piece::Segment(segment) => writer.adopt(segment).await?,
        }
    }
    writer.finish().await
}

/// Writes the root: the head, then the old tables and the plan's, merged by name.
async fn write_root(
    blobs: &Blobs,
    plan: &Plan,
    head: &LedgerHead,
    old: Option<Lines>,
    updates: &BTreeMap<u32, TableUpdate>,
) -> Result<(BlobKey, BTreeMap<String, TableMark>), BlobError> {
    let replaces = match plan.settings.destination.write_mode.supersedes() {
        Superseded::Nothing => false,
        Superseded::Everything => true,
    };
    // A cursor that is adopted takes its request from here: a release that would drop it must not read it.
    let version = if head.request.is_some() { BlobKind::Ledger.version() } else { 1 };
    let mut root = BlobWriter::of_version(BlobKind::Ledger, version);
    root.line(head);
    let mut marks = BTreeMap::new();
    let mut write = |table: LedgerTable| {
        root.line(&table);
        if marks.len() < Cursor::TABLES_MAX {
            marks.insert(table.name, table.mark);
        }
    };
    let mut planned: BTreeMap<&str, (&FrozenTable, TableUpdate)> = BTreeMap::new();
    for (index, table) in plan.tables.iter().enumerate() {
        let update = updates.get(&(index as u32)).cloned().unwrap_or_default();
        planned.insert(&table.name, (table, update));
    }
    if let Some(mut lines) = old {
        while let Some(table) = lines.next::<LedgerTable>().await? {
            let later = planned.split_off(table.name.as_str());
            for (table, update) in std::mem::replace(&mut planned, later).into_values() {
                write(updated(table, TableMark::default(), update));
            }
            match planned.remove(table.name.as_str()) {
                // What is replaced does not count any more.
                Some((planned, update)) if replaces => write(updated(planned, TableMark::default(), update)),
                Some((planned, update)) => write(updated(planned, table.mark, update)),
                None if replaces => {}
                None => write(table),
            }
        }
    }
    for (table, update) in planned.into_values() {
        write(updated(table, TableMark::default(), update));
    }
    Ok((blobs.put(plan.epoch, BlobKind::Ledger, root).await?, marks))
}

fn updated(table: &FrozenTable, before: TableMark, TableUpdate { mark: added }: TableUpdate) -> LedgerTable {
    let newest = if added.last_modified > before.last_modified { &added } else { &before };
    let mark = TableMark {
        last_modified: newest.last_modified,
        key: cut(&newest.key, MARK_KEY_BYTES_MAX).to_owned(),
        objects: before.objects + added.objects,
        rows: before.rows + added.rows,
        bytes: before.bytes + added.bytes,
    };
    LedgerTable { name: table.name.clone(), source: table.source.clone(), schema: table.schema.settled(), mark }
}
