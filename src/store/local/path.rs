//! Keys as paths below a bucket's directory. A key that is not a plain relative path is refused: it could not be listed
//! again under the same name, or would lead out of the directory.

use std::path::{Path, PathBuf};

use super::{Failure, STAGING};
use crate::store::ErrorKind;

/// The longest name of one path segment in bytes: NAME_MAX of Linux and macOS filesystems.
const NAME_BYTES_MAX: usize = 255;

/// Why a segment names no file.
pub(super) fn check_segment(segment: &str) -> Result<(), &'static str> {
    match segment {
        "" => Err("an empty path segment"),
        "." | ".." => Err("a path segment that is only dots"),
        _ if segment.len() > NAME_BYTES_MAX => Err("a path segment of more than 255 bytes"),
        _ if segment.contains('\0') => Err("a null byte"),
        _ if segment.contains('/') => Err("a slash"),
        _ => Ok(()),
    }
}

/// The path of a key.
pub(super) fn of_key(root: &Path, key: &str) -> Result<PathBuf, Failure> {
    let refused = |why: &str| {
        Failure::found(ErrorKind::Other, format!("the key has {why}, which a directory cannot hold: use another key"))
    };
    let mut path = root.to_owned();
    for (index, segment) in key.split('/').enumerate() {
        check_segment(segment).map_err(refused)?;
        if index == 0 && segment == STAGING {
            return Err(refused("the name of the staging directory"));
        }
        path.push(segment);
    }
    Ok(path)
}

/// The deepest directory that holds every key with this prefix, as key text (empty, or ending in `/`) and path; `None`
/// when no key can have the prefix.
pub(super) fn of_prefix(root: &Path, prefix: &str) -> Option<(String, PathBuf)> {
    match prefix.rsplit_once('/') {
        None => Some((String::new(), root.to_owned())),
        Some((directory, _)) => Some((format!("{directory}/"), of_key(root, directory).ok()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: &str, expected: Option<&str>) {
        let found = of_key(Path::new("/root/bucket"), key);
        assert_eq!(found.ok().as_deref(), expected.map(Path::new), "{key:?}");
    }

    #[test]
    fn keys_are_plain_relative_paths() {
        check("a", Some("/root/bucket/a"));
        check("a/b c/ü.csv", Some("/root/bucket/a/b c/ü.csv"));
        check(".hidden/..dots", Some("/root/bucket/.hidden/..dots"));
        check("a/.s3sync-staging/b", Some("/root/bucket/a/.s3sync-staging/b"));
        check(&"n".repeat(255), Some(&format!("/root/bucket/{}", "n".repeat(255))));
    }

    #[test]
    fn other_keys_are_refused() {
        for key in [
            "",
            "/",
            "/etc/passwd",
            "a//b",
            "a/",
            "..",
            "../x",
            "a/../../x",
            "a/./b",
            "a\0b",
            ".s3sync-staging/x",
            ".s3sync-staging",
        ] {
            check(key, None);
        }
        check(&format!("a/{}", "n".repeat(256)), None);
    }

    #[test]
    fn a_prefix_is_looked_for_where_its_keys_are() {
        let root = Path::new("/b");
        assert_eq!(of_prefix(root, ""), Some((String::new(), "/b".into())));
        assert_eq!(of_prefix(root, "ev"), Some((String::new(), "/b".into())));
        assert_eq!(of_prefix(root, "events/"), Some(("events/".into(), "/b/events".into())));
        assert_eq!(of_prefix(root, "events/20/x"), Some(("events/20/".into(), "/b/events/20".into())));
        for prefix in ["/", "../", "a//b", "a/../", ".s3sync-staging/"] {
            assert_eq!(of_prefix(root, prefix), None, "{prefix:?}");
        }
    }
}
