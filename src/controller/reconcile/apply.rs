//! Writing: a run's objects, the status, and what is to go. Nothing is written that is as it should be.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::controller::Action;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::observe::{is_of_an_ending_namespace, jobs, takes_no_place};
use super::requested::{delete_runs, tell_runs};
use super::rights::{ensure_rights, is_ours};
use super::status::{Written, write_status};
use super::{Context, LookError, asked, key, tell, tell_as};
use crate::api::S3Sync;
use crate::controller::build;
use crate::controller::decide::check::Checked;
use crate::controller::decide::conditions::{self, accepted};
use crate::controller::decide::cursor::is_a_copy;
use crate::controller::decide::record::is_history;
use crate::controller::decide::run::{Refused, Run};
use crate::controller::decide::{Desired, Named, Observed, Start, events};
use crate::controller::names::{FIELD_MANAGER, cursor_name, state_key_name};
use crate::controller::reflectors::Guarded;
use crate::controller::reflectors::expectations::Key;
use crate::controller::reflectors::prune;
use crate::state::seal::StateKey;

/// Somebody else took the last place under the cap since the decision.
const PLACE_WAIT: Duration = Duration::from_secs(2);

/// How often rights are applied again while a run has no pod: not at every look, of which each event makes one.
const MEND_EVERY: Duration = Duration::from_secs(10);

/// Makes what is seen what should be.
pub async fn apply(seen: &Observed, desired: Desired, context: &Context) -> Result<Action, LookError> {
    let key = key(&seen.sync.metadata);
    context.expectations.waits(&key, desired.waits_for_place);
    // Before the status, and before the Jobs that go once it is written: what they are told is read from both.
    tell_runs(&desired.told, &key, context).boxed().await?;
    if let Some(start) = &desired.start {
        return start_run(seen, &desired, start, &key, context).boxed().await;
    }
    let mut requeue = desired.requeue;
    match write_status(seen, &desired, &key, context).boxed().await? {
        Written::Later(wait) => requeue = requeue.min(wait),
        Written::Now | Written::Already => {
            delete_jobs(&desired.delete_jobs, DeleteParams::background(), &key, context).await?;
            // In the foreground: the Job stays until its pods have ended, so that no other run begins beside them.
            delete_jobs(&desired.cancel, DeleteParams::foreground(), &key, context).await?;
            force_delete(&desired.force_delete, &key, context).await?;
            if desired.own_cursor {
                own_cursor(&seen.sync, &key, context).await?;
            }
        }
    }
    delete_runs(&desired.expired, &key.0, context).boxed().await?;
    tell_of_killed(seen, &desired, &key, context).boxed().await;
    if desired.make_state_key {
        ensure_state_key(&seen.sync, &key, context).boxed().await?;
    }
    if desired.mend_rights
        && let Some(Made::Taken(kind, name)) =
            ensure_rights(&seen.sync, Some(MEND_EVERY), &key, context).boxed().await?
    {
        context.expectations.is_taken(&key, kind, &name);
        requeue = Duration::ZERO;
    }
    Ok(Action::requeue(requeue))
}

/// Tells of pods that were ended from outside, once of each: the event has the pod's uid for a name, so that another
/// leader does not repeat it.
async fn tell_of_killed(seen: &Observed, desired: &Desired, key: &Key, context: &Context) {
    let there = |pod: &str| seen.workers.iter().any(|worker| worker.uid == pod);
    for (pod, note) in &desired.killed {
        if context.expectations.tells_of(key, pod, &there) {
            tell_as(&seen.sync, &format!("{}.{pod}", key.1), note, context).await;
        }
    }
}

/// Makes a run's Job, after what its pods need.
async fn start_run(
    seen: &Observed,
    desired: &Desired,
    start: &Start,
    key: &Key,
    context: &Context,
) -> Result<Action, LookError> {
    let checked = seen.checked().expect("a run is only started for a resource that was checked");
    if !takes_no_place(&seen.sync) && !context.expectations.take_place(key, &start.job, &jobs(context), context.caps) {
        context.expectations.waits(key, true);
        return Ok(Action::requeue(PLACE_WAIT));
    }
    let made = make_run(seen, desired, &checked, start, key, context).boxed().await;
    match made {
        Ok(Made::Run(job)) => {
            context.expectations.made(key, &start.job, Arc::new(job));
            context.metrics.missed(key, desired.missed);
            if desired.missed > 0 {
                tell(&seen.sync, &events::missed(desired.missed), context).await;
            }
            tell(&seen.sync, &events::started(&start.job, start.why), context).await;
        }
        Ok(Made::Adopted(job)) => context.expectations.made(key, &start.job, Arc::new(job)),
        Ok(Made::Taken(kind, name)) => {
            context.expectations.not_made(key, &start.job, None);
            if context.expectations.is_taken(key, kind, &name)
                && let Some(note) = events::taken(&key.1, kind, &name)
            {
                tell(&seen.sync, &note, context).await;
            }
        }
        // It will never be taken; what is left to do there needs no run.
        Err(LookError::Kube { source, .. }) if is_of_an_ending_namespace(&source) => {
            context.expectations.not_made(key, &start.job, None);
            context.expectations.namespace_ended(key);
        }
        Err(error) => {
            context.expectations.not_made(key, &start.job, error.answer().map(Refused::of));
            // Shown in the status, with all else that is new, and tried again after the error's wait: at each try,
            // since one that has waited for too long says so, and with the answer that is remembered, since an answer's
            // text may be another each time.
            if let Some(answer) = context.expectations.refused(key) {
                let now = Observed { refused: Some(answer), capacity: false, ..seen.clone() };
                let desired = crate::controller::decide::decide(&now);
                let told = tell_runs(&desired.told, key, context).boxed().await;
                let written = match told {
                    Ok(()) => write_status(&now, &desired, key, context).boxed().await.map(|_| ()),
                    Err(error) => Err(error),
                };
                if let Err(another) = written {
                    tracing::warn!(namespace = key.0, name = key.1, "{another}");
                }
            }
            return Err(error);
        }
    }
    // The next look sees the Job, and writes the status with it.
    Ok(Action::requeue(Duration::ZERO))
}

pub(super) enum Made {
    /// A new Job.
    Run(Job),
    /// A Job of this resource that was there: its status was lost, or the watch is behind.
    Adopted(Job),
    /// The name is somebody else's.
    Taken(&'static str, String),
}

async fn make_run(
    seen: &Observed,
    desired: &Desired,
    checked: &Checked,
    start: &Start,
    key: &Key,
    context: &Context,
) -> Result<Made, LookError> {
    let sync = &seen.sync;
    let doubted = desired.mend_rights.then_some(Duration::ZERO);
    // First the cursor: whoever chooses a resource's name would else choose a ConfigMap for its workers to read and
    // write.
    if let Some(taken) = ensure_cursor(seen, key, context).boxed().await? {
        return Ok(taken);
    }
    let (rights, state_key) =
        tokio::join!(ensure_rights(sync, doubted, key, context).boxed(), ensure_state_key(sync, key, context).boxed());
    // Both are waited for: what one of them found taken does not undo the other.
    if let Some(taken) = rights? {
        return Ok(taken);
    }
    state_key?;
    let api: Api<Job> = Api::namespaced(context.client.clone(), &key.0);
    let job = build::job(&context.policy.completed(sync), checked, start, accepted(seen), &context.defaults);
    match api.create(&post(), &job).await {
        Ok(mut job) => {
            prune::job(&mut job);
            Ok(Made::Run(job))
        }
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let mut there = api.get(&start.job).await.map_err(asked(format!("show Job {}", start.job)))?;
            prune::job(&mut there);
            let news = Run::of(&there, sync.metadata.uid.as_deref().unwrap_or_default())
                .filter(|run| run.owned && !is_history(run, sync));
            Ok(if news.is_some() { Made::Adopted(there) } else { Made::Taken("Job", start.job.clone()) })
        }
        Err(error) => Err(asked(format!("make Job {}", start.job))(error)),
    }
}

pub(super) fn post() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

/// Makes the Secret with the key of the state where there is none: before each run, since nothing here may look whether
/// it is there. One of somebody else by that name does no harm: workers' pods that find no key in it wait, and say so.
async fn ensure_state_key(sync: &S3Sync, key: &Key, context: &Context) -> Result<(), LookError> {
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &key.0);
    match secrets.create(&post(), &build::state_key(sync, &StateKey::generate().text())).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        Err(error) => Err(asked(format!("make Secret {}", state_key_name(&key.1)))(error)),
    }
}

/// Makes the cursor's ConfigMap where there is none. One that bears no label of ours is taken over when nobody else has
/// a hand in it and it holds a cursor, or nothing at all: somebody restored it from a copy.
async fn ensure_cursor(seen: &Observed, key: &Key, context: &Context) -> Result<Option<Made>, LookError> {
    if seen.cursor.is_some() {
        return Ok(None);
    }
    let maps: Api<ConfigMap> = Api::namespaced(context.client.clone(), &key.0);
    let wanted = build::cursor_map(&seen.sync);
    let name = cursor_name(&key.1);
    match maps.create(&post(), &wanted).await {
        Ok(_) => return Ok(None),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        Err(error) => return Err(asked(format!("make ConfigMap {name}"))(error)),
    }
    let there = maps.get(&name).await.map_err(asked(format!("show ConfigMap {name}")))?;
    if is_ours(there.meta(), &wanted.metadata, &seen.sync) {
        return Ok(None);
    }
    if !is_a_copy(&there) {
        return Ok(Some(Made::Taken("ConfigMap", name)));
    }
    let patch = json!({"metadata": {"uid": there.metadata.uid, "labels": wanted.metadata.labels}});
    let patched = maps.patch(&name, &PatchParams::apply(FIELD_MANAGER), &Patch::Merge(patch)).await;
    patched.map_err(asked(format!("label ConfigMap {name}")))?;
    Ok(None)
}

async fn delete_jobs(doomed: &[Named], how: DeleteParams, key: &Key, context: &Context) -> Result<(), LookError> {
    let jobs: Api<Job> = Api::namespaced(context.client.clone(), &key.0);
    for job in doomed {
        delete(&jobs, job, how.clone()).await?;
    }
    Ok(())
}

async fn force_delete(doomed: &[Named], key: &Key, context: &Context) -> Result<(), LookError> {
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &key.0);
    for pod in doomed {
        tracing::warn!(
            namespace = key.0,
            pod = pod.name,
            "a pod should have ended long ago: its node is taken for lost"
        );
        delete(&pods, pod, DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() }).await?;
    }
    Ok(())
}

/// Deletes the object that is meant; one that is gone, or another of its name, is no error.
pub(super) async fn delete<K>(api: &Api<K>, doomed: &Named, params: DeleteParams) -> Result<(), LookError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let preconditions = Some(Preconditions { uid: Some(doomed.uid.clone()), resource_version: None });
    match api.delete(&doomed.name, &DeleteParams { preconditions, ..params }).await {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(error) => Err(asked(format!("delete {} {}", K::kind(&()), doomed.name))(error)),
        Ok(_) => Ok(()),
    }
}

/// Makes the cursor die with the resource, or not, as `state.onDelete` says.
async fn own_cursor(sync: &S3Sync, key: &Key, context: &Context) -> Result<(), LookError> {
    let name = cursor_name(&key.1);
    let owners = build::cursor_map(sync).metadata.owner_references;
    let maps: Api<ConfigMap> = Api::namespaced(context.client.clone(), &key.0);
    let patch = Patch::Merge(json!({"metadata": {"ownerReferences": owners}}));
    maps.patch(&name, &PatchParams::apply(FIELD_MANAGER), &patch)
        .await
        .map_err(asked(format!("set the owner of ConfigMap {name}")))?;
    Ok(())
}

/// A resource that this build cannot read, written by another version of the definition: it says so, once, and the
/// others go on.
pub async fn unreadable(guarded: &Guarded, error: &str, context: &Context) -> Result<Action, LookError> {
    let key = key(guarded.meta());
    let generation = guarded.meta().generation;
    let status = conditions::unreadable(error, generation, (context.clock)());
    let message = status.message.clone().unwrap_or_default();
    if context.expectations.is_news(&key, &message) {
        tracing::warn!(namespace = key.0, name = key.1, "{message}");
        // What it said before stays.
        let patch =
            json!({"status": {"observedGeneration": generation, "conditions": status.conditions, "message": message}});
        let syncs: Api<Guarded> = Api::namespaced(context.client.clone(), &key.0);
        let patched = syncs.patch_status(&key.1, &PatchParams::apply(FIELD_MANAGER), &Patch::Merge(patch)).await;
        patched.map_err(asked("write the status"))?;
        context.expectations.said(&key, message);
    }
    Ok(Action::await_change())
}
