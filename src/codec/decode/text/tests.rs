use super::*;
use proptest::prelude::*;

fn options(format: Format) -> TextOptions {
    TextOptions {
        format,
        csv: CsvReadSettings::default(),
        compression: CompressionRule::Auto,
        slice: None,
        block_bytes: 8,
        record_bytes_max: 1000,
        zstd_window_max: 8 << 20,
    }
}

#[derive(Debug, PartialEq)]
struct Read {
    header: Option<Vec<String>>,
    /// Text, offset, line.
    blocks: Vec<(String, u64, u64)>,
}

fn read(options: &TextOptions, object: &[u8], step: usize) -> Result<Read, String> {
    let mut reader = TextReader::new(options.clone()).map_err(|error| error.to_string())?;
    let mut pieces = object[options.first_byte() as usize..].chunks(step.max(1)).map(Bytes::copy_from_slice);
    let mut blocks = Vec::new();
    loop {
        match reader.next().map_err(|error| error.to_string())? {
            Step::NeedsData => match pieces.next() {
                Some(piece) => reader.feed(piece),
                None => reader.end(),
            },
            Step::Block(block) => {
                blocks.push((String::from_utf8_lossy(&block.bytes).into_owned(), block.offset, block.line));
            }
            Step::Finished => {
                return Ok(Read { header: reader.header().map(<[String]>::to_vec), blocks });
            }
        }
    }
}

fn check(options: &TextOptions, object: &[u8], header: Option<&[&str]>, blocks: &[(&str, u64, u64)]) {
    for step in [1, 2, 3, 5, 8, 13, 10_000] {
        let expected = Read {
            header: header.map(|names| names.iter().map(|&name| name.to_owned()).collect()),
            blocks: blocks.iter().map(|(text, offset, line)| ((*text).to_owned(), *offset, *line)).collect(),
        };
        assert_eq!(read(options, object, step), Ok(expected), "in steps of {step}");
    }
}

fn check_error(options: &TextOptions, object: &[u8], expected: &str) {
    for step in [1, 3, 10_000] {
        assert_eq!(read(options, object, step), Err(expected.to_owned()), "in steps of {step}");
    }
}

#[test]
fn csv_has_a_header_and_blocks_of_whole_records() {
    check(
        &options(Format::Csv),
        b"id,name\n1,aaa\n2,b\n3,\"c\nc\"\n4,d",
        Some(&["id", "name"]),
        &[("1,aaa\n2,b\n", 8, 2), ("3,\"c\nc\"\n", 18, 4), ("4,d", 26, 6)],
    );
    check(&options(Format::Csv), b"\xef\xbb\xbfa\n1\n", Some(&["a"]), &[("1\n", 5, 2)]);
    check(&options(Format::Csv), b"a,b\n", Some(&["a", "b"]), &[]);
    check(&options(Format::Csv), b"", None, &[]);
    check(&options(Format::Csv), b"\n\r\na,\"b\nc\",,a\n", Some(&["a", "b\nc", "column_3", "a_1"]), &[]);
    check(&options(Format::Tsv), b"a\tb\n1\t2\n", Some(&["a", "b"]), &[("1\t2\n", 4, 2)]);
}

#[test]
fn csv_options_come_before_the_header() {
    let mut of = options(Format::Csv);
    of.csv.skip_rows = 2;
    of.csv.comment = Some(b'#');
    check(&of, b"junk \"\nmore\n#c\nid\n1\n", Some(&["id"]), &[("1\n", 18, 5)]);
    of.csv.header = false;
    check(&of, b"junk\nmore\n#c,\n1,2\n", Some(&["column_1", "column_2"]), &[("#c,\n1,2\n", 10, 3)]);
    check(&of, b"junk", None, &[]);
}

#[test]
fn names_of_columns_are_distinct() {
    let of = options(Format::Csv);
    check(&of, b"a,a,a_1,a,b\n", Some(&["a", "a_2", "a_1", "a_3", "b"]), &[]);
}

#[test]
fn other_encodings_are_read() {
    let mut of = options(Format::Csv);
    of.csv.encoding = Encoding::Utf16;
    let text: Vec<u8> = "\u{feff}é\n1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    check(&of, &text, Some(&["é"]), &[("1\n", 3, 2)]);
    of.csv.encoding = Encoding::Latin1;
    check(&of, b"\xe9\n\xe8\n", Some(&["é"]), &[("è\n", 2, 2)]);
}

#[test]
fn compression_is_told_by_the_bytes() {
    let plain = b"a\n1\n";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, plain).expect("to memory");
    let gzip = gzip.finish().expect("to memory");
    let zstd = zstd::encode_all(&plain[..], 1).expect("to memory");
    for object in [&plain[..], &gzip, &zstd] {
        check(&options(Format::Csv), object, Some(&["a"]), &[("1\n", 2, 2)]);
    }
    check_error(&options(Format::Csv), &gzip[..gzip.len() - 3], "gzip stream ends early");
    let sliced = TextOptions { slice: Some(Slice::Bytes { start: 0, end: 10 }), ..options(Format::Jsonl) };
    check_error(&sliced, &gzip, "the object is compressed, which its key does not say; set source.compression");
}

#[test]
fn a_quote_that_never_closes_is_named_by_its_line() {
    check_error(&options(Format::Csv), b"a\n1\n2\n\"3\n4\n", "the quote that opens on line 4 never closes");
    let long = format!("a\n1\n\"{}", "x\n".repeat(2000));
    let error = read(&options(Format::Csv), long.as_bytes(), 100).expect_err("too long");
    assert!(error.starts_with("one record, whose quote opens on line 3 and may never close, needs "), "{error}");
    let error = read(&options(Format::Jsonl), &[b'x'; 3000], 100).expect_err("too long");
    assert!(error.starts_with("one record needs "), "{error}");
}

#[test]
fn json_is_cut_between_values() {
    check(&options(Format::Json), b"[{\"a\":1},\n {\"a\":[2,3]}, {}]\n", None, &[("{\"a\":1},\n {\"a\":[2,3]}", 1, 1), (", {}]\n", 22, 2)]);
    check(&options(Format::Json), b"{\"a\":\n1}\n{}", None, &[("{\"a\":\n1}", 0, 1), ("\n{}", 8, 2)]);
    check(&options(Format::Json), b"", None, &[]);
    check_error(&options(Format::Json), b"[{\"a\":1}", "the text ends inside its array");
    check_error(&options(Format::Json), b"[{} {}]", "'{' stands where a comma or the end of the array was expected");
}

#[test]
fn slices_share_the_records_out() {
    let object = b"{\"a\":1}\n{\"a\":22}\n\n{\"a\":333}\n{}";
    for first in 0..=object.len() as u64 {
        for second in first..=object.len() as u64 {
            let bounds = [(0, first), (first, second), (second, u64::MAX)];
            let mut text = String::new();
            for (start, end) in bounds {
                let of = TextOptions { slice: Some(Slice::Bytes { start, end }), ..options(Format::Jsonl) };
                let read = read(&of, object, 3).expect("valid");
                for (block, offset, _) in read.blocks {
                    assert!((start..end).contains(&offset), "{offset} in {start}..{end}");
                    text += &block;
                }
            }
            assert_eq!(text.as_bytes(), object, "cut at {first} and {second}");
        }
    }
}

#[test]
fn latin_1_is_sliced_by_its_own_bytes() {
    let mut of = options(Format::Csv);
    of.csv.encoding = Encoding::Latin1;
    of.csv.quote = None;
    let object = b"a\n\xe9\xe9\xe9\n\xe8\n";
    let sliced = |start, end| TextOptions { slice: Some(Slice::Bytes { start, end }), ..of.clone() };
    check(&sliced(0, 3), object, Some(&["a"]), &[("ééé\n", 2, 2)]);
    check(&sliced(3, 8), object, None, &[("è\n", 6, 0)]);
}

#[test]
fn a_slice_is_finished_behind_its_end() {
    let of = TextOptions { slice: Some(Slice::Bytes { start: 4, end: 6 }), ..options(Format::Csv) };
    assert_eq!(of.first_byte(), 3);
    let mut reader = TextReader::new(of).expect("options");
    assert_eq!(reader.next(), Ok(Step::NeedsData));
    reader.feed(Bytes::from_static(b"\n1,2\n3,4\n5,6\n"));
    let Ok(Step::Block(block)) = reader.next() else { panic!("no block") };
    assert_eq!((&block.bytes[..], block.offset, block.line), (&b"1,2\n"[..], 4, 0));
    assert_eq!(reader.next(), Ok(Step::Finished));
}

#[test]
fn a_block_inside_a_fed_piece_is_not_copied() {
    let mut reader = TextReader::new(options(Format::Jsonl)).expect("options");
    let piece = Bytes::from_static(b"{\"a\":1}\n{\"a\":2}\n{\"a\"");
    reader.feed(piece.clone());
    let Ok(Step::Block(block)) = reader.next() else { panic!("no block") };
    assert_eq!(block.bytes.as_ptr(), piece.as_ptr());
}

impl PartialEq for DecodeError {
    fn eq(&self, other: &DecodeError) -> bool {
        self.to_string() == other.to_string()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn blocks_do_not_depend_on_how_the_text_arrives(
        text in "([a-c\",\n]{0,6}|\"[a-c,\n]{0,5}\"|[{}\\[\\]: 1]{0,3}){0,30}", step in 1usize..40, block_bytes in 1usize..30,
        format in prop_oneof![Just(Format::Csv), Just(Format::Jsonl), Just(Format::Json)],
    ) {
        let of = TextOptions { block_bytes, ..options(format) };
        let whole = read(&of, text.as_bytes(), text.len());
        prop_assert_eq!(read(&of, text.as_bytes(), step), whole);
    }
}
