//! Walks a directory tree in the order in which S3 lists keys.
//!
//! Entries of one directory are sorted with `/` behind the names of directories, because that is what follows in their
//! keys: `a.csv` comes before everything under `a/`. Only the entries of the directories between the root and the
//! current one are in memory.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Failure, STAGING, etag, last_modified, path};
use crate::model::object::Object;
use crate::store::ErrorKind;

/// A listing under way.
pub(super) struct Walk {
    root: PathBuf,
    prefix: String,
    start_after: Option<String>,
    /// From the start directory down to the current one.
    levels: Vec<Level>,
}

struct Level {
    /// Key text of the directory: empty, or ending in `/`.
    key: String,
    /// Its device and inode: a link back to a directory that we are in would never end.
    id: (u64, u64),
    /// What is left of it, in descending order, so that the next one is popped. Directories end in `/`.
    names: Vec<String>,
}

impl Walk {
    /// Begins a listing. A bucket that is not there is an error; a prefix under which nothing can lie is an empty
    /// listing.
    pub(super) fn begin(root: &Path, prefix: &str, start_after: Option<&str>) -> Result<Self, Failure> {
        if !fs::metadata(root)?.is_dir() {
            return Err(io::Error::from(io::ErrorKind::NotADirectory).into());
        }
        let mut walk = Self {
            root: root.to_owned(),
            prefix: prefix.to_owned(),
            start_after: start_after.map(str::to_owned),
            levels: Vec::new(),
        };
        if let Some((key, directory)) = path::of_prefix(root, prefix) {
            walk.enter(key, &directory)?;
        }
        Ok(walk)
    }

    /// The next objects, at most `max` of them; empty at the end.
    pub(super) fn page(&mut self, max: usize) -> Result<Vec<Object>, Failure> {
        let mut page = Vec::new();
        while page.len() < max {
            let Some(level) = self.levels.last_mut() else { break };
            let Some(name) = level.names.pop() else {
                self.levels.pop();
                continue;
            };
            let key = format!("{}{name}", level.key);
            let path = self.root.join(&key);
            if key.ends_with('/') {
                self.enter(key, &path)?;
            } else if let Some(metadata) = present(fs::metadata(&path))?.filter(fs::Metadata::is_file) {
                page.push(Object {
                    key,
                    etag: etag(&metadata),
                    size: metadata.len(),
                    last_modified: last_modified(&metadata),
                    archived: false,
                });
            }
        }
        Ok(page)
    }

    /// Goes down into a directory; one that is gone is passed by, as an object that was deleted under a listing is.
    fn enter(&mut self, key: String, directory: &Path) -> Result<(), Failure> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::PermissionDenied => Failure::found(
                ErrorKind::Denied,
                format!("permission denied to list {}: check the owner and mode of the directory", directory.display()),
            ),
            _ => Failure::Io(error),
        };
        let Some(metadata) = present(fs::metadata(directory)).map_err(failed)? else { return Ok(()) };
        let id = (metadata.dev(), metadata.ino());
        if !metadata.is_dir() || self.levels.iter().any(|level| level.id == id) {
            return Ok(());
        }
        let Some(entries) = present(fs::read_dir(directory)).map_err(failed)? else { return Ok(()) };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            if let Some(name) = self.name(&key, &entry)? {
                names.push(name);
            }
        }
        names.sort_unstable_by(|a, b| b.cmp(a));
        self.levels.push(Level { key, id, names });
        Ok(())
    }

    /// An entry's name, with `/` behind a directory's; `None` when the listing does not want it.
    fn name(&self, directory: &str, entry: &fs::DirEntry) -> Result<Option<String>, Failure> {
        let name = entry.file_name();
        if directory.is_empty() && name == STAGING {
            return Ok(None);
        }
        let asked = self.prefix.as_bytes().strip_prefix(directory.as_bytes()).unwrap_or_default();
        if !name.as_bytes().starts_with(asked) {
            return Ok(None);
        }
        let kind = entry.file_type()?;
        let kind = if kind.is_symlink() {
            // A link counts as what it leads to; one that leads nowhere, or to itself, is no object.
            match present(fs::metadata(entry.path())) {
                Ok(Some(metadata)) => metadata.file_type(),
                Ok(None) => return Ok(None),
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        } else {
            kind
        };
        if !kind.is_dir() && !kind.is_file() {
            return Ok(None);
        }
        let Some(name) = name.to_str() else {
            let message = format!("the name of {} is not UTF-8, as a key must be: rename it", entry.path().display());
            return Err(Failure::found(ErrorKind::Other, message));
        };
        let name = if kind.is_dir() { format!("{name}/") } else { name.to_owned() };
        Ok(self.wants(&format!("{directory}{name}")).then_some(name))
    }

    /// Whether a key, or anything under a directory's key, belongs to the listing.
    fn wants(&self, key: &str) -> bool {
        let is_directory = key.ends_with('/');
        let ahead = match self.start_after.as_deref() {
            None => true,
            Some(after) if is_directory => key > after || after.starts_with(key),
            Some(after) => key > after,
        };
        key.starts_with(&self.prefix) && ahead
    }
}

/// `None` for what is not there (any more).
fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}
