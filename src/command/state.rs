//! `s3sync state`: looks at cursors, and the few ways to change one by hand. What changes one makes sure first that no run is under way, by
//! the run's lock on this machine or by the resource's status in a cluster, and moves the cursor by compare-and-swap, so that none
//! elsewhere is run over.

mod abandon;
mod adopt;
mod export;
mod open;
mod reset;
mod settle;
mod show;

use super::syncs::{self, Stores, Sync};
use super::{CommandError, Kind, print, render, runtime};
use crate::cli::{CursorArgs, StateArgs, StateVerb};
use crate::model::cursor::Cursor;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::state::Version;
use crate::state::blobs::Blobs;

/// Does what the verb says for every sync of the manifests; one that fails does not keep the others from being done.
pub fn execute(args: StateArgs) -> Result<(), CommandError> {
    match args.verb {
        StateVerb::Show(args) => show::execute(&args),
        StateVerb::Export(args) => export::execute(&args),
        StateVerb::Adopt(args) => each(&args, adopt::adopt),
        StateVerb::Abandon(args) => each(&args, abandon::abandon),
        StateVerb::Reset(args) if args.yes => each(&args.cursor, reset::reset),
        StateVerb::Reset(_) => Err(CommandError::new(
            Kind::Usage,
            anyhow::anyhow!("state reset makes the next run read everything again; say that you mean it with --yes"),
        )),
    }
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
        let line = |sync: &Change, done: &String| format!("{}/{}: {}\n", sync.namespace, sync.name, render::printable(done));
        self.syncs.iter().flat_map(|sync| sync.done.iter().map(move |done| line(sync, done))).collect()
    }
}

/// Changes each cursor and prints what was done.
fn each(args: &CursorArgs, change: impl AsyncFn(&Sync, &Stores) -> Result<Vec<String>, RunError>) -> Result<(), CommandError> {
    let mut changes = Changes { syncs: Vec::new() };
    let mut failures = Vec::new();
    runtime()?.block_on(async {
        for sync in &open::open_idle(args).await? {
            let done = match sync.stores().await {
                Ok(stores) => change(sync, &stores).await,
                Err(error) => Err(error),
            };
            match done {
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
        let message = format!("{}: there is no cursor at {}, so nothing was synced from here", sync.loaded.id, sync.cursor);
        RunError::new(RunErrorKind::NotFound, message)
    })
}

/// The blobs that a cursor names.
fn blobs(sync: &Sync, stores: &Stores, cursor: &Cursor) -> Blobs {
    Blobs::new(stores.destination.clone(), &sync.settings().state_prefix, &cursor.state_id)
}
