//! Reads the ledger in key order: a merge of its runs, one segment of each open at a time.

use std::cmp::Reverse;
use std::collections::VecDeque;

use crate::model::ledger::Entry;
use crate::model::plan::SegmentRef;
use crate::state::blobs::{BlobError, Blobs, Lines};
use crate::state::wire::BlobKind;

/// Entries in strictly increasing key order, the newest of each key. Memory: one open segment's window for each run.
pub struct LedgerStream {
    blobs: Blobs,
    /// Oldest first.
    runs: Vec<RunReader>,
    after: Option<String>,
}

/// What a merge can take next.
#[derive(Debug)]
pub(super) enum Piece {
    /// An entry.
    Entry(Entry),
    /// A whole segment, untouched: no other run has a key in its range.
    Segment(SegmentRef),
}

struct RunReader {
    segments: VecDeque<SegmentRef>,
    open: Option<Lines>,
    head: Option<Entry>,
}

impl RunReader {
    /// The next key, or, of a segment that is not open yet, its first: never more than the next key.
    fn key(&self) -> Option<&str> {
        match &self.head {
            Some(entry) => Some(&entry.object.key),
            None => self.segments.front().map(|segment| segment.first.as_str()),
        }
    }

    /// Makes `head` the next entry beyond `after` of the segment at hand; none at its end, so that the next one can
    /// still be taken whole.
    async fn advance(&mut self, blobs: &Blobs, after: Option<&str>) -> Result<(), BlobError> {
        self.head = None;
        if self.open.is_none()
            && let Some(segment) = self.segments.front()
        {
            self.open = Some(blobs.lines(&segment.blob, BlobKind::Objects));
        }
        let Some(lines) = &mut self.open else { return Ok(()) };
        while let Some(entry) = lines.next::<Entry>().await? {
            if after.is_none_or(|after| entry.object.key.as_str() > after) {
                self.head = Some(entry);
                return Ok(());
            }
        }
        self.open = None;
        self.segments.pop_front();
        Ok(())
    }
}

impl LedgerStream {
    /// The entries of `runs` (oldest first) whose keys are greater than `after`. Segments that end before it are not
    /// read.
    pub fn new(blobs: &Blobs, runs: &[Vec<SegmentRef>], after: Option<&str>) -> Self {
        let reader = |run: &Vec<SegmentRef>| RunReader {
            segments: run
                .iter()
                .filter(|segment| after.is_none_or(|after| segment.last.as_str() > after))
                .cloned()
                .collect(),
            open: None,
            head: None,
        };
        Self { blobs: blobs.clone(), runs: runs.iter().map(reader).collect(), after: after.map(str::to_owned) }
    }

    /// The next entry; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Entry>, BlobError> {
        match self.next_piece(u64::MAX).await? {
            Some(Piece::Entry(entry)) => Ok(Some(entry)),
            Some(Piece::Segment(_)) => unreachable!("no segment has so many bytes"),
            None => Ok(None),
        }
    }

    /// The next entry or, where one of at least `bytes_min` overlaps no other run, the next segment.
    pub(super) async fn next_piece(&mut self, bytes_min: u64) -> Result<Option<Piece>, BlobError> {
        loop {
            // Of runs at the same key, one that must be opened first comes first, then the newest.
            let at_key = |at: usize| Some((self.runs[at].key()?, self.runs[at].head.is_some(), Reverse(at)));
            let Some((_, at_hand, Reverse(at))) = (0..self.runs.len()).filter_map(at_key).min() else {
                return Ok(None);
            };
            if !at_hand && self.stands_alone(at, bytes_min) {
                return Ok(self.runs[at].segments.pop_front().map(Piece::Segment));
            }
            let entry = self.runs[at].head.take();
            self.runs[at].advance(&self.blobs, self.after.as_deref()).await?;
            let Some(entry) = entry else { continue };
            for older in &mut self.runs[..at] {
                if older.key() == Some(&entry.object.key) {
                    older.advance(&self.blobs, self.after.as_deref()).await?;
                }
            }
            return Ok(Some(Piece::Entry(entry)));
        }
    }

    /// Whether the first segment of a run is not open, large enough, and ends before any other run goes on.
    fn stands_alone(&self, at: usize, bytes_min: u64) -> bool {
        let run = &self.runs[at];
        let Some(segment) = run.segments.front().filter(|segment| run.open.is_none() && segment.bytes >= bytes_min)
        else {
            return false;
        };
        let others = self.runs.iter().enumerate().filter(|(other, _)| *other != at);
        others.filter_map(|(_, run)| run.key()).all(|key| key > segment.last.as_str())
    }
}
