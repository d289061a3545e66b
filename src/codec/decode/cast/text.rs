//! Text of values, and values of text.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryBuilder, BooleanArray, GenericBinaryArray, GenericStringArray,
    LargeStringBuilder, OffsetSizeTrait, PrimitiveArray, StringArray, StringBuilder, new_null_array,
};
use arrow::compute::{cast as arrow_cast, is_not_null, nullif};
use arrow_schema::{ArrowError, DataType};

use super::super::DecodeError;
use super::super::value::{Parsing, parsing};
use super::bad;
use crate::codec::decode::json::is_json;
use crate::codec::encode::value::{WHOLE, WholeJson, writer};
use crate::model::schema::JSON;

/// Every value as the text formats write it, and what is not finite also inside of structs, lists and maps.
pub(super) fn of_values(array: &ArrayRef) -> ArrayRef {
    let write = writer(array.as_ref(), &WHOLE);
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

/// Every value as JSON. Texts of JSON, and those that are declared to be, are what they say, and null where they say
/// nothing; everything else is a JSON value of its own.
pub(super) fn json(array: &ArrayRef, declared: bool) -> Result<ArrayRef, ArrowError> {
    if *array.data_type() == JSON || (declared && *array.data_type() == DataType::Utf8) {
        let array = arrow_cast(array, &JSON)?;
        let lost: BooleanArray =
            array.as_string::<i64>().iter().map(|text| Some(text.is_some_and(|text| !is_json(text)))).collect();
        return if lost.has_true() { nullif(&array, &lost) } else { Ok(array) };
    }
    let write = writer(array.as_ref(), &WholeJson);
    let nulls = array.logical_nulls();
    let mut texts = LargeStringBuilder::new();
    let mut value = Vec::new();
    for row in 0..array.len() {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            texts.append_null();
            continue;
        }
        value.clear();
        write(row, &mut value);
        // Writers write UTF-8 only; lossy costs nothing then.
        texts.append_value(String::from_utf8_lossy(&value));
    }
    Ok(Arc::new(texts.finish()))
}

/// Bytes that are UTF-8, and null for others.
pub(super) fn of_bytes(array: &ArrayRef) -> ArrayRef {
    let (offsets, values, nulls) = array.as_binary::<i32>().clone().into_parts();
    match StringArray::try_new(offsets, values, nulls) {
        Ok(texts) => Arc::new(texts),
        Err(_) => Arc::new(
            array.as_binary::<i32>().iter().map(|bytes| std::str::from_utf8(bytes?).ok()).collect::<StringArray>(),
        ),
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
        DataType::Utf8 => checked(array.as_string::<i32>()),
        &JSON => checked(array.as_string::<i64>()),
        DataType::Struct(_) => array.as_struct().columns().iter().try_for_each(check_text),
        DataType::List(_) => check_text(array.as_list::<i32>().values()),
        DataType::Map(..) => array.as_map().entries().columns().iter().try_for_each(check_text),
        _ => Ok(()),
    }
}

fn checked<O: OffsetSizeTrait>(array: &GenericStringArray<O>) -> Result<(), DecodeError> {
    let bytes = GenericBinaryArray::<O>::from(array.clone());
    let (offsets, values, nulls) = bytes.into_parts();
    GenericStringArray::<O>::try_new(offsets, values, nulls).map(|_| ()).map_err(|_| bad("text that is not UTF-8"))
}
