//! Which kinds of values a column holds, and the type that they need together.

use arrow::datatypes::{DataType, TimeUnit};

use super::time::timestamp;
use super::{boolean, date, exact_in_float64, float, integer};

/// The kind of one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::codec::decode) enum Kind {
    Boolean = 1,
    Integer = 2,
    /// Beyond ±2^53.
    WideInteger = 4,
    Float = 8,
    Date = 16,
    Timestamp = 32,
    Text = 64,
}

/// The kind of a text by the grammar of this module.
#[inline]
pub(in crate::codec::decode) fn classify(text: &[u8]) -> Kind {
    match text.first() {
        Some(b'0'..=b'9' | b'-' | b'.') => number_or_time(text),
        Some(b't' | b'T' | b'f' | b'F') if boolean(text).is_some() => Kind::Boolean,
        _ => Kind::Text,
    }
}

fn number_or_time(text: &[u8]) -> Kind {
    if integer(text).is_some() {
        return if exact_in_float64(text) { Kind::Integer } else { Kind::WideInteger };
    }
    match float(text) {
        // An integer beyond 64 bits keeps its digits as text.
        Some((_, true)) => Kind::Text,
        Some(_) => Kind::Float,
        None if date(text).is_some() => Kind::Date,
        None if timestamp(text).is_some_and(|instant| instant.in_unit(TimeUnit::Microsecond).is_some()) => Kind::Timestamp,
        None => Kind::Text,
    }
}

/// The kinds seen so far; empty while there are only nulls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::codec::decode) struct Seen(u8);

impl Seen {
    #[inline]
    pub(in crate::codec::decode) fn add(&mut self, kind: Kind) {
        self.0 |= kind as u8;
    }

    pub(in crate::codec::decode) fn is_text(self) -> bool {
        self.0 & Kind::Text as u8 != 0
    }

    /// The least type of the lattice, and whether it is a wide int64. Agrees with merging the types one by one.
    pub(in crate::codec::decode) fn data_type(self) -> (DataType, bool) {
        const BOOLEAN: u8 = Kind::Boolean as u8;
        const INTEGER: u8 = Kind::Integer as u8;
        const WIDE: u8 = Kind::WideInteger as u8;
        const INTEGERS: u8 = INTEGER | WIDE;
        const FLOAT: u8 = Kind::Float as u8;
        const FLOATS: u8 = INTEGER | FLOAT;
        const DATE: u8 = Kind::Date as u8;
        const TIMES: u8 = DATE | Kind::Timestamp as u8;
        let wide = self.0 & WIDE != 0;
        match self.0 {
            0 => (DataType::Null, false),
            BOOLEAN => (DataType::Boolean, false),
            kinds if kinds & !INTEGERS == 0 => (DataType::Int64, wide),
            kinds if kinds & !FLOATS == 0 => (DataType::Float64, false),
            DATE => (DataType::Date32, false),
            kinds if kinds & !TIMES == 0 => (DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
            _ => (DataType::Utf8, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::schema::{Column, TableSchema, merge, type_name};

    fn of(texts: &[&str]) -> String {
        let mut seen = Seen::default();
        texts.iter().for_each(|text| seen.add(classify(text.as_bytes())));
        let (data_type, wide) = seen.data_type();
        format!("{}{}", type_name(&data_type), if wide { " wide" } else { "" })
    }

    #[test]
    fn texts_have_the_least_type_that_holds_them() {
        for (texts, expected) in [
            (&[][..], "null"),
            (&["true", "FALSE"], "boolean"),
            (&["tRue"], "utf8"),
            (&["1", "-2"], "int64"),
            (&["1", "2.5"], "float64"),
            (&["9007199254740992", "2.5"], "float64"),
            (&["9007199254740993"], "int64 wide"),
            (&["9007199254740993", "2.5"], "utf8"),
            (&["9223372036854775808"], "utf8"),
            (&["1e400"], "utf8"),
            (&["007"], "utf8"),
            (&["+1"], "utf8"),
            (&["0x1f"], "utf8"),
            (&["NaN"], "utf8"),
            (&[""], "utf8"),
            (&["true", "1"], "utf8"),
            (&["2024-01-01"], "date32"),
            (&["2024-01-01", "2024-01-01 10:00:00"], "timestamp(us)"),
            (&["2024-01-01T10:00:00.1234567Z"], "utf8"),
            (&["2024-01-01", "1"], "utf8"),
            (&["2024-02-30"], "utf8"),
            (&["-"], "utf8"),
            (&["."], "utf8"),
            (&["text"], "utf8"),
        ] {
            assert_eq!(of(texts), expected, "{texts:?}");
        }
    }

    /// The kinds are a shortcut through the lattice: every set of them gives what merging gives.
    #[test]
    fn kinds_agree_with_the_lattice() {
        let single = |kind: u8| {
            let (data_type, wide) = Seen(kind).data_type();
            let column = Column { wide, ..Column::inferred("x", data_type) };
            TableSchema { columns: vec![column], ..TableSchema::default() }
        };
        for kinds in 0..128u8 {
            let merged = (0..7).filter(|bit| kinds & (1 << bit) != 0).map(|bit| single(1 << bit));
            let merged = merged.fold(single(0), |a, b| merge(&a, &b));
            let (data_type, wide) = Seen(kinds).data_type();
            assert_eq!((&merged.columns[0].data_type, merged.columns[0].wide), (&data_type, wide), "{kinds:#b}");
        }
    }
}
