//! Rows that wait on disk: one file without a name, which the system frees when the process ends, however it ends.
//!
//! The file is a sequence of frames. Each belongs to a chain (a partition) and says where the frame before it in that
//! chain lies, so that memory holds one position a chain, however many frames there are. A frame is a header and an
//! Arrow IPC record batch.
//!
//! What is written and read again within seconds often never leaves the system's page cache, which is faster than any
//! compression. Where the file takes bytes at the speed of a disk instead, frames are compressed with LZ4, which costs
//! less than the disk it saves.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::buffer::MutableBuffer;
use arrow::ipc::reader::read_record_batch;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions};
use arrow::ipc::{MetadataVersion, root_as_message};
use arrow_schema::{ArrowError, SchemaRef};

/// Why scratch cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScratchError {
    /// The system refused.
    #[error("scratch in {}: {source}; is there room for worker.scratch?", .dir.display())]
    Io {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What was read is not what was written.
    #[error("scratch in {} is damaged: {reason}", .dir.display())]
    Damaged {
        /// The directory.
        dir: PathBuf,
        /// How it showed.
        reason: String,
    },
}

/// The file.
#[derive(Debug)]
pub(super) struct Scratch {
    file: File,
    dir: PathBuf,
    end: u64,
    rows_bytes: u64,
    pace: Pace,
}

/// How fast the file takes bytes.
#[derive(Debug, Default)]
struct Pace {
    bytes: u64,
    time: Duration,
    slow: bool,
}

impl Pace {
    /// Bytes by which it is judged: more than what a disk's own cache takes at once, and some tens of milliseconds of a
    /// disk.
    const JUDGED_BYTES: u64 = 16 << 20;

    /// What a good disk takes in a second. LZ4 on one core is twice as fast, memory ten times.
    const DISK_BYTES_PER_SECOND: u64 = 256 << 20;

    fn wrote(&mut self, bytes: u64, time: Duration) {
        self.bytes += bytes;
        self.time += time;
        if self.bytes >= Self::JUDGED_BYTES {
            let allowed = Duration::from_secs(1).mul_f64(self.bytes as f64 / Self::DISK_BYTES_PER_SECOND as f64);
            *self = Self { slow: self.time > allowed, ..Self::default() };
        }
    }
}

/// Where the frames of one partition are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chain {
    /// Offset of the last frame plus one; 0: no frame.
    last: u64,
    /// Frames.
    pub frames: u64,
}

/// Rows, encoded, on their way to the file.
pub(super) struct Frame {
    body: Vec<u8>,
    body_bytes: u32,
    message_bytes: u32,
    pub objects: (u32, u32),
}

/// Rows as they come back, with the first and last object that they come from.
pub(super) type Stored = (RecordBatch, (u32, u32));

/// A frame's place and header, as read from the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameRef {
    offset: u64,
    previous: u64,
    stored_bytes: u32,
    body_bytes: u32,
    message_bytes: u32,
    objects: (u32, u32),
}

impl Frame {
    /// Encodes rows, and compresses them where that makes them smaller. `batch` has at most a few tens of megabytes, so
    /// that its sizes fit 32 bits.
    pub fn new(batch: &RecordBatch, objects: (u32, u32), compress: bool) -> Result<Self, ArrowError> {
        // Dictionaries would have to travel beside the batch: schemas of tables have none.
        let mut tracker = DictionaryTracker::new(false);
        let encoded = IpcDataGenerator::default()
            .encode(batch, &mut tracker, &IpcWriteOptions::default(), &mut Default::default())?
            .1;
        let too_large = |_| ArrowError::IpcError("a frame is larger than 4 GiB".to_owned());
        let message_bytes = u32::try_from(encoded.ipc_message.len()).map_err(too_large)?;
        // The arrays stand first: their alignment is the buffer's.
        let mut body = encoded.arrow_data;
        body.extend_from_slice(&encoded.ipc_message);
        let body_bytes = u32::try_from(body.len()).map_err(too_large)?;
        let smaller =
            compress.then(|| lz4_flex::block::compress(&body)).filter(|compressed| compressed.len() < body.len());
        Ok(Self { body: smaller.unwrap_or(body), body_bytes, message_bytes, objects })
    }
}

impl FrameRef {
    const BYTES: usize = 28;

    fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.previous.to_le_bytes());
        let words = [self.stored_bytes, self.body_bytes, self.message_bytes, self.objects.0, self.objects.1];
        for (at, word) in words.into_iter().enumerate() {
            bytes[8 + at * 4..12 + at * 4].copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn of_bytes(offset: u64, bytes: &[u8; Self::BYTES]) -> Self {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let previous = u64::from(word(0)) | u64::from(word(4)) << 32;
        Self {
            offset,
            previous,
            stored_bytes: word(8),
            body_bytes: word(12),
            message_bytes: word(16),
            objects: (word(20), word(24)),
        }
    }

    /// Bytes of the rows once read.
    pub fn body_bytes(&self) -> usize {
        self.body_bytes as usize
    }

    fn is_compressed(&self) -> bool {
        self.stored_bytes < self.body_bytes
    }
}

impl Scratch {
    /// Makes the file.
    pub fn new(dir: &Path) -> Result<Self, ScratchError> {
        let file = std::fs::create_dir_all(dir).and_then(|()| tempfile::tempfile_in(dir));
        let file = file.map_err(|source| ScratchError::Io { dir: dir.to_owned(), source })?;
        Ok(Self { file, dir: dir.to_owned(), end: 0, rows_bytes: 0, pace: Pace::default() })
    }

    /// Bytes of the rows in it before they were compressed, and the most that it has in use: what it holds at once
    /// decides which rows share a file, so that may not depend on how fast the disk is (invariant I5).
    pub fn bytes(&self) -> u64 {
        self.rows_bytes
    }

    /// Whether the next frames are better compressed.
    pub fn compresses(&self) -> bool {
        self.pace.slow
    }

    /// Adds a frame to a chain.
    pub fn append(&mut self, chain: &mut Chain, frame: &Frame) -> Result<(), ScratchError> {
        let header = FrameRef {
            offset: self.end,
            previous: chain.last,
            stored_bytes: u32::try_from(frame.body.len()).map_err(|_| self.damaged("a frame is larger than 4 GiB"))?,
            body_bytes: frame.body_bytes,
            message_bytes: frame.message_bytes,
            objects: frame.objects,
        };
        let started = Instant::now();
        self.file.write_all_at(&header.to_bytes(), self.end).map_err(|source| self.io(source))?;
        self.file.write_all_at(&frame.body, self.end + FrameRef::BYTES as u64).map_err(|source| self.io(source))?;
        chain.last = self.end + 1;
        chain.frames += 1;
        let bytes = (FrameRef::BYTES + frame.body.len()) as u64;
        self.pace.wrote(bytes, started.elapsed());
        self.end += bytes;
        self.rows_bytes += FrameRef::BYTES as u64 + u64::from(frame.body_bytes);
        Ok(())
    }

    /// The frames of a chain, in the order they were added.
    pub fn frames(&self, chain: Chain) -> Result<Vec<FrameRef>, ScratchError> {
        let mut frames = Vec::new();
        let mut next = chain.last;
        while next > 0 {
            let mut bytes = [0; FrameRef::BYTES];
            self.file.read_exact_at(&mut bytes, next - 1).map_err(|source| self.io(source))?;
            let frame = FrameRef::of_bytes(next - 1, &bytes);
            if frame.previous >= next {
                return Err(self.damaged("a chain of frames does not end"));
            }
            next = frame.previous;
            frames.push(frame);
        }
        frames.reverse();
        Ok(frames)
    }

    /// The rows of a frame.
    pub fn read(&self, frame: FrameRef, schema: &SchemaRef) -> Result<Stored, ScratchError> {
        let offset = frame.offset + FrameRef::BYTES as u64;
        let mut body = MutableBuffer::from_len_zeroed(frame.body_bytes as usize);
        let bytes = if frame.is_compressed() {
            let mut stored = vec![0; frame.stored_bytes as usize];
            self.file.read_exact_at(&mut stored, offset).map_err(|source| self.io(source))?;
            lz4_flex::block::decompress_into(&stored, &mut body).map_err(|error| self.damaged(error))?
        } else {
            self.file.read_exact_at(&mut body, offset).map_err(|source| self.io(source))?;
            body.len()
        };
        let message_at =
            bytes.checked_sub(frame.message_bytes as usize).ok_or_else(|| self.damaged("a frame is too short"))?;
        let body = arrow::buffer::Buffer::from(body);
        let message = root_as_message(&body[message_at..bytes]).map_err(|error| self.damaged(error))?;
        let batch = message.header_as_record_batch().ok_or_else(|| self.damaged("a frame holds no rows"))?;
        let arrays = body.slice_with_length(0, message_at);
        let rows =
            read_record_batch(&arrays, batch, Arc::clone(schema), &Default::default(), None, &MetadataVersion::V5);
        Ok((rows.map_err(|error| self.damaged(error))?, frame.objects))
    }

    /// Gives every frame up.
    pub fn clear(&mut self) -> Result<(), ScratchError> {
        (self.end, self.rows_bytes) = (0, 0);
        self.file.set_len(0).map_err(|source| self.io(source))
    }

    fn io(&self, source: io::Error) -> ScratchError {
        ScratchError::Io { dir: self.dir.clone(), source }
    }

    fn damaged(&self, reason: impl ToString) -> ScratchError {
        ScratchError::Damaged { dir: self.dir.clone(), reason: reason.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, StringArray};

    use super::*;

    fn rows(from: usize) -> RecordBatch {
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values(
            (from..from + 100).map(|row| format!("a text that repeats itself {row}")),
        ));
        RecordBatch::try_from_iter([("text", texts)]).unwrap()
    }

    #[test]
    fn frames_come_back_in_order_compressed_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut scratch = Scratch::new(dir.path()).unwrap();
        let mut chains = [Chain::default(), Chain::default()];
        for at in 0..8 {
            let frame = Frame::new(&rows(at), (at as u32, 9), at % 3 == 1).unwrap();
            assert_eq!(frame.body.len() < frame.body_bytes as usize, at % 3 == 1);
            scratch.append(&mut chains[at % 2], &frame).unwrap();
        }
        for (parity, chain) in chains.into_iter().enumerate() {
            let frames = scratch.frames(chain).unwrap();
            let read: Vec<Stored> =
                frames.into_iter().map(|frame| scratch.read(frame, &rows(0).schema()).unwrap()).collect();
            assert_eq!(read, (parity..8).step_by(2).map(|at| (rows(at), (at as u32, 9))).collect::<Vec<_>>());
        }
        assert!(scratch.end < scratch.bytes(), "what is in use is never more than the rows");
        scratch.clear().unwrap();
        assert_eq!((scratch.end, scratch.bytes()), (0, 0));
    }

    #[test]
    fn a_disk_is_told_from_memory() {
        let mut pace = Pace::default();
        let mut seen = Vec::new();
        for (mib, milliseconds) in [(8, 100), (8, 100), (16, 10), (15, 1000), (1, 1), (16, 60), (16, 65)] {
            pace.wrote(mib << 20, Duration::from_millis(milliseconds));
            seen.push(pace.slow);
        }
        assert_eq!(seen, [false, true, false, false, true, false, true]);
    }
}
