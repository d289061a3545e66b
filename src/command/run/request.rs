//! What `run` is asked for, kept in a file beside the cursor until it is complete: whoever gives the same command again
//! after it was killed goes on with the same request, which reads nothing twice.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::options;
use crate::command::run::resources::unique;
use crate::command::run::run_lock::RunLock;
use crate::command::syncs::{CursorLocation, Sync};
use crate::model::cursor::Cursor;
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
    /// What was asked for before, not completed, and is given up: it has read nothing that would be read again.
    pub given_up: Option<Asked>,
}

impl Kept {
    /// The request of a sync whose cursor is a file: the one that was begun with the same words, or a new one. Nothing
    /// is written yet.
    ///
    /// # Errors What these settings do not allow, and another request where one to read once more is not complete: in
    /// its place, it would be begun anew one day, and write again what it has written.
    pub async fn find(sync: &Sync, asked: &Asked) -> Result<Kept, RunError> {
        let id = &sync.loaded.id;
        asked
            .check(sync.settings())
            .map_err(|reason| RunError::new(RunErrorKind::InvalidSpec, format!("{id}: {reason}")))?;
        match &sync.cursor {
            CursorLocation::File(file) => {
                let cursor = sync.load().await?.map(|(cursor, _)| cursor);
                Kept::at(id, file.path(), cursor.as_ref(), asked)
            }
            CursorLocation::ConfigMap { cursor, .. } => {
                let message = format!("{id}: what is asked of {} is its S3SyncRuns' alone", cursor.place());
                Err(RunError::new(RunErrorKind::Failed, message))
            }
        }
    }

    fn at(sync: &SyncId, file: &Path, cursor: Option<&Cursor>, asked: &Asked) -> Result<Kept, RunError> {
        let path = file.with_extension("request");
        let kept = |request, given_up| Kept { path: path.clone(), sync: sync.clone(), request, given_up };
        let fresh = || Request { id: unique(), asked: asked.clone() };
        let Some(begun) = begun(sync, &path)? else { return Ok(kept(fresh(), None)) };
        if begun.asked == *asked {
            return Ok(kept(begun, None));
        }
        // What the cursor does not know has no plan yet, and so has read nothing.
        match cursor.and_then(|cursor| cursor.request.as_ref()).filter(|mark| mark.id == begun.id) {
            Some(mark) if mark.ended => Ok(kept(fresh(), None)),
            Some(_) if begun.asked.reread => {
                let (options, place) = (options(&begun.asked), path.display());
                let message = format!(
                    "{sync}: an earlier run with {options} is not complete: finish it with these options first, or remove {place} to give it up, \
                     where what it has read once more stays"
                );
                Err(RunError::new(RunErrorKind::InvalidSpec, message))
            }
            _ => Ok(kept(fresh(), Some(begun.asked))),
        }
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

    /// It is complete, and whoever ran it will hear so. `_lock`: the sync's, under which it was run; without, what goes
    /// could be the request that another process has begun since.
    pub fn done(&self, _lock: &RunLock) -> Result<(), RunError> {
        if begun(&self.sync, &self.path)?.is_none_or(|begun| begun.id != self.request.id) {
            return Ok(());
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.failed("removed", error)),
            _ => Ok(()),
        }
    }

    fn failed(&self, what: &str, error: io::Error) -> RunError {
        let message =
            format!("{}: {} cannot be {what}: {error}; check the state directory", self.sync, self.path.display());
        RunError::because(RunErrorKind::Failed, message, error)
    }
}

/// What was begun and is not done.
fn begun(sync: &SyncId, path: &Path) -> Result<Option<Request>, RunError> {
    read(path).map_err(|reason| {
        let place = path.display();
        let message = format!(
            "{sync}: what an earlier run was asked for cannot be read from {place}: {reason}; where that run need not go on, remove the file"
        );
        RunError::new(RunErrorKind::Failed, message)
    })
}

/// What stands in the file; `None` where there is none.
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
    use crate::model::request::{RequestMark, Window};

    fn from(key: &str, reread: bool) -> Asked {
        Asked { window: Window { from_key: Some(key.into()), ..Window::default() }, reread }
    }

    /// A sync and its cursor's file.
    fn place() -> (tempfile::TempDir, SyncId, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("default/orders.cursor.json");
        (folder, SyncId { namespace: "default".into(), name: "orders".into() }, file)
    }

    #[test]
    fn the_same_words_are_the_same_request_until_it_is_done() {
        let (folder, sync, file) = place();
        let lock = RunLock::take(&sync, &file).unwrap();
        let find = |key| Kept::at(&sync, &file, None, &from(key, true));
        let first = find("a").unwrap();
        assert_ne!(find("a").unwrap().request.id, first.request.id, "nothing was begun");
        first.keep().unwrap();
        let again = find("a").unwrap();
        assert_eq!((&again.request, &again.given_up), (&first.request, &None));
        let other = find("b").unwrap();
        assert_eq!(other.given_up, Some(from("a", true)));
        assert_ne!(other.request.id, first.request.id);
        again.done(&lock).unwrap();
        again.done(&lock).unwrap();
        assert_ne!(find("a").unwrap().request.id, first.request.id, "it is done");
        fs::write(folder.path().join("default/orders.cursor.request"), "{").unwrap();
        let refused = find("a").unwrap_err().to_string();
        assert!(refused.contains("orders.cursor.request") && refused.contains("remove the file"), "{refused}");
    }

    #[test]
    fn what_is_done_is_its_own_request_alone() {
        let (_folder, sync, file) = place();
        let lock = RunLock::take(&sync, &file).unwrap();
        let first = Kept::at(&sync, &file, None, &from("a", true)).unwrap();
        first.keep().unwrap();
        let second = Kept::at(&sync, &file, None, &from("b", true)).unwrap();
        second.keep().unwrap();
        first.done(&lock).unwrap();
        assert_eq!(
            Kept::at(&sync, &file, None, &from("b", true)).unwrap().request,
            second.request,
            "it is not complete"
        );
        second.done(&lock).unwrap();
        assert_ne!(Kept::at(&sync, &file, None, &from("b", true)).unwrap().request, second.request);
    }

    /// By whether it reads once more, and what the cursor says of it: whether another request is refused, or gives it
    /// up.
    #[test]
    fn another_request_waits_for_what_was_read_once_more() {
        for (reread, ended, refuses, gives_up) in [
            (true, None, false, true),
            (true, Some(false), true, false),
            (true, Some(true), false, false),
            (false, None, false, true),
            (false, Some(false), false, true),
            (false, Some(true), false, false),
        ] {
            let (_folder, sync, file) = place();
            let first = Kept::at(&sync, &file, None, &from("it's", reread)).unwrap();
            first.keep().unwrap();
            let mark = ended.map(|ended| RequestMark { id: first.request.id.clone(), since: 1, ended, ended_at: None });
            let cursor = Cursor { request: mark, ..Cursor::empty("abc".into(), 2, "x-y".into()) };
            let find = |asked: &Asked| Kept::at(&sync, &file, Some(&cursor), asked);
            assert_eq!(find(&from("it's", reread)).unwrap().request, first.request);
            for other in [from("b", true), from("b", false), from("it's", !reread)] {
                let found = find(&other);
                if refuses {
                    let refused = found.unwrap_err();
                    assert_eq!(refused.kind, RunErrorKind::InvalidSpec);
                    let expected = "default/orders: an earlier run with --reread --from-key 'it'\\''s' is not complete: finish it with these options";
                    assert!(refused.message.starts_with(expected), "{refused}");
                    assert!(refused.message.contains("orders.cursor.request to give it up"), "{refused}");
                } else {
                    assert_eq!(found.unwrap().given_up.is_some(), gives_up, "{reread} {ended:?}");
                }
            }
        }
    }
}
