//! What every store must do: one suite, run against memory, a directory, a faulty store without faults, and a real S3
//! server.
//!
//! For tests. Each case works under a prefix of its own, writes what it needs, and panics with the case's words where
//! the store does otherwise; it removes nothing.

mod reading;
mod uploads;
mod writing;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;

use super::{Body, ErrorKind, Store, StoreError};
use crate::model::object::Object;

/// What stores may do differently.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Conditions of writes are honoured.
    pub conditional_writes: bool,
    /// `head` gives the `s3sync-id` back.
    pub metadata: bool,
    /// The etag of a staged file is known before it is complete.
    pub staged_etags: bool,
    /// `list_parts` is answered as S3 does, and an upload that is not there is said to be so; elsewhere an error of any
    /// kind will do.
    pub strict_uploads: bool,
}

/// Runs every case under `prefix`, which is empty or ends in `/` and holds nothing.
///
/// # Panics
/// Where the store breaks the contract.
pub async fn check(store: Arc<dyn Store>, prefix: &str, expected: Expected) {
    let under = |case: &str| Case { store: store.clone(), prefix: format!("{prefix}{case}/"), expected };
    reading::lists_in_order(&under("order")).await;
    reading::lists_pages(&under("pages")).await;
    reading::lists_odd_keys(&under("odd")).await;
    reading::lists_after_a_key(&under("after")).await;
    reading::gets_ranges(&under("ranges")).await;
    reading::gets_pinned_versions(&under("pins")).await;
    reading::misses_what_is_not_there(&under("missing")).await;
    writing::puts_and_replaces(&under("put")).await;
    writing::puts_where_nothing_stands(&under("absent")).await;
    writing::puts_over_a_version(&under("match")).await;
    writing::one_of_many_puts_wins(&under("race")).await;
    writing::deletes(&under("delete")).await;
    uploads::is_invisible_until_complete(&under("invisible")).await;
    uploads::takes_parts_in_any_order(&under("parts")).await;
    uploads::replaces_a_part(&under("again")).await;
    uploads::completes_once(&under("once")).await;
    uploads::completes_where_nothing_stands(&under("vacant")).await;
    uploads::refuses_other_parts(&under("other")).await;
    uploads::aborts(&under("abort")).await;
    uploads::probes_and_leaves_nothing(&under("probe")).await;
}

/// One case's place.
struct Case {
    store: Arc<dyn Store>,
    /// Ends in `/`.
    prefix: String,
    expected: Expected,
}

impl Case {
    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    async fn put(&self, name: &str, body: &'static str) -> crate::model::object::Etag {
        let put = self.store.put(&self.key(name), Bytes::from_static(body.as_bytes()), super::Condition::Any).await;
        put.unwrap_or_else(|error| panic!("put {name}: {error}"))
    }

    /// The whole object.
    async fn read(&self, name: &str) -> Bytes {
        let body = self.store.get(&self.key(name), None, None).await;
        collect(body.unwrap_or_else(|error| panic!("get {name}: {error}"))).await
    }

    /// Names (keys without the case's prefix) under a prefix within the case's.
    async fn names(&self, prefix: &str, start_after: Option<&str>) -> Vec<String> {
        let pages = self.pages(prefix, start_after).await;
        let strip = |object: Object| object.key.strip_prefix(&self.prefix).map(str::to_owned);
        pages.into_iter().flatten().map(|object| strip(object).expect("a listing stays under its prefix")).collect()
    }

    async fn pages(&self, prefix: &str, start_after: Option<&str>) -> Vec<Vec<Object>> {
        let start_after = start_after.map(|name| self.key(name));
        let pages = self.store.list(&self.key(prefix), start_after.as_deref()).try_collect().await;
        pages.unwrap_or_else(|error: StoreError| panic!("list {prefix}: {error}"))
    }
}

async fn collect(body: Body) -> Bytes {
    let chunks = body.bytes.try_fold(BytesMut::new(), |mut bytes, chunk| async move {
        bytes.extend_from_slice(&chunk);
        Ok(bytes)
    });
    chunks.await.unwrap_or_else(|error| panic!("body: {error}")).freeze()
}

fn kind<T>(result: Result<T, StoreError>) -> Result<(), ErrorKind> {
    result.map(drop).map_err(|error| error.kind)
}

#[cfg(test)]
mod tests;
