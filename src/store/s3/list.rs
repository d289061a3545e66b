//! Listings: of objects, and of uploads under way.

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::{EncodingType, Object as Listed, ObjectStorageClass, OptionalObjectAttributes};
use futures::stream::{self, BoxStream, StreamExt};
use percent_encoding::percent_decode_str;
use tokio::task::JoinSet;

use super::{S3Store, timestamp};
use crate::model::object::{Etag, Object};
use crate::store::{ErrorKind, StoreError};

const OP: &str = "ListObjectsV2";

/// Where a listing goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum From {
    /// At its beginning, or behind a key.
    Key(Option<String>),
    /// Where the server says.
    Token(String),
}

struct Page {
    objects: Vec<Object>,
    next: Option<From>,
}

/// Pages without an object in a row. A server may hide what it passes (AWS does with keys that are deleted in a
/// versioned bucket), a thousand keys a page; a million are no listing that gets anywhere.
const EMPTY_PAGES_MAX: u32 = 1_000;

/// Bytes of a key: S3's own bound. What a listing gives goes into plans and ledgers, a thousand keys a page.
const KEY_BYTES_MAX: usize = 1_024;

/// Bytes of an etag: S3's have some 70, and other servers' not much more.
const ETAG_BYTES_MAX: usize = 1_024;

/// Uploads under way for one key that are named: nobody has more than a few.
const UPLOADS_MAX: usize = 10_000;

/// Notices when a listing goes round in circles, in constant memory (Brent 1980): the place at each power of two is
/// kept, and compared with all that follow it.
struct Circle<T> {
    kept: Option<T>,
    steps: u64,
}

impl<T: Clone + PartialEq> Circle<T> {
    fn new() -> Self {
        Self { kept: None, steps: 0 }
    }

    /// Whether the listing was at `place` before; found by the time it has gone round thrice.
    fn closes(&mut self, place: &T) -> bool {
        if self.kept.as_ref() == Some(place) {
            return true;
        }
        self.steps += 1;
        if self.steps.is_power_of_two() {
            self.kept = Some(place.clone());
        }
        false
    }
}

const CIRCLES: &str = "the server gives the same pages again and again";

/// A listing under way: at most one request ahead of its reader. Dropping it ends that request.
struct Listing {
    store: S3Store,
    prefix: String,
    circle: Circle<From>,
    /// Since the last page that was none.
    empty_pages: u32,
    ahead: JoinSet<Result<Page, StoreError>>,
}

impl S3Store {
    pub(super) fn listing(
        &self,
        prefix: &str,
        start_after: Option<&str>,
    ) -> BoxStream<'static, Result<Vec<Object>, StoreError>> {
        let listing = Listing {
            store: self.clone(),
            prefix: prefix.to_owned(),
            circle: Circle::new(),
            empty_pages: 0,
            ahead: JoinSet::new(),
        };
        let first = From::Key(start_after.map(str::to_owned));
        // The first request is sent when the stream is first polled, as a stream's should be.
        stream::unfold((listing, Some(first)), |(mut listing, first)| async move {
            if let Some(first) = first {
                listing.fetch(first);
            }
            loop {
                let page = match listing.ahead.join_next().await? {
                    Ok(Ok(page)) => page,
                    Ok(Err(error)) => return Some((Err(error), (listing, None))),
                    Err(ended) => {
                        let error = listing.store.refused(ErrorKind::Other, OP, &listing.prefix, ended.to_string());
                        return Some((Err(error), (listing, None)));
                    }
                };
                if let Some(next) = page.next {
                    if let Err(error) = listing.advances(&next, page.objects.is_empty()) {
                        return Some((Err(error), (listing, None)));
                    }
                    listing.fetch(next);
                }
                // A page may be empty although others follow.
                if !page.objects.is_empty() {
                    return Some((Ok(page.objects), (listing, None)));
                }
            }
        })
        .boxed()
    }

    async fn page(&self, prefix: &str, from: &From) -> Result<Page, StoreError> {
        let says_archived = self.inner.clients.plan.is_aws();
        let output = self
            .attempt(OP, prefix, |current| {
                let call = current.client.list_objects_v2().bucket(&self.inner.bucket).encoding_type(EncodingType::Url);
                let call = if prefix.is_empty() { call } else { call.prefix(prefix) };
                let call = if says_archived {
                    call.optional_object_attributes(OptionalObjectAttributes::RestoreStatus)
                } else {
                    call
                };
                match from {
                    From::Key(None) => call,
                    From::Key(Some(key)) => call.start_after(key),
                    From::Token(token) => call.continuation_token(token),
                }
                .send()
            })
            .await?;
        let refused = |message: String| self.refused(ErrorKind::Other, OP, prefix, message);
        let encoded = output.encoding_type() == Some(&EncodingType::Url);
        let objects = output.contents().iter().map(|listed| object(listed, encoded, says_archived));
        let objects = objects.collect::<Result<Vec<_>, _>>().map_err(refused)?;
        let next = next(&output, objects.last()).map_err(refused)?;
        if next.as_ref() == Some(from) {
            return Err(refused(CIRCLES.to_owned()));
        }
        Ok(Page { objects, next })
    }

    pub(super) async fn uploads(&self, key: &str) -> Result<Vec<String>, StoreError> {
        const OP: &str = "ListMultipartUploads";
        let mut uploads = Vec::new();
        let mut marker: Option<(String, Option<String>)> = None;
        let mut circle = Circle::new();
        loop {
            let output = self
                .attempt(OP, key, |current| {
                    let call = current.client.list_multipart_uploads().bucket(&self.inner.bucket).prefix(key);
                    let (key_marker, upload_marker) = marker.clone().unzip();
                    call.encoding_type(EncodingType::Url)
                        .set_key_marker(key_marker)
                        .set_upload_id_marker(upload_marker.flatten())
                        .send()
                })
                .await?;
            let encoded = output.encoding_type() == Some(&EncodingType::Url);
            for upload in output.uploads() {
                if let (Some(found), Some(name)) = (upload.key(), upload.upload_id())
                    && decode(found, encoded).as_deref() == Ok(key)
                {
                    uploads.push(name.to_owned());
                }
                if uploads.len() > UPLOADS_MAX {
                    let message = format!("the server names more than {UPLOADS_MAX} uploads under way for this key");
                    return Err(self.refused(ErrorKind::Other, OP, key, message));
                }
            }
            let next = output.next_key_marker().filter(|_| output.is_truncated() == Some(true));
            let next = match next.map(|next| decode(next, encoded)).transpose() {
                // Uploads come in the order of keys, and other keys with this prefix come after it.
                Ok(Some(next)) if next == key => Some((next, output.next_upload_id_marker().map(str::to_owned))),
                Ok(_) => None,
                Err(message) => return Err(self.refused(ErrorKind::Other, OP, key, message)),
            };
            match &next {
                Some(next) if circle.closes(next) => return Err(self.refused(ErrorKind::Other, OP, key, CIRCLES)),
                Some(_) => marker = next,
                None => return Ok(uploads),
            }
        }
    }
}

impl Listing {
    /// Whether going on leads anywhere.
    fn advances(&mut self, next: &From, empty: bool) -> Result<(), StoreError> {
        let refused = |message: &str| Err(self.store.refused(ErrorKind::Other, OP, &self.prefix, message));
        if self.circle.closes(next) {
            return refused(CIRCLES);
        }
        self.empty_pages = if empty { self.empty_pages + 1 } else { 0 };
        if self.empty_pages >= EMPTY_PAGES_MAX {
            return refused("the server gives empty pages without end");
        }
        Ok(())
    }

    fn fetch(&mut self, from: From) {
        let (store, prefix) = (self.store.clone(), self.prefix.clone());
        self.ahead.spawn(async move { store.page(&prefix, &from).await });
    }
}

fn next(output: &ListObjectsV2Output, last: Option<&Object>) -> Result<Option<From>, String> {
    if output.is_truncated() != Some(true) {
        return Ok(None);
    }
    match (output.next_continuation_token(), last) {
        (Some(token), _) => Ok(Some(From::Token(token.to_owned()))),
        (None, Some(last)) => Ok(Some(From::Key(Some(last.key.clone())))),
        (None, None) => Err("the listing is cut off without a way to go on".to_owned()),
    }
}

fn object(listed: &Listed, encoded: bool, says_archived: bool) -> Result<Object, String> {
    let key = decode(listed.key().ok_or("the listing has an object without a key")?, encoded)?;
    if key.len() > KEY_BYTES_MAX {
        let begins = crate::model::ledger::cut(&key, 100);
        return Err(format!(
            "the listing has a key of {} bytes, and S3 knows none of more than {KEY_BYTES_MAX}: {begins}",
            key.len()
        ));
    }
    let missing = |what: &str| format!("the listing gives no {what} of {key}");
    let etag = listed.e_tag().ok_or_else(|| missing("etag"))?;
    if etag.len() > ETAG_BYTES_MAX {
        return Err(format!("the listing gives {key} an etag of {} bytes, more than {ETAG_BYTES_MAX}", etag.len()));
    }
    let etag = Etag::new(etag);
    let size = listed.size().and_then(|size| u64::try_from(size).ok()).ok_or_else(|| missing("size"))?;
    let last_modified = listed.last_modified().map(timestamp).ok_or_else(|| missing("time"))?;
    Ok(Object { key, etag, size, last_modified, archived: says_archived && is_archived(listed) })
}

/// Whether an object's storage class is one that has to be restored, and it is not (S3 API reference, `RestoreStatus`:
/// one that is restored for a while keeps its class and has a day of expiry). The archive tiers of INTELLIGENT_TIERING
/// show in no listing. This is AWS's word alone: elsewhere a class may have any name, and what was restored may not be
/// said.
fn is_archived(listed: &Listed) -> bool {
    let restored = listed
        .restore_status()
        .is_some_and(|status| status.restore_expiry_date().is_some() && status.is_restore_in_progress() != Some(true));
    matches!(listed.storage_class(), Some(ObjectStorageClass::Glacier | ObjectStorageClass::DeepArchive)) && !restored
}

/// A key as it stands in a response. With `encoding-type=url` it is form-encoded (a space is `+`), because XML 1.0 has
/// no way to write some characters that keys may have (S3 API reference, ListObjectsV2). A server that does not know
/// the option answers without it.
fn decode(key: &str, encoded: bool) -> Result<String, String> {
    if !encoded {
        return Ok(key.to_owned());
    }
    let spaced = key.replace('+', " ");
    match percent_decode_str(&spaced).decode_utf8() {
        Ok(key) => Ok(key.into_owned()),
        Err(_) => Err(format!("key {key} is not UTF-8")),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::RestoreStatus;

    use super::*;

    fn check(encoded: &str, expected: Result<&str, ()>) {
        assert_eq!(decode(encoded, true).map_err(drop), expected.map(str::to_owned), "{encoded}");
    }

    #[test]
    fn a_listing_says_what_is_archived_and_not_restored() {
        let expiry = aws_sdk_s3::primitives::DateTime::from_secs(1_800_000_000);
        let status = |in_progress: bool, expiry: Option<_>| {
            RestoreStatus::builder().is_restore_in_progress(in_progress).set_restore_expiry_date(expiry).build()
        };
        for (class, status, archived) in [
            (None, None, false),
            (Some(ObjectStorageClass::Standard), None, false),
            (Some(ObjectStorageClass::GlacierIr), None, false),
            (Some(ObjectStorageClass::IntelligentTiering), None, false),
            (Some(ObjectStorageClass::Glacier), None, true),
            (Some(ObjectStorageClass::DeepArchive), None, true),
            (Some(ObjectStorageClass::Glacier), Some(status(true, None)), true),
            (Some(ObjectStorageClass::DeepArchive), Some(status(false, None)), true),
            (Some(ObjectStorageClass::Glacier), Some(status(false, Some(expiry))), false),
            // Restored for longer, or faster, while it is restored.
            (Some(ObjectStorageClass::Glacier), Some(status(true, Some(expiry))), true),
        ] {
            let listed = Listed::builder().key("a").e_tag("e").size(1).last_modified(expiry);
            let listed = listed.set_storage_class(class.clone()).set_restore_status(status.clone()).build();
            assert_eq!(object(&listed, false, true).unwrap().archived, archived, "{class:?} {status:?}");
            assert!(!object(&listed, false, false).unwrap().archived, "not of a server that is not AWS");
        }
    }

    #[test]
    fn keys_are_form_encoded() {
        check("a/b-c_d.e", Ok("a/b-c_d.e"));
        check("a+b", Ok("a b"));
        check("a%20b%2Bc", Ok("a b+c"));
        check("100%25", Ok("100%"));
        check("%C3%BC%2F%00", Ok("ü/\0"));
        check("%FF", Err(()));
        assert_eq!(decode("a+b%20", false).as_deref(), Ok("a+b%20"));
    }
}
