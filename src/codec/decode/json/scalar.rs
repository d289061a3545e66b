//! Columns of the types that JSON does not have itself: sized numbers, decimals, times, binary.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, BinaryArray, NullBufferBuilder, PrimitiveArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::*;

use super::super::value::{Parsing, parsing};

/// Values of one type, read from the texts of numbers or strings.
pub(super) trait Scalars: Send {
    /// Adds a value; false: the type cannot hold it, and nothing was added.
    fn push(&mut self, text: &[u8]) -> bool;
    fn push_null(&mut self);
    fn truncate(&mut self, len: usize);
    fn finish(&mut self, valid: NullBufferBuilder) -> ArrayRef;
}

/// The column of a type, see [`parsing`]; `None` for a type that no text is, and for those that have a builder of their
/// own.
pub(super) fn scalars(data_type: &DataType, exact: bool) -> Option<Box<dyn Scalars>> {
    parsing(data_type, exact, Boxed { data_type })
}

struct Boxed<'a> {
    data_type: &'a DataType,
}

impl Parsing for Boxed<'_> {
    type Output = Option<Box<dyn Scalars>>;

    fn primitive<T: ArrowPrimitiveType>(
        self,
        parse: impl Fn(&[u8]) -> Option<T::Native> + Send + 'static,
    ) -> Self::Output {
        Some(Box::new(Primitives::<T> {
            data_type: self.data_type.clone(),
            values: Vec::new(),
            parse: Box::new(parse),
        }))
    }

    fn boolean(self, _: fn(&[u8]) -> Option<bool>) -> Self::Output {
        None
    }

    fn binary(self, parse: fn(&[u8], &mut Vec<u8>) -> bool) -> Self::Output {
        Some(Box::new(Binaries { values: Vec::new(), ends: Vec::new(), parse }))
    }

    fn text(self) -> Self::Output {
        None
    }

    fn nothing(self) -> Self::Output {
        None
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

/// Bytes of any length.
struct Binaries {
    values: Vec<u8>,
    ends: Vec<i32>,
    parse: fn(&[u8], &mut Vec<u8>) -> bool,
}

impl Scalars for Binaries {
    fn push(&mut self, text: &[u8]) -> bool {
        let taken = (self.parse)(text, &mut self.values);
        if taken {
            self.push_null();
        }
        taken
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
