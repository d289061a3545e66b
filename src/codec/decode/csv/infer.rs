//! What types a block's cells would have.

use super::super::value::{self, Seen};
use super::column::{Nulls, text};
use super::scan::Dialect;
use super::valid_cells;
use crate::model::schema::TableSchema;
use crate::model::settings::CsvReadSettings;

/// The schema that this text alone would have, columns in the header's order. Records that are no rows are not looked
/// at, and a header without rows says nothing of any column.
pub(in crate::codec::decode) fn infer(
    data: &[u8],
    dialect: Dialect,
    csv: &CsvReadSettings,
    header: &[String],
) -> TableSchema {
    let nulls = Nulls::new(csv);
    let width = header.len();
    let cells = valid_cells(data, dialect, width);
    if cells.rows == 0 {
        return TableSchema::default();
    }
    let mut scratch = Vec::new();
    let column = |(i, name): (usize, &String)| {
        let mut seen = Seen::default();
        for row in cells.cells.chunks_exact(width) {
            if !nulls.is_null(data, row[i]) {
                seen.add(value::classify(text(data, row[i], dialect, &mut scratch)));
                if seen.is_text() {
                    break;
                }
            }
        }
        seen.typed().into_column(name)
    };
    TableSchema { columns: header.iter().enumerate().map(column).collect(), ..TableSchema::default() }
}
