//! An object's bytes as the parquet crate asks for them.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, Length};

use crate::codec::decode::object::ReadAt;

/// Bytes by offset. Clones share them.
#[derive(Clone)]
pub(in crate::codec) struct ObjectReader(Arc<dyn ReadAt>);

impl ObjectReader {
    pub(super) fn new(bytes: Arc<dyn ReadAt>) -> Self {
        Self(bytes)
    }

    pub(super) fn is_held(&self) -> bool {
        self.0.is_held()
    }
}

impl Length for ObjectReader {
    fn len(&self) -> u64 {
        self.0.size()
    }
}

impl ChunkReader for ObjectReader {
    type T = SequentialRead;

    fn get_read(&self, start: u64) -> ParquetResult<SequentialRead> {
        Ok(SequentialRead { object: self.clone(), offset: start, bytes: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let mut bytes = self.0.read_at(start)?;
        if bytes.len() >= length {
            return Ok(bytes.slice(..length));
        }
        let mut whole = Vec::with_capacity(length);
        while whole.len() < length {
            if bytes.is_empty() {
                return Err(ParquetError::EOF(format!("the object ends before byte {}", start + length as u64)));
            }
            let take = bytes.len().min(length - whole.len());
            whole.extend_from_slice(&bytes[..take]);
            if whole.len() < length {
                bytes = self.0.read_at(start + whole.len() as u64)?;
            }
        }
        Ok(Bytes::from(whole))
    }
}

/// A sequential read from one offset.
pub(in crate::codec) struct SequentialRead {
    object: ObjectReader,
    offset: u64,
    bytes: Bytes,
}

impl Read for SequentialRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() {
            self.bytes = self.object.0.read_at(self.offset)?;
        }
        let take = buffer.len().min(self.bytes.len());
        self.bytes.copy_to_slice(&mut buffer[..take]);
        self.offset += take as u64;
        Ok(take)
    }
}
