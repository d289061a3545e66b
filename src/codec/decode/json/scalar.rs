//! Columns of the types that JSON does not have itself: sized numbers, decimals, times, binary.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, BinaryArray, NullBufferBuilder, PrimitiveArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::*;
use base64::Engine;

use super::super::value;

/// Values of one type, read from the texts of numbers or strings.
pub(super) trait Scalars: Send {
    /// Adds a value; false: the type cannot hold it, and nothing was added.
    fn push(&mut self, text: &[u8]) -> bool;
    fn push_null(&mut self);
    fn truncate(&mut self, len: usize);
    fn finish(&mut self, valid: NullBufferBuilder) -> ArrayRef;
}

/// The column of a type; `None` for a type that no text is. `exact` as for [`value::float64`].
pub(super) fn scalars(data_type: &DataType, exact: bool) -> Option<Box<dyn Scalars>> {
    use DataType::*;
    fn of<T: ArrowPrimitiveType>(
        data_type: &DataType,
        parse: impl Fn(&[u8]) -> Option<T::Native> + Send + 'static,
    ) -> Option<Box<dyn Scalars>> {
        let parse = Box::new(parse);
        Some(Box::new(Primitives::<T> { data_type: data_type.clone(), values: Vec::new(), parse }))
    }
    fn numbers<T: ArrowPrimitiveType>(
        data_type: &DataType,
        exact: bool,
        parse: impl Fn(&[u8]) -> Option<T::Native> + Send + 'static,
    ) -> Option<Box<dyn Scalars>> {
        of::<T>(data_type, move |text| value::number(text, exact, &parse))
    }
    fn integer<N: TryFrom<i64>>(text: &[u8]) -> Option<N> {
        N::try_from(value::integer(text)?).ok()
    }
    match data_type {
        Int8 => numbers::<Int8Type>(data_type, exact, integer),
        Int16 => numbers::<Int16Type>(data_type, exact, integer),
        Int32 => numbers::<Int32Type>(data_type, exact, integer),
        Int64 => numbers::<Int64Type>(data_type, exact, integer),
        UInt8 => numbers::<UInt8Type>(data_type, exact, integer),
        UInt16 => numbers::<UInt16Type>(data_type, exact, integer),
        UInt32 => numbers::<UInt32Type>(data_type, exact, integer),
        UInt64 => numbers::<UInt64Type>(data_type, exact, value::unsigned_integer),
        Float32 => numbers::<Float32Type>(data_type, exact, move |text| value::float32(text, exact)),
        Float64 => numbers::<Float64Type>(data_type, exact, move |text| value::float64(text, exact)),
        Date32 => of::<Date32Type>(data_type, value::date),
        Timestamp(unit, zone) => {
            let (unit, zoned) = (*unit, zone.is_some());
            let parse = move |text: &[u8]| value::instant(text, zoned)?.in_unit(unit);
            match unit {
                TimeUnit::Second => of::<TimestampSecondType>(data_type, parse),
                TimeUnit::Millisecond => of::<TimestampMillisecondType>(data_type, parse),
                TimeUnit::Microsecond => of::<TimestampMicrosecondType>(data_type, parse),
                TimeUnit::Nanosecond => of::<TimestampNanosecondType>(data_type, parse),
            }
        }
        Decimal32(p, s) | Decimal64(p, s) | Decimal128(p, s) | Decimal256(p, s) => {
            let (p, s) = (*p, *s);
            let narrow = move |text: &[u8]| value::decimal(text, p, s)?.to_i128();
            match data_type {
                Decimal32(..) => numbers::<Decimal32Type>(data_type, exact, move |text| narrow(text)?.try_into().ok()),
                Decimal64(..) => numbers::<Decimal64Type>(data_type, exact, move |text| narrow(text)?.try_into().ok()),
                Decimal128(..) => numbers::<Decimal128Type>(data_type, exact, narrow),
                _ => numbers::<Decimal256Type>(data_type, exact, move |text| value::decimal(text, p, s)),
            }
        }
        Binary if !exact => Some(Box::new(Binaries::default())),
        _ => None,
    }
}

/// Reads one value's text; `None` when it does not fit.
type Parse<V> = Box<dyn Fn(&[u8]) -> Option<V> + Send>;

struct Primitives<T: ArrowPrimitiveType> {
    data_type: DataType,
    values: Vec<T::Native>,
    parse: Parse<T::Native>,
}

impl<T: ArrowPrimitiveType> Scalars for Primitives<T> {
    fn push(&mut self, text: &[u8]) -> bool {
        let value = (self.parse)(text);
        self.values.extend(value);
        value.is_some()
    }

    fn push_null(&mut self) {
        self.values.push(T::Native::default());
    }

    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
    }

    fn finish(&mut self, valid: NullBufferBuilder) -> ArrayRef {
        let array = PrimitiveArray::<T>::new(std::mem::take(&mut self.values).into(), valid.build());
        Arc::new(array.with_data_type(self.data_type.clone()))
    }
}

/// Base64 text (RFC 4648 4).
#[derive(Default)]
struct Binaries {
    values: Vec<u8>,
    ends: Vec<i32>,
}

impl Scalars for Binaries {
    fn push(&mut self, text: &[u8]) -> bool {
        let kept = self.values.len();
        let decoded = base64::engine::general_purpose::STANDARD.decode_vec(text, &mut self.values);
        match decoded {
            Ok(()) => self.push_null(),
            Err(_) => self.values.truncate(kept),
        }
        decoded.is_ok()
    }

    fn push_null(&mut self) {
        self.ends.push(self.values.len() as i32);
    }

    fn truncate(&mut self, len: usize) {
        self.ends.truncate(len);
        self.values.truncate(self.ends.last().map_or(0, |end| *end as usize));
    }

    fn finish(&mut self, valid: NullBufferBuilder) -> ArrayRef {
        let offsets: Vec<i32> = std::iter::once(0).chain(std::mem::take(&mut self.ends)).collect();
        let values = std::mem::take(&mut self.values);
        Arc::new(BinaryArray::new(OffsetBuffer::new(offsets.into()), values.into(), valid.build()))
    }
}
