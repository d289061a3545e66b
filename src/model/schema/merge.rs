//! The lattice of types: what holds the values of two inputs.
//!
//! [`merge`] is a least upper bound, so that the order in which objects are sampled, and blocks are verified, does not matter (but for
//! the order of columns, which is first-seen). Its order, from below:
//!
//! - `Null` (only nulls so far) is below everything, a struct without fields below every struct; utf8 is above everything.
//! - Integers widen to the smallest that holds both; uint64 with a signed one becomes decimal(20, 0).
//! - float16 < float32 < float64. Any integer up to 32 bits, and int64 as long as no value beyond ±2^53 was seen, with a float is
//!   float64; an int64 beyond, or uint64, with a float is utf8, so that no digit is lost.
//! - Integers with a decimal, and decimals of different scale, are the decimal with room for all digits of both, up to 76 digits.
//! - date32 < timestamp; coarser timestamps < finer ones; with a zone they become UTC; without and with a zone mix to utf8.
//! - Times of day widen to the finer unit.
//! - Structs merge field by field, lists by item, maps by value.
//! - Every other mix is utf8. Boolean with a number is such a mix: neither can stand for the other without changing its text.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, TimeUnit};

use super::{Column, Misfit, TableSchema, WIDE_INTEGER};

/// The schema that holds what two inputs of one table hold: columns of `a` in order, then those only in `b`, matched by their name in the
/// input. Associative and commutative up to the order of columns (and of fields in structs).
pub fn merge(a: &TableSchema, b: &TableSchema) -> TableSchema {
    let mut merged = a.clone();
    let mut index: std::collections::HashMap<String, usize> =
        merged.columns.iter().enumerate().map(|(i, column)| (column.source.clone(), i)).collect();
    for column in &b.columns {
        match index.get(&column.source) {
            Some(&i) => merge_column(&mut merged.columns[i], column),
            None => {
                index.insert(column.source.clone(), merged.columns.len());
                merged.columns.push(column.clone());
            }
        }
    }
    merged.rescued |= b.rescued;
    merged
}

fn merge_column(into: &mut Column, from: &Column) {
    let merged = Typed::new(&into.data_type, into.wide).merge(&Typed::new(&from.data_type, from.wide));
    if from.misfit == Misfit::Rescue {
        into.misfit = Misfit::Rescue;
    }
    into.data_type = merged.data_type;
    into.wide = merged.wide;
}

/// A type and whether its int64 is wide, see [`Column::wide`].
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Typed {
    pub(super) data_type: DataType,
    pub(super) wide: bool,
}

impl Typed {
    pub(super) fn new(data_type: &DataType, wide: bool) -> Typed {
        Typed { data_type: data_type.clone(), wide: wide && *data_type == DataType::Int64 }
    }

    fn of_field(field: &Field) -> Typed {
        Typed::new(field.data_type(), field.metadata().contains_key(WIDE_INTEGER))
    }

    fn into_field(self, name: &str) -> Field {
        let field = Field::new(name, self.data_type, true);
        if self.wide { field.with_metadata([(WIDE_INTEGER, "")]) } else { field }
    }

    /// The least type that holds the values of both.
    pub(super) fn merge(&self, other: &Typed) -> Typed {
        use DataType::*;
        let plain = |data_type| Typed { data_type, wide: false };
        let (a, b) = (&self.data_type, &other.data_type);
        match (a, b) {
            (Null, _) => other.clone(),
            (_, Null) => self.clone(),
            (Struct(a), Struct(b)) => plain(Struct(merge_fields(a, b))),
            (List(a), List(b)) => plain(List(Arc::new(Typed::of_field(a).merge(&Typed::of_field(b)).into_field(a.name())))),
            (Map(a, sorted_a), Map(b, sorted_b)) => match merge_entries(a, b) {
                Some(entries) => plain(Map(entries, *sorted_a && *sorted_b)),
                None => plain(Utf8),
            },
            (Int64, Int64) => Typed { data_type: Int64, wide: self.wide || other.wide },
            (a, b) if a == b => plain(a.clone()),
            _ => {
                let merged = merge_scalars(self, other);
                let wide = merged == Int64 && (self.wide || other.wide);
                Typed { data_type: merged, wide }
            }
        }
    }
}

fn merge_fields(a: &Fields, b: &Fields) -> Fields {
    let mut merged: Vec<Arc<Field>> = a.iter().cloned().collect();
    for field in b {
        match merged.iter_mut().find(|known| known.name() == field.name()) {
            Some(known) => {
                let typed = Typed::of_field(known).merge(&Typed::of_field(field));
                *known = Arc::new(typed.into_field(field.name()));
            }
            None => merged.push(field.clone()),
        }
    }
    merged.into()
}

/// Maps with the same key type: the entries field with the values merged.
fn merge_entries(a: &Arc<Field>, b: &Arc<Field>) -> Option<Arc<Field>> {
    let (DataType::Struct(left), DataType::Struct(right)) = (a.data_type(), b.data_type()) else {
        return None;
    };
    let ([key, value], [other_key, other_value]) = (&left[..], &right[..]) else {
        return None;
    };
    if key.data_type() != other_key.data_type() {
        return None;
    }
    let value = Typed::of_field(value).merge(&Typed::of_field(other_value)).into_field(value.name());
    let fields = DataType::Struct(vec![key.clone(), Arc::new(value)].into());
    Some(Arc::new(a.as_ref().clone().with_data_type(fields)))
}

fn merge_scalars(a: &Typed, b: &Typed) -> DataType {
    use DataType::*;
    let (left, right) = (&a.data_type, &b.data_type);
    if let (Some(left), Some(right)) = (integer(left), integer(right)) {
        return merge_integers(left, right);
    }
    if let (Some(left), Some(right)) = (float_bits(left), float_bits(right)) {
        return float_of(left.max(right));
    }
    for (whole, typed, other) in [(left, a, right), (right, b, left)] {
        if let (Some((bits, signed)), Some(_)) = (integer(whole), float_bits(other)) {
            let exact = bits <= 32 || (signed && !typed.wide);
            return if exact { Float64 } else { Utf8 };
        }
    }
    if let (Some(left), Some(right)) = (digits(left), digits(right)) {
        return decimal_of(left.0.max(right.0), left.1.max(right.1));
    }
    match (left, right) {
        (Date32, Timestamp(unit, zone)) | (Timestamp(unit, zone), Date32) => Timestamp(*unit, zone.clone()),
        (Timestamp(left, left_zone), Timestamp(right, right_zone)) => {
            let unit = *(if unit_rank(left) >= unit_rank(right) { left } else { right });
            match (left_zone, right_zone) {
                (Some(left), Some(right)) if left == right => Timestamp(unit, Some(left.clone())),
                (Some(_), Some(_)) => Timestamp(unit, Some("UTC".into())),
                (None, None) => Timestamp(unit, None),
                _ => Utf8,
            }
        }
        (Time32(left) | Time64(left), Time32(right) | Time64(right)) => {
            match if unit_rank(left) >= unit_rank(right) { left } else { right } {
                TimeUnit::Second => Time32(TimeUnit::Second),
                TimeUnit::Millisecond => Time32(TimeUnit::Millisecond),
                finer => Time64(*finer),
            }
        }
        _ => Utf8,
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

/// Digits before and after the point that a type needs. Every integer counts as 20 digits, whatever its size: otherwise int8 with uint8
/// (int16) with a small decimal would depend on the order of merging.
fn digits(data_type: &DataType) -> Option<(i16, i16)> {
    let (precision, scale) = match data_type {
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => (*p, *s),
        other => return integer(other).map(|_| (20, 0)),
    };
    Some((i16::from(precision) - i16::from(scale), i16::from(scale)))
}

/// Decimal128 up to 38 digits, Decimal256 up to 76, then utf8.
fn decimal_of(before: i16, after: i16) -> DataType {
    // A negative scale counts digits that are zeros before the point: at least one digit remains.
    let precision = (before + after).max(1);
    match (u8::try_from(precision), i8::try_from(after)) {
        (Ok(precision), Ok(scale)) if precision <= 38 => DataType::Decimal128(precision, scale),
        (Ok(precision), Ok(scale)) if precision <= 76 => DataType::Decimal256(precision, scale),
        _ => DataType::Utf8,
    }
}

/// Finer units have a higher rank.
pub(super) fn unit_rank(unit: &TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DataType::*;
    use proptest::prelude::*;

    fn utc(unit: TimeUnit) -> DataType {
        Timestamp(unit, Some("UTC".into()))
    }

    fn structure(fields: &[(&str, DataType)]) -> DataType {
        Struct(fields.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect())
    }

    fn list(item: DataType) -> DataType {
        List(Arc::new(Field::new("item", item, true)))
    }

    fn check(a: DataType, b: DataType, expected: DataType) {
        let merged = |a: &DataType, b: &DataType| Typed::new(a, false).merge(&Typed::new(b, false)).data_type;
        assert_eq!(merged(&a, &b), expected, "{a} with {b}");
        if !matches!(expected, Struct(_)) {
            assert_eq!(merged(&b, &a), expected, "{b} with {a}");
        }
    }

    #[test]
    fn two_types_have_a_least_upper_bound() {
        check(Null, Boolean, Boolean);
        check(Boolean, Int64, Utf8);
        check(Int64, Float64, Float64);
        check(Float64, Utf8, Utf8);
        check(Date32, utc(TimeUnit::Microsecond), utc(TimeUnit::Microsecond));
        check(Date32, Int64, Utf8);
        check(Int32, Int64, Int64);
        check(UInt8, Int8, Int16);
        check(UInt32, Int8, Int64);
        check(UInt64, Int8, Decimal128(20, 0));
        check(UInt64, Float64, Utf8);
        check(Int8, Float32, Float64);
        check(Float16, Float32, Float32);
        check(Decimal128(10, 2), Decimal128(5, 4), Decimal128(12, 4));
        check(Decimal128(38, 0), Decimal128(38, 38), Decimal256(76, 38));
        check(Decimal256(76, 0), Decimal256(76, 38), Utf8);
        check(Int32, Decimal128(5, 2), Decimal128(22, 2));
        check(Decimal128(5, 2), Float64, Utf8);
        check(utc(TimeUnit::Millisecond), utc(TimeUnit::Nanosecond), utc(TimeUnit::Nanosecond));
        check(utc(TimeUnit::Millisecond), Timestamp(TimeUnit::Millisecond, None), Utf8);
        check(Time32(TimeUnit::Millisecond), Time64(TimeUnit::Microsecond), Time64(TimeUnit::Microsecond));
        check(structure(&[("a", Int64)]), Int64, Utf8);
        check(structure(&[("a", Int64)]), structure(&[("b", Utf8), ("a", Float64)]), structure(&[("a", Float64), ("b", Utf8)]));
        check(list(Null), list(Int64), list(Int64));
        check(list(Int64), Int64, Utf8);
        check(Binary, Utf8, Utf8);
    }

    #[test]
    fn a_wide_integer_and_floats_keep_all_digits_as_text() {
        let wide = Typed::new(&Int64, true);
        assert_eq!(wide.merge(&Typed::new(&Int64, false)), wide);
        assert_eq!(wide.merge(&Typed::new(&Float64, false)).data_type, Utf8);
        let nested = |typed: Typed| Typed::new(&List(Arc::new(typed.into_field("item"))), false);
        assert_eq!(nested(wide.clone()).merge(&nested(Typed::new(&Float64, false))).data_type, list(Utf8));
        assert_eq!(super::super::settle(&nested(wide).data_type), list(Int64));
    }

    fn any_type() -> impl Strategy<Value = Typed> {
        let scalar = prop_oneof![
            Just((Null, false)),
            Just((Boolean, false)),
            Just((Int8, false)),
            Just((Int16, false)),
            Just((Int32, false)),
            Just((Int64, false)),
            Just((Int64, true)),
            Just((UInt8, false)),
            Just((UInt16, false)),
            Just((UInt32, false)),
            Just((UInt64, false)),
            Just((Float16, false)),
            Just((Float32, false)),
            Just((Float64, false)),
            Just((Utf8, false)),
            Just((Binary, false)),
            Just((Date32, false)),
            Just((utc(TimeUnit::Second), false)),
            Just((Timestamp(TimeUnit::Microsecond, None), false)),
            Just((Timestamp(TimeUnit::Second, Some("Europe/Rome".into())), false)),
            Just((Decimal128(3, 0), false)),
            Just((Decimal128(38, 10), false)),
            Just((Decimal256(70, 40), false)),
            Just((Time32(TimeUnit::Second), false)),
            Just((Time64(TimeUnit::Nanosecond), false)),
        ]
        .prop_map(|(data_type, wide)| Typed::new(&data_type, wide));
        scalar.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(|item| Typed::new(&List(Arc::new(item.into_field("item"))), false)),
                proptest::collection::btree_map("[abc]", inner, 0..3).prop_map(|fields| Typed::new(
                    &Struct(fields.into_iter().map(|(name, typed)| typed.into_field(&name)).collect()),
                    false
                )),
            ]
        })
    }

    /// Fields sorted by name, so that orders of columns compare equal.
    fn sorted(typed: &Typed) -> Typed {
        fn sort(data_type: &DataType) -> DataType {
            let child = |field: &Arc<Field>| Arc::new(field.as_ref().clone().with_data_type(sort(field.data_type())));
            match data_type {
                Struct(fields) => {
                    let mut fields: Vec<_> = fields.iter().map(child).collect();
                    fields.sort_by(|a, b| a.name().cmp(b.name()));
                    Struct(fields.into())
                }
                List(item) => List(child(item)),
                other => other.clone(),
            }
        }
        Typed { data_type: sort(&typed.data_type), wide: typed.wide }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn merging_is_associative_commutative_and_idempotent(a in any_type(), b in any_type(), c in any_type()) {
            prop_assert_eq!(sorted(&a.merge(&b)), sorted(&b.merge(&a)));
            prop_assert_eq!(sorted(&a.merge(&b).merge(&c)), sorted(&a.merge(&b.merge(&c))));
            prop_assert_eq!(a.merge(&a), a);
        }
    }
}
