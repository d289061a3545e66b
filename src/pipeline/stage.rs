//! Output files on their way to the destination: bytes become parts, parts are uploaded, nothing is completed.
//!
//! A layout runs on a blocking thread and speaks to its [`Sender`]; a [`Stager`] on the async side listens. Bytes
//! between the two, in parts being filled and in requests under way, are bounded together by the permits of the budget,
//! so a slow destination slows the layout.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream::{FuturesOrdered, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::model::data_file::DataFile;
use crate::model::manifest::StagedFile;
use crate::model::settings::ObjectAttributes;
use crate::pipeline::layout::{FileEnd, FileSink, NewFile, SinkClosed};
use crate::pipeline::open_log::OpenLog;
use crate::store::{Store, StoreError};

/// Largest count of parts of one upload (S3 quotas).
pub const PARTS_MAX: u32 = 10_000;

/// Files staged side by side: enough to hide three round trips of many small files, few enough for any server.
const FILES_AT_ONCE: usize = 16;

/// Parts of one file uploaded side by side.
const PARTS_AT_ONCE: usize = 4;

/// Events between layout and stager. The bytes they carry are bounded by permits; this bounds their number.
const EVENTS_MAX: usize = 64;

enum Event {
    Begin(NewFile),
    Bytes(Bytes, OwnedSemaphorePermit),
    End(FileEnd),
}

/// The layout's end. Its calls block; never use it on an async thread.
pub struct Sender {
    events: mpsc::Sender<Event>,
    permits: Arc<Semaphore>,
    handle: tokio::runtime::Handle,
    slice_bytes_max: u32,
}

impl FileSink for Sender {
    fn begin(&mut self, file: NewFile) -> Result<(), SinkClosed> {
        self.events.blocking_send(Event::Begin(file)).map_err(|_| SinkClosed)
    }

    fn bytes(&mut self, mut bytes: Bytes) -> Result<(), SinkClosed> {
        // A piece larger than all permits would wait for ever, so it goes in slices.
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(self.slice_bytes_max as usize));
            let permits = Arc::clone(&self.permits).acquire_many_owned(piece.len() as u32);
            let permit = self.handle.block_on(permits).map_err(|_| SinkClosed)?;
            self.events.blocking_send(Event::Bytes(piece, permit)).map_err(|_| SinkClosed)?;
        }
        Ok(())
    }

    fn end(&mut self, end: FileEnd) -> Result<(), SinkClosed> {
        self.events.blocking_send(Event::End(end)).map_err(|_| SinkClosed)
    }
}

/// The async end: owns the uploads of one attempt.
pub struct Stager {
    store: Arc<dyn Store>,
    open_log: Arc<OpenLog>,
    attributes: Arc<ObjectAttributes>,
    part_bytes: usize,
    events: mpsc::Receiver<Event>,
    permits: Arc<Semaphore>,
}

/// A channel between a layout and its stager. `bytes_max` bounds all bytes between the layout and the server and must
/// hold two parts.
pub fn channel(
    store: Arc<dyn Store>,
    open_log: Arc<OpenLog>,
    attributes: Arc<ObjectAttributes>,
    part_bytes: u64,
    bytes_max: u64,
) -> (Sender, Stager) {
    let (sender, events) = mpsc::channel(EVENTS_MAX);
    let bytes_max = u32::try_from(bytes_max.max(2 * part_bytes)).unwrap_or(u32::MAX).min(Semaphore::MAX_PERMITS as u32);
    let permits = Arc::new(Semaphore::new(bytes_max as usize));
    let handle = tokio::runtime::Handle::current();
    let stager =
        Stager { store, open_log, attributes, part_bytes: part_bytes as usize, events, permits: Arc::clone(&permits) };
    // A slice is at most a part, and a part holds the permits of its bytes alone: beside one that is being filled it
    // always finds its own.
    let sender = Sender { events: sender, permits, handle, slice_bytes_max: part_bytes.max(1) as u32 };
    (sender, stager)
}

/// A file whose task is under way.
struct OpenFile {
    bytes: mpsc::Sender<(Bytes, OwnedSemaphorePermit)>,
    task: JoinHandle<Result<Uploaded, StoreError>>,
    file: NewFile,
}

/// What an attempt staged, in the order that files were begun.
#[derive(Debug, Default)]
pub struct Staged {
    /// The files.
    pub files: Vec<StagedFile>,
    /// What else is known of each.
    pub data_files: Vec<DataFile>,
    /// Memory that columns' statistics take.
    columns_bytes: usize,
}

impl Staged {
    /// Memory that the statistics of an attempt's columns may take: those of a thousand files of twenty columns. Files
    /// beyond keep what does not grow with the columns.
    const COLUMNS_BYTES_MAX: usize = 4 << 20;

    fn add(&mut self, (file, mut data_file): (StagedFile, DataFile)) {
        self.columns_bytes += data_file.statistics.columns_memory_bytes();
        if self.columns_bytes > Self::COLUMNS_BYTES_MAX {
            data_file.statistics.columns = Vec::new();
        }
        self.files.push(file);
        self.data_files.push(data_file);
    }
}

/// What an upload's task gives back.
struct Uploaded {
    upload: String,
    parts: Vec<String>,
    size: u64,
    etag: Option<String>,
}

impl Stager {
    /// Uploads until the layout's end is dropped. On an error the layout sees [`SinkClosed`] at its next call, and
    /// uploads stay as they are: the open log names them.
    pub async fn run(mut self) -> Result<Staged, StoreError> {
        let mut staged = Staged::default();
        let mut finishing = FuturesOrdered::new();
        let mut open: Option<OpenFile> = None;
        loop {
            let event = tokio::select! {
                biased;
                Some(file) = finishing.next(), if !finishing.is_empty() => {
                    let file: Result<(StagedFile, DataFile), StoreError> = file;
                    staged.add(file?);
                    continue;
                }
                event = self.events.recv(), if finishing.len() < FILES_AT_ONCE => event,
            };
            match event {
                Some(Event::Begin(file)) => open = Some(self.open(file)),
                Some(Event::Bytes(bytes, permit)) => {
                    let file = open.as_ref().expect("a layout begins a file before it writes");
                    if file.bytes.send((bytes, permit)).await.is_err() {
                        let failed = open.take().expect("just seen");
                        return Err(finish(failed, FileEnd::default())
                            .await
                            .expect_err("an upload's task ends early only with an error"));
                    }
                }
                Some(Event::End(end)) => {
                    finishing.push_back(finish(open.take().expect("a layout begins a file before it ends it"), end));
                }
                None => break,
            }
        }
        // A file that was begun and never ended belongs to a layout that failed: its error is the one to report.
        drop(open);
        while let Some(file) = finishing.next().await {
            staged.add(file?);
        }
        Ok(staged)
    }

    fn open(&self, file: NewFile) -> OpenFile {
        let (sender, bytes) = mpsc::channel(EVENTS_MAX);
        let upload = Upload {
            store: Arc::clone(&self.store),
            open_log: Arc::clone(&self.open_log),
            attributes: Arc::clone(&self.attributes),
            part_bytes: self.part_bytes,
            key: file.key.clone(),
            id: file.id.clone(),
        };
        OpenFile { bytes: sender, task: tokio::spawn(upload.run(bytes)), file }
    }
}

impl Drop for Stager {
    fn drop(&mut self) {
        // Wakes a layout that waits for permits.
        self.permits.close();
    }
}

async fn finish(open: OpenFile, end: FileEnd) -> Result<(StagedFile, DataFile), StoreError> {
    drop(open.bytes);
    let uploaded = open.task.await.expect("upload tasks neither panic nor are cancelled")?;
    let partition = open.file.partition;
    let file = StagedFile {
        key: open.file.key,
        table: open.file.table,
        kind: open.file.kind,
        partition: partition.path.to_string(),
        upload: uploaded.upload,
        parts: uploaded.parts,
        id: open.file.id,
        etag: uploaded.etag,
        size: uploaded.size,
        first_row: end.first_row,
        rows: end.statistics.rows,
        objects: end.objects,
    };
    Ok((file, DataFile { partition: partition.values, statistics: end.statistics }))
}

/// One file's upload.
struct Upload {
    store: Arc<dyn Store>,
    open_log: Arc<OpenLog>,
    attributes: Arc<ObjectAttributes>,
    part_bytes: usize,
    key: String,
    id: String,
}

impl Upload {
    async fn run(self, mut bytes: mpsc::Receiver<(Bytes, OwnedSemaphorePermit)>) -> Result<Uploaded, StoreError> {
        self.open_log.announce(&self.key).await?;
        let upload = self.store.create_upload(&self.key, &self.id, &self.attributes).await?;
        self.open_log.began(&self.key, &upload);
        let mut parts = Vec::new();
        let mut uploading = FuturesOrdered::new();
        let mut size = 0u64;
        let mut number = 0u32;
        let mut part = Part::default();
        loop {
            let received = tokio::select! {
                biased;
                Some(done) = uploading.next(), if !uploading.is_empty() => {
                    let done: Result<String, StoreError> = done;
                    parts.push(done?);
                    continue;
                }
                received = bytes.recv(), if uploading.len() < PARTS_AT_ONCE => received,
            };
            let Some((mut piece, mut permit)) = received else { break };
            size += piece.len() as u64;
            let room = self.part_bytes - part.bytes;
            if piece.len() >= room {
                part.take(piece.split_to(room), permit.split(room).expect("a permit for each byte"));
                number += 1;
                uploading.push_back(self.part(&upload, number, std::mem::take(&mut part)));
            }
            if !piece.is_empty() {
                part.take(piece, permit);
            }
        }
        if part.bytes > 0 || number == 0 {
            number += 1;
            uploading.push_back(self.part(&upload, number, part));
        }
        while let Some(done) = uploading.next().await {
            parts.push(done?);
        }
        drop(uploading);
        assert!(number <= PARTS_MAX, "rolling_policy closes a file before its last part");
        let etag = self.store.staged_etag(&self.key, &upload).await?.map(|etag| etag.as_str().to_owned());
        Ok(Uploaded { upload, parts, size, etag })
    }

    async fn part(&self, upload: &str, number: u32, part: Part) -> Result<String, StoreError> {
        let (pieces, permits) = part.end();
        let etag = self.store.upload_part(&self.key, upload, number, pieces).await;
        drop(permits);
        etag
    }
}

/// A part being filled: pieces, which are sent one after another and never put together, and the permits of their
/// bytes.
#[derive(Default)]
struct Part {
    pieces: Vec<Bytes>,
    /// Pieces too small to be sent alone.
    small: BytesMut,
    bytes: usize,
    permits: Option<OwnedSemaphorePermit>,
}

impl Part {
    /// Pieces up to this size are copied together: a write of its own costs about as much.
    const COPIED_BYTES_MAX: usize = 16 << 10;

    /// What copied pieces make at the most: a buffer that grew by doubling has twice what it holds.
    const SMALL_BYTES_MAX: usize = 64 << 10;

    fn take(&mut self, piece: Bytes, permit: OwnedSemaphorePermit) {
        self.bytes += piece.len();
        match &mut self.permits {
            Some(permits) => permits.merge(permit),
            None => self.permits = Some(permit),
        }
        if piece.len() <= Self::COPIED_BYTES_MAX {
            if self.small.len() + piece.len() > Self::SMALL_BYTES_MAX {
                self.end_small();
            }
            self.small.extend_from_slice(&piece);
        } else {
            self.end_small();
            self.pieces.push(piece);
        }
    }

    fn end_small(&mut self) {
        if !self.small.is_empty() {
            self.pieces.push(std::mem::take(&mut self.small).freeze());
        }
    }

    fn end(mut self) -> (Vec<Bytes>, Option<OwnedSemaphorePermit>) {
        self.end_small();
        (self.pieces, self.permits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::data_file::{Bound, ColumnStatistics, FileStatistics};
    use crate::model::hive::Partition;
    use crate::model::manifest::FileKind;
    use crate::model::scalar::Scalar;
    use crate::store::memory::MemoryStore;

    /// An attempt may make any number of files.
    #[test]
    fn statistics_of_columns_stay_within_their_bound() {
        let file = StagedFile {
            key: "a".into(),
            table: 0,
            kind: FileKind::Data,
            partition: String::new(),
            upload: "u".into(),
            parts: vec![],
            id: "id".into(),
            etag: None,
            size: 1,
            first_row: 0,
            rows: 1,
            objects: (0, 0),
        };
        let column = ColumnStatistics {
            path: vec!["column".into()],
            compressed_bytes: 1,
            values: 1,
            nulls: Some(0),
            nans: None,
            min: Some(Bound { value: Scalar::Text("x".repeat(64)), exact: true }),
            max: None,
        };
        let statistics = FileStatistics { rows: 1, columns: vec![column; 100], ..FileStatistics::default() };
        let one_bytes = statistics.columns_memory_bytes();
        let mut staged = Staged::default();
        for _ in 0..1000 {
            let data_file = DataFile { statistics: statistics.clone(), ..DataFile::default() };
            staged.add((file.clone(), data_file));
        }
        let kept = staged.data_files.iter().filter(|data_file| !data_file.statistics.columns.is_empty()).count();
        assert_eq!(kept, Staged::COLUMNS_BYTES_MAX / one_bytes);
        assert!(kept > 50 && staged.data_files.iter().all(|data_file| data_file.statistics.rows == 1));
    }

    /// However a file comes in pieces, and with permits for no more than two parts, it becomes parts of one size and
    /// the same bytes.
    #[tokio::test(flavor = "multi_thread")]
    async fn pieces_of_any_size_become_parts_of_one() {
        const SMALL: usize = 1000;
        const LARGE: usize = 100 << 10;
        for (part, pieces) in [
            (SMALL, vec![1000, 1000, 1]),
            (SMALL, vec![999, 1000, 1, 1000, 998, 2, 1000]),
            (SMALL, vec![1, 1000, 1000]),
            (SMALL, vec![2, 1000, 500, 1000]),
            (SMALL, vec![2500, 7]),
            (SMALL, vec![3, 3]),
            (SMALL, vec![]),
            // Copied together, sent as they are, and one after the other.
            (
                LARGE,
                vec![
                    5,
                    Part::COPIED_BYTES_MAX,
                    7,
                    Part::COPIED_BYTES_MAX + 1,
                    9,
                    2 * LARGE,
                    11,
                    LARGE / 2,
                    LARGE / 2 - 11,
                ],
            ),
        ] {
            let memory = MemoryStore::new("lake");
            let store: Arc<dyn Store> = Arc::new(memory.clone());
            let open_log = Arc::new(OpenLog::new(Arc::clone(&store), "_s3sync/log".into(), None));
            let (mut sender, stager) = channel(Arc::clone(&store), open_log, Arc::default(), part as u64, 0);
            let whole: Vec<u8> = (0..pieces.iter().sum::<usize>()).map(|at| at as u8).collect();
            let bytes = Bytes::from(whole.clone());
            let wanted = pieces.clone();
            let layout = tokio::task::spawn_blocking(move || {
                let file = NewFile {
                    key: "a".into(),
                    id: "id".into(),
                    table: 0,
                    partition: Partition::default(),
                    kind: FileKind::Data,
                };
                sender.begin(file).unwrap();
                let mut at = 0;
                for piece in wanted {
                    sender.bytes(bytes.slice(at..at + piece)).unwrap();
                    at += piece;
                }
                let statistics = FileStatistics { rows: 1, ..FileStatistics::default() };
                sender.end(FileEnd { statistics, first_row: 0, objects: (0, 0) }).unwrap();
            });
            let staged = tokio::time::timeout(std::time::Duration::from_secs(60), stager.run())
                .await
                .expect("no piece waits for ever")
                .unwrap();
            layout.await.unwrap();
            let [file] = staged.files.as_slice() else { panic!("{staged:?}") };
            assert_eq!(
                (file.size as usize, file.parts.len()),
                (whole.len(), whole.len().div_ceil(part).max(1)),
                "{pieces:?}"
            );
            store.complete_upload("a", &file.upload, &file.parts, true).await.unwrap();
            assert_eq!(memory.peek("a").unwrap(), whole, "{pieces:?}");
        }
    }
}
