//! csv and tsv (RFC 4180, lines end in `\n`). What is not null can always be told from null: a value that looks like
//! `nullValue` is quoted, which readers of ours and of most others take as text. No line is blank, because readers skip
//! blank ones: a null alone in its row has to have a text.

use arrow::array::RecordBatch;
use arrow::buffer::NullBuffer;
use arrow_schema::SchemaRef;

use super::value::{Json, RAW, Write, Writers, writer};
use super::{EncodeError, EncodeOptions};

/// How csv text is written.
pub(super) struct CsvText {
    quote: Option<u8>,
    dialect: Dialect,
    header: Vec<u8>,
}

#[derive(Clone)]
struct Dialect {
    delimiter: u8,
    /// Some byte even where quoting is off: it is looked for and not found worth quoting then.
    quote: u8,
    null: Vec<u8>,
    /// Whether even a number may need quotes: a delimiter like `-`, a null like `0`.
    odd: bool,
    /// Whether a value is alone in its row, whose line would be blank if it were empty.
    alone: bool,
}

impl CsvText {
    pub(super) fn new(options: &EncodeOptions, schema: &SchemaRef) -> Self {
        let delimiter = options.csv.delimiter.or(options.format.delimiter()).unwrap_or(b',');
        let quote = options.csv.quote.unwrap_or(b'"');
        let null = options.csv.null_value.clone().into_bytes();
        let in_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.:/=".contains(byte);
        let odd = in_plain(&delimiter) || in_plain(&quote) || (!null.is_empty() && null.iter().all(in_plain));
        let dialect = Dialect { delimiter, quote, null, odd, alone: schema.fields().len() == 1 };
        let mut header = Vec::new();
        if options.csv.header {
            for (at, field) in schema.fields().iter().enumerate() {
                if at > 0 {
                    header.push(delimiter);
                }
                let name = field.name().as_bytes();
                match options.csv.quote {
                    Some(_) if name.is_empty() || dialect.must_quote(name) => dialect.push_quoted(name, &mut header),
                    _ => header.extend_from_slice(name),
                }
            }
            header.push(b'\n');
        }
        Self { quote: options.csv.quote, dialect, header }
    }

    pub(super) fn header(&self) -> &[u8] {
        &self.header
    }

    pub(super) fn encode_batch(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if let [only] = batch.columns()
            && self.dialect.null.is_empty()
            && only.logical_null_count() > 0
        {
            return Err(EncodeError::BlankLine { column: batch.schema_ref().field(0).name().clone() });
        }
        if self.quote.is_none() {
            return self.encode_unquoted(batch, out);
        }
        let columns: Vec<Write<'_>> =
            batch.columns().iter().map(|column| writer(column.as_ref(), &self.dialect)).collect();
        for row in 0..batch.num_rows() {
            for (at, write) in columns.iter().enumerate() {
                if at > 0 {
                    out.push(self.dialect.delimiter);
                }
                write(row, out);
            }
            out.push(b'\n');
        }
        Ok(())
    }

    /// Without quotes, each value is looked at once it is written: one that would need them cannot be told from its
    /// neighbours.
    fn encode_unquoted(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let columns: Vec<Write<'_>> = batch.columns().iter().map(|column| writer(column.as_ref(), &RAW)).collect();
        let nulls: Vec<Option<NullBuffer>> = batch.columns().iter().map(|column| column.logical_nulls()).collect();
        let reserved = |byte: &u8| *byte == self.dialect.delimiter || *byte == b'\n' || *byte == b'\r';
        for row in 0..batch.num_rows() {
            for (at, write) in columns.iter().enumerate() {
                if at > 0 {
                    out.push(self.dialect.delimiter);
                }
                if nulls[at].as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                    out.extend_from_slice(&self.dialect.null);
                    continue;
                }
                let start = out.len();
                write(row, out);
                let value = &out[start..];
                if value.iter().any(reserved) || value == self.dialect.null || (value.is_empty() && self.dialect.alone)
                {
                    return Err(EncodeError::Quote {
                        column: batch.schema_ref().field(at).name().clone(),
                        value: String::from_utf8_lossy(value).chars().take(40).collect(),
                    });
                }
            }
            out.push(b'\n');
        }
        Ok(())
    }
}

impl Dialect {
    /// Whether a value cannot stand as it is.
    #[inline]
    fn must_quote(&self, value: &[u8]) -> bool {
        let (delimiter, quote) = (self.delimiter, self.quote);
        let special = |byte: u8| (byte == delimiter) | (byte == quote) | (byte == b'\n') | (byte == b'\r');
        // Looking at every byte without leaving early is what compilers turn into SIMD; most values need nothing.
        value.iter().fold(false, |any, byte| any | special(*byte))
            || value == self.null
            || (self.alone && value.is_empty())
    }

    /// The value in quotes, its own quotes doubled.
    fn push_quoted(&self, value: &[u8], out: &mut Vec<u8>) {
        out.push(self.quote);
        let mut start = 0;
        for at in memchr::memchr_iter(self.quote, value) {
            out.extend_from_slice(&value[start..=at]);
            out.push(self.quote);
            start = at + 1;
        }
        out.extend_from_slice(&value[start..]);
        out.push(self.quote);
    }

    /// Quotes what another closure writes, where it must be.
    fn checked<'a>(&self, write: impl Fn(usize, &mut Vec<u8>) + Send + Sync + 'a) -> Write<'a> {
        let dialect = self.clone();
        Box::new(move |row, out| {
            let start = out.len();
            write(row, out);
            if dialect.must_quote(&out[start..]) {
                let value = out.split_off(start);
                dialect.push_quoted(&value, out);
            }
        })
    }
}

impl<'a> Writers<'a> for Dialect {
    type Inside = Json;

    fn literal(&self, write: impl Fn(usize, &mut Vec<u8>) + Send + Sync + 'a) -> Write<'a> {
        if self.odd { self.checked(write) } else { Box::new(write) }
    }

    fn float(
        &self,
        _: impl Fn(usize) -> f64 + Send + Sync + 'a,
        write: impl Fn(usize, &mut Vec<u8>) + Send + Sync + 'a,
    ) -> Write<'a> {
        self.literal(write)
    }

    fn plain(&self, write: impl Fn(usize, &mut Vec<u8>) + Send + Sync + 'a) -> Write<'a> {
        self.literal(write)
    }

    fn base64(&self, write: impl Fn(usize, &mut Vec<u8>) + Send + Sync + 'a) -> Write<'a> {
        // Base64 of nothing is the empty text, which may be the null.
        self.checked(write)
    }

    fn text(&self, value: impl Fn(usize) -> &'a str + Send + Sync + 'a) -> Write<'a> {
        let dialect = self.clone();
        Box::new(move |row, out| {
            let value = value(row).as_bytes();
            if dialect.must_quote(value) { dialect.push_quoted(value, out) } else { out.extend_from_slice(value) }
        })
    }

    fn json(&self, value: impl Fn(usize) -> &'a str + Send + Sync + 'a) -> Write<'a> {
        self.checked(RAW.json(value))
    }

    fn nested(&self, json: Write<'a>) -> Write<'a> {
        self.checked(json)
    }

    fn null(&self) -> Vec<u8> {
        self.null.clone()
    }
}
