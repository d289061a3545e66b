//! The trait over the shared state. No call awaits, so each is atomic.

use std::ops::{Bound, Range};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream, StreamExt};
use jiff::Timestamp;

use super::{Conditions, Contents, MemoryStore, Order, Part, Stored, Upload, content_etag, multipart_etag};
use crate::model::object::{Etag, Object};
use crate::model::server::Lack;
use crate::model::settings::ObjectAttributes;
use crate::store::{Body, Condition, ErrorKind, Head, Store, StoreError};

impl MemoryStore {
    fn error(&self, kind: ErrorKind, op: &'static str, key: &str, message: impl AsRef<str>) -> StoreError {
        StoreError::new(kind, op, &self.shared.place, key, message)
    }

    fn not_found(&self, op: &'static str, key: &str) -> StoreError {
        self.error(ErrorKind::NotFound, op, key, "no such key")
    }

    fn no_such_upload(&self, op: &'static str, key: &str, upload: &str) -> StoreError {
        self.error(ErrorKind::NoSuchUpload, op, key, format!("upload {upload} is not there"))
    }

    fn lacks(&self, lack: Lack) -> bool {
        self.shared.behaviour.lacks.contains(&lack)
    }

    /// An object as this server lists it.
    fn listed(&self, key: &str, stored: &Stored) -> Object {
        let listed = stored.listed(key);
        let listed = Object { archived: listed.archived && self.shared.behaviour.lists_archived, ..listed };
        if self.lacks(Lack::ListingEtag) {
            Object { etag: Etag::new(&format!("{}-listed", listed.etag)), ..listed }
        } else {
            listed
        }
    }

    fn check(
        &self,
        op: &'static str,
        key: &str,
        condition: Condition<'_>,
        standing: Option<&Stored>,
    ) -> Result<(), StoreError> {
        if matches!(condition, Condition::Any) {
            return Ok(());
        }
        let holds = match (self.shared.behaviour.conditions, condition) {
            (Conditions::Refused, _) => {
                return Err(self.error(ErrorKind::Unsupported, op, key, "a server that has no conditional writes"));
            }
            (Conditions::Ignored, _) | (_, Condition::Any) => true,
            (_, Condition::Absent) if self.lacks(Lack::PutIfNoneMatchIgnored) => true,
            (_, Condition::Match(_)) if self.lacks(Lack::PutIfMatchIgnored) => true,
            (_, Condition::Match(_)) if self.lacks(Lack::PutIfMatchRefused) => false,
            (_, Condition::Absent) => standing.is_none(),
            (_, Condition::Match(etag)) => standing.is_some_and(|stored| stored.etag == *etag),
        };
        if holds { Ok(()) } else { Err(self.error(ErrorKind::Precondition, op, key, "another version stands there")) }
    }

    /// The page after `cursor`, and the cursor of the next one.
    fn page(&self, prefix: &str, cursor: Cursor) -> Option<(Vec<Object>, Cursor)> {
        let state = self.state();
        let page_max = self.shared.behaviour.page_objects_max;
        match cursor {
            Cursor::Utf8(after) => {
                let from = match &after {
                    Some(key) if key.as_str() >= prefix => Bound::Excluded(key.as_str()),
                    _ => Bound::Included(prefix),
                };
                let matching = state
                    .objects
                    .range::<str, _>((from, Bound::Unbounded))
                    .take_while(|(key, _)| key.starts_with(prefix));
                let page: Vec<Object> = matching.take(page_max).map(|(key, stored)| self.listed(key, stored)).collect();
                let last = page.last()?.key.clone();
                Some((page, Cursor::Utf8(Some(last))))
            }
            Cursor::Scattered(skipped) => {
                let mut keys: Vec<&String> = state.objects.keys().filter(|key| key.starts_with(prefix)).collect();
                if self.lacks(Lack::ListingOrder) {
                    keys.reverse();
                } else {
                    keys.sort_by_cached_key(|key| content_etag(key.as_bytes()));
                }
                let page: Vec<Object> = keys
                    .iter()
                    .skip(skipped)
                    .take(page_max)
                    .map(|key| self.listed(key, &state.objects[*key]))
                    .collect();
                let end = skipped + page.len();
                (!page.is_empty()).then_some((page, Cursor::Scattered(end)))
            }
        }
    }
}

/// Where a listing is. Like S3's it is no snapshot: a key that comes before it is not seen any more.
enum Cursor {
    Utf8(Option<String>),
    Scattered(usize),
}

impl Contents {
    fn upload(&self, key: &str, upload: &str) -> Option<&Upload> {
        self.uploads.get(upload).filter(|found| found.key == key)
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn place(&self) -> &str {
        &self.shared.place
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        start_after: Option<&'a str>,
    ) -> BoxStream<'a, Result<Vec<Object>, StoreError>> {
        let cursor = match self.shared.behaviour.order {
            Order::Utf8 if !self.lacks(Lack::ListingOrder) => Cursor::Utf8(start_after.map(str::to_owned)),
            _ => Cursor::Scattered(0),
        };
        stream::unfold(
            cursor,
            move |cursor| async move { self.page(prefix, cursor).map(|(page, next)| (Ok(page), next)) },
        )
        .boxed()
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>, pin: Option<&Etag>) -> Result<Body, StoreError> {
        let stored = self.stored(key).ok_or_else(|| self.not_found("GetObject", key))?;
        if let Some(pin) = pin.filter(|pin| **pin != stored.etag) {
            let message = format!("expected etag {pin}, found {}", stored.etag);
            return Err(self.error(ErrorKind::Changed, "GetObject", key, message));
        }
        if stored.archived {
            return Err(self.error(ErrorKind::Archived, "GetObject", key, "it is archived"));
        }
        let size = stored.bytes.len();
        let cut = |offset: u64| usize::try_from(offset).map_or(size, |offset| offset.min(size));
        let asked = range.map_or(0..size, |range| cut(range.start)..cut(range.end));
        let mut rest = if asked.is_empty() { Bytes::new() } else { stored.bytes.slice(asked) };
        let chunk_bytes = self.shared.behaviour.chunk_bytes;
        let chunks =
            std::iter::from_fn(move || (!rest.is_empty()).then(|| Ok(rest.split_to(chunk_bytes.min(rest.len())))));
        Ok(Body {
            etag: stored.etag,
            size: size as u64,
            last_modified: Some(stored.last_modified),
            bytes: stream::iter(chunks).boxed(),
        })
    }

    async fn head(&self, key: &str) -> Result<Head, StoreError> {
        let stored = self.stored(key).ok_or_else(|| self.not_found("HeadObject", key))?;
        Ok(Head {
            etag: stored.etag,
            size: stored.bytes.len() as u64,
            id: stored.id.filter(|_| self.shared.behaviour.keeps_metadata && !self.lacks(Lack::Metadata)),
            last_modified: Some(stored.last_modified),
        })
    }

    async fn put(&self, key: &str, body: Bytes, condition: Condition<'_>) -> Result<Etag, StoreError> {
        if self.lacks(Lack::LongSegments) && key.split('/').any(|segment| segment.len() > 255) {
            return Err(self.error(ErrorKind::Other, "PutObject", key, "the name is too long"));
        }
        let now = self.shared.clock.now();
        let mut state = self.state();
        self.check("PutObject", key, condition, state.objects.get(key))?;
        let etag = Etag::new(&content_etag(&body));
        let attributes = ObjectAttributes::default();
        let stored =
            Stored { bytes: body, etag: etag.clone(), last_modified: now, id: None, attributes, archived: false };
        state.objects.insert(key.to_owned(), stored);
        Ok(etag)
    }

    async fn delete(&self, key: &str, pin: Option<&Etag>) -> Result<(), StoreError> {
        let mut state = self.state();
        let Some(standing) = state.objects.get(key) else { return Ok(()) };
        let holds = match pin {
            None => true,
            Some(_) if self.lacks(Lack::DeleteIfMatchIgnored) => true,
            Some(_) if self.lacks(Lack::DeleteIfMatchRefused) => false,
            Some(pin) => *pin == standing.etag,
        };
        if !holds {
            return Err(self.error(ErrorKind::Precondition, "DeleteObject", key, "another version stands there"));
        }
        state.objects.remove(key);
        Ok(())
    }

    async fn create_upload(&self, key: &str, id: &str, attributes: &ObjectAttributes) -> Result<String, StoreError> {
        let began = self.shared.clock.now();
        let mut state = self.state();
        state.uploads_begun += 1;
        // Padded, so that the order of names is the order in which uploads began.
        let name = format!("upload-{:08}", state.uploads_begun);
        let upload = Upload {
            key: key.to_owned(),
            id: id.to_owned(),
            attributes: attributes.clone(),
            began,
            parts: Default::default(),
        };
        state.uploads.insert(name.clone(), upload);
        Ok(name)
    }

    async fn upload_part(&self, key: &str, upload: &str, number: u32, body: Vec<Bytes>) -> Result<String, StoreError> {
        const OP: &str = "UploadPart";
        if !(1..=10_000).contains(&number) {
            return Err(self.error(
                ErrorKind::Other,
                OP,
                key,
                format!("part number {number} is not between 1 and 10000"),
            ));
        }
        let mut state = self.state();
        let Some(found) = state.uploads.get_mut(upload).filter(|found| found.key == key) else {
            return Err(self.no_such_upload(OP, key, upload));
        };
        let bytes = Bytes::from(body.concat());
        let etag = content_etag(&bytes);
        found.parts.insert(number, Part { etag: etag.clone(), bytes });
        Ok(etag)
    }

    async fn complete_upload(
        &self,
        key: &str,
        upload: &str,
        parts: &[String],
        if_none_match: bool,
    ) -> Result<Etag, StoreError> {
        const OP: &str = "CompleteMultipartUpload";
        let mut state = self.state();
        let found = state.upload(key, upload).ok_or_else(|| self.no_such_upload(OP, key, upload))?;
        let refused = |message: String| Err(self.error(ErrorKind::Other, OP, key, message));
        if parts.is_empty() {
            return refused(format!("upload {upload} has no parts to complete"));
        }
        let mut bytes = BytesMut::new();
        let mut first_bytes = None;
        for (number, etag) in (1..).zip(parts) {
            let Some(part) = found.parts.get(&number).filter(|part| part.etag == *etag) else {
                return refused(format!("part {number} of upload {upload} is not the one named"));
            };
            let (size, last) = (part.bytes.len(), number as usize == parts.len());
            let first = *first_bytes.get_or_insert(size);
            if size > first || (!last && (size != first || size < self.shared.behaviour.part_bytes_min)) {
                return refused(format!("part {number} of upload {upload} has {size} bytes where part 1 has {first}"));
            }
            bytes.extend_from_slice(&part.bytes);
        }
        if self.lacks(Lack::LongSegments) && key.split('/').any(|segment| segment.len() > 255) {
            return refused("the name is too long".to_owned());
        }
        let honoured =
            self.shared.behaviour.conditions == Conditions::Honoured && !self.lacks(Lack::CompletionIfNoneMatchIgnored);
        if if_none_match && honoured && state.objects.contains_key(key) {
            return Err(self.error(ErrorKind::Precondition, OP, key, "another version stands there"));
        }
        let etag = multipart_etag(parts.iter().map(String::as_str));
        if let Some(upload) = state.uploads.remove(upload) {
            let stored = Stored {
                bytes: bytes.freeze(),
                etag: etag.clone(),
                last_modified: upload.began,
                id: Some(upload.id),
                attributes: upload.attributes,
                archived: false,
            };
            state.objects.insert(key.to_owned(), stored);
        }
        Ok(if self.lacks(Lack::CompletionEtag) { Etag::new(&format!("{etag}-done")) } else { etag })
    }

    async fn abort_upload(&self, key: &str, upload: &str) -> Result<(), StoreError> {
        let mut state = self.state();
        if self.lacks(Lack::AbortDeletesObject) {
            state.objects.remove(key);
        }
        if state.upload(key, upload).is_some() {
            state.uploads.remove(upload);
        } else if self.lacks(Lack::AbortAfterCompletion) {
            return Err(self.error(ErrorKind::Other, "AbortMultipartUpload", key, "the upload is done"));
        }
        Ok(())
    }

    async fn list_parts(&self, key: &str, upload: &str) -> Result<Vec<(u32, String)>, StoreError> {
        let state = self.state();
        let found = state.upload(key, upload).ok_or_else(|| self.no_such_upload("ListParts", key, upload))?;
        Ok(found.parts.iter().map(|(number, part)| (*number, part.etag.clone())).collect())
    }

    async fn list_uploads(&self, key: &str) -> Result<Vec<String>, StoreError> {
        let state = self.state();
        Ok(state.uploads.iter().filter(|(_, upload)| upload.key == key).map(|(name, _)| name.clone()).collect())
    }

    async fn staged_etag(&self, key: &str, upload: &str) -> Result<Option<Etag>, StoreError> {
        let state = self.state();
        let found = state.upload(key, upload).ok_or_else(|| self.no_such_upload("ListParts", key, upload))?;
        let parts = &found.parts;
        Ok(self.shared.behaviour.staged_etags.then(|| multipart_etag(parts.values().map(|part| part.etag.as_str()))))
    }

    fn server_time(&self) -> Timestamp {
        self.shared.clock.now()
    }

    fn keeps_metadata(&self) -> bool {
        self.shared.behaviour.keeps_metadata
    }
}
