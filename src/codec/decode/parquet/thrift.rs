//! The footer's bytes, where the parquet crate does not tell or does not take what is in them: Thrift's compact
//! protocol, as much as that needs.
//!
//! Readers made from parquet.thrift pass over a field whose type is not the one they know, because somebody else may
//! have given its number another meaning (Dremio did), and over enum values that they do not know. The crate refuses
//! both. So a footer that it does not take is written again without them.

/// Kinds of values (thrift-compact-protocol.md).
mod kind {
    pub const TRUE: u8 = 1;
    pub const FALSE: u8 = 2;
    pub const I8: u8 = 3;
    pub const I16: u8 = 4;
    pub const I32: u8 = 5;
    pub const I64: u8 = 6;
    pub const DOUBLE: u8 = 7;
    pub const BINARY: u8 = 8;
    pub const LIST: u8 = 9;
    pub const SET: u8 = 10;
    pub const MAP: u8 = 11;
    pub const STRUCT: u8 = 12;
}
use kind::{BINARY, I16, I32, I64, LIST, STRUCT};

/// Levels that are followed: a footer's own structures have a third of them, and a stack many times more.
const DEPTH_MAX: u8 = 32;

/// A structure of parquet.thrift: the kinds of its fields, by number from 1, and what is inside of those that are
/// looked into.
struct Shape {
    kinds: &'static [u8],
    inside: &'static [(i16, &'static Shape)],
}

const SCHEMA_ELEMENT: Shape = Shape { kinds: &[I32, I32, I32, BINARY, I32, I32, I32, I32, I32, STRUCT], inside: &[] };
const COLUMN_META_DATA: Shape = Shape {
    kinds: &[I32, LIST, LIST, I32, I64, I64, I64, LIST, I64, I64, I64, STRUCT, LIST, I64, I32, STRUCT, STRUCT],
    inside: &[],
};
const COLUMN_CHUNK: Shape =
    Shape { kinds: &[BINARY, I64, STRUCT, I64, I32, I64, I32, STRUCT, BINARY], inside: &[(3, &COLUMN_META_DATA)] };
const ROW_GROUP: Shape = Shape { kinds: &[LIST, I64, I64, LIST, I64, I64, I16], inside: &[(1, &COLUMN_CHUNK)] };
const FILE_META_DATA: Shape = Shape {
    kinds: &[I32, LIST, I64, LIST, LIST, BINARY, LIST, STRUCT, BINARY],
    inside: &[(2, &SCHEMA_ELEMENT), (4, &ROW_GROUP)],
};

/// Numbers of fields that are looked for.
const FILE_ROW_GROUPS: i16 = 4;
const FILE_ENCRYPTION: i16 = 8;
const GROUP_COLUMNS: i16 = 1;
const CHUNK_META_DATA: i16 = 3;
const CHUNK_CRYPTO: i16 = 8;
const META_DATA_PATH: i16 = 3;
const ELEMENT_CONVERTED_TYPE: i16 = 6;
const ELEMENT_LOGICAL_TYPE: i16 = 10;

/// The last value of `ConvertedType` (INTERVAL).
const CONVERTED_TYPE_MAX: u64 = 21;
/// What parquet-cpp once wrote for columns that have nulls only.
const CONVERTED_TYPE_NULL: u64 = 24;
/// `LogicalType::UNKNOWN`, which says the same since: field 11, an empty structure, and the end of the union.
const LOGICAL_TYPE_UNKNOWN: [u8; 3] = [11 << 4 | STRUCT, 0, 0];

/// The columns that are encrypted though the footer is not, by its first row group: writers encrypt a column in all of
/// them. By path where they say it themselves, else by ordinal. Empty too where the footer is not understood: whoever
/// decodes it says so.
pub(super) fn encrypted_columns(footer: &[u8]) -> Vec<String> {
    encrypted(footer).unwrap_or_default()
}

fn encrypted(footer: &[u8]) -> Option<Vec<String>> {
    let (mut groups, mut is_encrypted) = (None, false);
    Bytes::new(footer).fields(|bytes, field, kind| {
        match (field, kind) {
            (FILE_ROW_GROUPS, LIST) => groups = Some(bytes.rest),
            (FILE_ENCRYPTION, STRUCT) => is_encrypted = true,
            _ => {}
        }
        bytes.skip(kind, 0)
    })?;
    let mut encrypted = Vec::new();
    let Some(groups) = groups.filter(|_| is_encrypted) else { return Some(encrypted) };
    let mut groups = Bytes::new(groups);
    if groups.list()? == (0, STRUCT) {
        return Some(encrypted);
    }
    groups.fields(|bytes, field, kind| match (field, kind) {
        (GROUP_COLUMNS, LIST) => {
            let (columns, kind) = bytes.list()?;
            (kind == STRUCT).then_some(())?;
            (0..columns).try_for_each(|column| {
                encrypted.extend(encrypted_column(bytes, column)?);
                Some(())
            })
        }
        _ => bytes.skip(kind, 0),
    })?;
    Some(encrypted)
}

/// A column chunk: its name, if it is encrypted.
fn encrypted_column(bytes: &mut Bytes<'_>, ordinal: usize) -> Option<Option<String>> {
    let (mut path, mut is_encrypted) = (None, false);
    bytes.fields(|bytes, field, kind| match (field, kind) {
        (CHUNK_META_DATA, STRUCT) => bytes.fields(|bytes, field, kind| {
            if (field, kind) == (META_DATA_PATH, LIST) {
                path = Bytes::new(bytes.rest).path();
            }
            bytes.skip(kind, 1)
        }),
        _ => {
            is_encrypted |= field == CHUNK_CRYPTO;
            bytes.skip(kind, 0)
        }
    })?;
    Some(is_encrypted.then(|| path.unwrap_or_else(|| format!("column {ordinal}"))))
}

/// The footer without fields of other types than parquet.thrift has, and without types of columns that it does not
/// know. `None` where it is no footer.
pub(super) fn known_part(footer: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(footer.len());
    known_fields(&mut Bytes::new(footer), &FILE_META_DATA, &mut out)?;
    Some(out)
}

fn known_fields(bytes: &mut Bytes<'_>, shape: &Shape, out: &mut Vec<u8>) -> Option<()> {
    let mut last = 0;
    let is_element = shape.kinds == SCHEMA_ELEMENT.kinds;
    let (mut was_null, mut has_logical_type) = (false, false);
    bytes.fields(|bytes, field, kind| {
        let start = bytes.rest;
        let known = usize::try_from(field).ok().and_then(|field| shape.kinds.get(field.checked_sub(1)?));
        let inside = shape.inside.iter().find(|(inside, _)| *inside == field).map(|(_, shape)| *shape);
        if known.is_some_and(|known| *known != kind) {
            return bytes.skip(kind, 0);
        }
        if is_element && field == ELEMENT_CONVERTED_TYPE {
            let value = Bytes::new(start).varint().map(|zigzag| zigzag >> 1)?;
            if value > CONVERTED_TYPE_MAX {
                was_null = value == CONVERTED_TYPE_NULL;
                return bytes.skip(kind, 0);
            }
        }
        has_logical_type |= is_element && field == ELEMENT_LOGICAL_TYPE;
        push_field(&mut last, field, kind, out);
        match inside {
            Some(shape) if kind == STRUCT => known_fields(bytes, shape, out),
            Some(shape) => {
                let (count, inner) = bytes.list()?;
                out.extend_from_slice(&start[..start.len() - bytes.rest.len()]);
                (0..count).try_for_each(|_| if inner == STRUCT { known_fields(bytes, shape, out) } else { None })
            }
            None => {
                bytes.skip(kind, 0)?;
                out.extend_from_slice(&start[..start.len() - bytes.rest.len()]);
                Some(())
            }
        }
    })?;
    if was_null && !has_logical_type {
        push_field(&mut last, ELEMENT_LOGICAL_TYPE, STRUCT, out);
        out.extend_from_slice(&LOGICAL_TYPE_UNKNOWN);
    }
    out.push(0);
    Some(())
}

/// A field's header: its number as the distance to the last one, or by itself.
fn push_field(last: &mut i16, field: i16, kind: u8, out: &mut Vec<u8>) {
    match field.checked_sub(*last) {
        Some(delta @ 1..=15) => out.push((delta as u8) << 4 | kind),
        _ => {
            out.push(kind);
            let mut zigzag = (field << 1 ^ field >> 15) as u16;
            while zigzag > 0x7f {
                out.push(zigzag as u8 | 0x80);
                zigzag >>= 7;
            }
            out.push(zigzag as u8);
        }
    }
    *last = field;
}

/// What is still to be read. `None` wherever the bytes end, or are no Thrift.
struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn pass(&mut self, count: u64) -> Option<()> {
        self.rest = self.rest.get(usize::try_from(count).ok()?..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// Elements of a list and their kind.
    fn list(&mut self) -> Option<(usize, u8)> {
        let header = self.byte()?;
        let count = match header >> 4 {
            15 => self.varint()?,
            short => u64::from(short),
        };
        Some((usize::try_from(count).ok()?, header & 15))
    }

    /// A list of texts, joined.
    fn path(&mut self) -> Option<String> {
        let (count, kind) = self.list()?;
        let part = |_| {
            let length = usize::try_from(self.varint()?).ok()?;
            let (part, rest) = self.rest.split_at_checked(length)?;
            self.rest = rest;
            Some(String::from_utf8_lossy(part))
        };
        (kind == BINARY).then(|| (0..count).map(part).collect::<Option<Vec<_>>>())?.map(|parts| parts.join("."))
    }

    /// The fields of a structure, by number and kind; `visit` takes the value.
    fn fields(&mut self, mut visit: impl FnMut(&mut Self, i16, u8) -> Option<()>) -> Option<()> {
        let mut field = 0i16;
        loop {
            let header = self.byte()?;
            if header == 0 {
                return Some(());
            }
            field = match header >> 4 {
                0 => {
                    let zigzag = self.varint()?;
                    i16::try_from((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64)).ok()?
                }
                delta => field.checked_add(i16::from(delta))?,
            };
            visit(self, field, header & 15)?;
        }
    }

    /// Passes over the value of a field.
    fn skip(&mut self, kind: u8, depth: u8) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        match kind {
            // The value of a field is its kind.
            kind::TRUE | kind::FALSE => Some(()),
            kind::I8 => self.pass(1),
            I16 | I32 | I64 => self.varint().map(drop),
            kind::DOUBLE => self.pass(8),
            BINARY => {
                let length = self.varint()?;
                self.pass(length)
            }
            LIST | kind::SET => {
                let (count, kind) = self.list()?;
                (0..count).try_for_each(|_| self.skip_element(kind, depth + 1))
            }
            kind::MAP => {
                let count = self.varint()?;
                let kinds = if count == 0 { 0 } else { self.byte()? };
                (0..count).try_for_each(|_| {
                    self.skip_element(kinds >> 4, depth + 1)?;
                    self.skip_element(kinds & 15, depth + 1)
                })
            }
            STRUCT => self.fields(|bytes, _, kind| bytes.skip(kind, depth + 1)),
            _ => None,
        }
    }

    fn skip_element(&mut self, kind: u8, depth: u8) -> Option<()> {
        match kind {
            kind::TRUE | kind::FALSE => self.pass(1),
            kind => self.skip(kind, depth),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `FileMetaData` of one optional int32 column `x` of this converted type, without row groups, and what stands
    /// behind.
    fn footer(converted: u8, more: &[u8]) -> Vec<u8> {
        let root = [0x48, 1, b'm', 0x15, 2, 0];
        let column = [0x15, 2, 0x25, 2, 0x18, 1, b'x', 0x25, converted, 0];
        [&[0x15, 2, 0x19, 0x2c][..], &root, &column, &[0x16, 0, 0x19, 0x0c], more, &[0]].concat()
    }

    #[test]
    fn what_is_known_stays_as_it_is() {
        for more in [&[][..], &[0x28, 2, b'm', b'e'], &[0x05, 0x80, 0x01, 0x02]] {
            let footer = footer(34, more);
            assert_eq!(known_part(&footer).as_ref(), Some(&footer), "{more:x?}");
        }
    }

    #[test]
    fn the_null_type_of_old_writers_is_the_one_of_now() {
        let now = known_part(&footer(2 * 24, &[])).expect("a footer");
        let column = [0x15, 2, 0x25, 2, 0x18, 1, b'x', 0x6c, 0xbc, 0, 0, 0];
        assert!(now.windows(column.len()).any(|part| part == column), "{now:x?}");
        let other = known_part(&footer(2 * 30, &[])).expect("a footer");
        assert!(other.windows(8).any(|part| part == [0x15, 2, 0x25, 2, 0x18, 1, b'x', 0]), "{other:x?}");
    }

    #[test]
    fn a_field_of_another_type_is_nobodys() {
        // Field 6, created_by, as a list of one struct.
        let foreign = [0x29, 0x1c, 0x15, 2, 0];
        assert_eq!(known_part(&footer(34, &foreign)), Some(footer(34, &[])));
    }

    #[test]
    fn what_is_no_footer_is_none() {
        let whole = footer(34, &[0x28, 2, b'm', b'e']);
        for length in 0..whole.len() {
            assert_eq!(known_part(&whole[..length]), None, "cut to {length} bytes");
            assert!(encrypted_columns(&whole[..length]).is_empty());
        }
        // A list in a list in a list, without end; and more elements than there are bytes.
        assert_eq!(known_part(&[0x59; 10_000]), None);
        assert_eq!(known_part(&[0x19, 0xf9, 0xff, 0xff, 0xff, 0xff, 0x0f]), None);
    }
}
