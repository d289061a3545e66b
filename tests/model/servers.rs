//! Servers that do otherwise than S3, one misbehaviour at a time, and what is left at the end of plain histories.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use s3sync::model::server::Lack;
use s3sync::model::write_mode::WriteMode;
use s3sync::pipeline::error::{RunError, RunErrorKind};
use s3sync::pipeline::run::{RunSummary, lead};
use s3sync::state::memory::MemoryCursor;
use s3sync::store::faulty::{Call, Fault, Faults};
use s3sync::store::memory::{Behaviour, Conditions};
use tokio_util::sync::CancellationToken;

use crate::reference::visible_rows;
use crate::world::{World, settings};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(future)
}

fn world(mode: WriteMode, behaviour: Behaviour) -> World {
    let mut settings = settings();
    settings.destination.write_mode = mode;
    World::new(7, settings, behaviour)
}

async fn run(world: &World, faults: &Arc<Faults>) -> Result<(), RunError> {
    lead(&world.worker(faults, 0, 1, &CancellationToken::new()), &mut RunSummary::default()).await
}

fn never() -> Arc<Faults> {
    Faults::new(|_: &Call<'_>| Fault::None)
}

fn once(rows: &[&str]) -> BTreeMap<String, u32> {
    rows.iter().map(|row| ((*row).to_owned(), 1)).collect()
}

#[test]
fn whatever_a_server_lacks_each_row_is_there_once() {
    for lack in Lack::ALL.into_iter().filter(|lack| *lack != Lack::Metadata) {
        for mode in [WriteMode::Append, WriteMode::Replace] {
            block_on(async {
                let world = world(mode, Behaviour { lacks: BTreeSet::from([lack]), ..Behaviour::default() });
                let mut rows = Vec::new();
                for (key, row) in [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")] {
                    world.source.insert(&format!("in/t/{key}.csv"), format!("id\nr{row}\n"));
                    rows.push(format!("r{row}"));
                    run(&world, &never()).await.unwrap_or_else(|error| panic!("{lack}, {mode:?}: {error}"));
                    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
                    assert_eq!(visible_rows(&world), once(&rows), "{lack}, {mode:?}");
                }
                let found = world.cursor().await.and_then(|cursor| cursor.server).map(|server| server.lacks);
                assert_eq!(found, Some(BTreeSet::from([lack])), "{mode:?}");
            });
        }
    }
}

/// The old generation goes and the new one stays at whatever call the process ends.
#[test]
fn whatever_a_server_lacks_a_killed_replace_ends_with_each_row_once() {
    for lack in Lack::ALL.into_iter().filter(|lack| *lack != Lack::Metadata) {
        block_on(async {
            let behaviour = Behaviour { lacks: BTreeSet::from([lack]), ..Behaviour::default() };
            for number in 0.. {
                let world = world(WriteMode::Replace, behaviour.clone());
                world.source.insert("in/t/a.csv", "id\nr1\n");
                run(&world, &never()).await.expect("a run without faults");
                world.source.insert("in/t/b.csv", "id\nr2\n");
                let dying = Faults::new(
                    move |call: &Call<'_>| if call.number == number { Fault::CrashAfter } else { Fault::None },
                );
                let _ = run(&world, &dying).await;
                run(&world, &never())
                    .await
                    .unwrap_or_else(|error| panic!("{lack}, after a crash at {number}: {error}"));
                assert_eq!(visible_rows(&world), once(&["r1", "r2"]), "{lack}, after a crash at {number}");
                if !dying.crashed() {
                    assert!(number > 20, "a run of {number} calls");
                    break;
                }
            }
        });
    }
}

#[test]
fn a_server_without_metadata_is_refused_before_the_claim() {
    let world = world(WriteMode::Append, Behaviour { lacks: BTreeSet::from([Lack::Metadata]), ..Behaviour::default() });
    let error = block_on(run(&world, &never())).unwrap_err();
    assert_eq!(error.kind, RunErrorKind::InvalidSpec);
    assert!(error.message.contains("does not give the metadata of an object back"), "{error}");
    assert_eq!(world.destination.keys(), Vec::<String>::new());
}

/// Two first runs at one moment, each with a cursor of its own: both look, nothing is there, both write.
#[test]
fn of_two_first_runs_on_a_server_without_conditions_one_publishes() {
    for conditions in [Conditions::Ignored, Conditions::Refused, Conditions::Honoured] {
        block_on(async {
            let mut world = world(WriteMode::Append, Behaviour { conditions, ..Behaviour::default() });
            world.source.insert("in/t/a.csv", "id\nr1\n");
            let slow = || {
                Faults::new(|call: &Call<'_>| match call.op {
                    "put" if call.key.contains("/claims/") => Fault::Slow(Duration::from_millis(20)),
                    _ => Fault::None,
                })
            };
            let one = world.worker(&slow(), 0, 1, &CancellationToken::new());
            world.cursor = MemoryCursor::default();
            let two = world.worker(&slow(), 0, 1, &CancellationToken::new());
            let (mut left, mut right) = (RunSummary::default(), RunSummary::default());
            let (one, two) = tokio::join!(lead(&one, &mut left), lead(&two, &mut right));
            assert_eq!(visible_rows(&world), once(&["r1"]), "{conditions:?}");
            let lost: Vec<_> = [one, two].into_iter().filter_map(Result::err).collect();
            assert_eq!(
                lost.iter().map(|error| error.kind).collect::<Vec<_>>(),
                [RunErrorKind::Claimed],
                "{conditions:?}"
            );
        });
    }
}

/// The first version of garbage knew files by their etag.
#[test]
fn a_file_that_is_another_by_now_stays() {
    block_on(async {
        let world = world(WriteMode::Replace, Behaviour::default());
        world.source.insert("in/t/a.csv", "id\nr1\n");
        run(&world, &never()).await.expect("a run without faults");
        let old = crate::reference::visible_keys(&world);
        for key in &old {
            world.destination.insert(key, "{\"id\":\"mine\"}\n");
        }
        world.source.insert("in/t/a.csv", "id\nr2\n");
        run(&world, &never()).await.expect("a run without faults");
        assert_eq!(visible_rows(&world), once(&["mine", "r2"]));
    });
}

/// Keys are written down before an upload begins, so that whatever a kill leaves is found again.
#[test]
fn a_run_that_was_killed_anywhere_leaves_no_upload_behind_a_quiet_one() {
    block_on(async {
        for after in [false, true] {
            for number in 0.. {
                let world = world(WriteMode::Append, Behaviour::default());
                for (key, row) in [("t/a", "1"), ("u/a", "2"), ("v/a", "3")] {
                    world.source.insert(&format!("in/{key}.csv"), format!("id\nr{row}\n"));
                }
                let fault = if after { Fault::CrashAfter } else { Fault::CrashBefore };
                let dying =
                    Faults::new(move |call: &Call<'_>| if call.number == number { fault.clone() } else { Fault::None });
                let _ = run(&world, &dying).await;
                for _ in 0..2 {
                    run(&world, &never()).await.expect("a run without faults");
                }
                assert_eq!(visible_rows(&world), once(&["r1", "r2", "r3"]), "after a crash at {number}");
                assert_eq!(world.destination.uploads(), Vec::new(), "after a crash at {number}");
                if !dying.crashed() {
                    assert!(number > 40, "a run of {number} calls");
                    break;
                }
            }
        }
    });
}

/// An epoch's own uploads were completed: two epochs later they are not asked for again, nor are those of attempts that
/// need no look.
#[test]
fn a_sweep_leaves_out_what_a_decision_completed() {
    block_on(async {
        let world = world(WriteMode::Append, Behaviour::default());
        let counted = Arc::new(std::sync::atomic::AtomicU32::new(0));
        for epoch in 0..6 {
            world.source.insert(&format!("in/t/{epoch}.csv"), format!("id\nr{epoch}\n"));
            let counted = Arc::clone(&counted);
            // The first run finds out what the server does, and aborts for that.
            let counts = move |call: &Call<'_>| {
                if epoch > 0 && matches!(call.op, "abort_upload" | "list_uploads") {
                    counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                }
                Fault::None
            };
            run(&world, &Faults::new(counts)).await.expect("a run without faults");
        }
        assert_eq!(counted.load(std::sync::atomic::Ordering::SeqCst), 0);
    });
}
