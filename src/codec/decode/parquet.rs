//! Parquet objects, read by offset: the footer first, then the wanted columns of one row group after the other.
//!
//! What comes out depends on the object, the table and `rows_per_batch` alone: batches never span row groups, and are
//! cut by rows whose number the footer and the dictionaries decide, so that slices and machines agree (invariant I5).
//!
//! In memory are a dictionary and a page of each wanted column, and one batch. Pages are refused by their header before
//! they are read where they are larger than the caller allows. A batch is held near [`BATCH_BYTES`] by estimating rows
//! from the footer: one in which a few rows are far larger than the average of their row group goes beyond.
//!
//! The parquet crate takes much for granted that corrupt objects do not give. Offsets, sizes and counts are checked
//! first; where it panics all the same, the panic is caught and the object is bad.

mod decoder;
mod footer;
mod groups;
mod int96;
mod mend;
mod object;
mod pages;
mod plan;
mod reader;
mod thrift;
mod types;

#[cfg(test)]
mod tests;

pub use decoder::{BATCH_BYTES, ParquetDecoder};
pub use footer::{FOOTER_BYTES, Footer, parse_footer};
pub use groups::row_groups;
pub(in crate::codec::decode) use object::{ParquetObject, ParquetObjectSchema};
pub(in crate::codec) use pages::PagePlaces;
pub use plan::ParquetPlan;
pub(in crate::codec) use reader::ObjectReader;
pub use types::schema;

use super::super::DecodeError;

fn bad(reason: impl Into<String>) -> DecodeError {
    DecodeError::Bad { reason: reason.into(), position: None }
}
