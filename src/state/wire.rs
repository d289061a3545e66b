//! Persisted formats. Each begins with what it is and its version, so that no build reads what it does not understand.
//!
//! A blob is a line `s3sync <kind> <version>` (of an attempt with its MAC, see [`super::seal`]), then one zstd frame
//! (RFC 8878) of JSON lines and a last line `#<count>`, so that a blob that was cut is never taken for a shorter one.
//! The cursor is one JSON document.

use std::io::Write;

use bytes::{Buf, Bytes};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zstd::stream::raw::{DParameter, Decoder, Operation};

use crate::model::cursor::Cursor;

/// Level of zstd: sorted keys compress well at any, and a ledger of a million entries is written in a second at this.
const LEVEL: i32 = 3;

/// A cursor is far below this; the bound is a ConfigMap's (Kubernetes: 1 MiB).
pub const CURSOR_BYTES_MAX: usize = 1 << 20;

/// One line of a blob: a plan root of 10,000 tables is one of the longest. More is not one of ours, and is not written.
const LINE_BYTES_MAX: usize = 256 << 20;

/// The one line of an attempt's manifest: nothing proves those of earlier releases before they are read.
const ATTEMPT_LINE_BYTES_MAX: usize = 64 << 20;

/// A blob's first line; ours have less than half of it.
const HEADER_BYTES_MAX: usize = 128;

/// Text made at once while a line is looked for: some hundred entries of a ledger, one block of zstd.
const STEP_BYTES: usize = 128 << 10;

/// The largest window of a frame: ours have at most 2 MiB at [`LEVEL`], and a decoder takes what a frame asks for.
const WINDOW_LOG_MAX: u32 = 23;

/// What a blob is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlobKind {
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
    /// A commit record: header, objects, files. Its persisted word is `manifest`.
    CommitRecord,
    /// What the next sweep removes, in lines of bounded length; one line before version 2.
    Garbage,
}

impl BlobKind {
    /// The version that this build writes; it reads those before too. See [`crate::model::plan::Plan::VERSION`] and its
    /// kin for what changed.
    pub fn version(self) -> u32 {
        match self {
            BlobKind::Plan | BlobKind::Attempt | BlobKind::Decision | BlobKind::Garbage | BlobKind::Ledger => 2,
            BlobKind::Shard | BlobKind::Objects | BlobKind::CommitRecord => 1,
        }
    }

    /// Bytes of one line: what a reader holds at the most, and so what a writer may write.
    pub fn line_bytes_max(self) -> usize {
        match self {
            BlobKind::Attempt => ATTEMPT_LINE_BYTES_MAX,
            _ => LINE_BYTES_MAX,
        }
    }

    /// The word in keys and headers.
    pub fn word(self) -> &'static str {
        match self {
            BlobKind::Plan => "plan",
            BlobKind::Shard => "shard",
            BlobKind::Objects => "objects",
            BlobKind::Ledger => "ledger",
            BlobKind::Attempt => "attempt",
            BlobKind::Decision => "decision",
            BlobKind::CommitRecord => "manifest",
            BlobKind::Garbage => "garbage",
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
    /// Bytes of the longest line.
    longest: usize,
}

impl BlobWriter {
    /// An empty blob.
    pub fn new(kind: BlobKind) -> Self {
        Self::of_version(kind, kind.version())
    }

    /// An empty blob of a version, which is one that its content has the form of.
    pub fn of_version(kind: BlobKind, version: u32) -> Self {
        Self::behind(format!("s3sync {} {version}\n", kind.word()).into_bytes())
    }

    /// An empty blob without a first line: the body of what is sealed.
    pub fn headless() -> Self {
        Self::behind(Vec::new())
    }

    fn behind(header: Vec<u8>) -> Self {
        let encoder =
            zstd::stream::write::Encoder::new(header, LEVEL).expect("the level is a constant that zstd knows");
        Self { encoder, lines: 0, longest: 0 }
    }

    /// Adds a line.
    pub fn line(&mut self, value: &impl Serialize) {
        let mut line = Counted { to: &mut self.encoder, bytes: 0 };
        serde_json::to_writer(&mut line, value).expect("our values serialise, and memory takes them");
        self.longest = self.longest.max(line.bytes);
        self.encoder.write_all(b"\n").expect("memory takes a byte");
        self.lines += 1;
    }

    /// Bytes of the longest line so far: more than [`BlobKind::line_bytes_max`] nobody reads back.
    pub fn longest(&self) -> usize {
        self.longest
    }

    #[cfg(test)]
    pub(super) fn set_longest(&mut self, longest: usize) {
        self.longest = longest;
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

/// Counts what goes through it.
struct Counted<W> {
    to: W,
    bytes: usize,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.bytes += written;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}

/// Reads a blob as its bytes come. Text is made a step at a time and only while there is no whole line, so that a frame
/// of a few bytes that stands for gigabytes costs a line's bound and no more.
pub struct BlobReader {
    kind: BlobKind,
    line_bytes_max: usize,
    header: Vec<u8>,
    decoder: Option<Decoder<'static>>,
    /// Compressed bytes that were fed and not yet read.
    input: Bytes,
    text: Vec<u8>,
    /// Where the next line begins in `text`, and how far that was searched for its end.
    at: usize,
    searched: usize,
    lines: u64,
    frame_ended: bool,
    /// Whether the last line was there, and counted the others right.
    ended: Option<bool>,
}

impl BlobReader {
    /// A reader that accepts only blobs of `kind`.
    pub fn new(kind: BlobKind) -> Self {
        Self {
            kind,
            line_bytes_max: kind.line_bytes_max(),
            header: Vec::new(),
            decoder: None,
            input: Bytes::new(),
            text: Vec::new(),
            at: 0,
            searched: 0,
            lines: 0,
            frame_ended: false,
            ended: None,
        }
    }

    /// The same with another bound on a line.
    #[cfg(test)]
    fn with_line_bytes_max(self, line_bytes_max: usize) -> Self {
        Self { line_bytes_max, ..self }
    }

    /// Takes the next bytes. Those before are read: [`BlobReader::line`] has asked for more.
    pub fn feed(&mut self, mut bytes: Bytes) -> Result<(), WireError> {
        if self.decoder.is_none() {
            let end = memchr::memchr(b'\n', &bytes);
            self.header.extend_from_slice(&bytes[..end.unwrap_or(bytes.len()).min(HEADER_BYTES_MAX + 1)]);
            if self.header.len() > HEADER_BYTES_MAX {
                return Err(WireError("it does not begin as one of ours".into()));
            }
            let Some(end) = end else { return Ok(()) };
            bytes.advance(end + 1);
            self.check_header()?;
            let made = Decoder::new().and_then(|mut decoder| {
                decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
                Ok(decoder)
            });
            self.decoder = Some(made.map_err(|error| WireError(error.to_string()))?);
        }
        assert!(self.input.is_empty(), "what was fed before is read first");
        self.input = bytes;
        Ok(())
    }

    /// The next whole line; `None`: feed more.
    pub fn line<T: DeserializeOwned>(&mut self) -> Result<Option<T>, WireError> {
        loop {
            let Some(length) = memchr::memchr(b'\n', &self.text[self.searched..]) else {
                self.searched = self.text.len();
                if self.inflate()? {
                    continue;
                }
                return Ok(None);
            };
            let end = self.searched + length;
            let line = &self.text[self.at..end];
            (self.at, self.searched) = (end + 1, end + 1);
            if self.ended.is_some() {
                return Err(WireError("it goes on behind its end".into()));
            }
            if line.first() == Some(&b'#') {
                self.ended = Some(line[1..] == *self.lines.to_string().as_bytes());
                continue;
            }
            let value = serde_json::from_slice(line)
                .map_err(|error| WireError(format!("a line of it does not parse: {error}")))?;
            self.lines += 1;
            return Ok(Some(value));
        }
    }

    /// Makes some more text; false when that takes more bytes.
    fn inflate(&mut self) -> Result<bool, WireError> {
        let Some(decoder) = &mut self.decoder else { return Ok(false) };
        if self.frame_ended {
            return match self.input.is_empty() {
                true => Ok(false),
                false => Err(WireError("it goes on behind its end".into())),
            };
        }
        self.text.drain(..self.at);
        (self.searched, self.at) = (self.searched - self.at, 0);
        if self.text.len() > self.line_bytes_max {
            return Err(WireError("a line of it is too long".into()));
        }
        let before = self.text.len();
        self.text.resize(before + STEP_BYTES, 0);
        let step = decoder.run_on_buffers(&self.input, &mut self.text[before..]);
        let step = step.map_err(|error| WireError(format!("it does not decompress: {error}")))?;
        self.text.truncate(before + step.bytes_written);
        self.input.advance(step.bytes_read);
        self.frame_ended = step.remaining == 0;
        Ok(step.bytes_read + step.bytes_written > 0)
    }

    /// Checks that the bytes ended where a blob ends.
    pub fn end(&self) -> Result<(), WireError> {
        let whole = self.frame_ended && self.input.is_empty() && self.at == self.text.len();
        if whole && self.ended == Some(true) { Ok(()) } else { Err(WireError("it ends in the middle".into())) }
    }

    fn check_header(&self) -> Result<(), WireError> {
        let header = String::from_utf8_lossy(&self.header);
        let (kind, newest) = (self.kind.word(), self.kind.version());
        let mut words = header.strip_prefix(&format!("s3sync {kind} ")).unwrap_or_default().split(' ');
        let version = words.next().filter(|word| !word.is_empty());
        // A MAC follows the version of what carries one; whoever asked for the blob has proven it.
        let more = words.count();
        match version.map(str::parse::<u32>) {
            Some(Ok(version)) if version > newest => {
                Err(WireError(format!("it has version {version}, this build reads {newest}: a newer s3sync wrote it")))
            }
            Some(Ok(version @ 1..)) if more == usize::from(self.kind == BlobKind::Attempt && version >= 2) => Ok(()),
            _ => Err(WireError(format!("it begins with {header:?} instead of \"s3sync {kind} {newest}\""))),
        }
    }
}

/// The cursor as it is stored: readable by a person.
pub fn cursor_to_json(cursor: &Cursor) -> Result<Vec<u8>, WireError> {
    let cursor = Cursor { version: cursor.version_of_form(), ..cursor.clone() };
    let mut text = serde_json::to_vec_pretty(&cursor).expect("a cursor serialises");
    text.push(b'\n');
    if text.len() > CURSOR_BYTES_MAX {
        return Err(WireError(format!("it would take {} bytes, more than {CURSOR_BYTES_MAX}", text.len())));
    }
    Ok(text)
}

/// Reads what [`cursor_to_json`] wrote.
pub fn cursor_from_json(text: &[u8]) -> Result<Cursor, WireError> {
    let cursor: Cursor = serde_json::from_slice(text).map_err(|error| WireError(error.to_string()))?;
    if !(1..=Cursor::VERSION).contains(&cursor.version) {
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
    use crate::model::request::RequestMark;

    #[test]
    fn lines_come_back_however_the_bytes_arrive() {
        let mut writer = BlobWriter::new(BlobKind::Shard);
        for number in 0..5000u32 {
            writer.line(&(number, "key".repeat(number as usize % 7)));
        }
        let blob = writer.finish();
        for step in [1, 7, 4096, blob.len()] {
            let mut reader = BlobReader::new(BlobKind::Shard);
            let mut seen = 0u32;
            for bytes in blob.chunks(step) {
                reader.feed(Bytes::copy_from_slice(bytes)).unwrap();
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
            let mut reader = BlobReader::new(BlobKind::Plan);
            reader.feed(Bytes::copy_from_slice(bytes))?;
            while reader.line::<u32>()?.is_some() {}
            reader.end()
        };
        let mut writer = BlobWriter::new(BlobKind::Plan);
        writer.line(&7);
        let good = writer.finish();
        assert_eq!(read(&good), Ok(()));
        for (bytes, expected) in [
            (&b""[..], "it ends in the middle"),
            (&good[..good.len() - 4], "it ends in the middle"),
            (&b"s3sync plan 3\n"[..], "it has version 3, this build reads 2: a newer s3sync wrote it"),
            (&b"s3sync plan 3 with more\n"[..], "it has version 3, this build reads 2: a newer s3sync wrote it"),
            (&b"s3sync plan 0\n"[..], "it begins with \"s3sync plan 0\" instead of \"s3sync plan 2\""),
            (&b"s3sync plan 2 x\n"[..], "it begins with \"s3sync plan 2 x\" instead of \"s3sync plan 2\""),
            (&b"s3sync shard 1\n"[..], "it begins with \"s3sync shard 1\" instead of \"s3sync plan 2\""),
            (&[b'x'; 200][..], "it does not begin as one of ours"),
            (&[&good[..], b"more"].concat(), "it goes on behind its end"),
        ] {
            assert_eq!(read(bytes).unwrap_err().to_string(), expected);
        }
        assert!(read(b"s3sync plan 1\nno zstd frame").unwrap_err().to_string().starts_with("it does not decompress"));
    }

    /// What is kept of a request makes the second version of a cursor; earlier releases refuse that, and read every
    /// other.
    #[test]
    fn a_cursor_with_a_request_has_a_version_that_earlier_releases_refuse() {
        let plain = Cursor::empty("abc".into(), 7, "x-y".into());
        for ended in [false, true] {
            let mark = RequestMark { id: "1f".into(), since: 5, ended, ended_at: None };
            let asked = Cursor { request: Some(mark), ..plain.clone() };
            for (cursor, version) in [(&plain, 1), (&asked, 2)] {
                let text = cursor_to_json(cursor).unwrap();
                let stored: serde_json::Value = serde_json::from_slice(&text).unwrap();
                assert_eq!(stored["version"], version);
                assert_eq!(cursor_from_json(&text).unwrap(), Cursor { version, ..cursor.clone() });
                // Whatever comes of it, it is stored by what it has.
                let gone = Cursor { request: None, ..cursor_from_json(&text).unwrap() };
                assert_eq!(cursor_from_json(&cursor_to_json(&gone).unwrap()).unwrap().version, 1);
            }
            let before = serde_json::to_vec(&asked).unwrap();
            assert_eq!(cursor_from_json(&before).unwrap(), asked, "as the first builds with requests wrote it");
        }
        for version in [0, 3] {
            let other = serde_json::to_vec(&Cursor { version, ..plain.clone() }).unwrap();
            let refused = cursor_from_json(&other).unwrap_err().to_string();
            assert_eq!(refused, format!("it has version {version}, this build reads 2"));
        }
    }

    /// What earlier releases wrote: version 1 of each kind.
    #[test]
    fn earlier_versions_are_read() {
        for kind in [
            BlobKind::Plan,
            BlobKind::Shard,
            BlobKind::Objects,
            BlobKind::Ledger,
            BlobKind::Attempt,
            BlobKind::Decision,
            BlobKind::CommitRecord,
            BlobKind::Garbage,
        ] {
            let mut writer = BlobWriter::of_version(kind, 1);
            writer.line(&7);
            let mut reader = BlobReader::new(kind);
            reader.feed(Bytes::from(writer.finish())).unwrap();
            assert_eq!((reader.line::<u32>(), reader.line::<u32>(), reader.end()), (Ok(Some(7)), Ok(None), Ok(())));
        }
    }

    /// 134 KB that stand for 4 GB were inflated as a whole before the bound on a line was looked at.
    #[test]
    fn a_frame_that_stands_for_gigabytes_costs_one_lines_bound() {
        let mut frame = zstd::stream::write::Encoder::new(b"s3sync ledger 1\n".to_vec(), 19).unwrap();
        frame.include_contentsize(false).unwrap();
        let zeros = vec![b'0'; 1 << 20];
        for _ in 0..512 {
            frame.write_all(&zeros).unwrap();
        }
        let bomb = frame.finish().unwrap();
        assert!(bomb.len() < 64 << 10, "{}", bomb.len());
        let mut reader = BlobReader::new(BlobKind::Ledger).with_line_bytes_max(4 << 20);
        reader.feed(Bytes::from(bomb)).unwrap();
        let refused = reader.line::<serde_json::Value>().unwrap_err();
        assert_eq!(refused.to_string(), "a line of it is too long");
        assert!(reader.text.capacity() < 16 << 20, "{}", reader.text.capacity());
    }

    #[test]
    fn a_frame_that_asks_for_a_large_window_is_refused() {
        let mut frame = zstd::stream::write::Encoder::new(b"s3sync ledger 1\n".to_vec(), 19).unwrap();
        frame.window_log(27).unwrap();
        frame.include_contentsize(false).unwrap();
        frame.write_all(&vec![b'0'; 1 << 20]).unwrap();
        let mut reader = BlobReader::new(BlobKind::Ledger);
        reader.feed(Bytes::from(frame.finish().unwrap())).unwrap();
        let refused = reader.line::<serde_json::Value>().unwrap_err().to_string();
        assert!(refused.starts_with("it does not decompress"), "{refused}");
    }
}
