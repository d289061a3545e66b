//! The ledger: which object versions are accounted for. A log-structured tree of sorted segments in blobs.
//!
//! The root names sorted runs of segments, oldest first, and holds a line for each table. Reading is a merge of the
//! runs in which the newest entry of a key counts; an epoch adds one run, and small runs are merged so that there are
//! always few (see [`merge_from`](crate::model::ledger::merge_from)). Nothing here is ever changed in place: a root is
//! whole as long as its blobs are, so an older cursor still reads an older ledger.

mod record;
mod segments;
mod stream;

use std::collections::BTreeMap;

pub use record::{Recorded, TableUpdate, record};
pub use segments::SegmentWriter;
pub use stream::LedgerStream;

use super::blobs::{BlobError, Blobs};
use super::wire::BlobKind;
use crate::model::ledger::{LedgerHead, LedgerTable};
use crate::model::plan::BlobKey;
use crate::model::schema::TableSchema;

/// A root, with the tables that were asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LedgerRoot {
    /// The runs, and who wrote them.
    pub head: LedgerHead,
    /// By name.
    pub tables: BTreeMap<String, LedgerTable>,
}

impl LedgerRoot {
    /// Reads a root with every table. Memory grows with the tables and their columns.
    pub async fn load(blobs: &Blobs, key: &BlobKey) -> Result<Self, BlobError> {
        Self::load_where(blobs, key, |_| true).await
    }

    /// Reads a root with the tables that are wanted, by name; the others cost no memory.
    pub async fn load_where(
        blobs: &Blobs,
        key: &BlobKey,
        mut wanted: impl FnMut(&str) -> bool,
    ) -> Result<Self, BlobError> {
        let (head, mut lines) = open(blobs, key).await?;
        let mut tables = BTreeMap::new();
        while let Some(table) = lines.next::<LedgerTable>().await? {
            if wanted(&table.name) {
                tables.insert(table.name.clone(), table);
            }
        }
        Ok(Self { head, tables })
    }

    /// Reads the runs alone.
    pub async fn load_head(blobs: &Blobs, key: &BlobKey) -> Result<LedgerHead, BlobError> {
        open(blobs, key).await.map(|(head, _)| head)
    }

    /// The schema in force of a table.
    pub fn schema(&self, table: &str) -> Option<&TableSchema> {
        self.tables.get(table).map(|table| &table.schema)
    }
}

/// A root's first line, and the tables' lines to come.
async fn open(blobs: &Blobs, key: &BlobKey) -> Result<(LedgerHead, super::blobs::Lines), BlobError> {
    let mut lines = blobs.lines(key, BlobKind::Ledger);
    let head = lines.next().await?.ok_or_else(|| blobs.nonsense(key, "it has no first line".into()))?;
    Ok((head, lines))
}

#[cfg(test)]
mod tests;
