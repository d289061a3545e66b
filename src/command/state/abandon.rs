//! `s3sync state abandon`: a decided epoch of which some files can never become visible, because their uploads and their sources are both
//! gone, is decided again without them. Files that are visible, or still can be, are never given up.

use std::collections::BTreeMap;

use crate::command::render::counted;
use crate::command::run_lock::RunLock;
use crate::command::syncs::{Stores, Sync};
use crate::model::cursor::{Cursor, Phase};
use crate::model::manifest::StagedFile;
use crate::model::plan::PlannedObject;
use crate::pipeline::error::RunError;
use crate::pipeline::publish::is_ours;
use crate::store::{ErrorKind, Store};

/// Abandons what is lost of one sync's epoch under way.
pub(super) async fn abandon(sync: &Sync, stores: &Stores) -> Result<Vec<String>, RunError> {
    let _lock = RunLock::of(sync)?;
    let (cursor, version) = super::existing(sync).await?;
    let key = match (cursor.phase, &cursor.decision) {
        (Phase::Committing, Some(key)) => key.clone(),
        _ => return Ok(vec!["no epoch is decided and unpublished; nothing to give up".to_owned()]),
    };
    let blobs = super::blobs(sync, stores, &cursor);
    let mut decision = blobs.get_decision(&key).await?;
    let plan = blobs.get_plan(&decision.plan).await?;
    let amended: BTreeMap<String, StagedFile> = decision.amended.iter().map(|file| (file.key.clone(), file.clone())).collect();
    let mut done = Vec::new();
    for shard in 0..decision.attempts.len() {
        let manifest = blobs.get_decided(&decision, shard).await?;
        if decision.dropped.contains(&manifest.shard) {
            continue;
        }
        let mut vanished = Vec::new();
        for file in &manifest.files {
            let file = amended.get(&file.key).unwrap_or(file);
            if !decision.abandoned.contains(&file.key) && !can_be_visible(stores.destination.as_ref(), file).await? {
                vanished.push(file);
            }
        }
        if vanished.is_empty() {
            continue;
        }
        // A file is built again by reading its shard as it was read before, so it takes every object of the shard.
        let mut objects = blobs.get_shard(&plan.shards[manifest.shard as usize].blob).await?;
        objects.retain(|planned| manifest.excluded.iter().all(|excluded| excluded.key != planned.object.key));
        let lost = lost(stores.source.as_ref(), &objects).await?;
        if lost.is_empty() {
            continue;
        }
        for file in vanished {
            done.push(format!("given up: {} ({})", file.key, counted(file.rows, "row")));
            decision.abandoned.push(file.key.clone());
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

/// Whether the file is visible, or its upload is there to be completed.
async fn can_be_visible(store: &dyn Store, file: &StagedFile) -> Result<bool, RunError> {
    match store.list_parts(&file.key, &file.upload).await {
        Ok(_) => return Ok(true),
        Err(error) if error.kind == ErrorKind::NoSuchUpload => {}
        Err(error) => return Err(error.into()),
    }
    match store.head(&file.key).await {
        Ok(head) => Ok(is_ours(file, &head)),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
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
