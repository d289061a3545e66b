use super::*;
use crate::store::Side;
use crate::store::faulty::{Faults, FaultyStore, never};
use crate::store::local::LocalStore;
use crate::store::memory::{Behaviour, Conditions, ManualClock, MemoryStore};

const MEMORY: Expected =
    Expected { conditional_writes: true, metadata: true, staged_etags: false, strict_uploads: true };

#[tokio::test]
async fn memory() {
    check(Arc::new(MemoryStore::new("bucket")), "", MEMORY).await;
}

#[tokio::test]
async fn memory_without_conditions() {
    for conditions in [Conditions::Ignored, Conditions::Refused] {
        let behaviour = Behaviour { conditions, ..Behaviour::default() };
        let store = MemoryStore::with("bucket", behaviour, Arc::new(ManualClock::default()));
        check(Arc::new(store), "", Expected { conditional_writes: false, ..MEMORY }).await;
    }
}

#[tokio::test]
async fn memory_like_a_directory() {
    let behaviour = Behaviour { keeps_metadata: false, staged_etags: true, ..Behaviour::default() };
    let store = MemoryStore::with("bucket", behaviour, Arc::new(ManualClock::default()));
    check(
        Arc::new(store),
        "",
        Expected { conditional_writes: true, metadata: false, staged_etags: true, strict_uploads: true },
    )
    .await;
}

#[tokio::test]
async fn faulty_without_faults() {
    let store = FaultyStore::new(Arc::new(MemoryStore::new("bucket")), Faults::new(never()));
    check(Arc::new(store), "some/prefix/", MEMORY).await;
}

#[tokio::test]
async fn directory() {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalStore::open(directory.path(), "bucket", Side::Destination).unwrap();
    check(
        Arc::new(store),
        "",
        Expected { conditional_writes: true, metadata: false, staged_etags: true, strict_uploads: true },
    )
    .await;
    let hidden = directory.path().join("bucket").join(crate::store::local::STAGING);
    assert!(!hidden.exists(), "nothing is left staged");
}
