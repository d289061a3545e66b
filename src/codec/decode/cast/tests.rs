//! One value, one cast, three formats: one answer.

use arrow::array::*;
use arrow::datatypes::*;

use super::*;
use crate::codec::decode::RecordDecoder;
use crate::codec::encode::value::{RAW, writer};
use crate::codec::{Block, Decoded};
use crate::model::format::TextFormat;
use crate::model::schema::{Column, Misfit, TableSchema};
use crate::model::settings::CsvReadSettings;

fn utc(unit: TimeUnit) -> DataType {
    DataType::Timestamp(unit, Some("UTC".into()))
}

/// The value of a row as the text formats write it; `None` for null.
fn shown(array: &ArrayRef, row: usize) -> Option<String> {
    let mut text = Vec::new();
    writer(array.as_ref(), &RAW)(row, &mut text);
    (!array.is_null(row)).then(|| String::from_utf8(text).unwrap())
}

/// What a record of one column `v` gives.
fn decoded(format: TextFormat, record: &str, target: &DataType) -> Option<String> {
    let table = TableSchema {
        columns: vec![Column { misfit: Misfit::BadRecord, ..Column::inferred("v", target.clone()) }],
        ..TableSchema::default()
    };
    let header = (format == TextFormat::CSV).then(|| ["v".to_owned()]);
    let header = header.as_ref().map(|header| &header[..]);
    let decoder = RecordDecoder::new(format, &CsvReadSettings::default(), header, Arc::new(table), &[], 10).unwrap();
    let Decoded { rows, bad, .. } = decoder
        .decode(&Block { bytes: format!("{record}\n").into(), offset: 0, line: 1, line_end: Default::default() })
        .unwrap();
    assert_eq!(rows.len() + bad.len(), 1, "{record:?} as {target}");
    rows.first().and_then(|rows| shown(rows.batch().column(0), 0))
}

fn declared(array: &ArrayRef, target: &DataType) -> ArrayRef {
    cast(array, target, Strictness::Declared).unwrap().array
}

/// The value in Parquet (an array of one), in csv and in JSON, cast to `target`: the text of what comes out, or `None`
/// for a bad record.
#[track_caller]
fn check(array: impl Array + 'static, csv: &str, json: &str, target: DataType, expected: Option<&str>) {
    let array: ArrayRef = Arc::new(array);
    let answers = [
        decoded(TextFormat::CSV, csv, &target),
        decoded(TextFormat::Jsonl, &format!("{{\"v\":{json}}}"), &target),
        shown(&declared(&array, &target), 0),
    ];
    let expected = expected.map(str::to_owned);
    assert_eq!(
        answers,
        [expected.clone(), expected.clone(), expected],
        "{csv} as {target} from csv, json and Parquet's {}",
        array.data_type()
    );
}

fn int(value: i64) -> Int64Array {
    Int64Array::from(vec![value])
}

fn float(value: f64) -> Float64Array {
    Float64Array::from(vec![value])
}

fn text(value: &str) -> StringArray {
    StringArray::from(vec![value])
}

fn dec(value: i128, precision: u8, scale: i8) -> Decimal128Array {
    Decimal128Array::from(vec![value]).with_precision_and_scale(precision, scale).unwrap()
}

fn micros(value: i64) -> TimestampMicrosecondArray {
    TimestampMicrosecondArray::from(vec![value]).with_timezone("UTC")
}

use DataType::{Binary, Boolean, Date32, Decimal128, Float32, Float64, Int8, Int32, Int64, UInt64, Utf8};
use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};

#[test]
fn numbers_keep_their_value_or_are_bad() {
    check(int(7), "7", "7", Int8, Some("7"));
    check(int(128), "128", "128", Int8, None);
    check(int(-1), "-1", "-1", UInt64, None);
    check(
        UInt64Array::from(vec![u64::MAX]),
        "18446744073709551615",
        "18446744073709551615",
        UInt64,
        Some("18446744073709551615"),
    );
    check(UInt64Array::from(vec![u64::MAX]), "18446744073709551615", "18446744073709551615", Int64, None);
    check(float(5.0), "5.0", "5.0", Int64, Some("5"));
    check(float(5.5), "5.5", "5.5", Int64, None);
    check(float(1e18), "1e18", "1e18", Int64, Some("1000000000000000000"));
    check(float(1e19), "1e19", "1e19", UInt64, Some("10000000000000000000"));
    check(float(1e300), "1e300", "1e300", Int64, None);
    check(float(-0.0), "-0.0", "-0.0", Int32, Some("0"));
    check(float(1e300), "1e300", "1e300", Float32, None);
    check(float(0.1), "0.1", "0.1", Float32, Some("0.1"));
    check(float(0.123456789), "0.123456789", "0.123456789", Float32, None);
    check(float(0.10000000149011612), "0.10000000149011612", "0.10000000149011612", Float32, Some("0.1"));
    check(float(1.5), "1.5", "1.5", Float64, Some("1.5"));
    check(int(16_777_217), "16777217", "16777217", Float32, None);
    check(int(1 << 30), "1073741824", "1073741824", Float32, Some("1073741800.0"));
    check(int(1 << 53), "9007199254740992", "9007199254740992", Float64, Some("9007199254740992.0"));
    check(
        UInt64Array::from(vec![1 << 63]),
        "9223372036854775808",
        "9223372036854775808",
        Float64,
        Some("9.223372036854776e18"),
    );
    check(UInt64Array::from(vec![1 << 63]), "9223372036854775808", "9223372036854775808", Float32, Some("9.223372e18"));
    check(UInt64Array::from(vec![(1 << 63) + 1]), "9223372036854775809", "9223372036854775809", Float64, None);
    check(dec(1 << 60, 38, 0), "1152921504606846976", "1152921504606846976", Float64, Some("1.152921504606847e18"));
    check(int(7), "7", "7", Decimal128(3, 2), Some("7.00"));
    check(int(70), "70", "70", Decimal128(3, 2), None);
    check(float(0.1), "0.1", "0.1", Decimal128(38, 20), Some("0.10000000000000000000"));
    check(float(1.005), "1.005", "1.005", Decimal128(10, 2), None);
    check(float(1e22), "1e22", "1e22", Decimal128(38, 2), Some("10000000000000000000000.00"));
    check(dec(150, 5, 2), "1.50", "1.50", Decimal128(5, 1), Some("1.5"));
    check(dec(155, 5, 2), "1.55", "1.55", Decimal128(5, 1), None);
    check(dec(99_999, 5, 0), "99999", "99999", Decimal128(4, 0), None);
    check(dec(500, 5, 2), "5.00", "5.00", Int8, Some("5"));
    check(dec(550, 5, 2), "5.50", "5.50", Int8, None);
    check(dec(150, 5, 2), "1.50", "1.50", Float64, Some("1.5"));
    check(dec(12_345_678, 8, 0), "12345678", "12345678", Float32, Some("12345678.0"));
}

#[test]
fn times_keep_their_value_or_are_bad() {
    check(micros(12_868_214), "1970-01-01T00:00:12.868214Z", "\"1970-01-01T00:00:12.868214Z\"", utc(Millisecond), None);
    check(
        micros(12_868_000),
        "1970-01-01T00:00:12.868000Z",
        "\"1970-01-01T00:00:12.868Z\"",
        utc(Millisecond),
        Some("1970-01-01T00:00:12.868000Z"),
    );
    let nanos = || TimestampNanosecondArray::from(vec![-1]).with_timezone("UTC");
    check(nanos(), "1969-12-31T23:59:59.999999999Z", "\"1969-12-31T23:59:59.999999999Z\"", utc(Microsecond), None);
    check(micros(1), "1970-01-01T00:00:00.000001Z", "\"1970-01-01T00:00:00.000001Z\"", utc(Second), None);
    check(micros(12_000_000), "1970-01-01T00:00:12Z", "\"1970-01-01T00:00:12Z\"", Date32, None);
    check(micros(86_400_000_000), "1970-01-02T00:00:00Z", "\"1970-01-02T00:00:00Z\"", Date32, Some("1970-01-02"));
    check(micros(-1), "1969-12-31T23:59:59.999999Z", "\"1969-12-31T23:59:59.999999Z\"", Date32, None);
    check(
        Date32Array::from(vec![-1]),
        "1969-12-31",
        "\"1969-12-31\"",
        utc(Second),
        Some("1969-12-31T00:00:00.000000Z"),
    );
    check(Date32Array::from(vec![200_000]), "2517-08-02", "\"2517-08-02\"", utc(Nanosecond), None);
    let local = || TimestampMicrosecondArray::from(vec![1_000_000]);
    check(
        local(),
        "1970-01-01T00:00:01",
        "\"1970-01-01T00:00:01\"",
        utc(Microsecond),
        Some("1970-01-01T00:00:01.000000Z"),
    );
    check(
        micros(1_000_000),
        "1970-01-01T00:00:01Z",
        "\"1970-01-01T00:00:01Z\"",
        DataType::Timestamp(Microsecond, None),
        None,
    );
    check(micros(1_000_000), "1970-01-01T00:00:01Z", "\"1970-01-01T00:00:01Z\"", Int64, None);
    check(Date32Array::from(vec![1]), "1970-01-02", "\"1970-01-02\"", Int32, None);
}

#[test]
fn a_whole_number_counts_a_timestamps_units() {
    let at = "2023-11-14T22:13:20.123000Z";
    check(int(1_700_000_000_123), "1700000000123", "1700000000123", utc(Millisecond), Some(at));
    check(int(1_700_000_000_123), "1700000000123", "\"1700000000123\"", utc(Millisecond), Some(at));
    check(UInt64Array::from(vec![u64::MAX]), "18446744073709551615", "18446744073709551615", utc(Second), None);
    check(float(1_700_000_000.5), "1700000000.5", "1700000000.5", utc(Microsecond), None);
    check(float(1_700_000_000.0), "1700000000.0", "1700000000.0", utc(Second), Some("2023-11-14T22:13:20.000000Z"));
    check(dec(1_700_000_000, 10, 0), "1700000000", "1700000000", utc(Second), Some("2023-11-14T22:13:20.000000Z"));
    check(int(19_000), "19000", "19000", Date32, None);
}

#[test]
fn a_value_of_another_kind_is_what_its_text_says() {
    check(int(1), "1", "1", Boolean, None);
    check(BooleanArray::from(vec![true]), "true", "true", Int64, None);
    check(BooleanArray::from(vec![true]), "true", "true", Utf8, Some("true"));
    check(BooleanArray::from(vec![true]), "true", "true", Boolean, Some("true"));
    check(text("TRUE"), "TRUE", "\"TRUE\"", Boolean, Some("true"));
    check(text("1"), "1", "\"1\"", Boolean, None);
    check(text("t"), "t", "\"t\"", Boolean, Some("true"));
    check(text("F"), "F", "\"F\"", Boolean, None);
    check(text("f"), "f", "\"f\"", Boolean, Some("false"));
    check(text(" 5"), " 5", "\" 5\"", Int64, None);
    check(text("+007"), "+007", "\"+007\"", Int64, Some("7"));
    check(text("5e0"), "5e0", "\"5e0\"", Int8, Some("5"));
    check(text("NaN"), "NaN", "\"NaN\"", Float64, None);
    check(text("2024-02-29"), "2024-02-29", "\"2024-02-29\"", Date32, Some("2024-02-29"));
    check(text("2024-02-29 00:00:00"), "2024-02-29 00:00:00", "\"2024-02-29 00:00:00\"", Date32, Some("2024-02-29"));
    check(
        text("1970-01-01T02:00:00+02:00"),
        "1970-01-01T02:00:00+02:00",
        "\"1970-01-01T02:00:00+02:00\"",
        Date32,
        Some("1970-01-01"),
    );
    check(text("AP8="), "AP8=", "\"AP8=\"", Binary, Some("AP8="));
    check(text("AP8"), "AP8", "\"AP8\"", Binary, None);
    check(text("1.50"), "1.50", "\"1.50\"", Decimal128(5, 2), Some("1.50"));
    check(int(-7), "-7", "-7", Utf8, Some("-7"));
    check(dec(150, 5, 2), "1.50", "1.50", Utf8, Some("1.50"));
}

/// Values of every type that Parquet objects have.
fn sources() -> Vec<ArrayRef> {
    let ints = [
        0,
        1,
        -1,
        7,
        127,
        128,
        -129,
        255,
        65_535,
        16_777_217,
        1 << 30,
        4_294_967_296,
        (1 << 53) + 1,
        1 << 60,
        i64::MAX,
        i64::MIN,
    ];
    let floats = [
        0.0,
        1.0,
        -1.0,
        0.1,
        0.5,
        2.5,
        1e15,
        1e18,
        0.123456789,
        123456789.125,
        1e20,
        0.3,
        1e-7,
        33_554_432.0,
        1e300,
        1.005,
    ];
    let seconds = [0, 1, -1, 86_400, -86_400, 1_704_604_143, 253_402_300_799, 253_402_300_800, -62_167_219_201];
    let wide: Vec<i128> = ints
        .iter()
        .map(|value| i128::from(*value))
        .chain([10i128.pow(37), -10i128.pow(20), 123_456_789_012_345_678])
        .collect();
    let int64: ArrayRef = Arc::new(Int64Array::from(ints.to_vec()));
    let narrowed = |to: &DataType| arrow::compute::cast(&int64, to).unwrap();
    let mut sources = vec![int64.clone()];
    sources.extend(
        [DataType::Int8, DataType::Int16, Int32, DataType::UInt8, DataType::UInt16, DataType::UInt32, UInt64]
            .map(|to| narrowed(&to)),
    );
    sources.push(Arc::new(Float64Array::from(floats.to_vec())));
    sources.push(Arc::new(Float32Array::from(vec![0.0, 1.0, -1.0, 0.5, 0.1, 2.5, 1e10, 16_777_216.0])));
    for scale in [0, 2, 18] {
        sources.push(Arc::new(Decimal128Array::from(wide.clone()).with_precision_and_scale(38, scale).unwrap()));
        let wider = Decimal256Array::from_iter_values(wide.iter().map(|value| i256::from_i128(*value)));
        sources.push(Arc::new(wider.with_precision_and_scale(76, scale).unwrap()));
    }
    for zone in [None, Some("UTC")] {
        sources.push(Arc::new(TimestampSecondArray::from(seconds.to_vec()).with_timezone_opt(zone)));
        let scaled = |factor: i64| {
            seconds.iter().flat_map(move |second| [second * factor, second * factor + 1]).collect::<Vec<_>>()
        };
        sources.push(Arc::new(TimestampMillisecondArray::from(scaled(1_000)).with_timezone_opt(zone)));
        sources.push(Arc::new(TimestampMicrosecondArray::from(scaled(1_000_000)).with_timezone_opt(zone)));
        let nanos = [0, 1, -1, 1_000, 1_000_000_000, i64::MAX, i64::MIN, 86_400_000_000_000];
        sources.push(Arc::new(TimestampNanosecondArray::from(nanos.to_vec()).with_timezone_opt(zone)));
    }
    sources.push(Arc::new(Date32Array::from(vec![
        0,
        1,
        -1,
        19_782,
        2_932_896,
        -719_528,
        2_932_897,
        -719_529,
        i32::MAX,
    ])));
    sources.push(Arc::new(Time32SecondArray::from(vec![0, 86_399])));
    sources.push(Arc::new(Time64NanosecondArray::from(vec![0, 1])));
    sources.push(Arc::new(BooleanArray::from(vec![true, false])));
    let with_null = |array: &ArrayRef| {
        arrow::compute::concat(&[array.as_ref(), new_null_array(array.data_type(), 1).as_ref()]).unwrap()
    };
    sources.iter().map(with_null).collect()
}

fn targets() -> Vec<DataType> {
    use DataType::*;
    let decimals = [Decimal128(38, 0), Decimal128(5, 2), Decimal128(38, 20), Decimal256(76, 18), Decimal256(76, 30)];
    let mut targets =
        vec![Boolean, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64, Float32, Float64, Date32, Utf8];
    targets.extend(decimals);
    targets.extend([Second, Millisecond, Microsecond, Nanosecond].map(utc));
    targets
}

/// What has a shortcut gives what the way over text gives.
#[test]
fn every_cast_is_that_of_the_values_text() {
    for source in sources() {
        for target in targets() {
            // float32 widens to what is equal to it, not to what its text says.
            if (source.data_type(), &target) == (&Float32, &Float64) {
                continue;
            }
            let got = declared(&source, &target);
            assert_eq!(got.data_type(), &target);
            let over_text = text::read(text::of_values(&source).as_string(), &target);
            for row in 0..source.len() {
                let value = shown(&source, row);
                assert_eq!(shown(&got, row), shown(&over_text, row), "{value:?} of {} as {target}", source.data_type());
            }
        }
    }
}

/// What is kept by the stricter rule is kept by the other one too, and comes back equal.
#[test]
fn the_same_value_comes_back() {
    for source in sources() {
        for target in targets().into_iter().filter(|target| *target != Utf8) {
            let same = cast(&source, &target, Strictness::Same).unwrap().array;
            let back = cast(&same, source.data_type(), Strictness::Same).unwrap().array;
            let declared = declared(&source, &target);
            for row in (0..source.len()).filter(|row| !same.is_null(*row)) {
                let value = shown(&source, row);
                assert_eq!(shown(&back, row), value, "{} by way of {target}", source.data_type());
                assert_eq!(shown(&same, row), shown(&declared, row), "{value:?} of {} as {target}", source.data_type());
            }
        }
    }
}

#[test]
fn floats_keep_what_is_no_number() {
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]));
    let texts = |array: &ArrayRef| (0..3).map(|row| shown(array, row)).collect::<Vec<_>>();
    assert_eq!(texts(&declared(&floats, &Float32)), texts(&floats));
    assert_eq!(declared(&floats, &Int64).null_count(), 3);
    assert_eq!(declared(&floats, &Decimal128(38, 2)).null_count(), 3);
}
