//! One column of a block's cells becomes one array.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryBuilder, BooleanArray, BooleanBufferBuilder, LargeStringBuilder,
    NullBufferBuilder, PrimitiveArray, StringArray, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::*;

use super::super::value::{Parsing, parsing};
use super::super::{SHORT, append};
use super::scan::{Cell, Dialect};
use crate::codec::decode::json::is_json;
use crate::codec::encode::value::push_json_string;
use crate::model::schema::JSON;
use crate::model::settings::CsvReadSettings;

/// Which cells are null: unquoted ones with one of these texts.
#[derive(Clone, Debug)]
pub(super) struct Nulls {
    empty: bool,
    others: Vec<Box<[u8]>>,
}

impl Nulls {
    pub(super) fn new(csv: &CsvReadSettings) -> Nulls {
        let others = csv.null_values.iter().filter(|text| !text.is_empty());
        Nulls {
            empty: csv.null_values.iter().any(String::is_empty),
            others: others.map(|text| text.as_bytes().into()).collect(),
        }
    }

    #[inline]
    pub(super) fn is_null(&self, data: &[u8], cell: Cell) -> bool {
        if cell.quoted() {
            return false;
        }
        let range = cell.range();
        if range.is_empty() { self.empty } else { !self.others.is_empty() && self.named(&data[range]) }
    }

    fn named(&self, text: &[u8]) -> bool {
        self.others.iter().any(|null| **null == *text)
    }
}

/// The text of a cell, its doubled and escaped quotes resolved into `scratch` where there are any.
#[inline]
pub(super) fn text<'a>(data: &'a [u8], cell: Cell, dialect: Dialect, scratch: &'a mut Vec<u8>) -> &'a [u8] {
    let raw = &data[cell.range()];
    if !cell.escaped() {
        return raw;
    }
    scratch.clear();
    unescape(raw, dialect, scratch);
    scratch
}

fn unescape(mut raw: &[u8], dialect: Dialect, out: &mut Vec<u8>) {
    let quote = dialect.quote.unwrap_or(b'"');
    let escape = dialect.escape.unwrap_or(quote);
    while let Some(at) = memchr::memchr2(quote, escape, raw) {
        out.extend_from_slice(&raw[..at]);
        let (taken, rest) = raw[at + 1..].split_at(raw.len().min(at + 2) - at - 1);
        out.extend_from_slice(taken);
        raw = rest;
    }
    out.extend_from_slice(raw);
}

/// The cells of one column.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) data: &'a [u8],
    /// Whole rows of `width` cells.
    pub(super) cells: &'a [Cell],
    pub(super) width: usize,
    /// Which cell of each row.
    pub(super) cell: usize,
    pub(super) dialect: Dialect,
    pub(super) nulls: &'a Nulls,
}

/// An array, and the rows (null in it) whose text its type cannot hold.
type Parsed = (ArrayRef, Vec<usize>);

impl<'a> Source<'a> {
    fn rows(&self) -> usize {
        self.cells.len() / self.width
    }

    #[inline]
    fn iter(self) -> impl Iterator<Item = Cell> + 'a {
        self.cells.chunks_exact(self.width).map(move |row| row[self.cell])
    }

    /// The text of a row, for messages and `_rescued_data`.
    pub(super) fn lossy(&self, row: usize) -> String {
        let mut scratch = Vec::new();
        let cell = self.cells[row * self.width + self.cell];
        String::from_utf8_lossy(text(self.data, cell, self.dialect, &mut scratch)).into_owned()
    }

    /// A column of which only nulls are known: everything else misfits.
    pub(super) fn nulls(&self, data_type: &DataType) -> Parsed {
        let misfits =
            self.iter().enumerate().filter(|(_, cell)| !self.nulls.is_null(self.data, *cell)).map(|(row, _)| row);
        (new_null_array(data_type, self.rows()), misfits.collect())
    }

    /// The column in a type, see [`parsing`].
    pub(super) fn array(&self, data_type: &DataType, exact: bool) -> Parsed {
        if *data_type == JSON {
            return self.jsons(exact);
        }
        parsing(data_type, exact, Typed { source: *self, data_type })
    }

    fn strings(self) -> Parsed {
        let bytes: usize = self.iter().map(|cell| cell.range().len()).sum();
        let mut values: Vec<u8> = Vec::with_capacity(bytes + SHORT);
        // A block is shorter than 2^31 bytes and resolving quotes only shortens, so that offsets fit.
        let mut offsets: Vec<i32> = Vec::with_capacity(self.rows() + 1);
        let mut valid = NullBufferBuilder::new(self.rows());
        offsets.push(0);
        for cell in self.iter() {
            let range = cell.range();
            let null = self.nulls.is_null(self.data, cell);
            valid.append(!null);
            if null {
                // No bytes.
            } else if cell.escaped() {
                unescape(&self.data[range], self.dialect, &mut values);
            } else {
                append(&mut values, self.data, range);
            }
            offsets.push(values.len() as i32);
        }
        let offsets = OffsetBuffer::new(offsets.into());
        match StringArray::try_new(offsets, values.into(), valid.finish()) {
            Ok(array) => (Arc::new(array), Vec::new()),
            // Rows are valid UTF-8 and cut at ASCII bytes; were that wrong, every row is refused rather than a panic.
            Err(_) => (new_null_array(&DataType::Utf8, self.rows()), (0..self.rows()).collect()),
        }
    }

    /// Texts are strings in a column that JSON objects of the same table made JSON, and JSON themselves in a declared
    /// one.
    fn jsons(self, exact: bool) -> Parsed {
        let mut values = LargeStringBuilder::new();
        let (mut misfits, mut scratch, mut json) = (Vec::new(), Vec::new(), Vec::new());
        for (row, cell) in self.iter().enumerate() {
            if self.nulls.is_null(self.data, cell) {
                values.append_null();
                continue;
            }
            match std::str::from_utf8(text(self.data, cell, self.dialect, &mut scratch)) {
                Ok(text) if exact => {
                    json.clear();
                    push_json_string(text, &mut json);
                    values.append_value(String::from_utf8_lossy(&json));
                }
                Ok(text) if is_json(text) => values.append_value(text),
                _ => {
                    values.append_null();
                    misfits.push(row);
                }
            }
        }
        (Arc::new(values.finish()), misfits)
    }
}

/// Cells on their way into a type.
struct Typed<'a> {
    source: Source<'a>,
    data_type: &'a DataType,
}

impl Parsing for Typed<'_> {
    type Output = Parsed;

    #[inline]
    fn primitive<T: ArrowPrimitiveType>(self, parse: impl Fn(&[u8]) -> Option<T::Native> + Send + 'static) -> Parsed {
        let Source { data, dialect, nulls, .. } = self.source;
        let mut values: Vec<T::Native> = Vec::with_capacity(self.source.rows());
        let mut valid = NullBufferBuilder::new(self.source.rows());
        let (mut misfits, mut scratch) = (Vec::new(), Vec::new());
        for (row, cell) in self.source.iter().enumerate() {
            if nulls.is_null(data, cell) {
                values.push(T::Native::default());
                valid.append_null();
            } else if let Some(value) = parse(text(data, cell, dialect, &mut scratch)) {
                values.push(value);
                valid.append_non_null();
            } else {
                values.push(T::Native::default());
                valid.append_null();
                misfits.push(row);
            }
        }
        let array = PrimitiveArray::<T>::new(values.into(), valid.finish()).with_data_type(self.data_type.clone());
        (Arc::new(array), misfits)
    }

    fn boolean(self, parse: fn(&[u8]) -> Option<bool>) -> Parsed {
        let Source { data, dialect, nulls, .. } = self.source;
        let mut values = BooleanBufferBuilder::new(self.source.rows());
        let mut valid = NullBufferBuilder::new(self.source.rows());
        let (mut misfits, mut scratch) = (Vec::new(), Vec::new());
        for (row, cell) in self.source.iter().enumerate() {
            let null = nulls.is_null(data, cell);
            let value = if null { None } else { parse(text(data, cell, dialect, &mut scratch)) };
            if !null && value.is_none() {
                misfits.push(row);
            }
            values.append(value.unwrap_or_default());
            valid.append(value.is_some());
        }
        (Arc::new(BooleanArray::new(values.finish(), valid.finish())), misfits)
    }

    fn binary(self, parse: fn(&[u8], &mut Vec<u8>) -> bool) -> Parsed {
        let Source { data, dialect, nulls, .. } = self.source;
        let mut values = BinaryBuilder::new();
        let (mut misfits, mut scratch, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
        for (row, cell) in self.source.iter().enumerate() {
            bytes.clear();
            if nulls.is_null(data, cell) {
                values.append_null();
            } else if parse(text(data, cell, dialect, &mut scratch), &mut bytes) {
                values.append_value(&bytes);
            } else {
                values.append_null();
                misfits.push(row);
            }
        }
        (Arc::new(values.finish()), misfits)
    }

    fn text(self) -> Parsed {
        self.source.strings()
    }

    fn nothing(self) -> Parsed {
        self.source.nulls(self.data_type)
    }
}
