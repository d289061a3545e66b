//! Protocol step 0: what earlier epochs left behind is removed, as the cursor's garbage blob names it. Safe to do
//! twice, and safe to do by two: everything named is named by key and id or by upload. It is removed as it is read, and
//! never held as a whole.

use std::collections::HashSet;

use futures::stream::{self, StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};

use crate::model::plan::BlobKey;
use crate::model::settings::SyncId;
use crate::pipeline::commit::garbage::{Garbage, GarbageFile, Replaced};
use crate::pipeline::commit::own;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::state::blobs::{BlobError, Blobs};
use crate::state::wire::BlobKind;
use crate::store::{ErrorKind, Store, StoreError};

/// Removals under way at once.
const REMOVALS_AT_ONCE: usize = 16;

/// Files of a commit record that are removed before more of it are read.
const FILES_HELD_MAX: usize = 1_000;

/// Keys of the record in force that are held at once: a million digests take some 30 MB. Of more, the replaced files are
/// gone through once for each part of them.
const KEYS_HELD_MAX: usize = 1_000_000;

/// Empties a garbage blob. Gives what a person should know: which files stay that nobody will remove. A sentence for
/// each generation, of which a blob has one or two.
///
/// # Errors
/// A blob that is not there, or that a newer release wrote, and whatever the store raises.
pub async fn sweep(blobs: &Blobs, key: &BlobKey, sync: &SyncId) -> Result<Vec<String>, RunError> {
    sweep_holding(blobs, key, sync, KEYS_HELD_MAX).await
}

async fn sweep_holding(
    blobs: &Blobs,
    key: &BlobKey,
    sync: &SyncId,
    keys_held_max: usize,
) -> Result<Vec<String>, RunError> {
    let mut remarks = Vec::new();
    let mut lines = blobs.lines(key, BlobKind::Garbage);
    while let Some(garbage) = lines.next::<Garbage>().await? {
        if garbage.version > Garbage::VERSION {
            let message =
                format!("{sync}: {}/{} was written by a newer s3sync: run that one", blobs.store().place(), key.0);
            return Err(RunError::new(RunErrorKind::CursorInvalid, message));
        }
        remarks.extend(remove(garbage, blobs, sync, keys_held_max).await?);
    }
    Ok(remarks)
}

/// Removes everything that is named. What is not there is no error; a file that is another by now stays, and its
/// name is said. Gives what a person should know.
async fn remove(
    mut garbage: Garbage,
    blobs: &Blobs,
    sync: &SyncId,
    keys_held_max: usize,
) -> Result<Option<String>, RunError> {
    let store = blobs.store().as_ref();
    own::only_ours(&mut garbage, blobs);
    remove_files(store, &garbage.files, sync).await?;
    let remark = match &garbage.replaced {
        Some(replaced) => remove_replaced(blobs, replaced, sync, keys_held_max).await?,
        None => None,
    };
    let uploads =
        stream::iter(&garbage.uploads).map(|open| async move { store.abort_upload(&open.key, &open.upload).await });
    uploads.buffer_unordered(REMOVALS_AT_ONCE).try_collect::<()>().await?;
    let blobs = stream::iter(&garbage.blobs).map(|key| async move { store.delete(key, None).await });
    blobs.buffer_unordered(REMOVALS_AT_ONCE).try_collect::<()>().await?;
    Ok(remark)
}

/// Removes the files of a generation, record by record. Where one of them is lost, what it lists stays, and so does
/// what those before it list; nothing of it is ever needed. That is said, because nothing names these files again.
async fn remove_replaced(
    blobs: &Blobs,
    replaced: &Replaced,
    sync: &SyncId,
    keys_held_max: usize,
) -> Result<Option<String>, RunError> {
    let mut lost = None;
    let mut parts = vec![Part::WHOLE];
    while let Some(part) = parts.pop() {
        let current = CurrentKeys::read(blobs, &replaced.by, part, &mut parts, keys_held_max).await;
        match current.map_err(RunError::from) {
            Ok(current) => lost = remove_part(blobs, &replaced.from, &current, sync).await?.or(lost),
            // Without the record in force nobody can tell which of the replaced files it lists too.
            Err(error) if error.kind == RunErrorKind::CursorInvalid => {
                return Ok(Some(stays(blobs, &replaced.by, "the files that it replaced")));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(lost.map(|record| stays(blobs, &record, "the replaced files that it and those before it list")))
}

/// Says which files nobody will remove, and why.
fn stays(blobs: &Blobs, BlobKey(record): &BlobKey, what: &str) -> String {
    let place = blobs.store().place();
    format!(
        "{place}/{record} is not there any more, or was changed: {what} stay, and no later run removes them; delete them if they are not \
         wanted"
    )
}

/// A key's digest of 16 bytes.
type KeyDigest = [u8; 16];

fn key_digest(key: &str) -> KeyDigest {
    *Sha256::digest(key.as_bytes()).first_chunk().expect("SHA-256 has 32 bytes")
}

/// Every `of`-th of all keys, by their digests.
#[derive(Clone, Copy)]
struct Part {
    number: u64,
    of: u64,
}

impl Part {
    const WHOLE: Part = Part { number: 0, of: 1 };

    fn holds(self, digest: &KeyDigest) -> bool {
        u64::from_le_bytes(*digest.first_chunk().expect("16 bytes have eight")) % self.of == self.number
    }

    fn halves(self) -> [Part; 2] {
        [self.number, self.number + self.of].map(|number| Part { number, of: self.of * 2 })
    }
}

/// The keys that a commit record lists, those of one part of all.
struct CurrentKeys {
    part: Part,
    digests: HashSet<KeyDigest>,
}

impl CurrentKeys {
    /// Reads a part; where that is more than may be held, a half of it, and puts the other half with the `parts` that are
    /// left.
    async fn read(
        blobs: &Blobs,
        record: &BlobKey,
        mut part: Part,
        parts: &mut Vec<Part>,
        held_max: usize,
    ) -> Result<Self, BlobError> {
        let (_, mut files) = blobs.commit_record(record).await?;
        let mut digests = HashSet::new();
        while let Some(file) = files.next().await? {
            let digest = key_digest(&file.key);
            if part.holds(&digest) {
                digests.insert(digest);
            }
            while digests.len() > held_max {
                let [half, other] = part.halves();
                digests.retain(|digest| half.holds(digest));
                parts.push(other);
                part = half;
            }
        }
        Ok(Self { part, digests })
    }

    /// Whether a replaced file of this key goes with this part.
    fn lets_go(&self, key: &str) -> bool {
        let digest = key_digest(key);
        self.part.holds(&digest) && !self.digests.contains(&digest)
    }
}

/// Removes what the records of a generation list, as far as `current` lets it go, from the last back to the one that
/// superseded what was there. Gives the record that is lost, where one is.
async fn remove_part(
    blobs: &Blobs,
    last: &BlobKey,
    current: &CurrentKeys,
    sync: &SyncId,
) -> Result<Option<BlobKey>, RunError> {
    let mut next = Some(last.clone());
    while let Some(record) = next {
        next = match remove_listed(blobs, &record, current, sync).await {
            Ok(before) => before,
            Err(error) if error.kind == RunErrorKind::CursorInvalid => return Ok(Some(record)),
            Err(error) => return Err(error),
        };
    }
    Ok(None)
}

/// Removes what one record lists; gives the record before it that belongs to the same generation.
async fn remove_listed(
    blobs: &Blobs,
    record: &BlobKey,
    current: &CurrentKeys,
    sync: &SyncId,
) -> Result<Option<BlobKey>, RunError> {
    let (header, mut files) = blobs.commit_record(record).await?;
    loop {
        let mut garbage = Garbage::default();
        while garbage.files.len() < FILES_HELD_MAX
            && let Some(file) = files.next().await?
        {
            if current.lets_go(&file.key) {
                garbage.files.push(file.into());
            }
        }
        let ended = garbage.files.len() < FILES_HELD_MAX;
        own::only_ours(&mut garbage, blobs);
        remove_files(blobs.store().as_ref(), &garbage.files, sync).await?;
        if ended {
            return Ok(header.previous.filter(|_| !header.replaces));
        }
    }
}

async fn remove_files(store: &dyn Store, files: &[GarbageFile], sync: &SyncId) -> Result<(), StoreError> {
    let files = stream::iter(files).map(|file| async move { remove_file(store, file, sync).await });
    files.buffer_unordered(REMOVALS_AT_ONCE).try_collect::<()>().await
}

/// Deletes one file, if it is still the one that was published.
async fn remove_file(store: &dyn Store, file: &GarbageFile, sync: &SyncId) -> Result<(), StoreError> {
    let head = match store.head(&file.key).await {
        Ok(head) => head,
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if file.is(&head, store.keeps_metadata()) {
        // By the etag that it has now: a completion may have given another.
        match store.delete(&file.key, Some(&head.etag)).await {
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(()),
            Err(error) if matches!(error.kind, ErrorKind::Precondition | ErrorKind::Changed) => {}
            other => return other,
        }
    }
    tracing::warn!(
        %sync,
        place = store.place(),
        key = file.key,
        "a file that was replaced is another one by now, so it stays: look at it, and delete it if it is not wanted"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::model::commit_record::{CommitRecord, CommittedFile};
    use crate::state::blobs::CommitRecordLine;
    use crate::state::wire::BlobWriter;
    use crate::store::faulty::{Call, Fault, Faults, FaultyStore};
    use crate::store::memory::MemoryStore;

    fn sync() -> SyncId {
        SyncId { namespace: "data".into(), name: "orders".into() }
    }

    /// Publishes files under these keys and lists them.
    async fn publish(
        store: &MemoryStore,
        blobs: &Blobs,
        epoch: u64,
        previous: Option<BlobKey>,
        keys: &[String],
    ) -> BlobKey {
        let recorded_at = store.clock().now();
        let (run, load_id) = ("run".to_owned(), epoch.to_string());
        let header = CommitRecord {
            version: CommitRecord::VERSION,
            epoch,
            run,
            load_id,
            recorded_at,
            previous,
            replaces: false,
        };
        let mut record = BlobWriter::new(BlobKind::CommitRecord);
        record.line(&CommitRecordLine::Header(header));
        for key in keys {
            let id = format!("{epoch}-{key}");
            let upload = store.create_upload(key, &id, &Default::default()).await.unwrap();
            let part = store.upload_part(key, &upload, 1, vec![id.clone().into()]).await.unwrap();
            let etag = store.complete_upload(key, &upload, &[part], false).await.unwrap().as_str().to_owned();
            let (table, key, bytes) = ("t".to_owned(), key.clone(), id.len() as u64);
            record.line(&CommitRecordLine::File(CommittedFile {
                table,
                key,
                id,
                etag,
                bytes,
                rows: 1,
                shard: 0,
                objects: (0, 0),
            }));
        }
        blobs.put(epoch, BlobKind::CommitRecord, record).await.unwrap()
    }

    fn keys(epoch: u64, count: usize) -> Vec<String> {
        (0..count).map(|number| format!("out/{epoch}-{number:05}.parquet")).collect()
    }

    /// One line listed every file of every epoch of Append, and all of them were held to write it.
    #[tokio::test]
    async fn a_replaced_generation_is_removed_record_by_record_and_its_garbage_does_not_grow() {
        let mut sizes = Vec::new();
        for count in [1, 3 * FILES_HELD_MAX] {
            let memory = MemoryStore::new("lake");
            let calls = Arc::new(Mutex::new(Vec::new()));
            let noted = Arc::clone(&calls);
            let faults = Faults::new(move |call: &Call<'_>| {
                noted.lock().unwrap().push(format!("{} {}", call.op, call.key));
                Fault::None
            });
            let blobs = Blobs::new(Arc::new(FaultyStore::new(Arc::new(memory.clone()), faults)), "_s3sync", "abc");
            let mut from = None;
            for epoch in 1..=3 {
                // One key is that of a file of the new generation.
                let keys = [keys(epoch, count), vec!["out/fixed.parquet".to_owned()]].concat();
                from = Some(publish(&memory, &blobs, epoch, from, &keys).await);
            }
            let current = [keys(4, 2), vec!["out/fixed.parquet".to_owned()]].concat();
            let by = publish(&memory, &blobs, 4, from.clone(), &current).await;
            let first = from.clone().unwrap();
            let garbage = Garbage { replaced: Some(Replaced { from: first.clone(), by }), ..Garbage::default() };
            let key = garbage.put(&blobs, 4).await.unwrap();
            sizes.push(memory.peek(&key.0).unwrap().len());
            calls.lock().unwrap().clear();
            sweep(&blobs, &key, &sync()).await.unwrap();
            let left: Vec<String> = memory.keys().into_iter().filter(|key| key.starts_with("out/")).collect();
            assert_eq!(left, current);
            // What the first record lists is gone before the next one is asked for.
            let calls = calls.lock().unwrap();
            let records: Vec<usize> = (0..calls.len()).filter(|at| calls[*at].contains("/manifest-")).collect();
            let deleted =
                |range: std::ops::Range<usize>| calls[range].iter().filter(|call| call.starts_with("delete ")).count();
            let [_, third, second, first] = records[..] else { panic!("four records: {records:?}") };
            assert_eq!([deleted(third..second), deleted(second..first), deleted(first..calls.len())], [count; 3]);
        }
        assert!(sizes[0].abs_diff(sizes[1]) < 64 && sizes[1] < 1_000, "{sizes:?}");
    }

    /// All keys of the new generation were held, however many they were.
    #[tokio::test]
    async fn keys_that_stay_are_held_a_part_at_a_time() {
        for held_max in [1, 7, 1_000] {
            let memory = MemoryStore::new("lake");
            let blobs = Blobs::new(Arc::new(memory.clone()), "_s3sync", "abc");
            // Half of the keys are those of the new generation, which wrote them anew.
            let [old, new] = [keys(1, 100), keys(1, 150).split_off(50)];
            let from = publish(&memory, &blobs, 1, None, &old).await;
            let by = publish(&memory, &blobs, 2, Some(from.clone()), &new).await;
            let (mut parts, mut read) = (vec![Part::WHOLE], HashSet::new());
            while let Some(part) = parts.pop() {
                let held = CurrentKeys::read(&blobs, &by, part, &mut parts, held_max).await.unwrap();
                assert!(held.digests.len() <= held_max, "{held_max}");
                assert!(held.digests.into_iter().all(|digest| read.insert(digest)), "parts share no key");
            }
            assert_eq!(read, new.iter().map(|key| key_digest(key)).collect());
            let garbage = Garbage { replaced: Some(Replaced { from, by }), ..Garbage::default() };
            let key = garbage.put(&blobs, 2).await.unwrap();
            assert_eq!(sweep_holding(&blobs, &key, &sync(), held_max).await.unwrap(), Vec::<String>::new());
            let left: Vec<String> = memory.keys().into_iter().filter(|key| key.starts_with("out/")).collect();
            assert_eq!(left, new, "{held_max}");
        }
    }

    /// Nothing names the files again, so the run says that they stay.
    #[tokio::test]
    async fn a_lost_record_is_said_and_nothing_that_it_may_list_goes() {
        for (lost, torn, left) in [(1, false, 1), (2, true, 2), (3, false, 2)] {
            let memory = MemoryStore::new("lake");
            let blobs = Blobs::new(Arc::new(memory.clone()), "_s3sync", "abc");
            let mut records: Vec<BlobKey> = Vec::new();
            for epoch in 1..=3 {
                records.push(publish(&memory, &blobs, epoch, records.last().cloned(), &keys(epoch, 1)).await);
            }
            let [_, from, by] = &records[..] else { unreachable!("three") };
            let garbage =
                Garbage { replaced: Some(Replaced { from: from.clone(), by: by.clone() }), ..Garbage::default() };
            let key = garbage.put(&blobs, 3).await.unwrap();
            let record = &records[lost - 1].0;
            if torn {
                memory.insert(record, memory.peek(record).unwrap().slice(..40));
            } else {
                memory.remove(record);
            }
            let said = sweep(&blobs, &key, &sync()).await.unwrap();
            let [said] = &said[..] else { panic!("{said:?}") };
            assert!(said.contains(record.as_str()) && said.contains("stay, and no later run removes them"), "{said}");
            let count =
                memory.keys().iter().filter(|key| ["out/1-", "out/2-"].iter().any(|old| key.starts_with(old))).count();
            assert_eq!(count, left, "{lost}");
        }
    }

    /// What a release before the third version wrote: one line, with every file in it.
    #[tokio::test]
    async fn garbage_of_earlier_releases_is_removed() {
        for version in [1, 2] {
            let memory = MemoryStore::new("lake");
            let blobs = Blobs::new(Arc::new(memory.clone()), "_s3sync", "abc");
            publish(&memory, &blobs, 1, None, &keys(1, 2)).await;
            let etag = |key: &str| memory.stored(key).unwrap().etag.as_str().to_owned();
            let [one, two] = [0, 1].map(|at| keys(1, 2)[at].clone());
            let (gone, blob) = (etag(&one), "_s3sync/abc/1/plan-00.s3sync");
            memory.insert(blob, "");
            let mut garbage =
                serde_json::json!({"files": [{"key": one, "etag": gone}], "uploads": [], "blobs": [blob]});
            if version == 2 {
                garbage["version"] = 2.into();
                garbage["files"] = serde_json::json!([{"key": one, "etag": "another", "id": format!("1-{one}"), "bytes": one.len() + 2}]);
            }
            let mut writer = BlobWriter::of_version(BlobKind::Garbage, 1);
            writer.line(&garbage);
            let key = blobs.put(2, BlobKind::Garbage, writer).await.unwrap();
            sweep(&blobs, &key, &sync()).await.unwrap();
            let left: Vec<String> =
                memory.keys().into_iter().filter(|key| key.starts_with("out/") || key == blob).collect();
            assert_eq!(left, [two], "{version}");
        }
        let blobs = Blobs::new(Arc::new(MemoryStore::new("lake")), "_s3sync", "abc");
        let key = blobs.put_one(2, BlobKind::Garbage, &Garbage { version: 4, ..Garbage::default() }).await.unwrap();
        let newer = sweep(&blobs, &key, &sync()).await.unwrap_err();
        assert!(newer.message.ends_with("was written by a newer s3sync: run that one"), "{newer}");
    }
}
