//! Where a run spills: a directory of its own that goes when the run goes, however it goes.
//!
//! A live process holds a lock on the file `alive` in its directory. A directory whose lock is free belongs to a
//! process that died; the next run removes it. Process ids would not do: they are used again, and mean nothing across
//! containers.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// What the directories' names begin with.
const PREFIX: &str = "s3sync-";

/// The locked file inside.
const ALIVE: &str = "alive";

/// A run's scratch directory. Dropping it removes it.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    _alive: File,
}

impl Scratch {
    /// Makes a directory in `parent`, which is made when it is not there, under the name `unique`. What dead processes
    /// left there is removed first.
    pub fn create(parent: &Path, unique: &str) -> io::Result<Scratch> {
        fs::create_dir_all(parent)?;
        remove_stale(parent)?;
        let path = parent.join(format!("{PREFIX}{unique}"));
        fs::create_dir(&path)?;
        // Locked before it has the name that others look for: nobody sees it unlocked while we live.
        let new = path.join("new");
        let alive = File::create(&new)?;
        alive.lock()?;
        fs::rename(&new, path.join(ALIVE))?;
        Ok(Scratch { path, _alive: alive })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), "the scratch directory cannot be removed: {error}");
        }
    }
}

fn remove_stale(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let path = entry?.path();
        let ours = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(PREFIX));
        // A directory without the file is being made at this moment, or is another's (in a shared /tmp): both are left
        // alone.
        if ours
            && let Ok(alive) = File::open(path.join(ALIVE))
            && alive.try_lock().is_ok()
        {
            tracing::debug!(path = %path.display(), "removing what a dead process left");
            // Another run may be removing it too.
            let _ = fs::remove_dir_all(&path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(parent: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn it_goes_with_its_run_and_takes_the_dead_with_it() {
        let parent = tempfile::tempdir().unwrap();
        let parent = parent.path().join("scratch");
        let dead = Scratch::create(&parent, "dead").unwrap();
        fs::write(dead.path().join("spill"), "x").unwrap();
        // A process that is killed gives its lock back and removes nothing.
        dead._alive.unlock().unwrap();
        fs::create_dir(parent.join("s3sync-being-made")).unwrap();
        fs::create_dir(parent.join("other")).unwrap();

        let first = Scratch::create(&parent, "first").unwrap();
        let second = Scratch::create(&parent, "second").unwrap();
        assert_eq!(names(&parent), ["other", "s3sync-being-made", "s3sync-first", "s3sync-second"]);
        drop(first);
        assert_eq!(names(&parent), ["other", "s3sync-being-made", "s3sync-second"]);
        drop(second);
        std::mem::forget(dead);
    }
}
