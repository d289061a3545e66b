//! Json and jsonl: records are objects, parsed once, straight into the builders of their columns.
//!
//! Values keep their JSON type: a string is utf8 whatever it says, unless its column is declared otherwise. A column
//! whose values have no type in common is JSON: each value as its text, without white space between tokens and
//! otherwise untouched. In a column that is utf8 for good strings are as they are, and everything else is that text. Of
//! several members with one key the last counts.

mod build;
mod infer;
mod parse;
mod scalar;

use std::ops::Range;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use super::{Rescued, cut_raw, number_lines};
use crate::codec::{BadRecord, Block, DecodeError, Decoded, Position, Rows};
use crate::model::schema::{Misfit, TableSchema, Typed, Unknown, type_name};
use build::{Builder, Keys};
pub(in crate::codec) use parse::minify;
use parse::{Fault, Parser};

/// What ends a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// A line's end: jsonl.
    Lines,
    /// The end of an outermost value: json.
    Values,
}

/// The schema of the records in a block.
pub(super) fn infer(ends: Ends, block: &Block) -> TableSchema {
    let mut members = infer::Members::default();
    for range in Records::new(ends, &block.bytes) {
        let record = &block.bytes[range];
        if simdutf8::basic::from_utf8(record).is_ok() {
            let mut parser = Parser { data: record, at: 0 };
            // A record that is bad further on still shows what it has: what it adds can only be wider than needed.
            if parser.peek() == Some(b'{') && Parser::skip(&mut parser.clone(), 0).is_ok() {
                let _ = members.add(&mut parser, 0);
            }
        }
    }
    members.schema()
}

/// Whether a text is one JSON value, nested no deeper than columns may be.
pub(in crate::codec) fn is_json(text: &str) -> bool {
    let mut parser = Parser { data: text.as_bytes(), at: 0 };
    parser.skip(1).is_ok() && parser.peek().is_none()
}

/// Appends a JSON value as a text: what a string says, the JSON text of everything else.
pub(in crate::codec) fn content(json: &str, out: &mut Vec<u8>) {
    let mut parser = Parser { data: json.as_bytes(), at: 0 };
    if parser.peek() != Some(b'"') || parser.string().and_then(|text| parser.unescape(text, out)).is_err() {
        out.extend_from_slice(json.as_bytes());
    }
}

/// Decodes blocks of json under one table's schema.
pub(super) struct JsonDecoder {
    ends: Ends,
    table: Arc<TableSchema>,
    /// The columns' source names, then the dropped ones.
    keys: Keys,
    rows_per_batch: usize,
}

/// What became of a record.
enum Failed {
    /// It is bad: why.
    Bad(String),
    /// The schema cannot hold it: the columns, or none when it has one that the schema does not know.
    SchemaMismatch(Vec<usize>),
}

impl JsonDecoder {
    pub(super) fn new(ends: Ends, table: Arc<TableSchema>, drop: &[String], rows_per_batch: usize) -> JsonDecoder {
        let sources = table.columns.iter().map(|column| &column.source);
        let dropped = drop.iter().filter(|name| !table.columns.iter().any(|column| column.source == **name));
        let keys = Keys::new(sources.chain(dropped).map(String::as_str));
        JsonDecoder { ends, keys, table, rows_per_batch }
    }

    /// `Err` with the misfitting columns: the table's schema cannot hold the block.
    pub(super) fn decode(&self, block: &Block) -> Result<Result<Decoded, Vec<usize>>, DecodeError> {
        let valid = simdutf8::basic::from_utf8(&block.bytes).is_ok();
        let mut batch = Batch::new(&self.table);
        let mut decoded = Decoded::default();
        for range in Records::new(self.ends, &block.bytes) {
            let result = match valid || simdutf8::basic::from_utf8(&block.bytes[range.clone()]).is_ok() {
                true => self.record(&block.bytes[..range.end], range.start, &mut batch),
                false => Err(Failed::Bad("not valid UTF-8".to_owned())),
            };
            match result {
                Ok(()) => {}
                Err(Failed::SchemaMismatch(columns)) => return Ok(Err(columns)),
                Err(Failed::Bad(reason)) => {
                    batch.undo();
                    decoded.bad.push(bad_record(block, range, decoded.records, reason));
                }
            }
            decoded.records += 1;
            if batch.rows == self.rows_per_batch {
                decoded.rows.push(Rows::Batch(batch.finish(&self.table)?));
            }
        }
        if batch.rows > 0 {
            decoded.rows.push(Rows::Batch(batch.finish(&self.table)?));
        }
        number_lines(block, &mut decoded.bad);
        Ok(Ok(decoded))
    }

    /// One record, which lies in `data` from `start` to its end.
    fn record(&self, data: &[u8], start: usize, batch: &mut Batch) -> Result<(), Failed> {
        let mut parser = Parser { data, at: start };
        if parser.peek() != Some(b'{') {
            return Err(Failed::Bad("a record is an object, and this is none".to_owned()));
        }
        let mut expected = 0;
        let mut failed = None;
        let result = parser.object(0, |parser, key| {
            let column = self.keys.find(parser, key, expected)?;
            match column {
                Some(i) => {
                    expected = i + 1;
                    if i >= self.table.columns.len() {
                        return parser.skip(1);
                    }
                    self.value(parser, i, batch).map_err(|error| match error {
                        Ok(fault) => fault,
                        Err(why) => {
                            failed = Some(why);
                            Fault::Misfit
                        }
                    })
                }
                None if self.table.unknown == Unknown::Ignore => parser.skip(1),
                None => {
                    failed = Some(Failed::SchemaMismatch(Vec::new()));
                    Err(Fault::Misfit)
                }
            }
        });
        let result = result.and_then(|()| match parser.peek() {
            Some(_) => parser.fault("something stands behind the object"),
            None => Ok(()),
        });
        match result {
            Ok(()) => {
                batch.end_row();
                Ok(())
            }
            // A record that is no JSON is bad, whatever its first fields are: that it mismatches is known only at its
            // end.
            Err(Fault::Misfit) => {
                let mut whole = Parser { data, at: start };
                match whole.skip(0).and_then(|()| {
                    if whole.peek().is_some() { whole.fault("something stands behind the object") } else { Ok(()) }
                }) {
                    Err(Fault::Syntax(at, what)) => Err(Failed::Bad(syntax(data, start, at, what))),
                    _ => Err(failed.unwrap_or_else(|| Failed::SchemaMismatch(Vec::new()))),
                }
            }
            Err(Fault::Syntax(at, what)) => Err(Failed::Bad(syntax(data, start, at, what))),
        }
    }

    /// The value of a column.
    #[inline]
    fn value(&self, parser: &mut Parser<'_>, i: usize, batch: &mut Batch) -> Result<(), Result<Fault, Failed>> {
        let builder = &mut batch.columns[i];
        if builder.len() > batch.rows {
            builder.truncate(batch.rows);
            batch.rescued.forget(batch.rows, &self.table.columns[i].source);
        }
        let start = parser.at;
        match builder.push(parser, 1) {
            Ok(()) => Ok(()),
            Err(Fault::Misfit) => self.misfit(parser, start, i, batch),
            Err(fault) => Err(Ok(fault)),
        }
    }

    /// A value at `start` that its column cannot hold.
    #[cold]
    fn misfit(
        &self,
        parser: &mut Parser<'_>,
        start: usize,
        i: usize,
        batch: &mut Batch,
    ) -> Result<(), Result<Fault, Failed>> {
        let column = &self.table.columns[i];
        parser.at = start;
        parser.space();
        let start = parser.at;
        parser.skip(1).map_err(Ok)?;
        let mut text = Vec::new();
        minify(&parser.data[start..parser.at], &mut text);
        match column.misfit {
            Misfit::Widen => Err(Err(Failed::SchemaMismatch(vec![i]))),
            Misfit::BadRecord => {
                let text = cut_raw(&text[..text.len().min(200)]);
                let reason = format!("{text} of column {} is no {}", column.source, type_name(&column.written_type()));
                Err(Err(Failed::Bad(reason)))
            }
            Misfit::Rescue => {
                batch.columns[i].truncate(batch.rows);
                batch.columns[i].push_null();
                batch.rescued.json(batch.rows, &column.source, &String::from_utf8_lossy(&text));
                Ok(())
            }
        }
    }
}

/// Rows on their way to a batch.
struct Batch {
    columns: Vec<Builder>,
    rescued: Rescued,
    rows: usize,
}

impl Batch {
    fn new(table: &TableSchema) -> Batch {
        let builder = |column: &crate::model::schema::Column| {
            Builder::new(&Typed::of(column), column.misfit != Misfit::BadRecord)
        };
        Batch { columns: table.columns.iter().map(builder).collect(), rescued: Rescued::default(), rows: 0 }
    }

    /// Columns that the record does not have are null.
    #[inline]
    fn end_row(&mut self) {
        for column in &mut self.columns {
            if column.len() == self.rows {
                column.push_null();
            }
        }
        self.rows += 1;
    }

    /// Takes back what a bad record left.
    #[cold]
    fn undo(&mut self) {
        self.columns.iter_mut().for_each(|column| column.truncate(self.rows));
        self.rescued.undo(self.rows);
    }

    fn finish(&mut self, table: &TableSchema) -> Result<RecordBatch, DecodeError> {
        let bad = |error: arrow::error::ArrowError| DecodeError::Bad { reason: error.to_string(), position: None };
        let mut arrays =
            self.columns.iter_mut().map(Builder::finish).collect::<Result<Vec<ArrayRef>, _>>().map_err(bad)?;
        if table.rescued {
            arrays.push(std::mem::take(&mut self.rescued).into_array(self.rows));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        RecordBatch::try_new_with_options(table.arrow(), arrays, &options).map_err(bad)
    }
}

fn syntax(data: &[u8], start: usize, at: usize, what: &str) -> String {
    let at = at.min(data.len());
    let newline = memchr::memrchr(b'\n', &data[start..at]);
    match newline {
        // A record of several lines: the position tells where it begins, so the place is told from there.
        Some(newline) => {
            let lines = memchr::memchr_iter(b'\n', &data[start..at]).count();
            format!("{what}, {lines} lines into the record at column {}", at - start - newline)
        }
        None => {
            let line = memchr::memrchr(b'\n', &data[..start]).map_or(0, |newline| newline + 1);
            format!("{what} at column {}", at - line + 1)
        }
    }
}

fn bad_record(block: &Block, range: Range<usize>, record: u64, reason: String) -> BadRecord {
    let position = Position { line: None, offset: block.offset + range.start as u64 };
    BadRecord { record, position, reason, raw: cut_raw(&block.bytes[range]) }
}

/// The records of a block: its lines, or its outermost values.
struct Records<'a> {
    data: &'a [u8],
    at: usize,
    values: Option<super::text::ValueEnds>,
}

impl<'a> Records<'a> {
    fn new(ends: Ends, data: &'a [u8]) -> Records<'a> {
        let values = (ends == Ends::Values).then(super::text::ValueEnds::default);
        Records { data, at: 0, values }
    }
}

impl Iterator for Records<'_> {
    type Item = Range<usize>;

    #[inline]
    fn next(&mut self) -> Option<Range<usize>> {
        if let Some(values) = &mut self.values {
            return values.next(self.data, &mut self.at);
        }
        while self.at < self.data.len() {
            let start = self.at;
            let end = memchr::memchr(b'\n', &self.data[start..]).map_or(self.data.len(), |newline| start + newline);
            self.at = end + 1;
            if !self.data[start..end].iter().all(u8::is_ascii_whitespace) {
                return Some(start..end);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
