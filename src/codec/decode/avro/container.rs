//! Avro's object container: a header, then blocks, each with its count, its size and the object's marker behind it.
//! Sizes and counts are looked at before anything is reserved.

use bytes::{Buf, Bytes, BytesMut};

use super::codec::Codec;
use super::{bad, bad_at};
use crate::codec::DecodeError;

const MAGIC: &[u8; 4] = b"Obj\x01";
const SYNC_BYTES: usize = 16;

/// What stands before the blocks.
#[derive(Debug)]
pub(super) struct Header {
    /// The schema's JSON.
    pub schema: Bytes,
    pub codec: Codec,
    sync: [u8; SYNC_BYTES],
}

/// One block as it is stored.
#[derive(Debug)]
pub(super) struct Block {
    /// Where it begins in the object.
    pub offset: u64,
    /// Its records.
    pub count: u64,
    /// Their bytes, compressed.
    pub data: Bytes,
}

/// Takes the header from the object's first bytes; `None` while it is not all there.
///
/// # Errors
/// [`DecodeError::Bad`] where it is no Avro header; [`DecodeError::TooLarge`] beyond `bytes_max`.
pub(super) fn take_header(bytes: &mut BytesMut, bytes_max: u64) -> Result<Option<Header>, DecodeError> {
    let magic = &bytes[..bytes.len().min(MAGIC.len())];
    if !MAGIC.starts_with(magic) {
        return Err(bad("it is not avro: it does not begin with Obj and the version 1"));
    }
    let mut cursor = Cursor { bytes, at: MAGIC.len() };
    let Some(parts) = cursor.header()? else {
        if bytes.len() as u64 > bytes_max {
            let (what, needed) = ("the header".to_owned(), bytes.len() as u64);
            return Err(DecodeError::TooLarge { what, needed, allowed: bytes_max, position: None });
        }
        return Ok(None);
    };
    let end = cursor.at;
    let header = bytes.split_to(end).freeze();
    let schema = parts.schema.ok_or_else(|| bad("its header has no schema"))?;
    let codec = parts.codec.map(|range| header.slice(range));
    let mut sync = [0; SYNC_BYTES];
    sync.copy_from_slice(&header[end - SYNC_BYTES..]);
    Ok(Some(Header { schema: header.slice(schema), codec: Codec::of_name(codec.as_deref())?, sync }))
}

impl Header {
    /// Takes the next block, which begins at `offset` of the object; `None` while it is not all there.
    ///
    /// # Errors
    /// [`DecodeError::Bad`] where it is no block; [`DecodeError::TooLarge`] beyond `bytes_max`.
    pub fn take_block(&self, bytes: &mut BytesMut, offset: u64, bytes_max: u64) -> Result<Option<Block>, DecodeError> {
        let mut cursor = Cursor { bytes, at: 0 };
        let Some(count) = cursor.long().map_err(|()| corrupt(offset))? else { return Ok(None) };
        let Some(size) = cursor.long().map_err(|()| corrupt(offset))? else { return Ok(None) };
        let (Ok(count), Ok(size)) = (u64::try_from(count), u64::try_from(size)) else {
            return Err(bad_at(offset, format!("a block says that it has {count} records in {size} bytes")));
        };
        if size > bytes_max {
            return Err(too_large(offset, size, bytes_max));
        }
        let start = cursor.at;
        let stop = start + size as usize;
        let Some(sync) = bytes.get(stop..stop + SYNC_BYTES) else { return Ok(None) };
        if sync != self.sync {
            return Err(bad_at(offset, "the block does not end with the marker that the header gives"));
        }
        let mut block = bytes.split_to(stop + SYNC_BYTES).freeze();
        block.truncate(stop);
        block.advance(start);
        Ok(Some(Block { offset, count, data: block }))
    }
}

/// A block that takes more memory than there is, stored or not.
pub(super) fn too_large(offset: u64, needed: u64, allowed: u64) -> DecodeError {
    let position = Some(crate::codec::Position { line: None, offset });
    DecodeError::TooLarge { what: "a block".to_owned(), needed, allowed, position }
}

fn corrupt(offset: u64) -> DecodeError {
    bad_at(offset, "a block begins with a number of more than 64 bits")
}

#[derive(Default)]
struct Parts {
    schema: Option<std::ops::Range<usize>>,
    codec: Option<std::ops::Range<usize>>,
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    /// The metadata, and the marker behind it; `None` where the bytes end first.
    fn header(&mut self) -> Result<Option<Parts>, DecodeError> {
        let corrupt = |()| bad("its header is corrupt: a number has more than 64 bits");
        let mut parts = Parts::default();
        loop {
            let Some(count) = self.long().map_err(corrupt)? else { return Ok(None) };
            if count == 0 {
                break;
            }
            // A negative count is followed by the bytes that the pairs take.
            if count < 0 && self.long().map_err(corrupt)?.is_none() {
                return Ok(None);
            }
            for _ in 0..count.unsigned_abs() {
                let Some(key) = self.part()? else { return Ok(None) };
                let Some(value) = self.part()? else { return Ok(None) };
                match &self.bytes[key] {
                    b"avro.schema" => parts.schema = Some(value),
                    b"avro.codec" => parts.codec = Some(value),
                    _ => {}
                }
            }
        }
        self.at += SYNC_BYTES;
        Ok((self.at <= self.bytes.len()).then_some(parts))
    }

    /// Bytes with their length before them.
    fn part(&mut self) -> Result<Option<std::ops::Range<usize>>, DecodeError> {
        let corrupt = || bad("its header is corrupt: a length is no length");
        let Some(length) = self.long().map_err(|()| corrupt())? else { return Ok(None) };
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length)).ok_or_else(corrupt)?;
        if end > self.bytes.len() {
            return Ok(None);
        }
        let range = self.at..end;
        self.at = end;
        Ok(Some(range))
    }

    /// A zigzag number of 64 bits (Avro, "Binary Encoding"); `None` where the bytes end first.
    fn long(&mut self) -> Result<Option<i64>, ()> {
        let mut bits = 0u64;
        for (place, &byte) in self.bytes.get(self.at..).unwrap_or_default().iter().enumerate() {
            // The tenth byte holds the last bit.
            if place == 9 && byte > 1 {
                return Err(());
            }
            bits |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                self.at += place + 1;
                return Ok(Some((bits >> 1) as i64 ^ -((bits & 1) as i64)));
            }
        }
        Ok(None)
    }
}
