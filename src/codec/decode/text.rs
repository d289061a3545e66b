//! An object's bytes become blocks of whole records: decompressed, transcoded, cut. Nothing is parsed here.

mod encoding;
mod json;
mod object;
mod split;

use bytes::Bytes;

use super::csv::{self, Dialect, RecordScan};
use crate::codec::compression::{Decompressor, Inflated, MAGIC_BYTES, detect};
use crate::codec::{Block, DecodeError, Position};
use crate::model::format::{Compression, CompressionRule, TextFormat};
use crate::model::plan::Slice;
use crate::model::settings::{CsvReadSettings, Encoding};
use encoding::Transcoder;
pub(super) use json::ValueEnds;
use json::ValueScan;
pub(in crate::codec::decode) use object::{TextObject, TextObjectSchema};
use split::{Scan, Splitter};

/// What a [`TextReader`] needs to know.
#[derive(Clone, Debug)]
pub struct TextOptions {
    /// What is cut.
    pub format: TextFormat,
    /// Options of csv and tsv; for json and jsonl nothing of it counts (they are UTF-8, RFC 8259 8.1).
    pub csv: CsvReadSettings,
    /// How the compression is found.
    pub compression: CompressionRule,
    /// The part of the object that is read. Only uncompressed lines of UTF-8 or latin-1 can be read in slices: jsonl,
    /// and csv without quotes or with none around newlines.
    pub slice: Option<Slice>,
    /// A block ends with the first record that ends so many bytes, or more, from its start.
    pub block_bytes: usize,
    /// A longer record is refused.
    pub record_bytes_max: usize,
    /// A zstd frame with a larger window is refused.
    pub zstd_window_max: u64,
}

impl TextOptions {
    /// 1 MiB: text, cells and arrays of one block stay in the cache of one core, and a block is still long beside what
    /// it costs to hand over.
    pub const BLOCK_BYTES: usize = 1 << 20;

    /// The offset in the object from which a slice's bytes have to be fed: one before its first, so that a record which
    /// begins exactly there is known to. The end of the last record may lie behind the slice: feed until
    /// [`Step::Finished`].
    pub fn first_byte(&self) -> u64 {
        slice_range(self.slice).0.saturating_sub(1)
    }
}

/// What [`TextReader::next`] came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Everything that was fed is used up: feed more, or end.
    NeedsData,
    /// The next block.
    Block(Block),
    /// All blocks were given; of a slice this may come before the object's end.
    Finished,
}

/// Reads one object's text: feed bytes, take steps until it needs data, end it when there are no more bytes. Holds one
/// fed piece, one decompressed chunk and one block.
///
/// ```
/// use s3sync::codec::decode::text::{Step, TextOptions, TextReader};
/// # use s3sync::codec::DecodeError;
/// use s3sync::model::format::{CompressionRule, TextFormat};
/// # use s3sync::model::settings::CsvReadSettings;
///
/// # let csv = CsvReadSettings::default();
/// let mut reader = TextReader::new(TextOptions {
///     format: TextFormat::CSV,
///     csv,
///     compression: CompressionRule::Auto,
///     slice: None,
///     block_bytes: TextOptions::BLOCK_BYTES,
///     record_bytes_max: 1 << 20,
///     zstd_window_max: 8 << 20,
/// })?;
/// let mut pieces = ["id,name\n1,An", "na\n2,Bo\n"].into_iter();
/// let mut text = Vec::new();
/// loop {
///     match reader.next()? {
///         Step::NeedsData => match pieces.next() {
///             Some(piece) => reader.feed(piece.into()),
///             None => reader.end(),
///         },
///         Step::Block(block) => text.extend_from_slice(&block.bytes),
///         Step::Finished => break,
///     }
/// }
/// assert_eq!(reader.header(), Some(&["id".to_owned(), "name".to_owned()][..]));
/// assert_eq!(text, b"1,Anna\n2,Bo\n");
/// # Ok::<(), DecodeError>(())
/// ```
pub struct TextReader {
    options: TextOptions,
    dialect: Option<Dialect>,
    /// Until enough bytes came to tell the compression.
    head: Bytes,
    decompressor: Option<Decompressor>,
    transcoder: Transcoder,
    splitter: Splitter,
    phase: Phase,
    header: Option<Vec<String>>,
    /// Where the slice ends.
    end: u64,
    ended: bool,
    /// The text has been handed to the splitter whole.
    text_ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Before the first text.
    Start,
    /// Up to the slice's first record.
    Slice,
    /// Lines to skip.
    Rows(u64),
    /// The header, and what may stand before it.
    Header,
    Body,
    Done,
}

impl TextReader {
    /// A reader for one object, or a slice of it.
    ///
    /// # Errors
    /// csv options that no text can be read by, and slices of what cannot be sliced.
    pub fn new(options: TextOptions) -> Result<TextReader, DecodeError> {
        let dialect = match options.format {
            TextFormat::Delimited(delimiter) => Some(csv::dialect(delimiter, &options.csv)?),
            TextFormat::Json | TextFormat::Jsonl => None,
        };
        let csv = dialect.is_some();
        let encoding = if csv { options.csv.encoding } else { Encoding::Utf8 };
        let (start, end) = slice_range(options.slice);
        let compressed = matches!(options.compression, CompressionRule::Fixed(Compression::Gzip | Compression::Zstd));
        if options.slice.is_some()
            && (compressed
                || !matches!(encoding, Encoding::Utf8 | Encoding::Latin1)
                || options.format == TextFormat::Json)
        {
            let reason = "only uncompressed lines of utf-8 or latin-1 text can be read in slices".to_owned();
            return Err(DecodeError::Bad { reason, position: None });
        }
        let line = if start == 0 { 1 } else { 0 };
        let splitter = Splitter::new(lines(csv), options.record_bytes_max, options.first_byte(), line);
        Ok(TextReader {
            transcoder: Transcoder::new(encoding, start == 0, csv),
            splitter,
            dialect,
            head: Bytes::new(),
            decompressor: None,
            phase: if start == 0 { Phase::Start } else { Phase::Slice },
            header: None,
            end,
            ended: false,
            text_ended: false,
            options,
        })
    }

    /// Hands in the object's next bytes.
    ///
    /// # Panics
    /// When the last ones are not used up yet: [`TextReader::next`] has to say [`Step::NeedsData`] first.
    pub fn feed(&mut self, bytes: Bytes) {
        if let Some(decompressor) = &mut self.decompressor {
            decompressor.feed(bytes);
        } else if self.head.is_empty() {
            self.head = bytes;
        } else {
            self.head = [&self.head[..], &bytes].concat().into();
        }
    }

    /// Says that no bytes follow.
    pub fn end(&mut self) {
        self.ended = true;
        if let Some(decompressor) = &mut self.decompressor {
            decompressor.end();
        }
    }

    /// The columns of a csv or tsv object: its header's names, or `column_1` and so on after its first record. Known
    /// from the first block on, or when finished; `None` for json and jsonl, for an object without records, and for a
    /// slice that does not begin at the object's start: read its header from there, without a slice.
    pub fn header(&self) -> Option<&[String]> {
        self.header.as_deref()
    }

    /// The next step.
    ///
    /// # Errors Corrupt compression, malformed encoding, a record beyond the limit, a quote that never closes, json
    /// that is neither values nor an array.
    #[allow(clippy::should_implement_trait)] // It can fail, and it is no iterator: it may need data.
    pub fn next(&mut self) -> Result<Step, DecodeError> {
        loop {
            match self.advance()? {
                Some(block) => return Ok(Step::Block(self.utf8(block))),
                None if self.phase == Phase::Done => return Ok(Step::Finished),
                None => {}
            }
            match self.text()? {
                Some(text) => self.splitter.feed(text),
                None if self.text_ended => self.splitter.end(),
                None => return Ok(Step::NeedsData),
            }
        }
    }

    /// Records of latin-1 are transcoded once they are cut.
    fn utf8(&self, block: Block) -> Block {
        match (self.dialect, self.options.csv.encoding) {
            (Some(_), Encoding::Latin1) => Block { bytes: encoding::latin1(block.bytes), ..block },
            _ => block,
        }
    }

    /// The next decompressed, transcoded bytes. `None`: it needs data, or the text has ended.
    fn text(&mut self) -> Result<Option<Bytes>, DecodeError> {
        if self.text_ended {
            return Ok(None);
        }
        if self.decompressor.is_none() && !self.begin()? {
            return Ok(None);
        }
        let Some(decompressor) = &mut self.decompressor else {
            return Ok(None);
        };
        loop {
            let text = match decompressor.next()? {
                Inflated::NeedsData => return Ok(None),
                Inflated::Chunk(chunk) => self.transcoder.decode(chunk, false)?,
                Inflated::Finished => {
                    self.text_ended = true;
                    self.transcoder.decode(Bytes::new(), true)?
                }
            };
            if !text.is_empty() || self.text_ended {
                return Ok(Some(text));
            }
        }
    }

    /// Tells the compression once there are bytes enough.
    fn begin(&mut self) -> Result<bool, DecodeError> {
        if self.head.len() < MAGIC_BYTES && !self.ended {
            return Ok(false);
        }
        let sliced = self.options.slice.is_some();
        let compression = match self.phase {
            // In the middle of an object nothing can be told, and a slice is never compressed.
            Phase::Slice => Compression::None,
            _ => detect(self.options.compression, &self.head),
        };
        if sliced && compression != Compression::None {
            let reason = "the object is compressed, which its key does not say; set source.compression".to_owned();
            return Err(DecodeError::Bad { reason, position: Some(Position { line: None, offset: 0 }) });
        }
        let mut decompressor = Decompressor::new(compression, self.options.zstd_window_max)?;
        decompressor.feed(std::mem::take(&mut self.head));
        if self.ended {
            decompressor.end();
        }
        self.decompressor = Some(decompressor);
        Ok(true)
    }

    /// Goes on with the text that is there. `None`: more text is needed, or everything is done.
    fn advance(&mut self) -> Result<Option<Block>, DecodeError> {
        loop {
            match self.phase {
                Phase::Done => return Ok(None),
                Phase::Start => {
                    // Wait for the first text: a byte order mark counts in offsets.
                    if self.splitter.is_empty() && !self.text_ended {
                        return Ok(None);
                    }
                    self.splitter.skip_bytes(self.transcoder.mark_bytes());
                    self.phase =
                        if self.dialect.is_some() { Phase::Rows(self.options.csv.skip_rows) } else { Phase::Body };
                    if self.dialect.is_none() {
                        self.begin_records();
                    }
                }
                Phase::Slice => match self.splitter.cut(1)? {
                    Some(_) => {
                        self.phase = Phase::Body;
                        self.begin_records();
                    }
                    None => return Ok(self.done_if_finished()),
                },
                Phase::Rows(0) => {
                    self.phase = Phase::Header;
                    self.begin_records();
                }
                Phase::Rows(rows) => match self.splitter.cut(1)? {
                    Some(_) => self.phase = Phase::Rows(rows - 1),
                    None => {
                        let done = self.done_if_finished();
                        return if self.phase == Phase::Done {
                            self.skipped_all(rows).map(|()| done)
                        } else {
                            Ok(done)
                        };
                    }
                },
                Phase::Header if !self.options.csv.header => self.phase = Phase::Body,
                Phase::Header => match self.splitter.cut(1)? {
                    Some(record) => self.read_header(record)?,
                    None => return Ok(self.done_if_finished()),
                },
                Phase::Body => {
                    let left = self.end.saturating_sub(self.splitter.offset());
                    if left == 0 {
                        self.phase = Phase::Done;
                        continue;
                    }
                    let min = self.options.block_bytes.min(usize::try_from(left).unwrap_or(usize::MAX));
                    let Some(block) = self.splitter.cut(min)? else {
                        return Ok(self.done_if_finished());
                    };
                    // The bracket that opens a json array says nothing by itself.
                    let opens = self.options.format == TextFormat::Json && block.bytes.trim_ascii() == b"[";
                    if !opens && self.number_columns(&block) {
                        return Ok(Some(block));
                    }
                }
            }
        }
    }

    /// An object that ends while rows are skipped is none of those that `skipRows` was written for, unless there is
    /// nothing in it.
    fn skipped_all(&self, left: u64) -> Result<(), DecodeError> {
        if self.splitter.offset() == self.transcoder.mark_bytes() {
            return Ok(());
        }
        let skipped = self.options.csv.skip_rows;
        let reason = format!(
            "it ends after {} lines, and source.csv.skipRows skips {skipped}, so that nothing of it is read",
            skipped - left
        );
        Err(DecodeError::Bad { reason, position: None })
    }

    fn begin_records(&mut self) {
        self.splitter.scan = match (self.dialect, self.options.format) {
            (Some(dialect), _) => Scan::Records(RecordScan::new(dialect)),
            (None, TextFormat::Json) => Scan::Values(ValueScan::new()),
            (None, TextFormat::Jsonl | TextFormat::Delimited(_)) => Scan::Lines,
        };
    }

    fn read_header(&mut self, record: Block) -> Result<(), DecodeError> {
        let Some(dialect) = self.dialect else {
            return Ok(());
        };
        let record = self.utf8(record);
        if !csv::is_skipped(&record.bytes, dialect) {
            let position = Position { line: Some(record.line), offset: record.offset };
            let names = csv::header_names(&record.bytes, dialect)
                .map_err(|reason| DecodeError::Bad { reason, position: Some(position) })?;
            self.header = Some(names);
            self.phase = Phase::Body;
        }
        Ok(())
    }

    /// Names the columns of csv without a header after the first record. False: the block says nothing, as it is blank
    /// lines and comments. Any record makes columns, also one that is bad, so that nothing is passed over.
    fn number_columns(&mut self, block: &Block) -> bool {
        let Some(dialect) = self.dialect else {
            return true;
        };
        if self.header.is_none() && self.splitter_starts_object() {
            match csv::first_width(&block.bytes, dialect) {
                0 => return false,
                width => self.header = Some(csv::numbered_names(width)),
            }
        }
        true
    }

    fn splitter_starts_object(&self) -> bool {
        slice_range(self.options.slice).0 == 0
    }

    fn done_if_finished(&mut self) -> Option<Block> {
        if self.splitter.is_finished() {
            self.phase = Phase::Done;
        }
        None
    }
}

/// A scan of lines: those of csv end as records do.
fn lines(csv: bool) -> Scan {
    if csv { Scan::Records(RecordScan::of_lines()) } else { Scan::Lines }
}

/// The bytes in which records of a slice begin.
fn slice_range(slice: Option<Slice>) -> (u64, u64) {
    match slice {
        Some(Slice::Bytes { start, end }) => (start, end),
        _ => (0, u64::MAX),
    }
}

#[cfg(test)]
mod tests;
