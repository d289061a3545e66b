use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use super::*;
use crate::store::memory::MemoryStore;
use crate::store::{Condition, Store};

fn faulty(plan: impl FaultPlan + 'static) -> (MemoryStore, FaultyStore) {
    let memory = MemoryStore::new("bucket");
    memory.insert("there", "0123456789");
    (memory.clone(), FaultyStore::new(Arc::new(memory), Faults::new(plan)))
}

async fn put(store: &FaultyStore) -> Result<(), ErrorKind> {
    store.put("new", Bytes::from_static(b"x"), Condition::Any).await.map(drop).map_err(|error| error.kind)
}

#[tokio::test]
async fn a_call_fails_before_or_after_it_is_done() {
    let (memory, store) = faulty(at(0, Fault::Before(ErrorKind::Unavailable)));
    assert_eq!(put(&store).await, Err(ErrorKind::Unavailable));
    assert_eq!(memory.keys(), ["there"]);
    assert_eq!(put(&store).await, Ok(()));

    let (memory, store) = faulty(on("put", Fault::After(ErrorKind::Unavailable)));
    assert_eq!(put(&store).await, Err(ErrorKind::Unavailable));
    assert_eq!(memory.keys(), ["new", "there"]);
    assert_eq!(store.head("there").await.map(|head| head.size).map_err(|error| error.kind), Ok(10));
}

#[tokio::test]
async fn a_crash_ends_every_store_of_the_process() {
    let (memory, store) = faulty(on("put", Fault::CrashAfter));
    let other = FaultyStore::new(Arc::new(MemoryStore::new("other")), store.faults.clone());
    let mut body = store.get("there", None, None).await.unwrap().bytes;

    let error = store.put("new", Bytes::new(), Condition::Any).await.unwrap_err();
    assert!(is_crash(&error), "{error}");
    assert_eq!(memory.keys(), ["new", "there"]);
    assert!(is_crash(&other.head("x").await.unwrap_err()));
    assert!(is_crash(&body.next().await.unwrap().unwrap_err()), "a body that was under way ends too");
    assert!(body.next().await.is_none());
    assert_eq!(store.faults.calls(), 2);
    assert!(!is_crash(&StoreError::new(ErrorKind::Other, "x", "x", "x", "x")));
}

#[tokio::test]
async fn a_body_breaks_midway() {
    let (_, store) = faulty(on("get", Fault::Break { after: 4, kind: ErrorKind::Unavailable }));
    let chunks: Vec<_> = store.get("there", None, None).await.unwrap().bytes.collect().await;
    assert_eq!(chunks.len(), 2);
    assert_eq!(chunks[0].as_ref().unwrap(), "0123");
    assert_eq!(chunks[1].as_ref().unwrap_err().kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_listing_breaks_between_pages() {
    let (_, store) = faulty(on("list", Fault::Break { after: 1, kind: ErrorKind::Unavailable }));
    let pages: Vec<_> = store.list("", None).collect().await;
    assert_eq!(pages.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false]);
}

#[tokio::test]
async fn another_etag_is_given() {
    let (memory, store) = faulty(on("get", Fault::WrongEtag));
    let etag = memory.stored("there").unwrap().etag;
    assert_ne!(store.get("there", None, None).await.unwrap().etag, etag);
    assert_eq!(store.get("there", None, Some(&etag)).await.err().map(|error| error.kind), Some(ErrorKind::Changed));
}

#[tokio::test]
async fn chance_follows_from_the_seed() {
    let history = async |seed| {
        let (_, store) =
            faulty(random(seed, 3, vec![Fault::Before(ErrorKind::Unavailable), Fault::Before(ErrorKind::Other)]));
        let mut seen = Vec::new();
        for _ in 0..40 {
            seen.push(put(&store).await);
        }
        seen
    };
    let first = history(7).await;
    assert_eq!(first, history(7).await);
    assert_ne!(first, history(8).await);
    for kind in [Ok(()), Err(ErrorKind::Unavailable), Err(ErrorKind::Other)] {
        assert!(first.contains(&kind), "{kind:?} in {first:?}");
    }
}

#[tokio::test]
async fn without_faults_it_is_the_store_itself() {
    let (memory, store) = faulty(never());
    assert_eq!(store.list("", None).try_concat().await.unwrap(), memory.objects());
}
