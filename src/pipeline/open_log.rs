//! The names of an attempt's uploads, written before their first part, so that nothing is ever stored that no one can find again.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::store::{Condition, Store, StoreError};

/// One upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenUpload {
    /// The key it is for.
    pub key: String,
    /// The store's name for it.
    pub upload: String,
}

/// Writes upload ids as small objects `<stem>.<n>.open.s3sync`, several at once where several files begin together. An id is there
/// before the upload's first part; an upload that a crash leaves unnamed has no parts, so it costs nothing.
pub struct OpenLog {
    store: Arc<dyn Store>,
    stem: String,
    pending: std::sync::Mutex<Vec<OpenUpload>>,
    /// Number of the next object; held while it is written.
    written: Mutex<u32>,
    all: std::sync::Mutex<Vec<OpenUpload>>,
}

/// What ends the key of each object of an open log.
pub const OPEN_SUFFIX: &str = ".open.s3sync";

impl OpenLog {
    /// A log whose objects' keys begin with `stem`, which no other attempt uses.
    pub fn new(store: Arc<dyn Store>, stem: String) -> Self {
        Self { store, stem, pending: std::sync::Mutex::new(Vec::new()), written: Mutex::new(0), all: std::sync::Mutex::new(Vec::new()) }
    }

    /// Returns once the upload's name is durable.
    pub async fn record(&self, key: &str, upload: &str) -> Result<(), StoreError> {
        let open = OpenUpload { key: key.to_owned(), upload: upload.to_owned() };
        self.all.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(open.clone());
        self.lock().push(open);
        // Whoever holds the lock writes what has gathered; those who waited find their names already written.
        let mut number = self.written.lock().await;
        let batch = std::mem::take(&mut *self.lock());
        if batch.is_empty() {
            return Ok(());
        }
        let body = serde_json::to_vec(&batch).expect("plain strings always serialise");
        let object = format!("{}.{number}{OPEN_SUFFIX}", self.stem);
        if let Err(error) = self.store.put(&object, Bytes::from(body), Condition::Any).await {
            self.lock().extend(batch);
            return Err(error);
        }
        *number += 1;
        Ok(())
    }

    /// Gives up every upload of this attempt. What cannot be ended now stays in the log for a later sweep, so failures are only told.
    pub async fn abort_all(&self) {
        let all = std::mem::take(&mut *self.all.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        for open in all {
            if let Err(error) = self.store.abort_upload(&open.key, &open.upload).await {
                tracing::debug!(%error, key = open.key, "an upload could not be ended; a later sweep will");
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<OpenUpload>> {
        self.pending.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Reads one object of a log.
pub fn parse(body: &[u8]) -> Result<Vec<OpenUpload>, serde_json::Error> {
    serde_json::from_slice(body)
}
