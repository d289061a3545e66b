//! `s3sync state abandon`: a decided epoch of which some files can never become visible, because their uploads and
//! their sources are both gone or because the server refuses them, is decided again without them. Files that are
//! visible, or still can be, are never given up.

use super::settle::{given_up, settle};
use crate::command::syncs::{Stores, Sync};
use crate::model::cursor::{Cursor, Phase};
use crate::model::plan::PlannedObject;
use crate::pipeline::error::RunError;
use crate::store::{ErrorKind, Store};

/// Objects of a file that are named: enough to find the one to mend.
const SOURCES_SHOWN_MAX: usize = 10;

/// Abandons what is lost of one sync's epoch under way.
pub(super) async fn abandon(sync: &Sync, stores: &Stores) -> Result<Vec<String>, RunError> {
    let (cursor, version) = super::existing(sync).await?;
    let key = match (cursor.phase, &cursor.decision) {
        (Phase::Committing, Some(key)) => key.clone(),
        _ => return Ok(vec!["no epoch is decided and unpublished; nothing to give up".to_owned()]),
    };
    let blobs = super::blobs(sync, stores, &cursor);
    let mut decision = blobs.get_decision(&key).await?;
    let plan = blobs.get_plan(&decision.plan).await?;
    let store = stores.destination.as_ref();
    let mut done = Vec::new();
    for shard in 0..decision.attempts.len() {
        let manifest = blobs.get_decided(&decision, shard).await?;
        let settled = settle(store, &plan.settings, &decision, &manifest).await?;
        if settled.vanished.is_empty() && settled.refused.is_empty() {
            continue;
        }
        let mut objects = blobs.get_shard(&plan.shards[manifest.shard as usize].blob).await?;
        for (file, why) in settled.refused {
            let (first, last) = file.objects;
            let from = objects.iter().skip(first as usize).take((last.saturating_sub(first) + 1) as usize);
            let from: Vec<&str> = from.take(SOURCES_SHOWN_MAX).map(|planned| planned.object.key.as_str()).collect();
            done.push(format!("{}: {why}; its rows come from {}", given_up(&file), from.join(", ")));
            decision.abandoned.push(file.key);
        }
        if settled.vanished.is_empty() {
            continue;
        }
        // A file is built again by reading its shard as it was read before, so it takes every object of the shard.
        objects.retain(|planned| manifest.excluded.iter().all(|excluded| excluded.key != planned.object.key));
        let lost = lost(stores.source.as_ref(), &objects).await?;
        if lost.is_empty() {
            continue;
        }
        for file in settled.vanished {
            done.push(given_up(&file));
            decision.abandoned.push(file.key);
        }
        done.extend(lost.iter().map(|object| format!("gone: {object}")));
    }
    if done.is_empty() {
        return Ok(vec!["every file is visible or can be built again; nothing to give up, run the sync".to_owned()]);
    }
    let named = blobs.put_decision(&decision).await?;
    let next = Cursor { decision: Some(named), ..cursor };
    sync.cursor.store().swap(&version, &next).await.map_err(|error| sync.failed(error))?;
    done.push("run the sync to publish the rest".to_owned());
    Ok(done)
}

/// The objects that are not there any more, or are another version by now.
async fn lost(source: &dyn Store, objects: &[PlannedObject]) -> Result<Vec<String>, RunError> {
    let mut lost = Vec::new();
    for planned in objects {
        match source.head(&planned.object.key).await {
            Ok(head) if head.etag == planned.object.etag && head.size == planned.object.size => {}
            Ok(_) => lost.push(format!("{} (changed)", planned.object.key)),
            Err(error) if error.kind == ErrorKind::NotFound => lost.push(planned.object.key.clone()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(lost)
}
