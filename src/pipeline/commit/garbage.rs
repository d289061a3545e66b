//! What is to be removed, as the cursor's garbage blob names it: written when an epoch is recorded or given up, emptied
//! by the [sweep](super::sweep).

use serde::{Deserialize, Serialize};

use crate::model::commit_record::CommittedFile;
use crate::model::plan::BlobKey;
use crate::pipeline::open_log::OpenUpload;
use crate::state::blobs::{BlobError, Blobs};
use crate::state::wire::{BlobKind, BlobWriter};
use crate::store::Head;

/// Entries of one line of a garbage blob: a line is read as a whole, and this one has some 15 MB where every key has
/// the length that S3 allows.
const LINE_ENTRIES_MAX: usize = 10_000;

/// What the next sweep removes: a line of a garbage blob, which may have several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Garbage {
    /// Version of this format. The first had none, and knew a file by its etag alone; before the third a blob had one
    /// line, and it listed every file that was replaced.
    #[serde(default = "first_version")]
    pub version: u32,
    /// Files of a generation that Replace has replaced, as earlier releases listed them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<GarbageFile>,
    /// The commit records of that generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<Replaced>,
    /// Uploads that no decision names.
    pub uploads: Vec<OpenUpload>,
    /// Blobs of epochs before the last but one.
    pub blobs: Vec<String>,
}

fn first_version() -> u32 {
    1
}

impl Default for Garbage {
    fn default() -> Self {
        Self { version: Self::VERSION, files: Vec::new(), replaced: None, uploads: Vec::new(), blobs: Vec::new() }
    }
}

/// A generation that was replaced: by its commit records, because after Append it may have a million files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// Its last record. Those before it belong to it too, back to the last that replaced what was there.
    pub from: BlobKey,
    /// The record in their place: no file that has a key of it goes.
    pub by: BlobKey,
}

/// A published file that is no longer current.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GarbageFile {
    /// Its key.
    pub key: String,
    /// Its etag, as it was recorded: what a file is known by where there is no metadata. Servers may show another one
    /// later.
    pub etag: String,
    /// Its `s3sync-id`; not there in the first version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its bytes; not there in the first version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

impl GarbageFile {
    /// Whether what stands at the key is this file: by id and size where the store keeps metadata, else by etag.
    pub(super) fn is(&self, head: &Head, keeps_metadata: bool) -> bool {
        match &self.id {
            Some(id) if keeps_metadata => {
                head.id.as_ref() == Some(id) && self.bytes.is_none_or(|bytes| bytes == head.size)
            }
            _ => head.etag.as_str() == self.etag,
        }
    }
}

impl From<CommittedFile> for GarbageFile {
    fn from(file: CommittedFile) -> Self {
        Self { key: file.key, etag: file.etag, id: Some(file.id), bytes: Some(file.bytes) }
    }
}

impl Garbage {
    /// The format that this build writes.
    pub const VERSION: u32 = 3;

    /// Whether there is nothing to remove.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Writes the blob of it.
    pub async fn put(self, blobs: &Blobs, epoch: u64) -> Result<BlobKey, BlobError> {
        self.put_with(blobs, epoch, None).await
    }

    /// The same with all that an older blob names.
    pub async fn put_with(self, blobs: &Blobs, epoch: u64, older: Option<&BlobKey>) -> Result<BlobKey, BlobError> {
        let mut blob = BlobWriter::new(BlobKind::Garbage);
        if let Some(older) = older {
            let mut lines = blobs.lines(older, BlobKind::Garbage);
            while let Some(garbage) = lines.next::<Garbage>().await? {
                garbage.write(&mut blob);
            }
        }
        self.write(&mut blob);
        blobs.put(epoch, BlobKind::Garbage, blob).await
    }

    fn write(self, blob: &mut BlobWriter) {
        for files in self.files.chunks(LINE_ENTRIES_MAX) {
            blob.line(&Garbage { files: files.to_vec(), ..Garbage::default() });
        }
        if self.replaced.is_some() {
            blob.line(&Garbage { replaced: self.replaced, ..Garbage::default() });
        }
        for uploads in self.uploads.chunks(LINE_ENTRIES_MAX) {
            blob.line(&Garbage { uploads: uploads.to_vec(), ..Garbage::default() });
        }
        for keys in self.blobs.chunks(LINE_ENTRIES_MAX) {
            blob.line(&Garbage { blobs: keys.to_vec(), ..Garbage::default() });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::memory::MemoryStore;

    #[tokio::test]
    async fn lists_of_any_length_go_into_lines_of_bounded_length() {
        let memory = MemoryStore::new("lake");
        let blobs = Blobs::new(Arc::new(memory.clone()), "_s3sync", "abc");
        let many =
            |what: &str| (0..2 * LINE_ENTRIES_MAX + 1).map(|number| format!("{what}{number}")).collect::<Vec<_>>();
        let open = |key: String| OpenUpload { key, upload: "u".into() };
        let garbage = Garbage {
            uploads: many("out/").into_iter().map(open).collect(),
            blobs: many("_s3sync/abc/1/"),
            ..Garbage::default()
        };
        let older = garbage.clone().put(&blobs, 1).await.unwrap();
        let key = garbage.clone().put_with(&blobs, 2, Some(&older)).await.unwrap();
        let (mut lines, mut read, mut count) = (blobs.lines(&key, BlobKind::Garbage), Garbage::default(), 0);
        while let Some(line) = lines.next::<Garbage>().await.unwrap() {
            assert!(line.uploads.len() + line.blobs.len() <= LINE_ENTRIES_MAX);
            read.uploads.extend(line.uploads);
            read.blobs.extend(line.blobs);
            count += 1;
        }
        assert_eq!(count, 12);
        let twice = Garbage {
            uploads: [&garbage.uploads[..]; 2].concat(),
            blobs: [&garbage.blobs[..]; 2].concat(),
            ..Garbage::default()
        };
        assert_eq!(read, twice);
    }
}
