//! Which kinds of values a column holds, and the type that they need together.

use arrow::datatypes::{DataType, TimeUnit};

use super::digits::Significand;
use super::number::{Notation, exact_in_float64, float};
use super::time::timestamp;
use super::{boolean, date, integer};
use crate::model::schema::{Digits, Typed};

const BOOLEAN: u16 = 1;
const INTEGER: u16 = 1 << 1;
/// An int64 beyond ±2^53.
const WIDE_INTEGER: u16 = 1 << 2;
/// A number with a point that float64 gives back.
const FLOAT: u16 = 1 << 3;
/// A number in a float's own notation.
const PURE_FLOAT: u16 = 1 << 4;
/// A number of more digits than int64 or float64 give back.
const DECIMAL: u16 = 1 << 5;
const DATE: u16 = 1 << 6;
const TIMESTAMP: u16 = 1 << 7;
const TEXT: u16 = 1 << 8;

/// The kinds of texts seen so far, and the digits of all numbers among them; nothing while there are only nulls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::codec::decode) struct Seen {
    kinds: u16,
    digits: Digits,
}

/// The kind of a text by the grammar of this module.
#[inline]
pub(in crate::codec::decode) fn classify(text: &[u8]) -> Seen {
    match text.first() {
        Some(b'0'..=b'9' | b'-' | b'+' | b'.') => number_or_time(text),
        Some(b't' | b'T' | b'f' | b'F') if boolean(text).is_some() => Seen::kind(BOOLEAN),
        _ => Seen::kind(TEXT),
    }
}

fn number_or_time(text: &[u8]) -> Seen {
    if integer(text).is_some() {
        let digits = text.len() - usize::from(text[0] == b'-');
        return Seen::number(if exact_in_float64(text) { INTEGER } else { WIDE_INTEGER }, digits, 0);
    }
    let Some(float) = float(text) else {
        return Seen::kind(match timestamp(text) {
            _ if date(text).is_some() => DATE,
            Some(instant) if instant.in_unit(TimeUnit::Microsecond).is_some() => TIMESTAMP,
            _ => TEXT,
        });
    };
    match (float.notation, Significand::of(text)) {
        (Notation::Float, _) => Seen::kind(PURE_FLOAT),
        (notation, Some(number)) => {
            let kept = notation == Notation::Point && float.gives_back(text);
            Seen::number(if kept { FLOAT } else { DECIMAL }, number.before(), number.after())
        }
        (_, None) => Seen::kind(TEXT),
    }
}

impl Seen {
    fn kind(kinds: u16) -> Seen {
        Seen { kinds, digits: Digits::default() }
    }

    fn number(kinds: u16, before: usize, after: usize) -> Seen {
        // What is beyond a decimal stays beyond.
        let count = |digits: usize| u8::try_from(digits).unwrap_or(u8::MAX);
        Seen { kinds, digits: Digits { before: count(before), after: count(after) } }
    }

    #[inline]
    pub(in crate::codec::decode) fn add(&mut self, other: Seen) {
        self.kinds |= other.kinds;
        self.digits = self.digits.max(other.digits);
    }

    pub(in crate::codec::decode) fn is_text(self) -> bool {
        self.kinds & TEXT != 0
    }

    /// The least type of the lattice. Agrees with merging the types one by one.
    pub(in crate::codec::decode) fn typed(self) -> Typed {
        const INTEGERS: u16 = INTEGER | WIDE_INTEGER;
        const LITERALS: u16 = INTEGERS | FLOAT | DECIMAL;
        const TIMES: u16 = DATE | TIMESTAMP;
        let only = |kinds: u16| self.kinds & !kinds == 0;
        let literal = |data_type: DataType| {
            let wide = data_type == DataType::Int64 && self.kinds & WIDE_INTEGER != 0;
            Typed { wide, digits: Some(self.digits), ..data_type.into() }
        };
        match self.kinds {
            0 => DataType::Null.into(),
            BOOLEAN => DataType::Boolean.into(),
            _ if only(INTEGERS) => literal(DataType::Int64),
            // Floats that no decimal holds together are floats, and nothing else any more.
            _ if only(INTEGER | FLOAT) && self.digits.decimal().is_some() => literal(DataType::Float64),
            _ if only(INTEGER | FLOAT | PURE_FLOAT) => DataType::Float64.into(),
            _ if only(LITERALS) => self.digits.decimal().map_or(DataType::Utf8.into(), literal),
            DATE => DataType::Date32.into(),
            _ if only(TIMES) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())).into(),
            _ => DataType::Utf8.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::schema::type_name;

    fn of(texts: &[&str]) -> String {
        let mut seen = Seen::default();
        texts.iter().for_each(|text| seen.add(classify(text.as_bytes())));
        let Typed { data_type, wide, .. } = seen.typed();
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
            (&["9007199254740993", "2.5"], "decimal(17,1)"),
            (&["9007199254740993", "2.5", "1e5"], "utf8"),
            (&["9223372036854775808"], "decimal(19,0)"),
            (&["-9223372036854775809", "0"], "decimal(19,0)"),
            (&["99999999999999999999999999999999999999"], "decimal(38,0)"),
            (&["100000000000000000000000000000000000000"], "utf8"),
            (&["0.30000000000000004", "1.0"], "float64"),
            (&["0.30000000000000003"], "decimal(17,17)"),
            (&["0.123456789012345678", "1234567890123.123456"], "decimal(31,18)"),
            (&["0.123456789012345678", "12", "2.5", "9007199254740993"], "decimal(34,18)"),
            (&["0.123456789012345678", "-0"], "utf8"),
            (&["0.123456789012345678", "1e5"], "utf8"),
            (&["0.123456789012345678", "NaN"], "utf8"),
            (&["0.123456789012345678", "100000000000000000000.5"], "utf8"),
            (&["100000000000000000000.0", "0.00000000000000000001"], "float64"),
            (&["1.0000000000000000000000000000000000000000"], "float64"),
            (&["1.0000000000000000000000000000000000000001"], "utf8"),
            (&["1.234567890123456789e-5", "1"], "float64"),
            (&["-0"], "float64"),
            (&["-0.0", "1"], "float64"),
            (&["1e400"], "utf8"),
            (&["1e-400"], "utf8"),
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
            (&["+010000-01-01", "-000001-12-31"], "date32"),
            (&["+010000-01-01T00:00:00Z"], "timestamp(us)"),
            (&["+999999-01-01T00:00:00Z"], "utf8"),
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
        let texts = [
            "true",
            "-12",
            "9007199254740993",
            "123.25",
            "1e5",
            "0.123456789012345678",
            "2024-01-01",
            "2024-01-01 10:00:00",
            "x",
            // Numbers that no decimal holds together.
            "100000000000000000000.0",
            "0.00000000000000000001",
        ];
        for kinds in 0u32..1 << texts.len() {
            let texts = texts.iter().enumerate().filter(|(bit, _)| kinds & (1 << bit) != 0).map(|(_, text)| text);
            let (mut seen, mut merged) = (Seen::default(), Typed::from(DataType::Null));
            for text in texts.clone() {
                let one = classify(text.as_bytes());
                seen.add(one);
                merged = merged.merge(&one.typed());
            }
            assert_eq!(seen.typed(), merged, "{:?}", texts.collect::<Vec<_>>());
        }
    }
}
