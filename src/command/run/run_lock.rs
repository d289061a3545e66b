//! One run of a sync on a machine: a lock beside the cursor, freed when the process ends, however it ends. Machines
//! that share nothing are kept apart by the claim in the destination.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use crate::command::syncs::{CursorLocation, Sync};
use crate::model::settings::SyncId;
use crate::pipeline::error::{RunError, RunErrorKind};

/// The lock of one sync's cursor.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunLock {
    /// Takes the lock of a sync whose cursor is a file. A cluster has its own ways: one Job at a time, and
    /// compare-and-swap.
    pub fn of(sync: &Sync) -> Result<Option<RunLock>, RunError> {
        match &sync.cursor {
            CursorLocation::File(cursor) => RunLock::take(&sync.loaded.id, cursor.path()).map(Some),
            CursorLocation::ConfigMap { .. } => Ok(None),
        }
    }

    /// Takes the lock of the cursor at `cursor`, or says that another process has it.
    pub fn take(sync: &SyncId, cursor: &Path) -> Result<RunLock, RunError> {
        let path = cursor.with_extension("run-lock");
        let failed = |error: std::io::Error| {
            let message = format!("{sync}: {} cannot be locked: {error}; check the state directory", path.display());
            RunError::because(RunErrorKind::Failed, message, error)
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let file = File::create(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(RunLock { _file: file }),
            Err(TryLockError::Error(error)) => Err(failed(error)),
            Err(TryLockError::WouldBlock) => Err(RunError::new(
                RunErrorKind::Interrupted,
                format!(
                    "{sync}: another process on this machine is at it (it holds {}); try again when that has ended",
                    path.display()
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_until_the_first_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let cursor = folder.path().join("default/orders.cursor.json");
        let sync = SyncId { namespace: "default".into(), name: "orders".into() };
        let first = RunLock::take(&sync, &cursor).unwrap();
        let refused = RunLock::take(&sync, &cursor).unwrap_err();
        assert_eq!(refused.kind, RunErrorKind::Interrupted);
        assert!(refused.message.starts_with("default/orders: another process"), "{refused}");
        drop(first);
        RunLock::take(&sync, &cursor).unwrap();
    }
}
