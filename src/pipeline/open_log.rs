//! The keys of an attempt's uploads, written before an upload begins there, so that nothing is ever stored that no one
//! can find again.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::state::seal::{NotOurs, StateKey};
use crate::store::{Condition, Store, StoreError};

/// One upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenUpload {
    /// The key it is for.
    pub key: String,
    /// The store's name for it. Empty in a log, which is written before there is one: whatever is under way at the key
    /// is meant. Logs of earlier releases name it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub upload: String,
}

/// Writes keys as small objects `<stem>.<n>.open.s3sync`, several at once where several files begin together. The keys
/// are this plan's alone, so an upload that a crash leaves is found by listing those under way at its key.
pub struct OpenLog {
    store: Arc<dyn Store>,
    stem: String,
    /// What its objects are sealed with.
    key: Option<StateKey>,
    pending: std::sync::Mutex<Vec<OpenUpload>>,
    /// Number of the next object; held while it is written.
    written: Mutex<u32>,
    all: std::sync::Mutex<Vec<OpenUpload>>,
}

/// What ends the key of each object of an open log.
pub const OPEN_SUFFIX: &str = ".open.s3sync";

/// The word in the first line of a sealed one.
const KIND: &str = "open";

impl OpenLog {
    /// A log whose objects' keys begin with `stem`, which no other attempt uses, sealed with `key` where there is one.
    pub fn new(store: Arc<dyn Store>, stem: String, key: Option<StateKey>) -> Self {
        Self {
            store,
            stem,
            key,
            pending: std::sync::Mutex::new(Vec::new()),
            written: Mutex::new(0),
            all: std::sync::Mutex::new(Vec::new()),
        }
    }

    /// Returns once the key is durable: then an upload may begin there.
    pub async fn announce(&self, key: &str) -> Result<(), StoreError> {
        self.lock().push(OpenUpload { key: key.to_owned(), upload: String::new() });
        // Whoever holds the lock writes what has gathered; those who waited find their keys already written.
        let mut number = self.written.lock().await;
        let batch = std::mem::take(&mut *self.lock());
        if batch.is_empty() {
            return Ok(());
        }
        let body = serde_json::to_vec(&batch).expect("plain strings always serialise");
        let object = format!("{}.{number}{OPEN_SUFFIX}", self.stem);
        let body = match &self.key {
            Some(key) => key.seal(KIND, &object, "", &body),
            None => Bytes::from(body),
        };
        if let Err(error) = self.store.put(&object, body, Condition::Any).await {
            self.lock().extend(batch);
            return Err(error);
        }
        *number += 1;
        Ok(())
    }

    /// Remembers an upload, for [`OpenLog::abort_all`].
    pub fn began(&self, key: &str, upload: &str) {
        let open = OpenUpload { key: key.to_owned(), upload: upload.to_owned() };
        self.all.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(open);
    }

    /// Gives up every upload of this attempt. What cannot be ended now stays in the log for a later sweep, so failures
    /// are only told.
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

/// Why an object of a log is not used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// No worker of this sync wrote it, as far as can be told.
    #[error(transparent)]
    NotOurs(#[from] NotOurs),
    /// It is no list of uploads.
    #[error("it makes no sense: {0}")]
    Nonsense(#[from] serde_json::Error),
}

/// Reads the object of a log at `place`: sealed with `key`, or, without one, as releases before the seal wrote it.
pub fn read(body: &Bytes, place: &str, key: Option<&StateKey>) -> Result<Vec<OpenUpload>, LogError> {
    let text = match key {
        Some(key) => key.open(KIND, place, "", body)?,
        None => body.clone(),
    };
    Ok(serde_json::from_slice(&text)?)
}

/// The stem of an object of a log; `None` for other keys.
pub fn stem(key: &str) -> Option<&str> {
    let (stem, number) = key.strip_suffix(OPEN_SUFFIX)?.rsplit_once('.')?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then_some(stem)
}
