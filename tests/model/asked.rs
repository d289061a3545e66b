//! Runs that are asked for: whatever call they die at, what they are about is read once, and nothing else.

use std::sync::Arc;

use s3sync::model::cursor::Phase;
use s3sync::model::request::{Asked, Request, Window};
use s3sync::model::write_mode::WriteMode;
use s3sync::pipeline::error::{RunError, RunErrorKind};
use s3sync::pipeline::run::{RunSummary, lead};
use s3sync::store::faulty::{Call, Fault, Faults};
use s3sync::store::memory::Behaviour;
use tokio_util::sync::CancellationToken;

use crate::reference::{visible_keys, visible_rows};
use crate::world::{World, settings};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(future)
}

/// Three objects of a row each, and an epoch for each so many of them.
fn world(objects_per_commit: u64) -> World {
    let mut settings = settings();
    settings.limits.objects_per_commit = objects_per_commit;
    let world = World::new(7, settings, Behaviour::default());
    for row in ["a", "b", "c"] {
        world.source.insert(&format!("in/t/{row}.csv"), format!("id\n{row}\n"));
    }
    world
}

/// Once more from `b` on.
fn from_b(number: u32) -> Option<Request> {
    let window = Window { from_key: Some("in/t/b.csv".into()), ..Window::default() };
    Some(Request { id: format!("{number:032x}"), asked: Asked { window, reread: true } })
}

async fn run(world: &World, faults: &Arc<Faults>) -> Result<RunSummary, RunError> {
    let mut summary = RunSummary::default();
    lead(&world.worker(faults, 0, 1, &CancellationToken::new()), &mut summary).await.map(|()| summary)
}

async fn ends(world: &World) -> RunSummary {
    run(world, &Faults::new(|_: &Call<'_>| Fault::None)).await.expect("a run without faults")
}

/// Dies at the call of this number; whether it came so far.
async fn dies(world: &World, number: u64, after: bool) -> bool {
    let fault = if after { Fault::CrashAfter } else { Fault::CrashBefore };
    let dying = Faults::new(move |call: &Call<'_>| if call.number == number { fault.clone() } else { Fault::None });
    let _ = run(world, &dying).await;
    dying.crashed()
}

fn rows(world: &World) -> Vec<(String, u32)> {
    visible_rows(world).into_iter().collect()
}

fn counted(rows: &[(&str, u32)]) -> Vec<(String, u32)> {
    rows.iter().map(|(row, count)| ((*row).to_owned(), *count)).collect()
}

#[test]
fn a_reread_that_is_killed_anywhere_reads_its_window_once_more_and_no_more() {
    for (after, between, objects_per_commit) in
        [(false, false, 1), (true, false, 1), (true, true, 1), (false, true, 100)]
    {
        for number in 0.. {
            let crashed = block_on(async {
                let mut world = world(objects_per_commit);
                ends(&world).await;
                world.request = from_b(1);
                let crashed = dies(&world, number, after).await;
                if between {
                    world.request = None;
                    ends(&world).await;
                    world.request = from_b(1);
                }
                ends(&world).await;
                let expected = counted(&[("a", 1), ("b", 2), ("c", 2)]);
                assert_eq!(rows(&world), expected, "after a crash at {number} ({after}, {between})");
                // A Job's controller may begin a pod once more whose end it did not see.
                let again = ends(&world).await;
                assert_eq!((rows(&world), again.epochs), (expected.clone(), 0), "after a crash at {number}");
                assert!(
                    again
                        .remarks
                        .notes
                        .iter()
                        .any(|note| note.contains("is complete since an earlier try, which ended at 2")),
                    "{:?}",
                    again.remarks
                );
                world.request = None;
                ends(&world).await;
                assert_eq!(rows(&world), expected);
                world.request = from_b(2);
                ends(&world).await;
                assert_eq!(rows(&world), counted(&[("a", 1), ("b", 3), ("c", 3)]), "another request is another one");
                crashed
            });
            if !crashed {
                assert!(number > 40, "a run of {number} calls");
                break;
            }
        }
    }
}

/// An epoch that an ordinary run had decided is finished first, and so was read before; one that it had only planned
/// was not.
#[test]
fn what_an_ordinary_run_left_is_finished_or_given_up_first() {
    for number in 0.. {
        let crashed = block_on(async {
            let mut world = world(100);
            let crashed = dies(&world, number, true).await;
            let read_before =
                world.cursor().await.is_some_and(|cursor| cursor.epoch > 0 || cursor.phase == Phase::Committing);
            world.request = from_b(1);
            ends(&world).await;
            let expected =
                if read_before { counted(&[("a", 1), ("b", 2), ("c", 2)]) } else { counted(&[("b", 1), ("c", 1)]) };
            assert_eq!(rows(&world), expected, "after a crash at {number}");
            world.request = None;
            ends(&world).await;
            assert_eq!(rows(&world)[0], ("a".to_owned(), 1), "what lies outside is for later runs");
            crashed
        });
        if !crashed {
            break;
        }
    }
}

#[test]
fn replace_writes_everything_anew_once() {
    for number in 0.. {
        let crashed = block_on(async {
            let mut world = world(1);
            world.settings.destination.write_mode = WriteMode::Replace;
            ends(&world).await;
            let before = visible_keys(&world);
            ends(&world).await;
            assert_eq!(visible_keys(&world), before);
            world.request = Some(Request { id: "1".repeat(32), asked: Asked { reread: true, ..Asked::default() } });
            let crashed = dies(&world, number, true).await;
            ends(&world).await;
            let epoch = world.cursor().await.expect("a cursor").epoch;
            assert_eq!(
                (rows(&world), epoch),
                (counted(&[("a", 1), ("b", 1), ("c", 1)]), 2),
                "after a crash at {number}"
            );
            assert!(visible_keys(&world).is_disjoint(&before));
            world.request = from_b(2);
            let refused = run(&world, &Faults::new(|_: &Call<'_>| Fault::None)).await.expect_err("a window");
            assert_eq!(refused.kind, RunErrorKind::InvalidSpec, "{refused}");
            assert!(refused.message.starts_with("default/model: destination.writeMode Replace keeps"), "{refused}");
            crashed
        });
        if !crashed {
            break;
        }
    }
}

/// With `incremental.enabled: false` every run reads everything; one that is asked for reads its window, and goes on
/// where it was.
#[test]
fn without_a_ledger_a_window_is_read_once_however_often_it_is_begun() {
    for number in 0.. {
        let crashed = block_on(async {
            let mut world = world(1);
            world.settings.incremental.enabled = false;
            ends(&world).await;
            world.request = from_b(1);
            let crashed = dies(&world, number, true).await;
            ends(&world).await;
            ends(&world).await;
            assert_eq!(rows(&world), counted(&[("a", 1), ("b", 2), ("c", 2)]), "after a crash at {number}");
            crashed
        });
        if !crashed {
            break;
        }
    }
}
