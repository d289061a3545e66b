//! Persisted formats. Each begins with what it is and its version, so that no build reads what it does not understand.
//!
//! A blob is a line `s3sync <kind> 1`, then one zstd frame (RFC 8878) of JSON lines and a last line `#<count>`, so that a blob that was cut
//! is never taken for a shorter one. The cursor is one JSON document.

use std::io::Write;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::cursor::Cursor;

/// The version of blobs that this build writes.
const BLOB_VERSION: u32 = 1;

/// Level of zstd: sorted keys compress well at any, and a ledger of a million entries is written in a second at this.
const LEVEL: i32 = 3;

/// A cursor is far below this; the bound is a ConfigMap's (Kubernetes: 1 MiB).
pub const CURSOR_BYTES_MAX: usize = 1 << 20;

/// One line of a blob: a plan root of 10,000 tables is one of the longest. More is not one of ours.
const LINE_BYTES_MAX: usize = 256 << 20;

/// What a blob is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// [`crate::model::plan::Plan`], one line.
    Plan,
    /// [`crate::model::plan::PlannedObject`] lines.
    Shard,
    /// Ledger entries in key order: what a plan takes, and a segment of the ledger.
    Objects,
    /// Root of the ledger.
    Ledger,
    /// [`crate::model::manifest::AttemptManifest`], one line.
    Attempt,
    /// [`crate::model::manifest::Decision`], one line.
    Decision,
    /// A committed manifest: header, objects, files.
    Manifest,
    /// What the next sweep removes.
    Garbage,
}

impl Kind {
    /// The word in keys and headers.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Plan => "plan",
            Kind::Shard => "shard",
            Kind::Objects => "objects",
            Kind::Ledger => "ledger",
            Kind::Attempt => "attempt",
            Kind::Decision => "decision",
            Kind::Manifest => "manifest",
            Kind::Garbage => "garbage",
        }
    }
}

/// What is wrong with persisted bytes, as part of a sentence.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WireError(String);

/// Writes a blob line by line; only compressed bytes are held.
pub struct BlobWriter {
    encoder: zstd::stream::write::Encoder<'static, Vec<u8>>,
    lines: u64,
}

impl BlobWriter {
    /// An empty blob.
    pub fn new(kind: Kind) -> Self {
        let header = format!("s3sync {} {BLOB_VERSION}\n", kind.word()).into_bytes();
        let encoder = zstd::stream::write::Encoder::new(header, LEVEL).expect("the level is a constant that zstd knows");
        Self { encoder, lines: 0 }
    }

    /// Adds a line.
    pub fn line(&mut self, value: &impl Serialize) {
        serde_json::to_writer(&mut self.encoder, value).expect("our values serialise, and memory takes them");
        self.encoder.write_all(b"\n").expect("memory takes a byte");
        self.lines += 1;
    }

    /// Lines so far.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Bytes so far, as compressed as the codec has got.
    pub fn bytes(&self) -> usize {
        self.encoder.get_ref().len()
    }

    /// The whole blob.
    pub fn finish(mut self) -> Vec<u8> {
        writeln!(self.encoder, "#{}", self.lines).expect("memory takes the last line");
        self.encoder.finish().expect("memory takes the frame's end")
    }
}

/// Reads a blob as its bytes come; holds one piece of decompressed text.
pub struct BlobReader {
    kind: Kind,
    header: Vec<u8>,
    decoder: Option<zstd::stream::write::Decoder<'static, Vec<u8>>>,
    at: usize,
    lines: u64,
    ended: bool,
}

impl BlobReader {
    /// A reader that accepts only blobs of `kind`.
    pub fn new(kind: Kind) -> Self {
        Self { kind, header: Vec::new(), decoder: None, at: 0, lines: 0, ended: false }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        let mut rest = bytes;
        if self.decoder.is_none() {
            let Some(end) = memchr::memchr(b'\n', rest) else {
                self.header.extend_from_slice(rest);
                return if self.header.len() > 64 { Err(WireError("it does not begin as one of ours".into())) } else { Ok(()) };
            };
            self.header.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            self.check_header()?;
            let decoder = zstd::stream::write::Decoder::new(Vec::new());
            self.decoder = Some(decoder.map_err(|error| WireError(error.to_string()))?);
        }
        let decoder = self.decoder.as_mut().expect("made above");
        let text = decoder.get_mut();
        text.drain(..self.at);
        self.at = 0;
        if text.len() > LINE_BYTES_MAX {
            return Err(WireError("a line of it is too long".into()));
        }
        decoder.write_all(rest).and_then(|()| decoder.flush()).map_err(|error| WireError(format!("it does not decompress: {error}")))
    }

    /// The next whole line; `None`: feed more.
    pub fn line<T: DeserializeOwned>(&mut self) -> Result<Option<T>, WireError> {
        let Some(decoder) = &self.decoder else { return Ok(None) };
        let text = &decoder.get_ref()[self.at..];
        let Some(end) = memchr::memchr(b'\n', text) else { return Ok(None) };
        if text[0] == b'#' {
            self.ended = text[1..end] == *self.lines.to_string().as_bytes();
            self.at += end + 1;
            return Ok(None);
        }
        let value = serde_json::from_slice(&text[..end]).map_err(|error| WireError(format!("a line of it does not parse: {error}")))?;
        self.at += end + 1;
        self.lines += 1;
        Ok(Some(value))
    }

    /// Checks that the bytes ended where a blob ends.
    pub fn end(&self) -> Result<(), WireError> {
        let text = self.decoder.as_ref().map(|decoder| &decoder.get_ref()[self.at..]);
        match text {
            Some([]) if self.ended => Ok(()),
            _ => Err(WireError("it ends in the middle".into())),
        }
    }

    fn check_header(&self) -> Result<(), WireError> {
        let header = String::from_utf8_lossy(&self.header);
        let expected = format!("s3sync {} {BLOB_VERSION}", self.kind.word());
        if header == expected {
            return Ok(());
        }
        let version = header.strip_prefix(&format!("s3sync {} ", self.kind.word()));
        Err(WireError(match version {
            Some(version) => format!("it has version {version}, this build reads {BLOB_VERSION}: a newer s3sync wrote it"),
            None => format!("it begins with {header:?} instead of {expected:?}"),
        }))
    }
}

/// The cursor as it is stored: readable by a person.
pub fn cursor_to_json(cursor: &Cursor) -> Result<Vec<u8>, WireError> {
    let mut text = serde_json::to_vec_pretty(cursor).expect("a cursor serialises");
    text.push(b'\n');
    if text.len() > CURSOR_BYTES_MAX {
        return Err(WireError(format!("it would take {} bytes, more than {CURSOR_BYTES_MAX}", text.len())));
    }
    Ok(text)
}

/// Reads what [`cursor_to_json`] wrote.
pub fn cursor_from_json(text: &[u8]) -> Result<Cursor, WireError> {
    let cursor: Cursor = serde_json::from_slice(text).map_err(|error| WireError(error.to_string()))?;
    if cursor.version != Cursor::VERSION {
        return Err(WireError(format!("it has version {}, this build reads {}", cursor.version, Cursor::VERSION)));
    }
    if cursor.state_id.is_empty() || !cursor.state_id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(WireError("stateId is not of letters and digits".into()));
    }
    Ok(cursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_however_the_bytes_arrive() {
        let mut writer = BlobWriter::new(Kind::Shard);
        for number in 0..5000u32 {
            writer.line(&(number, "key".repeat(number as usize % 7)));
        }
        let blob = writer.finish();
        for step in [1, 7, 4096, blob.len()] {
            let mut reader = BlobReader::new(Kind::Shard);
            let mut seen = 0u32;
            for bytes in blob.chunks(step) {
                reader.feed(bytes).unwrap();
                while let Some((number, text)) = reader.line::<(u32, String)>().unwrap() {
                    assert_eq!((number, text), (seen, "key".repeat(seen as usize % 7)));
                    seen += 1;
                }
            }
            reader.end().unwrap();
            assert_eq!(seen, 5000);
        }
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        let read = |bytes: &[u8]| -> Result<(), WireError> {
            let mut reader = BlobReader::new(Kind::Plan);
            reader.feed(bytes)?;
            while reader.line::<u32>()?.is_some() {}
            reader.end()
        };
        let mut writer = BlobWriter::new(Kind::Plan);
        writer.line(&7);
        let good = writer.finish();
        assert_eq!(read(&good), Ok(()));
        for (bytes, expected) in [
            (&b""[..], "it ends in the middle"),
            (&good[..good.len() - 4], "it ends in the middle"),
            (&b"s3sync plan 2\n"[..], "it has version 2, this build reads 1: a newer s3sync wrote it"),
            (&b"s3sync shard 1\n"[..], "it begins with \"s3sync shard 1\" instead of \"s3sync plan 1\""),
            (&[b'x'; 100][..], "it does not begin as one of ours"),
        ] {
            assert_eq!(read(bytes).unwrap_err().to_string(), expected);
        }
        assert!(read(b"s3sync plan 1\nno zstd frame").unwrap_err().to_string().starts_with("it does not decompress"));
    }
}
