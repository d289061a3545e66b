//! Writes a sorted run as segments.

use crate::model::ledger::Entry;
use crate::model::plan::SegmentRef;
use crate::state::blobs::{BlobError, Blobs};
use crate::state::wire::{BlobKind, BlobWriter};

/// A segment closes at this many compressed bytes: some 25,000 entries. Small enough to be held while it is written,
/// and for a merge to reuse most of a run as it is; large enough that a million objects are 40 requests.
const SEGMENT_BYTES: usize = 1 << 20;

/// Takes entries in key order and writes them as segments. What it writes depends on the entries alone, so doing it
/// twice writes the same blobs.
pub struct SegmentWriter<'a> {
    blobs: &'a Blobs,
    epoch: u64,
    segment_bytes: usize,
    open: Option<Open>,
    segments: Vec<SegmentRef>,
}

struct Open {
    blob: BlobWriter,
    first: String,
    last: String,
}

impl<'a> SegmentWriter<'a> {
    /// An empty run, written for `epoch`.
    pub fn new(blobs: &'a Blobs, epoch: u64) -> Self {
        Self::cutting_at(SEGMENT_BYTES, blobs, epoch)
    }

    /// The same with segments of another size.
    pub(super) fn cutting_at(segment_bytes: usize, blobs: &'a Blobs, epoch: u64) -> Self {
        Self { blobs, epoch, segment_bytes, open: None, segments: Vec::new() }
    }

    /// Segments below this are better written anew when runs are merged, so that many small epochs do not leave many
    /// small segments.
    pub(super) fn adopted_bytes_min(&self) -> u64 {
        self.segment_bytes as u64 / 4
    }

    /// Adds an entry, whose key is greater than all before.
    pub async fn push(&mut self, entry: &Entry) -> Result<(), BlobError> {
        let key = &entry.object.key;
        assert!(self.last().is_none_or(|last| last < key.as_str()), "entries come in key order");
        let open = self.open.get_or_insert_with(|| Open {
            blob: BlobWriter::new(BlobKind::Objects),
            first: key.clone(),
            last: String::new(),
        });
        open.blob.line(entry);
        open.last.clone_from(key);
        if open.blob.bytes() >= self.segment_bytes { self.close().await } else { Ok(()) }
    }

    /// Takes a segment over as it is; its keys are greater than all before.
    pub async fn adopt(&mut self, segment: SegmentRef) -> Result<(), BlobError> {
        assert!(self.last().is_none_or(|last| last < segment.first.as_str()), "segments come in key order");
        self.close().await?;
        self.segments.push(segment);
        Ok(())
    }

    /// The run.
    pub async fn finish(mut self) -> Result<Vec<SegmentRef>, BlobError> {
        self.close().await?;
        Ok(self.segments)
    }

    fn last(&self) -> Option<&str> {
        match &self.open {
            Some(open) => Some(&open.last),
            None => self.segments.last().map(|segment| segment.last.as_str()),
        }
    }

    async fn close(&mut self) -> Result<(), BlobError> {
        let Some(Open { blob, first, last }) = self.open.take() else { return Ok(()) };
        let entries = blob.lines();
        let bytes = blob.finish();
        let size = bytes.len() as u64;
        let blob = self.blobs.put_bytes(self.epoch, BlobKind::Objects, bytes).await?;
        self.segments.push(SegmentRef { blob, first, last, entries, bytes: size });
        Ok(())
    }
}
