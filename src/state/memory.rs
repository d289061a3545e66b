//! A cursor in memory, shared by the workers of a test. Faults of a simulated process apply to its calls.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::{CursorStore, StateError, Version, wire};
use crate::model::cursor::Cursor;
use crate::store::faulty::{Crashed, Fault, Faults};

/// The stored cursor. Clones share it.
#[derive(Clone, Default)]
pub struct MemoryCursor {
    shared: Arc<Shared>,
    faults: Option<Arc<Faults>>,
}

#[derive(Default)]
struct Shared {
    /// The serialised cursor and its version number.
    stored: Mutex<Option<(Vec<u8>, u64)>>,
    changed: Notify,
}

impl MemoryCursor {
    /// The same cursor as a process with `faults` reaches it.
    pub fn with_faults(&self, faults: Arc<Faults>) -> Self {
        Self { shared: Arc::clone(&self.shared), faults: Some(faults) }
    }

    fn write(&self, op: &str, cursor: &Cursor, expected: Option<&Version>) -> Result<Version, StateError> {
        let fault = self.faults.as_ref().map_or(Fault::None, |faults| faults.next(op, "cursor"));
        match fault {
            Fault::Before(_) => return Err(unavailable(None)),
            Fault::CrashBefore => return Err(self.crash()),
            _ => {}
        }
        let text = wire::cursor_to_json(cursor).map_err(|error| unavailable(Some(Box::new(error))))?;
        let version = {
            let mut stored = self.shared.stored.lock().unwrap_or_else(PoisonError::into_inner);
            let found = stored.as_ref().map(|(_, version)| Version(version.to_string()));
            if found.as_ref() != expected {
                return Err(StateError::Conflict);
            }
            let version = stored.as_ref().map_or(0, |(_, version)| version + 1);
            *stored = Some((text, version));
            Version(version.to_string())
        };
        self.shared.changed.notify_waiters();
        match fault {
            Fault::After(_) => Err(unavailable(None)),
            Fault::CrashAfter => Err(self.crash()),
            _ => Ok(version),
        }
    }

    fn crash(&self) -> StateError {
        if let Some(faults) = &self.faults {
            faults.crash();
        }
        unavailable(Some(Box::new(Crashed)))
    }
}

fn unavailable(source: Option<Box<dyn std::error::Error + Send + Sync>>) -> StateError {
    StateError::Unavailable { place: "in memory".into(), message: "it could not be reached; run again".into(), source }
}

#[async_trait]
impl CursorStore for MemoryCursor {
    async fn load(&self) -> Result<Option<(Cursor, Version)>, StateError> {
        match self.faults.as_ref().map_or(Fault::None, |faults| faults.next("load", "cursor")) {
            Fault::CrashBefore | Fault::CrashAfter => return Err(self.crash()),
            Fault::Before(_) | Fault::After(_) => return Err(unavailable(None)),
            _ => {}
        }
        let stored = self.shared.stored.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((text, version)) = stored else { return Ok(None) };
        let cursor = wire::cursor_from_json(&text)
            .map_err(|error| StateError::Nonsense { place: "in memory".into(), reason: error.to_string() })?;
        Ok(Some((cursor, Version(version.to_string()))))
    }

    async fn create(&self, cursor: &Cursor) -> Result<Version, StateError> {
        self.write("create", cursor, None)
    }

    async fn swap(&self, version: &Version, cursor: &Cursor) -> Result<Version, StateError> {
        self.write("swap", cursor, Some(version))
    }

    async fn changed(&self, version: Option<&Version>, wait: Duration) -> Result<(), StateError> {
        let changed = self.shared.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let now = self
            .shared
            .stored
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .map(|(_, version)| Version(version.to_string()));
        if now.as_ref() == version {
            // The time out is the caller's to see: it looks again.
            let _ = tokio::time::timeout(wait, changed).await;
        }
        Ok(())
    }
}
