//! What types a block's values would have.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::DataType;

use super::super::value::{Seen, classify};
use super::parse::{Fault, Parser};
use crate::model::schema::{TableSchema, Typed};

/// What was seen in one place.
#[derive(Debug, Default)]
pub(super) struct Shape {
    numbers: Seen,
    boolean: bool,
    string: bool,
    object: Option<Members>,
    array: Option<Box<Shape>>,
}

/// Fields in first-seen order.
#[derive(Debug, Default)]
pub(super) struct Members {
    fields: Vec<(String, Shape)>,
    index: HashMap<Box<[u8]>, usize>,
}

impl Members {
    /// Looks at an object.
    pub(super) fn add(&mut self, parser: &mut Parser<'_>, depth: usize) -> Result<(), Fault> {
        let mut expected = 0;
        parser.object(depth, |parser, key| {
            let i = match self.expected(parser, key, expected) {
                Some(i) => i,
                None => {
                    let mut name = Vec::new();
                    parser.unescape(key, &mut name)?;
                    self.index_of(name)
                }
            };
            expected = i + 1;
            self.fields[i].1.add(parser, depth + 1)
        })
    }

    fn expected(&self, parser: &Parser<'_>, key: super::parse::Text, expected: usize) -> Option<usize> {
        let (name, _) = self.fields.get(expected)?;
        (!key.escaped && name.as_bytes() == &parser.data[key.range()]).then_some(expected)
    }

    fn index_of(&mut self, name: Vec<u8>) -> usize {
        if let Some(&i) = self.index.get(name.as_slice()) {
            return i;
        }
        // Keys of records that are UTF-8 are UTF-8.
        self.fields.push((String::from_utf8_lossy(&name).into_owned(), Shape::default()));
        self.index.insert(name.into(), self.fields.len() - 1);
        self.fields.len() - 1
    }

    /// The fields as columns.
    pub(super) fn schema(&self) -> TableSchema {
        let columns = self.fields.iter().map(|(name, shape)| shape.typed().into_column(name));
        TableSchema { columns: columns.collect(), ..TableSchema::default() }
    }
}

impl Shape {
    fn add(&mut self, parser: &mut Parser<'_>, depth: usize) -> Result<(), Fault> {
        match parser.peek() {
            Some(b'n') => parser.word(b"null"),
            Some(b'"') => {
                self.string = true;
                parser.skip(depth)
            }
            Some(b't' | b'f') => {
                self.boolean = true;
                parser.skip(depth)
            }
            Some(b'{') => self.object.get_or_insert_default().add(parser, depth),
            Some(b'[') => {
                let item = self.array.get_or_insert_default();
                parser.array(depth, |parser| item.add(parser, depth + 1))
            }
            Some(_) => {
                let number = parser.number()?;
                self.numbers.add(classify(number));
                Ok(())
            }
            None => parser.fault("the text ends where a value was expected"),
        }
    }

    /// The least type of the lattice.
    fn typed(&self) -> Typed {
        let numbers = self.numbers.typed();
        let told_apart =
            numbers.data_type != DataType::Null || self.boolean || self.object.is_some() || self.array.is_some();
        let kinds = [
            numbers.data_type != DataType::Null,
            self.boolean,
            self.string,
            self.object.is_some(),
            self.array.is_some(),
        ];
        let typed = match kinds {
            [false, false, false, false, false] => DataType::Null.into(),
            [true, false, false, false, false] => numbers,
            [false, true, false, false, false] => DataType::Boolean.into(),
            [false, false, false, true, false] => {
                let fields = self.object.iter().flat_map(|members| &members.fields);
                DataType::Struct(fields.map(|(name, shape)| shape.typed().into_field(name)).collect()).into()
            }
            [false, false, false, false, true] => {
                let item = self.array.as_ref().map_or_else(|| Shape::default().typed(), |item| item.typed());
                DataType::List(Arc::new(item.into_field("item"))).into()
            }
            _ => DataType::Utf8.into(),
        };
        if told_apart { typed.of_json() } else { typed }
    }
}
