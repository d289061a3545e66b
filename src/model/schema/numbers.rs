//! The numbers of the lattice, see [`super::merge`].

use std::fmt;
use std::str::FromStr;

use arrow_schema::DataType;
use serde::{Deserialize, Serialize};

use super::Mixed;
use super::merge::Typed;

/// Decimal digits that numbers need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digits {
    /// Before the point.
    pub before: u8,
    /// Behind it.
    pub after: u8,
}

/// Digits of a decimal that comes from text: those of decimal128, which every reader of Parquet has. What needs more
/// stays text.
const TEXT_DIGITS_MAX: u8 = 38;

impl Digits {
    /// Room for both.
    pub fn max(self, other: Digits) -> Digits {
        Digits { before: self.before.max(other.before), after: self.after.max(other.after) }
    }

    /// The decimal with so many digits, when text may become one.
    pub fn decimal(self) -> Option<DataType> {
        let precision = self.precision()?;
        // A number has at least one digit.
        Some(DataType::Decimal128(precision.max(1), i8::try_from(self.after).ok()?))
    }

    fn precision(self) -> Option<u8> {
        self.before.checked_add(self.after).filter(|digits| *digits <= TEXT_DIGITS_MAX)
    }
}

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.before, self.after)
    }
}

impl FromStr for Digits {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Digits, Self::Err> {
        let (before, after) = text.split_once('.').unwrap_or((text, ""));
        Ok(Digits { before: before.parse()?, after: after.parse()? })
    }
}

/// The least type that holds the numbers of both; `None` where one is no number.
pub(super) fn merge_numbers(a: &Typed, b: &Typed) -> Option<Typed> {
    let (left, right) = (&a.data_type, &b.data_type);
    let digits = number_digits(a)?.zip(number_digits(b)?);
    let digits = digits.map(|(left, right)| (left.0.max(right.0), left.1.max(right.1)));
    // One that was read from text has at most 38 digits, whatever it meets first.
    let literal = a.digits.is_some() || b.digits.is_some();
    let read = digits.filter(|_| literal).and_then(|(before, after)| {
        let digits = Digits { before: u8::try_from(before).ok()?, after: u8::try_from(after).ok()? };
        digits.precision().map(|_| digits)
    });
    let of = |data_type: DataType| {
        let known = matches!(data_type, DataType::Int64 | DataType::Float64 | DataType::Decimal128(..));
        Typed {
            wide: data_type == DataType::Int64 && (a.wide || b.wide),
            digits: read.filter(|_| known),
            ..data_type.into()
        }
    };
    let text = || Typed::from(DataType::Utf8);
    let decimal = || match digits {
        Some(_) if literal => read.and_then(Digits::decimal).map_or_else(text, of),
        Some((before, after)) => of(decimal_of(before, after, is_long(left) && is_long(right))),
        None => text(),
    };
    let exact_as_float =
        |typed: &Typed| integer(&typed.data_type).is_some_and(|(bits, signed)| bits <= 32 || (signed && !typed.wide));
    Some(match (integer(left), integer(right), float_bits(left), float_bits(right)) {
        (Some(left), Some(right), _, _) => of(merge_integers(left, right)),
        (_, _, Some(left), Some(right)) => of(float_of(left.max(right))),
        (_, _, Some(_), _) if exact_as_float(b) => of(DataType::Float64),
        (_, _, _, Some(_)) if exact_as_float(a) => of(DataType::Float64),
        _ if left == right => of(left.clone()),
        _ if in_force_holds(a, b) => a.clone(),
        _ if in_force_holds(b, a) => b.clone(),
        _ => decimal(),
    })
}

/// Digits before and after the point that hold the values of a number type: `Some(None)` when none are sure to, as with
/// floats but for those that were read from text.
#[allow(clippy::option_option)] // No number at all is another thing.
fn number_digits(typed: &Typed) -> Option<Option<(i16, i16)>> {
    let known = typed.digits.map(|digits| (i16::from(digits.before), i16::from(digits.after)));
    Some(match &typed.data_type {
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => Some((i16::from(*p) - i16::from(*s), i16::from(*s))),
        data_type if float_bits(data_type).is_some() => known,
        // Every integer counts as 20 digits, whatever its size: otherwise int8 with uint8 (int16) with a small decimal
        // would depend on the order of merging.
        data_type => integer(data_type).map(|_| Some(known.unwrap_or((20, 0))))?,
    })
}

/// Whether a decimal has more than 38 digits. Of those no number begins to need one that had none: few readers hold
/// them (DuckDB makes floats of them).
fn is_long(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal256(..))
}

/// Whether a decimal of more than 38 digits is in force, as unions of earlier releases may be, and holds the numbers of
/// another type.
fn in_force_holds(a: &Typed, b: &Typed) -> bool {
    let [a_digits, b_digits] = [a, b].map(|typed| number_digits(typed).flatten());
    let has_room = a_digits.zip(b_digits).is_some_and(|(a, b)| a.0 >= b.0 && a.1 >= b.1);
    is_long(&a.data_type) && a.mixed == Mixed::Kept && has_room
}

/// Decimal128 up to 38 digits, Decimal256 up to 76 where both are `long`, then utf8.
fn decimal_of(before: i16, after: i16, long: bool) -> DataType {
    // A negative scale counts digits that are zeros before the point: at least one digit remains.
    let precision = (before + after).max(1);
    match (u8::try_from(precision), i8::try_from(after)) {
        (Ok(precision), Ok(scale)) if precision <= 38 => DataType::Decimal128(precision, scale),
        (Ok(precision), Ok(scale)) if precision <= 76 && long => DataType::Decimal256(precision, scale),
        _ => DataType::Utf8,
    }
}

/// Bits and sign of an integer type.
pub(super) fn integer(data_type: &DataType) -> Option<(u8, bool)> {
    Some(match data_type {
        DataType::Int8 => (8, true),
        DataType::Int16 => (16, true),
        DataType::Int32 => (32, true),
        DataType::Int64 => (64, true),
        DataType::UInt8 => (8, false),
        DataType::UInt16 => (16, false),
        DataType::UInt32 => (32, false),
        DataType::UInt64 => (64, false),
        _ => return None,
    })
}

fn merge_integers((left, left_signed): (u8, bool), (right, right_signed): (u8, bool)) -> DataType {
    let (bits, signed) = match (left_signed, right_signed) {
        (true, true) => (left.max(right), true),
        (false, false) => (left.max(right), false),
        // A signed type holds an unsigned one of half its bits.
        (true, false) => (left.max(right.saturating_mul(2)), true),
        (false, true) => (right.max(left.saturating_mul(2)), true),
    };
    match (bits, signed) {
        (8, true) => DataType::Int8,
        (16, true) => DataType::Int16,
        (32, true) => DataType::Int32,
        (64, true) => DataType::Int64,
        (8, false) => DataType::UInt8,
        (16, false) => DataType::UInt16,
        (32, false) => DataType::UInt32,
        (64, false) => DataType::UInt64,
        // uint64 with a signed type: 20 digits hold both.
        _ => DataType::Decimal128(20, 0),
    }
}

pub(super) fn float_bits(data_type: &DataType) -> Option<u8> {
    match data_type {
        DataType::Float16 => Some(16),
        DataType::Float32 => Some(32),
        DataType::Float64 => Some(64),
        _ => None,
    }
}

fn float_of(bits: u8) -> DataType {
    match bits {
        16 => DataType::Float16,
        32 => DataType::Float32,
        _ => DataType::Float64,
    }
}
