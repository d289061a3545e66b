//! Values that a column of the table cannot hold: rows that are bad, and values that are rescued.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, BooleanArray, UInt64Array};
use arrow::compute::{nullif, take};
use arrow::record_batch::RecordBatch;

use super::plan::misfit_reason;
use super::{Place, bad};
use crate::codec::decode::cast::{Strictness, cast};
use crate::codec::decode::rescue::Rescued;
use crate::codec::decode::{cut_raw, without_rows};
use crate::codec::encode::value::{WholeJson, push_json_string, writer};
use crate::codec::{BadRecord, DecodeError, Position};
use crate::model::schema::{Column, Misfit};

/// The misfits of one batch, by row.
pub(super) struct Misfits {
    rows: usize,
    /// The first misfit of a bad row: why, and the values that do not fit as members of a JSON object.
    bad: HashMap<usize, (String, String)>,
    rescued: Rescued,
}

impl Misfits {
    pub fn new(rows: usize) -> Self {
        Self { rows, bad: HashMap::new(), rescued: Rescued::default() }
    }

    /// Notes the rows of `array` that `column` cannot hold, `cast` being what became of it; gives `cast` with these
    /// rows null. They are rescued or bad, as `misfit` says.
    pub fn note(
        &mut self,
        column: &Column,
        misfit: Misfit,
        array: &ArrayRef,
        cast: &ArrayRef,
        strictness: Strictness,
    ) -> Result<ArrayRef, DecodeError> {
        let write = writer(array.as_ref(), &WholeJson);
        let lost: BooleanArray =
            (0..array.len()).map(|row| lost(array, cast, strictness, row).map(Some)).collect::<Result<_, _>>()?;
        for row in lost.values().set_indices() {
            let mut value = Vec::new();
            write(row, &mut value);
            let value = String::from_utf8_lossy(&value);
            if misfit == Misfit::Rescue {
                self.rescued.json(row, &column.source, &value);
                continue;
            }
            let (_, members) = self
                .bad
                .entry(row)
                .or_insert_with(|| (misfit_reason(column, array.data_type(), &value), String::new()));
            let mut name = Vec::new();
            push_json_string(&column.source, &mut name);
            let comma = if members.is_empty() { "" } else { "," };
            members.push_str(&format!("{comma}{}:{value}", String::from_utf8_lossy(&name)));
        }
        nullif(cast, &lost).map_err(|error| bad(format!("column {} cannot be cast: {error}", column.source)))
    }

    /// The rescued column: null where all fitted.
    pub fn take_rescued(&mut self) -> ArrayRef {
        std::mem::take(&mut self.rescued).into_array(self.rows)
    }

    /// Takes the bad rows out of a batch, whose rows stand at `place`.
    pub fn split(
        self,
        batch: RecordBatch,
        place: impl Fn(usize) -> Place,
    ) -> Result<(RecordBatch, Vec<BadRecord>), DecodeError> {
        let batch = without_rows(batch, &self.bad)?;
        let record = |(row, (reason, members)): (usize, (String, String))| {
            let Place { row: which, offset } = place(row);
            BadRecord {
                record: row as u64,
                position: Position { line: None, offset },
                reason: format!("{which}: {reason}"),
                raw: cut_raw(format!("{{{members}}}").as_bytes()),
            }
        };
        let mut bad: Vec<BadRecord> = self.bad.into_iter().map(record).collect();
        bad.sort_by_key(|bad| bad.record);
        Ok((batch, bad))
    }
}

/// Whether the value of a row did not survive. Below the surface of a nested value it takes a second look at the row
/// alone.
fn lost(array: &ArrayRef, cast_array: &ArrayRef, strictness: Strictness, row: usize) -> Result<bool, DecodeError> {
    if array.is_null(row) {
        return Ok(false);
    }
    if cast_array.is_null(row) {
        return Ok(true);
    }
    if !cast_array.data_type().is_nested() {
        return Ok(false);
    }
    // A slice of a list would still have all items.
    let alone = take(array, &UInt64Array::from(vec![row as u64]), None)
        .map_err(|error| bad(format!("a nested value cannot be read: {error}")))?;
    Ok(cast(&alone, cast_array.data_type(), strictness)?.wider.is_some())
}
