//! INT96, the times of old writers: a day and the nanoseconds in it. The parquet crate makes counts of one unit of
//! them, cuts what is finer and wraps what is beyond. So values are looked at before, as they lie in pages.

use arrow_schema::TimeUnit;
use parquet::basic::Encoding;
use parquet::column::page::Page;
use parquet::schema::types::ColumnDescPtr;

use crate::codec::encode::time_text::{push_date, push_time, ticks};

/// The Julian day of 1970-01-01.
const EPOCH_DAY: i64 = 2_440_588;
const DAY_SECONDS: i128 = 86_400;
const VALUE_BYTES: usize = 12;

/// A column of such times.
pub(super) struct Int96 {
    pub column: ColumnDescPtr,
    /// What they are read in.
    pub unit: TimeUnit,
}

impl Int96 {
    /// Why a value of a page cannot be read as it is.
    pub fn misfit(&self, page: &Page) -> Option<String> {
        let (values, _) = self.values(page)?.as_chunks::<VALUE_BYTES>();
        let (day, nanos) = values.iter().map(parts).find(|(day, nanos)| !self.holds(*day, *nanos))?;
        let mut text = Vec::new();
        push_date(day, &mut text);
        text.push(b'T');
        push_time(i64::try_from(nanos).unwrap_or(i64::MAX), TimeUnit::Nanosecond, &mut text);
        let (name, text) = (self.column.path().string(), String::from_utf8_lossy(&text).into_owned());
        Some(match self.unit {
            TimeUnit::Nanosecond => format!("column {name}: {text} is not timestamp(ns), which ends in 2262"),
            _ => {
                let advice = match self.column.path().parts() {
                    // A part of a struct or list has no cast of its own.
                    [whole, _, ..] => format!("leave the column {whole} out with schema.drop"),
                    _ => "cast the column to timestamp(ns, no zone) in schema.columns, or drop it".to_owned(),
                };
                format!("column {name}: {text} is an INT96 time with digits that timestamp(us) does not hold: {advice}")
            }
        })
    }

    fn holds(&self, day: i64, nanos: u64) -> bool {
        let ticks = ticks(self.unit);
        let nanos_per_tick = 1_000_000_000 / ticks;
        let count = i128::from(day) * DAY_SECONDS * i128::from(ticks) + i128::from(nanos) / i128::from(nanos_per_tick);
        nanos.is_multiple_of(nanos_per_tick.unsigned_abs()) && i64::try_from(count).is_ok()
    }

    /// The bytes of the values that stand in a page themselves.
    fn values<'a>(&self, page: &'a Page) -> Option<&'a [u8]> {
        match page {
            Page::DictionaryPage { buf, .. } => Some(buf),
            Page::DataPage {
                buf,
                num_values,
                encoding: Encoding::PLAIN,
                def_level_encoding,
                rep_level_encoding,
                ..
            } => {
                let buf = after_levels(buf, *rep_level_encoding, self.column.max_rep_level(), *num_values)?;
                after_levels(buf, *def_level_encoding, self.column.max_def_level(), *num_values)
            }
            Page::DataPageV2 { buf, encoding: Encoding::PLAIN, def_levels_byte_len, rep_levels_byte_len, .. } => {
                buf.get((*def_levels_byte_len as usize).checked_add(*rep_levels_byte_len as usize)?..)
            }
            _ => None,
        }
    }
}

/// Days since 1970-01-01 and nanoseconds.
fn parts(value: &[u8; VALUE_BYTES]) -> (i64, u64) {
    let [a, b, c, d, e, f, g, h, day @ ..] = *value;
    (i64::from(i32::from_le_bytes(day)) - EPOCH_DAY, u64::from_le_bytes([a, b, c, d, e, f, g, h]))
}

/// What follows the levels of a page in the first version of the format.
fn after_levels(buf: &[u8], encoding: Encoding, max: i16, values: u32) -> Option<&[u8]> {
    if max == 0 {
        return Some(buf);
    }
    if encoding == Encoding::RLE {
        let (length, rest) = buf.split_first_chunk::<4>()?;
        return rest.get(u32::from_le_bytes(*length) as usize..);
    }
    // BIT_PACKED, as the first writers did.
    let bits = u64::from(i16::BITS - max.leading_zeros());
    buf.get(usize::try_from((u64::from(values) * bits).div_ceil(8)).ok()?..)
}
