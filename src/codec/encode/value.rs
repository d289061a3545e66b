//! One value as text: what csv, json and hive directories share.
//!
//! [`Writers`] says what a text format does with each kind of value; [`writer`] builds, once for each column of a
//! batch, the closure that writes a row's value, so that no type is looked at again for each row.

use std::io::Write as _;
use std::marker::PhantomData;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, OffsetSizeTrait, PrimitiveArray};
use arrow::datatypes::*;
use arrow_schema::{DataType, TimeUnit};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::time_text::{push_date, push_time, push_timestamp};
use crate::codec::decode::json::{content, minify};

/// Writes the value of a row.
pub(crate) type Write<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + Send + Sync + 'a>;

/// What a text format does with each kind of value. Each gives the closure that writes a row's value, which is not
/// null.
pub(crate) trait Writers<'a> {
    /// The JSON of what is inside a struct, list or map.
    type Inside: Writers<'a> + Default;

    /// Numbers and booleans: text that is a JSON literal too.
    fn literal(&self, write: impl Fn(usize, &mut Vec<u8>) + Send + Sync + 'a) -> Write<'a>;
    /// Floating point: the value may be NaN or infinite.
    fn float(
        &self,
        value: impl Fn(usize) -> f64 + Send + Sync + 'a,
        write: impl Fn(usize, &mut Vec<u8>) + Send + Sync + 'a,
    ) -> Write<'a>;
    /// Dates and times: letters, digits and `+-.:`.
    fn plain(&self, write: impl Fn(usize, &mut Vec<u8>) + Send + Sync + 'a) -> Write<'a>;
    /// Base64, which may be empty.
    fn base64(&self, write: impl Fn(usize, &mut Vec<u8>) + Send + Sync + 'a) -> Write<'a> {
        self.plain(write)
    }
    /// Any text.
    fn text(&self, value: impl Fn(usize) -> &'a str + Send + Sync + 'a) -> Write<'a>;
    /// The text of a JSON value, of which `json` or jsonl holds the value itself.
    fn json(&self, value: impl Fn(usize) -> &'a str + Send + Sync + 'a) -> Write<'a>;
    /// A struct, list or map, given as the writer of its JSON text.
    fn nested(&self, json: Write<'a>) -> Write<'a>;
    /// What stands for null.
    fn null(&self) -> Vec<u8>;
}

/// Whether values of a type can be text.
pub(crate) fn has_text(data_type: &DataType) -> bool {
    !any_type(data_type, &is_without_text)
}

fn is_without_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Interval(_)
            | DataType::Union(..)
            | DataType::RunEndEncoded(..)
            | DataType::ListView(_)
            | DataType::LargeListView(_)
    )
}

/// Whether a type, or one inside it, is what is looked for.
pub(crate) fn any_type(data_type: &DataType, wanted: &impl Fn(&DataType) -> bool) -> bool {
    wanted(data_type)
        || match data_type {
            DataType::Struct(fields) => fields.iter().any(|field| any_type(field.data_type(), wanted)),
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::FixedSizeList(item, _)
            | DataType::Map(item, _) => any_type(item.data_type(), wanted),
            DataType::Dictionary(_, value) => any_type(value, wanted),
            _ => false,
        }
}

/// The writer of a column's values, nulls included. The type has text ([`has_text`]).
pub(crate) fn writer<'a>(array: &'a dyn Array, writers: &impl Writers<'a>) -> Write<'a> {
    let write = of_type(array, writers);
    match array.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => write,
        Some(nulls) => {
            let null = writers.null();
            Box::new(move |row, out| if nulls.is_null(row) { out.extend_from_slice(&null) } else { write(row, out) })
        }
    }
}

fn integers<'a, T: ArrowPrimitiveType<Native: itoa::Integer>>(
    array: &'a dyn Array,
    writers: &impl Writers<'a>,
) -> Write<'a> {
    let values = array.as_primitive::<T>().values();
    writers.literal(move |row, out| out.extend_from_slice(itoa::Buffer::new().format(values[row]).as_bytes()))
}

fn timestamps<'a, T: ArrowTimestampType>(array: &'a dyn Array, utc: bool, writers: &impl Writers<'a>) -> Write<'a> {
    let values = array.as_primitive::<T>().values();
    writers.plain(move |row, out| push_timestamp(values[row], T::UNIT, utc, out))
}

fn decimals<'a, T: DecimalType>(array: &'a dyn Array, writers: &impl Writers<'a>) -> Write<'a> {
    let array: &'a PrimitiveArray<T> = array.as_primitive::<T>();
    writers.literal(move |row, out| {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{}", array.value_as_string(row));
    })
}

fn bytes<'a>(value: impl Fn(usize) -> &'a [u8] + Send + Sync + 'a, writers: &impl Writers<'a>) -> Write<'a> {
    writers.base64(move |row, out| {
        let value = value(row);
        let start = out.len();
        out.resize(start + value.len().div_ceil(3) * 4, 0);
        // The room is what base64 with padding needs.
        let _ = STANDARD.encode_slice(value, &mut out[start..]);
    })
}

fn of_type<'a, W: Writers<'a>>(array: &'a dyn Array, writers: &W) -> Write<'a> {
    match array.data_type() {
        DataType::Null => {
            let null = writers.null();
            Box::new(move |_, out| out.extend_from_slice(&null))
        }
        DataType::Boolean => {
            let values = array.as_boolean();
            writers.literal(move |row, out| out.extend_from_slice(if values.value(row) { b"true" } else { b"false" }))
        }
        DataType::Int8 => integers::<Int8Type>(array, writers),
        DataType::Int16 => integers::<Int16Type>(array, writers),
        DataType::Int32 => integers::<Int32Type>(array, writers),
        DataType::Int64 => integers::<Int64Type>(array, writers),
        DataType::UInt8 => integers::<UInt8Type>(array, writers),
        DataType::UInt16 => integers::<UInt16Type>(array, writers),
        DataType::UInt32 => integers::<UInt32Type>(array, writers),
        DataType::UInt64 => integers::<UInt64Type>(array, writers),
        DataType::Float16 => {
            let values = array.as_primitive::<Float16Type>().values();
            writers.float(move |row| values[row].to_f64(), move |row, out| push_float(values[row].to_f32(), out))
        }
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>().values();
            writers.float(move |row| f64::from(values[row]), move |row, out| push_float(values[row], out))
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>().values();
            writers.float(move |row| values[row], move |row, out| push_float(values[row], out))
        }
        DataType::Decimal32(..) => decimals::<Decimal32Type>(array, writers),
        DataType::Decimal64(..) => decimals::<Decimal64Type>(array, writers),
        DataType::Decimal128(..) => decimals::<Decimal128Type>(array, writers),
        DataType::Decimal256(..) => decimals::<Decimal256Type>(array, writers),
        DataType::Date32 => {
            let values = array.as_primitive::<Date32Type>().values();
            writers.plain(move |row, out| push_date(i64::from(values[row]), out))
        }
        DataType::Date64 => {
            let values = array.as_primitive::<Date64Type>().values();
            writers.plain(move |row, out| push_date(values[row].div_euclid(86_400_000), out))
        }
        DataType::Timestamp(unit, zone) => match unit {
            TimeUnit::Second => timestamps::<TimestampSecondType>(array, zone.is_some(), writers),
            TimeUnit::Millisecond => timestamps::<TimestampMillisecondType>(array, zone.is_some(), writers),
            TimeUnit::Microsecond => timestamps::<TimestampMicrosecondType>(array, zone.is_some(), writers),
            TimeUnit::Nanosecond => timestamps::<TimestampNanosecondType>(array, zone.is_some(), writers),
        },
        DataType::Time32(TimeUnit::Second) => {
            let values = array.as_primitive::<Time32SecondType>().values();
            writers.plain(move |row, out| push_time(i64::from(values[row]), TimeUnit::Second, out))
        }
        DataType::Time32(_) => {
            let values = array.as_primitive::<Time32MillisecondType>().values();
            writers.plain(move |row, out| push_time(i64::from(values[row]), TimeUnit::Millisecond, out))
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            let values = array.as_primitive::<Time64MicrosecondType>().values();
            writers.plain(move |row, out| push_time(values[row], TimeUnit::Microsecond, out))
        }
        DataType::Time64(_) => {
            let values = array.as_primitive::<Time64NanosecondType>().values();
            writers.plain(move |row, out| push_time(values[row], TimeUnit::Nanosecond, out))
        }
        // A duration is the number of its units.
        DataType::Duration(TimeUnit::Second) => integers::<DurationSecondType>(array, writers),
        DataType::Duration(TimeUnit::Millisecond) => integers::<DurationMillisecondType>(array, writers),
        DataType::Duration(TimeUnit::Microsecond) => integers::<DurationMicrosecondType>(array, writers),
        DataType::Duration(TimeUnit::Nanosecond) => integers::<DurationNanosecondType>(array, writers),
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            writers.text(move |row| values.value(row))
        }
        DataType::LargeUtf8 => {
            let values = array.as_string::<i64>();
            writers.json(move |row| values.value(row))
        }
        DataType::Utf8View => {
            let values = array.as_string_view();
            writers.text(move |row| values.value(row))
        }
        DataType::Binary => {
            let values = array.as_binary::<i32>();
            bytes(move |row| values.value(row), writers)
        }
        DataType::LargeBinary => {
            let values = array.as_binary::<i64>();
            bytes(move |row| values.value(row), writers)
        }
        DataType::BinaryView => {
            let values = array.as_binary_view();
            bytes(move |row| values.value(row), writers)
        }
        DataType::FixedSizeBinary(_) => {
            let values = array.as_fixed_size_binary();
            bytes(move |row| values.value(row), writers)
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            if dictionary.values().is_empty() {
                // Every key is null then.
                return Box::new(|_, _| ());
            }
            let (keys, values) = (dictionary.normalized_keys(), writer(dictionary.values().as_ref(), writers));
            Box::new(move |row, out| values(keys[row], out))
        }
        _ => writers.nested(json_of_nested(array, &W::Inside::default())),
    }
}

/// The shortest text that reads back equal, and how other programs spell what is not finite.
fn push_float<F: ryu::Float + Into<f64> + Copy>(value: F, out: &mut Vec<u8>) {
    let wide: f64 = value.into();
    if wide.is_finite() {
        out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
    } else {
        out.extend_from_slice(if wide.is_nan() {
            b"NaN"
        } else if wide > 0.0 {
            b"Infinity"
        } else {
            b"-Infinity"
        });
    }
}

/// JSON values (RFC 8259). NaN and infinities, which JSON has no text for, are null, as in JavaScript's
/// `JSON.stringify`.
#[derive(Default)]
pub(crate) struct Json;

impl<'a> Writers<'a> for Json {
    type Inside = Json;

    fn literal(&self, write: impl Fn(usize, &mut Vec<u8>) + Send + Sync + 'a) -> Write<'a> {
        Box::new(write)
    }

    fn float(
        &self,
        value: impl Fn(usize) -> f64 + Send + Sync + 'a,
        write: impl Fn(usize, &mut Vec<u8>) + Send + Sync + 'a,
    ) -> Write<'a> {
        Box::new(move |row, out| if value(row).is_finite() { write(row, out) } else { out.extend_from_slice(b"null") })
    }

    fn plain(&self, write: impl Fn(usize, &mut Vec<u8>) + Send + Sync + 'a) -> Write<'a> {
        Box::new(move |row, out| {
            out.push(b'"');
            write(row, out);
            out.push(b'"');
        })
    }

    fn text(&self, value: impl Fn(usize) -> &'a str + Send + Sync + 'a) -> Write<'a> {
        Box::new(move |row, out| push_json_string(value(row), out))
    }

    fn json(&self, value: impl Fn(usize) -> &'a str + Send + Sync + 'a) -> Write<'a> {
        Box::new(move |row, out| {
            let value = value(row).as_bytes();
            // What others wrote into Parquet may be laid out in lines, which divide the values of jsonl.
            if memchr::memchr2(b'\n', b'\r', value).is_some() {
                minify(value, out)
            } else {
                out.extend_from_slice(value)
            }
        })
    }

    fn nested(&self, json: Write<'a>) -> Write<'a> {
        json
    }

    fn null(&self) -> Vec<u8> {
        b"null".to_vec()
    }
}

/// JSON that gives every value back: what is not finite is its name as a string.
#[derive(Default)]
pub(crate) struct WholeJson;

impl<'a> Writers<'a> for WholeJson {
    type Inside = WholeJson;

    fn literal(&self, write: impl Fn(usize, &mut Vec<u8>) + Send + Sync + 'a) -> Write<'a> {
        Json.literal(write)
    }

    fn float(
        &self,
        value: impl Fn(usize) -> f64 + Send + Sync + 'a,
        write: impl Fn(usize, &mut Vec<u8>) + Send + Sync + 'a,
    ) -> Write<'a> {
        Box::new(move |row, out| {
            let quote = if value(row).is_finite() { "" } else { "\"" };
            out.extend_from_slice(quote.as_bytes());
            write(row, out);
            out.extend_from_slice(quote.as_bytes());
        })
    }

    fn plain(&self, write: impl Fn(usize, &mut Vec<u8>) + Send + Sync + 'a) -> Write<'a> {
        Json.plain(write)
    }

    fn text(&self, value: impl Fn(usize) -> &'a str + Send + Sync + 'a) -> Write<'a> {
        Json.text(value)
    }

    fn json(&self, value: impl Fn(usize) -> &'a str + Send + Sync + 'a) -> Write<'a> {
        Json.json(value)
    }

    fn nested(&self, json: Write<'a>) -> Write<'a> {
        json
    }

    fn null(&self) -> Vec<u8> {
        Json.null()
    }
}

/// Bytes that JSON strings escape: the quote, the backslash and control characters.
fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// A JSON string.
pub(crate) fn push_json_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    // Looking at every byte without leaving early is what compilers turn into SIMD; most strings need nothing.
    if !bytes.iter().fold(false, |any, byte| any | needs_escape(*byte)) {
        out.extend_from_slice(bytes);
    } else {
        let mut start = 0;
        for (at, byte) in bytes.iter().enumerate().filter(|(_, byte)| needs_escape(**byte)) {
            out.extend_from_slice(&bytes[start..at]);
            start = at + 1;
            match byte {
                b'"' => out.extend_from_slice(b"\\\""),
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                _ => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            }
        }
        out.extend_from_slice(&bytes[start..]);
    }
    out.push(b'"');
}

/// The JSON text of structs (objects), lists (arrays) and maps (objects, keys as text).
fn json_of_nested<'a>(array: &'a dyn Array, json: &impl Writers<'a>) -> Write<'a> {
    match array.data_type() {
        DataType::Struct(fields) => {
            let names = fields.iter().enumerate().map(|(at, field)| {
                let mut name = if at > 0 { b",".to_vec() } else { Vec::new() };
                push_json_string(field.name(), &mut name);
                name.push(b':');
                name
            });
            let columns = array.as_struct().columns().iter().map(|column| writer(column.as_ref(), json));
            let members: Vec<(Vec<u8>, Write<'a>)> = names.zip(columns).collect();
            Box::new(move |row, out| {
                out.push(b'{');
                for (name, value) in &members {
                    out.extend_from_slice(name);
                    value(row, out);
                }
                out.push(b'}');
            })
        }
        DataType::List(_) => {
            json_of_list(array.as_list::<i32>().value_offsets(), array.as_list::<i32>().values(), json)
        }
        DataType::LargeList(_) => {
            json_of_list(array.as_list::<i64>().value_offsets(), array.as_list::<i64>().values(), json)
        }
        DataType::FixedSizeList(_, length) => {
            let length = usize::try_from(*length).unwrap_or(0);
            let item = writer(array.as_fixed_size_list().values().as_ref(), json);
            Box::new(move |row, out| push_items(row * length..(row + 1) * length, &item, out))
        }
        _ => {
            let map = array.as_map();
            let offsets = map.value_offsets();
            let value = writer(map.values().as_ref(), json);
            let key = writer(map.keys().as_ref(), &RAW);
            Box::new(move |row, out| {
                out.push(b'{');
                let mut name = Vec::new();
                for (nth, at) in (offsets[row] as usize..offsets[row + 1] as usize).enumerate() {
                    if nth > 0 {
                        out.push(b',');
                    }
                    name.clear();
                    key(at, &mut name);
                    push_json_string(&String::from_utf8_lossy(&name), out);
                    out.push(b':');
                    value(at, out);
                }
                out.push(b'}');
            })
        }
    }
}

fn json_of_list<'a, O: OffsetSizeTrait>(offsets: &'a [O], values: &'a ArrayRef, json: &impl Writers<'a>) -> Write<'a> {
    let item = writer(values.as_ref(), json);
    Box::new(move |row, out| push_items(offsets[row].as_usize()..offsets[row + 1].as_usize(), &item, out))
}

fn push_items(rows: std::ops::Range<usize>, item: &Write<'_>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (nth, row) in rows.enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        item(row, out);
    }
    out.push(b']');
}

/// Values as they are, without quotes or escapes. Null is nothing.
pub(crate) struct Raw<Inside>(PhantomData<Inside>);

/// As files have them: keys of JSON maps and hive directories.
pub(crate) const RAW: Raw<Json> = Raw(PhantomData);

/// As a column of text has what was of another type, which has to be all of it.
pub(crate) const WHOLE: Raw<WholeJson> = Raw(PhantomData);

impl<'a, Inside: Writers<'a> + Default> Writers<'a> for Raw<Inside> {
    type Inside = Inside;

    fn literal(&self, write: impl Fn(usize, &mut Vec<u8>) + Send + Sync + 'a) -> Write<'a> {
        Box::new(write)
    }

    fn float(
        &self,
        _: impl Fn(usize) -> f64 + Send + Sync + 'a,
        write: impl Fn(usize, &mut Vec<u8>) + Send + Sync + 'a,
    ) -> Write<'a> {
        Box::new(write)
    }

    fn plain(&self, write: impl Fn(usize, &mut Vec<u8>) + Send + Sync + 'a) -> Write<'a> {
        Box::new(write)
    }

    fn text(&self, value: impl Fn(usize) -> &'a str + Send + Sync + 'a) -> Write<'a> {
        Box::new(move |row, out| out.extend_from_slice(value(row).as_bytes()))
    }

    fn json(&self, value: impl Fn(usize) -> &'a str + Send + Sync + 'a) -> Write<'a> {
        Box::new(move |row, out| content(value(row), out))
    }

    fn nested(&self, json: Write<'a>) -> Write<'a> {
        json
    }

    fn null(&self) -> Vec<u8> {
        Vec::new()
    }
}
