//! Where records end, found by jumping from quote to quote: the serial part of reading csv, so it looks at as little as
//! possible.
//!
//! A record ends, outside quotes, with a newline, a carriage return and a newline, or a carriage return alone.

use super::scan::Dialect;

/// A scan that goes on over pieces of text: where a piece ends does not matter.
#[derive(Clone, Debug)]
pub(in crate::codec::decode) struct RecordScan {
    dialect: Dialect,
    state: RecordState,
    /// Bytes seen since the scan began.
    seen: u64,
    /// Where the last quoted cell opened, in bytes since the scan began.
    opened: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RecordState {
    /// At the start of a record.
    Record,
    /// In a comment.
    Comment,
    /// Behind a carriage return that ends a record: a newline would belong to it.
    Return,
    /// Outside quotes, at the start of a cell or behind it.
    Cell { start: bool },
    /// Inside quotes.
    Quoted,
    /// Behind an escape inside quotes.
    Escaped,
    /// Behind a quote inside quotes: it closes, unless another follows.
    QuoteSeen,
}

impl RecordScan {
    pub(in crate::codec::decode) fn new(dialect: Dialect) -> RecordScan {
        RecordScan { dialect, state: RecordState::Record, seen: 0, opened: 0 }
    }

    /// A scan of plain lines.
    pub(in crate::codec::decode) fn of_lines() -> RecordScan {
        RecordScan::new(Dialect { delimiter: b',', quote: None, escape: None, comment: None })
    }

    /// Looks at the next piece of text. Gives the length up to the first end of a record at or after `min` bytes, and
    /// stands at the start of a record then; the caller comes again with what follows. It may be 0 where `min` is: the
    /// last piece ended with a carriage return, and what this one begins with tells that it was alone. `None`: the
    /// piece has been looked at and has no such end.
    pub(in crate::codec::decode) fn end(&mut self, piece: &[u8], min: usize) -> Option<usize> {
        let found = self.scan(piece, min);
        self.seen += found.unwrap_or(piece.len()) as u64;
        found
    }

    /// Whether the text so far ends inside quotes: how many bytes lie from the opening quote on.
    pub(in crate::codec::decode) fn open_quote(&self) -> Option<u64> {
        matches!(self.state, RecordState::Quoted | RecordState::Escaped).then_some(self.seen - self.opened)
    }

    fn scan(&mut self, piece: &[u8], min: usize) -> Option<usize> {
        let mut at = 0;
        while at < piece.len() {
            let rest = &piece[at..];
            match self.state {
                RecordState::Record if self.dialect.comment == Some(rest[0]) => self.state = RecordState::Comment,
                RecordState::Record => self.state = RecordState::Cell { start: true },
                RecordState::Return => {
                    at += usize::from(rest[0] == b'\n');
                    self.state = RecordState::Record;
                    if at >= min {
                        return Some(at);
                    }
                }
                RecordState::Comment => {
                    let end = memchr::memchr2(b'\n', b'\r', rest)?;
                    at += end + 1;
                    if self.ends(rest[end]) && at >= min {
                        return Some(at);
                    }
                }
                RecordState::Cell { start } => {
                    let quote = self.dialect.quote.and_then(|quote| memchr::memchr(quote, rest));
                    let run = quote.map_or(rest.len(), |quote| quote);
                    // With comments every record's start matters; otherwise only the first end behind `min`.
                    let from =
                        if self.dialect.comment.is_some() { 0 } else { min.saturating_sub(1).saturating_sub(at) };
                    if let Some(end) = rest.get(from..run).and_then(|run| memchr::memchr2(b'\n', b'\r', run)) {
                        at += from + end + 1;
                        if self.ends(rest[from + end]) && at >= min {
                            return Some(at);
                        }
                        continue;
                    }
                    let start = if run == 0 { start } else { self.separates(rest[run - 1]) };
                    at += run;
                    self.state = RecordState::Cell { start };
                    if quote.is_some() {
                        if start {
                            self.opened = self.seen + at as u64;
                            self.state = RecordState::Quoted;
                        } else {
                            self.state = RecordState::Cell { start: false };
                        }
                        at += 1;
                    }
                }
                RecordState::Quoted => {
                    let quote = self.dialect.quote.unwrap_or(b'"');
                    let found = match self.dialect.escape {
                        Some(escape) => memchr::memchr2(quote, escape, rest)?,
                        None => memchr::memchr(quote, rest)?,
                    };
                    self.state = if rest[found] == quote { RecordState::QuoteSeen } else { RecordState::Escaped };
                    at += found + 1;
                }
                RecordState::Escaped => {
                    self.state = RecordState::Quoted;
                    at += 1;
                }
                RecordState::QuoteSeen if Some(rest[0]) == self.dialect.quote => {
                    self.state = RecordState::Quoted;
                    at += 1;
                }
                RecordState::QuoteSeen => self.state = RecordState::Cell { start: false },
            }
        }
        None
    }

    /// Behind the end of a line, its newline or carriage return: whether that is the record's.
    fn ends(&mut self, byte: u8) -> bool {
        self.state = if byte == b'\n' { RecordState::Record } else { RecordState::Return };
        byte == b'\n'
    }

    fn separates(&self, byte: u8) -> bool {
        byte == self.dialect.delimiter || matches!(byte, b'\n' | b'\r')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: Dialect = Dialect { delimiter: b',', quote: Some(b'"'), escape: None, comment: None };

    /// The text cut at every end of a record, fed in pieces of `step` bytes.
    fn cut(text: &str, dialect: Dialect, step: usize) -> Vec<String> {
        let mut scan = RecordScan::new(dialect);
        let (mut records, mut record) = (Vec::new(), String::new());
        for piece in text.as_bytes().chunks(step) {
            let mut piece = piece;
            while let Some(end) = scan.end(piece, 1usize.saturating_sub(record.len())) {
                record += std::str::from_utf8(&piece[..end]).expect("ascii");
                records.push(std::mem::take(&mut record));
                piece = &piece[end..];
            }
            record += std::str::from_utf8(piece).expect("ascii");
        }
        records.push(record);
        records
    }

    fn check(text: &str, dialect: Dialect, expected: &[&str]) {
        for step in 1..=text.len() {
            assert_eq!(cut(text, dialect, step), expected, "{text:?} in steps of {step}");
        }
    }

    #[test]
    fn records_end_at_newlines_outside_quotes() {
        check("a,b\nc\n", PLAIN, &["a,b\n", "c\n", ""]);
        check("\"a\nb\",c\nd", PLAIN, &["\"a\nb\",c\n", "d"]);
        check("\"a\"\"\n\"\nb\n", PLAIN, &["\"a\"\"\n\"\n", "b\n", ""]);
        check("5\" x\n\"6\"\" \n\"\n", PLAIN, &["5\" x\n", "\"6\"\" \n\"\n", ""]);
        check("a,\"\nb\n", PLAIN, &["a,\"\nb\n"]);
        let comment = Dialect { comment: Some(b'#'), ..PLAIN };
        check("#\"\na\n\"#\n\"\n", comment, &["#\"\n", "a\n", "\"#\n\"\n", ""]);
        let escape = Dialect { escape: Some(b'\\'), ..PLAIN };
        check("\"\\\"\n\"\nb", escape, &["\"\\\"\n\"\n", "b"]);
        check("\"a\n\"\n", Dialect { quote: None, ..PLAIN }, &["\"a\n", "\"\n", ""]);
    }

    #[test]
    fn a_carriage_return_ends_a_record_with_its_newline_or_alone() {
        check("a,b\rc\r", PLAIN, &["a,b\r", "c\r"]);
        check("a,b\r\nc\r\n", PLAIN, &["a,b\r\n", "c\r\n", ""]);
        check("a\rb\r\nc\nd\r", PLAIN, &["a\r", "b\r\n", "c\n", "d\r"]);
        check("a\n\rb\r\r\nc", PLAIN, &["a\n", "\r", "b\r", "\r\n", "c"]);
        check("\"a\rb\",c\r\"d\r\n\"\r\"e\"", PLAIN, &["\"a\rb\",c\r", "\"d\r\n\"\r", "\"e\""]);
        let comment = Dialect { comment: Some(b'#'), ..PLAIN };
        check("#\"\ra\r#b\r\n\"#\r\"\r", comment, &["#\"\r", "a\r", "#b\r\n", "\"#\r\"\r"]);
    }

    proptest! {
        #[test]
        fn cells_and_records_agree_on_where_records_end(text in "[a\",#\\\\\r\n]{0,60}", comment: bool, escape: bool) {
            let dialect = Dialect {
                comment: comment.then_some(b'#'), escape: escape.then_some(b'\\'), ..PLAIN
            };
            let records = cut(&text, dialect, 3);
            let whole = super::super::scan::scan(text.as_bytes(), dialect, 1);
            let parts: usize =
                records.iter().map(|record| super::super::scan::scan(record.as_bytes(), dialect, 1).records()).sum();
            prop_assert_eq!(whole.records(), parts);
        }

        #[test]
        fn an_end_behind_a_minimum_is_an_end(text in "[a\",\r\n]{0,60}", min in 1usize..40) {
            let mut ends = Vec::new();
            let mut at = 0;
            let mut scan = RecordScan::new(PLAIN);
            while let Some(end) = scan.end(&text.as_bytes()[at..], 1) {
                at += end;
                ends.push(at);
            }
            let expected = ends.into_iter().find(|end| *end >= min);
            prop_assert_eq!(RecordScan::new(PLAIN).end(text.as_bytes(), min), expected);
        }
    }
}
