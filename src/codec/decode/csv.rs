//! Csv and tsv: blocks of whole records become batches, column by column.

mod column;
mod infer;
mod records;
mod scan;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, new_null_array};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;

use crate::codec::{BadRecord, Block, DecodeError, Decoded, Position, Rows};
use crate::model::schema::{Misfit, TableSchema, Unknown, type_name};
use crate::model::settings::CsvReadSettings;

use super::{Rescued, cut_raw, none_declared, number_lines, without_rows};
use column::{Nulls, Source};
pub(super) use infer::infer;
pub(super) use records::RecordScan;
pub(super) use scan::Dialect;
use scan::{Cells, Fault, Faulty};

/// What the options of a source mean, where they name no delimiter with the format's own.
///
/// # Errors
/// A byte that is not ASCII would lie inside characters of UTF-8 text.
pub(super) fn dialect(delimiter: u8, csv: &CsvReadSettings) -> Result<Dialect, DecodeError> {
    let delimiter = csv.delimiter.unwrap_or(delimiter);
    let bytes = [Some(delimiter), csv.quote, csv.escape, csv.comment];
    if let Some(byte) = bytes.into_iter().flatten().find(|byte| !byte.is_ascii()) {
        let reason = format!("the csv options name byte {byte:#04x}, which is no ASCII character");
        return Err(DecodeError::Bad { reason, position: None });
    }
    let escape = csv.escape.filter(|escape| Some(*escape) != csv.quote && csv.quote.is_some());
    Ok(Dialect { delimiter, quote: csv.quote, escape, comment: csv.comment })
}

/// The first record (or comment, or blank line) with its newline, and what follows.
fn first_record(text: &[u8], dialect: Dialect) -> (&[u8], &[u8]) {
    text.split_at(RecordScan::new(dialect).end(text, 1).unwrap_or(text.len()))
}

/// The number of cells of the first record that is one; where none is, of the first that is neither blank nor a
/// comment. 0 only for a text that says nothing: what cannot be split is for the rows to report.
pub(super) fn first_width(data: &[u8], dialect: Dialect) -> usize {
    let (mut rest, mut broken) = (data, 0);
    while !rest.is_empty() {
        let (record, after) = first_record(rest, dialect);
        if !is_skipped(record, dialect) {
            match scan::scan(record, dialect, usize::MAX).faulty.first() {
                Some(Faulty { fault: Fault::Cells(cells), .. }) => return *cells,
                Some(faulty) if broken == 0 => broken = faulty.cells,
                _ => {}
            }
        }
        rest = after;
    }
    broken
}

/// Whether a record says nothing: a blank line or a comment.
pub(super) fn is_skipped(record: &[u8], dialect: Dialect) -> bool {
    matches!(record, b"" | b"\n" | b"\r" | b"\r\n")
        || (dialect.comment.is_some() && dialect.comment == record.first().copied())
}

/// The names in a header record: an empty one becomes `column_N` (from 1), a repeated one gets `_1`, `_2` and so on.
pub(super) fn header_names(record: &[u8], dialect: Dialect) -> Result<Vec<String>, String> {
    let width = first_width(record, dialect);
    let cells = scan::scan(record, dialect, width);
    if let Some(Faulty { fault, .. }) = cells.faulty.first() {
        return Err(format!("the header is no record: {}", reason(*fault, width)));
    }
    let mut names: Vec<String> = Vec::with_capacity(width);
    let mut scratch = Vec::new();
    for (i, cell) in cells.cells.iter().enumerate() {
        let text = column::text(record, *cell, dialect, &mut scratch);
        let text = std::str::from_utf8(text).map_err(|_| format!("the name of column {} is {NOT_UTF8}", i + 1))?;
        no_controls(text, i)?;
        names.push(if text.is_empty() { format!("column_{}", i + 1) } else { text.to_owned() });
    }
    Ok(distinct(names))
}

/// Refuses names of column `i` that no person wrote: without this, an object of one long header has no rows, and nobody
/// is told. Quoted names may have several lines.
fn no_controls(name: &str, i: usize) -> Result<(), String> {
    match name.chars().find(|c| c.is_control() && !matches!(c, '\r' | '\n' | '\t')) {
        None => Ok(()),
        Some(c) => Err(format!(
            "the name of column {} holds the control character {:#04x}: the object is no text",
            i + 1,
            u32::from(c)
        )),
    }
}

/// Names of columns without a header: `column_1` and so on.
pub(super) fn numbered_names(width: usize) -> Vec<String> {
    (1..=width).map(|i| format!("column_{i}")).collect()
}

fn distinct(names: Vec<String>) -> Vec<String> {
    let mut taken: std::collections::HashSet<String> = names.iter().cloned().collect();
    let mut seen = std::collections::HashSet::new();
    let rename = |name: String| {
        if seen.insert(name.clone()) {
            return name;
        }
        // Each repeat takes the first free number, so that `a, a, a_1` keeps the `a_1` it was given.
        let free = (1..).map(|n| format!("{name}_{n}")).find(|free| !taken.contains(free)).unwrap_or(name);
        taken.insert(free.clone());
        free
    };
    names.into_iter().map(rename).collect()
}

/// Only text that is said to be UTF-8 can be of another encoding: the others are transcoded before.
const NOT_UTF8: &str = "not valid UTF-8; if it is in another encoding, name that in source.csv.encoding";

fn reason(fault: Fault, width: usize) -> String {
    match fault {
        Fault::Cells(cells) => format!("{cells} fields, where the header has {width}"),
        Fault::AfterQuote(column) => {
            format!("text follows the closing quote of field {}", column + 1)
        }
        Fault::OpenQuote(column) => format!("the quote of field {} never closes", column + 1),
        Fault::Encoding => NOT_UTF8.to_owned(),
    }
}

/// Decodes blocks of csv under one table's schema.
pub(super) struct CsvDecoder {
    dialect: Dialect,
    nulls: Nulls,
    header: Vec<String>,
    table: Arc<TableSchema>,
    /// For each column of the table its cell in a record.
    cells: Vec<Option<usize>>,
    /// Whether the header has a column that the table does not know.
    unknown: bool,
    rows_per_batch: usize,
}

impl CsvDecoder {
    pub(super) fn new(
        dialect: Dialect,
        csv: &CsvReadSettings,
        header: &[String],
        table: Arc<TableSchema>,
        drop: &[String],
        rows_per_batch: usize,
    ) -> CsvDecoder {
        let index: HashMap<&str, usize> = header.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
        let cells = table.columns.iter().map(|column| index.get(column.source.as_str()).copied()).collect();
        let known = |name: &String| drop.contains(name) || table.columns.iter().any(|column| column.source == *name);
        let unknown = table.unknown == Unknown::Widen && !header.iter().all(known);
        CsvDecoder { dialect, nulls: Nulls::new(csv), header: header.to_vec(), cells, unknown, table, rows_per_batch }
    }

    /// `Err` with the misfitting columns: the table's schema cannot hold the block.
    pub(super) fn decode(&self, block: &Block) -> Result<Result<Decoded, Vec<usize>>, DecodeError> {
        let width = self.header.len();
        let cells = valid_cells(&block.bytes, self.dialect, width);
        if cells.rows > 0
            && self.cells.iter().all(Option::is_none)
            && let Some(error) = none_declared(&self.table, self.header.iter().map(String::as_str))
        {
            return Err(error);
        }
        if self.unknown && cells.rows > 0 {
            return Ok(Err(Vec::new()));
        }
        let mut bad: Vec<BadRecord> = cells.faulty.iter().map(|faulty| self.bad_record(block, faulty)).collect();
        let mut batches = Vec::with_capacity(cells.rows.div_ceil(self.rows_per_batch));
        let mut misfits = Vec::new();
        let mut first = 0;
        while first < cells.rows {
            let rows = self.rows_per_batch.min(cells.rows - first);
            match self.batch(block, &cells, first, rows, &mut bad)? {
                Ok(batch) if batch.num_rows() > 0 => batches.push(Rows::Batch(batch)),
                Ok(_) => {}
                Err(columns) => misfits.extend(columns),
            }
            first += rows;
        }
        if !misfits.is_empty() {
            return Ok(Err(misfits));
        }
        bad.sort_by_key(|bad| bad.record);
        number_lines(block, &mut bad);
        Ok(Ok(Decoded { rows: batches, records: cells.records() as u64, bad, ..Decoded::default() }))
    }

    /// The rows `first..first + rows`, less those with a misfit that makes a bad record.
    fn batch(
        &self,
        block: &Block,
        cells: &Cells,
        first: usize,
        rows: usize,
        bad: &mut Vec<BadRecord>,
    ) -> Result<Result<RecordBatch, Vec<usize>>, DecodeError> {
        let width = self.header.len();
        let range = &cells.cells[first * width..(first + rows) * width];
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.table.columns.len() + 1);
        let mut widening_columns = Vec::new();
        let mut bad_rows: HashMap<usize, String> = HashMap::new();
        let mut rescued = Rescued::default();
        for (i, column) in self.table.columns.iter().enumerate() {
            let data_type = column.written_type();
            let Some(cell) = self.cells[i] else {
                arrays.push(new_null_array(&data_type, rows));
                continue;
            };
            // Only nulls were seen, or `{}`: no text is that.
            let pending = matches!(column.data_type, DataType::Null | DataType::Struct(_));
            let source =
                Source { data: &block.bytes, cells: range, width, cell, dialect: self.dialect, nulls: &self.nulls };
            let (array, misfits) = if pending {
                source.nulls(&data_type)
            } else {
                source.array(&data_type, column.misfit != Misfit::BadRecord)
            };
            arrays.push(array);
            match column.misfit {
                Misfit::Widen if !misfits.is_empty() => widening_columns.push(i),
                Misfit::Widen => {}
                Misfit::BadRecord => {
                    for row in misfits {
                        let reason = || {
                            let text = source.lossy(row);
                            format!("{text:?} of column {} is no {}", column.source, type_name(&data_type))
                        };
                        bad_rows.entry(row).or_insert_with(reason);
                    }
                }
                Misfit::Rescue => {
                    misfits.into_iter().for_each(|row| rescued.text(row, &column.source, &source.lossy(row)))
                }
            }
        }
        if !widening_columns.is_empty() {
            return Ok(Err(widening_columns));
        }
        if self.table.rescued {
            arrays.push(rescued.into_array(rows));
        }
        let options = arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.table.arrow(), arrays, &options)
            .map_err(|error| DecodeError::Bad { reason: error.to_string(), position: None })?;
        for (row, reason) in &bad_rows {
            let record = cells.record_of(first + row);
            let range = record_range(&block.bytes, &range[row * width..(row + 1) * width]);
            bad.push(bad_record(block, record, range, reason.clone()));
        }
        Ok(Ok(without_rows(batch, &bad_rows)?))
    }

    fn bad_record(&self, block: &Block, faulty: &Faulty) -> BadRecord {
        bad_record(block, faulty.record, faulty.range.clone(), reason(faulty.fault, self.header.len()))
    }
}

fn bad_record(block: &Block, record: usize, range: std::ops::Range<usize>, reason: String) -> BadRecord {
    BadRecord {
        record: record as u64,
        position: Position { line: None, offset: block.offset + range.start as u64 },
        reason,
        raw: cut_raw(&block.bytes[range]),
    }
}

/// The bytes of a row, from its cells: with the quotes around the first and the last.
fn record_range(data: &[u8], row: &[scan::Cell]) -> std::ops::Range<usize> {
    let (Some(first), Some(last)) = (row.first(), row.last()) else {
        return 0..0;
    };
    let start = first.range().start - usize::from(first.quoted());
    let end = (last.range().end + usize::from(last.quoted())).min(data.len());
    start..end
}

/// The cells of a block whose rows are all valid UTF-8.
fn valid_cells(data: &[u8], dialect: Dialect, width: usize) -> Cells {
    let cells = scan::scan(data, dialect, width);
    if simdutf8::basic::from_utf8(data).is_ok() { cells } else { without_invalid(data, cells, width) }
}

/// Rows that are not UTF-8 become faulty records.
#[cold]
fn without_invalid(data: &[u8], cells: Cells, width: usize) -> Cells {
    let mut valid = Cells { faulty: cells.faulty.clone(), ..Cells::default() };
    for (row, of_row) in cells.cells.chunks(width).enumerate() {
        let range = record_range(data, of_row);
        if simdutf8::basic::from_utf8(&data[range.clone()]).is_ok() {
            valid.cells.extend_from_slice(of_row);
            valid.rows += 1;
        } else {
            valid.faulty.push(Faulty { record: cells.record_of(row), range, fault: Fault::Encoding, cells: width });
        }
    }
    valid.faulty.sort_by_key(|faulty| faulty.record);
    valid
}

#[cfg(test)]
mod tests;
