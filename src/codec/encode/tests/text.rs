//! Text files: exact text, and the same values read back by readers that share nothing with the writers.

use std::io::Read;

use serde_json::Value;

use super::*;

fn text(options: &EncodeOptions, batches: &[RecordBatch]) -> String {
    String::from_utf8(encode(options, batches, 2).unwrap()).unwrap()
}

fn columns(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

fn strings(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// A value of each kind that needs care.
fn kinds() -> RecordBatch {
    let decimal =
        |values: Vec<Option<i128>>| Arc::new(Decimal128Array::from(values).with_precision_and_scale(10, 3).unwrap());
    let inner = StructArray::try_from(vec![
        ("a", Arc::new(Int64Array::from(vec![Some(1), None, Some(3)])) as ArrayRef),
        ("b", strings(&[Some("x\"y"), None, Some("é")])),
    ])
    .unwrap();
    columns(vec![
        ("id", Arc::new(Int64Array::from(vec![Some(i64::MAX), Some(i64::MIN), None]))),
        ("big", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(0)]))),
        ("float", Arc::new(Float64Array::from(vec![Some(0.1), Some(f64::NAN), Some(f64::NEG_INFINITY)]))),
        ("small", Arc::new(Float32Array::from(vec![Some(0.1f32), None, Some(1e20)]))),
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("money", decimal(vec![Some(-1), Some(1_234_567), None])),
        ("day", Arc::new(Date32Array::from(vec![Some(19_753), None, Some(-1)]))),
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![Some(1), None, Some(-1)]).with_timezone("UTC"))),
        ("blob", Arc::new(BinaryArray::from_iter([Some(b"\x00\xff".as_slice()), None, Some(b"")]))),
        ("inner", Arc::new(inner)),
        (
            "list",
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([
                Some(vec![Some(1), None]),
                None,
                Some(vec![]),
            ])),
        ),
    ])
}

#[test]
fn csv_keeps_every_digit() {
    let expected = "\
id,big,float,small,flag,money,day,at,blob,inner,list
9223372036854775807,18446744073709551615,0.1,0.1,true,-0.001,2024-01-31,1970-01-01T00:00:00.000001Z,AP8=,\"{\"\"a\"\":1,\"\"b\"\":\"\"x\\\"\"y\"\"}\",\"[1,null]\"
-9223372036854775808,,NaN,,,1234.567,,,,\"{\"\"a\"\":null,\"\"b\"\":null}\",
,0,-Infinity,1e20,false,,1969-12-31,1969-12-31T23:59:59.999999Z,\"\",\"{\"\"a\"\":3,\"\"b\"\":\"\"é\"\"}\",[]
";
    assert_eq!(text(&options(OutputFormat::Csv), &[kinds()]), expected);
}

#[test]
fn jsonl_keeps_every_digit_and_every_column() {
    let expected = r#"{"id":9223372036854775807,"big":18446744073709551615,"float":0.1,"small":0.1,"flag":true,"money":-0.001,"day":"2024-01-31","at":"1970-01-01T00:00:00.000001Z","blob":"AP8=","inner":{"a":1,"b":"x\"y"},"list":[1,null]}
{"id":-9223372036854775808,"big":null,"float":null,"small":null,"flag":null,"money":1234.567,"day":null,"at":null,"blob":null,"inner":{"a":null,"b":null},"list":null}
{"id":null,"big":0,"float":null,"small":1e20,"flag":false,"money":null,"day":"1969-12-31","at":"1969-12-31T23:59:59.999999Z","blob":"","inner":{"a":3,"b":"é"},"list":[]}
"#;
    assert_eq!(text(&options(OutputFormat::Jsonl), &[kinds()]), expected);
}

#[test]
fn json_is_one_array_over_any_number_of_batches() {
    let one = columns(vec![("a", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)]);
    let expected = "[\n{\"a\":1},\n{\"a\":2},\n{\"a\":1},\n{\"a\":2}\n]\n";
    assert_eq!(text(&options(OutputFormat::Json), &[one.clone(), one]), expected);
}

#[test]
fn csv_tells_null_from_what_looks_like_it() {
    let batch = columns(vec![
        (
            "a",
            strings(&[
                Some(""),
                None,
                Some("NULL"),
                Some("a,b"),
                Some("a\tb"),
                Some("q\"q"),
                Some("l\nl"),
                Some("r\rr"),
                Some(" x "),
            ]),
        ),
        (
            "n",
            Arc::new(Int64Array::from(vec![
                Some(0),
                None,
                Some(-1),
                Some(4),
                Some(5),
                Some(6),
                Some(7),
                Some(8),
                Some(9),
            ])),
        ),
    ]);
    let check = |change: fn(&mut EncodeOptions), expected: &str| {
        let mut options = options(OutputFormat::Csv);
        options.csv.header = false;
        change(&mut options);
        assert_eq!(text(&options, std::slice::from_ref(&batch)), expected);
    };
    check(|_| (), "\"\",0\n,\nNULL,-1\n\"a,b\",4\na\tb,5\n\"q\"\"q\",6\n\"l\nl\",7\n\"r\rr\",8\n x ,9\n");
    check(
        |options| options.csv.null_value = "NULL".into(),
        ",0\nNULL,NULL\n\"NULL\",-1\n\"a,b\",4\na\tb,5\n\"q\"\"q\",6\n\"l\nl\",7\n\"r\rr\",8\n x ,9\n",
    );
    check(
        |options| options.format = OutputFormat::Tsv,
        "\"\"\t0\n\t\nNULL\t-1\na,b\t4\n\"a\tb\"\t5\n\"q\"\"q\"\t6\n\"l\nl\"\t7\n\"r\rr\"\t8\n x \t9\n",
    );
    // A number that looks like the null, or holds the delimiter, is quoted too.
    check(
        |options| {
            options.csv.null_value = "0".into();
            options.csv.delimiter = Some(b'-');
        },
        "-\"0\"\n0-0\nNULL-\"-1\"\na,b-4\na\tb-5\n\"q\"\"q\"-6\n\"l\nl\"-7\n\"r\rr\"-8\n x -9\n",
    );
}

#[test]
fn csv_without_quotes_refuses_what_would_need_them() {
    let mut options = options(OutputFormat::Csv);
    options.csv.quote = None;
    options.csv.null_value = "-".into();
    let fine = columns(vec![("a", strings(&[Some("x\"y"), None])), ("b,c", strings(&[Some(""), Some("z")]))]);
    assert_eq!(text(&options, &[fine]), "a,b,c\nx\"y,\n-,z\n");
    for bad in ["a,b", "a\nb", "-"] {
        let error = encode(&options, &[columns(vec![("a", strings(&[Some(bad)]))])], 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("column a has a value that needs quoting, and csv.quote is empty: {bad:?}; set csv.quote")
        );
    }
}

#[test]
fn headers_are_quoted_where_they_must_be() {
    let mut options = options(OutputFormat::Csv);
    let batch =
        columns(vec![("a,b", strings(&[Some("1")])), ("", strings(&[Some("2")])), ("c\"d", strings(&[Some("3")]))]);
    assert_eq!(text(&options, std::slice::from_ref(&batch)), "\"a,b\",\"\",\"c\"\"d\"\n1,2,3\n");
    options.csv.header = false;
    assert_eq!(text(&options, &[batch]), "1,2,3\n");
}

#[test]
fn other_layouts_of_the_same_values_give_the_same_text() {
    let values = [Some("x"), None, Some("y,z"), Some("x")];
    let as_text = |array: ArrayRef| {
        let ids = Arc::new(Int64Array::from_iter_values(1..=array.len() as i64));
        text(&options(OutputFormat::Csv), &[columns(vec![("id", ids), ("v", array)])])
    };
    let expected = as_text(strings(&values));
    assert_eq!(as_text(Arc::new(StringViewArray::from(values.to_vec()))), expected);
    assert_eq!(as_text(Arc::new(values.into_iter().collect::<DictionaryArray<Int8Type>>())), expected);
    let sliced = strings(&[None, Some("x"), None, Some("y,z"), Some("x"), None]).slice(1, 4);
    assert_eq!(as_text(sliced), expected);
    assert_eq!(as_text(Arc::new(NullArray::new(2))), "id,v\n1,\n2,\n");
}

/// Readers skip blank lines: a row that would be one is refused, whatever its type, unless null has a text.
#[test]
fn no_row_is_a_blank_line() {
    let of = |null: &str, quote: Option<u8>, format: OutputFormat| {
        let mut options = options(format);
        (options.csv.null_value, options.csv.quote) = (null.to_owned(), quote);
        options
    };
    let arrays: [ArrayRef; 4] = [
        strings(&[Some("x"), None]),
        Arc::new(Int64Array::from(vec![Some(1), None])),
        Arc::new(NullArray::new(2)),
        Arc::new([Some("x"), None].into_iter().collect::<DictionaryArray<Int8Type>>()),
    ];
    for array in arrays {
        let batch = || [columns(vec![("v", array.clone())])];
        for (quote, format) in
            [(Some(b'"'), OutputFormat::Csv), (None, OutputFormat::Csv), (Some(b'"'), OutputFormat::Tsv)]
        {
            let error = encode(&of("", quote, format), &batch(), 2).unwrap_err().to_string();
            assert!(
                error.contains("column v, the only one, is null") && error.contains("set destination.csv.nullValue"),
                "{error}"
            );
            let text = text(&of("NULL", quote, format), &batch());
            assert!(text.lines().all(|line| !line.is_empty()) && text.lines().count() == 3, "{text}");
        }
    }
    let empty: ArrayRef = Arc::new(BinaryArray::from_iter([Some(b"\xff".as_slice()), Some(b"")]));
    for (array, first) in [(strings(&[Some("x"), Some("")]), "x"), (empty, "/w==")] {
        let batch = [columns(vec![("v", array)])];
        for null in ["", "NULL"] {
            assert_eq!(text(&of(null, Some(b'"'), OutputFormat::Csv), &batch), format!("v\n{first}\n\"\"\n"));
            assert!(
                encode(&of(null, None, OutputFormat::Csv), &batch, 2)
                    .unwrap_err()
                    .to_string()
                    .contains("needs quoting")
            );
        }
    }
}

#[test]
fn maps_and_times_have_text() {
    let mut builder = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    builder.keys().append_value("k\"");
    builder.values().append_value(1);
    builder.keys().append_value("l");
    builder.values().append_null();
    builder.append(true).unwrap();
    let fixed = FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), Some(2)])], 2);
    let batch = columns(vec![
        ("m", Arc::new(builder.finish()) as ArrayRef),
        ("t", Arc::new(Time64NanosecondArray::from(vec![86_399_999_999_999]))),
        ("u", Arc::new(Time32MillisecondArray::from(vec![1]))),
        ("d", Arc::new(DurationSecondArray::from(vec![-5]))),
        ("f", Arc::new(fixed)),
    ]);
    let expected = "{\"m\":{\"k\\\"\":1,\"l\":null},\"t\":\"23:59:59.999999999\",\"u\":\"00:00:00.001000\",\"d\":-5,\"f\":[1,2]}\n";
    assert_eq!(text(&options(OutputFormat::Jsonl), &[batch]), expected);
}

#[test]
fn a_type_without_text_is_refused_by_its_column() {
    let schema = Arc::new(Schema::new(vec![Field::new("odd", DataType::Interval(IntervalUnit::DayTime), true)]));
    let error = FileEncoder::new(&options(OutputFormat::Jsonl), &schema).err().unwrap();
    assert!(error.to_string().starts_with("column odd is Interval(DayTime), which jsonl cannot hold"), "{error}");
}

/// Fields of a csv text, with whether each was quoted: a reader as simple as the grammar.
fn read_csv(text: &str) -> Vec<Vec<(String, bool)>> {
    let mut records = vec![];
    let (mut record, mut field, mut quoted, mut inside) = (vec![], String::new(), false, false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if inside && chars.peek() == Some(&'"') => field.push(chars.next().unwrap()),
            '"' => (inside, quoted) = (!inside, true),
            ',' if !inside => record.push((std::mem::take(&mut field), std::mem::take(&mut quoted))),
            '\n' if !inside => {
                record.push((std::mem::take(&mut field), std::mem::take(&mut quoted)));
                records.push(std::mem::take(&mut record));
            }
            c => field.push(c),
        }
    }
    records
}

fn decompress(codec: Compression, bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    match codec {
        Compression::None => text.extend_from_slice(bytes),
        Compression::Gzip => drop(flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut text).unwrap()),
        Compression::Zstd => zstd::stream::copy_decode(bytes, &mut text).unwrap(),
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn csv_reads_back_equal(batch in batch()) {
        let records = read_csv(&text(&options(OutputFormat::Csv), std::slice::from_ref(&batch)));
        prop_assert_eq!(records.len(), batch.num_rows() + 1);
        let (texts, longs) = (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Int64Type>());
        let floats = batch.column(2).as_primitive::<Float64Type>();
        let decimals = batch.column(5).as_primitive::<Decimal128Type>();
        for (row, record) in records[1..].iter().enumerate() {
            let value = |at: usize| {
                let (text, quoted) = &record[at];
                (*quoted || !text.is_empty()).then_some(text.as_str())
            };
            prop_assert_eq!(value(0), texts.is_valid(row).then(|| texts.value(row)));
            prop_assert_eq!(value(1).map(|text| text.parse().unwrap()), longs.is_valid(row).then(|| longs.value(row)));
            let float = value(2).map(|text| text.parse().unwrap());
            prop_assert_eq!(float, floats.is_valid(row).then(|| floats.value(row)));
            let decimal = value(5).map(|text| text.replace('.', "").parse().unwrap());
            prop_assert_eq!(decimal, decimals.is_valid(row).then(|| decimals.value(row)));
        }
    }

    #[test]
    fn json_reads_back_equal(batch in batch(), array in any::<bool>()) {
        let format = if array { OutputFormat::Json } else { OutputFormat::Jsonl };
        let text = text(&options(format), &[batch.clone(), batch.clone()]);
        let rows: Vec<Value> = if array {
            serde_json::from_str(&text).unwrap()
        } else {
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        prop_assert_eq!(rows.len(), batch.num_rows() * 2);
        let (texts, longs) = (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Int64Type>());
        let (lists, inner) = (batch.column(6).as_list::<i32>(), batch.column(7).as_struct());
        for (at, value) in rows.iter().enumerate() {
            let row = at % batch.num_rows();
            prop_assert_eq!(value["text"].as_str(), texts.is_valid(row).then(|| texts.value(row)));
            prop_assert_eq!(value["long"].as_i64(), longs.is_valid(row).then(|| longs.value(row)));
            prop_assert_eq!(&value["inner"]["y"], &value["text"]);
            prop_assert_eq!(inner.num_columns(), 2);
            prop_assert_eq!(value["list"].as_array().map(Vec::len), lists.is_valid(row).then(|| lists.value(row).len()));
        }
    }

    /// Compressed files are the plain one, compressed; threads and codecs change no byte of it.
    #[test]
    fn compression_and_threads_change_no_text(
        batch in batch(),
        count in 1usize..40,
        target_file_bytes in prop_oneof![Just(0u64), 1u64..100_000],
        format in prop_oneof![Just(OutputFormat::Csv), Just(OutputFormat::Jsonl), Just(OutputFormat::Json)],
        codec in prop_oneof![Just(Compression::Gzip), Just(Compression::Zstd)],
    ) {
        let batches = vec![batch; count];
        let mut plain = options(format);
        let expected = encode(&plain, &batches, 1).unwrap();
        plain.target_file_bytes = NonZeroU64::new(target_file_bytes);
        prop_assert_eq!(&encode(&plain, &batches, 2).unwrap(), &expected);
        let packed = EncodeOptions { compression: codec, ..plain };
        let one = encode(&packed, &batches, 1).unwrap();
        prop_assert_eq!(&one, &encode(&packed, &batches, 2).unwrap());
        prop_assert_eq!(decompress(codec, &one), expected);
    }
}

#[test]
fn large_texts_become_several_blocks_of_known_size() {
    let numbers: ArrayRef =
        Arc::new(Int64Array::from_iter_values((0..200_000).map(|n: i64| n.wrapping_mul(0x5851_f42d_4c95_7f2d))));
    let batch = columns(vec![("n", numbers)]);
    let mut options = options(OutputFormat::Csv);
    options.compression = Compression::Gzip;
    let mut encoder = FileEncoder::new(&options, &batch.schema()).unwrap();
    let mut out = Vec::new();
    for start in (0..200_000).step_by(8192) {
        encoder.write(&Rows::Batch(batch.slice(start, 8192.min(200_000 - start)))).unwrap();
    }
    finish(encoder, &mut out).unwrap();
    assert!(out.len() > 2, "{} blocks", out.len());
    assert!(out.iter().all(|block| block.starts_with(&[0x1f, 0x8b])), "each piece is a member");
    let plain = EncodeOptions { compression: Compression::None, ..options };
    assert_eq!(decompress(Compression::Gzip, &out.concat()), encode(&plain, &[batch], 1).unwrap());
}

/// Arrow's own writers print the same integers and decimals; floats in JSON, infinities and bytes are other texts, and
/// times in UTC are refused by name (they want an offset, or a time zone database).
#[test]
fn what_arrows_writers_print() {
    let arrow_csv = |batch: &RecordBatch| {
        let mut out = Vec::new();
        let written = ::arrow::csv::WriterBuilder::new().with_header(false).build(&mut out).write(batch);
        written.map(|()| String::from_utf8(out).unwrap().trim_end().to_owned())
    };
    let arrow_json = |batch: &RecordBatch| {
        let mut writer = ::arrow::json::LineDelimitedWriter::new(Vec::new());
        writer.write(batch)?;
        writer.finish()?;
        let line = String::from_utf8(writer.into_inner()).unwrap();
        Ok::<_, ::arrow_schema::ArrowError>(line.trim_end().replace("{\"v\":", "").replace('}', ""))
    };
    let instants = |zone: &str| TimestampMicrosecondArray::from(vec![1]).with_timezone(zone.to_owned());
    let decimal = Decimal128Array::from(vec![-1]).with_precision_and_scale(38, 3).unwrap();
    let values: [(ArrayRef, [&str; 4]); 13] = [
        (Arc::new(Int64Array::from(vec![i64::MIN])), ["-9223372036854775808"; 4]),
        (Arc::new(UInt64Array::from(vec![u64::MAX])), ["18446744073709551615"; 4]),
        (Arc::new(Float64Array::from(vec![1e20])), ["1e20", "1e20", "1e20", "1.0e20"]),
        (Arc::new(Float64Array::from(vec![0.1 + 0.2])), ["0.30000000000000004"; 4]),
        (Arc::new(Float64Array::from(vec![-0.0])), ["-0.0"; 4]),
        (Arc::new(Float64Array::from(vec![1e-7])), ["1e-7", "1e-7", "1e-7", "1.0e-7"]),
        (Arc::new(Float32Array::from(vec![0.1])), ["0.1"; 4]),
        (Arc::new(Float64Array::from(vec![f64::NAN])), ["NaN", "NaN", "null", "null"]),
        (Arc::new(Float64Array::from(vec![f64::NEG_INFINITY])), ["-Infinity", "-inf", "null", "null"]),
        (Arc::new(decimal), ["-0.001"; 4]),
        (Arc::new(BinaryArray::from_iter_values([[0, 0xff]])), ["AP8=", "00ff", "\"AP8=\"", "\"00ff\""]),
        (Arc::new(instants("+00:00")), [INSTANT, INSTANT, QUOTED, QUOTED]),
        (Arc::new(instants("UTC")), [INSTANT, "refused", QUOTED, "refused"]),
    ];
    const INSTANT: &str = "1970-01-01T00:00:00.000001Z";
    const QUOTED: &str = "\"1970-01-01T00:00:00.000001Z\"";
    let mut options = options(OutputFormat::Csv);
    options.csv.header = false;
    let jsonl = EncodeOptions { format: OutputFormat::Jsonl, ..options.clone() };
    let printed = values.iter().map(|(array, _)| {
        let batch = columns(vec![("v", Arc::clone(array))]);
        let json = text(&jsonl, std::slice::from_ref(&batch)).replace("{\"v\":", "").replace('}', "");
        let theirs = [arrow_csv(&batch), arrow_json(&batch)].map(|text| text.unwrap_or("refused".to_owned()));
        let [their_csv, their_json] = theirs;
        [text(&options, &[batch]).trim_end().to_owned(), their_csv, json.trim_end().to_owned(), their_json]
    });
    let expected: Vec<[String; 4]> = values.iter().map(|(_, expected)| expected.map(str::to_owned)).collect();
    assert_eq!(printed.collect::<Vec<_>>(), expected);
}
