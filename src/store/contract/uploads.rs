//! Multipart uploads.

use bytes::Bytes;

use super::{Case, kind};
use crate::model::object::Etag;
use crate::model::settings::ObjectAttributes;
use crate::store::{ErrorKind, StoreError};

/// The least part size of S3.
const PART_BYTES: usize = 5 << 20;

impl Case {
    async fn create(&self, name: &str, id: &str) -> String {
        self.store.create_upload(&self.key(name), id, &ObjectAttributes::default()).await.expect("create an upload")
    }

    async fn part(&self, name: &str, upload: &str, number: u32, body: impl Into<Bytes>) -> String {
        let mut rest: Bytes = body.into();
        let first = rest.split_to(rest.len() / 3);
        self.store.upload_part(&self.key(name), upload, number, vec![first, rest]).await.expect("upload a part")
    }

    /// The parts that are listed, where the server can list them.
    async fn listed_parts(&self, name: &str, upload: &str) -> Option<Vec<(u32, String)>> {
        match self.store.list_parts(&self.key(name), upload).await {
            Err(error) if !self.expected.strict_uploads && error.kind == ErrorKind::Unsupported => None,
            listed => Some(listed.expect("list parts")),
        }
    }

    /// What a call about an upload gives that is not there.
    fn is_gone<T>(&self, result: Result<T, StoreError>) -> bool {
        match result {
            Ok(_) => false,
            Err(error) => error.kind == ErrorKind::NoSuchUpload || !self.expected.strict_uploads,
        }
    }

    async fn complete(
        &self,
        name: &str,
        upload: &str,
        parts: &[String],
        if_none_match: bool,
    ) -> Result<Etag, ErrorKind> {
        self.store.complete_upload(&self.key(name), upload, parts, if_none_match).await.map_err(|error| error.kind)
    }
}

pub(super) async fn is_invisible_until_complete(case: &Case) {
    let upload = case.create("dir/key", "the id").await;
    assert!(case.listed_parts("dir/key", &upload).await.is_none_or(|parts| parts.is_empty()));
    let part = case.part("dir/key", &upload, 1, "tiny").await;
    assert!(case.names("", None).await.is_empty());
    assert_eq!(kind(case.store.head(&case.key("dir/key")).await), Err(ErrorKind::NotFound));
    assert_eq!(case.store.list_uploads(&case.key("dir/key")).await.expect("list uploads"), [upload.as_str()]);
    assert!(
        case.store.list_uploads(&case.key("dir/ke")).await.expect("list uploads").is_empty(),
        "only exactly this key"
    );
    assert!(case.listed_parts("dir/key", &upload).await.is_none_or(|parts| parts == [(1, part.clone())]));

    let staged = case.store.staged_etag(&case.key("dir/key"), &upload).await.expect("staged etag");
    assert_eq!(staged.is_some(), case.expected.staged_etags);
    let etag = case.complete("dir/key", &upload, &[part], true).await.expect("complete");
    assert!(staged.is_none_or(|staged| staged == etag), "a staged file's etag is the published one's");
    let head = case.store.head(&case.key("dir/key")).await.expect("head");
    let id = case.expected.metadata.then(|| "the id".to_owned());
    assert_eq!((head.etag, head.size, head.id), (etag, 4, id), "the upload's etag is the object's");
    assert_eq!(case.read("dir/key").await, "tiny");
    assert_eq!(case.names("", None).await, ["dir/key"]);
    assert!(case.store.list_uploads(&case.key("dir/key")).await.expect("list uploads").is_empty());
}

pub(super) async fn takes_parts_in_any_order(case: &Case) {
    let bodies = [vec![b'a'; PART_BYTES], vec![b'b'; PART_BYTES], vec![b'c'; 7]];
    let upload = case.create("key", "id").await;
    let mut parts = vec![String::new(); 3];
    for number in [3, 2, 1] {
        parts[number - 1] = case.part("key", &upload, number as u32, bodies[number - 1].clone()).await;
    }
    let listed = case.listed_parts("key", &upload).await;
    assert!(listed.is_none_or(|listed| listed == (1..).zip(parts.clone()).collect::<Vec<_>>()));
    let etag = case.complete("key", &upload, &parts, false).await.expect("complete");
    assert!(case.read("key").await == bodies.concat(), "parts lie in the order of their numbers");
    let listed = case.pages("", None).await.concat();
    assert_eq!((&listed[0].etag, listed[0].size), (&etag, 2 * PART_BYTES as u64 + 7));
}

pub(super) async fn replaces_a_part(case: &Case) {
    let upload = case.create("key", "id").await;
    let stale = case.part("key", &upload, 1, "stale").await;
    let part = case.part("key", &upload, 1, "fresh").await;
    assert_ne!(stale, part);
    assert!(case.complete("key", &upload, &[stale], false).await.is_err(), "a part that was replaced is not there");
    assert_eq!(case.complete("key", &upload, &[part], false).await.map(drop), Ok(()));
    assert_eq!(case.read("key").await, "fresh");
}

pub(super) async fn completes_once(case: &Case) {
    let upload = case.create("key", "id").await;
    let parts = [case.part("key", &upload, 1, "bytes").await];
    assert_eq!(case.complete("key", &upload, &parts, false).await.map(drop), Ok(()));
    let again = case.complete("key", &upload, &parts, false).await.map(drop);
    // AWS forgives the repetition for a while; others say that the upload is gone.
    assert!(matches!(again, Ok(()) | Err(ErrorKind::NoSuchUpload)), "{again:?}");
    assert_eq!(case.read("key").await, "bytes");
}

pub(super) async fn completes_where_nothing_stands(case: &Case) {
    let before = case.put("key", "before").await;
    let upload = case.create("key", "id").await;
    let parts = [case.part("key", &upload, 1, "after").await];
    if case.expected.conditional_writes {
        assert_eq!(case.complete("key", &upload, &parts, true).await.map(drop), Err(ErrorKind::Precondition));
        assert_eq!(case.store.head(&case.key("key")).await.expect("head").etag, before);
    }
    assert_eq!(
        case.complete("key", &upload, &parts, false).await.map(drop),
        Ok(()),
        "the upload outlives a failed condition"
    );
    assert_eq!(case.read("key").await, "after");
}

pub(super) async fn refuses_other_parts(case: &Case) {
    let upload = case.create("key", "id").await;
    let part = case.part("key", &upload, 1, "bytes").await;
    assert!(case.complete("key", &upload, &[], false).await.is_err(), "no parts");
    assert!(
        case.complete("key", &upload, &[part.clone(), part.clone()], false).await.is_err(),
        "a second part that is not there"
    );
    let other = "00000000-0000-0000-0000-000000000000";
    let key = case.key("key");
    assert!(case.is_gone(case.store.complete_upload(&key, other, std::slice::from_ref(&part), false).await));
    let lost = case.store.upload_part(&case.key("key"), other, 1, vec![Bytes::from_static(b"x")]).await;
    assert!(case.is_gone(lost));
    assert!(case.is_gone(case.store.list_parts(&key, other).await));
    assert!(case.names("", None).await.is_empty(), "nothing became visible");
    assert_eq!(case.complete("key", &upload, &[part], false).await.map(drop), Ok(()), "the upload is still good");
}

pub(super) async fn aborts(case: &Case) {
    let upload = case.create("key", "id").await;
    let parts = [case.part("key", &upload, 1, "bytes").await];
    assert_eq!(kind(case.store.abort_upload(&case.key("key"), &upload).await), Ok(()));
    assert_eq!(kind(case.store.abort_upload(&case.key("key"), &upload).await), Ok(()), "aborting twice is no error");
    let key = case.key("key");
    assert!(case.is_gone(case.store.complete_upload(&key, &upload, &parts, false).await));
    assert!(case.is_gone(case.store.list_parts(&key, &upload).await));
    assert!(case.store.list_uploads(&case.key("key")).await.expect("list uploads").is_empty());
    assert!(case.names("", None).await.is_empty());
}

pub(super) async fn probes_and_leaves_nothing(case: &Case) {
    let upload = case.create("probe", "probe").await;
    assert_eq!(kind(case.store.abort_upload(&case.key("probe"), &upload).await), Ok(()));
    assert!(case.names("", None).await.is_empty());
    assert!(case.store.list_uploads(&case.key("probe")).await.expect("list uploads").is_empty());
}
