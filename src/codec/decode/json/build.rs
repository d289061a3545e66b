//! Values of one column, or one field of it, on their way to an array.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, LargeStringArray, ListArray, NullBufferBuilder, PrimitiveArray, StringArray, StructArray,
    new_null_array,
};
use arrow::buffer::{BooleanBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, FieldRef, Fields, Float64Type, Int64Type};
use arrow::error::ArrowError;

use super::super::{append, value};
use super::parse::{Fault, Parser, Text, minify};
use super::scalar::{Scalars, scalars};
use crate::model::schema::{JSON, Mixed, Typed, settle};

/// Names of fields, found fast where they come in the expected order.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    names: Vec<Box<[u8]>>,
    index: HashMap<Box<[u8]>, usize>,
}

impl Keys {
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Keys {
        let names: Vec<Box<[u8]>> = names.map(|name| name.as_bytes().into()).collect();
        let index = names.iter().cloned().zip(0..).collect();
        Keys { names, index }
    }

    /// The number of a key's name; `expected` is tried first.
    #[inline]
    pub(super) fn find(&self, parser: &Parser<'_>, key: Text, expected: usize) -> Result<Option<usize>, Fault> {
        let raw = &parser.data[key.range()];
        if !key.escaped {
            if self.names.get(expected).is_some_and(|name| **name == *raw) {
                return Ok(Some(expected));
            }
            return Ok(self.index.get(raw).copied());
        }
        let mut name = Vec::with_capacity(raw.len());
        parser.unescape(key, &mut name)?;
        Ok(self.index.get(name.as_slice()).copied())
    }
}

/// A builder of one array. After each record every builder of a batch has one value more, or was truncated to where it
/// was.
pub(super) struct Builder {
    kind: Values,
    valid: NullBufferBuilder,
}

enum Values {
    /// A type of which no JSON value is, or a column of which only nulls are known.
    Nothing(DataType),
    /// `only_strings`: other values are none of this type; otherwise they become their text.
    Text {
        values: Vec<u8>,
        offsets: Vec<i32>,
        only_strings: bool,
    },
    /// Texts of values. `only_empty`: of `{}`, until another member shows a type.
    Json {
        values: Vec<u8>,
        offsets: Vec<i64>,
        only_empty: bool,
    },
    /// `lenient` as below.
    Boolean {
        values: Vec<bool>,
        lenient: bool,
    },
    Int64(Vec<i64>),
    Float64(Vec<f64>),
    /// `lenient`: strings are read as their content (declared types).
    Scalars {
        column: Box<dyn Scalars>,
        lenient: bool,
    },
    Struct {
        fields: Fields,
        keys: Keys,
        children: Vec<Builder>,
    },
    List {
        field: FieldRef,
        offsets: Vec<i32>,
        item: Box<Builder>,
    },
}

impl Builder {
    /// A builder for the type of a column's batches. `exact`: what JSON values are by themselves (inferred types);
    /// otherwise (declared types) strings are read as what they say.
    pub(super) fn new(typed: &Typed, exact: bool) -> Builder {
        let data_type = &typed.data_type;
        let nested = |field: &FieldRef| Builder::new(&Typed::of_field(field), exact);
        let kind = match (data_type, settle(data_type)) {
            (DataType::Utf8, _) => {
                let only_strings = exact && typed.mixed != Mixed::Kept;
                Values::Text { values: Vec::new(), offsets: vec![0], only_strings }
            }
            (_, JSON) => Values::Json { values: Vec::new(), offsets: vec![0], only_empty: *data_type != JSON },
            (DataType::Struct(fields), DataType::Struct(settled)) => Values::Struct {
                keys: Keys::new(fields.iter().map(|field| field.name().as_str())),
                children: fields.iter().map(nested).collect(),
                fields: settled,
            },
            (DataType::List(item), DataType::List(field)) => {
                Values::List { field, offsets: vec![0], item: Box::new(nested(item)) }
            }
            (DataType::Boolean, _) => Values::Boolean { values: Vec::new(), lenient: !exact },
            (DataType::Int64, _) if exact => Values::Int64(Vec::new()),
            (DataType::Float64, _) if exact => Values::Float64(Vec::new()),
            (other, _) => match scalars(other, exact) {
                Some(column) => Values::Scalars { column, lenient: !exact },
                None => Values::Nothing(settle(other)),
            },
        };
        Builder { kind, valid: NullBufferBuilder::new(0) }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.valid.len()
    }

    pub(super) fn push_null(&mut self) {
        self.valid.append_null();
        match &mut self.kind {
            Values::Nothing(_) => {}
            Values::Text { values, offsets, .. } => offsets.push(values.len() as i32),
            Values::Json { values, offsets, .. } => offsets.push(values.len() as i64),
            Values::Boolean { values, .. } => values.push(false),
            Values::Int64(values) => values.push(0),
            Values::Float64(values) => values.push(0.0),
            Values::Scalars { column, .. } => column.push_null(),
            Values::Struct { children, .. } => children.iter_mut().for_each(Builder::push_null),
            Values::List { offsets, item, .. } => offsets.push(item.len() as i32),
        }
    }

    /// Takes back everything behind the first `len` values, also what a value that failed left.
    pub(super) fn truncate(&mut self, len: usize) {
        self.valid.truncate(len);
        match &mut self.kind {
            Values::Nothing(_) => {}
            Values::Text { values, offsets, .. } => {
                offsets.truncate(len + 1);
                values.truncate(offsets.last().map_or(0, |end| *end as usize));
            }
            Values::Json { values, offsets, .. } => {
                offsets.truncate(len + 1);
                values.truncate(offsets.last().map_or(0, |end| *end as usize));
            }
            Values::Boolean { values, .. } => values.truncate(len),
            Values::Int64(values) => values.truncate(len),
            Values::Float64(values) => values.truncate(len),
            Values::Scalars { column, .. } => column.truncate(len),
            Values::Struct { children, .. } => children.iter_mut().for_each(|child| child.truncate(len)),
            Values::List { offsets, item, .. } => {
                offsets.truncate(len + 1);
                item.truncate(offsets.last().map_or(0, |end| *end as usize));
            }
        }
    }

    /// Takes the next value. After a fault the builder has to be truncated.
    #[inline]
    pub(super) fn push(&mut self, parser: &mut Parser<'_>, depth: usize) -> Result<(), Fault> {
        let Some(first) = parser.peek() else { return parser.fault("the text ends where a value was expected") };
        if first == b'n' {
            parser.word(b"null")?;
            self.push_null();
            return Ok(());
        }
        match &mut self.kind {
            Values::Text { only_strings: true, .. } if first != b'"' => return Err(Fault::Misfit),
            Values::Text { values, offsets, .. } => {
                if first == b'"' {
                    let text = parser.string()?;
                    if text.escaped {
                        parser.unescape(text, values)?;
                    } else {
                        append(values, parser.data, text.range());
                    }
                } else {
                    let start = parser.at;
                    parser.skip(depth)?;
                    let raw = &parser.data[start..parser.at];
                    if matches!(first, b'{' | b'[') { minify(raw, values) } else { values.extend_from_slice(raw) }
                }
                offsets.push(values.len() as i32);
            }
            Values::Json { values, offsets, only_empty } => {
                let start = parser.at;
                parser.skip(depth)?;
                let raw = &parser.data[start..parser.at];
                let kept = values.len();
                if matches!(first, b'{' | b'[') {
                    minify(raw, values)
                } else {
                    values.extend_from_slice(raw)
                }
                if *only_empty && &values[kept..] != b"{}" {
                    return Err(Fault::Misfit);
                }
                offsets.push(values.len() as i64);
            }
            Values::Int64(values) => values.push(value::integer(parser_number(parser, first)?).ok_or(Fault::Misfit)?),
            Values::Float64(values) => {
                values.push(value::float64(parser_number(parser, first)?, true).ok_or(Fault::Misfit)?);
            }
            Values::Boolean { values, lenient } => match first {
                b't' => {
                    parser.word(b"true")?;
                    values.push(true);
                }
                b'f' => {
                    parser.word(b"false")?;
                    values.push(false);
                }
                b'"' if *lenient => {
                    let text = parser.string()?;
                    values.push(value::truth(&parser.content(text)?).ok_or(Fault::Misfit)?);
                }
                _ => return Err(Fault::Misfit),
            },
            Values::Struct { .. } if first != b'{' => return Err(Fault::Misfit),
            Values::Struct { keys, children, .. } => {
                let len = self.valid.len();
                push_members(parser, depth, keys, children, len)?;
            }
            Values::List { .. } if first != b'[' => return Err(Fault::Misfit),
            Values::List { offsets, item, .. } => {
                parser.array(depth, |parser| item.push(parser, depth + 1))?;
                offsets.push(item.len() as i32);
            }
            Values::Scalars { column, lenient } => {
                let taken = match first {
                    b'"' if *lenient => {
                        let text = parser.string()?;
                        column.push(&parser.content(text)?)
                    }
                    b'-' | b'0'..=b'9' => column.push(parser.number()?),
                    _ => false,
                };
                if !taken {
                    return Err(Fault::Misfit);
                }
            }
            Values::Nothing(_) => return Err(Fault::Misfit),
        }
        self.valid.append_non_null();
        Ok(())
    }

    /// The array, and an empty builder again.
    pub(super) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let valid = std::mem::replace(&mut self.valid, NullBufferBuilder::new(0));
        let len = valid.len();
        Ok(match &mut self.kind {
            Values::Nothing(data_type) => new_null_array(data_type, len),
            Values::Text { values, offsets, .. } => {
                let offsets = std::mem::replace(offsets, vec![0]);
                let values = std::mem::take(values);
                Arc::new(StringArray::try_new(OffsetBuffer::new(offsets.into()), values.into(), valid.build())?)
            }
            Values::Json { values, offsets, .. } => {
                let offsets = std::mem::replace(offsets, vec![0]);
                let values = std::mem::take(values);
                Arc::new(LargeStringArray::try_new(OffsetBuffer::new(offsets.into()), values.into(), valid.build())?)
            }
            Values::Boolean { values, .. } => {
                Arc::new(BooleanArray::new(BooleanBuffer::from(std::mem::take(values)), valid.build()))
            }
            Values::Int64(values) => {
                Arc::new(PrimitiveArray::<Int64Type>::new(std::mem::take(values).into(), valid.build()))
            }
            Values::Float64(values) => {
                Arc::new(PrimitiveArray::<Float64Type>::new(std::mem::take(values).into(), valid.build()))
            }
            Values::Scalars { column, .. } => column.finish(valid),
            Values::Struct { fields, children, .. } => {
                let children = children.iter_mut().map(Builder::finish).collect::<Result<_, _>>()?;
                Arc::new(StructArray::try_new_with_length(fields.clone(), children, valid.build(), len)?)
            }
            Values::List { field, offsets, item } => {
                let offsets = OffsetBuffer::new(std::mem::replace(offsets, vec![0]).into());
                Arc::new(ListArray::try_new(field.clone(), offsets, item.finish()?, valid.build())?)
            }
        })
    }
}

/// The members of an object; fields that it does not have are null, and the last of several with one key counts.
fn push_members(
    parser: &mut Parser<'_>,
    depth: usize,
    keys: &Keys,
    children: &mut [Builder],
    len: usize,
) -> Result<(), Fault> {
    let mut expected = 0;
    parser.object(depth, |parser, key| {
        // A field that the schema does not have widens it.
        let Some(i) = keys.find(parser, key, expected)? else { return Err(Fault::Misfit) };
        expected = i + 1;
        if children[i].len() > len {
            children[i].truncate(len);
        }
        children[i].push(parser, depth + 1)
    })?;
    for child in children {
        if child.len() == len {
            child.push_null();
        }
    }
    Ok(())
}

#[inline]
fn parser_number<'a>(parser: &mut Parser<'a>, first: u8) -> Result<&'a [u8], Fault> {
    match first {
        b'-' | b'0'..=b'9' => parser.number(),
        // Strings, words and brackets are values of other types; anything else is found when the value is skipped.
        _ => Err(Fault::Misfit),
    }
}
