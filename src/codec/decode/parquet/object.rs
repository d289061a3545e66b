//! Parquet objects as [`super::super::object`] wants them read: the footer is asked for, and each row group is a part
//! that says which column chunks it needs.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parquet::file::metadata::ParquetMetaData;

use super::decoder::ParquetDecoder;
use super::plan::ParquetPlan;
use super::{FOOTER_BYTES, Footer, bad, parse_footer, row_groups, schema};
use crate::codec::decode::object::{Decode, Needs, ObjectOptions, Part, ReadAt, Step};
use crate::codec::{DecodeError, Decoded, Passthrough};
use crate::model::schema::TableSchema;

/// Reads an object's footer.
struct FooterDecoder {
    size: u64,
    footer_bytes_max: u64,
    /// What is still to come of the bytes asked for.
    wanted: Option<Range<u64>>,
    tail: BytesMut,
    /// Whether more was asked for than the usual.
    asked_for_more: bool,
}

impl FooterDecoder {
    /// Of an object of `size` bytes; a footer of more than `footer_bytes_max` is refused.
    fn new(size: u64, footer_bytes_max: u64) -> Self {
        Self { size, footer_bytes_max, wanted: None, tail: BytesMut::new(), asked_for_more: false }
    }

    fn ask(&mut self, bytes: u64) -> Step<Arc<ParquetMetaData>> {
        let range = self.size.saturating_sub(bytes)..self.size;
        self.tail.clear();
        self.wanted = Some(range.clone());
        Step::NeedsRange(range)
    }
}

impl Decode<Arc<ParquetMetaData>> for FooterDecoder {
    fn next(&mut self) -> Result<Step<Arc<ParquetMetaData>>, DecodeError> {
        match &self.wanted {
            None => return Ok(self.ask(FOOTER_BYTES)),
            Some(wanted) if !wanted.is_empty() => return Ok(Step::NeedsRange(wanted.clone())),
            Some(_) => {}
        }
        match parse_footer(self.tail.clone().freeze(), self.size, self.footer_bytes_max)? {
            Footer::Done(metadata) => Ok(Step::Ready(metadata)),
            Footer::NeedsTail(_) if self.asked_for_more => Err(bad("the footer gives two lengths of itself")),
            Footer::NeedsTail(bytes) => {
                self.asked_for_more = true;
                Ok(self.ask(bytes))
            }
        }
    }

    fn push(&mut self, bytes: Bytes) {
        if let Some(wanted) = &mut self.wanted {
            wanted.start = if bytes.is_empty() { wanted.end } else { wanted.start + bytes.len() as u64 };
        }
        self.tail.extend_from_slice(&bytes);
    }
}

/// Reads the schema that an object's footer says.
pub(in crate::codec::decode) struct ParquetObjectSchema(FooterDecoder);

impl ParquetObjectSchema {
    pub(in crate::codec::decode) fn new(options: &ObjectOptions) -> Self {
        Self(FooterDecoder::new(options.size, options.record_bytes_max))
    }
}

impl Decode<TableSchema> for ParquetObjectSchema {
    fn next(&mut self) -> Result<Step<TableSchema>, DecodeError> {
        Ok(match self.0.next()? {
            Step::NeedsRange(range) => Step::NeedsRange(range),
            Step::Ready(metadata) => Step::Ready(schema(&metadata)?),
            Step::Finished => Step::Finished,
        })
    }

    fn push(&mut self, bytes: Bytes) {
        self.0.push(bytes);
    }
}

/// Gives the row groups of an object, or of a slice of it.
pub(in crate::codec::decode) struct ParquetObject {
    footer: FooterDecoder,
    options: ObjectOptions,
    table: Arc<TableSchema>,
    /// Once the footer is here: what is made of it, and the row groups that were not given yet.
    opened: Option<(Arc<ParquetPlan>, VecDeque<usize>)>,
}

impl ParquetObject {
    pub(in crate::codec::decode) fn new(options: ObjectOptions, table: Arc<TableSchema>) -> Self {
        let footer = FooterDecoder::new(options.size, options.record_bytes_max);
        Self { footer, options, table, opened: None }
    }
}

impl Decode<Box<dyn Part>> for ParquetObject {
    fn next(&mut self) -> Result<Step<Box<dyn Part>>, DecodeError> {
        let options = &self.options;
        let (plan, groups) = match &mut self.opened {
            Some(opened) => opened,
            opened => {
                let metadata = match self.footer.next()? {
                    Step::Ready(metadata) => metadata,
                    Step::NeedsRange(range) => return Ok(Step::NeedsRange(range)),
                    Step::Finished => return Ok(Step::Finished),
                };
                let mut groups: VecDeque<usize> = row_groups(&metadata, options.slice).into();
                // One without rows has nothing to read.
                groups.retain(|&group| metadata.row_group(group).num_rows() != 0);
                let (rows, page_bytes_max) = (options.rows_per_batch, options.record_bytes_max);
                let plan = ParquetPlan::new(
                    metadata,
                    &self.table,
                    &options.drop,
                    groups.make_contiguous(),
                    rows,
                    page_bytes_max,
                )?;
                opened.insert((Arc::new(plan), groups))
            }
        };
        let Some(group) = groups.pop_front() else { return Ok(Step::Finished) };
        if let Some(schema) = plan.columns.mismatch() {
            groups.clear();
            return Ok(Step::Ready(Box::new(Mismatch(schema.clone()))));
        }
        let needs = plan.needs(group);
        let (plan, passthrough) = (Arc::clone(plan), options.passthrough);
        Ok(Step::Ready(Box::new(RowGroup { plan, group, needs, passthrough, decoder: None })))
    }

    fn push(&mut self, bytes: Bytes) {
        self.footer.push(bytes);
    }
}

/// What is said of an object that the table cannot hold.
struct Mismatch(TableSchema);

impl Part for Mismatch {
    fn decode(self: Box<Self>) -> Result<(Decoded, Option<Box<dyn Part>>), DecodeError> {
        Ok((Decoded { mismatch: Some(self.0), ..Decoded::default() }, None))
    }
}

/// A row group.
struct RowGroup {
    plan: Arc<ParquetPlan>,
    group: usize,
    needs: Needs,
    passthrough: Option<Passthrough>,
    decoder: Option<ParquetDecoder>,
}

impl Part for RowGroup {
    fn needs(&self) -> Option<&Needs> {
        Some(&self.needs)
    }

    fn open(&mut self, bytes: Arc<dyn ReadAt>) {
        let decoder = ParquetDecoder::new(Arc::clone(&self.plan), bytes, vec![self.group]);
        self.decoder = Some(decoder.with_passthrough(self.passthrough));
    }

    fn decode(mut self: Box<Self>) -> Result<(Decoded, Option<Box<dyn Part>>), DecodeError> {
        let decoder = self.decoder.as_mut().ok_or_else(|| bad("its row group was not opened"))?;
        Ok(match decoder.next()? {
            Some(decoded) => (decoded, Some(self)),
            None => (Decoded::default(), None),
        })
    }
}
