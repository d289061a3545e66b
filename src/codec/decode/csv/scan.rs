//! Where the cells of a block lie: one pass over its bytes, 64 at a time.
//!
//! A cell that begins with the quote is quoted, and ends with the next quote that is neither doubled nor escaped; a
//! quote elsewhere in a cell is text. Records end, outside quotes, at a newline, to which a carriage return before it
//! belongs, or at a carriage return alone. Blank lines between records are skipped, unless the table has one column,
//! where they are an empty cell.

use std::ops::Range;

use wide::u8x16;

/// What separates and quotes.
#[derive(Clone, Copy, Debug)]
pub(in crate::codec::decode) struct Dialect {
    pub(in crate::codec::decode) delimiter: u8,
    pub(in crate::codec::decode) quote: Option<u8>,
    /// Only where it differs from the quote.
    pub(in crate::codec::decode) escape: Option<u8>,
    pub(in crate::codec::decode) comment: Option<u8>,
}

/// Where a cell's text lies in its block, without its quotes. Blocks are shorter than 2^31 bytes, so that two bits are
/// free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::codec::decode) struct Cell {
    start: u32,
    end: u32,
}

const FLAG: u32 = 1 << 31;

impl Cell {
    #[inline]
    pub(in crate::codec::decode) fn range(self) -> Range<usize> {
        (self.start & !FLAG) as usize..(self.end & !FLAG) as usize
    }

    #[inline]
    pub(in crate::codec::decode) fn quoted(self) -> bool {
        self.start & FLAG != 0
    }

    /// Whether doubled or escaped quotes have to be resolved.
    #[inline]
    pub(in crate::codec::decode) fn escaped(self) -> bool {
        self.end & FLAG != 0
    }

    #[inline]
    fn plain(start: usize, end: usize) -> Cell {
        Cell { start: start as u32, end: end as u32 }
    }
}

/// Why a record has no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::codec::decode) enum Fault {
    /// Another number of cells than the header.
    Cells(usize),
    /// Text between a closing quote and the delimiter; the column from 0.
    AfterQuote(usize),
    /// The block ends inside quotes.
    OpenQuote(usize),
    /// Not UTF-8, found later.
    Encoding,
}

/// A record without a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::codec::decode) struct Faulty {
    /// Ordinal among all records of the block.
    pub(in crate::codec::decode) record: usize,
    /// Its bytes in the block.
    pub(in crate::codec::decode) range: Range<usize>,
    pub(in crate::codec::decode) fault: Fault,
    /// How many cells it seems to have.
    pub(in crate::codec::decode) cells: usize,
}

/// The cells of a block, row by row.
#[derive(Debug, Default)]
pub(in crate::codec::decode) struct Cells {
    /// `width` for every row.
    pub(in crate::codec::decode) cells: Vec<Cell>,
    pub(in crate::codec::decode) rows: usize,
    /// In order.
    pub(in crate::codec::decode) faulty: Vec<Faulty>,
}

impl Cells {
    pub(in crate::codec::decode) fn records(&self) -> usize {
        self.rows + self.faulty.len()
    }

    /// The ordinal, among all records, of a row.
    pub(in crate::codec::decode) fn record_of(&self, row: usize) -> usize {
        self.faulty.iter().fold(row, |record, faulty| record + usize::from(faulty.record <= record))
    }
}

/// Finds the cells of records that have `width` of them; without a width the first record sets it (for names and
/// inference).
pub(in crate::codec::decode) fn scan(data: &[u8], dialect: Dialect, width: usize) -> Cells {
    assert!(data.len() < FLAG as usize, "blocks are bounded far below 2 GiB");
    let mut scanner = Scanner {
        data,
        dialect,
        width,
        // A guess that is right for cells of eight bytes; growing is cheap beside parsing.
        out: Cells { cells: Vec::with_capacity(data.len() / 8 + 16), ..Cells::default() },
        first: 0,
        record: 0,
        start: 0,
        state: CellState::Plain,
        fault: None,
    };
    scanner.run();
    scanner.out
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CellState {
    /// Outside quotes.
    Plain,
    /// Inside quotes; escapes seen or not.
    Quoted { escaped: bool },
    /// After the closing quote at this offset.
    Closed { at: usize, escaped: bool },
}

struct Scanner<'a> {
    data: &'a [u8],
    dialect: Dialect,
    width: usize,
    out: Cells,
    /// Index in `cells` of the record's first cell.
    first: usize,
    /// Offset of the record.
    record: usize,
    /// Offset of the cell (of its opening quote, where it has one).
    start: usize,
    state: CellState,
    fault: Option<Fault>,
}

impl Scanner<'_> {
    fn run(&mut self) {
        let mut base = self.skip_comments(0);
        while base < self.data.len() {
            let (separators, quotes, next) = self.window(base);
            base = if quotes == 0 && self.state == CellState::Plain && self.dialect.comment.is_none() {
                self.plain(base, separators);
                next
            } else {
                self.mixed(base, separators | quotes, next)
            };
        }
        self.finish();
    }

    /// Bit masks of the 64 bytes from `base`, and where the next window begins.
    #[inline]
    fn window(&self, base: usize) -> (u64, u64, usize) {
        let rest = &self.data[base..];
        if let Some(chunk) = rest.first_chunk::<64>() {
            let (separators, quotes) = self.masks(chunk, base);
            (separators, quotes, base + 64)
        } else {
            let mut chunk = [0; 64];
            chunk[..rest.len()].copy_from_slice(rest);
            let (separators, quotes) = self.masks(&chunk, base);
            let valid = (1u64 << rest.len()) - 1;
            (separators & valid, quotes & valid, self.data.len())
        }
    }

    #[inline]
    fn masks(&self, chunk: &[u8; 64], base: usize) -> (u64, u64) {
        let (delimiter, newline) = (u8x16::splat(self.dialect.delimiter), u8x16::splat(b'\n'));
        let (carriage_return, mut returns) = (u8x16::splat(b'\r'), u8x16::splat(0));
        // Without a quote the mask repeats the newline's, and is dropped.
        let quote = u8x16::splat(self.dialect.quote.unwrap_or(b'\n'));
        let (mut separators, mut quotes) = (0, 0);
        let (lanes, _) = chunk.as_chunks::<16>();
        for (i, lane) in lanes.iter().enumerate() {
            let lane = u8x16::new(*lane);
            separators |= u64::from((lane.simd_eq(delimiter) | lane.simd_eq(newline)).to_bitmask()) << (16 * i);
            quotes |= u64::from(lane.simd_eq(quote).to_bitmask()) << (16 * i);
            returns |= lane.simd_eq(carriage_return);
        }
        if returns.to_bitmask() != 0 {
            separators |= self.lone_returns(chunk, base);
        }
        (separators, if self.dialect.quote.is_some() { quotes } else { 0 })
    }

    /// The carriage returns of a window that no newline follows: they separate as newlines do. The others are left to
    /// their newline.
    fn lone_returns(&self, chunk: &[u8; 64], base: usize) -> u64 {
        let mask = |byte: u8| {
            let (lanes, _) = chunk.as_chunks::<16>();
            let lane = |(i, lane): (usize, &[u8; 16])| {
                u64::from(u8x16::new(*lane).simd_eq(u8x16::splat(byte)).to_bitmask()) << (16 * i)
            };
            lanes.iter().enumerate().map(lane).fold(0, |mask, lane| mask | lane)
        };
        let followed = (mask(b'\n') >> 1) | (u64::from(self.data.get(base + 64) == Some(&b'\n')) << 63);
        mask(b'\r') & !followed
    }

    /// A window without quotes, outside quotes.
    #[inline]
    fn plain(&mut self, base: usize, mut separators: u64) {
        while separators != 0 {
            let at = base + separators.trailing_zeros() as usize;
            separators &= separators - 1;
            self.out.cells.push(Cell::plain(self.start, at));
            self.start = at + 1;
            if self.data[at] != self.dialect.delimiter {
                self.end_record(at);
            }
        }
    }

    /// A window with quotes, or inside them. Gives the offset to go on from.
    fn mixed(&mut self, base: usize, mut structure: u64, next: usize) -> usize {
        let quote = self.dialect.quote;
        while structure != 0 {
            let at = base + structure.trailing_zeros() as usize;
            structure &= structure - 1;
            let byte = self.data[at];
            match self.state {
                CellState::Plain if Some(byte) == quote => {
                    if at == self.start {
                        self.state = CellState::Quoted { escaped: false };
                        if self.dialect.escape.is_some() {
                            return self.inside_with_escape(at + 1);
                        }
                    }
                }
                CellState::Quoted { .. } if Some(byte) == quote => {
                    if self.data.get(at + 1).copied() == quote {
                        self.state = CellState::Quoted { escaped: true };
                        // The second quote may lie in the next window: begin a new one behind it.
                        return at + 2;
                    }
                    let CellState::Quoted { escaped } = self.state else {
                        return next;
                    };
                    self.state = CellState::Closed { at, escaped };
                }
                CellState::Quoted { .. } => {}
                CellState::Closed { .. } if Some(byte) == quote => {}
                CellState::Plain => {
                    self.out.cells.push(Cell::plain(self.start, at));
                    self.start = at + 1;
                    if byte != self.dialect.delimiter {
                        self.end_record(at);
                        if self.dialect.comment.is_some() {
                            return self.skip_comments(at + 1);
                        }
                    }
                }
                CellState::Closed { at: closed, escaped } => {
                    let ends = byte != self.dialect.delimiter;
                    self.push_quoted(closed, escaped, at, ends);
                    self.start = at + 1;
                    self.state = CellState::Plain;
                    if ends {
                        self.end_record(at);
                        if self.dialect.comment.is_some() {
                            return self.skip_comments(at + 1);
                        }
                    }
                }
            }
        }
        next
    }

    /// Inside quotes with an escape byte: goes to the closing quote, and gives the offset behind it.
    fn inside_with_escape(&mut self, from: usize) -> usize {
        let (Some(quote), Some(escape)) = (self.dialect.quote, self.dialect.escape) else {
            return from;
        };
        let (mut at, mut escaped) = (from, false);
        while let Some(found) = memchr::memchr2(quote, escape, self.data.get(at..).unwrap_or_default()) {
            let here = at + found;
            let doubled = self.data[here] == quote && self.data.get(here + 1) == Some(&quote);
            if self.data[here] == escape || doubled {
                escaped = true;
                at = here + 2;
                continue;
            }
            self.state = CellState::Closed { at: here, escaped };
            return here + 1;
        }
        self.data.len()
    }

    /// The quoted cell that is open at `start`, closed at `closed`, and followed by a separator, or the end, at `at`.
    fn push_quoted(&mut self, closed: usize, escaped: bool, at: usize, ends_record: bool) {
        let returned = ends_record && at == closed + 2 && self.data[closed + 1] == b'\r';
        if at != closed + 1 && !returned && self.fault.is_none() {
            self.fault = Some(Fault::AfterQuote(self.out.cells.len() - self.first));
        }
        let flags = if escaped { FLAG } else { 0 };
        self.out.cells.push(Cell { start: (self.start + 1) as u32 | FLAG, end: closed as u32 | flags });
    }

    /// The newline, carriage return or end at `at` ends a record whose cells are all pushed.
    #[inline]
    fn end_record(&mut self, at: usize) {
        if let Some(last) = self.out.cells.last_mut() {
            let range = last.range();
            if !last.quoted() && range.end > range.start && self.data[range.end - 1] == b'\r' {
                last.end -= 1;
            }
        }
        let cells = self.out.cells.len() - self.first;
        if cells == self.width && self.fault.is_none() {
            self.out.rows += 1;
            self.first += cells;
        } else {
            self.end_odd_record(cells, at);
        }
        self.record = at + 1;
    }

    /// A record that is blank or faulty.
    #[cold]
    fn end_odd_record(&mut self, cells: usize, at: usize) {
        let blank = cells == 1 && self.out.cells.last().is_some_and(|cell| !cell.quoted() && cell.range().is_empty());
        self.out.cells.truncate(self.first);
        let fault = self.fault.take();
        if !blank || self.width == 1 {
            let fault = fault.unwrap_or(Fault::Cells(cells));
            let record = self.out.records();
            self.out.faulty.push(Faulty { record, range: self.record..at, fault, cells });
        }
    }

    /// Skips comment lines from the start of a record.
    fn skip_comments(&mut self, mut at: usize) -> usize {
        if let Some(comment) = self.dialect.comment {
            while self.data.get(at) == Some(&comment) {
                let rest = &self.data[at..];
                at = memchr::memchr2(b'\n', b'\r', rest).map_or(self.data.len(), |end| {
                    let returned = rest[end] == b'\r' && rest.get(end + 1) == Some(&b'\n');
                    at + end + 1 + usize::from(returned)
                });
            }
            (self.start, self.record) = (at, at);
        }
        at
    }

    /// What the block's end leaves: a last record without a newline.
    fn finish(&mut self) {
        let end = self.data.len();
        match self.state {
            CellState::Plain if self.record >= end => return,
            CellState::Plain => self.out.cells.push(Cell::plain(self.start, end)),
            CellState::Closed { at, escaped } => self.push_quoted(at, escaped, end, true),
            CellState::Quoted { .. } => {
                self.fault = Some(Fault::OpenQuote(self.out.cells.len() - self.first));
                self.out.cells.push(Cell::plain(self.start, end));
            }
        }
        self.end_record(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Dialect = Dialect { delimiter: b',', quote: Some(b'"'), escape: None, comment: None };

    /// Rows as text; quoted cells in brackets; faults at the end.
    fn shown(text: &str, dialect: Dialect, width: usize) -> String {
        let cells = scan(text.as_bytes(), dialect, width);
        assert_eq!(cells.cells.len(), cells.rows * width);
        let mut rows: Vec<String> = cells
            .cells
            .chunks(width)
            .map(|row| {
                let cell = |cell: &Cell| {
                    let inner = &text[cell.range()];
                    match (cell.quoted(), cell.escaped()) {
                        (true, true) => format!("<{inner}>"),
                        (true, false) => format!("[{inner}]"),
                        _ => inner.to_owned(),
                    }
                };
                row.iter().map(cell).collect::<Vec<_>>().join("|")
            })
            .collect();
        rows.extend(cells.faulty.iter().map(|f| format!("!{} {:?} {:?}", f.record, f.fault, &text[f.range.clone()])));
        rows.join(" / ")
    }

    fn check(text: &str, expected: &str) {
        assert_eq!(shown(text, PLAIN, 2), expected, "{text:?}");
        // The same behind a prefix of every length: windows begin elsewhere.
        for shift in [1, 31, 62, 63, 64, 65] {
            let prefix = format!("{},\n", "x".repeat(shift));
            let whole = format!("{prefix}{text}");
            let got = shown(&whole, PLAIN, 2);
            let first = format!("{}|", "x".repeat(shift));
            let rest = got.strip_prefix(&first).unwrap_or_else(|| panic!("{got:?}"));
            let records_later = |text: &str| {
                let mut text = text.to_owned();
                for record in (0..9).rev() {
                    text = text.replace(&format!("!{record} "), &format!("!{} ", record + 1));
                }
                text
            };
            assert_eq!(rest.trim_start_matches(" / "), records_later(expected), "{text:?} shifted by {shift}");
        }
    }

    #[test]
    fn cells_follow_rfc_4180() {
        check("a,b\nc,d\n", "a|b / c|d");
        check("a,b\r\nc,d", "a|b / c|d");
        check(",\n", "|");
        check("\"a\",\"b\"\r\n", "[a]|[b]");
        check("\"a,\nb\",c\n", "[a,\nb]|c");
        check("\"a\"\"b\",\"\"\"\"\n", "<a\"\"b>|<\"\">");
        check("\"\",x\n", "[]|x");
        check("5\" pipe,a\"b\"\n", "5\" pipe|a\"b\"");
        check(" \"a\",b\n", " \"a\"|b");
        check("\"a\r\",b\n", "[a\r]|b");
        check("a,\r\n", "a|");
        check("\n\na,b\n\r\n", "a|b");
        check("\"b\",\"c\"", "[b]|[c]");
    }

    #[test]
    fn lines_end_with_carriage_returns_too() {
        check("a,b\rc,d\r", "a|b / c|d");
        check("a,b\rc,d\r\ne,f\ng,h", "a|b / c|d / e|f / g|h");
        check("\"a\",\"b\"\r\"c\",\"d\"\r", "[a]|[b] / [c]|[d]");
        check("\"a\",\"\r\"\r\"c\r\n\",d\r", "[a]|[\r] / [c\r\n]|d");
        check("a,\r,b\r\r\n\r", "a| / |b");
        check("a\rb,c\r", "b|c / !0 Cells(1) \"a\"");
        check("\"a\"\r\r\nb,c\r", "b|c / !0 Cells(1) \"\\\"a\\\"\"");
        let comment = Dialect { comment: Some(b'#'), ..PLAIN };
        assert_eq!(shown("#x\ra,b\r#y\r\n#z\n\"#c\",d\r#", comment, 2), "a|b / [#c]|d");
        assert_eq!(shown("a\r\rb\r", PLAIN, 1), "a /  / b");
    }

    #[test]
    fn records_that_are_no_rows_are_named() {
        check("a\nb,c\nd,e,f\n", "b|c / !0 Cells(1) \"a\" / !2 Cells(3) \"d,e,f\"");
        check("\"a\" ,b\nc,d\n", "c|d / !0 AfterQuote(0) \"\\\"a\\\" ,b\"");
        check("\"a\"b\"c,d\n", "!0 AfterQuote(0) \"\\\"a\\\"b\\\"c,d\"");
        check("a,\"b", "!0 OpenQuote(1) \"a,\\\"b\"");
    }

    #[test]
    fn options_change_what_separates_and_quotes() {
        let escape = Dialect { escape: Some(b'\\'), ..PLAIN };
        assert_eq!(shown("\"a\\\"b\",\"c\\\\\"\n\"d\"\"e\",f\n", escape, 2), "<a\\\"b>|<c\\\\> / <d\"\"e>|f");
        let comment = Dialect { comment: Some(b'#'), ..PLAIN };
        assert_eq!(shown("#x\"\na,b\n#y,\"z\n\"#c\",d\ne,#f\n#", comment, 2), "a|b / [#c]|d / e|#f");
        let unquoted = Dialect { quote: None, ..PLAIN };
        assert_eq!(shown("\"a,b\"\n", unquoted, 2), "\"a|b\"");
        assert_eq!(shown("a\n\nb\n", PLAIN, 1), "a /  / b");
    }

    #[test]
    fn ordinals_count_faulty_records() {
        let cells = scan(b"a\nb,c\nd\ne,f\ng,h\ni\n", PLAIN, 2);
        assert_eq!((cells.rows, cells.records()), (3, 6));
        assert_eq!([0, 1, 2].map(|row| cells.record_of(row)), [1, 3, 4]);
    }
}
