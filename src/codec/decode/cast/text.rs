//! Text of values, and values of text.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BinaryBuilder, BooleanArray, PrimitiveArray, StringArray, StringBuilder,
    new_null_array,
};
use arrow::compute::is_not_null;
use arrow_schema::DataType;

use super::super::DecodeError;
use super::super::value::{Parsing, parsing};
use super::bad;
use crate::codec::encode::value::{Raw, writer};

/// Every value as the text formats write it.
pub(super) fn of_values(array: &ArrayRef) -> ArrayRef {
    let write = writer(array.as_ref(), &Raw);
    let valid = is_not_null(array).ok();
    let mut texts = StringBuilder::with_capacity(array.len(), array.len() * 8);
    let mut value = Vec::new();
    for row in 0..array.len() {
        if valid.as_ref().is_some_and(|valid| !valid.value(row)) {
            texts.append_null();
            continue;
        }
        value.clear();
        write(row, &mut value);
        // Writers write UTF-8 only; lossy costs nothing then.
        texts.append_value(String::from_utf8_lossy(&value));
    }
    Arc::new(texts.finish())
}

/// Bytes that are UTF-8, and null for others.
pub(super) fn of_bytes(array: &ArrayRef) -> ArrayRef {
    let (offsets, values, nulls) = array.as_binary::<i32>().clone().into_parts();
    match StringArray::try_new(offsets, values, nulls) {
        Ok(texts) => Arc::new(texts),
        Err(_) => Arc::new(array.as_binary::<i32>().iter().map(|bytes| std::str::from_utf8(bytes?).ok()).collect::<StringArray>()),
    }
}

/// Texts as csv cells are read, under a declared type; null where a text is no value of it.
pub(super) fn read(texts: &StringArray, target: &DataType) -> ArrayRef {
    parsing(target, false, Texts { texts, target })
}

struct Texts<'a> {
    texts: &'a StringArray,
    target: &'a DataType,
}

impl Parsing for Texts<'_> {
    type Output = ArrayRef;

    fn primitive<T: ArrowPrimitiveType>(self, parse: impl Fn(&[u8]) -> Option<T::Native> + Send + 'static) -> ArrayRef {
        let values: PrimitiveArray<T> = self.texts.iter().map(|text| parse(text?.as_bytes())).collect();
        Arc::new(values.with_data_type(self.target.clone()))
    }

    fn boolean(self, parse: fn(&[u8]) -> Option<bool>) -> ArrayRef {
        Arc::new(self.texts.iter().map(|text| parse(text?.as_bytes())).collect::<BooleanArray>())
    }

    fn binary(self, parse: fn(&[u8], &mut Vec<u8>) -> bool) -> ArrayRef {
        let mut values = BinaryBuilder::new();
        let mut bytes = Vec::new();
        for text in self.texts {
            bytes.clear();
            match text {
                Some(text) if parse(text.as_bytes(), &mut bytes) => values.append_value(&bytes),
                _ => values.append_null(),
            }
        }
        Arc::new(values.finish())
    }

    fn text(self) -> ArrayRef {
        Arc::new(self.texts.clone())
    }

    fn nothing(self) -> ArrayRef {
        new_null_array(self.target, self.texts.len())
    }
}

/// Checks text that the parquet crate made without looking, however deep it lies.
///
/// # Errors
/// [`DecodeError::Bad`] where it is not UTF-8.
pub(in crate::codec::decode) fn check_text(array: &ArrayRef) -> Result<(), DecodeError> {
    match array.data_type() {
        DataType::Utf8 => {
            let bytes = BinaryArray::from(array.as_string::<i32>().clone());
            let (offsets, values, nulls) = bytes.into_parts();
            StringArray::try_new(offsets, values, nulls).map(|_| ()).map_err(|_| bad("text that is not UTF-8"))
        }
        DataType::Struct(_) => array.as_struct().columns().iter().try_for_each(check_text),
        DataType::List(_) => check_text(array.as_list::<i32>().values()),
        DataType::Map(..) => array.as_map().entries().columns().iter().try_for_each(check_text),
        _ => Ok(()),
    }
}
