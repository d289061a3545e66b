//! Runs that could go on without an end, and what they leave when they do not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use s3sync::model::settings::{OnBadObject, Settings};
use s3sync::model::template::Template;
use s3sync::model::write_mode::WriteMode;
use s3sync::pipeline::error::{RunError, RunErrorKind};
use s3sync::pipeline::run::{RunSummary, lead};
use s3sync::state::memory::MemoryCursor;
use s3sync::store::faulty::{Call, Fault, Faults};
use s3sync::store::memory::{Behaviour, MemoryStore};
use tokio_util::sync::CancellationToken;

use crate::reference::{visible_keys, visible_rows};
use crate::world::{World, settings};

fn world(change: impl FnOnce(&mut Settings)) -> World {
    let mut settings = settings();
    change(&mut settings);
    World::new(7, settings, Behaviour::default())
}

async fn run(world: &World, faults: impl Fn(&Call<'_>) -> Fault + Send + Sync + 'static) -> Result<(), RunError> {
    lead(&world.worker(&Faults::new(faults), 0, 1, &CancellationToken::new()), &mut RunSummary::default()).await
}

fn once(rows: impl IntoIterator<Item = impl ToString>) -> BTreeMap<String, u32> {
    rows.into_iter().map(|row| (row.to_string(), 1)).collect()
}

/// Somebody writes an object behind the cut of the limits whenever the source is listed.
#[tokio::test]
async fn a_run_looks_once_more_behind_the_cut_and_then_ends() {
    let world = world(|settings| settings.limits.objects_per_commit = 1);
    for row in ["x", "y"] {
        world.source.insert(&format!("in/t/z{row}.csv"), format!("id\n{row}\n"));
    }
    let (source, listings) = (world.source.clone(), Arc::new(AtomicU32::new(0)));
    let listed = Arc::clone(&listings);
    run(&world, move |call: &Call<'_>| {
        if call.op == "list" && call.key.starts_with("in/") {
            let number = listed.fetch_add(1, Ordering::SeqCst);
            if number > 30 {
                return Fault::CrashBefore;
            }
            source.insert(&format!("in/t/{:05}.csv", 99_999 - number), format!("id\nn{number}\n"));
        }
        Fault::None
    })
    .await
    .expect("it ends although there is always more");
    let written = listings.load(Ordering::SeqCst);
    assert!(written > 3, "it looked once more: {written}");
    let published = visible_rows(&world);
    assert!(published.len() < written as usize + 2, "{published:?}");
    while visible_rows(&world).len() < written as usize + 2 {
        let before = visible_rows(&world).len();
        run(&world, |_| Fault::None).await.expect("nothing is in its way");
        assert!(visible_rows(&world).len() > before, "the next run reads what this one left");
    }
    assert_eq!(
        visible_rows(&world),
        once((0..written).map(|row| format!("n{row}")).chain(["x".to_owned(), "y".to_owned()]))
    );
}

/// Somebody overwrites each attempt before it is decided on.
#[tokio::test]
async fn what_is_set_aside_again_and_again_ends_the_run() {
    let world = world(|_| {});
    world.source.insert("in/t/o.csv", "id\na\n");
    let (destination, forged) = (world.destination.clone(), Arc::new(AtomicU32::new(0)));
    let count = Arc::clone(&forged);
    let ended = run(&world, move |call: &Call<'_>| {
        if call.op == "get" && call.key.contains("/1/0/0-") && !call.key.ends_with(".open.s3sync") {
            destination.insert(call.key, "forged");
            if count.fetch_add(1, Ordering::SeqCst) > 100 {
                return Fault::CrashBefore;
            }
        }
        Fault::None
    })
    .await
    .expect_err("nothing that it prepares holds");
    assert_eq!((ended.kind, forged.load(Ordering::SeqCst)), (RunErrorKind::Failed, 17), "{ended}");
    assert!(ended.message.starts_with("default/model: what was prepared was set aside 16 times"), "{ended}");
    assert!(
        ended.message.contains("see who else writes or deletes under memory://lake/_s3sync and ends uploads there"),
        "{ended}"
    );
    // As it says: alone, the next run ends well.
    run(&world, |_| Fault::None).await.expect("nobody is in its way");
    assert_eq!(visible_rows(&world), once(["a"]));
    assert_eq!(world.destination.uploads(), []);
}

/// Replace after Append walks back over all that Append published.
#[tokio::test]
async fn replace_removes_all_that_append_published_but_what_a_changed_manifest_lists() {
    for changed in [false, true] {
        let mut world = world(|_| {});
        let mut appended = Vec::new();
        for row in ["a", "b", "c"] {
            world.source.insert(&format!("in/t/{row}.csv"), format!("id\n{row}\n"));
            run(&world, |_| Fault::None).await.expect("a run");
            appended.push(visible_keys(&world));
        }
        if changed {
            let manifests = world.destination.keys().into_iter().filter(|key| key.contains("/2/manifest-"));
            let [manifest] = &manifests.collect::<Vec<_>>()[..] else { panic!("one manifest of the second epoch") };
            let mut bytes = world.destination.peek(manifest).expect("just listed").to_vec();
            *bytes.last_mut().expect("it has bytes") ^= 1;
            world.destination.insert(manifest, bytes);
        }
        world.settings.destination.write_mode = WriteMode::Replace;
        for _ in 0..2 {
            run(&world, |_| Fault::None).await.expect("what cannot be told stays, and nothing waits for it");
        }
        let rows = visible_rows(&world);
        let expected = if changed { vec![("a", 2), ("b", 2), ("c", 1)] } else { vec![("a", 1), ("b", 1), ("c", 1)] };
        assert_eq!(rows, expected.into_iter().map(|(row, count)| (row.to_owned(), count)).collect(), "{changed}");
        let left: Vec<_> = visible_keys(&world).intersection(&appended[2]).cloned().collect();
        let stays: Vec<_> = if changed { appended[1].iter().cloned().collect() } else { vec![] };
        assert_eq!(
            left, stays,
            "the files of the last epoch are gone, and those of before stay where their list is changed"
        );
        assert_eq!(world.cursor().await.expect("a cursor").garbage, None);
    }
}

#[tokio::test]
async fn a_sync_whose_keys_another_one_writes_leaves_nothing_of_its_plan() {
    let mut world = world(|settings| {
        settings.destination.write_mode = WriteMode::Replace;
        settings.destination.template = Template::parse("out/all.{{FORMAT}}").expect("a template");
    });
    world.source.insert("in/t/o.csv", "id\na\n");
    world.source.insert("other/t/o.csv", "id\nb\n");
    run(&world, |_| Fault::None).await.expect("the first of them");
    world.cursor = MemoryCursor::default();
    world.settings.source.prefix = "other/".into();
    let refused = run(&world, |_| Fault::None).await.expect_err("the other one writes there");
    assert_eq!(refused.kind, RunErrorKind::Claimed, "{refused}");
    let state_id = world.cursor().await.expect("a cursor").state_id;
    let left: Vec<String> =
        world.destination.keys().into_iter().filter(|key| key.contains(&format!("/{state_id}/"))).collect();
    assert_eq!(left, Vec::<String>::new());
    assert_eq!(visible_rows(&world), once(["a"]));
}

/// An object that a lifecycle rule has moved into an archive is left out by name, and keeps no run busy until somebody
/// restores it.
#[tokio::test]
async fn a_run_beside_archived_objects_is_quiet_until_one_is_restored() {
    for (mode, lists_archived) in
        [(WriteMode::Append, true), (WriteMode::Append, false), (WriteMode::Replace, true), (WriteMode::Replace, false)]
    {
        let mut world = world(|settings| {
            settings.destination.write_mode = mode;
            settings.errors.on_bad_object = OnBadObject::Quarantine;
        });
        let behaviour = Behaviour { lists_archived, ..Behaviour::default() };
        world.source = MemoryStore::with("raw", behaviour, Arc::clone(&world.clock));
        for row in ["a", "b", "c"] {
            world.source.insert(&format!("in/t/{row}.csv"), format!("id\n{row}\n"));
        }
        world.source.set_archived("in/t/b.csv", true);
        world.source.set_archived("in/t/c.csv", true);
        let asked = Arc::new(AtomicU32::new(0));
        let step = async |expected: &[&str], epoch: u64, what: &str| {
            let (counted, mut summary) = (Arc::clone(&asked), RunSummary::default());
            counted.store(0, Ordering::SeqCst);
            let faults = Faults::new(move |call: &Call<'_>| {
                let archived = call.op == "get" && matches!(call.key, "in/t/b.csv" | "in/t/c.csv");
                counted.fetch_add(u32::from(archived), Ordering::SeqCst);
                Fault::None
            });
            lead(&world.worker(&faults, 0, 1, &CancellationToken::new()), &mut summary).await.expect(what);
            assert_eq!(visible_rows(&world), once(expected), "{mode:?}, {lists_archived}, {what}");
            assert_eq!(world.cursor().await.expect("a cursor").epoch, epoch, "{mode:?}, {lists_archived}, {what}");
            (
                asked.load(Ordering::SeqCst),
                summary.quarantined_objects.iter().map(|object| object.key.clone()).collect::<Vec<_>>(),
            )
        };
        let (gets, named) = step(&["a"], 1, "two are archived").await;
        assert_eq!(named, ["in/t/b.csv", "in/t/c.csv"]);
        assert!(!lists_archived || gets == 0, "the listing says that they cannot be read");
        for _ in 0..2 {
            let (gets, named) = step(&["a"], 1, "nothing has changed").await;
            assert_eq!((gets, named), (if lists_archived { 0 } else { 2 }, vec![]), "{mode:?}");
        }
        world.source.set_archived("in/t/b.csv", false);
        step(&["a", "b"], 2, "one is restored").await;
        step(&["a", "b"], 2, "it was read once").await;
        // Archived after it was read: nothing is missing, and nothing is written.
        world.source.set_archived("in/t/a.csv", true);
        step(&["a", "b"], 2, "one is archived that was read").await;
        world.source.insert("in/t/c.csv", "id\nd\n");
        step(if mode == WriteMode::Append { &["a", "b", "d"] } else { &["b", "d"] }, 3, "one is overwritten").await;
    }
}
