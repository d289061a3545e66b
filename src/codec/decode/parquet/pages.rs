//! Pages within a bound: what the parquet crate reads of one row group, looked at before it allocates.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_schema::TimeUnit;
use bytes::Bytes;
use parquet::arrow::arrow_reader::RowGroups;
use parquet::basic::Type as Physical;
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, Length, SerializedPageReader};

use super::int96::Int96;
use super::reader::{ObjectReader, SequentialRead};
use crate::codec::{DecodeError, Position};

/// What pages may take, and the refusal of one that takes more: the crate's errors have no room for it.
#[derive(Debug)]
pub(super) struct PageLimit {
    /// Largest page, compressed or not, in bytes. The header counts by itself.
    pub page_bytes_max: u64,
    refusal: Mutex<Option<DecodeError>>,
}

impl PageLimit {
    pub fn new(page_bytes_max: u64) -> Arc<Self> {
        Arc::new(Self { page_bytes_max, refusal: Mutex::new(None) })
    }

    /// The refusal behind a failed read, once.
    pub fn take_refusal(&self) -> Option<DecodeError> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Where the data pages of a chunk lie, as they are read: offset of the header, bytes with it, values.
pub(in crate::codec) type PagePlaces = Arc<Mutex<Vec<(u64, u64, u64)>>>;

/// One column chunk of an object, whose pages are held to the limit.
struct Chunk {
    reader: ObjectReader,
    column: String,
    limit: Arc<PageLimit>,
    /// The page that was read last: where its header begins, and where it ends.
    last: Mutex<(u64, u64)>,
}

impl Chunk {
    fn new(reader: &ObjectReader, column: &str, limit: &Arc<PageLimit>) -> Self {
        Self { reader: reader.clone(), column: column.to_owned(), limit: Arc::clone(limit), last: Mutex::default() }
    }

    fn last(&self) -> std::sync::MutexGuard<'_, (u64, u64)> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn allow(&self, offset: u64, needed: u64) -> Result<(), String> {
        let allowed = self.limit.page_bytes_max;
        if needed <= allowed {
            return Ok(());
        }
        let what = format!("a page of column {}", self.column);
        let refusal = DecodeError::TooLarge { what, needed, allowed, position: Some(Position { line: None, offset }) };
        let text = refusal.to_string();
        *self.limit.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
        Err(text)
    }
}

impl Length for Chunk {
    fn len(&self) -> u64 {
        self.reader.len()
    }
}

impl ChunkReader for Chunk {
    type T = HeaderRead;

    fn get_read(&self, start: u64) -> ParquetResult<HeaderRead> {
        self.last().0 = start;
        let chunk = Chunk::new(&self.reader, &self.column, &self.limit);
        Ok(HeaderRead { inner: self.reader.get_read(start)?, chunk, start, read: 0, fields: Fields::default() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        self.allow(start, length as u64).map_err(ParquetError::General)?;
        self.last().1 = start + length as u64;
        self.reader.get_bytes(start, length)
    }
}

/// A page header as it is read: its first fields are the page's type and sizes, and the crate allocates by them.
pub(super) struct HeaderRead {
    inner: SequentialRead,
    chunk: Chunk,
    start: u64,
    read: u64,
    fields: Fields,
}

impl Read for HeaderRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read += count as u64;
        // Statistics make headers long, and nothing else bounds them.
        self.chunk.allow(self.start, self.read).map_err(io::Error::other)?;
        for &byte in &buffer[..count] {
            if let Some(bytes) = self.fields.push(byte).map_err(io::Error::other)? {
                self.chunk.allow(self.start, bytes).map_err(io::Error::other)?;
            }
        }
        Ok(count)
    }
}

/// The first three fields of a page header (parquet.thrift, `PageHeader`): type, uncompressed size, compressed size,
/// all required 32-bit integers, in Thrift's compact protocol: a byte `0x15` (the next field, an i32) and a zigzag
/// variable-length integer.
#[derive(Default)]
struct Fields {
    done: u8,
    /// Inside of a value: bits so far and how many.
    value: Option<(u64, u32)>,
}

impl Fields {
    const COUNT: u8 = 3;
    const NEXT_I32: u8 = 0x15;

    /// Takes the next byte; a size, once one is complete.
    fn push(&mut self, byte: u8) -> Result<Option<u64>, &'static str> {
        if self.done == Self::COUNT {
            return Ok(None);
        }
        let Some((bits, count)) = self.value else {
            if byte != Self::NEXT_I32 {
                return Err("a page header does not begin with the page's type and sizes");
            }
            self.value = Some((0, 0));
            return Ok(None);
        };
        let bits = bits | u64::from(byte & 0x7f) << count;
        if byte & 0x80 != 0 {
            self.value = Some((bits, count + 7));
            return if count < 28 { Ok(None) } else { Err("a page header holds a number of more than 32 bits") };
        }
        self.value = None;
        self.done += 1;
        // Zigzag: negative numbers are odd, and refused by the crate.
        let size = (bits & 1 == 0 && self.done > 1).then_some(bits >> 1);
        Ok(size)
    }
}

/// One row group's wanted column chunks.
pub(super) struct OpenGroup {
    metadata: Arc<ParquetMetaData>,
    ordinal: usize,
    /// By leaf; taken once.
    pages: Mutex<Vec<Option<Box<dyn PageReader>>>>,
    /// By leaf; empty for those that are not read, and unless they are located: their number is bounded by what is held
    /// of the row group alone.
    pub places: Vec<PagePlaces>,
    /// Bytes of an average row once it is decoded: an estimate, see [`OpenGroup::open`].
    pub row_bytes: u64,
}

impl OpenGroup {
    /// Opens the chunks of `leaves`, with the unit that their times are read in if they are INT96, and reads their
    /// dictionaries: what a row takes in memory is not seen from the footer, because a dictionary's value counts once
    /// there, and again in every row.
    pub fn open(
        reader: &ObjectReader,
        metadata: &Arc<ParquetMetaData>,
        ordinal: usize,
        leaves: impl Iterator<Item = (usize, TimeUnit)>,
        limit: &Arc<PageLimit>,
        locates: bool,
    ) -> ParquetResult<Self> {
        let group = metadata.row_group(ordinal);
        let rows = u64::try_from(group.num_rows())?.max(1);
        let mut pages: Vec<Option<Box<dyn PageReader>>> = Vec::new();
        pages.resize_with(group.num_columns(), || None);
        let places: Vec<PagePlaces> = (0..group.num_columns()).map(|_| PagePlaces::default()).collect();
        let mut row_bytes: u64 = 0;
        for (leaf, unit) in leaves {
            let column = group.column(leaf);
            let chunk = Arc::new(Chunk::new(reader, &column.column_path().string(), limit));
            let mut inner = SerializedPageReader::new(Arc::clone(&chunk), column, usize::try_from(rows)?, None)?;
            let dictionary = match inner.peek_next_page()? {
                Some(page) if page.is_dict => inner.get_next_page()?,
                _ => None,
            };
            let width = value_bytes(column, dictionary.as_ref());
            row_bytes = row_bytes.saturating_add(width.saturating_mul(column.num_values().unsigned_abs()) / rows);
            let int96 =
                (column.column_type() == Physical::INT96).then(|| Int96 { column: column.column_descr_ptr(), unit });
            pages[leaf] = Some(Box::new(Pages {
                dictionary,
                inner,
                chunk,
                int96,
                places: locates.then(|| Arc::clone(&places[leaf])),
            }));
        }
        Ok(Self { metadata: Arc::clone(metadata), ordinal, pages: Mutex::new(pages), places, row_bytes })
    }
}

/// Bytes that one value of a chunk takes in memory, rather more than less.
fn value_bytes(column: &ColumnChunkMetaData, dictionary: Option<&Page>) -> u64 {
    const OFFSET_BYTES: u64 = 4;
    let values = column.num_values().unsigned_abs().max(1);
    let stored = column.uncompressed_size().unsigned_abs() / values;
    match column.column_type() {
        Physical::BOOLEAN | Physical::INT32 | Physical::FLOAT => 4,
        Physical::INT64 | Physical::DOUBLE | Physical::INT96 => 8,
        Physical::FIXED_LEN_BYTE_ARRAY => u64::try_from(column.column_descr().type_length()).unwrap_or(0).max(16),
        Physical::BYTE_ARRAY => dictionary.map_or(0, longest_value).max(stored) + OFFSET_BYTES,
    }
}

/// The longest value of a dictionary of byte arrays: each is its length, 32 bits little endian, and its bytes.
fn longest_value(dictionary: &Page) -> u64 {
    let mut bytes = dictionary.buffer().as_ref();
    let mut longest = 0;
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length);
        longest = longest.max(u64::from(length));
        bytes = rest.get(length as usize..).unwrap_or_default();
    }
    longest
}

impl RowGroups for OpenGroup {
    fn num_rows(&self) -> usize {
        usize::try_from(self.metadata.row_group(self.ordinal).num_rows()).unwrap_or(0)
    }

    fn column_chunks(&self, leaf: usize) -> ParquetResult<Box<dyn PageIterator>> {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner).get_mut(leaf).and_then(Option::take);
        let pages = pages
            .ok_or_else(|| ParquetError::General(format!("column chunk {leaf} is read twice, or was not asked for")))?;
        Ok(Box::new(OneChunk(Some(pages))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.metadata.row_group(self.ordinal)))
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }
}

/// The page readers of one row group's column: one.
struct OneChunk(Option<Box<dyn PageReader>>);

impl Iterator for OneChunk {
    type Item = ParquetResult<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(Ok)
    }
}

impl PageIterator for OneChunk {}

/// A chunk's pages, the dictionary already read.
struct Pages {
    dictionary: Option<Page>,
    inner: SerializedPageReader<Chunk>,
    chunk: Arc<Chunk>,
    int96: Option<Int96>,
    places: Option<PagePlaces>,
}

impl Pages {
    /// Refuses times that the crate would cut or wrap.
    fn exact(&self, page: &Page) -> ParquetResult<()> {
        let Some(reason) = self.int96.as_ref().and_then(|int96| int96.misfit(page)) else { return Ok(()) };
        let refusal = DecodeError::Bad {
            reason: reason.clone(),
            position: Some(Position { line: None, offset: self.chunk.last().0 }),
        };
        *self.chunk.limit.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
        Err(ParquetError::General(reason))
    }
}

impl Iterator for Pages {
    type Item = ParquetResult<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> ParquetResult<Option<Page>> {
        match self.dictionary.take() {
            Some(page) => self.exact(&page).map(|()| Some(page)),
            None => {
                let page = self.inner.get_next_page()?;
                page.as_ref().map_or(Ok(()), |page| self.exact(page))?;
                if let (Some(places), Some(page)) = (&self.places, page.as_ref().filter(|page| page.is_data_page())) {
                    let (start, end) = *self.chunk.last();
                    places.lock().unwrap_or_else(PoisonError::into_inner).push((
                        start,
                        end - start,
                        u64::from(page.num_values()),
                    ));
                }
                Ok(page)
            }
        }
    }

    fn peek_next_page(&mut self) -> ParquetResult<Option<PageMetadata>> {
        match self.dictionary {
            Some(_) => Ok(Some(PageMetadata { num_rows: None, num_levels: None, is_dict: true })),
            None => self.inner.peek_next_page(),
        }
    }

    /// Never called: whole row groups are read.
    fn skip_next_page(&mut self) -> ParquetResult<()> {
        self.get_next_page().map(|_| ())
    }

    fn at_record_boundary(&mut self) -> ParquetResult<bool> {
        match self.dictionary {
            Some(_) => Ok(false),
            None => self.inner.at_record_boundary(),
        }
    }
}
