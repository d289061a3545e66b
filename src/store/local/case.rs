//! Whether names that differ only in case are one file here, found by looking, without writing.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Names looked at inside the directory. One with a letter decides; the bound keeps a directory of a million digits
/// cheap.
const NAMES_MAX: usize = 100;

/// Whether the directory folds case. What it holds decides; while it is empty, or not there yet, its own name and its
/// parents' do: case folding usually belongs to a whole filesystem.
pub(super) fn folds(directory: &Path) -> bool {
    let inside = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .take(NAMES_MAX)
        .flatten()
        .find_map(|entry| folds_name(&entry.path()));
    inside.or_else(|| directory.ancestors().find_map(folds_name)).unwrap_or(false)
}

/// Whether this name is found in another case too; `None` when it tells nothing.
fn folds_name(path: &Path) -> Option<bool> {
    let name = path.file_name()?.to_str()?;
    let swapped: String = name
        .chars()
        .map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
        .collect();
    if swapped == name {
        return None;
    }
    let here = fs::symlink_metadata(path).ok()?;
    let there = fs::symlink_metadata(path.with_file_name(swapped));
    Some(there.is_ok_and(|there| (there.dev(), there.ino()) == (here.dev(), here.ino())))
}
