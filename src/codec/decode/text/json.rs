//! Where the values of a json object end: one array, one object, or several separated by white space, whatever their
//! size.

use wide::u8x16;

use crate::codec::{DecodeError, Position};

/// A scan over the structure of a text: quotes, brackets, and what separates the outermost values. What lies inside a
/// value is looked at when it is decoded.
#[derive(Clone, Debug)]
pub(super) struct ValueScan {
    position: Within,
    /// Whether the values stand in an array.
    array: bool,
    /// Brackets that are open inside the value.
    depth: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    /// Before everything.
    Start,
    /// Before a value; in an array, `comma` says whether one must come.
    Before { comma: bool },
    /// In an array, behind a value.
    After,
    /// In an object or an array inside.
    Nested,
    /// In a string inside an object or array, or one that is a value itself (`depth` 0).
    Text,
    /// Behind a backslash in a string.
    Escape,
    /// In a number or a word.
    Word,
    /// Behind the array's end.
    Done,
}

impl ValueScan {
    pub(super) fn new() -> ValueScan {
        ValueScan { position: Within::Start, array: false, depth: 0 }
    }

    /// Looks at the next piece; gives the length up to the first end of a value at or after `min` bytes, or up to the
    /// bracket that opens the object's array: it stands alone, so that the values behind it need no context. Errors
    /// tell the offset in the piece.
    pub(super) fn end(&mut self, piece: &[u8], min: usize) -> Result<Option<usize>, DecodeError> {
        let mut at = 0;
        while at < piece.len() {
            let byte = piece[at];
            match self.position {
                Within::Nested | Within::Text => {
                    at = self.inside(piece, at);
                    if self.position == Within::After && at >= min {
                        return Ok(Some(at));
                    }
                    continue;
                }
                Within::Escape => self.position = Within::Text,
                Within::Word => {
                    if matches!(byte, b',' | b']' | b'}' | b'"' | b'[' | b'{') || byte.is_ascii_whitespace() {
                        self.position = Within::After;
                        if at >= min {
                            return Ok(Some(at));
                        }
                        continue;
                    }
                }
                _ if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') => {}
                Within::Start if byte == b'[' => {
                    self.array = true;
                    self.position = Within::Before { comma: false };
                    return Ok(Some(at + 1));
                }
                Within::Before { comma: false } if self.array && byte == b']' => self.position = Within::Done,
                Within::After if self.array => match byte {
                    b',' => self.position = Within::Before { comma: true },
                    b']' => self.position = Within::Done,
                    _ => return Err(stray(byte, "a comma or the end of the array", at)),
                },
                Within::Done => return Err(stray(byte, "nothing behind the end of the array", at)),
                Within::Start | Within::Before { .. } | Within::After => self.begin(byte, at)?,
            }
            at += 1;
        }
        Ok(None)
    }

    /// The text ends.
    pub(super) fn finish(&self) -> Result<(), &'static str> {
        match self.position {
            Within::Start | Within::Done => Ok(()),
            Within::After | Within::Before { .. } | Within::Word if !self.array => Ok(()),
            Within::Text | Within::Escape => Err("the text ends inside a string"),
            Within::Nested => Err("the text ends inside a value"),
            Within::After | Within::Before { .. } | Within::Word => Err("the text ends inside its array"),
        }
    }

    fn begin(&mut self, byte: u8, at: usize) -> Result<(), DecodeError> {
        self.position = match byte {
            b'{' | b'[' => {
                self.depth = 1;
                Within::Nested
            }
            b'"' => Within::Text,
            b',' | b':' | b']' | b'}' => return Err(stray(byte, "a value", at)),
            _ => Within::Word,
        };
        Ok(())
    }

    /// Goes through a value from `at` to its end, or the piece's.
    fn inside(&mut self, piece: &[u8], mut at: usize) -> usize {
        while at < piece.len() {
            if self.position == Within::Text {
                let Some(found) = memchr::memchr2(b'"', b'\\', &piece[at..]) else {
                    return piece.len();
                };
                at += found + 1;
                if piece[at - 1] == b'\\' {
                    self.position = Within::Escape;
                    return at;
                }
                self.position = if self.depth == 0 { Within::After } else { Within::Nested };
                if self.depth == 0 {
                    return at;
                }
                continue;
            }
            let (mut structure, next) = window(piece, at);
            let base = at;
            at = next;
            while structure != 0 {
                let here = base + structure.trailing_zeros() as usize;
                structure &= structure - 1;
                match piece[here] {
                    b'{' | b'[' => self.depth += 1,
                    b'"' => {
                        self.position = Within::Text;
                        at = here + 1;
                        break;
                    }
                    _ => {
                        self.depth -= 1;
                        if self.depth == 0 {
                            self.position = Within::After;
                            return here + 1;
                        }
                    }
                }
            }
        }
        at
    }
}

/// The outermost values of a block, which holds whole ones with what separates them.
#[derive(Debug, Default)]
pub(in crate::codec::decode) struct ValueEnds;

impl ValueEnds {
    /// The value at or behind `at`, which moves behind it.
    pub(in crate::codec::decode) fn next(&mut self, data: &[u8], at: &mut usize) -> Option<std::ops::Range<usize>> {
        while data.get(*at).is_some_and(|byte| *byte == b',' || byte.is_ascii_whitespace()) {
            *at += 1;
        }
        // What separates values was checked when the text was cut: a bracket here is the end of the object's array.
        if data.get(*at).is_none_or(|byte| *byte == b']') {
            *at = data.len();
            return None;
        }
        let mut scan = ValueScan { position: Within::Before { comma: false }, array: false, depth: 0 };
        let rest = &data[*at..];
        let length = scan.end(rest, 1).ok().flatten().unwrap_or(rest.len());
        let range = *at..*at + length;
        *at = range.end;
        Some(range)
    }
}

/// The quotes and brackets among the next 16 bytes, as a mask, and where the next window begins.
#[inline]
fn window(piece: &[u8], at: usize) -> (u32, usize) {
    let rest = &piece[at..];
    let (lane, next) = match rest.first_chunk::<16>() {
        Some(chunk) => (*chunk, at + 16),
        None => {
            let mut chunk = [0; 16];
            chunk[..rest.len()].copy_from_slice(rest);
            (chunk, piece.len())
        }
    };
    let lane = u8x16::new(lane);
    // `[` and `{`, `]` and `}` differ in one bit.
    let folded = lane | u8x16::splat(0x20);
    let found =
        lane.simd_eq(u8x16::splat(b'"')) | folded.simd_eq(u8x16::splat(b'{')) | folded.simd_eq(u8x16::splat(b'}'));
    (found.to_bitmask(), next)
}

fn stray(byte: u8, expected: &str, at: usize) -> DecodeError {
    let found = if byte.is_ascii_graphic() { format!("{:?}", char::from(byte)) } else { format!("byte {byte:#04x}") };
    DecodeError::Bad {
        reason: format!("{found} stands where {expected} was expected"),
        position: Some(Position { line: None, offset: at as u64 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str, step: usize) -> Result<Vec<String>, String> {
        let mut scan = ValueScan::new();
        let (mut values, mut value) = (Vec::new(), String::new());
        for piece in text.as_bytes().chunks(step) {
            let mut piece = piece;
            while let Some(end) =
                scan.end(piece, 1usize.saturating_sub(value.len())).map_err(|error| error.to_string())?
            {
                value += std::str::from_utf8(&piece[..end]).expect("ascii");
                values.push(std::mem::take(&mut value));
                piece = &piece[end..];
            }
            value += std::str::from_utf8(piece).expect("ascii");
        }
        scan.finish()?;
        values.push(value);
        Ok(values)
    }

    fn check(text: &str, expected: Result<&[&str], &str>) {
        let expected =
            expected.map(|values| values.iter().map(|&value| value.to_owned()).collect()).map_err(str::to_owned);
        for step in 1..=text.len().max(1) {
            assert_eq!(cut(text, step), expected, "{text:?} in steps of {step}");
        }
    }

    #[test]
    fn values_end_where_their_brackets_close() {
        check("[]", Ok(&["[", "]"]));
        check("", Ok(&[""]));
        check(" [ {} , {\"a\":[1,{}]} ]\n", Ok(&[" [", " {}", " , {\"a\":[1,{}]}", " ]\n"]));
        check("{\"a\":\"}\\\"]\"}", Ok(&["{\"a\":\"}\\\"]\"}", ""]));
        check("{}{} \n{}", Ok(&["{}", "{}", " \n{}", ""]));
        check("[1,\"a,]\",null]", Ok(&["[", "1", ",\"a,]\"", ",null", "]"]));
        check("1 2", Ok(&["1", " 2"]));
    }

    #[test]
    fn what_stands_between_values_is_checked() {
        check("[{},]", Err("']' stands where a value was expected"));
        check("[{} {}]", Err("'{' stands where a comma or the end of the array was expected"));
        check("[,{}]", Err("',' stands where a value was expected"));
        check("[{}] {}", Err("'{' stands where nothing behind the end of the array was expected"));
        check("[{}", Err("the text ends inside its array"));
        check("[{\"a\":1", Err("the text ends inside a value"));
        check("{\"a", Err("the text ends inside a string"));
        check("{},{}", Err("',' stands where a value was expected"));
    }
}
