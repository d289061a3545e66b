//! A result through a pod's log, in which stdout and stderr are one: lines of the result are marked and numbered. So
//! the reader tells them from what was said on stderr, may begin again when the connection broke, and knows when
//! something is missing: a kubelet rotates a long log, and whoever reads too slowly is given the next file.

use std::io::{self, Write};
use std::sync::{Mutex, OnceLock, PoisonError};

/// What begins a line of the result.
const MARK: &str = "s3sync-result ";

/// Bytes of the result in one line: container runtimes cut lines at 16 KiB, and what is written meanwhile would come
/// between.
const PIECE_BYTES_MAX: usize = 8 << 10;

/// The number of the last line, once this process writes its results in lines.
static WRITTEN: OnceLock<Mutex<u64>> = OnceLock::new();

/// From here on results go out in marked lines.
pub fn begin() {
    WRITTEN.get_or_init(Mutex::default);
}

/// Writes a piece of a result, in lines where they were begun.
pub fn write(text: &str, out: &mut impl Write) -> io::Result<()> {
    match WRITTEN.get() {
        None => out.write_all(text.as_bytes()),
        Some(number) => lines(text, &mut number.lock().unwrap_or_else(PoisonError::into_inner), out),
    }
}

/// Says that the result is whole.
pub fn end(out: &mut impl Write) -> io::Result<()> {
    let Some(number) = WRITTEN.get() else { return Ok(()) };
    let mut number = number.lock().unwrap_or_else(PoisonError::into_inner);
    *number += 1;
    writeln!(out, "{MARK}{number}.")?;
    out.flush()
}

fn lines(text: &str, number: &mut u64, out: &mut impl Write) -> io::Result<()> {
    for line in text.split_inclusive('\n') {
        let (mut rest, ends) = line.strip_suffix('\n').map_or((line, false), |line| (line, true));
        loop {
            let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE_BYTES_MAX));
            rest = after;
            let kind = if rest.is_empty() && ends { '=' } else { '+' };
            *number += 1;
            writeln!(out, "{MARK}{number}{kind}{piece}")?;
            if rest.is_empty() {
                break;
            }
        }
    }
    Ok(())
}

/// What a line of the log is.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Of the result, and whether a line of it ends here.
    Result(&'a str, bool),
    /// Said beside it.
    Said(&'a str),
    /// Nothing new.
    Known,
}

/// Lines of the result are missing.
#[derive(Debug, PartialEq, Eq)]
pub struct Gap;

/// Puts a result together again.
#[derive(Debug, Default)]
pub struct Reader {
    /// The number of the last line of the result.
    last: u64,
    /// Lines beside it that came after that one.
    said: u64,
    again: Again,
    /// Whether the result is whole.
    pub ended: bool,
}

/// Where a log is that is read once more from its beginning.
#[derive(Debug, Default)]
enum Again {
    /// At what is new.
    #[default]
    No,
    /// Before the last line of the result that is known.
    Before,
    /// After it, with so many lines that are known.
    After(u64),
}

impl Reader {
    /// The log is read from its beginning once more.
    pub fn again(&mut self) {
        self.again = if self.last == 0 { Again::After(self.said) } else { Again::Before };
    }

    /// Takes the next line of the log.
    pub fn line<'a>(&mut self, line: &'a str) -> Result<Part<'a>, Gap> {
        let Some((number, kind, text)) = parse(line) else {
            match self.again {
                Again::Before => return Ok(Part::Known),
                Again::After(left) if left > 0 => {
                    self.again = Again::After(left - 1);
                    return Ok(Part::Known);
                }
                Again::After(_) | Again::No => {}
            }
            self.again = Again::No;
            self.said += 1;
            return Ok(Part::Said(line));
        };
        if number <= self.last {
            if number == self.last && matches!(self.again, Again::Before) {
                self.again = Again::After(self.said);
            }
            return Ok(Part::Known);
        }
        if number != self.last + 1 {
            return Err(Gap);
        }
        *self = Reader { last: number, ended: kind == '.', ..Reader::default() };
        Ok(Part::Result(text, kind == '='))
    }
}

fn parse(line: &str) -> Option<(u64, char, &str)> {
    let (number, text) = line.strip_prefix(MARK)?.split_at_checked(line[MARK.len()..].find(['=', '+', '.'])?)?;
    let kind = text.chars().next()?;
    Some((number.parse().ok()?, kind, &text[1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(texts: &[&str]) -> Vec<String> {
        let (mut number, mut out) = (0, Vec::new());
        texts.iter().for_each(|text| lines(text, &mut number, &mut out).unwrap());
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    fn read(reader: &mut Reader, lines: &[String], result: &mut String, said: &mut Vec<String>) -> Result<(), Gap> {
        for line in lines {
            match reader.line(line)? {
                Part::Result(text, ends) => {
                    result.push_str(text);
                    result.push_str(if ends { "\n" } else { "" });
                }
                Part::Said(text) => said.push(text.to_owned()),
                Part::Known => {}
            }
        }
        Ok(())
    }

    /// Wherever the connection breaks: the log is read from its beginning, and everything comes once.
    #[test]
    fn a_result_comes_as_it_was_whatever_breaks() {
        let long = "é".repeat(3 * PIECE_BYTES_MAX / 2);
        let texts = ["[\n{\"key\": \"a=b+c.d\"}", ",\n", &long, "\n\n]\n", "no newline"];
        let mut whole = log(&texts);
        assert!(whole.iter().all(|line| line.len() < 2 * PIECE_BYTES_MAX));
        for (at, text) in [(0, "first"), (3, "a warning"), (4, "a warning"), (9, "s3sync-results of yesterday")] {
            whole.insert(at, text.to_owned());
        }
        for cut in 0..=whole.len() {
            for more in cut..=whole.len() {
                let (mut reader, mut result, mut said) = (Reader::default(), String::new(), Vec::new());
                read(&mut reader, &whole[..cut], &mut result, &mut said).unwrap();
                reader.again();
                read(&mut reader, &whole[..more], &mut result, &mut said).unwrap();
                reader.again();
                read(&mut reader, &whole, &mut result, &mut said).unwrap();
                assert_eq!(result, texts.concat(), "cut after {cut} and {more}");
                assert_eq!(
                    said,
                    ["first", "a warning", "a warning", "s3sync-results of yesterday"],
                    "cut after {cut} and {more}"
                );
                assert!(!reader.ended);
            }
        }
    }

    #[test]
    fn what_is_missing_is_noticed_and_the_end_known() {
        let mut whole = log(&["a\n", "b\n", "c\n"]);
        whole.push(format!("{MARK}4."));
        for missing in 0..3 {
            let mut lines = whole.clone();
            lines.remove(missing);
            assert_eq!(
                read(&mut Reader::default(), &lines, &mut String::new(), &mut Vec::new()),
                Err(Gap),
                "{missing}"
            );
        }
        let mut reader = Reader::default();
        read(&mut reader, &whole, &mut String::new(), &mut Vec::new()).unwrap();
        assert!(reader.ended);
    }
}
