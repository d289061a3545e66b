//! Text becomes blocks of whole records.

use bytes::{Bytes, BytesMut};

use super::json::ValueScan;
use crate::codec::decode::csv::RecordScan;
use crate::codec::{Block, DecodeError, LineEnd, Position};

/// Finds ends of records.
pub(super) enum Scan {
    /// Every newline: a carriage return is white space of JSON.
    Lines,
    /// Line ends outside quotes.
    Records(RecordScan),
    /// Ends of whole JSON values.
    Values(ValueScan),
}

impl Scan {
    fn end(&mut self, piece: &[u8], min: usize) -> Result<Option<usize>, DecodeError> {
        match self {
            Scan::Lines => {
                let from = min.saturating_sub(1);
                let newline = piece.get(from..).and_then(|rest| memchr::memchr(b'\n', rest));
                Ok(newline.map(|newline| from + newline + 1))
            }
            Scan::Records(scan) => Ok(scan.end(piece, min)),
            Scan::Values(scan) => scan.end(piece, min),
        }
    }
}

/// Cuts text at ends of records. A block that lies whole inside one fed chunk is a slice of it; others are gathered.
pub(super) struct Splitter {
    pub(super) scan: Scan,
    record_bytes_max: usize,
    /// Text of the next block that is scanned and has no end yet.
    carry: BytesMut,
    /// Text behind it, not scanned.
    chunk: Bytes,
    ended: bool,
    /// Where the next block begins.
    offset: u64,
    /// Its line, from 1; 0 when unknown.
    line: u64,
    /// How lines are counted, once one was seen.
    line_end: Option<LineEnd>,
}

impl Splitter {
    pub(super) fn new(scan: Scan, record_bytes_max: usize, offset: u64, line: u64) -> Splitter {
        Splitter {
            scan,
            record_bytes_max,
            carry: BytesMut::new(),
            chunk: Bytes::new(),
            ended: false,
            offset,
            line,
            line_end: None,
        }
    }

    pub(super) fn feed(&mut self, text: Bytes) {
        assert!(self.chunk.is_empty(), "fed before the last text was used up");
        self.chunk = text;
    }

    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Counts bytes that stand before the text and are no part of it.
    pub(super) fn skip_bytes(&mut self, bytes: u64) {
        self.offset += bytes;
    }

    /// No text is waiting.
    pub(super) fn is_empty(&self) -> bool {
        self.carry.is_empty() && self.chunk.is_empty()
    }

    /// All text was given out.
    pub(super) fn is_finished(&self) -> bool {
        self.ended && self.is_empty()
    }

    /// The next block: it ends with the first record that ends `min` bytes or more from its start (which must be the
    /// same in every call until a block comes), or with the text. `None`: it needs more text, or is finished.
    pub(super) fn cut(&mut self, min: usize) -> Result<Option<Block>, DecodeError> {
        let wanted = min.max(1).saturating_sub(self.carry.len());
        let bytes = match self.scan.end(&self.chunk, wanted).map_err(|error| self.located(error))? {
            Some(end) if self.carry.is_empty() => self.chunk.split_to(end),
            Some(end) => {
                self.carry.extend_from_slice(&self.chunk.split_to(end));
                self.carry.split().freeze()
            }
            None => {
                if self.carry.is_empty() && !self.chunk.is_empty() {
                    // A block is a little longer than its minimum.
                    self.carry.reserve((min + min / 16).max(self.chunk.len()));
                }
                self.carry.extend_from_slice(&std::mem::take(&mut self.chunk));
                // The record around the minimum began at it or before, so that it is longer than the limit now.
                if self.carry.len() > min.saturating_add(self.record_bytes_max) {
                    return Err(self.too_long());
                }
                if !self.ended {
                    return Ok(None);
                }
                self.finish()?;
                if self.carry.is_empty() {
                    return Ok(None);
                }
                self.carry.split().freeze()
            }
        };
        // A carriage return and its newline are never cut apart.
        self.line_end = self.line_end.or_else(|| LineEnd::of_first(&bytes));
        let block = Block { offset: self.offset, line: self.line, line_end: self.line_end.unwrap_or_default(), bytes };
        self.offset += block.bytes.len() as u64;
        if self.line > 0 {
            self.line += block.line_end.count(&block.bytes);
        }
        Ok(Some(block))
    }

    /// The text ends: inside a record?
    fn finish(&mut self) -> Result<(), DecodeError> {
        match &mut self.scan {
            Scan::Records(scan) if scan.open_quote().is_some() => {
                let (at, position) = self.open_quote();
                let reason = format!("the quote that opens{at} never closes");
                Err(DecodeError::Bad { reason, position: Some(position) })
            }
            Scan::Values(scan) => scan.finish().map_err(|reason| DecodeError::Bad {
                reason: reason.to_owned(),
                position: Some(self.position(self.carry.len())),
            }),
            _ => Ok(()),
        }
    }

    fn too_long(&self) -> DecodeError {
        let (what, position) = match &self.scan {
            Scan::Records(scan) if scan.open_quote().is_some() => {
                let (at, position) = self.open_quote();
                (format!("one record, whose quote opens{at} and may never close,"), position)
            }
            _ => ("one record".to_owned(), self.position(0)),
        };
        DecodeError::TooLarge {
            what,
            needed: self.carry.len() as u64,
            allowed: self.record_bytes_max as u64,
            position: Some(position),
        }
    }

    /// Where the open quote stands, in words and as a position.
    fn open_quote(&self) -> (String, Position) {
        let opened = match &self.scan {
            Scan::Records(scan) => scan.open_quote(),
            _ => None,
        };
        let opened = self.carry.len().saturating_sub(opened.unwrap_or(0) as usize);
        let position = self.position(opened);
        (position.line.map(|line| format!(" on line {line}")).unwrap_or_default(), position)
    }

    /// The position of a byte of the carry.
    fn position(&self, at: usize) -> Position {
        Position {
            line: (self.line > 0).then(|| self.line + self.lines(&self.carry[..at])),
            offset: self.offset + at as u64,
        }
    }

    /// The line ends in a part of the next block.
    fn lines(&self, text: &[u8]) -> u64 {
        self.line_end.or_else(|| LineEnd::of_first(&self.carry)).unwrap_or_default().count(text)
    }

    /// Errors of scans tell offsets in the chunk.
    fn located(&self, error: DecodeError) -> DecodeError {
        match error {
            DecodeError::Bad { reason, position: Some(Position { offset, .. }) } => {
                let here = &self.chunk[..(offset as usize).min(self.chunk.len())];
                let line = (self.line > 0).then(|| self.line + self.lines(&self.carry) + self.lines(here));
                let offset = self.offset + self.carry.len() as u64 + offset;
                DecodeError::Bad { reason, position: Some(Position { line, offset }) }
            }
            other => other,
        }
    }
}
