//! What a test does behind the store's back: look at everything, and be the other people who write to a bucket.

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;

use super::{MemoryStore, Stored, content_etag};
use crate::model::object::{Etag, Object};
use crate::model::settings::ObjectAttributes;

/// An upload that was neither completed nor aborted.
#[derive(Clone, Debug, PartialEq)]
pub struct UploadUnderWay {
    /// The upload's name.
    pub upload: String,
    /// The key it will have.
    pub key: String,
    /// Its `s3sync-id`.
    pub id: String,
    /// When it began.
    pub began: Timestamp,
    /// Numbers of the parts that are there.
    pub parts: Vec<u32>,
    /// Those parts' bytes in the order of their numbers.
    pub bytes: Bytes,
}

impl MemoryStore {
    /// Every key, in order.
    pub fn keys(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }

    /// Every object, in the order of keys, as an ideal listing would show it.
    pub fn objects(&self) -> Vec<Object> {
        let state = self.state();
        state.objects.iter().map(|(key, stored)| stored.listed(key)).collect()
    }

    /// What stands at a key.
    pub fn stored(&self, key: &str) -> Option<Stored> {
        self.state().objects.get(key).cloned()
    }

    /// The bytes at a key.
    pub fn peek(&self, key: &str) -> Option<Bytes> {
        self.state().objects.get(key).map(|stored| stored.bytes.clone())
    }

    /// Every upload under way, in the order in which they began.
    pub fn uploads(&self) -> Vec<UploadUnderWay> {
        let state = self.state();
        let uploads = state.uploads.iter().map(|(name, upload)| {
            let mut bytes = BytesMut::new();
            upload.parts.values().for_each(|part| bytes.extend_from_slice(&part.bytes));
            UploadUnderWay {
                upload: name.clone(),
                key: upload.key.clone(),
                id: upload.id.clone(),
                began: upload.began,
                parts: upload.parts.keys().copied().collect(),
                bytes: bytes.freeze(),
            }
        });
        uploads.collect()
    }

    /// Somebody writes an object, now.
    pub fn insert(&self, key: &str, bytes: impl Into<Bytes>) -> Etag {
        self.insert_dated(key, bytes, self.shared.clock.now())
    }

    /// Somebody's object appears with a time of its own: with one in the past it is a multipart upload that began then
    /// and finishes now.
    pub fn insert_dated(&self, key: &str, bytes: impl Into<Bytes>, last_modified: Timestamp) -> Etag {
        let bytes = bytes.into();
        let etag = Etag::new(&content_etag(&bytes));
        let stored = Stored {
            bytes,
            etag: etag.clone(),
            last_modified,
            id: None,
            attributes: ObjectAttributes::default(),
            archived: false,
        };
        self.state().objects.insert(key.to_owned(), stored);
        etag
    }

    /// Somebody deletes an object; whether there was one.
    pub fn remove(&self, key: &str) -> bool {
        self.state().objects.remove(key).is_some()
    }

    /// A lifecycle rule moves an object into an archive, or somebody restores it from there. Nothing else of it
    /// changes.
    pub fn set_archived(&self, key: &str, archived: bool) {
        self.state().objects.get_mut(key).expect("an object that is there").archived = archived;
    }

    /// A lifecycle rule takes the uploads that began before `time`, and gives their names.
    pub fn expire_uploads(&self, time: Timestamp) -> Vec<String> {
        let mut state = self.state();
        let expired: Vec<String> =
            state.uploads.iter().filter(|(_, upload)| upload.began < time).map(|(name, _)| name.clone()).collect();
        expired.iter().for_each(|name| drop(state.uploads.remove(name)));
        expired
    }
}

impl Stored {
    /// The object as a listing shows it.
    pub(super) fn listed(&self, key: &str) -> Object {
        let (size, last_modified) = (self.bytes.len() as u64, self.last_modified);
        Object { key: key.to_owned(), etag: self.etag.clone(), size, last_modified, archived: self.archived }
    }
}
