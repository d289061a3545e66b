//! Blocks of records to batches, whatever the text's format.

use std::sync::Arc;

use super::csv::{self, CsvDecoder};
use super::json::{self, Ends, JsonDecoder};
use crate::codec::{Block, DecodeError, Decoded};
use crate::model::format::TextFormat;
use crate::model::schema::{TableSchema, merge};
use crate::model::settings::CsvReadSettings;
use arrow::datatypes::DataType;

/// Decodes blocks of one object under its table's schema. Blocks may be decoded on several threads and in any order;
/// what comes out depends on the block alone.
pub struct RecordDecoder {
    format: TextFormat,
    csv: CsvReadSettings,
    header: Vec<String>,
    table: Arc<TableSchema>,
    decoder: Decoder,
}

enum Decoder {
    Csv(CsvDecoder),
    Json(JsonDecoder),
}

impl RecordDecoder {
    /// A decoder for one object. `header` is [`super::text::TextReader::header`]'s (csv and tsv; `None` otherwise);
    /// `drop` are input columns that are no mismatch although the table does not have them; batches have at most
    /// `rows_per_batch` rows (at least 1) of one block.
    ///
    /// # Errors
    /// Options that no text can be read by.
    pub fn new(
        format: TextFormat,
        csv: &CsvReadSettings,
        header: Option<&[String]>,
        table: Arc<TableSchema>,
        drop: &[String],
        rows_per_batch: usize,
    ) -> Result<RecordDecoder, DecodeError> {
        let rows_per_batch = rows_per_batch.max(1);
        let decoder = match format {
            TextFormat::Delimited(_) if header.is_none() => {
                let reason = "the columns of a csv object are not known without its first record".to_owned();
                return Err(DecodeError::Bad { reason, position: None });
            }
            TextFormat::Delimited(delimiter) => {
                let dialect = csv::dialect(delimiter, csv)?;
                let header = header.unwrap_or_default();
                Decoder::Csv(CsvDecoder::new(dialect, csv, header, table.clone(), drop, rows_per_batch))
            }
            TextFormat::Json => Decoder::Json(JsonDecoder::new(Ends::Values, table.clone(), drop, rows_per_batch)),
            TextFormat::Jsonl => Decoder::Json(JsonDecoder::new(Ends::Lines, table.clone(), drop, rows_per_batch)),
        };
        Ok(RecordDecoder { format, csv: csv.clone(), header: header.unwrap_or_default().to_vec(), table, decoder })
    }

    /// Decodes one block. Every row is verified: a value or column that the schema cannot hold, and that may widen it,
    /// makes the block's own schema the result ([`Decoded::mismatch`]), without batches.
    ///
    /// # Errors
    /// What makes the whole object unreadable. Records that are no rows are no error: they are [`Decoded::bad`].
    pub fn decode(&self, block: &Block) -> Result<Decoded, DecodeError> {
        let result = match &self.decoder {
            Decoder::Csv(decoder) => decoder.decode(block)?,
            Decoder::Json(decoder) => decoder.decode(block)?,
        };
        match result {
            Ok(decoded) => Ok(decoded),
            Err(misfits) => {
                let inferred = infer(self.format, &self.csv, Some(&self.header), block)?;
                let mismatch = widening(&self.table, inferred, &misfits);
                Ok(Decoded { mismatch: Some(mismatch), ..Decoded::default() })
            }
        }
    }
}

/// The schema that one block alone would have, by the names of the input. Bad records are not looked at.
///
/// # Errors
/// As [`RecordDecoder::new`] and [`RecordDecoder::decode`].
pub fn infer(
    format: TextFormat,
    csv: &CsvReadSettings,
    header: Option<&[String]>,
    block: &Block,
) -> Result<TableSchema, DecodeError> {
    match format {
        TextFormat::Delimited(delimiter) => {
            let dialect = csv::dialect(delimiter, csv)?;
            Ok(header.map_or_else(TableSchema::default, |header| csv::infer(&block.bytes, dialect, csv, header)))
        }
        TextFormat::Json => Ok(json::infer(Ends::Values, block)),
        TextFormat::Jsonl => Ok(json::infer(Ends::Lines, block)),
    }
}

/// Makes sure that a mismatch widens every column that misfitted. A column's own type may be below the table's although
/// a value does not fit (a timestamp beyond the range of nanoseconds): only text holds such a column, and planning
/// again ends.
fn widening(table: &TableSchema, mut inferred: TableSchema, misfits: &[usize]) -> TableSchema {
    let merged = merge(table, &inferred);
    for &i in misfits {
        let column = &table.columns[i];
        if merged.columns[i].data_type == column.data_type
            && merged.columns[i].wide == column.wide
            && let Some(inferred) = inferred.columns.iter_mut().find(|inferred| inferred.source == column.source)
        {
            (inferred.data_type, inferred.wide, inferred.digits) = (DataType::Utf8, false, None);
        }
    }
    inferred
}
