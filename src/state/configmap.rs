//! A cursor in a ConfigMap: the arbiter between the pods of a run.
//!
//! The ConfigMap is made by the operator, empty of a cursor, and moved by the workers alone: read, compared, and
//! written with the resourceVersion that was read, so that the API server refuses whoever comes second
//! (<https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>). Workers write their progress
//! into the same object, which moves its resourceVersion too; so a version is a digest of the cursor's own keys, and a
//! write that met somebody's progress is tried again while the cursor is still the expected one.
//!
//! Guarantees, besides the trait's: no write reaches a ConfigMap with another uid than the one that was read first; a
//! write whose answer was lost is recognised as our own when it is found in place. An API server that stops answering
//! for less than [`Patience::outage`] is waited for. Not guaranteed: that [`CursorStore::changed`] tells of every state
//! between two.

mod calls;
pub mod content;
#[cfg(test)]
mod server;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{PostParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use tokio::time::Instant;

pub use self::calls::Patience;
use self::calls::{Failure, Tries, call, gone};
use self::content::{Data, PROGRESS_PREFIX};
use super::{CursorStore, StateError, Version};
use crate::model::cursor::Cursor;

/// Who we are in `metadata.managedFields`.
const FIELD_MANAGER: &str = "s3sync-worker";

/// The longest watch: what the API server's own default allows at least, so that a watch that died silently is noticed
/// within it.
const WATCH_MAX: Duration = Duration::from_secs(290);

/// How old [`CursorStore::recent`] may be: an idle worker asks several times a second, and there may be a thousand of
/// them.
const RECENT: Duration = Duration::from_secs(5);

/// Writes of progress that meet another write are tried this often: the next one comes in seconds anyway.
const PROGRESS_TRIES: u32 = 5;

/// The cursor in one ConfigMap. Clones share what they have read.
#[derive(Clone)]
pub struct ConfigMapCursor {
    shared: Arc<Shared>,
}

struct Shared {
    api: Api<ConfigMap>,
    name: String,
    /// `ConfigMap namespace/name`, for messages.
    place: String,
    patience: Patience,
    /// The uid of the ConfigMap that was read first.
    uid: OnceLock<String>,
    /// The last one that was read or written, and when.
    last: Mutex<Option<(ConfigMap, Instant)>>,
}

impl ConfigMapCursor {
    /// The cursor in `namespace/name`. Nothing is read yet.
    pub fn new(client: Client, namespace: &str, name: &str, patience: Patience) -> Self {
        let api = Api::namespaced(client, namespace);
        let place = format!("ConfigMap {namespace}/{name}");
        let shared =
            Shared { api, name: name.to_owned(), place, patience, uid: OnceLock::new(), last: Mutex::new(None) };
        Self { shared: Arc::new(shared) }
    }

    /// Where it is, for messages.
    pub fn place(&self) -> &str {
        &self.shared.place
    }

    /// The ConfigMap's uid; read once. `None`: there is no such ConfigMap.
    pub async fn uid(&self) -> Result<Option<String>, StateError> {
        if self.shared.uid.get().is_none() {
            self.read().await?;
        }
        Ok(self.shared.uid.get().cloned())
    }

    /// Writes a worker's progress, one line of JSON, beside the cursor. Meant to be left out when it fails: it is for
    /// people.
    pub async fn put_progress(&self, index: u32, text: &str) -> Result<(), StateError> {
        let key = format!("{PROGRESS_PREFIX}{index}");
        self.edit(|data| data.insert(key.clone(), text.to_owned()).as_deref() != Some(text)).await
    }

    /// Removes the progress of all workers.
    pub async fn clear_progress(&self) -> Result<(), StateError> {
        self.edit(|data| {
            let before = data.len();
            data.retain(|key, _| !key.starts_with(PROGRESS_PREFIX));
            data.len() != before
        })
        .await
    }

    /// Puts `cursor` in place of one that makes no sense, which is kept under [`content::ASIDE_KEY`].
    /// [`StateError::Conflict`] when it does make sense by now.
    pub async fn replace_nonsense(&self, cursor: &Cursor) -> Result<(), StateError> {
        let found = self.read().await?.ok_or_else(|| gone(&self.shared.place, "was deleted"))?;
        let data = found.data.clone().unwrap_or_default();
        if content::cursor(&data).is_ok() {
            return Err(StateError::Conflict);
        }
        let mut next = content::with_cursor(&data, cursor);
        if let Some(nonsense) = data.get(content::CURSOR_KEY) {
            next.insert(content::ASIDE_KEY.to_owned(), nonsense.clone());
        }
        match self.put(found, next).await {
            Ok(()) => Ok(()),
            Err(Failure::Moved) => Err(StateError::Conflict),
            Err(failure) => {
                Tries::new(&self.shared.patience, &self.shared.place).wait(failure).await.and(Err(StateError::Conflict))
            }
        }
    }

    /// Changes keys that are not the cursor's. `change` says whether it changed something.
    async fn edit(&self, change: impl Fn(&mut Data) -> bool) -> Result<(), StateError> {
        let shared = &*self.shared;
        let mut seen = self.last().as_ref().map(|(map, _)| map.clone());
        for _ in 0..PROGRESS_TRIES {
            let found = match seen.take() {
                Some(map) => map,
                None => self.read().await?.ok_or_else(|| gone(&shared.place, "was deleted"))?,
            };
            let mut data = found.data.clone().unwrap_or_default();
            if !change(&mut data) {
                return Ok(());
            }
            match self.put(found, data).await {
                Ok(_) => return Ok(()),
                Err(Failure::Moved) => {}
                Err(failure) => Tries::new(&shared.patience, &shared.place).wait(failure).await?,
            }
        }
        Ok(())
    }

    /// The ConfigMap as it stands; `None` when there never was one. Waits for an API server that cannot answer.
    async fn read(&self) -> Result<Option<ConfigMap>, StateError> {
        let shared = &*self.shared;
        let mut tries = Tries::new(&shared.patience, &shared.place);
        loop {
            match call(&shared.patience, shared.api.get(&shared.name)).await {
                Ok(map) => return self.note(map).map(Some),
                Err(Failure::Missing) if shared.uid.get().is_none() => return Ok(None),
                Err(failure) => {
                    *self.last() = None;
                    tries.wait(failure).await?;
                }
            }
        }
    }

    /// Remembers what was read, if it is still the ConfigMap that was read first.
    fn note(&self, map: ConfigMap) -> Result<ConfigMap, StateError> {
        let uid = map.metadata.uid.clone().unwrap_or_default();
        if *self.shared.uid.get_or_init(|| uid.clone()) != uid {
            *self.last() = None;
            return Err(gone(&self.shared.place, "was deleted and made again"));
        }
        *self.last() = Some((map.clone(), Instant::now()));
        Ok(map)
    }

    fn last(&self) -> MutexGuard<'_, Option<(ConfigMap, Instant)>> {
        self.shared.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One conditional write: the resourceVersion and uid in `found` are the condition.
    async fn put(&self, found: ConfigMap, data: Data) -> Result<(), Failure> {
        let shared = &*self.shared;
        let mut next = ConfigMap { data: Some(data), ..found };
        // Absent means unchanged: the server keeps its own book.
        next.metadata.managed_fields = None;
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let stored = call(&shared.patience, shared.api.replace(&shared.name, &params, &next)).await?;
        *self.last() = Some((stored, Instant::now()));
        Ok(())
    }

    /// Writes `cursor` if the stored one has the version `expected`.
    async fn write(&self, cursor: &Cursor, expected: Option<&Version>) -> Result<Version, StateError> {
        let shared = &*self.shared;
        let mut tries = Tries::new(&shared.patience, &shared.place);
        // What was read last saves a request. It only ever proves too old, which the write's condition shows.
        let mut seen = self.last().as_ref().map(|(map, _)| map.clone()).filter(|map| version(map).as_ref() == expected);
        // Whether a write of ours may have been carried out without our knowing.
        let mut in_doubt = false;
        loop {
            let found = match seen.take() {
                Some(map) => map,
                None => self.read().await?.ok_or_else(|| gone(&shared.place, "was deleted"))?,
            };
            let data = content::with_cursor(&found.data.clone().unwrap_or_default(), cursor);
            let target = content::version(&data).expect("a cursor was put in");
            let now = version(&found);
            if in_doubt && now.as_ref() == Some(&target) {
                return Ok(target);
            }
            if now.as_ref() != expected {
                return Err(StateError::Conflict);
            }
            match self.put(found, data).await {
                Ok(()) => return Ok(target),
                Err(failure) => {
                    in_doubt |= matches!(failure, Failure::Transient(_));
                    tries.wait(failure).await?;
                }
            }
        }
    }

    /// Waits until the cursor has another version than `known`, with a watch at a time, each from where the last
    /// reading left off.
    async fn until_changed(&self, known: Option<&Version>, deadline: Instant) -> Result<(), StateError> {
        let shared = &*self.shared;
        let mut seen = self.last().as_ref().map(|(map, _)| map.clone());
        let mut tries = Tries::new(&shared.patience, &shared.place);
        loop {
            let found = match seen.take() {
                Some(map) => Some(map),
                None => self.read().await?,
            };
            if found.as_ref().and_then(version).as_ref() != known {
                return Ok(());
            }
            let from = found.and_then(|map| map.metadata.resource_version).unwrap_or_else(|| "0".to_owned());
            match self.watch(known, from, deadline).await {
                Ok(true) => return Ok(()),
                // It ended: the next reading tells where things stand.
                Ok(false) => {}
                Err(failure) => tries.wait(failure).await?,
            }
        }
    }

    /// Watches from a resourceVersion until the cursor has another version: true. False when the watch ends or the
    /// ConfigMap goes.
    async fn watch(&self, known: Option<&Version>, from: String, deadline: Instant) -> Result<bool, Failure> {
        let shared = &*self.shared;
        let left = deadline.saturating_duration_since(Instant::now()).clamp(Duration::from_secs(1), WATCH_MAX);
        // The Role names one ConfigMap: the API server allows a watch only where the selector names it too.
        let params =
            WatchParams::default().fields(&format!("metadata.name={}", shared.name)).timeout(left.as_secs() as u32);
        let mut events = call(&shared.patience, shared.api.watch(&params, &from)).await?.boxed();
        while let Some(event) = events.next().await {
            match event? {
                WatchEvent::Added(map) | WatchEvent::Modified(map) => {
                    let version = version(&map);
                    if self.note(map).is_err() {
                        return Ok(false);
                    }
                    if version.as_ref() != known {
                        return Ok(true);
                    }
                }
                WatchEvent::Bookmark(_) => {}
                WatchEvent::Deleted(_) => return Ok(false),
                WatchEvent::Error(status) => return Err(kube::Error::Api(status).into()),
            }
        }
        Ok(false)
    }

    fn parse(&self, map: &ConfigMap) -> Result<Option<(Cursor, Version)>, StateError> {
        let none = Data::new();
        let data = map.data.as_ref().unwrap_or(&none);
        let cursor = content::cursor(data)
            .map_err(|reason| StateError::Nonsense { place: self.shared.place.clone(), reason })?;
        Ok(cursor.zip(content::version(data)))
    }
}

fn version(map: &ConfigMap) -> Option<Version> {
    map.data.as_ref().and_then(content::version)
}

#[async_trait]
impl CursorStore for ConfigMapCursor {
    async fn load(&self) -> Result<Option<(Cursor, Version)>, StateError> {
        match self.read().await? {
            Some(map) => self.parse(&map),
            None => Ok(None),
        }
    }

    async fn recent(&self) -> Result<Option<(Cursor, Version)>, StateError> {
        let recent = self.last().as_ref().filter(|(_, read)| read.elapsed() < RECENT).map(|(map, _)| map.clone());
        match recent {
            Some(map) => self.parse(&map),
            None => self.load().await,
        }
    }

    async fn create(&self, cursor: &Cursor) -> Result<Version, StateError> {
        self.write(cursor, None).await
    }

    async fn swap(&self, version: &Version, cursor: &Cursor) -> Result<Version, StateError> {
        self.write(cursor, Some(version)).await
    }

    async fn changed(&self, version: Option<&Version>, wait: Duration) -> Result<(), StateError> {
        let deadline = Instant::now() + wait;
        // The time out is the caller's to see: it looks again.
        tokio::time::timeout_at(deadline, self.until_changed(version, deadline)).await.unwrap_or(Ok(()))
    }
}

impl std::fmt::Debug for ConfigMapCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ConfigMapCursor({})", self.shared.place)
    }
}
