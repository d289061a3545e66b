//! Making files appear and disappear, on disk before the call returns.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{Bucket, Failure, STAGING, etag, path};
use crate::model::object::Etag;
use crate::store::ErrorKind;

/// Directories come and go under us: another process removes them while they are empty. Each retry needs another
/// process to win the same race again.
const RACES_MAX: u32 = 100;

/// What must stand at a key for a write to go on.
pub(super) enum Expected {
    Anything,
    Nothing,
    Version(Etag),
}

impl Bucket {
    /// Makes the file at `staged` the object `key`, by a rename, and syncs the directories. The file's bytes must be on
    /// disk. An error of kind `NotFound` means that `staged` is gone.
    pub(super) fn place(&self, staged: &Path, key: &str, expected: &Expected) -> Result<(), Failure> {
        let path = path::of_key(&self.root, key)?;
        let lock = self.lock()?;
        if let Expected::Version(wanted) = expected {
            let standing = self.metadata(key).ok().map(|metadata| etag(&metadata));
            if standing.as_ref() != Some(wanted) {
                return Err(precondition());
            }
        }
        let still_staged = || staged.exists();
        let created = again_while_directories_vanish(still_staged, || {
            let created = create_parents(&path)?;
            match expected {
                Expected::Nothing => rename_new(staged, &path)?,
                Expected::Anything | Expected::Version(_) => fs::rename(staged, &path)?,
            }
            Ok(created)
        });
        let created = match created {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_file() => return Err(precondition()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
                return Err(io::Error::from(io::ErrorKind::IsADirectory).into());
            }
            // The parent's name is taken by a file.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(io::Error::from(io::ErrorKind::NotADirectory).into());
            }
            other => other?,
        };
        drop(lock);
        sync_directories(&path, created.as_deref())?;
        Ok(())
    }

    /// Removes a file, and the directories above it that this leaves empty: S3 has none either.
    pub(super) fn remove(&self, key: &str, pin: Option<&Etag>) -> Result<(), Failure> {
        let path = path::of_key(&self.root, key)?;
        let lock = match self.lock() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let metadata = match self.metadata(key) {
            Err(Failure::Found(ErrorKind::NotFound, _)) => return Ok(()),
            Err(Failure::Io(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        if pin.is_some_and(|pin| *pin != etag(&metadata)) {
            return Err(precondition());
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
        drop(lock);
        for directory in path.ancestors().skip(1).take_while(|directory| *directory != self.root) {
            match fs::remove_dir(directory) {
                Ok(()) => {}
                Err(_) => {
                    // Not empty, or somebody else's: what counts is that the removal before is on disk.
                    return match sync_directory(directory) {
                        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                        other => Ok(other?),
                    };
                }
            }
        }
        Ok(sync_directory(&self.root)?)
    }

    /// Works in the staging directory, which is created when it is not there.
    pub(super) fn in_staging<T>(&self, work: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
        let staging = self.root.join(STAGING);
        let bucket_may_be_there = || self.creates || self.root.exists();
        again_while_directories_vanish(bucket_may_be_there, || {
            if self.creates {
                create_directories(&staging)?;
            } else if let Err(error) = fs::create_dir(&staging)
                && error.kind() != io::ErrorKind::AlreadyExists
            {
                return Err(error);
            }
            work(&staging)
        })
    }

    /// Removes the staging directory once nothing is staged any more.
    pub(super) fn leave_staging(&self) {
        // Fails while anything is in it, which is the common case and no error.
        let _ = fs::remove_dir(self.root.join(STAGING));
    }
}

fn precondition() -> Failure {
    Failure::found(ErrorKind::Precondition, "another version stands there")
}

/// Does the work again while it fails because something is not there and `worthwhile` holds.
fn again_while_directories_vanish<T>(worthwhile: impl Fn() -> bool, work: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let mut races = 0;
    loop {
        match work() {
            Err(error) if error.kind() == io::ErrorKind::NotFound && races < RACES_MAX && worthwhile() => races += 1,
            other => return other,
        }
    }
}

/// Renames without replacing. Where the filesystem cannot, a hard link and the removal of the first name do the same in
/// two steps.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        other => Ok(other?),
    }
}

/// Creates the directories above a file; gives the highest one that was missing.
fn create_parents(path: &Path) -> io::Result<Option<PathBuf>> {
    let Some(parent) = path.parent() else { return Ok(None) };
    let highest = parent.ancestors().take_while(|directory| !directory.exists()).last().map(Path::to_owned);
    if highest.is_some() {
        create_directories(parent)?;
    }
    Ok(highest)
}

/// Creates a directory and those above it. One that others remove between its being found and its being looked at,
/// which the standard library reports as `AlreadyExists`, went missing: the caller tries again.
fn create_directories(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists if !directory.ancestors().any(Path::is_file) => io::ErrorKind::NotFound.into(),
        _ => error,
    })
}

/// Syncs the directory that holds `path`, and those above it up to the one that holds the highest created directory.
fn sync_directories(path: &Path, created: Option<&Path>) -> io::Result<()> {
    let top = created.unwrap_or(path).parent();
    for directory in path.ancestors().skip(1) {
        match sync_directory(directory) {
            // The file was deleted again and its directories went with it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
        if Some(directory) == top {
            break;
        }
    }
    Ok(())
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    // A relative path of one segment has the empty path as its parent.
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    File::open(directory)?.sync_all()
}
