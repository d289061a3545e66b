//! `s3sync run`: every sync of the manifests, one after the other, to its end.

pub mod output_locations;
pub mod progress;
pub mod request;
pub mod resources;
pub mod run_lock;
pub mod scratch;

pub(in crate::command) mod interrupt;
pub(in crate::command) mod report;
mod workers;

use std::sync::Arc;

use self::output_locations::OutputLocations;
use self::report::{Report, SyncReport};
use self::request::Kept;
use self::resources::Resources;
use self::run_lock::RunLock;
use crate::cli::{LogArgs, PlanArgs, RunArgs};
use crate::command::dry_run::plan;
use crate::command::syncs::{self, Sync};
use crate::command::{CommandError, FailureKind, render};
use crate::model::request::Asked;
use crate::pipeline::budget::{MEMORY_BYTES_MIN, cgroup_limit, default_memory_bytes};
use crate::pipeline::context::Context;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::pipeline::run::RunSummary;

/// Runs the syncs and prints what became of them. A sync that fails does not keep the next from running.
pub fn execute(args: RunArgs, logging: &LogArgs) -> Result<(), CommandError> {
    if args.dry_run {
        let accept_spec_change = args.accept_spec_change;
        return plan::show(
            &PlanArgs { from: args.from, print: args.print, state: args.state, request: args.request },
            accept_spec_change,
        );
    }
    let memory_bytes = memory_bytes(args.memory, cgroup_limit())?;
    let syncs = syncs::load(&args.from, &args.state)?;
    let mut resources = Resources::new(args.scratch_dir.as_deref())?;
    resources.memory_bytes = memory_bytes;
    resources.replicas = args.replicas.unwrap_or(1);
    resources.accept_spec_change = args.accept_spec_change;
    let asked = args.request.asked();
    crate::command::runtime()?.block_on(async {
        interrupt::listen(resources.cancel.clone()).map_err(|error| {
            CommandError::new(FailureKind::Other, anyhow::Error::new(error).context("signals cannot be caught"))
        })?;
        let (report, mut failures, completed) = run_all(&resources, &syncs, asked.as_ref(), logging).await;
        crate::command::print(&render::document(args.print.output, &report, Report::text)?)?;
        // Last of all: whoever did not hear of it gives the command again, which then finds it complete.
        failures.extend(completed.iter().filter_map(|(lock, kept)| kept.done(lock).err()));
        syncs::end(failures)
    })
}

/// The budget. `limit`: what the process may use at most, where that is bounded; a budget beyond it would end with a
/// SIGKILL and no word.
fn memory_bytes(asked: Option<u64>, limit: Option<u64>) -> Result<u64, CommandError> {
    let memory_bytes = asked.unwrap_or_else(default_memory_bytes);
    let (bytes, least) = (render::bytes(memory_bytes), MEMORY_BYTES_MIN >> 20);
    let refused = |message: String| Err(CommandError::new(FailureKind::Usage, anyhow::anyhow!(message)));
    if memory_bytes < MEMORY_BYTES_MIN {
        return refused(format!("--memory is {bytes}, and a run needs at least {least}Mi"));
    }
    match limit.filter(|limit| *limit < memory_bytes) {
        None => Ok(memory_bytes),
        Some(limit) if limit < MEMORY_BYTES_MIN => {
            let limit = render::bytes(limit);
            refused(format!(
                "this process may use {limit} of memory (the limit of its cgroup), and a run needs at least {least}Mi: raise the limit"
            ))
        }
        Some(limit) => {
            let limit = render::bytes(limit);
            refused(format!(
                "--memory is {bytes}, and this process may use {limit} (the limit of its cgroup): ask for less, or raise the limit"
            ))
        }
    }
}

async fn run_all(
    resources: &Resources,
    syncs: &[Sync],
    asked: Option<&Asked>,
    logging: &LogArgs,
) -> (Report, Vec<RunError>, Vec<Held>) {
    let mut completed = Vec::new();
    let mut report = Report::default();
    let mut failures = Vec::new();
    for (at, sync) in syncs.iter().enumerate() {
        let id = &sync.loaded.id;
        let title = if syncs.len() > 1 { format!("{id} ({} of {})", at + 1, syncs.len()) } else { id.to_string() };
        match run_one(resources, sync, asked, title, logging).await.map_err(|error| sync.located(error)) {
            Ok(ended) => {
                report.syncs.push(SyncReport::ended(id, &ended.summary, &ended.places, ended.result.as_ref().err()));
                completed.extend(ended.kept.filter(|_| ended.result.is_ok()));
                failures.extend(ended.result.err());
            }
            Err(error) => {
                report.syncs.push(SyncReport::failed(id, &error));
                failures.push(error);
            }
        }
    }
    (report, failures, completed)
}

/// A run that began. What it published before it failed stays published.
struct Ended {
    summary: RunSummary,
    places: OutputLocations,
    result: Result<(), RunError>,
    /// What it was asked for.
    kept: Option<Held>,
}

/// A request under the lock of its sync, which nobody else runs before it is done.
type Held = (RunLock, Kept);

async fn run_one(
    resources: &Resources,
    sync: &Sync,
    asked: Option<&Asked>,
    title: String,
    logging: &LogArgs,
) -> Result<Ended, RunError> {
    let id = &sync.loaded.id;
    if resources.cancel.is_cancelled() {
        return Err(RunError::new(
            RunErrorKind::Interrupted,
            format!("{id}: not begun, because the command was stopped; run it again"),
        ));
    }
    let lock = RunLock::of(sync)?;
    let kept = match asked {
        Some(asked) => Some(Kept::find(sync, asked).await?),
        None => None,
    };
    let request = kept.as_ref().map(|kept| kept.request.clone());
    let context = Context { request, ..resources.context(sync, sync.stores().await?, sync.state_key()?) };
    let mut summary = RunSummary::default();
    // Not before: a run that cannot even begin takes nothing's place.
    if let Some(kept) = &kept {
        kept.keep()?;
        summary.remarks.notes.extend(kept.given_up.as_ref().map(given_up));
    }
    let progress = Arc::clone(&context.progress);
    let shown = progress::show(title, move || progress::view(&progress), logging);
    let result = workers::run(&context, resources.replicas, &mut summary).await;
    shown.end().await;
    let places = OutputLocations::of(&context, &summary);
    let result = result.map_err(|error| sync.located(error));
    Ok(Ended { summary, places, result, kept: lock.zip(kept) })
}

/// What becomes of a request that another one takes the place of.
fn given_up(asked: &Asked) -> String {
    let window = if asked.window.is_open() { String::new() } else { format!(" in the window ({})", asked.window) };
    let what = if asked.reread { "reading once more" } else { "reading" };
    format!(
        "an earlier run was not completed ({what}{window}) and is given up for this one: asked for again, it begins anew"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_memory_is_refused_as_usage() {
        for limit in [None, Some(MEMORY_BYTES_MIN), Some(1 << 30)] {
            assert_eq!(memory_bytes(Some(MEMORY_BYTES_MIN), limit).unwrap(), MEMORY_BYTES_MIN);
        }
        let limited = |asked: Option<u64>, limit: u64| {
            let refused = memory_bytes(asked, Some(limit)).unwrap_err();
            assert_eq!(refused.kind, FailureKind::Usage);
            refused.to_string()
        };
        let small = "this process may use 64.0 MiB of memory (the limit of its cgroup), and a run needs at least 128Mi: raise the limit";
        assert_eq!((limited(None, 64 << 20), limited(Some(1 << 30), 64 << 20)), (small.to_owned(), small.to_owned()));
        assert_eq!(
            limited(Some(1 << 30), 512 << 20),
            "--memory is 1.00 GiB, and this process may use 512 MiB (the limit of its cgroup): ask for less, or raise the limit"
        );
        let refused = memory_bytes(Some(64 << 20), None).unwrap_err();
        assert_eq!(
            (refused.kind, refused.to_string()),
            (FailureKind::Usage, "--memory is 64.0 MiB, and a run needs at least 128Mi".to_owned())
        );
    }
}
