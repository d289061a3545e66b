//! The lattice of types: what holds the values of two inputs.
//!
//! [`merge`] is a least upper bound, so that the order in which objects are sampled, and blocks are verified, does not
//! matter (but for the order of columns, which is first-seen). Its order, from below:
//!
//! - `Null` (only nulls so far) is below everything, a struct without fields below every struct; utf8 or JSON is above
//!   everything.
//! - Integers widen to the smallest that holds both; uint64 with a signed one becomes decimal(20, 0).
//! - float16 < float32 < float64. Any integer up to 32 bits, and int64 as long as no value beyond ±2^53 was seen, with
//!   a float is float64.
//! - Integers with a decimal, and decimals of different scale, are the decimal with room for all digits of both, up to
//!   38 digits. A decimal of more digits unites with its like alone, up to 76, and is utf8 with other numbers; where it
//!   is in force, it keeps those that it holds.
//! - Any other number with a float is utf8, so that no digit is lost; but a float64 of which all digits are known
//!   ([`Column::digits`]) joins decimals as one.
//! - date32 < timestamp; coarser timestamps < finer ones; with a zone they become UTC; without and with a zone mix to
//!   utf8.
//! - Times of day widen to the finer unit.
//! - Structs merge field by field, lists by item, maps by value.
//! - Every other mix is utf8. Boolean with a number is such a mix: neither can stand for the other without changing its
//!   text.
//!
//! Beside it stands [`Mixed`], whose greater value counts: a mix of values that JSON tells apart is [`JSON`] in place
//! of utf8. Two bounds side by side are a bound again.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, TimeUnit};

use super::numbers::merge_numbers;
use super::{Column, Digits, JSON, MIXED, Misfit, Mixed, NUMBER_DIGITS, TableSchema, WIDE_INTEGER};

/// The schema that holds what two inputs of one table hold: columns of `a` in order, then those only in `b`, matched by
/// their name in the input. Associative and commutative up to the order of columns (and of fields in structs).
pub fn merge(a: &TableSchema, b: &TableSchema) -> TableSchema {
    let mut merged = a.clone();
    let mut index: HashMap<String, usize> =
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
    let merged = Typed::of(into).merge(&Typed::of(from));
    if from.misfit == Misfit::Rescue {
        into.misfit = Misfit::Rescue;
    }
    *into = into.clone().typed(merged);
}

/// A type, and what is known of its values: see [`Column::wide`], [`Column::digits`] and [`Column::mixed`].
#[derive(Clone, Debug, PartialEq)]
pub struct Typed {
    /// The type.
    pub data_type: DataType,
    /// Whether an int64 beyond ±2^53 was seen.
    pub wide: bool,
    /// Digits of the numbers, where all were read from text.
    pub digits: Option<Digits>,
    /// What it becomes when its values share no other type.
    pub mixed: Mixed,
}

impl From<DataType> for Typed {
    fn from(data_type: DataType) -> Typed {
        Typed { data_type, wide: false, digits: None, mixed: Mixed::Text }
    }
}

impl Typed {
    /// A column's.
    pub fn of(column: &Column) -> Typed {
        Typed { data_type: column.data_type.clone(), wide: column.wide, digits: column.digits, mixed: column.mixed }
    }

    /// A nested field's.
    pub fn of_field(field: &Field) -> Typed {
        let digits = field.metadata().get(NUMBER_DIGITS).and_then(|digits| digits.parse().ok());
        let mixed = match field.metadata().get(MIXED).map(String::as_str) {
            Some("json") => Mixed::Json,
            Some(_) => Mixed::Kept,
            None => Mixed::Text,
        };
        Typed { data_type: field.data_type().clone(), wide: field.metadata().contains_key(WIDE_INTEGER), digits, mixed }
    }

    /// An inferred column.
    pub fn into_column(self, name: &str) -> Column {
        Column::inferred(name, DataType::Null).typed(self)
    }

    /// A nested field.
    pub fn into_field(self, name: &str) -> Field {
        let mut metadata = HashMap::new();
        if self.wide {
            metadata.insert(WIDE_INTEGER.to_owned(), String::new());
        }
        if let Some(digits) = self.digits {
            metadata.insert(NUMBER_DIGITS.to_owned(), digits.to_string());
        }
        match self.mixed {
            Mixed::Text => None,
            Mixed::Json => metadata.insert(MIXED.to_owned(), "json".to_owned()),
            Mixed::Kept => metadata.insert(MIXED.to_owned(), "kept".to_owned()),
        };
        Field::new(name, self.data_type, true).with_metadata(metadata)
    }

    /// The type of values that JSON tells from strings ([`Mixed::Json`]).
    #[must_use]
    pub fn of_json(self) -> Typed {
        Typed { mixed: Mixed::Json, ..self }.merge(&DataType::Null.into())
    }

    /// The same with every field inside it changed.
    pub(super) fn map_fields(self, change: impl Fn(Typed) -> Typed) -> Typed {
        let field = |field: &Arc<Field>| Arc::new(change(Typed::of_field(field)).into_field(field.name()));
        let data_type = match self.data_type {
            DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
            DataType::List(item) => DataType::List(field(&item)),
            other => other,
        };
        Typed { data_type, ..self }
    }

    /// The least type that holds the values of both.
    pub fn merge(&self, other: &Typed) -> Typed {
        let mixed = |typed: &Typed| if typed.data_type == JSON { typed.mixed.max(Mixed::Json) } else { typed.mixed };
        let mixed = mixed(self).max(mixed(other));
        let merged = self.merge_types(other);
        match (merged.data_type == DataType::Utf8 || merged.data_type == JSON, mixed) {
            // JSON needs no mark: what it was mixed from is no question any more.
            (true, Mixed::Json) => JSON.into(),
            (true, mixed) => Typed { mixed, ..DataType::Utf8.into() },
            (false, mixed) => Typed { mixed, ..merged },
        }
    }

    fn merge_types(&self, other: &Typed) -> Typed {
        use DataType::*;
        let (a, b) = (&self.data_type, &other.data_type);
        match (a, b) {
            (Null, _) => other.clone(),
            (_, Null) => self.clone(),
            (Struct(a), Struct(b)) => Struct(merge_fields(a, b)).into(),
            (List(a), List(b)) => {
                List(Arc::new(Typed::of_field(a).merge(&Typed::of_field(b)).into_field(a.name()))).into()
            }
            (Map(a, sorted_a), Map(b, sorted_b)) => match merge_entries(a, b) {
                Some(entries) => Map(entries, *sorted_a && *sorted_b).into(),
                None => Utf8.into(),
            },
            _ => merge_numbers(self, other)
                .unwrap_or_else(|| if a == b { a.clone().into() } else { merge_scalars(a, b).into() }),
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

fn merge_scalars(left: &DataType, right: &DataType) -> DataType {
    use DataType::*;
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
        let merged = |a: &DataType, b: &DataType| Typed::from(a.clone()).merge(&Typed::from(b.clone())).data_type;
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
        check(Decimal128(38, 0), Decimal128(38, 38), Utf8);
        check(Decimal256(39, 0), Decimal256(40, 2), Decimal256(41, 2));
        check(Decimal256(50, 2), Decimal128(10, 2), Utf8);
        check(Decimal256(50, 2), Int8, Utf8);
        check(Decimal256(76, 0), Decimal256(76, 38), Utf8);
        check(Int32, Decimal128(5, 2), Decimal128(22, 2));
        check(Decimal128(5, 2), Float64, Utf8);
        check(utc(TimeUnit::Millisecond), utc(TimeUnit::Nanosecond), utc(TimeUnit::Nanosecond));
        check(utc(TimeUnit::Millisecond), Timestamp(TimeUnit::Millisecond, None), Utf8);
        check(Time32(TimeUnit::Millisecond), Time64(TimeUnit::Microsecond), Time64(TimeUnit::Microsecond));
        check(structure(&[("a", Int64)]), Int64, Utf8);
        check(
            structure(&[("a", Int64)]),
            structure(&[("b", Utf8), ("a", Float64)]),
            structure(&[("a", Float64), ("b", Utf8)]),
        );
        check(list(Null), list(Int64), list(Int64));
        check(list(Int64), Int64, Utf8);
        check(Binary, Utf8, Utf8);
    }

    #[test]
    fn a_long_decimal_in_force_keeps_the_numbers_that_it_holds() {
        let force = Typed { mixed: Mixed::Kept, ..Decimal256(50, 10).into() };
        for (seen, held) in [
            (Typed::from(Int8), true),
            (literal(Int64, 3, 0), true),
            (literal(Float64, 3, 10), true),
            (Decimal128(38, 10).into(), true),
            (Decimal128(38, 11).into(), false),
            (Float64.into(), false),
            (Utf8.into(), false),
        ] {
            for merged in [force.merge(&seen), seen.merge(&force)] {
                assert_eq!(merged.data_type, if held { Decimal256(50, 10) } else { Utf8 }, "{seen:?}");
            }
        }
    }

    #[test]
    fn a_wide_integer_and_floats_keep_all_digits_as_text() {
        let wide = Typed { wide: true, ..Int64.into() };
        assert_eq!(wide.merge(&Int64.into()), wide);
        assert_eq!(wide.merge(&Float64.into()).data_type, Utf8);
        let nested = |typed: Typed| Typed::from(List(Arc::new(typed.into_field("item"))));
        assert_eq!(nested(wide.clone()).merge(&nested(Float64.into())).data_type, list(Utf8));
        assert_eq!(super::super::settle(&nested(wide).data_type), list(Int64));
    }

    /// A number as it was read from text.
    fn literal(data_type: DataType, before: u8, after: u8) -> Typed {
        let wide = data_type == Int64 && before > 15;
        Typed { wide, digits: Some(Digits { before, after }), ..data_type.into() }
    }

    #[test]
    fn numbers_that_were_read_from_text_join_as_decimals() {
        let check = |a: &Typed, b: &Typed, expected: Typed| {
            assert_eq!(a.merge(b), expected, "{a:?} with {b:?}");
            assert_eq!(b.merge(a), expected, "{b:?} with {a:?}");
            let nested = |typed: &Typed| Typed::from(List(Arc::new(typed.clone().into_field("item"))));
            assert_eq!(nested(a).merge(&nested(b)), nested(&expected));
        };
        let decimal = |before: u8, after: u8| literal(Decimal128(before + after, after as i8), before, after);
        check(&literal(Int64, 3, 0), &literal(Int64, 5, 0), literal(Int64, 5, 0));
        check(&literal(Int64, 3, 0), &Int64.into(), Typed { wide: false, ..literal(Int64, 20, 0) });
        check(&literal(Int64, 3, 0), &literal(Float64, 1, 5), literal(Float64, 3, 5));
        check(&literal(Float64, 4, 2), &literal(Float64, 1, 5), literal(Float64, 4, 5));
        check(&literal(Float64, 4, 2), &Float64.into(), Float64.into());
        check(&literal(Float64, 4, 2), &decimal(1, 18), decimal(4, 18));
        check(&literal(Int64, 3, 0), &decimal(1, 18), decimal(3, 18));
        check(&literal(Int64, 17, 0), &literal(Float64, 1, 5), decimal(17, 5));
        check(&decimal(13, 6), &decimal(0, 18), decimal(13, 18));
        check(&decimal(20, 0), &decimal(0, 18), decimal(20, 18));
        check(&decimal(20, 0), &decimal(0, 19), Utf8.into());
        check(&Float64.into(), &decimal(0, 18), Utf8.into());
        check(&Decimal128(38, 0).into(), &decimal(0, 18), Utf8.into());
        check(&Decimal128(10, 2).into(), &decimal(0, 18), decimal(8, 18));
        check(&Decimal128(10, 2).into(), &literal(Float64, 1, 3), decimal(8, 3));
        check(&UInt64.into(), &literal(Float64, 1, 3), decimal(20, 3));
        // Floats that no decimal holds together are floats, and nothing else any more.
        check(&literal(Float64, 20, 0), &literal(Float64, 0, 20), Float64.into());
        check(&Boolean.into(), &decimal(0, 18), Utf8.into());
    }

    #[test]
    fn what_json_tells_apart_is_json_and_other_mixes_are_text() {
        let json = |data_type: DataType| Typed::from(data_type).of_json();
        let text = Typed::from;
        let kept = Typed { mixed: Mixed::Kept, ..text(Utf8) };
        for (a, b, expected) in [
            (json(Int64), text(Utf8), text(JSON)),
            (json(Int64), json(Boolean), text(JSON)),
            (json(structure(&[])), json(Int64), text(JSON)),
            (json(Int64), text(Date32), text(JSON)),
            (text(JSON), text(Date32), text(JSON)),
            (text(JSON), text(Null), text(JSON)),
            (text(Int64), text(Utf8), text(Utf8)),
            (text(Int64), text(Boolean), text(Utf8)),
            (json(Int64), json(Float64), json(Float64)),
            (json(Int64), kept.clone(), kept.clone()),
            (text(JSON), kept.clone(), kept),
        ] {
            assert_eq!(a.merge(&b), expected, "{a:?} with {b:?}");
            assert_eq!(b.merge(&a), expected, "{b:?} with {a:?}");
        }
        let list_of = |typed: Typed| Typed::from(List(Arc::new(typed.into_field("item")))).of_json();
        assert_eq!(list_of(json(Int64)).merge(&list_of(text(Utf8))), list_of(text(JSON)));
    }

    fn any_type() -> impl Strategy<Value = Typed> {
        let scalar = prop_oneof![
            Just(Null),
            Just(Boolean),
            Just(Int8),
            Just(Int16),
            Just(Int32),
            Just(Int64),
            Just(UInt8),
            Just(UInt16),
            Just(UInt32),
            Just(UInt64),
            Just(Float16),
            Just(Float32),
            Just(Float64),
            Just(Utf8),
            Just(Binary),
            Just(Date32),
            Just(utc(TimeUnit::Second)),
            Just(Timestamp(TimeUnit::Microsecond, None)),
            Just(Timestamp(TimeUnit::Second, Some("Europe/Rome".into()))),
            Just(Decimal128(3, 0)),
            Just(Decimal128(38, 10)),
            Just(Decimal256(39, 19)),
            Just(Decimal256(70, 40)),
            Just(Time32(TimeUnit::Second)),
            Just(Time64(TimeUnit::Nanosecond)),
            Just(JSON),
            Just(structure(&[])),
        ]
        .prop_map(Typed::from);
        let read = prop_oneof![
            Just(Typed { wide: true, ..Int64.into() }),
            (1u8..20).prop_map(|before| literal(Int64, before, 0)),
            (0u8..25, 0u8..14).prop_map(|(before, after)| literal(Float64, before, after)),
            (0u8..20, 0u8..18).prop_map(|(before, after)| literal(
                Decimal128((before + after).max(1), after as i8),
                before.max(u8::from(after == 0)),
                after
            )),
        ];
        let mixed = prop_oneof![Just(Mixed::Text), Just(Mixed::Json), Just(Mixed::Kept)];
        // Merged with nothing it has the form that merging gives.
        let scalar = (prop_oneof![3 => scalar, 2 => read], mixed).prop_map(|(typed, mixed)| {
            // Of what is in force, which is merged last, only text is as well as what is not.
            let mixed = if typed.data_type == Utf8 { mixed } else { mixed.min(Mixed::Json) };
            Typed { mixed, ..typed }.merge(&Null.into())
        });
        scalar.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(|item| Typed::from(List(Arc::new(item.into_field("item"))))),
                proptest::collection::btree_map("[abc]", inner, 0..3).prop_map(|fields| Typed::from(Struct(
                    fields.into_iter().map(|(name, typed)| typed.into_field(&name)).collect()
                ))),
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
        Typed { data_type: sort(&typed.data_type), ..typed.clone() }
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
