//! Servers beside MinIO, which `tests/run` starts too: what each does otherwise than S3 is what docs/operations.md
//! says, and over what is found out the contract holds on all of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use s3sync::model::retry::RetryPolicy;
use s3sync::model::server::{Findings, Lack};
use s3sync::model::settings::ObjectAttributes;
use s3sync::store::Store;
use s3sync::store::adapted::Adapted;
use s3sync::store::contract::{self, Expected};
use s3sync::store::s3::{Options, S3Store};

use crate::minio::{admin_of, connection_to, required};

/// A store over a bucket of its own, which knows its server.
async fn known(variable: &str, lacks: impl Into<BTreeSet<Lack>>) -> Arc<dyn Store> {
    let endpoint = required(variable);
    let bucket = format!("store-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
    admin_of(&endpoint).create_bucket().bucket(&bucket).send().await.expect("create a bucket");
    // As a destination is connected, but without long waits where an answer is an error for good.
    let retries = RetryPolicy::tries(4, Duration::from_millis(50), Duration::from_millis(200));
    let options = Options { retries, ..Options::default() };
    let store = S3Store::connect_with(&connection_to(&endpoint), &bucket, options).await.expect("connect");
    let store: Arc<dyn Store> = Arc::new(Adapted::new(Arc::new(store)));
    let found =
        store.find_out("_s3sync/abc/probe/", &ObjectAttributes::default()).await.expect("a probe").expect("a server");
    assert_eq!(found, lacks.into(), "{variable}");
    let left = admin_of(&endpoint).list_multipart_uploads().bucket(&bucket).send().await.expect("a listing");
    assert!(left.uploads().is_empty(), "{left:?}");
    store.adapt(&Findings { probe: Findings::PROBE, place: String::new(), lacks: found });
    store
}

const EXPECTED: Expected =
    Expected { conditional_writes: true, metadata: true, staged_etags: false, strict_uploads: true };

#[tokio::test]
async fn minio_is_found_out() {
    known("S3SYNC_TEST_ENDPOINT", [Lack::DeleteIfMatchIgnored, Lack::LongSegments]).await;
}

#[tokio::test]
async fn moto_keeps_the_contract() {
    // Its list of parts is a document of another name, and what is asked of an upload that is not there answers 500.
    let expected = Expected { strict_uploads: false, ..EXPECTED };
    contract::check(known("S3SYNC_TEST_MOTO", []).await, "some/prefix/", expected).await;
}

#[tokio::test]
async fn versitygw_keeps_the_contract() {
    contract::check(known("S3SYNC_TEST_VERSITYGW", [Lack::LongSegments]).await, "some/prefix/", EXPECTED).await;
}

#[tokio::test]
async fn gofakes3_keeps_the_contract() {
    let lacks = [Lack::CompletionIfNoneMatchIgnored, Lack::CompletionEtag, Lack::DeleteIfMatchIgnored];
    let store = known("S3SYNC_TEST_GOFAKES3", lacks).await;
    contract::check(store, "some/prefix/", Expected { conditional_writes: false, ..EXPECTED }).await;
}
