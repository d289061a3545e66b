//! One value of a column, typed.

use arrow::datatypes::i256;
use arrow_schema::TimeUnit;

/// A value that is not null. Values of one column are of one variant, and compare as the column's do: texts and binary
/// byte by byte, numbers by their value.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub enum Scalar {
    /// True or false.
    Boolean(bool),
    /// A signed integer of any width; a duration too, which files keep as one.
    Int(i64),
    /// An unsigned integer of any width.
    UInt(u64),
    /// A float of 16 or 32 bits.
    Float32(f32),
    /// A float of 64 bits.
    Float64(f64),
    /// `unscaled` / 10^`scale`.
    Decimal {
        /// The digits.
        unscaled: i256,
        /// How many of them stand behind the point.
        scale: i8,
    },
    /// Days since 1970-01-01.
    Date(i32),
    /// Ticks since midnight, and of what length they are.
    Time(i64, TimeUnit),
    /// Time since 1970-01-01T00:00, in UTC where it is an instant.
    Timestamp {
        /// Ticks.
        value: i64,
        /// Of what length.
        unit: TimeUnit,
        /// Whether it is an instant, or a wall clock's time.
        instant: bool,
    },
    /// A text, JSON too.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}

impl Scalar {
    /// Whether it is a float that is no number.
    pub fn is_nan(&self) -> bool {
        match self {
            Scalar::Float32(value) => value.is_nan(),
            Scalar::Float64(value) => value.is_nan(),
            _ => false,
        }
    }

    /// Bytes of memory that it keeps.
    pub fn memory_bytes(&self) -> usize {
        let heap = match self {
            Scalar::Text(text) => text.capacity(),
            Scalar::Binary(bytes) => bytes.capacity(),
            _ => 0,
        };
        size_of::<Self>() + heap
    }
}
