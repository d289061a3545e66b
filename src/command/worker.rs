//! `s3sync worker`: one pod of a run's Indexed Job. Everything comes by the environment, see [`pod`].
//!
//! Index 0 leads the run and ends with it; the others follow the cursor for as long as the run lasts and are ended with
//! the Job. Whatever a follower meets, it leaves to worker 0 to report: a follower's exit would end the Job before
//! worker 0 could say why.

mod pod;
mod progress;
mod stop;
mod termination_message;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub(in crate::command) use self::pod::Pod;
use self::termination_message::TerminationMessage;
use crate::command::run::output_locations::OutputLocations;
use crate::command::run::report::SyncReport;
use crate::command::run::resources::Resources;
use crate::command::syncs::{self, CursorLocation, Sync};
use crate::command::{CommandError, FailureKind};
use crate::model::memory::{BUDGET_BYTES_MIN, mebibytes, raised};
use crate::pipeline::budget::cgroup_limit;
use crate::pipeline::context::Context;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::pipeline::run::{RunSummary, follow, lead};
use crate::state::configmap::{ConfigMapCursor, Patience};

/// Does the pod's part of the run.
pub fn execute() -> Result<(), CommandError> {
    let env = |name: &str| std::env::var(name).ok();
    let termination_message = TerminationMessage::new(&env);
    crate::command::on_panic({
        let termination_message = termination_message.clone();
        move |message| termination_message.failed(RunErrorKind::Failed, message)
    });
    let result = Pod::new(&env).and_then(|pod| {
        let runtime =
            crate::command::runtime().map_err(|error| RunError::new(RunErrorKind::Failed, error.to_string()))?;
        let result = runtime.block_on(work(pod, &termination_message));
        // What a cancelled run left on other threads is not waited for.
        runtime.shutdown_background();
        result
    });
    let failure = match result {
        Ok(ended) => {
            termination_message.leave(&termination_message::report(&ended.report));
            ended.failure
        }
        Err(error) => {
            termination_message.failed(error.kind, &error.message);
            Some(error)
        }
    };
    let kind = failure.as_ref().map(|error| exit_kind(error.kind));
    syncs::end(failure.into_iter().collect())
        .map_err(|error| CommandError { kind: kind.unwrap_or(error.kind), ..error })
}

/// What a failure means for the pod's exit code, by which the Job makes another pod or none.
fn exit_kind(kind: RunErrorKind) -> FailureKind {
    match kind.failure() {
        FailureKind::Other if kind.is_final() => FailureKind::Final,
        other => other,
    }
}

/// A run that began.
struct Ended {
    report: SyncReport,
    failure: Option<RunError>,
}

async fn work(pod: Pod, termination_message: &TerminationMessage) -> Result<Ended, RunError> {
    let id = pod.sync.id.clone();
    fits(cgroup_limit()).map_err(|error| error.of(&id))?;
    let cancel = CancellationToken::new();
    stop::listen(cancel.clone(), termination_message.clone()).map_err(|error| {
        RunError::because(RunErrorKind::Failed, format!("{id}: signals cannot be caught: {error}"), error)
    })?;
    let (sync, cursor) = sync(&pod).await?;
    let workers = sync.settings().worker.replicas;
    let mut resources = Resources::new(pod.scratch_dir.as_deref())
        .map_err(|error| RunError::new(RunErrorKind::Failed, format!("{id}: {error}")))?;
    resources.replicas = workers;
    resources.accept_spec_change = pod.accept_spec_change;
    resources.finish_only = pod.finish_only;
    resources.cancel = cancel;
    // The others of the run are other pods.
    let stores = sync.stores().await.map_err(|error| sync.located(error))?;
    let context = Context {
        index: pod.index,
        workers_here: 1,
        request: pod.request,
        ..resources.context(&sync, stores, pod.state_key)
    };
    tracing::info!(sync = %id, index = pod.index, workers, memory = resources.memory_bytes, "working");
    if pod.index == 0 {
        Ok(first(&sync, &context, cursor, workers).await)
    } else {
        other(&context, cursor, workers).await
    }
}

/// What the pod is about, with its cursor.
pub(in crate::command) async fn sync(pod: &Pod) -> Result<(Sync, ConfigMapCursor), RunError> {
    let id = &pod.sync.id;
    let cursor = cursor(pod).await?;
    let uid = cursor
        .uid()
        .await
        .map_err(|error| RunError::because(RunErrorKind::from(&error), format!("{id}: {error}"), error))?;
    let Some(uid) = uid else {
        let message =
            format!("{id}: the {} is not there; the operator makes it again, and runs the sync again", cursor.place());
        return Err(RunError::new(RunErrorKind::Interrupted, message));
    };
    Ok((Sync { loaded: pod.sync.clone(), cursor: CursorLocation::ConfigMap { cursor: cursor.clone(), uid } }, cursor))
}

/// Refuses a limit that no run fits under: a budget beyond it would end with a SIGKILL, again and again. The limit may
/// be one that a LimitRange gives to who names none, so that the spec does not show it.
fn fits(limit: Option<u64>) -> Result<(), RunError> {
    let Some(limit) = limit.filter(|limit| *limit < BUDGET_BYTES_MIN) else { return Ok(()) };
    let message = format!(
        "the worker's memory limit is {}, and a run needs at least {}; set spec.worker.resources.limits.memory to {}; where it is not set, a \
         LimitRange of the namespace gave this limit",
        mebibytes(limit),
        mebibytes(BUDGET_BYTES_MIN),
        mebibytes(raised(limit))
    );
    Err(RunError::new(RunErrorKind::InvalidSpec, message))
}

/// A client of the pod's own cluster.
async fn cursor(pod: &Pod) -> Result<ConfigMapCursor, RunError> {
    let id = &pod.sync.id;
    let client = kube::Client::try_default().await.map_err(|error| {
        let message =
            format!("{id}: there is no way to the API server from here: {error}; workers are started by the operator");
        RunError::because(RunErrorKind::Failed, message, error)
    })?;
    Ok(ConfigMapCursor::new(client, &id.namespace, &pod.cursor, Patience::WORKER))
}

/// Leads the run to its end.
async fn first(sync: &Sync, context: &Context, cursor: ConfigMapCursor, workers: u32) -> Ended {
    // What an earlier run left, when it was ended before it could remove it.
    progress::forget(&cursor).await;
    let told = progress::tell(cursor.clone(), 0, workers, Arc::clone(&context.progress));
    let mut summary = RunSummary::default();
    let failure = lead(context, &mut summary).await.err().map(|error| sync.located(error));
    drop(told);
    progress::forget(&cursor).await;
    let places = OutputLocations::of(context, &summary);
    Ended { report: SyncReport::ended(&context.settings.id, &summary, &places, failure.as_ref()), failure }
}

/// Follows the run until the pod is ended, or the cursor is not the run's any more.
async fn other(context: &Context, cursor: ConfigMapCursor, workers: u32) -> Result<Ended, RunError> {
    let _told = progress::tell(cursor, context.index, workers, Arc::clone(&context.progress));
    loop {
        match follow(context).await {
            Ok(()) => return Err(context.interrupted()),
            Err(error) if error.kind.failure() == FailureKind::Interrupted => return Err(error),
            Err(error) => {
                tracing::warn!(sync = %context.settings.id, index = context.index, "left to worker 0: {error}")
            }
        }
        // Worker 0 meets the same, alone, and says so; or it moves on, and so do we.
        tokio::select! {
            () = context.cancel.cancelled() => return Err(context.interrupted()),
            () = tokio::time::sleep(context.patience.look_again) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::build::FINAL_EXIT_CODES;

    /// A Job makes another pod for what another pod may mend, and for nothing else.
    #[test]
    fn a_job_makes_no_further_pod_where_it_would_end_in_the_same_way() {
        for (kind, exit_code, is_final) in [
            (RunErrorKind::InvalidSpec, 2, true),
            (RunErrorKind::SpecChanged, 2, true),
            (RunErrorKind::Denied, 3, true),
            (RunErrorKind::NotFound, 3, true),
            (RunErrorKind::BadData, 4, true),
            (RunErrorKind::Claimed, 6, true),
            (RunErrorKind::CursorInvalid, 6, true),
            (RunErrorKind::DecisionUnpublishable, 6, true),
            (RunErrorKind::Failed, 1, false),
            (RunErrorKind::Interrupted, 5, false),
            (RunErrorKind::Superseded, 5, false),
        ] {
            let code = exit_kind(kind).exit_code();
            assert_eq!((code, FINAL_EXIT_CODES.contains(&i32::from(code))), (exit_code, is_final), "{kind:?}");
        }
    }

    /// What the sentence advises is a limit that every worker fits under.
    #[test]
    fn a_limit_that_no_run_fits_under_is_refused() {
        for limit in [None, Some(128 << 20), Some(1 << 40)] {
            assert!(fits(limit).is_ok(), "{limit:?}");
        }
        let refused = fits(Some(64 << 20)).unwrap_err();
        let expected = "the worker's memory limit is 64Mi, and a run needs at least 128Mi; set spec.worker.resources.limits.memory to 512Mi";
        assert!(refused.kind == RunErrorKind::InvalidSpec && refused.message.starts_with(expected), "{refused}");
        assert!(fits(Some(raised(64 << 20))).is_ok());
    }
}
