//! Columns that come with Arrow types of their own, as in parquet and avro, into the columns of a table.

mod misfits;
mod plan;

use std::sync::Arc;

use arrow::array::{ArrayRef, new_null_array};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, SchemaRef};

use super::cast::{Strictness, cast, wider};
use crate::codec::{DecodeError, Decoded, Rows};
use crate::model::schema::{Column, Misfit, TableSchema, Unknown};
use misfits::Misfits;
pub(in crate::codec::decode) use plan::Source;
use plan::{Plan, holds, plan};

/// A column of an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Incoming<'a> {
    /// Its name.
    pub name: &'a str,
    /// The type that its arrays have.
    pub carried: &'a DataType,
}

/// Where a row stands in its object.
pub(super) struct Place {
    /// Which one it is, as part of a sentence.
    pub row: String,
    /// The offset that it is found by.
    pub offset: u64,
}

/// How one object's columns become a table's.
pub(super) struct Columns {
    table: Arc<TableSchema>,
    schema: SchemaRef,
    plan: Plan,
}

impl Columns {
    /// Compares an object with a table. `read` are the columns whose arrays will come, in order. Columns `without_rows`
    /// mismatch nobody.
    ///
    /// # Errors
    /// [`DecodeError::Bad`] where a wanted column is an INTERVAL.
    pub fn new(
        incoming: &[Incoming<'_>],
        read: &[usize],
        table: &Arc<TableSchema>,
        drop: &[String],
        without_rows: bool,
    ) -> Result<Self, DecodeError> {
        let plan = plan(incoming, read, table, drop, without_rows)?;
        Ok(Self { schema: table.arrow(), table: Arc::clone(table), plan })
    }

    /// What would hold the object, where the table cannot.
    pub fn mismatch(&self) -> Option<&TableSchema> {
        match &self.plan {
            Plan::SchemaMismatch(schema) => Some(schema),
            Plan::Read(_) => None,
        }
    }

    /// The table's columns, and where each comes from; `None` after a mismatch.
    pub fn sources(&self) -> Option<impl Iterator<Item = (&Column, &Source)>> {
        match &self.plan {
            Plan::SchemaMismatch(_) => None,
            Plan::Read(sources) => Some(self.table.columns.iter().zip(sources)),
        }
    }

    /// Whether what does not fit is kept as text.
    pub fn rescues(&self) -> bool {
        self.table.rescued
    }

    /// The arrays of some rows in the table's schema, with the rows that are bad told apart. A value that the table
    /// cannot hold and that may widen it gives a mismatch in place of the rows.
    ///
    /// # Errors
    /// [`DecodeError::Bad`] where arrays contradict themselves.
    pub fn decoded(
        &self,
        carried: &[ArrayRef],
        rows: usize,
        place: impl Fn(usize) -> Place,
    ) -> Result<Decoded, DecodeError> {
        let Some(sources) = self.sources() else { return Ok(Decoded::default()) };
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        let mut mismatch: Vec<Column> = Vec::new();
        let mut misfits = Misfits::new(rows);
        for (column, source) in sources {
            let target = column.written_type();
            let Source::Column { at } = source else {
                columns.push(new_null_array(&target, rows));
                continue;
            };
            let array = &carried[*at];
            let strictness = match column.misfit {
                Misfit::Widen | Misfit::Rescue => Strictness::Same,
                Misfit::BadRecord => Strictness::Declared,
            };
            let cast = cast(array, &target, strictness)?;
            columns.push(match (cast.wider, column.misfit) {
                (None, _) => cast.array,
                (Some(needed), Misfit::Widen) => match wider(&target, needed) {
                    // Planning again would end here again: no type holds the values.
                    needed if holds(column, &needed) => {
                        let misfit = if self.table.rescued { Misfit::Rescue } else { Misfit::BadRecord };
                        misfits.note(column, misfit, array, &cast.array, strictness)?
                    }
                    needed => {
                        mismatch.push(needed.into_column(&column.source));
                        cast.array
                    }
                },
                (Some(_), misfit) => misfits.note(column, misfit, array, &cast.array, strictness)?,
            });
        }
        let records = rows as u64;
        if !mismatch.is_empty() {
            let schema = TableSchema { columns: mismatch, rescued: false, unknown: Unknown::Widen };
            return Ok(Decoded { records, mismatch: Some(schema), ..Decoded::default() });
        }
        if self.table.rescued {
            columns.push(misfits.take_rescued());
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|error| bad(format!("its columns contradict the table: {error}")))?;
        let (batch, bad) = misfits.split(batch, place)?;
        let rows = if batch.num_rows() == 0 { Vec::new() } else { vec![Rows::Batch(batch)] };
        Ok(Decoded { rows, records, bad, ..Decoded::default() })
    }
}

fn bad(reason: impl Into<String>) -> DecodeError {
    DecodeError::Bad { reason: reason.into(), position: None }
}
