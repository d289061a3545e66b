//! How objects of any format are read. A decoder does no I/O: it says which bytes it needs next, is handed them, and
//! gives what it makes of them. The pipeline has one driver for all decoders.
//!
//! Adding a format is a module beside this one, a row in the table of formats
//! ([`InputFormat::traits`](crate::model::format::InputFormat::traits)), and a line in [`decoder`] and [`schema`].

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::avro::{AvroObject, AvroObjectSchema};
use super::parquet::{ParquetObject, ParquetObjectSchema};
use super::text::{TextObject, TextObjectSchema};
use crate::codec::{DecodeError, Decoded, Passthrough};
use crate::model::format::{CompressionRule, Decoding};
use crate::model::plan::Slice;
use crate::model::schema::TableSchema;
use crate::model::settings::CsvReadSettings;

/// What [`Decode::next`] came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// Bytes of the object are needed, from the range's start on: as many of them as there are at once, in order, by
    /// [`Decode::push`]. The rest of the range is what will be asked for next, as far as it can be known, so it may be
    /// fetched ahead.
    NeedsRange(Range<u64>),
    /// The next of what it gives.
    Ready(T),
    /// There is no more, whether or not the object has more bytes.
    Finished,
}

/// Makes something of one object's bytes. The first step says [`Step::NeedsRange`], at no cost; the others compute.
pub trait Decode<T>: Send {
    /// The next step.
    ///
    /// # Errors
    /// What makes the whole object unreadable. Nothing is asked of it after that.
    fn next(&mut self) -> Result<Step<T>, DecodeError>;

    /// Hands in bytes from the start of the range that was asked for; none where the object ends there.
    fn push(&mut self, bytes: Bytes);
}

/// A stretch of an object whose rows can be decoded by themselves, beside those of others. Where an object is cut
/// depends on its bytes alone, so that files made of the rows are the same on any machine (invariant I5).
pub trait Part: Send {
    /// What decoding it will read of the object, where that is more than its decoder was handed.
    fn needs(&self) -> Option<&Needs> {
        None
    }

    /// Hands in what it needs, before it is decoded.
    fn open(&mut self, _bytes: Arc<dyn ReadAt>) {}

    /// Its next rows, and what is left of it. It blocks where the bytes that it was opened with do.
    ///
    /// # Errors
    /// What makes the whole object unreadable. Records that are no rows are no error: they are [`Decoded::bad`].
    fn decode(self: Box<Self>) -> Result<(Decoded, Option<Box<dyn Part>>), DecodeError>;
}

/// Bytes of an object that a part reads by offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Byte ranges, sorted by start, none empty. They overlap in corrupt objects only.
    pub ranges: Vec<Range<u64>>,
    /// Bytes that decoding holds open at once, beside those of the ranges and the rows.
    pub open_bytes: u64,
}

/// An object's bytes by offset: what is held of them, or all of them where calls may block.
pub trait ReadAt: Send + Sync {
    /// Bytes of the object.
    fn size(&self) -> u64;

    /// Bytes from `offset` on: at least one, and none at the end of what can be read.
    ///
    /// # Errors
    /// Where they could not be had.
    fn read_at(&self, offset: u64) -> io::Result<Bytes>;

    /// Whether all that a part needs is in memory, so that no call blocks and each may be made again at no cost.
    fn is_held(&self) -> bool;
}

impl ReadAt for Bytes {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64) -> io::Result<Bytes> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        Ok(self.slice(from..))
    }

    fn is_held(&self) -> bool {
        true
    }
}

/// The decoder of an object's rows.
pub type ObjectDecoder = Box<dyn Decode<Box<dyn Part>>>;

/// What decoders are told of an object and of how it is read.
#[derive(Clone, Debug)]
pub struct ObjectOptions {
    /// Bytes of the object.
    pub size: u64,
    /// The part of it that is read.
    pub slice: Option<Slice>,
    /// How a compression around it is found.
    pub compression: CompressionRule,
    /// Options of csv and tsv.
    pub csv: CsvReadSettings,
    /// Input columns that are left out.
    pub drop: Vec<String>,
    /// Rows of a batch, at the most.
    pub rows_per_batch: usize,
    /// A record, header or block that is larger is refused.
    pub record_bytes_max: u64,
    /// A zstd frame with a larger window is refused.
    pub zstd_window_max: u64,
    /// Which row groups are given as they are stored, too.
    pub passthrough: Option<Passthrough>,
}

/// The decoder of an object's rows into `table`.
///
/// # Errors
/// Options that no object can be read by.
pub fn decoder(
    decoding: Decoding,
    options: ObjectOptions,
    table: Arc<TableSchema>,
) -> Result<ObjectDecoder, DecodeError> {
    Ok(match decoding {
        Decoding::Text(format) => Box::new(TextObject::new(format, options, table)?),
        Decoding::Avro => Box::new(AvroObject::new(options, table)),
        Decoding::Parquet => Box::new(ParquetObject::new(options, table)),
    })
}

/// The decoder of the schema that an object would have alone, as far as its first or last bytes show. It gives none
/// where they show none.
///
/// # Errors
/// Options that no object can be read by.
pub fn schema(decoding: Decoding, options: ObjectOptions) -> Result<Box<dyn Decode<TableSchema>>, DecodeError> {
    Ok(match decoding {
        Decoding::Text(format) => Box::new(TextObjectSchema::new(format, options)?),
        Decoding::Avro => Box::new(AvroObjectSchema::new(options)),
        Decoding::Parquet => Box::new(ParquetObjectSchema::new(&options)),
    })
}

/// The decoders over objects that are in memory, in pieces of at most `piece_bytes`.
#[cfg(test)]
pub(crate) mod whole {
    use super::*;

    /// Options of tests.
    pub fn options(object: &Bytes) -> ObjectOptions {
        ObjectOptions {
            size: object.len() as u64,
            slice: None,
            compression: CompressionRule::Auto,
            csv: CsvReadSettings::default(),
            drop: Vec::new(),
            rows_per_batch: 1000,
            record_bytes_max: 4 << 20,
            zstd_window_max: 8 << 20,
            passthrough: None,
        }
    }

    fn step<T>(
        decoder: &mut (impl Decode<T> + ?Sized),
        object: &Bytes,
        piece_bytes: usize,
    ) -> Result<Option<T>, DecodeError> {
        loop {
            match decoder.next()? {
                Step::NeedsRange(Range { start, end }) => {
                    let end = end.min(start + piece_bytes as u64);
                    decoder.push(object.slice(start as usize..end as usize));
                }
                Step::Ready(given) => return Ok(Some(given)),
                Step::Finished => return Ok(None),
            }
        }
    }

    /// The schema of an object.
    pub fn schema_of(decoding: Decoding, object: &Bytes, piece_bytes: usize) -> Result<TableSchema, DecodeError> {
        let mut decoder = schema(decoding, options(object))?;
        Ok(step(decoder.as_mut(), object, piece_bytes)?.unwrap_or_default())
    }

    /// What an object decodes to, part for part.
    pub fn decode(
        decoding: Decoding,
        object: &Bytes,
        options: ObjectOptions,
        table: TableSchema,
        piece_bytes: usize,
    ) -> Result<Vec<Decoded>, DecodeError> {
        let mut decoder = decoder(decoding, options, Arc::new(table))?;
        let mut decoded = Vec::new();
        while let Some(mut part) = step(decoder.as_mut(), object, piece_bytes)? {
            if part.needs().is_some() {
                part.open(Arc::new(object.clone()));
            }
            let mut next = Some(part);
            while let Some(part) = next {
                let (rows, rest) = part.decode()?;
                decoded.extend(Some(rows).filter(|rows| !rows.is_empty()));
                next = rest;
            }
        }
        Ok(decoded)
    }
}
