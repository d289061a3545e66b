//! A cursor in a file, for runs without a cluster: replaced as a whole, under a lock, so that two processes cannot both
//! move it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use super::seal::StateKey;
use super::wire::{CURSOR_BYTES_MAX, cursor_from_json, cursor_to_json};
use super::{CursorStore, StateError, Version};
use crate::model::cursor::Cursor;
use crate::model::settings::SyncId;

/// How often a waiting worker looks: all workers of a file cursor are on one machine, so a look costs one small read.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A key's file has 65 bytes.
const KEY_BYTES_MAX: u64 = 128;

/// `<state-dir>/<namespace>/<name>.cursor.json`, with a lock file beside it.
#[derive(Clone, Debug)]
pub struct FileCursor {
    path: PathBuf,
}

impl FileCursor {
    /// The cursor of a sync in a state directory. Nothing is read or made yet.
    pub fn new(state_dir: &Path, sync: &SyncId) -> Self {
        Self { path: state_dir.join(&sync.namespace).join(format!("{}.cursor.json", sync.name)) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key of the sync's state, in a file beside the cursor that only its owner can read: made when it is first
    /// asked for, and once, whoever asks at the same time.
    pub fn state_key(&self) -> Result<StateKey, StateError> {
        let path = self.path.with_extension("state-key");
        let place = path.display().to_string();
        let cannot = |what: &str, error: io::Error| StateError::Unavailable {
            place: place.clone(),
            message: format!("the state key {what}: {error}; check the state directory"),
            source: Some(Box::new(error)),
        };
        let written = |error| cannot("cannot be written", error);
        if !path.exists() {
            let folder = path.parent().expect("the path has a folder and a name");
            fs::create_dir_all(folder).map_err(written)?;
            // Of mode 0600 from its first moment, and whole before it has its name.
            let mut fresh = tempfile::Builder::new().prefix(".state-key-").tempfile_in(folder).map_err(written)?;
            writeln!(fresh, "{}", StateKey::generate().text())
                .and_then(|()| fresh.as_file().sync_all())
                .map_err(written)?;
            match fresh.persist_noclobber(&path) {
                Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => return Err(written(error.error)),
                _ => File::open(folder).and_then(|folder| folder.sync_all()).map_err(written)?,
            }
        }
        let file = File::open(&path).map_err(|error| cannot("cannot be read", error))?;
        let mode = file.metadata().map_err(|error| cannot("cannot be read", error))?.permissions().mode();
        if mode & 0o077 != 0 {
            tracing::warn!(
                "others than its owner can read the state key {place} (mode {:o}): chmod 600 {place}",
                mode & 0o777
            );
        }
        let mut text = Vec::new();
        file.take(KEY_BYTES_MAX).read_to_end(&mut text).map_err(|error| cannot("cannot be read", error))?;
        let key = std::str::from_utf8(&text).ok().and_then(StateKey::parse);
        key.ok_or_else(|| StateError::BadKey { place, reason: "it is not 64 hexadecimal digits".to_owned() })
    }

    fn read(&self) -> Result<Option<Vec<u8>>, StateError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.unavailable("cannot be read", error)),
        };
        let mut text = Vec::new();
        file.take(CURSOR_BYTES_MAX as u64 + 1)
            .read_to_end(&mut text)
            .map_err(|error| self.unavailable("cannot be read", error))?;
        Ok(Some(text))
    }

    fn parse(&self, text: &[u8]) -> Result<Cursor, StateError> {
        cursor_from_json(text)
            .map_err(|error| StateError::Nonsense { place: self.path.display().to_string(), reason: error.to_string() })
    }

    /// Writes `cursor` if the stored content is `expected`.
    fn write(&self, cursor: &Cursor, expected: Option<&Version>) -> Result<Version, StateError> {
        let folder = self.path.parent().expect("the path has a folder and a name");
        let cannot = |error: io::Error| self.unavailable("cannot be written", error);
        fs::create_dir_all(folder).map_err(cannot)?;
        let lock = File::create(self.path.with_extension("lock")).map_err(cannot)?;
        // Held only while the file is replaced; freed when the process ends, however it ends.
        lock.lock().map_err(cannot)?;
        let found = self.read()?.map(|text| version(&text));
        if found.as_ref() != expected {
            return Err(StateError::Conflict);
        }
        let text = cursor_to_json(cursor).map_err(|error| StateError::Unavailable {
            place: self.path.display().to_string(),
            message: error.to_string(),
            source: None,
        })?;
        let fresh = self.path.with_extension("new");
        let replace = || -> io::Result<()> {
            let mut file = File::create(&fresh)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&fresh, &self.path)?;
            File::open(folder)?.sync_all()
        };
        replace().map_err(cannot)?;
        Ok(version(&text))
    }

    fn unavailable(&self, what: &str, error: io::Error) -> StateError {
        StateError::Unavailable {
            place: self.path.display().to_string(),
            message: format!("{what}: {error}; check the state directory"),
            source: Some(Box::new(error)),
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&FileCursor) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        let cursor = self.clone();
        tokio::task::spawn_blocking(move || work(&cursor)).await.expect("file work does not panic")
    }
}

/// A file's version is its content.
fn version(text: &[u8]) -> Version {
    Version(Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect())
}

#[async_trait]
impl CursorStore for FileCursor {
    async fn load(&self) -> Result<Option<(Cursor, Version)>, StateError> {
        self.blocking(|file| {
            let Some(text) = file.read()? else { return Ok(None) };
            Ok(Some((file.parse(&text)?, version(&text))))
        })
        .await
    }

    async fn create(&self, cursor: &Cursor) -> Result<Version, StateError> {
        let cursor = cursor.clone();
        self.blocking(move |file| file.write(&cursor, None)).await
    }

    async fn swap(&self, version: &Version, cursor: &Cursor) -> Result<Version, StateError> {
        let (version, cursor) = (version.clone(), cursor.clone());
        self.blocking(move |file| file.write(&cursor, Some(&version))).await
    }

    async fn changed(&self, known: Option<&Version>, wait: Duration) -> Result<(), StateError> {
        let deadline = tokio::time::Instant::now() + wait;
        while tokio::time::Instant::now() < deadline {
            let now = self.blocking(|file| Ok(file.read()?.map(|text| version(&text)))).await?;
            if now.as_ref() != known {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(epoch: u64) -> Cursor {
        Cursor::empty("abc".into(), epoch, "x-y".into())
    }

    #[tokio::test]
    async fn only_one_of_two_swaps_of_the_same_version_wins() {
        let folder = tempfile::tempdir().unwrap();
        let id = SyncId { namespace: "default".into(), name: "orders".into() };
        let store = FileCursor::new(folder.path(), &id);
        assert!(store.load().await.unwrap().is_none());
        let first = store.create(&cursor(0)).await.unwrap();
        assert!(store.create(&cursor(9)).await.unwrap_err().is_conflict());
        let second = store.swap(&first, &cursor(1)).await.unwrap();
        assert!(store.swap(&first, &cursor(7)).await.unwrap_err().is_conflict());
        assert_eq!(store.load().await.unwrap().unwrap(), (cursor(1), second));
    }

    #[test]
    fn a_state_key_is_made_once_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let id = SyncId { namespace: "default".into(), name: "orders".into() };
        let store = FileCursor::new(folder.path(), &id);
        let keys: Vec<StateKey> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8).map(|_| scope.spawn(|| store.state_key().unwrap())).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]), "one of them is everybody's");
        let path = folder.path().join("default/orders.cursor.state-key");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap(), keys[0].text() + "\n");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing else is left");
        for text in ["", "00", "nonsense", &"0".repeat(200)] {
            fs::write(&path, text).unwrap();
            let error = store.state_key().unwrap_err().to_string();
            assert!(
                error.contains("orders.cursor.state-key makes no sense") && error.contains("delete it and run again"),
                "{error}"
            );
        }
        fs::remove_file(&path).unwrap();
        assert_ne!(store.state_key().unwrap(), keys[0]);
    }

    #[tokio::test]
    async fn nonsense_is_an_error_and_not_an_empty_cursor() {
        let folder = tempfile::tempdir().unwrap();
        let id = SyncId { namespace: "default".into(), name: "orders".into() };
        let store = FileCursor::new(folder.path(), &id);
        store.create(&cursor(0)).await.unwrap();
        for text in ["", "{", "{}", "[]"] {
            fs::write(store.path(), text).unwrap();
            assert!(store.load().await.unwrap_err().is_nonsense(), "{text:?}");
        }
        let newer = serde_json::to_string(&Cursor { version: 9, ..cursor(0) }).unwrap();
        fs::write(store.path(), newer).unwrap();
        assert!(store.load().await.unwrap_err().to_string().contains("it has version 9, this build reads 2"));
    }
}
