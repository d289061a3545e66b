//! Which text is a value of which type: the one table by which csv cells, JSON scalars and Parquet's texts are read.

use arrow::datatypes::*;
use base64::Engine;

use super::{boolean, day, decimal, float32, float64, instant, number, plain_decimal, unsigned_whole, whole};

/// Makes something of a type's parser.
pub(in crate::codec::decode) trait Parsing: Sized {
    type Output;

    /// A parser of values of one width: `None` for a text that is none.
    fn primitive<T: ArrowPrimitiveType>(
        self,
        parse: impl Fn(&[u8]) -> Option<T::Native> + Send + 'static,
    ) -> Self::Output;

    /// A parser of truth values.
    fn boolean(self, parse: fn(&[u8]) -> Option<bool>) -> Self::Output;

    /// A parser of bytes, which appends them; false for a text that is none, and then nothing was appended.
    fn binary(self, parse: fn(&[u8], &mut Vec<u8>) -> bool) -> Self::Output;

    /// Every text is one.
    fn text(self) -> Self::Output;

    /// No text is one.
    fn nothing(self) -> Self::Output;
}

/// Hands the parser of a type on. `exact`: numbers and times as they are written by themselves (inferred types);
/// otherwise (declared types) whatever says the value exactly: a plus and leading zeros, a whole number with a point or
/// an exponent, an integer that counts a timestamp's units, the start of a day as a date; and binary is base64 text.
pub(in crate::codec::decode) fn parsing<P: Parsing>(data_type: &DataType, exact: bool, into: P) -> P::Output {
    use DataType::*;
    match data_type {
        Utf8 => into.text(),
        Boolean => into.boolean(if exact { boolean } else { truth }),
        Int8 => into.primitive::<Int8Type>(move |text| whole(text, exact)),
        Int16 => into.primitive::<Int16Type>(move |text| whole(text, exact)),
        Int32 => into.primitive::<Int32Type>(move |text| whole(text, exact)),
        Int64 => into.primitive::<Int64Type>(move |text| whole(text, exact)),
        UInt8 => into.primitive::<UInt8Type>(move |text| whole(text, exact)),
        UInt16 => into.primitive::<UInt16Type>(move |text| whole(text, exact)),
        UInt32 => into.primitive::<UInt32Type>(move |text| whole(text, exact)),
        UInt64 => into.primitive::<UInt64Type>(move |text| unsigned_whole(text, exact)),
        Float32 => into.primitive::<Float32Type>(move |text| number(text, exact, |text| float32(text, exact))),
        Float64 => into.primitive::<Float64Type>(move |text| number(text, exact, |text| float64(text, exact))),
        Date32 => into.primitive::<Date32Type>(move |text| day(text, exact)),
        Timestamp(unit, zone) => {
            let (unit, zoned) = (*unit, zone.is_some());
            let parse = move |text: &[u8]| instant(text, unit, zoned, exact);
            match unit {
                TimeUnit::Second => into.primitive::<TimestampSecondType>(parse),
                TimeUnit::Millisecond => into.primitive::<TimestampMillisecondType>(parse),
                TimeUnit::Microsecond => into.primitive::<TimestampMicrosecondType>(parse),
                TimeUnit::Nanosecond => into.primitive::<TimestampNanosecondType>(parse),
            }
        }
        Decimal32(p, s) | Decimal64(p, s) | Decimal128(p, s) | Decimal256(p, s) => {
            let (p, s) = (*p, *s);
            let decimal = if exact { plain_decimal } else { decimal };
            let parse = move |text: &[u8]| number(text, exact, |text| decimal(text, p, s));
            match data_type {
                Decimal32(..) => into.primitive::<Decimal32Type>(move |text| parse(text)?.to_i128()?.try_into().ok()),
                Decimal64(..) => into.primitive::<Decimal64Type>(move |text| parse(text)?.to_i128()?.try_into().ok()),
                Decimal128(..) => into.primitive::<Decimal128Type>(move |text| parse(text)?.to_i128()),
                _ => into.primitive::<Decimal256Type>(parse),
            }
        }
        Binary if !exact => into.binary(base64),
        // Other types come from parquet objects of the same table.
        _ => into.nothing(),
    }
}

/// A truth value of a declared column, also as PostgreSQL writes it.
pub(in crate::codec::decode) fn truth(text: &[u8]) -> Option<bool> {
    match text {
        b"t" => Some(true),
        b"f" => Some(false),
        text => boolean(text),
    }
}

/// Base64 text (RFC 4648 4).
fn base64(text: &[u8], out: &mut Vec<u8>) -> bool {
    let kept = out.len();
    let decoded = base64::engine::general_purpose::STANDARD.decode_vec(text, out).is_ok();
    if !decoded {
        out.truncate(kept);
    }
    decoded
}
