//! What S3SyncRuns are told, and those whose S3Sync is not there: no look at a resource comes by them.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Resource};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use super::apply::delete;
use super::observe::requested;
use super::{Context, LOOK_MAX, LookError, asked};
use crate::api::S3SyncRun;
use crate::controller::decide::desired::{Named, Told};
use crate::controller::decide::requested::{expired, without_sync};
use crate::controller::names::FIELD_MANAGER;
use crate::controller::reflectors::expectations::Key;
use crate::controller::reflectors::{GuardedRun, whom_it_asks};

/// How often those whose S3Sync is not there are looked at beside what changes: one may have had its time.
const EVERY: Duration = Duration::from_secs(60);

/// Writes what S3SyncRuns of one resource say.
pub async fn tell_runs(all: &[Told], key: &Key, context: &Context) -> Result<(), LookError> {
    let runs: Api<GuardedRun> = Api::namespaced(context.client.clone(), &key.0);
    for Told { run: Named { name, uid }, status } in all {
        // The uid: a status about one that is gone is not for its namesake.
        let patch = json!({
            "apiVersion": S3SyncRun::api_version(&()),
            "kind": S3SyncRun::kind(&()),
            "metadata": {"name": name, "uid": uid},
            "status": status,
        });
        match runs.patch_status(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(patch)).await {
            Ok(written) => {
                context.expectations.wrote_run_status(key, uid, written.meta().resource_version.as_deref(), status);
            }
            Err(kube::Error::Api(answer)) if answer.is_not_found() || answer.is_conflict() => {}
            Err(error) => return Err(asked(format!("write the status of S3SyncRun {name}"))(error)),
        }
    }
    Ok(())
}

/// Deletes S3SyncRuns whose time is over.
pub async fn delete_runs(expired: &[Named], namespace: &str, context: &Context) -> Result<(), LookError> {
    let runs: Api<GuardedRun> = Api::namespaced(context.client.clone(), namespace);
    for run in expired {
        delete(&runs, run, DeleteParams::default()).await?;
    }
    Ok(())
}

/// Looks after S3SyncRuns whose S3Sync is not there, for as long as the task lives: now and then, and when told that
/// one is not.
pub async fn look_after_orphans(context: Arc<Context>, missing: Arc<Notify>) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = missing.notified() => {}
        }
        let result = tokio::time::timeout(LOOK_MAX, orphans(&context).boxed()).await;
        // Each is told once, so the next tick tries again.
        if let Err(error) = result.unwrap_or(Err(LookError::NoAnswer)) {
            tracing::warn!("{error}");
        }
    }
}

/// A look at all of them.
pub async fn orphans(context: &Context) -> Result<(), LookError> {
    let orphan = |run: &GuardedRun| {
        let key = whom_it_asks(run)?;
        let there = context.reflectors.sync(&key.0, &key.1).is_some();
        (!there && context.reflectors.unlisted(&key.0, false).is_empty()).then_some(key)
    };
    let mut keys: Vec<Key> = context.reflectors.runs.state().iter().filter_map(|run| orphan(run)).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let (runs, now) = (requested(&key, context), (context.clock)());
        let told: Vec<Told> = runs.iter().filter_map(|run| without_sync(run, now)).collect();
        tell_runs(&told, &key, context).boxed().await?;
        delete_runs(&expired(runs.iter(), now).0, &key.0, context).boxed().await?;
    }
    Ok(())
}
