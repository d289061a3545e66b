//! A decided upload that the server has dropped is built again from the rows that its manifest records: same key, same
//! id, same rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::manifest::{AttemptManifest, Exclusion, StagedFile};
use crate::model::plan::Plan;
use crate::pipeline::context::Context;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::pipeline::prepare::{Rebuilt, Shard};
use crate::state::blobs::Blobs;

/// Reads the shard again without the objects that the manifest excludes, cut where it was cut, and stages only
/// `vanished`.
pub async fn rebuild(
    context: &Context,
    blobs: &Blobs,
    plan: &Arc<Plan>,
    manifest: &AttemptManifest,
    vanished: &[StagedFile],
) -> Result<Vec<StagedFile>, RunError> {
    let objects = Arc::new(blobs.get_shard(&plan.shards[manifest.shard as usize].blob).await?);
    let shard = Shard { context, blobs, plan, number: manifest.shard, objects };
    let excluded: BTreeMap<_, _> =
        manifest.excluded.iter().map(|object| (object.key.clone(), object.clone())).collect();
    let wanted: BTreeSet<String> = vanished.iter().map(|file| file.key.clone()).collect();
    let unpublishable = |missing: &str, why: &str| {
        RunError::new(
            RunErrorKind::DecisionUnpublishable,
            format!(
                "{}: the decided file {}/{missing} cannot be published: its upload is gone, and {why}; put the object back and run again, or \
                 give the file up with `s3sync state abandon`",
                plan.settings.id,
                context.destination.place(),
            ),
        )
    };
    match shard.rebuild(vanished, &excluded).await? {
        Rebuilt::Staged(files) => {
            let staged: BTreeSet<&str> = files.iter().map(|file| file.key.as_str()).collect();
            if let Some(missing) = wanted.iter().find(|key| !staged.contains(key.as_str())) {
                return Err(unpublishable(missing, "its source rows are not what they were"));
            }
            for file in &files {
                let recorded =
                    manifest.files.iter().find(|known| known.key == file.key).expect("only wanted files are staged");
                if recorded.rows != file.rows {
                    return Err(unpublishable(&file.key, "its source rows are not what they were"));
                }
            }
            Ok(files)
        }
        Rebuilt::SourceGone(object) => {
            let why = match object.reason {
                Exclusion::Changed => "was overwritten or deleted",
                Exclusion::Archived => "was archived",
                Exclusion::Quarantined => "can no longer be read",
            };
            let missing = wanted.iter().next().map(String::as_str).unwrap_or_default();
            Err(unpublishable(missing, &format!("its source object {} {why}", object.key)))
        }
    }
}
