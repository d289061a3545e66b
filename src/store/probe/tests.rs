use std::sync::Arc;

use super::*;
use crate::model::server::Findings;
use crate::store::adapted::Adapted;
use crate::store::contract::{self, Expected};
use crate::store::faulty::{Call, Fault, Faults, FaultyStore, at};
use crate::store::memory::{Behaviour, Conditions, ManualClock, MemoryStore};

fn server(behaviour: Behaviour) -> MemoryStore {
    MemoryStore::with("lake", behaviour, Arc::new(ManualClock::default()))
}

/// Misbehaves in this one way.
fn lacking(lack: Lack) -> MemoryStore {
    server(Behaviour { lacks: BTreeSet::from([lack]), ..Behaviour::default() })
}

async fn found(store: &dyn Store) -> BTreeSet<Lack> {
    probe(store, "_s3sync/abc/probe/", &ObjectAttributes::default()).await.unwrap()
}

#[tokio::test]
async fn the_probe_finds_each_lack_and_no_other_and_leaves_nothing() {
    let good = server(Behaviour::default());
    assert_eq!(found(&good).await, BTreeSet::new());
    assert_eq!((good.keys(), good.uploads()), (Vec::new(), Vec::new()));
    for lack in Lack::ALL {
        let store = lacking(lack);
        assert_eq!(found(&store).await, BTreeSet::from([lack]));
        assert_eq!((store.keys(), store.uploads()), (Vec::new(), Vec::new()), "{lack}");
    }
    for conditions in [Conditions::Ignored, Conditions::Refused] {
        let store = server(Behaviour { conditions, ..Behaviour::default() });
        let lacks = [Lack::PutIfMatchIgnored, Lack::PutIfNoneMatchIgnored, Lack::CompletionIfNoneMatchIgnored];
        assert_eq!(found(&store).await, BTreeSet::from(lacks), "{conditions:?}");
    }
}

#[tokio::test]
async fn a_probe_that_was_killed_leaves_nothing_behind_the_next() {
    let calls = {
        let faults = Faults::new(crate::store::faulty::never());
        found(&FaultyStore::new(Arc::new(server(Behaviour::default())), faults.clone())).await;
        faults.calls()
    };
    for number in 0..calls {
        for fault in [Fault::CrashBefore, Fault::CrashAfter] {
            let store = server(Behaviour::default());
            let dying = FaultyStore::new(Arc::new(store.clone()), Faults::new(at(number, fault)));
            // Its last calls may be answered already.
            let _ = probe(&dying, "_s3sync/abc/probe/", &ObjectAttributes::default()).await;
            assert_eq!(found(&store).await, BTreeSet::new(), "killed at {number}");
            assert_eq!((store.keys(), store.uploads()), (Vec::new(), Vec::new()), "killed at {number}");
        }
    }
}

/// What is worked around is the contract again; what a listing shows wrongly nobody relies on, and a server without
/// metadata is refused.
#[tokio::test]
async fn an_adapted_store_keeps_the_contract_whatever_its_server_lacks() {
    let expected = Expected { conditional_writes: true, metadata: true, staged_etags: false, strict_uploads: true };
    for lack in Lack::ALL {
        if matches!(lack, Lack::ListingEtag | Lack::ListingOrder | Lack::Metadata) {
            continue;
        }
        let store = Adapted::new(Arc::new(lacking(lack)));
        let lacks = store.find_out("_s3sync/abc/probe/", &ObjectAttributes::default()).await.unwrap().unwrap();
        store.adapt(&Findings { probe: Findings::PROBE, place: String::new(), lacks });
        // A completion has nothing to look at before it writes: there keys are unique.
        let expected = Expected { conditional_writes: lack != Lack::CompletionIfNoneMatchIgnored, ..expected };
        contract::check(Arc::new(store), "", expected).await;
    }
}

/// Two workers 0 of one cursor begin at one moment: each removes what the other has just written.
#[tokio::test(start_paused = true)]
async fn a_probe_that_another_one_disturbs_begins_again() {
    for (op, at) in
        [("head", "upload/1.s3sync"), ("upload_part", "upload/1.s3sync"), ("complete_upload", "upload/1.s3sync")]
    {
        let memory = server(Behaviour::default());
        let (other, met) = (memory.clone(), std::sync::atomic::AtomicBool::new(false));
        let faults = Faults::new(move |call: &Call<'_>| {
            if call.op == op && call.key.ends_with(at) && !met.swap(true, std::sync::atomic::Ordering::SeqCst) {
                other.remove(call.key);
                other.expire_uploads(jiff::Timestamp::MAX);
            }
            Fault::None
        });
        assert_eq!(found(&FaultyStore::new(Arc::new(memory.clone()), faults)).await, BTreeSet::new(), "{op}");
        assert_eq!((memory.keys(), memory.uploads()), (Vec::new(), Vec::new()), "{op}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_probe_met_once_is_tried_again_and_what_lasts_is_said() {
    for (calls, found_out) in [(1, true), (u64::MAX, false)] {
        let seen = std::sync::atomic::AtomicU64::new(0);
        let faults = Faults::new(move |call: &Call<'_>| {
            let meets = call.op == "put"
                && call.key.ends_with("upload-1.s3sync")
                && seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < calls;
            if meets { Fault::Before(ErrorKind::Other) } else { Fault::None }
        });
        let store = FaultyStore::new(Arc::new(server(Behaviour::default())), faults);
        let probed = probe(&store, "_s3sync/abc/probe/", &ObjectAttributes::default()).await;
        assert_eq!(
            probed.map_err(|error| error.kind),
            if found_out { Ok(BTreeSet::new()) } else { Err(ErrorKind::Other) }
        );
    }
}

#[tokio::test]
async fn a_full_disk_is_no_answer_about_conditions() {
    let store =
        FaultyStore::new(Arc::new(server(Behaviour::default())), Faults::new(at(1, Fault::Before(ErrorKind::Full))));
    let error = probe(&store, "_s3sync/abc/probe/", &ObjectAttributes::default()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Full);
}

#[tokio::test]
async fn before_anything_is_known_a_delete_looks_first() {
    let memory = lacking(Lack::DeleteIfMatchIgnored);
    let store = Adapted::new(Arc::new(memory.clone()));
    let etag = memory.insert("key", "bytes");
    memory.insert("key", "other");
    assert_eq!(store.delete("key", Some(&etag)).await.unwrap_err().kind, ErrorKind::Precondition);
    assert_eq!(memory.keys(), ["key"]);
}
