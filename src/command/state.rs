//! `s3sync state`: looks at cursors, and the few ways to change one by hand. What changes one makes sure first that no
//! run is under way, by the run's lock on this machine or by the resource's status in a cluster, and moves the cursor
//! by compare-and-swap, so that none elsewhere is run over. With --in-cluster a Job does it, where the sync's workers
//! are.

mod abandon;
mod adopt;
mod export;
mod open;
mod reset;
mod settle;
mod show;

pub use self::open::open;
use crate::cli::{CursorArgs, LogArgs, StateArgs, StateVerb};
use crate::command::plugin::cluster::Cluster;
use crate::command::plugin::in_cluster;
use crate::command::run::run_lock::RunLock;
use crate::command::syncs::{self, Stores, Sync};
use crate::command::{CommandError, FailureKind, print, render, runtime};
use crate::model::cursor::Cursor;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::state::Version;
use crate::state::blobs::Blobs;

/// Does what the verb says for every sync of the manifests; one that fails does not keep the others from being done.
pub fn execute(args: StateArgs, logging: &LogArgs) -> Result<(), CommandError> {
    let cursor = args.verb.cursor();
    if cursor.job.in_cluster && matches!(&args.verb, StateVerb::Reset(args) if !args.yes) {
        return Err(unsure());
    }
    if cursor.job.in_cluster {
        return in_a_job(&args.verb, cursor, logging);
    }
    if cursor.job.in_pod {
        in_cluster::frames::begin();
    }
    match &args.verb {
        StateVerb::Show(args) => show::execute(args),
        StateVerb::Export(args) => export::execute(args),
        StateVerb::Adopt(args) => each(args, "adopt", adopt::adopt),
        StateVerb::Abandon(args) => each(args, "abandon", abandon::abandon),
        StateVerb::Reset(args) if args.yes => each(&args.cursor, "reset --yes", reset::reset),
        StateVerb::Reset(_) => Err(unsure()),
    }?;
    in_cluster::frames::end(&mut std::io::stdout().lock()).map_err(|error| anyhow::Error::new(error).into())
}

fn unsure() -> CommandError {
    CommandError::new(
        FailureKind::Usage,
        anyhow::anyhow!("state reset makes the next run read everything again; say that you mean it with --yes"),
    )
}

/// Does it in a Job of the cluster.
fn in_a_job(verb: &StateVerb, cursor: &CursorArgs, logging: &LogArgs) -> Result<(), CommandError> {
    let name = cursor.name.as_deref().unwrap_or_default();
    let (word, changes): (&[&str], bool) = match verb {
        StateVerb::Show(_) => (&["show"], false),
        StateVerb::Export(_) => (&["export"], false),
        StateVerb::Adopt(_) => (&["adopt"], true),
        StateVerb::Abandon(_) => (&["abandon"], true),
        StateVerb::Reset(_) => (&["reset", "--yes"], true),
    };
    let command = in_cluster::Command {
        args: in_cluster::arguments(&[&["state"], word, &["--in-pod"]].concat(), cursor.print.output, logging),
        image: cursor.job.image.as_deref(),
        while_starting: if changes { open::idle } else { |_, _| Ok(()) },
    };
    runtime()?.block_on(async {
        let cluster = Cluster::connect(&cursor.cluster).await?;
        let sync = cluster.connected(cluster.sync(name).await?).await?;
        in_cluster::run(&cluster, &sync, command, &mut print).await
    })
}

/// What was done to one cursor.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    namespace: String,
    name: String,
    /// Sentences, in order.
    done: Vec<String>,
}

#[derive(Debug, serde::Serialize)]
struct Changes {
    syncs: Vec<Change>,
}

impl Changes {
    fn text(&self) -> String {
        let line =
            |sync: &Change, done: &String| format!("{}/{}: {}\n", sync.namespace, sync.name, render::printable(done));
        self.syncs.iter().flat_map(|sync| sync.done.iter().map(move |done| line(sync, done))).collect()
    }
}

/// Changes each cursor and prints what was done.
fn each(
    args: &CursorArgs,
    verb: &str,
    change: impl AsyncFn(&Sync, &Stores) -> Result<Vec<String>, RunError>,
) -> Result<(), CommandError> {
    let mut changes = Changes { syncs: Vec::new() };
    let mut failures = Vec::new();
    runtime()?.block_on(async {
        for sync in &open::open_idle(args).await? {
            let done = async {
                // Before a server is asked: who is at it says more than one that does not answer.
                let _lock = RunLock::of(sync)?;
                open::reach(args, sync, verb).await?;
                change(sync, &sync.stores().await?).await
            };
            match done.await {
                Ok(done) => {
                    let (namespace, name) = (sync.loaded.id.namespace.clone(), sync.loaded.id.name.clone());
                    changes.syncs.push(Change { namespace, name, done });
                }
                Err(error) => failures.push(sync.located(error)),
            }
        }
        Ok::<(), CommandError>(())
    })?;
    print(&render::document(args.print.output, &changes, Changes::text)?)?;
    syncs::end(failures)
}

/// The cursor, where there must be one.
async fn existing(sync: &Sync) -> Result<(Cursor, Version), RunError> {
    sync.load().await?.ok_or_else(|| {
        let message =
            format!("{}: there is no cursor at {}, so nothing was synced from here", sync.loaded.id, sync.cursor);
        RunError::new(RunErrorKind::NotFound, message)
    })
}

/// The blobs that a cursor names.
fn blobs(sync: &Sync, stores: &Stores, cursor: &Cursor) -> Blobs {
    Blobs::new(stores.destination.clone(), &sync.settings().state_prefix, &cursor.state_id)
}
