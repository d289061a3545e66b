//! Objects and values that a table's schema does not hold.

use arrow::array::*;
use arrow::datatypes::*;
use arrow_schema::{DataType, TimeUnit};

use super::*;
use crate::model::schema::{Column, Misfit, Unknown, merge};

fn utc(unit: TimeUnit) -> DataType {
    DataType::Timestamp(unit, Some("UTC".into()))
}

fn table(columns: Vec<Column>) -> TableSchema {
    TableSchema { columns, ..TableSchema::default() }
}

fn one(data_type: DataType, misfit: Misfit) -> TableSchema {
    table(vec![Column { misfit, ..Column::inferred("x", data_type) }])
}

#[track_caller]
fn widened(array: impl Array + 'static, expected: impl Array + 'static) {
    let object = object(vec![("x", Arc::new(array) as ArrayRef)], plainly());
    let all = read(&object, &one(expected.data_type().clone(), Misfit::Widen)).unwrap();
    let rows = all.rows.unwrap_or_else(|| panic!("a mismatch: {:?}", all.decoded));
    assert_eq!(rows.column(0).as_ref(), &expected as &dyn Array);
}

#[test]
fn lossless_casts_are_no_mismatch() {
    widened(Int32Array::from(vec![Some(7), None]), Int64Array::from(vec![Some(7), None]));
    widened(Int32Array::from(vec![Some(7), None]), Float64Array::from(vec![Some(7.0), None]));
    widened(Int64Array::from(vec![Some(1 << 53), None]), Float64Array::from(vec![Some(9_007_199_254_740_992.0), None]));
    widened(Float32Array::from(vec![Some(1.5), Some(f32::NAN)]), Float64Array::from(vec![Some(1.5), Some(f64::NAN)]));
    widened(UInt32Array::from(vec![u32::MAX]), Int64Array::from(vec![i64::from(u32::MAX)]));
    widened(
        Decimal128Array::from(vec![150]).with_precision_and_scale(5, 2).unwrap(),
        Decimal128Array::from(vec![1500]).with_precision_and_scale(12, 3).unwrap(),
    );
    widened(Date32Array::from(vec![1]), TimestampMicrosecondArray::from(vec![86_400_000_000]).with_timezone("UTC"));
    widened(
        TimestampMillisecondArray::from(vec![-1]).with_timezone("UTC"),
        TimestampNanosecondArray::from(vec![-1_000_000]).with_timezone("UTC"),
    );
    widened(NullArray::new(2), Int64Array::from(vec![None, None]));
    widened(Int64Array::from(vec![Some(-7), None]), StringArray::from(vec![Some("-7"), None]));
    widened(BooleanArray::from(vec![true]), StringArray::from(vec!["true"]));
    widened(BinaryArray::from_vec(vec!["täxt".as_bytes(), b""]), StringArray::from(vec!["täxt", ""]));
    widened(
        TimestampMillisecondArray::from(vec![1]).with_timezone("UTC"),
        StringArray::from(vec!["1970-01-01T00:00:00.001000Z"]),
    );
    let structure = StructArray::from(vec![(
        Arc::new(Field::new("a", DataType::Int32, true)),
        Arc::new(Int32Array::from(vec![Some(1), None])) as ArrayRef,
    )]);
    widened(structure.clone(), StringArray::from(vec![r#"{"a":1}"#, r#"{"a":null}"#]));
    let wider = StructArray::from(vec![
        (
            Arc::new(Field::new("b", DataType::Utf8, true)),
            Arc::new(StringArray::from(vec![None::<&str>, None])) as ArrayRef,
        ),
        (Arc::new(Field::new("a", DataType::Int64, true)), Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef),
    ]);
    widened(structure, wider);
}

/// What a mismatch makes of the table holds the object, and tells nothing new.
#[track_caller]
fn mismatched(array: impl Array + 'static, in_force: DataType, expected: DataType) {
    let object = object(vec![("x", Arc::new(array) as ArrayRef)], plainly());
    let before = one(in_force, Misfit::Widen);
    let all = read(&object, &before).unwrap();
    assert_eq!(all.decoded.len(), 1);
    let mismatch = all.decoded[0].mismatch.as_ref().expect("a mismatch");
    assert!(all.rows.is_none());
    let after = merge(&before, mismatch);
    assert_eq!(after.columns[0].data_type, expected);
    let again = read(&object, &after).unwrap();
    assert!(again.decoded.iter().all(|decoded| decoded.mismatch.is_none()));
    assert!(again.rows.is_some());
}

#[test]
fn what_does_not_fit_mismatches_once() {
    mismatched(Int64Array::from(vec![1]), DataType::Int32, DataType::Int64);
    mismatched(Int64Array::from(vec![1]), DataType::Null, DataType::Int64);
    mismatched(StringArray::from(vec!["1"]), DataType::Int64, DataType::Utf8);
    mismatched(UInt64Array::from(vec![u64::MAX]), DataType::Int64, DataType::Decimal128(20, 0));
    mismatched(Int64Array::from(vec![(1 << 53) + 1]), DataType::Float64, DataType::Utf8);
    mismatched(Date32Array::from(vec![i32::MAX]), utc(TimeUnit::Nanosecond), DataType::Utf8);
    let wide = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some(vec![Some((1 << 53) + 1)])]);
    mismatched(wide, list(DataType::Float64), list(DataType::Utf8));
}

#[test]
fn an_unknown_column_mismatches_unless_it_is_dropped_or_ignored() {
    let object = object(
        vec![
            ("x", Arc::new(Int64Array::from(vec![1])) as ArrayRef),
            ("y", Arc::new(StringArray::from(vec!["a"])) as ArrayRef),
        ],
        plainly(),
    );
    let metadata = footer(&object).unwrap();
    let known = one(DataType::Int64, Misfit::Widen);
    let mismatch = read(&object, &known).unwrap().decoded[0].mismatch.clone().unwrap();
    let names: Vec<&str> = mismatch.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["x", "y"]);
    assert!(read_from(object.clone(), metadata, &known, &["y"], 10).unwrap().rows.is_some());
    assert!(read(&object, &TableSchema { unknown: Unknown::Ignore, ..known }).unwrap().rows.is_some());
}

/// pandas writes an empty frame with columns of null, float or text, whatever they are elsewhere.
#[test]
fn an_object_without_rows_constrains_nothing() {
    for array in [
        Arc::new(NullArray::new(0)) as ArrayRef,
        Arc::new(StringArray::new_null(0)),
        Arc::new(Float64Array::new_null(0)),
    ] {
        let object = object(vec![("x", array.clone()), ("more", array)], plainly());
        assert!(schema(&footer(&object).unwrap()).unwrap().columns.is_empty());
        for misfit in [Misfit::Widen, Misfit::Rescue, Misfit::BadRecord] {
            let all = read(&object, &one(DataType::Int64, misfit)).unwrap();
            assert!(
                all.decoded.iter().all(|decoded| decoded.mismatch.is_none() && decoded.records == 0),
                "{:?}",
                all.decoded
            );
        }
    }
}

#[test]
fn a_table_names_columns_by_its_rules() {
    let object = object(vec![("x", Arc::new(Int64Array::from(vec![1])) as ArrayRef)], plainly());
    let renamed = Column { name: "first".into(), ..Column::inferred("x", DataType::Int64) };
    let all = read(&object, &table(vec![Column::inferred("new", DataType::Null), renamed])).unwrap().rows.unwrap();
    let expected = RecordBatch::try_from_iter_with_nullable(vec![
        ("new", Arc::new(NullArray::new(1)) as ArrayRef, true),
        ("first", Arc::new(Int64Array::from(vec![1])) as ArrayRef, true),
    ]);
    assert_eq!(all, expected.unwrap());
}

/// Rows that remain, and the ordinals of bad ones with their reasons.
#[track_caller]
fn declared(array: impl Array + 'static, expected: impl Array + 'static, bad: &[(u64, &str)]) {
    let object = object(vec![("x", Arc::new(array) as ArrayRef)], plainly());
    let all = read(&object, &one(expected.data_type().clone(), Misfit::BadRecord)).unwrap();
    let got: Vec<(u64, &str)> =
        all.decoded.iter().flat_map(|decoded| &decoded.bad).map(|bad| (bad.record, bad.reason.as_str())).collect();
    assert_eq!(got, bad);
    match all.rows {
        Some(rows) => assert_eq!(rows.column(0).as_ref(), &expected as &dyn Array),
        None => assert_eq!(expected.len(), 0),
    }
}

#[test]
fn a_declared_type_takes_what_it_can_and_the_rest_is_bad() {
    declared(
        StringArray::from(vec![Some("7"), Some("seven"), None, Some("")]),
        Int64Array::from(vec![Some(7), None]),
        &[
            (1, "row 1 of row group 0: column x: \"seven\" is not int64"),
            (3, "row 3 of row group 0: column x: \"\" is not int64"),
        ],
    );
    declared(
        Float64Array::from(vec![2.0, 2.5, f64::NAN, 1e300]),
        Int32Array::from(vec![2]),
        &[
            (1, "row 1 of row group 0: column x: 2.5 is not int32"),
            (2, "row 2 of row group 0: column x: \"NaN\" is not int32"),
            (3, "row 3 of row group 0: column x: 1e300 is not int32"),
        ],
    );
    declared(
        Decimal128Array::from(vec![1250, 1200]).with_precision_and_scale(6, 3).unwrap(),
        Decimal128Array::from(vec![12]).with_precision_and_scale(6, 1).unwrap(),
        &[(0, "row 0 of row group 0: column x: 1.250 is not decimal(6,1)")],
    );
    declared(Int64Array::from(vec![7]), StringArray::from(vec!["7"]), &[]);
    declared(
        StringArray::from(vec!["2024-01-07T05:09:03Z", "soon", "1970-01-01T02:00:00+02:00"]),
        TimestampSecondArray::from(vec![1_704_604_143, 0]).with_timezone("UTC"),
        &[(1, "row 1 of row group 0: column x: \"soon\" is not timestamp(s)")],
    );
    declared(
        TimestampSecondArray::from(vec![86_399, 86_400]).with_timezone("UTC"),
        Date32Array::from(vec![1]),
        &[(0, "row 0 of row group 0: column x: \"1970-01-01T23:59:59.000000Z\" is not date32")],
    );
    declared(
        Int64Array::from(vec![(1 << 53) + 1, 1 << 53]),
        Float64Array::from(vec![9_007_199_254_740_992.0]),
        &[(0, "row 0 of row group 0: column x: 9007199254740993 is not float64")],
    );
    declared(BinaryArray::from_vec(vec![b"abc"]), StringArray::from(vec!["abc"]), &[]);
    declared(
        TimestampMicrosecondArray::from(vec![1_999_999, 2_000_000]).with_timezone("UTC"),
        TimestampSecondArray::from(vec![2]).with_timezone("UTC"),
        &[(0, "row 0 of row group 0: column x: \"1970-01-01T00:00:01.999999Z\" is not timestamp(s)")],
    );
    declared(
        ListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some(vec![Some(1)]), None]),
        Int64Array::from(vec![None]),
        &[(0, "row 0 of row group 0: column x: [1] is not int64")],
    );
}

#[test]
fn a_bad_row_leaves_with_all_its_columns() {
    let object = object(
        vec![
            ("x", Arc::new(StringArray::from(vec!["1", "b\"ad", "3"])) as ArrayRef),
            ("y", Arc::new(StringArray::from(vec!["a", "b", "c"])) as ArrayRef),
        ],
        plainly(),
    );
    let table = table(vec![
        Column { misfit: Misfit::BadRecord, ..Column::inferred("x", DataType::Int64) },
        Column::inferred("y", DataType::Utf8),
    ]);
    let all = read(&object, &table).unwrap();
    assert_eq!(all.decoded[0].records, 3);
    assert_eq!(all.decoded[0].bad[0].raw, r#"{"x":"b\"ad"}"#);
    assert_eq!(all.decoded[0].bad[0].position.offset, 4);
    assert_eq!(all.rows.unwrap().column(1).as_ref(), &StringArray::from(vec!["a", "c"]));
}

/// What is read of one column under `Rescue`, and the rescued values.
#[track_caller]
fn rescued(array: impl Array + 'static, expected: impl Array + 'static, texts: &[Option<&str>]) {
    let object = object(vec![("x", Arc::new(array) as ArrayRef)], plainly());
    let table = TableSchema { rescued: true, ..one(expected.data_type().clone(), Misfit::Rescue) };
    let rows = read(&object, &table).unwrap().rows.unwrap();
    assert_eq!(rows.column(0).as_ref(), &expected as &dyn Array);
    assert_eq!(rows.column(1).as_ref(), &StringArray::from(texts.to_vec()));
}

/// Every value is in its column as it was, or in the rescued one with all its digits.
#[test]
fn what_is_rescued_is_not_cut() {
    let nanos =
        || TimestampNanosecondArray::from(vec![Some(1_704_604_143_042_000_009), Some(1_704_604_143_042_000_000), None]);
    rescued(
        nanos().with_timezone("UTC"),
        TimestampMicrosecondArray::from(vec![None, Some(1_704_604_143_042_000), None]).with_timezone("UTC"),
        &[Some(r#"{"x":"2024-01-07T05:09:03.042000009Z"}"#), None, None],
    );
    rescued(
        TimestampMicrosecondArray::from(vec![1_500, 2_000]),
        TimestampMillisecondArray::from(vec![None, Some(2)]),
        &[Some(r#"{"x":"1970-01-01T00:00:00.001500"}"#), None],
    );
    rescued(
        TimestampMicrosecondArray::from(vec![1, 86_400_000_000]),
        Date32Array::from(vec![None, Some(1)]),
        &[Some(r#"{"x":"1970-01-01T00:00:00.000001"}"#), None],
    );
    rescued(
        TimestampMicrosecondArray::from(vec![1]),
        TimestampMicrosecondArray::from(vec![None]).with_timezone("UTC"),
        &[Some(r#"{"x":"1970-01-01T00:00:00.000001"}"#)],
    );
    rescued(
        Decimal128Array::from(vec![12_345_678_901_234_567_891, 150]).with_precision_and_scale(20, 2).unwrap(),
        Float64Array::from(vec![None, Some(1.5)]),
        &[Some(r#"{"x":123456789012345678.91}"#), None],
    );
    rescued(
        StringArray::from(vec!["007", "7"]),
        Int64Array::from(vec![None, None]),
        &[Some(r#"{"x":"007"}"#), Some(r#"{"x":"7"}"#)],
    );
    rescued(Int64Array::from(vec![1]), BooleanArray::from(vec![None]), &[Some(r#"{"x":1}"#)]);
    rescued(BooleanArray::from(vec![true]), Int64Array::from(vec![None]), &[Some(r#"{"x":true}"#)]);
    rescued(
        Float64Array::from(vec![1.0, 2.5, f64::NAN, f64::NEG_INFINITY, -0.0]),
        Int64Array::from(vec![Some(1), None, None, None, None]),
        &[None, Some(r#"{"x":2.5}"#), Some(r#"{"x":"NaN"}"#), Some(r#"{"x":"-Infinity"}"#), Some(r#"{"x":-0.0}"#)],
    );
    rescued(
        Float64Array::from(vec![0.5, 0.1]),
        Float32Array::from(vec![Some(0.5), None]),
        &[None, Some(r#"{"x":0.1}"#)],
    );
    rescued(
        Int64Array::from(vec![1_700_000_000]),
        TimestampSecondArray::from(vec![None]),
        &[Some(r#"{"x":1700000000}"#)],
    );
    rescued(BinaryArray::from_vec(vec![b"abc"]), Int64Array::from(vec![None]), &[Some(r#"{"x":"YWJj"}"#)]);
    rescued(StringArray::from(vec!["YWJj"]), BinaryArray::from_opt_vec(vec![None]), &[Some(r#"{"x":"YWJj"}"#)]);
    rescued(
        Time64NanosecondArray::from(vec![1, 2_000]),
        Time64MicrosecondArray::from(vec![None, Some(2)]),
        &[Some(r#"{"x":"00:00:00.000000001"}"#), None],
    );
}

#[test]
fn nested_values_are_rescued_whole() {
    rescued(
        ListArray::from_iter_primitive::<TimestampNanosecondType, _, _>(vec![
            Some(vec![Some(1_000)]),
            Some(vec![Some(1_000), Some(1)]),
        ]),
        ListArray::from_iter_primitive::<TimestampMicrosecondType, _, _>(vec![Some(vec![Some(1)]), None]),
        &[None, Some(r#"{"x":["1970-01-01T00:00:00.000001000","1970-01-01T00:00:00.000000001"]}"#)],
    );
    let field = |name: &str, array: ArrayRef| (Arc::new(Field::new(name, array.data_type().clone(), true)), array);
    let numbers = |numbers: Vec<Option<i64>>| Arc::new(Int64Array::from(numbers)) as ArrayRef;
    let texts = |texts: Vec<Option<&str>>| Arc::new(StringArray::from(texts)) as ArrayRef;
    let of = |fields: Vec<(Arc<Field>, ArrayRef)>, valid: Vec<bool>| {
        let (fields, arrays): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
        StructArray::new(fields.into(), arrays, Some(valid.into()))
    };
    // A field that the column has no place for, beside one of another type: null there is nothing that is lost.
    rescued(
        of(
            vec![field("a", texts(vec![None, Some("1"), None])), field("b", numbers(vec![None, None, Some(2)]))],
            vec![true; 3],
        ),
        of(vec![field("a", numbers(vec![None; 3]))], vec![true, false, false]),
        &[None, Some(r#"{"x":{"a":"1","b":null}}"#), Some(r#"{"x":{"a":null,"b":2}}"#)],
    );
    let map = |keys: Vec<&str>| {
        let mut builder = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
        for key in keys {
            builder.keys().append_value(key);
            builder.values().append_value(1);
            builder.append(true).unwrap();
        }
        builder.finish()
    };
    let keyed = DataType::Map(
        Arc::new(Field::new(
            "entries",
            DataType::Struct(
                vec![Field::new("key", DataType::Int64, false), Field::new("value", DataType::Int64, true)].into(),
            ),
            false,
        )),
        false,
    );
    let expected = new_null_array(&keyed, 1);
    let object = object(vec![("x", Arc::new(map(vec!["k"])) as ArrayRef)], plainly());
    let rows = read(&object, &TableSchema { rescued: true, ..one(keyed, Misfit::Rescue) }).unwrap().rows.unwrap();
    assert_eq!(rows.column(0), &expected);
    assert_eq!(rows.column(1).as_ref(), &StringArray::from(vec![r#"{"x":{"k":1}}"#]));
}

#[test]
fn the_values_of_a_row_are_rescued_together() {
    let object = object(
        vec![
            ("x", Arc::new(StringArray::from(vec![Some("1"), Some("two"), None])) as ArrayRef),
            ("y", Arc::new(Float64Array::from(vec![1.0, 2.5, 3.0])) as ArrayRef),
        ],
        plainly(),
    );
    let rescue = |name: &str| Column { misfit: Misfit::Rescue, ..Column::inferred(name, DataType::Int64) };
    let table = TableSchema { rescued: true, ..table(vec![rescue("x"), rescue("y")]) };
    let all = read(&object, &table).unwrap().rows.unwrap();
    assert_eq!(all.column(0).as_ref(), &Int64Array::from(vec![None, None, None]));
    assert_eq!(all.column(1).as_ref(), &Int64Array::from(vec![Some(1), None, Some(3)]));
    assert_eq!(
        all.column(2).as_ref(),
        &StringArray::from(vec![Some(r#"{"x":"1"}"#), Some(r#"{"x":"two","y":2.5}"#), None])
    );
}

#[test]
fn a_nested_value_is_rescued_whole() {
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
        Some(vec![Some(1), Some((1 << 53) + 1)]),
        Some(vec![Some(2)]),
    ]);
    let object = object(vec![("x", Arc::new(lists) as ArrayRef)], plainly());
    let table = TableSchema { rescued: true, ..one(list(DataType::Float64), Misfit::Rescue) };
    let all = read(&object, &table).unwrap().rows.unwrap();
    let expected = ListArray::from_iter_primitive::<Float64Type, _, _>(vec![None, Some(vec![Some(2.0)])]);
    assert_eq!(all.column(0).as_ref(), &expected);
    assert_eq!(all.column(1).as_ref(), &StringArray::from(vec![Some(r#"{"x":[1,9007199254740993]}"#), None]));
}
