//! What csv and json do alike: numbers keep their values, on the whole way from the first sample to the text that is
//! written again.

use std::sync::Arc;

use proptest::prelude::*;

use super::{RecordDecoder, infer};
use crate::codec::encode::value::{RAW, writer};
use crate::codec::{Block, Decoded, LineEnd};
use crate::model::format::TextFormat;
use crate::model::schema::{TableSchema, frozen, merge};
use crate::model::settings::{CsvReadSettings, Evolution, SchemaMode, SchemaSettings};

/// More plans than any column of numbers needs: at most two for each kind of type that it climbs through (integer,
/// float, decimal, text).
const PLANS_MAX: usize = 8;

fn block(format: TextFormat, numbers: &[String]) -> Block {
    let line = |number: &String| match format {
        TextFormat::CSV => format!("{number},\n"),
        _ => format!("{{\"a\":{number},\"b\":null}}\n"),
    };
    Block { bytes: numbers.iter().map(line).collect::<String>().into(), offset: 0, line: 1, line_end: LineEnd::Newline }
}

/// The rows of blocks whose schema was chosen by the first of them and widened by mismatches, as a run does it: the
/// schema and the text of each row.
fn read(format: TextFormat, blocks: &[Block]) -> (TableSchema, Vec<String>) {
    let header = (format == TextFormat::CSV).then(|| vec!["a".to_owned(), "b".to_owned()]);
    let csv = CsvReadSettings::default();
    let rules =
        SchemaSettings { mode: SchemaMode::Infer, columns: vec![], drop: vec![], evolution: Evolution::AddColumns };
    let freeze = |schema: &TableSchema| frozen(&rules, false, schema, None).expect("no rules");
    let mut schema = freeze(&infer(format, &csv, header.as_deref(), &blocks[0]).expect("infers"));
    for _ in 0..PLANS_MAX {
        let decoder =
            RecordDecoder::new(format, &csv, header.as_deref(), Arc::new(schema.clone()), &[], 5).expect("options");
        let decoded: Vec<Decoded> = blocks.iter().map(|block| decoder.decode(block).expect("decodes")).collect();
        assert!(decoded.iter().all(|decoded| decoded.bad.is_empty()));
        let mismatches = decoded.iter().filter_map(|decoded| decoded.mismatch.as_ref()).fold(
            None,
            |merged: Option<TableSchema>, schema| {
                Some(merged.map_or_else(|| schema.clone(), |merged| merge(&merged, schema)))
            },
        );
        let Some(mismatch) = mismatches else {
            let mut rows = Vec::new();
            for batch in decoded.iter().flat_map(Decoded::batches) {
                let write = writer(batch.column(0).as_ref(), &RAW);
                for row in 0..batch.num_rows() {
                    let mut text = Vec::new();
                    write(row, &mut text);
                    rows.push(String::from_utf8(text).expect("text"));
                }
            }
            return (schema, rows);
        };
        let wider = freeze(&merge(&schema, &mismatch));
        assert_ne!(wider, schema, "a mismatch that changes nothing");
        schema = wider;
    }
    panic!("no schema after {PLANS_MAX} plans: {schema:?}");
}

/// Sign, digits and power of ten: equal for texts of one value.
fn value(text: &str) -> (bool, String, i64) {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) =
        mantissa.trim_start_matches('-').split_once('.').unwrap_or((mantissa.trim_start_matches('-'), ""));
    let digits = format!("{whole}{fraction}");
    let kept = digits.trim_end_matches('0');
    let power =
        exponent.parse::<i64>().expect("an exponent") - fraction.len() as i64 + (digits.len() - kept.len()) as i64;
    let kept = kept.trim_start_matches('0');
    (text.starts_with('-'), kept.to_owned(), if kept.is_empty() { 0 } else { power })
}

fn any_number() -> impl Strategy<Value = String> {
    let whole = "(0|-?[1-9][0-9]{0,15}|-?[1-9][0-9]{15,40})";
    prop_oneof![
        3 => whole.prop_map(String::from),
        4 => "-?(0|[1-9][0-9]{0,6})\\.[0-9]{1,6}",
        2 => "-?(0|[1-9][0-9]{0,18})\\.[0-9]{1,20}",
        1 => "-?(0|[1-9][0-9]{0,30})\\.[0-9]{1,30}",
        2 => (-1e9..1e9f64).prop_map(|value| value.to_string()),
        1 => Just("-0".to_owned()),
        1 => "-?[1-9]\\.[0-9]{1,18}e-?[0-9]{1,2}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Whatever numbers come in which order, the loop of plans ends, and no digit is lost on the way. Only what a float
    /// wrote for itself, with an exponent, comes back as the float's own shortest text.
    #[test]
    fn numbers_come_back_whatever_is_seen_first(
        blocks in proptest::collection::vec(proptest::collection::vec(any_number(), 1..4), 1..6), json: bool,
    ) {
        let format = if json { TextFormat::Jsonl } else { TextFormat::CSV };
        let texts: Vec<Block> = blocks.iter().map(|numbers| block(format, numbers)).collect();
        let (_, rows) = read(format, &texts);
        let numbers: Vec<&String> = blocks.iter().flatten().collect();
        prop_assert_eq!(rows.len(), numbers.len());
        for (number, row) in numbers.into_iter().zip(rows) {
            let same = value(number) == value(&row);
            let same_float = number.contains('e') && number.parse::<f64>() == row.parse::<f64>();
            prop_assert!(same || same_float, "{} came back as {}", number, row);
        }
    }
}

/// What the sample of few digits does not know is found in one more plan, however many values are longer.
#[test]
fn a_late_long_number_makes_a_decimal_of_its_column() {
    for format in [TextFormat::CSV, TextFormat::Jsonl] {
        let blocks = [&["1.5", "2"][..], &["123456789012.5"], &["0.123456789012345678"], &["99999999999999999999"]];
        let blocks =
            blocks.map(|numbers| block(format, &numbers.iter().map(|&number| number.to_owned()).collect::<Vec<_>>()));
        let (schema, rows) = read(format, &blocks);
        assert_eq!(schema.columns[0].data_type, arrow::datatypes::DataType::Decimal128(38, 18));
        assert_eq!(rows[2], "123456789012.500000000000000000");
        assert_eq!(rows[4], "99999999999999999999.000000000000000000");
    }
}
