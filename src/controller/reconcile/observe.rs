//! Reading: from what is watched, and from what was just written. One request in a rare case: a run that was in progress and whose Job is
//! not seen any more.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource, ResourceExt};

use super::{Context, LookError, asked, key};
use crate::api::S3Sync;
use crate::controller::cursor::CursorView;
use crate::controller::decide::Observed;
use crate::controller::lean;
use crate::controller::memory::Key;
use crate::controller::names::cursor_name;
use crate::controller::run::{Run, Worker};
use crate::controller::stores::instance;

/// Everything that is known of a resource.
pub async fn observe(sync: &S3Sync, context: &Context) -> Result<Observed, LookError> {
    let key = key(&sync.metadata);
    let uid = sync.uid().unwrap_or_default();
    let mut sync = sync.clone();
    if let Some(status) = context.memory.status_over(&key, sync.metadata.resource_version.as_deref()) {
        sync.status = Some(status);
    }
    let is_its = |owner: Option<Key>| owner.as_ref() == Some(&key);
    let mut runs: Vec<Run> =
        (context.stores.jobs.state_filter(|job| is_its(instance(job))).iter()).filter_map(|job| Run::of(job, &uid)).collect();
    let seen: BTreeSet<String> = runs.iter().map(|run| run.job.clone()).collect();
    runs.extend(context.memory.unseen_jobs(&key, &|name| seen.contains(name)).iter().filter_map(|job| Run::of(job, &uid)));
    for active in sync.status.iter().flat_map(|status| &status.active) {
        if !runs.iter().any(|run| run.job == active.job) {
            let jobs: Api<Job> = Api::namespaced(context.client.clone(), &key.0);
            let job = jobs.get_opt(&active.job).await.map_err(asked(format!("show Job {}", active.job)))?;
            runs.extend(job.and_then(|mut job| {
                lean::job(&mut job);
                Run::of(&job, &uid)
            }));
        }
    }
    let workers = context.stores.pods.state_filter(|pod| is_its(instance(pod)));
    let cursor = context.stores.cursors.get(&ObjectRef::new(&cursor_name(&key.1)).within(&key.0));
    Ok(Observed {
        runs,
        workers: workers.iter().filter_map(|pod| Worker::of(pod)).collect(),
        cursor: cursor.map(|map| CursorView::of(&map)),
        taken: context.memory.taken(&key),
        refused: context.memory.refused(&key),
        capacity: !context.memory.holds_back(&key) && context.memory.has_place(&active_jobs(context), context.max_concurrent_runs),
        policy: Arc::clone(&context.policy),
        now: (context.clock)(),
        sync,
    })
}

/// Unfinished Jobs of all resources, by namespace and name.
pub fn active_jobs(context: &Context) -> BTreeSet<(String, String)> {
    if context.max_concurrent_runs == 0 {
        return BTreeSet::new();
    }
    let active = context.stores.jobs.state_filter(|job| Run::of(job, "").is_some_and(|run| run.active()));
    active.iter().map(|job| (job.meta().namespace.clone().unwrap_or_default(), job.name_any())).collect()
}
