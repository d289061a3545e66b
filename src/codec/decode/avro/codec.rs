//! Blocks as their records are: the codecs of the specification, each held to what a block may take. The arrow-avro
//! crate inflates without a bound, so that it is given blocks without a codec.

use std::io::Read;

use bytes::Bytes;

use super::container::too_large;
use super::{bad, bad_at};
use crate::codec::DecodeError;

/// How the blocks of an object are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    /// As they are.
    Null,
    /// RFC 1951, without header and checksum.
    Deflate,
    /// Snappy without frames, and the CRC-32 of what it was.
    Snappy,
    /// RFC 8878.
    Zstandard,
    /// bzip2.
    Bzip2,
    /// The xz container.
    Xz,
}

/// What inflating one block may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of a block, stored or not.
    pub block_bytes: u64,
    /// Bytes of zstd's window.
    pub zstd_window: u64,
}

impl Codec {
    /// The codec that a header names; without a name there is none.
    ///
    /// # Errors
    /// A name that the specification does not know.
    pub fn of_name(name: Option<&[u8]>) -> Result<Self, DecodeError> {
        match name {
            None | Some(b"null" | b"") => Ok(Self::Null),
            Some(b"deflate") => Ok(Self::Deflate),
            Some(b"snappy") => Ok(Self::Snappy),
            Some(b"zstandard") => Ok(Self::Zstandard),
            Some(b"bzip2") => Ok(Self::Bzip2),
            Some(b"xz") => Ok(Self::Xz),
            Some(other) => {
                let name: String = String::from_utf8_lossy(other).chars().take(40).collect();
                Err(bad(format!(
                    "its blocks are compressed by {name:?}; null, deflate, snappy, zstandard, bzip2 and xz can be read"
                )))
            }
        }
    }

    /// The bytes of the block at `offset`, which stays in memory while they are made.
    ///
    /// # Errors
    /// [`DecodeError::Bad`] where they are corrupt, [`DecodeError::TooLarge`] where they inflate to more than allowed.
    pub fn inflate(self, data: &Bytes, offset: u64, limits: Limits) -> Result<Bytes, DecodeError> {
        let all = |reader: &mut dyn Read| read_bounded(reader, offset, limits.block_bytes);
        let corrupt = |error: &dyn std::fmt::Display| bad_at(offset, format!("a block is corrupt: {error}"));
        match self {
            Self::Null => Ok(data.clone()),
            Self::Deflate => all(&mut flate2::read::DeflateDecoder::new(&data[..])),
            Self::Snappy => {
                let cut = data.len().checked_sub(4).ok_or_else(|| corrupt(&"it has no checksum"))?;
                let (data, sum) = data.split_at(cut);
                let bytes = snap::raw::decompress_len(data).map_err(|error| corrupt(&error))? as u64;
                if bytes > limits.block_bytes {
                    return Err(too_large(offset, bytes, limits.block_bytes));
                }
                let inflated = snap::raw::Decoder::new().decompress_vec(data).map_err(|error| corrupt(&error))?;
                if crc32fast::hash(&inflated).to_be_bytes() != sum {
                    return Err(corrupt(&"its checksum is another"));
                }
                Ok(inflated.into())
            }
            Self::Zstandard => {
                let mut decoder = zstd::Decoder::with_buffer(&data[..]).map_err(|error| corrupt(&error))?;
                decoder.window_log_max(limits.zstd_window.max(1024).ilog2()).map_err(|error| corrupt(&error))?;
                all(&mut decoder)
            }
            Self::Bzip2 => all(&mut bzip2::read::BzDecoder::new(&data[..])),
            Self::Xz => {
                // What a dictionary takes is in the stream's head, and reserved by it.
                let stream = liblzma::stream::Stream::new_stream_decoder(limits.block_bytes, 0);
                let stream = stream.map_err(|error| corrupt(&error))?;
                all(&mut liblzma::read::XzDecoder::new_stream(&data[..], stream))
            }
        }
    }
}

fn read_bounded(reader: &mut dyn Read, offset: u64, bytes_max: u64) -> Result<Bytes, DecodeError> {
    let mut inflated = Vec::new();
    // One byte more tells the block that is too large.
    reader
        .take(bytes_max.saturating_add(1))
        .read_to_end(&mut inflated)
        .map_err(|error| bad_at(offset, format!("a block is corrupt: {error}")))?;
    if inflated.len() as u64 > bytes_max {
        return Err(too_large(offset, inflated.len() as u64, bytes_max));
    }
    Ok(inflated.into())
}
