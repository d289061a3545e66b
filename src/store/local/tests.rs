use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};

use bytes::Bytes;
use futures::TryStreamExt;
use tempfile::TempDir;

use super::*;
use crate::model::settings::ObjectAttributes;
use crate::store::{Condition, Store};

fn destination() -> (TempDir, LocalStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalStore::open(directory.path(), "bucket", Side::Destination).unwrap();
    (directory, store)
}

/// A bucket that holds these files, each with its own name as its content.
fn source(files: &[&str]) -> (TempDir, LocalStore) {
    let directory = tempfile::tempdir().unwrap();
    let bucket = directory.path().join("bucket");
    fs::create_dir(&bucket).unwrap();
    for file in files {
        fs::create_dir_all(bucket.join(file).parent().unwrap()).unwrap();
        fs::write(bucket.join(file), file).unwrap();
    }
    let store = LocalStore::open(directory.path(), "bucket", Side::Source).unwrap();
    (directory, store)
}

async fn keys(store: &LocalStore, prefix: &str) -> Result<Vec<String>, StoreError> {
    let pages: Vec<_> = store.list(prefix, None).try_collect().await?;
    Ok(pages.concat().into_iter().map(|object| object.key).collect())
}

async fn read(store: &LocalStore, key: &str) -> Result<Vec<u8>, StoreError> {
    Ok(store.get(key, None, None).await?.bytes.try_collect::<Vec<_>>().await?.concat())
}

async fn upload(store: &LocalStore, key: &str, body: &'static [u8]) -> (String, Vec<String>) {
    let upload = store.create_upload(key, "id", &ObjectAttributes::default()).await.unwrap();
    let part = store.upload_part(key, &upload, 1, vec![Bytes::from_static(body)]).await.unwrap();
    (upload, vec![part])
}

#[test]
fn buckets_are_plain_sub_directories() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "").unwrap();
    let kind = |bucket, side| LocalStore::open(directory.path(), bucket, side).map(drop).map_err(|error| error.kind);
    assert_eq!(kind("missing", Side::Source), Err(ErrorKind::NoSuchBucket));
    assert_eq!(kind("missing", Side::Destination), Ok(()));
    for bucket in ["", ".", "..", "a/b", "/etc", "file", STAGING] {
        assert_eq!(kind(bucket, Side::Destination), Err(ErrorKind::NoSuchBucket), "{bucket:?}");
    }
    assert!(!directory.path().join("missing").exists(), "opening writes nothing");
}

#[tokio::test]
async fn a_destination_is_empty_before_its_first_write_and_created_by_it() {
    let (directory, store) = destination();
    assert_eq!(keys(&store, "").await.unwrap(), [""; 0]);
    assert_eq!(store.head("key").await.unwrap_err().kind, ErrorKind::NotFound);
    store.delete("key", None).await.unwrap();
    assert!(!directory.path().join("bucket").exists());
    store.put("a/key", Bytes::from_static(b"x"), Condition::Absent).await.unwrap();
    assert_eq!(fs::read(directory.path().join("bucket/a/key")).unwrap(), b"x");
}

#[tokio::test]
async fn a_source_that_vanishes_is_no_empty_source() {
    let (directory, store) = source(&["a"]);
    fs::remove_dir_all(directory.path().join("bucket")).unwrap();
    assert_eq!(keys(&store, "").await.unwrap_err().kind, ErrorKind::NoSuchBucket);
    assert_eq!(store.head("a").await.unwrap_err().kind, ErrorKind::NoSuchBucket);
}

#[tokio::test]
async fn links_count_as_what_they_lead_to() {
    let (directory, store) = source(&["real/file", "z"]);
    let bucket = directory.path().join("bucket");
    symlink("real/file", bucket.join("link")).unwrap();
    symlink("nowhere", bucket.join("dangling")).unwrap();
    symlink("itself", bucket.join("itself")).unwrap();
    symlink("real", bucket.join("linked")).unwrap();
    symlink("..", bucket.join("real/up")).unwrap();
    assert_eq!(keys(&store, "").await.unwrap(), ["link", "linked/file", "real/file", "z"]);
    assert_eq!(read(&store, "link").await.unwrap(), b"real/file");
    assert_eq!(store.head("dangling").await.unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn what_is_no_file_is_no_object() {
    let (directory, store) = source(&["a/file"]);
    let pipe = directory.path().join("bucket/pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert_eq!(keys(&store, "").await.unwrap(), ["a/file"]);
    for key in ["pipe", "a"] {
        assert_eq!(store.get(key, None, None).await.err().unwrap().kind, ErrorKind::NotFound, "{key}");
    }
}

#[tokio::test]
async fn names_that_are_no_keys_stop_the_listing_they_belong_to() {
    let (directory, store) = source(&["a/file", "b/file"]);
    let name = std::ffi::OsString::from_vec(b"b\xff.csv".to_vec());
    fs::write(directory.path().join("bucket/b").join(name), "").unwrap();
    assert_eq!(keys(&store, "a/").await.unwrap(), ["a/file"]);
    assert_eq!(keys(&store, "b/f").await.unwrap(), ["b/file"]);
    let error = keys(&store, "").await.unwrap_err().to_string();
    assert!(error.contains("bucket/b/b\u{fffd}.csv is not UTF-8"), "{error}");
}

#[tokio::test]
async fn keys_never_lead_out_of_the_directory() {
    let (directory, store) = destination();
    fs::write(directory.path().join("outside"), "secret").unwrap();
    store.put("inside", Bytes::new(), Condition::Any).await.unwrap();
    for key in ["../outside", "a/../../outside", "/etc/passwd", "a//b", "a/", ".s3sync-staging/x"] {
        assert_eq!(store.get(key, None, None).await.err().unwrap().kind, ErrorKind::Other, "get {key}");
        assert_eq!(store.put(key, Bytes::new(), Condition::Any).await.unwrap_err().kind, ErrorKind::Other, "put {key}");
        assert_eq!(store.delete(key, None).await.unwrap_err().kind, ErrorKind::Other, "delete {key}");
        let created = store.create_upload(key, "id", &ObjectAttributes::default()).await;
        assert_eq!(created.unwrap_err().kind, ErrorKind::Other, "create {key}");
        assert_eq!(keys(&store, key).await.unwrap(), [""; 0], "list {key}");
    }
    assert_eq!(fs::read(directory.path().join("outside")).unwrap(), b"secret");
    let error = store.put(&"n".repeat(256), Bytes::new(), Condition::Any).await.unwrap_err().to_string();
    assert!(
        error.contains("a path segment of more than 255 bytes, which a directory cannot hold: use another key"),
        "{error}"
    );
}

#[tokio::test]
async fn a_file_and_a_directory_cannot_share_a_name() {
    let (_directory, store) = destination();
    store.put("a/b", Bytes::new(), Condition::Any).await.unwrap();
    for condition in [Condition::Any, Condition::Absent] {
        let error = store.put("a", Bytes::new(), condition).await.unwrap_err();
        assert!(error.to_string().contains("a directory stands there"), "{error}");
        let error = store.put("a/b/c", Bytes::new(), condition).await.unwrap_err();
        assert!(error.to_string().contains("a part of the key is a file"), "{error}");
    }
    assert_eq!(keys(&store, "").await.unwrap(), ["a/b"]);
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_read_is_noticed() {
    let (directory, store) = source(&["file"]);
    let path = directory.path().join("bucket/file");
    let content = vec![b'x'; 3 << 20];
    for change in ["longer", "shorter", "same size"] {
        fs::write(&path, &content).unwrap();
        let mut body = store.get("file", None, None).await.unwrap().bytes;
        assert!(body.try_next().await.unwrap().is_some());
        match change {
            "longer" => fs::write(&path, vec![b'y'; 4 << 20]).unwrap(),
            "shorter" => fs::write(&path, "y").unwrap(),
            _ => {
                fs::write(&path, vec![b'y'; 3 << 20]).unwrap();
                // A write within the clock's granularity may leave the time as it was; a writer of a moment later does
                // not.
                let later = std::time::SystemTime::now() + std::time::Duration::from_secs(1);
                fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
            }
        }
        assert_eq!(body.try_next().await.unwrap_err().kind, ErrorKind::Changed, "{change}");
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_while_it_is_read_is_read_to_its_end() {
    let (directory, store) = source(&["file"]);
    let path = directory.path().join("bucket/file");
    fs::write(&path, vec![b'x'; 3 << 20]).unwrap();
    let body = store.get("file", None, None).await.unwrap();
    fs::write(directory.path().join("other"), "other").unwrap();
    fs::rename(directory.path().join("other"), &path).unwrap();
    let bytes: Vec<_> = body.bytes.try_collect().await.unwrap();
    assert!(bytes.concat() == vec![b'x'; 3 << 20], "the version that was opened");
    assert_eq!(store.get("file", None, Some(&body.etag)).await.err().unwrap().kind, ErrorKind::Changed);
}

#[tokio::test]
async fn what_may_not_be_read_is_denied() {
    let (directory, store) = source(&["closed/file", "open"]);
    let closed = directory.path().join("bucket/closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let denied = fs::read_dir(&closed).is_err();
    let listed = keys(&store, "").await;
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
    // Root may read everything, so there is nothing to see then.
    if denied {
        let error = listed.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied);
        assert!(error.to_string().contains("permission denied to list"), "{error}");
    }
}

#[test]
fn errors_of_the_filesystem_say_what_to_do() {
    let check = |error: io::ErrorKind, kind: ErrorKind, words: &str| {
        let error = io_error("PutObject", "/data/bucket", "key", io::Error::from(error));
        assert_eq!(error.kind, kind);
        assert!(
            error.to_string().starts_with("PutObject /data/bucket/key: ") && error.to_string().contains(words),
            "{error}"
        );
    };
    check(io::ErrorKind::StorageFull, ErrorKind::Full, "the filesystem is full: free some space");
    check(io::ErrorKind::QuotaExceeded, ErrorKind::Full, "the disk quota is used up: free some space");
    check(io::ErrorKind::PermissionDenied, ErrorKind::Denied, "check the owner and mode");
    check(io::ErrorKind::ReadOnlyFilesystem, ErrorKind::Denied, "read-only");
    check(io::ErrorKind::NotFound, ErrorKind::NotFound, "no such file");
}

#[tokio::test]
async fn staged_files_are_hidden_and_leave_nothing() {
    let (directory, store) = destination();
    let hidden = directory.path().join("bucket").join(STAGING);
    let (aborted, _) = upload(&store, "a/key", b"x").await;
    assert!(hidden.exists());
    assert_eq!(keys(&store, "").await.unwrap(), [""; 0]);
    assert_eq!(keys(&store, STAGING).await.unwrap(), [""; 0]);
    store.abort_upload("a/key", &aborted).await.unwrap();
    assert!(!hidden.exists() && !directory.path().join("bucket/a").exists());
}

#[tokio::test]
async fn another_process_completes_an_upload() {
    let (directory, store) = destination();
    let (name, parts) = upload(&store, "key", b"bytes").await;
    let staged = store.staged_etag("key", &name).await.unwrap();
    let other = LocalStore::open(directory.path(), "bucket", Side::Destination).unwrap();
    assert_eq!(other.list_parts("key", &name).await.unwrap(), [(1, parts[0].clone())]);
    assert_eq!(Some(other.complete_upload("key", &name, &parts, true).await.unwrap()), staged);
    assert_eq!(read(&other, "key").await.unwrap(), b"bytes");
    assert_eq!(store.complete_upload("key", &name, &parts, true).await.unwrap_err().kind, ErrorKind::NoSuchUpload);
    assert_eq!(Some(store.head("key").await.unwrap().etag), staged, "whoever looks knows the file as its own");
}

#[tokio::test]
async fn bytes_that_were_lost_with_the_machine_are_not_published() {
    let (directory, store) = destination();
    for lost in [&b""[..], b"byt", b"\0\0\0\0\0"] {
        let (name, parts) = upload(&store, "key", b"bytes").await;
        fs::write(directory.path().join("bucket").join(STAGING).join(&name).join("data"), lost).unwrap();
        let other = LocalStore::open(directory.path(), "bucket", Side::Destination).unwrap();
        let error = other.complete_upload("key", &name, &parts, true).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NoSuchUpload, "{error}");
        assert_eq!(keys(&store, "").await.unwrap(), [""; 0]);
    }
}

#[tokio::test]
async fn a_line_that_a_crash_cut_short_is_no_part() {
    let (directory, store) = destination();
    let (name, parts) = upload(&store, "key", b"bytes").await;
    let journal = directory.path().join("bucket").join(STAGING).join(&name).join("parts");
    let whole = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, format!("{whole}2 5 0123")).unwrap();
    assert_eq!(store.list_parts("key", &name).await.unwrap(), [(1, parts[0].clone())]);
}

#[tokio::test]
async fn a_published_upload_whose_process_ended_before_it_tidied_up_is_gone() {
    let (directory, store) = destination();
    let (name, parts) = upload(&store, "key", b"bytes").await;
    let staged = directory.path().join("bucket").join(STAGING).join(&name);
    fs::rename(staged.join("data"), directory.path().join("bucket/key")).unwrap();
    assert_eq!(store.list_uploads("key").await.unwrap(), [""; 0]);
    assert_eq!(store.complete_upload("key", &name, &parts, false).await.unwrap_err().kind, ErrorKind::NoSuchUpload);
    assert!(!staged.exists());
    assert_eq!(read(&store, "key").await.unwrap(), b"bytes");
}

#[tokio::test]
async fn names_of_uploads_are_no_paths() {
    let (directory, store) = destination();
    store.put("key", Bytes::new(), Condition::Any).await.unwrap();
    for name in ["..", "../..", "/", "", "put-x"] {
        store.abort_upload("key", name).await.unwrap();
        assert_eq!(store.list_parts("key", name).await.unwrap_err().kind, ErrorKind::NoSuchUpload, "{name}");
    }
    assert!(directory.path().join("bucket/key").exists());
}

#[tokio::test]
async fn parts_of_several_sizes_are_refused() {
    let (_directory, store) = destination();
    let (name, mut parts) = upload(&store, "key", b"four").await;
    let error = store.upload_part("key", &name, 2, vec![Bytes::from_static(b"five5")]).await.unwrap_err();
    assert!(error.to_string().contains("part 2 has 5 bytes where part 1 has 4"), "{error}");
    for number in [2, 3] {
        parts.push(store.upload_part("key", &name, number, vec![Bytes::from_static(b"abc")]).await.unwrap());
    }
    let error = store.complete_upload("key", &name, &parts, false).await.unwrap_err();
    assert!(error.to_string().contains("part 2 of upload"), "{error}");
    assert_eq!(keys(&store, "").await.unwrap(), [""; 0]);
}

/// A directory that goes between two looks at it is reported as one that exists.
#[test]
fn a_staging_directory_is_made_while_others_remove_it() {
    let (_directory, store) = destination();
    let bucket = &store.bucket;
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                for _ in 0..3000 {
                    bucket.in_staging(|_| Ok(())).unwrap();
                    bucket.leave_staging();
                }
            });
        }
    });
}

#[tokio::test]
async fn files_are_written_while_their_directories_are_removed() {
    let (_directory, store) = destination();
    let work = (0..4).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            let key = format!("deep/down/{number}");
            for _ in 0..50 {
                store.put(&key, Bytes::from_static(b"x"), Condition::Absent).await.unwrap();
                store.delete(&key, None).await.unwrap();
            }
        })
    });
    for done in futures::future::join_all(work).await {
        done.unwrap();
    }
    assert_eq!(keys(&store, "").await.unwrap(), [""; 0]);
}

#[test]
fn case_is_not_folded_where_two_cases_are_two_files() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a"), "1").unwrap();
    fs::write(directory.path().join("A"), "2").unwrap();
    let folds = fs::read(directory.path().join("a")).unwrap() == b"2";
    assert_eq!(case::folds(directory.path()), folds);
    assert_eq!(case::folds(&directory.path().join("not/there/yet")), folds);
}

/// Each look at one key read the names of all uploads: 10,000 keys took minutes.
#[tokio::test]
async fn many_keys_are_asked_for_their_uploads_in_one_look_at_the_directory() {
    let (directory, store) = destination();
    let key = |number: u32| format!("out/{number}.csv");
    let mut begun = Vec::new();
    for number in 0..2_000 {
        begun.push(store.create_upload(&key(number), "id", &ObjectAttributes::default()).await.unwrap());
    }
    let staging = directory.path().join("bucket").join(STAGING);
    let settle = || {
        let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3_600);
        fs::File::open(&staging).unwrap().set_modified(long_ago).unwrap();
    };
    settle();
    let began = std::time::Instant::now();
    for (number, upload) in begun.iter().enumerate() {
        assert_eq!(store.list_uploads(&key(number as u32)).await.unwrap(), [upload.as_str()]);
    }
    // Tens of milliseconds, and more than a minute by one look for each key.
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    // Whatever is begun or ended, here or by another process, is seen.
    let other = LocalStore::open(directory.path(), "bucket", Side::Destination).unwrap();
    let second = other.create_upload(&key(1), "id", &ObjectAttributes::default()).await.unwrap();
    let mut both = vec![begun[1].clone(), second.clone()];
    both.sort();
    assert_eq!(store.list_uploads(&key(1)).await.unwrap(), both);
    settle();
    assert_eq!(store.list_uploads(&key(1)).await.unwrap(), both);
    store.abort_upload(&key(1), &begun[1]).await.unwrap();
    assert_eq!(store.list_uploads(&key(1)).await.unwrap(), [second.as_str()]);
    other.abort_upload(&key(1), &second).await.unwrap();
    assert_eq!(store.list_uploads(&key(1)).await.unwrap(), [""; 0]);
}
