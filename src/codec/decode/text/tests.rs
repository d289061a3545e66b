use std::sync::Arc;

use super::*;
use crate::codec::LineEnd;
use crate::codec::decode::RecordDecoder;
use crate::model::schema::{TableSchema, Unknown};
use proptest::prelude::*;

fn options(format: TextFormat) -> TextOptions {
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
        &options(TextFormat::CSV),
        b"id,name\n1,aaa\n2,b\n3,\"c\nc\"\n4,d",
        Some(&["id", "name"]),
        &[("1,aaa\n2,b\n", 8, 2), ("3,\"c\nc\"\n", 18, 4), ("4,d", 26, 6)],
    );
    check(&options(TextFormat::CSV), b"\xef\xbb\xbfa\n1\n", Some(&["a"]), &[("1\n", 5, 2)]);
    check(&options(TextFormat::CSV), b"a,b\n", Some(&["a", "b"]), &[]);
    check(&options(TextFormat::CSV), b"", None, &[]);
    check(&options(TextFormat::CSV), b"\n\r\na,\"b\nc\",,a\n", Some(&["a", "b\nc", "column_3", "a_1"]), &[]);
    check(&options(TextFormat::TSV), b"a\tb\n1\t2\n", Some(&["a", "b"]), &[("1\t2\n", 4, 2)]);
}

#[test]
fn csv_options_come_before_the_header() {
    let mut of = options(TextFormat::CSV);
    of.csv.skip_rows = 2;
    of.csv.comment = Some(b'#');
    check(&of, b"junk \"\nmore\n#c\nid\n1\n", Some(&["id"]), &[("1\n", 18, 5)]);
    of.csv.header = false;
    check(&of, b"junk\nmore\n#c,\n1,2\n", Some(&["column_1", "column_2"]), &[("#c,\n1,2\n", 10, 3)]);
    check(&of, b"", None, &[]);
    check(&of, b"junk\nmore\n", None, &[]);
    check_error(&of, b"junk", "it ends after 1 lines, and source.csv.skipRows skips 2, so that nothing of it is read");
}

#[test]
fn lines_end_with_carriage_returns_too() {
    let mut of = options(TextFormat::CSV);
    check(
        &of,
        b"id,name\r1,aaa\r2,b\r3,\"c\rc\"\r4,d",
        Some(&["id", "name"]),
        &[("1,aaa\r2,b\r", 8, 2), ("3,\"c\rc\"\r", 18, 4), ("4,d", 26, 6)],
    );
    check(&of, b"id\r\n1111111\r\n2\r\n", Some(&["id"]), &[("1111111\r\n", 4, 2), ("2\r\n", 13, 3)]);
    check(&of, b"id\r\n111111\r2\r\n3\n", Some(&["id"]), &[("111111\r2\r\n", 4, 2), ("3\n", 14, 3)]);
    check(&of, b"\r\r\"a\r\nb\",a\r", Some(&["a\r\nb", "a"]), &[]);
    check_error(&of, b"a\r1\r2\r\"3\r4\r", "the quote that opens on line 4 never closes");
    of.csv.skip_rows = 2;
    of.csv.comment = Some(b'#');
    check(&of, b"junk \"\rmore\r\n#c\rid\r1\r#\r2", Some(&["id"]), &[("1\r#\r2", 19, 5)]);
    of = options(TextFormat::CSV);
    of.csv.encoding = Encoding::Utf16Le;
    let text: Vec<u8> = "é\r1\r".encode_utf16().flat_map(u16::to_le_bytes).collect();
    check(&of, &text, Some(&["é"]), &[("1\r", 3, 2)]);
    // White space of JSON.
    check(&options(TextFormat::Jsonl), b"{\"a\":\r1}\r\n{}\r", None, &[("{\"a\":\r1}\r\n", 0, 1), ("{}\r", 10, 3)]);
    check(&options(TextFormat::Json), b"{\"a\":1}\r{}\r", None, &[("{\"a\":1}\r{}", 0, 1), ("\r", 10, 2)]);
}

/// Without a header, the first record names the columns, also where it is none.
#[test]
fn records_that_cannot_be_split_are_not_passed_over() {
    let mut of = options(TextFormat::CSV);
    of.csv.header = false;
    of.block_bytes = 100;
    check(&of, b"1,\"p\"x\n2,\"q\"\n", Some(&["column_1", "column_2"]), &[("1,\"p\"x\n2,\"q\"\n", 0, 1)]);
    check(&of, b"\"p\"x\n", Some(&["column_1"]), &[("\"p\"x\n", 0, 1)]);
    of.csv.comment = Some(b'#');
    check(&of, b"#\n\n", None, &[]);
}

#[test]
fn names_of_columns_are_distinct() {
    let of = options(TextFormat::CSV);
    check(&of, b"a,a,a_1,a,b\n", Some(&["a", "a_2", "a_1", "a_3", "b"]), &[]);
}

#[test]
fn other_encodings_are_read() {
    let mut of = options(TextFormat::CSV);
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
        check(&options(TextFormat::CSV), object, Some(&["a"]), &[("1\n", 2, 2)]);
    }
    check_error(&options(TextFormat::CSV), &gzip[..gzip.len() - 3], "gzip stream ends early");
    let sliced = TextOptions { slice: Some(Slice::Bytes { start: 0, end: 10 }), ..options(TextFormat::Jsonl) };
    check_error(&sliced, &gzip, "the object is compressed, which its key does not say; set source.compression");
}

#[test]
fn a_quote_that_never_closes_is_named_by_its_line() {
    check_error(&options(TextFormat::CSV), b"a\n1\n2\n\"3\n4\n", "the quote that opens on line 4 never closes");
    let long = format!("a\n1\n\"{}", "x\n".repeat(2000));
    let error = read(&options(TextFormat::CSV), long.as_bytes(), 100).expect_err("too long");
    assert!(error.starts_with("one record, whose quote opens on line 3 and may never close, needs "), "{error}");
    let error = read(&options(TextFormat::Jsonl), &[b'x'; 3000], 100).expect_err("too long");
    assert!(error.starts_with("one record needs "), "{error}");
}

#[test]
fn json_is_cut_between_values() {
    check(
        &options(TextFormat::Json),
        b"[{\"a\":1},\n {\"a\":[2,3]}, {}]\n",
        None,
        &[("{\"a\":1},\n {\"a\":[2,3]}", 1, 1), (", {}]\n", 22, 2)],
    );
    check(&options(TextFormat::Json), b"{\"a\":\n1}\n{}", None, &[("{\"a\":\n1}", 0, 1), ("\n{}", 8, 2)]);
    check(&options(TextFormat::Json), b"", None, &[]);
    check_error(&options(TextFormat::Json), b"[{\"a\":1}", "the text ends inside its array");
    check_error(
        &options(TextFormat::Json),
        b"[{} {}]",
        "'{' stands where a comma or the end of the array was expected",
    );
}

#[test]
fn slices_share_the_records_out() {
    let object = b"{\"a\":1}\n{\"a\":22}\n\n{\"a\":333}\n{}";
    for first in 0..=object.len() as u64 {
        for second in first..=object.len() as u64 {
            let bounds = [(0, first), (first, second), (second, u64::MAX)];
            let mut text = String::new();
            for (start, end) in bounds {
                let of = TextOptions { slice: Some(Slice::Bytes { start, end }), ..options(TextFormat::Jsonl) };
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
    let mut of = options(TextFormat::CSV);
    of.csv.encoding = Encoding::Latin1;
    of.csv.quote = None;
    let object = b"a\n\xe9\xe9\xe9\n\xe8\n";
    let sliced = |start, end| TextOptions { slice: Some(Slice::Bytes { start, end }), ..of.clone() };
    check(&sliced(0, 3), object, Some(&["a"]), &[("ééé\n", 2, 2)]);
    check(&sliced(3, 8), object, None, &[("è\n", 6, 0)]);
}

#[test]
fn a_slice_is_finished_behind_its_end() {
    let of = TextOptions { slice: Some(Slice::Bytes { start: 4, end: 6 }), ..options(TextFormat::CSV) };
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
    let mut reader = TextReader::new(options(TextFormat::Jsonl)).expect("options");
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
        text in "([a-c\",\r\n]{0,6}|\"[a-c,\r\n]{0,5}\"|[{}\\[\\]: 1]{0,3}){0,30}", step in 1usize..40, block_bytes in 1usize..30,
        format in prop_oneof![Just(TextFormat::CSV), Just(TextFormat::Jsonl), Just(TextFormat::Json)],
    ) {
        let of = TextOptions { block_bytes, ..options(format) };
        let whole = read(&of, text.as_bytes(), text.len());
        prop_assert_eq!(read(&of, text.as_bytes(), step), whole);
    }

    /// Lines are shared out between slices wherever these are cut, and whatever ends the lines.
    #[test]
    fn lines_of_csv_are_sliced_anywhere(text in "([a-c,]{0,3}(\r|\n|\r\n)){0,8}[a-c]{0,3}", step in 1usize..9, block_bytes in 1usize..9) {
        let mut of = TextOptions { block_bytes, ..options(TextFormat::CSV) };
        of.csv.quote = None;
        of.csv.header = false;
        let object = text.as_bytes();
        let whole = read(&TextOptions { slice: None, ..of.clone() }, object, step).expect("valid");
        let whole: Vec<(String, u64)> = lines_of(&whole);
        for first in 0..=object.len() as u64 {
            for second in first..=object.len() as u64 {
                let mut lines = Vec::new();
                for (start, end) in [(0, first), (first, second), (second, u64::MAX)] {
                    let sliced = TextOptions { slice: Some(Slice::Bytes { start, end }), ..of.clone() };
                    let found = lines_of(&read(&sliced, object, step).expect("valid"));
                    prop_assert!(found.iter().all(|(_, offset)| (start..end).contains(offset)), "{:?} in {}..{}", found, start, end);
                    lines.extend(found);
                }
                // The first slice leaves blocks of blank lines out, as the whole does.
                lines.retain(|(line, _)| !line.is_empty());
                let mut whole = whole.clone();
                whole.retain(|(line, _)| !line.is_empty());
                prop_assert_eq!(&lines, &whole, "cut at {} and {}", first, second);
            }
        }
    }

    /// Every record of a text without a header is a row or a bad record, as another way of splitting them counts.
    #[test]
    fn no_record_is_passed_over(text in "([a-c]{0,2}|\"[a,\r\n]{0,3}\"|[\",]|\r|\n|\r\n){0,20}", step in 1usize..20, block_bytes in 1usize..40) {
        let mut of = TextOptions { block_bytes, ..options(TextFormat::CSV) };
        of.csv.header = false;
        let (records, open) = records_of(&text);
        let read = read(&of, text.as_bytes(), step);
        if open {
            prop_assert!(read.is_err());
            return Ok(());
        }
        let read = read.expect("valid");
        let records = records.into_iter().skip_while(|record| record.is_empty()).collect::<Vec<_>>();
        let width = read.header.as_ref().map_or(0, Vec::len);
        prop_assert_eq!(width == 0, records.is_empty());
        let mut counted = 0;
        for (text, offset, line) in read.blocks {
            let table = TableSchema { unknown: Unknown::Ignore, ..TableSchema::default() };
            let header = read.header.as_deref();
            let decoder = RecordDecoder::new(TextFormat::CSV, &of.csv, header, Arc::new(table), &[], 100).expect("options");
            let block = Block { bytes: text.into(), offset, line, line_end: LineEnd::Newline };
            let decoded = decoder.decode(&block).expect("decodes");
            counted += decoded.records;
        }
        // Blank lines before the first record say nothing; between records they do only in a table of one column.
        let blank = records.iter().filter(|record| record.is_empty()).count();
        let expected = if width == 1 { records.len() } else { records.len() - blank };
        let right = counted as usize == expected || (width == 1 && counted as usize >= expected);
        prop_assert!(right, "{} of {:?}", counted, records);
    }
}

/// Lines without their ends, and where they begin.
fn lines_of(read: &Read) -> Vec<(String, u64)> {
    let mut lines = Vec::new();
    for (text, offset, _) in &read.blocks {
        let mut at = 0;
        for line in text.split_inclusive(['\r', '\n']) {
            // The newline of a carriage return is no line.
            if !(line == "\n" && text[..at].ends_with('\r')) {
                lines.push((line.trim_end_matches(['\r', '\n']).to_owned(), offset + at as u64));
            }
            at += line.len();
        }
    }
    lines
}

/// Records without their ends, character by character, and whether the last is inside quotes.
fn records_of(text: &str) -> (Vec<String>, bool) {
    let (mut records, mut record, mut quoted, mut begins) = (Vec::new(), String::new(), false, true);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => chars.next().map_or((), |_| record.push_str("\"\"")),
            '"' if quoted || begins => {
                (quoted, begins) = (!quoted, false);
                record.push(c);
            }
            '\r' | '\n' if !quoted => {
                if c == '\r' && chars.peek() == Some(&'\n') {
                    chars.next();
                }
                records.push(std::mem::take(&mut record));
                begins = true;
            }
            _ => {
                begins = !quoted && c == ',';
                record.push(c);
            }
        }
    }
    if !record.is_empty() {
        records.push(record);
    }
    (records, quoted)
}
