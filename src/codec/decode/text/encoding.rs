//! Other encodings become UTF-8.

use bytes::Bytes;
use encoding_rs::DecoderResult;

use crate::codec::{DecodeError, Position};
use crate::model::settings::Encoding;

/// Turns the bytes of one text into UTF-8, chunk by chunk, without its byte order mark. UTF-8 itself passes unchanged
/// and unchecked: records are checked one by one when they are decoded. Latin-1 passes too, for [`latin1`] to transcode
/// its records.
pub(super) struct Transcoder {
    encoding: Encoding,
    /// Bytes that are needed before anything can be said: a byte order mark in pieces.
    head: Vec<u8>,
    state: Transcoding,
    /// Bytes of input so far.
    consumed: u64,
    /// Bytes of a byte order mark that was taken off UTF-8 text: they count in offsets.
    mark_bytes: u64,
    /// Whether the text may be of another encoding.
    csv: bool,
}

enum Transcoding {
    Head,
    Pass,
    Decode(encoding_rs::Decoder),
}

impl Transcoder {
    /// `at_start`: whether the text's first bytes come, where a byte order mark may stand. `csv`: whether the encoding
    /// is the user's.
    pub(super) fn new(encoding: Encoding, at_start: bool, csv: bool) -> Transcoder {
        let state = if at_start { Transcoding::Head } else { Transcoding::Pass };
        Transcoder { encoding, head: Vec::new(), state, consumed: 0, mark_bytes: 0, csv }
    }

    pub(super) fn mark_bytes(&self) -> u64 {
        self.mark_bytes
    }

    /// The next bytes as UTF-8; `last`: none follow. An empty answer means that more bytes are needed.
    pub(super) fn decode(&mut self, bytes: Bytes, last: bool) -> Result<Bytes, DecodeError> {
        let bytes = match self.state {
            Transcoding::Head => match self.begin(bytes, last)? {
                Some(bytes) => bytes,
                None => return Ok(Bytes::new()),
            },
            _ => bytes,
        };
        match &mut self.state {
            Transcoding::Head | Transcoding::Pass => Ok(bytes),
            Transcoding::Decode(decoder) => {
                let text = transcode(decoder, &bytes, last, self.consumed)?;
                self.consumed += bytes.len() as u64;
                Ok(text.into())
            }
        }
    }

    /// Looks for a byte order mark. `None`: more bytes are needed.
    fn begin(&mut self, bytes: Bytes, last: bool) -> Result<Option<Bytes>, DecodeError> {
        let bytes = if self.head.is_empty() {
            bytes
        } else {
            self.head.extend_from_slice(&bytes);
            std::mem::take(&mut self.head).into()
        };
        // The longest mark has three bytes.
        if bytes.len() < 3 && !last {
            self.head = bytes.to_vec();
            return Ok(None);
        }
        let utf16 = |little| {
            if little { encoding_rs::UTF_16LE } else { encoding_rs::UTF_16BE }
        };
        let marked = match &bytes[..] {
            [0xff, 0xfe, ..] => Some(true),
            [0xfe, 0xff, ..] => Some(false),
            _ => None,
        };
        let encoding = match (self.encoding, marked) {
            (Encoding::Utf8, Some(_)) => {
                let reason = match self.csv {
                    true => "the text begins with a utf-16 byte order mark; set source.csv.encoding to utf-16",
                    false => {
                        "the text begins with a utf-16 byte order mark, and json is read as utf-8 alone; convert the object"
                    }
                };
                return Err(DecodeError::Bad {
                    reason: reason.to_owned(),
                    position: Some(Position { line: Some(1), offset: 0 }),
                });
            }
            (Encoding::Utf8, None) => {
                self.state = Transcoding::Pass;
                let marked = bytes.starts_with(UTF8_MARK);
                self.mark_bytes = if marked { UTF8_MARK.len() as u64 } else { 0 };
                return Ok(Some(if marked { bytes.slice(UTF8_MARK.len()..) } else { bytes }));
            }
            (Encoding::Utf16, marked) => utf16(marked.unwrap_or(false)),
            (Encoding::Utf16Le, _) => utf16(true),
            (Encoding::Utf16Be, _) => utf16(false),
            (Encoding::Latin1, _) => {
                self.state = Transcoding::Pass;
                return Ok(Some(bytes));
            }
        };
        self.state = Transcoding::Decode(encoding.new_decoder_with_bom_removal());
        Ok(Some(bytes))
    }
}

fn transcode(
    decoder: &mut encoding_rs::Decoder,
    bytes: &[u8],
    last: bool,
    consumed: u64,
) -> Result<Vec<u8>, DecodeError> {
    let malformed = |at: usize| {
        let position = Some(Position { line: None, offset: consumed + at as u64 });
        DecodeError::Bad { reason: "the text is not valid utf-16".to_owned(), position }
    };
    let length = decoder.max_utf8_buffer_length_without_replacement(bytes.len()).ok_or_else(|| malformed(0))?;
    let mut text = vec![0; length];
    match decoder.decode_to_utf8_without_replacement(bytes, &mut text, last) {
        (DecoderResult::InputEmpty, _, written) => {
            text.truncate(written);
            Ok(text)
        }
        (DecoderResult::Malformed(..) | DecoderResult::OutputFull, read, _) => Err(malformed(read)),
    }
}

/// Latin-1 text as UTF-8: as the WHATWG has it, with printable characters in place of the C1 controls (windows-1252).
/// Every byte is a character, and ASCII is itself, so that records are found before they are transcoded, also from the
/// middle of an object.
pub(super) fn latin1(bytes: Bytes) -> Bytes {
    let text = match encoding_rs::WINDOWS_1252.decode_without_bom_handling(&bytes).0 {
        std::borrow::Cow::Borrowed(_) => None,
        std::borrow::Cow::Owned(text) => Some(text),
    };
    text.map_or(bytes, Bytes::from)
}

/// The UTF-8 byte order mark.
const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(encoding: Encoding, input: &[u8], expected: Result<&str, &str>) {
        for step in [1, 2, 3, 100] {
            let mut transcoder = Transcoder::new(encoding, true, true);
            let mut text = Vec::new();
            let mut pieces: Vec<Bytes> = input.chunks(step).map(Bytes::copy_from_slice).collect();
            pieces.push(Bytes::new());
            let last = pieces.len() - 1;
            let result = pieces.into_iter().enumerate().try_for_each(|(i, piece)| {
                text.extend_from_slice(&transcoder.decode(piece, i == last)?);
                Ok::<(), DecodeError>(())
            });
            let got = result.map(|()| String::from_utf8(text).expect("utf-8")).map_err(|error| error.to_string());
            assert_eq!(got, expected.map(str::to_owned).map_err(str::to_owned), "{encoding:?} in steps of {step}");
        }
    }

    #[test]
    fn encodings_become_utf_8() {
        check(Encoding::Utf8, "é,1\n".as_bytes(), Ok("é,1\n"));
        check(Encoding::Utf8, b"\xef\xbb\xbfa", Ok("a"));
        check(Encoding::Utf8, b"a", Ok("a"));
        check(Encoding::Utf8, b"", Ok(""));
        check(
            Encoding::Utf8,
            b"\xff\xfea\0",
            Err("the text begins with a utf-16 byte order mark; set source.csv.encoding to utf-16"),
        );
        check(Encoding::Utf16, b"\xff\xfea\0\xe9\0", Ok("aé"));
        check(Encoding::Utf16, b"\xfe\xff\0a\0\xe9", Ok("aé"));
        check(Encoding::Utf16, b"\0a\0\xe9", Ok("aé"));
        check(Encoding::Utf16Le, b"a\0\x3d\xd8\x00\xde", Ok("a😀"));
        check(Encoding::Utf16Le, b"\xff\xfea\0", Ok("a"));
        check(Encoding::Utf16Be, b"\0a\n\0", Ok("a\u{a00}"));
        check(Encoding::Utf16Le, b"a\0\x3d\xd8a\0", Err("the text is not valid utf-16"));
        check(Encoding::Utf16Le, b"a\0b", Err("the text is not valid utf-16"));
        assert_eq!(latin1(Bytes::from_static(b"caf\xe9 \x80")), "café €");
    }
}
