//! Step 6: the objects, table by table, packed into the shards that workers prepare.

use futures::TryStreamExt;

use super::Planner;
use super::external_sort::ExternalSorter;
use super::listing::scratch_error;
use crate::codec::compression::{MAGIC_BYTES, detect};
use crate::model::format::{Compression, CompressionRule};
use crate::model::object::Object;
use crate::model::plan::{PlannedObject, ShardRef};
use crate::model::shard::{Packer, Placement, Totals};
use crate::pipeline::error::RunError;
use crate::state::wire::{BlobKind, BlobWriter};
use crate::store::ErrorKind;

/// Packs the objects of an epoch and writes the shards. `tables` are what the objects refer to.
pub(super) async fn pack(
    planner: &Planner<'_>,
    objects: ExternalSorter,
    epoch: Totals,
    tables: &[Totals],
) -> Result<Vec<ShardRef>, RunError> {
    let mut sorted = objects.finish().await.map_err(|error| scratch_error(planner.scratch, error))?;
    let mut writer = ShardWriter { planner, open: None, shards: Vec::new() };
    let mut packer = Packer::new(planner.settings, epoch);
    while let Some(object) = sorted.next().await.map_err(|error| scratch_error(planner.scratch, error))? {
        let place = match packer.place(object.table, tables[object.table as usize], &object.object) {
            // The packer has closed the shard at hand for the slices, and does the same for the whole.
            Placement::Slices(_) if is_compressed(planner, &object.object).await? => Placement::Next,
            place => place,
        };
        writer.place(place, object).await?;
    }
    writer.finish().await
}

/// Whether an object that its key calls plain is compressed by its first bytes, so that no slice of it could be read.
/// One small request, for objects of more than a shard.
async fn is_compressed(planner: &Planner<'_>, object: &Object) -> Result<bool, RunError> {
    let rule = planner.settings.source.compression;
    if rule != CompressionRule::Auto || object.archived {
        return Ok(false);
    }
    let first = planner.source.get(&object.key, Some(0..MAGIC_BYTES as u64), Some(&object.etag)).await;
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
struct ShardWriter<'a> {
    planner: &'a Planner<'a>,
    open: Option<OpenShard>,
    shards: Vec<ShardRef>,
}

struct OpenShard {
    blob: BlobWriter,
    bytes: u64,
    tables: (u32, u32),
}

impl ShardWriter<'_> {
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
        let open = self.open.get_or_insert_with(|| OpenShard {
            blob: BlobWriter::new(BlobKind::Shard),
            bytes: 0,
            tables: (object.table, object.table),
        });
        open.blob.line(object);
        open.bytes += bytes;
        open.tables.1 = object.table;
    }

    async fn close(&mut self) -> Result<(), RunError> {
        let Some(OpenShard { blob, bytes, tables }) = self.open.take() else { return Ok(()) };
        let objects = blob.lines();
        let blob = self.planner.blobs.put(self.planner.cursor.epoch + 1, BlobKind::Shard, blob).await?;
        self.shards.push(ShardRef { blob, plan: 0, objects, bytes, tables });
        Ok(())
    }

    async fn finish(mut self) -> Result<Vec<ShardRef>, RunError> {
        self.close().await?;
        Ok(self.shards)
    }
}
