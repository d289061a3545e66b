//! How objects of any format are read. A decoder does no I/O: it says which bytes it needs next, is handed them, and
//! gives what it makes of them. The pipeline has one driver for all decoders.
//!
//! Adding a format is a module beside this one and a line in [`decoder`] and [`schema`].

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::avro::{AvroObject, AvroObjectSchema};
use super::parquet::ParquetObjectSchema;
use super::text::{TextObject, TextObjectSchema};
use crate::codec::{DecodeError, Decoded};
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
    /// Its next rows, and what is left of it.
    ///
    /// # Errors
    /// What makes the whole object unreadable. Records that are no rows are no error: they are [`Decoded::bad`].
    fn decode(self: Box<Self>) -> Result<(Decoded, Option<Box<dyn Part>>), DecodeError>;
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
}

/// The decoder of an object's rows into `table`; `None` for parquet, whose row groups have a driver of their own.
///
/// # Errors
/// Options that no object can be read by.
pub fn decoder(
    decoding: Decoding,
    options: ObjectOptions,
    table: Arc<TableSchema>,
) -> Result<Option<ObjectDecoder>, DecodeError> {
    Ok(match decoding {
        Decoding::Text(format) => Some(Box::new(TextObject::new(format, options, table)?)),
        Decoding::Avro => Some(Box::new(AvroObject::new(options, table))),
        Decoding::Parquet => None,
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
pub(in crate::codec) mod whole {
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
        let mut decoder = decoder(decoding, options, Arc::new(table))?.expect("a format without row groups");
        let mut decoded = Vec::new();
        while let Some(part) = step(decoder.as_mut(), object, piece_bytes)? {
            let mut next = Some(part);
            while let Some(part) = next {
                let (rows, rest) = part.decode()?;
                decoded.push(rows);
                next = rest;
            }
        }
        Ok(decoded)
    }
}
