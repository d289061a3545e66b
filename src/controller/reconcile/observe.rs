//! Reading: from what is watched, and from what was just written. One request in rare cases: where a run was in
//! progress and its Job is not seen any more; where a worker does not begin, of which events alone say why; and where
//! pods are deleted, perhaps with their namespace.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::FutureExt;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource, ResourceExt};

use super::apply::post;
use super::rights::is_ours;
use super::{Context, LookError, asked, key, warning};
use crate::api::{S3Sync, S3SyncRun};
use crate::controller::build;
use crate::controller::connections::look_up;
use crate::controller::decide::conditions::silent;
use crate::controller::decide::cursor::CursorView;
use crate::controller::decide::requested::job_of;
use crate::controller::decide::run::{Run, Worker};
use crate::controller::decide::{ASK_AGAIN, Observed};
use crate::controller::names::cursor_name;
use crate::controller::reflectors::expectations::{Key, SeenJobs};
use crate::controller::reflectors::{GuardedRun, instance, prune, whom_it_asks};

/// Everything that is known of a resource.
pub async fn observe(sync: &S3Sync, context: &Context) -> Result<Observed, LookError> {
    let key = key(&sync.metadata);
    let uid = sync.uid().unwrap_or_default();
    let mut sync = sync.clone();
    if let Some(status) = context.expectations.status_over(&key, sync.metadata.resource_version.as_deref()) {
        sync.status = Some(status);
    }
    let connections = look_up(&mut sync, &|name| context.reflectors.connection(&key.0, name));
    let is_its = |owner: Option<Key>| owner.as_ref() == Some(&key);
    let mut runs: Vec<Run> = (context.reflectors.jobs.state_filter(|job| is_its(instance(job))).iter())
        .filter_map(|job| Run::of(job, &uid))
        .collect();
    let seen: BTreeSet<String> = runs.iter().map(|run| run.job.clone()).collect();
    runs.extend(
        context.expectations.unseen_jobs(&key, &|name| seen.contains(name)).iter().filter_map(|job| Run::of(job, &uid)),
    );
    let requested = context.reflectors.knows_runs(&key.0).then(|| requested(&key, context));
    // An S3SyncRun that was told of its Job is done with it for good.
    let begun = requested.iter().flatten().filter(|run| run.status.as_ref().is_some_and(|status| status.job.is_some()));
    let begun = begun.filter(|run| !run.has_ended()).map(|run| job_of(&key.1, run));
    let active = sync.status.iter().flat_map(|status| &status.active).map(|active| active.job.clone());
    for name in active.chain(begun).collect::<BTreeSet<_>>() {
        if !runs.iter().any(|run| run.job == name) {
            let jobs: Api<Job> = Api::namespaced(context.client.clone(), &key.0);
            let job = jobs.get_opt(&name).await.map_err(asked(format!("show Job {name}")))?;
            runs.extend(job.and_then(|mut job| {
                prune::job(&mut job);
                Run::of(&job, &uid)
            }));
        }
    }
    let workers = context.reflectors.pods.state_filter(|pod| is_its(instance(pod)));
    let cursor = context.reflectors.cursors.get(&ObjectRef::new(&cursor_name(&key.1)).within(&key.0));
    // Its name alone would let a resource read and write whatever has that name.
    let cursor = cursor.filter(|map| is_ours(map.meta(), &build::cursor_map(&sync).metadata, &sync));
    let mut seen = Observed {
        connections,
        runs,
        workers: workers.iter().filter_map(|pod| Worker::of(pod)).collect(),
        requested,
        cursor: cursor.map(|map| CursorView::of(&map)),
        taken: context.expectations.taken(&key),
        refused: context.expectations.refused(&key),
        warned: None,
        capacity: !context.expectations.holds_back(&key) && has_place(&sync, &key, context),
        namespace_ends: context.expectations.namespace_ends(&key),
        policy: Arc::clone(&context.policy),
        now: (context.clock)(),
        sync,
    };
    if let Some(uid) = silent(&seen).map(str::to_owned) {
        seen.warned = warned(&uid, &key, context).boxed().await;
    }
    if !seen.namespace_ends && seen.dying() && context.expectations.asks(&key, ASK_AGAIN.unsigned_abs()) {
        seen.namespace_ends = namespace_ends(&seen.sync, &key, context).boxed().await;
    }
    Ok(seen)
}

/// The S3SyncRuns that name a resource, as they were last written.
pub fn requested(key: &Key, context: &Context) -> Vec<S3SyncRun> {
    let all = context.reflectors.runs.state_filter(|run| whom_it_asks(run).as_ref() == Some(key));
    let newest = |guarded: &Arc<GuardedRun>| {
        let mut run = guarded.0.as_ref().ok()?.clone();
        let (uid, version) = (run.metadata.uid.as_deref()?, run.metadata.resource_version.as_deref());
        if let Some(status) = context.expectations.run_status_over(key, uid, version) {
            run.status = Some(status);
        }
        Some(run)
    };
    all.iter().filter_map(newest).collect()
}

/// What the last warning about an object says. Read at most once a minute; without it, a guess is told.
async fn warned(uid: &str, key: &Key, context: &Context) -> Option<String> {
    if let Some(known) = context.expectations.warned(key, uid) {
        return known;
    }
    let last = warning::last(&context.client, &key.0, uid).boxed().await.unwrap_or_else(|error| {
        // The rights of an earlier release, or a server that is busy: a sentence is not worth a look.
        tracing::debug!(namespace = key.0, name = key.1, "events cannot be read: {error}");
        None
    });
    context.expectations.was_warned(key, uid, last.clone());
    last
}

/// Whether the namespace is being deleted. The controller may not look at namespaces: it asks to make something there,
/// which is then not made.
async fn namespace_ends(sync: &S3Sync, key: &Key, context: &Context) -> bool {
    let maps: Api<ConfigMap> = Api::namespaced(context.client.clone(), &key.0);
    let answer = maps.create(&PostParams { dry_run: true, ..post() }, &build::cursor_map(sync)).await;
    let ends = answer.is_err_and(|error| is_of_an_ending_namespace(&error));
    if ends {
        tracing::info!(
            namespace = key.0,
            name = key.1,
            "the namespace is being deleted: its Jobs go, so that their pods can"
        );
        context.expectations.namespace_ended(key);
    }
    ends
}

/// Whether the API server makes nothing because the namespace is being deleted.
pub fn is_of_an_ending_namespace(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    status.is_forbidden()
        && status.details.iter().flat_map(|details| &details.causes).any(|cause| cause.reason == "NamespaceTerminating")
}

fn has_place(sync: &S3Sync, key: &Key, context: &Context) -> bool {
    takes_no_place(sync) || context.expectations.has_place(key, &jobs(context), context.caps)
}

/// Whether the resource's runs begin suspended: their queue says when they may work.
pub fn takes_no_place(sync: &S3Sync) -> bool {
    sync.spec.worker.queue_name.is_some()
}

/// The Jobs of all resources. One that is held back by its queue takes no place, and one that has ended.
pub fn jobs(context: &Context) -> SeenJobs {
    if context.caps.none() {
        return SeenJobs::default();
    }
    let seen = context.reflectors.jobs.state();
    SeenJobs(
        seen.iter()
            .filter_map(|job| {
                let run = Run::of(job, "")?;
                Some(((job.meta().namespace.clone()?, job.name_any()), run.active() && !run.held))
            })
            .collect(),
    )
}
