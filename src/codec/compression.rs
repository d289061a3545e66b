//! Decompression of whole objects, pulled in small pieces: however much a few bytes inflate to, one output chunk is
//! held.

use bytes::{Buf, Bytes};
use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, InBuffer, Operation, OutBuffer};

use super::{DecodeError, Position};
use crate::model::format::{Compression, CompressionRule};

/// Bytes of one output chunk at most: larger than the L1 cache, so that calls are rare, smaller than L2, so that it is
/// still warm for whoever reads it next.
const CHUNK_BYTES: usize = 256 << 10;

/// Bytes that [`detect`] needs to be sure.
pub const MAGIC_BYTES: usize = 4;

/// How an object is compressed: as the rule says or, under `auto`, as its first bytes say. The key's extension cannot
/// be trusted alone, since some clients decode on upload and keep the name, and bytes that begin with neither magic
/// number are nothing that gzip or zstd could read. No text begins with either magic number: both contain bytes that
/// are not UTF-8, and UTF-16 begins otherwise.
pub fn detect(rule: CompressionRule, first: &[u8]) -> Compression {
    match rule {
        // Nothing to decompress: an empty object has no rows, whatever its name.
        _ if first.is_empty() => Compression::None,
        CompressionRule::Fixed(compression) => compression,
        CompressionRule::Auto => match first {
            // RFC 1952 2.3.1
            [0x1f, 0x8b, ..] => Compression::Gzip,
            // RFC 8878 3.1.1, and skippable frames (3.1.2)
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
            _ => Compression::None,
        },
    }
}

/// What [`Decompressor::next`] came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Inflated {
    /// Everything that was fed is used up: feed more, or end.
    NeedsData,
    /// The next bytes, at most 256 KiB unless they are not compressed at all.
    Chunk(Bytes),
    /// The end.
    Finished,
}

/// Decompresses one object: feed bytes, take chunks until it needs data, and end it when there are no more bytes.
pub struct Decompressor {
    stream: Stream,
    input: Bytes,
    ended: bool,
    /// Bytes of the object used so far.
    consumed: u64,
}

enum Stream {
    Plain,
    Gzip(Gzip),
    Zstd(Zstd),
}

struct Gzip {
    /// `None` between members.
    member: Option<Decompress>,
    members: u64,
}

struct Zstd {
    decoder: zstd::stream::raw::Decoder<'static>,
    /// The bytes of a window at most.
    window_max: u64,
    /// Inside a frame, or output is pending.
    open: bool,
    frame: Vec<u8>,
}

impl Decompressor {
    /// A decompressor of one object. A zstd frame whose window is larger than `window_max` bytes is refused.
    ///
    /// # Errors
    /// Where zstd cannot allocate its context.
    pub fn new(compression: Compression, window_max: u64) -> Result<Decompressor, DecodeError> {
        let stream = match compression {
            Compression::None => Stream::Plain,
            Compression::Gzip => Stream::Gzip(Gzip { member: None, members: 0 }),
            Compression::Zstd => Stream::Zstd(Zstd::new(window_max).map_err(|error| bad(0, error.to_string()))?),
        };
        Ok(Decompressor { stream, input: Bytes::new(), ended: false, consumed: 0 })
    }

    /// Hands in the object's next bytes.
    ///
    /// # Panics
    /// When the last ones are not used up yet: [`Decompressor::next`] has to say [`Inflated::NeedsData`] first.
    pub fn feed(&mut self, bytes: Bytes) {
        assert!(self.input.is_empty(), "fed before the last bytes were used up");
        self.input = bytes;
    }

    /// Says that no bytes follow.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// The next bytes.
    ///
    /// # Errors
    /// A stream that is corrupt or ends early, with the offset in the object; a zstd window beyond the limit.
    #[allow(clippy::should_implement_trait)] // It can fail, and it is no iterator: it may need data.
    pub fn next(&mut self) -> Result<Inflated, DecodeError> {
        match &mut self.stream {
            Stream::Plain if !self.input.is_empty() => {
                self.consumed += self.input.len() as u64;
                Ok(Inflated::Chunk(std::mem::take(&mut self.input)))
            }
            Stream::Plain if self.ended => Ok(Inflated::Finished),
            Stream::Plain => Ok(Inflated::NeedsData),
            Stream::Gzip(gzip) => gzip.next(&mut self.input, &mut self.consumed, self.ended),
            Stream::Zstd(zstd) => zstd.next(&mut self.input, &mut self.consumed, self.ended),
        }
    }
}

fn bad(offset: u64, reason: impl Into<String>) -> DecodeError {
    DecodeError::Bad { reason: reason.into(), position: Some(Position { line: None, offset }) }
}

impl Gzip {
    fn next(&mut self, input: &mut Bytes, consumed: &mut u64, ended: bool) -> Result<Inflated, DecodeError> {
        let mut output = Vec::new();
        loop {
            let Some(member) = &mut self.member else {
                // Members may follow each other, and tapes and some writers pad with zeros.
                let zeros = if self.members > 0 { input.iter().take_while(|byte| **byte == 0).count() } else { 0 };
                input.advance(zeros);
                *consumed += zeros as u64;
                match input.first() {
                    None if !output.is_empty() => return Ok(Inflated::Chunk(output.into())),
                    None if ended && self.members > 0 => return Ok(Inflated::Finished),
                    None if ended => return Err(bad(*consumed, "gzip stream is empty")),
                    None => return Ok(Inflated::NeedsData),
                    Some(0x1f) => {}
                    Some(_) if self.members > 0 => {
                        return Err(bad(*consumed, "bytes that are no gzip member follow the gzip stream"));
                    }
                    Some(_) => return Err(bad(*consumed, "not a gzip stream")),
                }
                self.members += 1;
                // 15: the largest window that gzip has (RFC 1951, 32 KiB).
                self.member = Some(Decompress::new_gzip(15));
                continue;
            };
            if output.capacity() == 0 {
                output.reserve_exact(CHUNK_BYTES);
            }
            let (before_in, before_out) = (member.total_in(), output.len());
            let status = member
                .decompress_vec(input, &mut output, FlushDecompress::None)
                .map_err(|error| bad(*consumed, format!("gzip stream is corrupt: {error}")))?;
            let used = member.total_in() - before_in;
            input.advance(used as usize);
            *consumed += used;
            if status == Status::StreamEnd {
                self.member = None;
                if output.len() == output.capacity() {
                    return Ok(Inflated::Chunk(output.into()));
                }
                continue;
            }
            if output.len() == output.capacity() {
                return Ok(Inflated::Chunk(output.into()));
            }
            if used == 0 && output.len() == before_out {
                return match (output.is_empty(), ended) {
                    (false, _) => Ok(Inflated::Chunk(output.into())),
                    (true, false) => Ok(Inflated::NeedsData),
                    (true, true) => Err(bad(*consumed, "gzip stream ends early")),
                };
            }
        }
    }
}

impl Zstd {
    fn new(window_max: u64) -> std::io::Result<Zstd> {
        let mut decoder = zstd::stream::raw::Decoder::new()?;
        // The format's range is 2^10 to 2^41 (RFC 8878 3.1.1.1.2); the library takes up to 2^31.
        decoder.set_parameter(DParameter::WindowLogMax(window_max.max(1024).ilog2().min(31)))?;
        Ok(Zstd { decoder, window_max, open: false, frame: Vec::new() })
    }

    fn next(&mut self, input: &mut Bytes, consumed: &mut u64, ended: bool) -> Result<Inflated, DecodeError> {
        if input.is_empty() && !self.open {
            return Ok(if ended { Inflated::Finished } else { Inflated::NeedsData });
        }
        let mut output: Vec<u8> = Vec::with_capacity(CHUNK_BYTES);
        loop {
            let missing = FRAME_HEADER_BYTES.saturating_sub(self.frame.len()).min(input.len());
            self.frame.extend_from_slice(&input[..missing]);
            let before = output.len();
            let mut source = InBuffer::around(input);
            let mut sink = OutBuffer::around_pos(&mut output, before);
            let result = self.decoder.run(&mut source, &mut sink);
            let used = source.pos();
            let hint = result.map_err(|error| self.error(*consumed, &error))?;
            input.advance(used);
            *consumed += used as u64;
            self.open = hint != 0;
            if !self.open {
                self.frame.clear();
            }
            let stuck = used == 0 && output.len() == before;
            if output.len() == output.capacity() || ((input.is_empty() || stuck) && !output.is_empty()) {
                return Ok(Inflated::Chunk(output.into()));
            }
            if input.is_empty() || stuck {
                return match (ended, self.open) {
                    (false, _) => Ok(Inflated::NeedsData),
                    (true, false) => Ok(Inflated::Finished),
                    (true, true) => Err(bad(*consumed, "zstd stream ends early")),
                };
            }
        }
    }

    fn error(&self, offset: u64, error: &std::io::Error) -> DecodeError {
        match window_bytes(&self.frame) {
            // The library knows only powers of two.
            Some(needed) if needed > 1 << self.window_max.max(1024).ilog2().min(31) => DecodeError::TooLarge {
                what: "the zstd window".to_owned(),
                needed,
                allowed: self.window_max,
                position: Some(Position { line: None, offset }),
            },
            _ => bad(offset, format!("zstd stream is corrupt: {error}")),
        }
    }
}

/// Bytes of the longest frame header (RFC 8878 3.1.1.1).
const FRAME_HEADER_BYTES: usize = 18;

/// The window that a frame's header asks for (RFC 8878 3.1.1.1.2).
fn window_bytes(frame: &[u8]) -> Option<u64> {
    let header = frame.strip_prefix(&[0x28, 0xb5, 0x2f, 0xfd])?;
    let (&descriptor, rest) = header.split_first()?;
    if descriptor & 0x20 == 0 {
        let window = *rest.first()?;
        let base = 1u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    // A single segment: the window is the content, whose size follows the dictionary's number.
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let size = rest.get(dictionary..)?;
    let bytes = [1, 2, 4, 8][usize::from(descriptor >> 6)];
    let value = size.get(..bytes)?.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    Some(if bytes == 2 { value + 256 } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(data).expect("to memory");
        encoder.finish().expect("to memory")
    }

    fn zstd(data: &[u8]) -> Vec<u8> {
        zstd::encode_all(data, 1).expect("to memory")
    }

    /// Everything, and the largest chunk, fed in pieces of `step` bytes.
    fn inflate(
        compression: Compression,
        input: &[u8],
        step: usize,
        window_max: u64,
    ) -> Result<(Vec<u8>, usize), DecodeError> {
        let mut decompressor = Decompressor::new(compression, window_max)?;
        let mut pieces = input.chunks(step.max(1)).map(Bytes::copy_from_slice);
        let (mut output, mut largest) = (Vec::new(), 0);
        loop {
            match decompressor.next()? {
                Inflated::Chunk(chunk) => {
                    largest = largest.max(chunk.len());
                    output.extend_from_slice(&chunk);
                }
                Inflated::Finished => return Ok((output, largest)),
                Inflated::NeedsData => match pieces.next() {
                    Some(piece) => decompressor.feed(piece),
                    None => decompressor.end(),
                },
            }
        }
    }

    fn check(compression: Compression, input: &[u8], expected: Result<&[u8], &str>) {
        for step in [1, 7, 1000, usize::MAX >> 1] {
            let got =
                inflate(compression, input, step, 8 << 20).map(|(output, _)| output).map_err(|error| error.to_string());
            let expected = expected.map(<[u8]>::to_vec).map_err(str::to_owned);
            match (&got, &expected) {
                (Err(got), Err(expected)) => assert!(got.starts_with(expected.as_str()), "{got}"),
                _ => assert_eq!(got, expected, "in steps of {step}"),
            }
        }
    }

    #[test]
    fn gzip_members_follow_each_other() {
        let (a, b, empty) = (gzip(b"hello "), gzip(b"world"), gzip(b""));
        check(Compression::Gzip, &a, Ok(b"hello "));
        check(Compression::Gzip, &[&a[..], &b].concat(), Ok(b"hello world"));
        check(Compression::Gzip, &[&empty[..], &a, &empty, &empty, &b, &empty].concat(), Ok(b"hello world"));
        check(Compression::Gzip, &[&a[..], &[0; 600]].concat(), Ok(b"hello "));
        check(Compression::Gzip, &[&a[..], b"junk"].concat(), Err("bytes that are no gzip member follow"));
        check(Compression::Gzip, b"id,name\n", Err("not a gzip stream"));
    }

    #[test]
    fn a_truncated_or_corrupt_stream_is_an_error() {
        let whole = gzip(&b"some text that repeats, ".repeat(50));
        for cut in 1..whole.len() {
            check(Compression::Gzip, &whole[..cut], Err("gzip stream ends early"));
        }
        let mut corrupt = whole.clone();
        let crc = whole.len() - 8;
        corrupt[crc] ^= 1;
        check(Compression::Gzip, &corrupt, Err("gzip stream is corrupt"));
        let whole = zstd(&b"some text that repeats, ".repeat(50));
        for cut in 1..whole.len() {
            check(Compression::Zstd, &whole[..cut], Err("zstd stream ends early"));
        }
        let mut corrupt = whole.clone();
        corrupt[0] ^= 1;
        check(Compression::Zstd, &corrupt, Err("zstd stream is corrupt"));
    }

    #[test]
    fn zstd_frames_follow_each_other_and_may_be_skippable() {
        let (a, b) = (zstd(b"hello "), zstd(b"world"));
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"xyz"].concat();
        check(Compression::Zstd, &[&a[..], &b].concat(), Ok(b"hello world"));
        check(Compression::Zstd, &[&skippable[..], &a, &skippable, &b, &skippable].concat(), Ok(b"hello world"));
        check(Compression::Zstd, &zstd(b""), Ok(b""));
    }

    #[test]
    fn a_bomb_comes_in_small_chunks() {
        let zeros = vec![0; 20 << 20];
        for (compression, input) in [(Compression::Gzip, gzip(&zeros)), (Compression::Zstd, zstd(&zeros))] {
            let (output, largest) = inflate(compression, &input, usize::MAX >> 1, 8 << 20).expect("valid");
            assert_eq!(output.len(), zeros.len());
            assert!(largest <= CHUNK_BYTES, "{largest}");
        }
    }

    #[test]
    fn a_large_zstd_window_is_refused_by_name() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("a context");
        encoder.window_log(25).expect("a parameter");
        encoder.write_all(b"text").expect("to memory");
        let input = encoder.finish().expect("to memory");
        let error = inflate(Compression::Zstd, &input, 5, 8 << 20).expect_err("too large");
        assert_eq!(
            error.to_string(),
            "the zstd window needs 33554432 bytes, more than the 8388608 that the memory budget allows"
        );
        assert_eq!(inflate(Compression::Zstd, &input, 5, 32 << 20).expect("fits").0, b"text");
    }

    #[test]
    fn magic_bytes_decide() {
        use CompressionRule::{Auto, Fixed};
        for (rule, first, expected) in [
            (Auto, &b"\x1f\x8b\x08\x00"[..], Compression::Gzip),
            (Auto, b"\x28\xb5\x2f\xfd", Compression::Zstd),
            (Auto, b"\x5e\x2a\x4d\x18", Compression::Zstd),
            (Auto, b"id,n", Compression::None),
            (Auto, b"", Compression::None),
            (Fixed(Compression::Gzip), b"id,n", Compression::Gzip),
            (Fixed(Compression::Gzip), b"", Compression::None),
            (Fixed(Compression::None), b"\x1f\x8b\x08\x00", Compression::None),
        ] {
            assert_eq!(detect(rule, first), expected, "{rule:?} {first:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_compressed_comes_back(
            data in proptest::collection::vec(any::<u8>(), 0..5000),
            step in 1usize..3000,
        ) {
            let compressed = [gzip(&data[..data.len() / 2]), gzip(&data[data.len() / 2..])].concat();
            prop_assert_eq!(&inflate(Compression::Gzip, &compressed, step, 8 << 20).expect("valid").0, &data);
            prop_assert_eq!(&inflate(Compression::Zstd, &zstd(&data), step, 8 << 20).expect("valid").0, &data);
        }
    }
}
