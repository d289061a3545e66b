//! PUT and DELETE.

use bytes::Bytes;
use futures::future::join_all;

use super::{Case, kind};
use crate::model::object::Etag;
use crate::store::{Condition, ErrorKind};

pub(super) async fn puts_and_replaces(case: &Case) {
    let first = case.put("dir/key", "first").await;
    let head = case.store.head(&case.key("dir/key")).await.expect("head");
    assert_eq!((head.etag, head.size, head.id), (first, 5, None));
    let second = case.put("dir/key", "the second").await;
    let head = case.store.head(&case.key("dir/key")).await.expect("head");
    assert_eq!((head.etag, head.size), (second, 10));
    assert_eq!(case.read("dir/key").await, "the second");
    assert_eq!(case.names("", None).await, ["dir/key"]);
}

pub(super) async fn puts_where_nothing_stands(case: &Case) {
    if !case.expected.conditional_writes {
        return;
    }
    let key = case.key("key");
    let absent = |body: &'static str| case.store.put(&key, Bytes::from_static(body.as_bytes()), Condition::Absent);
    assert_eq!(kind(absent("first").await), Ok(()));
    assert_eq!(kind(absent("second").await), Err(ErrorKind::Precondition));
    assert_eq!(case.read("key").await, "first");
    case.store.delete(&key, None).await.expect("delete");
    assert_eq!(kind(absent("third").await), Ok(()));
    assert_eq!(case.read("key").await, "third");
}

pub(super) async fn puts_over_a_version(case: &Case) {
    if !case.expected.conditional_writes {
        return;
    }
    let key = case.key("key");
    let first = case.put("key", "first").await;
    let over = async |etag: &Etag, body: &'static str| {
        kind(case.store.put(&key, Bytes::from_static(body.as_bytes()), Condition::Match(etag)).await)
    };
    assert_eq!(over(&first, "second").await, Ok(()));
    assert_eq!(over(&first, "third").await, Err(ErrorKind::Precondition));
    assert_eq!(case.read("key").await, "second");
    let gone = case.store.put(&case.key("nothing"), Bytes::new(), Condition::Match(&first)).await;
    assert!(matches!(kind(gone), Err(ErrorKind::Precondition | ErrorKind::NotFound)), "a version of nothing");
    assert_eq!(case.names("", None).await, ["key"]);
}

pub(super) async fn one_of_many_puts_wins(case: &Case) {
    if !case.expected.conditional_writes {
        return;
    }
    let key = case.key("absent");
    let puts = (0..8_u8).map(|n| case.store.put(&key, Bytes::from(vec![n; 10]), Condition::Absent));
    let won = join_all(puts).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(won, 1, "one of eight creates it");

    let key = case.key("match");
    let first = case.put("match", "first").await;
    let puts = (0..8_u8).map(|n| case.store.put(&key, Bytes::from(vec![n; 10]), Condition::Match(&first)));
    let won = join_all(puts).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(won, 1, "one of eight replaces it");
}

pub(super) async fn deletes(case: &Case) {
    let key = case.key("deep/down/key");
    let first = case.put("deep/down/key", "first").await;
    let second = case.put("deep/down/key", "second").await;
    assert_eq!(
        kind(case.store.delete(&key, Some(&first)).await),
        Err(ErrorKind::Precondition),
        "the pinned version is gone"
    );
    assert_eq!(case.read("deep/down/key").await, "second");
    assert_eq!(kind(case.store.delete(&key, Some(&second)).await), Ok(()));
    assert!(case.names("", None).await.is_empty());
    assert_eq!(kind(case.store.delete(&key, Some(&second)).await), Ok(()), "what is not there needs no deleting");
    // A store that made directories for the key has removed them: a key may stand where they were.
    case.put("deep", "now a key").await;
    assert_eq!(case.names("", None).await, ["deep"]);
    assert_eq!(kind(case.store.delete(&case.key("deep"), None).await), Ok(()));
}
