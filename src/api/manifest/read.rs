//! Which files are read.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::{ManifestError, ManifestErrorKind, Text};

/// A manifest is far smaller; a data file that was named by mistake is not taken into memory.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Directories within directories: a deployment repository has a few, a link that leads back to itself has no end.
const DEPTH_MAX: usize = 32;

/// The texts of all files in the order given, directories sorted by name, and the errors of those that could not be
/// read.
pub(super) fn texts(files: &[PathBuf]) -> (Vec<Text>, Vec<ManifestError>) {
    let mut texts = Vec::new();
    let mut errors = Vec::new();
    for file in files {
        if file == Path::new("-") {
            match read(std::io::stdin().lock()) {
                Ok(text) => {
                    texts.push(Text { file: "-".to_owned(), folder: current_directory(), text, maybe_data: false })
                }
                Err(message) => errors.push(error(file, message)),
            }
            continue;
        }
        let mut found = Vec::new();
        if let Err((path, message)) = collect(file, 0, &mut found) {
            errors.push(error(&path, message));
        }
        for path in found {
            // JSON that was found, not named: data lies beside manifests, JSON lines among it.
            let maybe_data = path != *file && path.extension().is_some_and(|extension| extension == "json");
            let source = match std::fs::File::open(&path) {
                Ok(source) => source,
                Err(failed) => {
                    errors.push(error(&path, failed.to_string()));
                    continue;
                }
            };
            match read(source) {
                Ok(text) => {
                    texts.push(Text { file: path.display().to_string(), folder: folder(&path), text, maybe_data })
                }
                // Too large for a manifest, or no text.
                Err(_) if maybe_data => {}
                Err(message) => errors.push(error(&path, message)),
            }
        }
    }
    (texts, errors)
}

fn error(path: &Path, message: String) -> ManifestError {
    let message = format!("the manifest cannot be read: {message}");
    ManifestError {
        kind: ManifestErrorKind::Invalid,
        file: path.display().to_string(),
        line: None,
        sync: None,
        message,
    }
}

/// The file itself, or the manifests below a directory. Hidden files and directories are not manifests, `.s3sync` among
/// them.
fn collect(path: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), (PathBuf, String)> {
    let failed = |message: String| (path.to_owned(), message);
    let metadata = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?;
    if !metadata.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    if depth == DEPTH_MAX {
        return Err(failed(format!("directories are nested more than {DEPTH_MAX} deep")));
    }
    let entries = std::fs::read_dir(path).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let mut entries: Vec<PathBuf> =
        entries.map_err(|error| failed(error.to_string()))?.into_iter().map(|entry| entry.path()).collect();
    entries.sort();
    for entry in entries {
        let hidden = entry.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let extension = entry.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if hidden || !(entry.is_dir() || matches!(extension, "yaml" | "yml" | "json")) {
            continue;
        }
        collect(&entry, depth + 1, found)?;
    }
    Ok(())
}

fn read(source: impl Read) -> Result<String, String> {
    let mut text = String::new();
    let read = source.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(format!("it has more than {} MiB", FILE_BYTES_MAX >> 20));
    }
    Ok(text)
}

fn current_directory() -> PathBuf {
    std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."))
}

/// The file's folder, absolute, so that what starts there stays where it is.
fn folder(path: &Path) -> PathBuf {
    let parent = path.parent().unwrap_or(Path::new(""));
    std::path::absolute(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
        .unwrap_or_else(|_| parent.to_owned())
}
