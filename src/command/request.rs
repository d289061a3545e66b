//! What `run` is asked for, kept in a file beside the cursor until it is complete: whoever gives the same command again after it was
//! killed goes on with the same request, which reads nothing twice.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::machine::unique;
use super::syncs::{Place, Sync};
use crate::model::request::{Asked, Request};
use crate::model::settings::SyncId;
use crate::pipeline::error::{RunError, RunErrorKind};

/// The format that this build writes.
const VERSION: u32 = 1;

/// A request is two keys of at most 1,024 bytes and two times, escaped; more is not one of ours.
const BYTES_MAX: u64 = 64 << 10;

/// As it stands in the file.
#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    #[serde(flatten)]
    request: Request,
}

/// A request and its file.
#[derive(Debug)]
pub struct Kept {
    path: PathBuf,
    sync: SyncId,
    /// The request.
    pub request: Request,
    /// What was asked for before, not completed, and is given up.
    pub given_up: Option<Asked>,
}

impl Kept {
    /// The request of a sync whose cursor is a file: the one that was begun with the same words, or a new one. Nothing is written yet.
    pub fn find(sync: &Sync, asked: &Asked) -> Result<Kept, RunError> {
        let id = &sync.loaded.id;
        asked.check(sync.settings()).map_err(|reason| RunError::new(RunErrorKind::InvalidSpec, format!("{id}: {reason}")))?;
        match &sync.cursor {
            Place::File(cursor) => Kept::at(id, cursor.path(), asked),
            Place::ConfigMap { cursor, .. } => {
                let message = format!("{id}: what is asked of {} is its S3SyncRuns' alone", cursor.place());
                Err(RunError::new(RunErrorKind::Failed, message))
            }
        }
    }

    fn at(sync: &SyncId, cursor: &Path, asked: &Asked) -> Result<Kept, RunError> {
        let path = cursor.with_extension("request");
        let begun = read(&path).map_err(|reason| {
            let place = path.display();
            let message = format!(
                "{sync}: what an earlier run was asked for cannot be read from {place}: {reason}; where that run need not \
                                   go on, remove the file"
            );
            RunError::new(RunErrorKind::Failed, message)
        })?;
        let (same, given_up) = match begun {
            Some(begun) if begun.asked == *asked => (Some(begun), None),
            Some(begun) => (None, Some(begun.asked)),
            None => (None, None),
        };
        let request = same.unwrap_or_else(|| Request { id: unique(), asked: asked.clone() });
        Ok(Kept { path, sync: sync.clone(), request, given_up })
    }

    /// Writes it down, before anything is read under its id.
    pub fn keep(&self) -> Result<(), RunError> {
        let written = Written { version: VERSION, request: self.request.clone() };
        let text = serde_json::to_string_pretty(&written).expect("plain strings serialise") + "\n";
        let fresh = self.path.with_extension("request-new");
        let folder = self.path.parent().expect("the path has a folder and a name");
        let write = || -> io::Result<()> {
            fs::create_dir_all(folder)?;
            let mut file = File::create(&fresh)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&fresh, &self.path)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(|error| self.failed("written", error))
    }

    /// It is complete, and whoever ran it will hear so.
    pub fn done(&self) -> Result<(), RunError> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.failed("removed", error)),
            _ => Ok(()),
        }
    }

    fn failed(&self, what: &str, error: io::Error) -> RunError {
        let message = format!("{}: {} cannot be {what}: {error}; check the state directory", self.sync, self.path.display());
        RunError::because(RunErrorKind::Failed, message, error)
    }
}

/// What was begun; `None` where nothing is.
fn read(path: &Path) -> Result<Option<Request>, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let mut text = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut text).map_err(|error| error.to_string())?;
    let written: Written = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    if written.version != VERSION {
        return Err(format!("it has version {}, this build reads {VERSION}", written.version));
    }
    Ok(Some(written.request))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::request::Window;

    #[test]
    fn the_same_words_are_the_same_request_until_it_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let cursor = folder.path().join("default/orders.cursor.json");
        let sync = SyncId { namespace: "default".into(), name: "orders".into() };
        let from = |key: &str| Asked { window: Window { from_key: Some(key.into()), ..Window::default() }, reread: true };
        let first = Kept::at(&sync, &cursor, &from("a")).unwrap();
        assert_ne!(Kept::at(&sync, &cursor, &from("a")).unwrap().request.id, first.request.id, "nothing was begun");
        first.keep().unwrap();
        let again = Kept::at(&sync, &cursor, &from("a")).unwrap();
        assert_eq!((&again.request, &again.given_up), (&first.request, &None));
        let other = Kept::at(&sync, &cursor, &from("b")).unwrap();
        assert_eq!(other.given_up, Some(from("a")));
        assert_ne!(other.request.id, first.request.id);
        again.done().unwrap();
        again.done().unwrap();
        assert_ne!(Kept::at(&sync, &cursor, &from("a")).unwrap().request.id, first.request.id, "it is done");
        fs::write(folder.path().join("default/orders.cursor.request"), "{").unwrap();
        let refused = Kept::at(&sync, &cursor, &from("a")).unwrap_err().to_string();
        assert!(refused.contains("orders.cursor.request") && refused.contains("remove the file"), "{refused}");
    }
}
