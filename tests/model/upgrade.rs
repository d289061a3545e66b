//! State of releases before the seal: read once, and left behind with the next plan.

use std::num::NonZeroU64;
use std::sync::Arc;

use bytes::Bytes;
use s3sync::model::cursor::{Cursor, Phase};
use s3sync::model::manifest::AttemptManifest;
use s3sync::model::plan::Plan;
use s3sync::pipeline::error::RunErrorKind;
use s3sync::pipeline::run::{RunSummary, lead};
use s3sync::state::CursorStore;
use s3sync::state::blobs::Blobs;
use s3sync::state::seal::StateKey;
use s3sync::state::wire::{BlobKind, BlobWriter};
use s3sync::store::Store;
use s3sync::store::faulty::{Call, Fault, Faults};
use s3sync::store::memory::Behaviour;
use tokio_util::sync::CancellationToken;

use crate::reference::visible_rows;
use crate::world::{World, settings};

fn world() -> World {
    let world = World::new(7, settings(), Behaviour::default());
    for (table, rows) in [("t0", "a\nb\n"), ("t1", "c\n")] {
        world.source.insert(&format!("in/{table}/o.csv"), format!("id\n{rows}"));
    }
    world
}

/// Runs a process to its end, or until `crash` says so of a call.
async fn run(world: &World, crash: impl Fn(&Call<'_>) -> bool + Send + Sync + 'static) -> Result<(), RunErrorKind> {
    let faults = Faults::new(move |call: &Call<'_>| if crash(call) { Fault::CrashBefore } else { Fault::None });
    lead(&world.worker(&faults, 0, 1, &CancellationToken::new()), &mut RunSummary::default())
        .await
        .map_err(|error| error.kind)
}

/// Dies once everything is prepared: before the decision is written.
async fn prepared(world: &World) -> (Cursor, Plan) {
    run(world, |call| call.op == "put" && call.key.contains("/decision-")).await.expect_err("it crashed");
    let cursor = world.cursor().await.expect("a cursor");
    assert_eq!(cursor.phase, Phase::Running);
    let plan = blobs(world, &cursor).get_plan(cursor.plan.as_ref().expect("a plan")).await.expect("it is there");
    (cursor, plan)
}

fn blobs(world: &World, cursor: &Cursor) -> Blobs {
    Blobs::new(Arc::new(world.destination.clone()) as Arc<dyn Store>, &world.settings.state_prefix, &cursor.state_id)
}

/// Attempts and open logs.
fn leavings(world: &World, cursor: &Cursor) -> Vec<String> {
    let prefix = blobs(world, cursor).attempts_prefix(cursor.epoch + 1, 0);
    world.destination.keys().into_iter().filter(|key| key.starts_with(&prefix)).collect()
}

/// Makes the epoch under way one that a release without seals has planned and prepared.
async fn unseal(world: &World) {
    let (cursor, plan) = prepared(world).await;
    let before = Plan { version: 1, ..plan };
    let key = blobs(world, &cursor).put_plan(&before).await.expect("memory does not fail");
    assert!(world.destination.peek(&key.0).expect("just written").starts_with(b"s3sync plan 1\n"));
    for key in leavings(world, &cursor) {
        let sealed = world.destination.peek(&key).expect("it was just listed");
        let end = sealed.iter().position(|byte| *byte == b'\n').expect("a first line");
        let body = sealed.slice(end + 1..);
        let before = if key.ends_with(".open.s3sync") {
            body
        } else {
            [b"s3sync attempt 1\n".as_slice(), &body].concat().into()
        };
        world.destination.insert(&key, before);
    }
    let (found, version) = world.cursor.load().await.expect("memory does not fail").expect("a cursor");
    world.cursor.swap(&version, &Cursor { plan: Some(key), ..found }).await.expect("nobody else moves it");
}

fn rows(world: &World) -> Vec<(String, u32)> {
    visible_rows(world).into_iter().collect()
}

fn once(ids: &[&str]) -> Vec<(String, u32)> {
    ids.iter().map(|id| ((*id).to_owned(), 1)).collect()
}

#[tokio::test]
async fn an_epoch_that_an_earlier_release_planned_is_finished_as_it_was_begun() {
    let world = world();
    unseal(&world).await;
    let cursor = world.cursor().await.expect("a cursor");
    let (before, uploads) = (leavings(&world, &cursor), world.destination.uploads().len());
    run(&world, |_| false).await.expect("it goes on");
    assert_eq!(rows(&world), once(&["a", "b", "c"]));
    let after: Vec<String> = leavings(&world, &cursor);
    assert_eq!(
        (before, uploads, world.destination.uploads().len()),
        (after, 2, 0),
        "what was prepared was published, and nothing prepared again"
    );
    // From the next plan on everything is sealed.
    world.source.insert("in/t0/p.csv", "id\nd\n");
    let (_, plan) = prepared(&world).await;
    assert!(plan.sealed());
    run(&world, |_| false).await.expect("it goes on");
    assert_eq!(rows(&world), once(&["a", "b", "c", "d"]));
}

/// The plan says what counts, and the cursor names the plan: an attempt in the old form is nothing to a new plan.
#[tokio::test]
async fn an_attempt_without_a_seal_does_not_count_under_a_plan_that_asks_for_one() {
    let world = world();
    let (cursor, plan) = prepared(&world).await;
    let empty = AttemptManifest::empty(0, 0, "0", world.clock.now());
    let key = format!("{}0-0.s3sync", blobs(&world, &cursor).attempts_prefix(plan.epoch, 0));
    let mut unsealed = BlobWriter::of_version(BlobKind::Attempt, 1);
    unsealed.line(&empty);
    world.destination.insert(&key, unsealed.finish());
    run(&world, |_| false).await.expect("it goes on");
    assert_eq!(rows(&world), once(&["a", "b", "c"]));
}

/// An attempt of a plan that was given up stands at the same key as one of the plan in its place; the seed tells them
/// apart.
#[tokio::test]
async fn an_attempt_of_a_plan_that_was_given_up_does_not_count_under_the_next() {
    let mut world = world();
    world.source.remove("in/t1/o.csv");
    world.source.insert("in/t0/o.csv", "id\n");
    let (cursor, _) = prepared(&world).await;
    // One that is sealed by our own workers and holds no rows.
    let keys = leavings(&world, &cursor);
    let attempt = keys.iter().find(|key| !key.ends_with(".open.s3sync")).expect("an attempt").clone();
    let kept: Bytes = world.destination.peek(&attempt).expect("it was just listed");
    // The spec changes, so the plan is given up, and another one has the same epoch and number.
    let mut changed = settings();
    changed.destination.file_rows_max = NonZeroU64::new(1);
    world.source.insert("in/t0/o.csv", "id\na\nb\n");
    world.settings = changed;
    let (_, plan) = prepared(&world).await;
    assert_eq!((plan.epoch, plan.number), (cursor.epoch + 1, 0));
    let stem = attempt.rsplit_once('/').expect("a directory").0;
    world.destination.insert(&attempt, kept.clone());
    world.destination.insert(&format!("{stem}/0-0.s3sync"), kept);
    run(&world, |_| false).await.expect("it goes on");
    assert_eq!(rows(&world), once(&["a", "b"]));
}

#[tokio::test]
async fn a_key_that_was_lost_costs_work_and_nothing_else() {
    for after_decision in [false, true] {
        let mut world = world();
        match after_decision {
            false => drop(prepared(&world).await),
            true => {
                run(&world, |call| call.op == "complete_upload" && call.key.starts_with("out/"))
                    .await
                    .expect_err("it crashed");
                assert_eq!(world.cursor().await.expect("a cursor").phase, Phase::Committing);
            }
        }
        world.state_key = StateKey::parse(&"7".repeat(64)).expect("64 digits");
        run(&world, |_| false).await.expect("it goes on");
        assert_eq!(rows(&world), once(&["a", "b", "c"]));
    }
}

/// Logs of such a release name uploads without a seal: those for keys of the spec are ended, and nobody else's.
#[tokio::test]
async fn logs_without_a_seal_end_uploads_of_our_own_keys_alone() {
    let mut world = world();
    unseal(&world).await;
    let cursor = world.cursor().await.expect("a cursor");
    let theirs = world
        .destination
        .create_upload("victim/upload", "theirs", &Default::default())
        .await
        .expect("memory does not fail");
    let log = serde_json::json!([{"key": "victim/upload", "upload": theirs}]).to_string();
    world.destination.insert(&format!("{}0-0.0.open.s3sync", blobs(&world, &cursor).attempts_prefix(1, 0)), log);
    // The spec changes, so the plan is given up, with what was prepared under it.
    world.settings.destination.file_rows_max = NonZeroU64::new(1);
    let before: Vec<String> = world.destination.uploads().into_iter().map(|upload| upload.upload).collect();
    assert_eq!(before.len(), 3, "two of ours, and theirs");
    run(&world, |_| false).await.expect("it goes on");
    let left: Vec<String> = world.destination.uploads().into_iter().map(|upload| upload.upload).collect();
    assert_eq!((left, rows(&world)), (vec![theirs], once(&["a", "b", "c"])));
}
