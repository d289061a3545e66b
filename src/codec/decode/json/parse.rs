//! The tokens of JSON (RFC 8259).

use std::borrow::Cow;
use std::ops::Range;

use wide::u8x16;

/// Levels of nesting that are read: a row's object, and what a column may have.
pub(super) const DEPTH_MAX: usize = crate::model::schema::DEPTH_MAX + 1;

/// Why a value was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The text is not JSON, at this offset.
    Syntax(usize, &'static str),
    /// The value is JSON, and its column cannot hold it.
    Misfit,
}

/// A string between its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Whether it has escapes.
    pub(super) escaped: bool,
}

impl Text {
    pub(super) fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

/// A place in a text.
#[derive(Clone, Debug)]
pub(super) struct Parser<'a> {
    pub(super) data: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn fault<T>(&self, what: &'static str) -> Result<T, Fault> {
        Err(Fault::Syntax(self.at, what))
    }

    #[inline]
    pub(super) fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.data.get(self.at) {
            self.at += 1;
        }
    }

    /// The next byte that is no white space.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        match self.data.get(self.at) {
            Some(byte) if *byte > b' ' => Some(*byte),
            _ => {
                self.space();
                self.data.get(self.at).copied()
            }
        }
    }

    /// Takes this byte, or says what is missing.
    #[inline]
    pub(super) fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Fault> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        self.fault(what)
    }

    /// `true`, `false` or `null`.
    #[inline]
    pub(super) fn word(&mut self, word: &'static [u8]) -> Result<(), Fault> {
        if self.data[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        self.fault("a value was expected")
    }

    /// A string, from its opening quote. Its escapes are not checked yet.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Text, Fault> {
        let start = self.at + 1;
        let (mut at, mut escaped) = (start, false);
        loop {
            at = special(self.data, at);
            match self.data.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(Text { start, end: at, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    at += 2;
                }
                Some(_) => {
                    self.at = at;
                    return self.fault("a control character stands inside a string");
                }
                None => {
                    self.at = self.data.len();
                    return self.fault("the text ends inside a string");
                }
            }
        }
    }

    /// A number: `-?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)?`.
    #[inline]
    pub(super) fn number(&mut self) -> Result<&'a [u8], Fault> {
        let rest = &self.data[self.at..];
        let digits = |mut at: usize| {
            while rest.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            at
        };
        let first = usize::from(rest.first() == Some(&b'-'));
        let mut at = digits(first);
        if at == first || (rest[first] == b'0' && at > first + 1) {
            return self.fault("a value was expected");
        }
        if rest.get(at) == Some(&b'.') {
            let fraction = at + 1;
            at = digits(fraction);
            if at == fraction {
                return self.fault("a number has no digit behind its point");
            }
        }
        if let Some(b'e' | b'E') = rest.get(at) {
            let exponent = at + 1 + usize::from(matches!(rest.get(at + 1), Some(b'+' | b'-')));
            at = digits(exponent);
            if at == exponent {
                return self.fault("a number has no digit in its exponent");
            }
        }
        self.at += at;
        Ok(&rest[..at])
    }

    /// Skips a value, checking it.
    pub(super) fn skip(&mut self, depth: usize) -> Result<(), Fault> {
        match self.peek() {
            Some(b'"') => {
                let text = self.string()?;
                if text.escaped { self.unescape(text, &mut Vec::new()) } else { Ok(()) }
            }
            Some(b'{') => self.object(depth, |parser, key| {
                if key.escaped {
                    parser.unescape(key, &mut Vec::new())?;
                }
                parser.skip(depth + 1)
            }),
            Some(b'[') => self.array(depth, |parser| parser.skip(depth + 1)),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            Some(_) => self.number().map(drop),
            None => self.fault("the text ends where a value was expected"),
        }
    }

    /// An object: `member` is called behind each key and its colon, and takes the value.
    #[inline]
    pub(super) fn object(
        &mut self,
        depth: usize,
        mut member: impl FnMut(&mut Self, Text) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.enter(depth)?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return self.fault("a key was expected");
            }
            let key = self.string()?;
            self.expect(b':', "a colon was expected")?;
            member(self, key)?;
            if !self.more(b'}', "a comma or the end of the object was expected")? {
                return Ok(());
            }
        }
    }

    /// An array: `item` takes each value.
    #[inline]
    pub(super) fn array(
        &mut self,
        depth: usize,
        mut item: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.enter(depth)?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            item(self)?;
            if !self.more(b']', "a comma or the end of the array was expected")? {
                return Ok(());
            }
        }
    }

    /// Takes the opening bracket.
    pub(super) fn enter(&mut self, depth: usize) -> Result<(), Fault> {
        if depth >= DEPTH_MAX {
            return self.fault("values are nested more than 41 levels deep");
        }
        self.at += 1;
        Ok(())
    }

    /// Behind a value: whether a comma says that another follows, or the bracket that none does.
    #[inline]
    pub(super) fn more(&mut self, end: u8, what: &'static str) -> Result<bool, Fault> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == end => {
                self.at += 1;
                Ok(false)
            }
            _ => self.fault(what),
        }
    }

    /// A string's characters.
    pub(super) fn content(&self, text: Text) -> Result<Cow<'a, [u8]>, Fault> {
        if !text.escaped {
            return Ok(Cow::Borrowed(&self.data[text.range()]));
        }
        let mut content = Vec::new();
        self.unescape(text, &mut content)?;
        Ok(Cow::Owned(content))
    }

    /// Appends a string's characters, its escapes resolved.
    pub(super) fn unescape(&self, text: Text, out: &mut Vec<u8>) -> Result<(), Fault> {
        let mut at = text.start;
        while let Some(found) = memchr::memchr(b'\\', &self.data[at..text.end]) {
            out.extend_from_slice(&self.data[at..at + found]);
            at += found;
            let fault = |what| Err(Fault::Syntax(at, what));
            let mut used = 2;
            match self.data[at + 1] {
                byte @ (b'"' | b'\\' | b'/') => out.push(byte),
                b'b' => out.push(8),
                b'f' => out.push(12),
                b'n' => out.push(b'\n'),
                b'r' => out.push(b'\r'),
                b't' => out.push(b'\t'),
                b'u' => {
                    let Some(first) = self.code_unit(at, text.end) else {
                        return fault("an escape is not four digits");
                    };
                    used = 6;
                    let code = match first {
                        0xd800..=0xdbff => {
                            used = 12;
                            let Some(second @ 0xdc00..=0xdfff) = self.code_unit(at + 6, text.end) else {
                                return fault("an escape is half of a surrogate pair");
                            };
                            0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                        }
                        code => code,
                    };
                    let Some(character) = char::from_u32(code) else {
                        return fault("an escape is half of a surrogate pair");
                    };
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => return fault("an escape is unknown"),
            }
            at += used;
        }
        out.extend_from_slice(&self.data[at..text.end]);
        Ok(())
    }

    /// The code unit that the four hexadecimal digits of a `\u` escape spell.
    fn code_unit(&self, at: usize, end: usize) -> Option<u32> {
        let escape = self.data.get(at..at + 6).filter(|_| at + 6 <= end)?;
        let digits = escape.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
    }
}

/// The first quote, backslash or control character from `at` on.
#[inline]
fn special(data: &[u8], mut at: usize) -> usize {
    while let Some(lane) = data.get(at..).and_then(|rest| rest.first_chunk::<16>()) {
        let lane = u8x16::new(*lane);
        let control = lane.min(u8x16::splat(0x1f)).simd_eq(lane);
        let found = lane.simd_eq(u8x16::splat(b'"')) | lane.simd_eq(u8x16::splat(b'\\')) | control;
        let mask = found.to_bitmask();
        if mask != 0 {
            return at + mask.trailing_zeros() as usize;
        }
        at += 16;
    }
    while data.get(at).is_some_and(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
        at += 1;
    }
    at
}

/// Appends a value's text without the white space around its tokens.
pub(in crate::codec) fn minify(value: &[u8], out: &mut Vec<u8>) {
    let mut rest = value;
    while let Some(quote) = memchr::memchr(b'"', rest) {
        out.extend(rest[..quote].iter().filter(|byte| !byte.is_ascii_whitespace()));
        let mut end = quote + 1;
        while let Some(found) = memchr::memchr2(b'"', b'\\', rest.get(end..).unwrap_or_default()) {
            end += found + 1;
            if rest[end - 1] == b'"' {
                break;
            }
            end += 1;
        }
        let (string, after) = rest.split_at(end.min(rest.len()));
        out.extend_from_slice(&string[quote..]);
        rest = after;
    }
    out.extend(rest.iter().filter(|byte| !byte.is_ascii_whitespace()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn skip(text: &str) -> Result<usize, (usize, &'static str)> {
        let mut parser = Parser { data: text.as_bytes(), at: 0 };
        match parser.skip(0) {
            Ok(()) => Ok(parser.at),
            Err(Fault::Syntax(at, what)) => Err((at, what)),
            Err(Fault::Misfit) => Err((0, "misfit")),
        }
    }

    #[test]
    fn values_are_checked_to_the_byte() {
        for (text, expected) in [
            ("{\"a\":[1,2.5e-3,\"x\\n\\ud83d\\ude00\",true,false,null,{}]} ", Ok(53)),
            ("01", Err((0, "a value was expected"))),
            ("-", Err((0, "a value was expected"))),
            (".5", Err((0, "a value was expected"))),
            ("1.", Err((0, "a number has no digit behind its point"))),
            ("1e+", Err((0, "a number has no digit in its exponent"))),
            ("nul", Err((0, "a value was expected"))),
            ("\"a", Err((2, "the text ends inside a string"))),
            ("\"a\\", Err((3, "the text ends inside a string"))),
            ("\"a\tb\"", Err((2, "a control character stands inside a string"))),
            ("\"\\x\"", Err((1, "an escape is unknown"))),
            ("\"\\u12g4\"", Err((1, "an escape is not four digits"))),
            ("\"\\ud800\"", Err((1, "an escape is half of a surrogate pair"))),
            ("\"\\udc00\"", Err((1, "an escape is half of a surrogate pair"))),
            ("\"\\ud800\\u0041\"", Err((1, "an escape is half of a surrogate pair"))),
            ("{\"a\" 1}", Err((5, "a colon was expected"))),
            ("{a:1}", Err((1, "a key was expected"))),
            ("{\"a\":1,}", Err((7, "a key was expected"))),
            ("[1 2]", Err((3, "a comma or the end of the array was expected"))),
            ("{\"a\":1", Err((6, "a comma or the end of the object was expected"))),
            ("", Err((0, "the text ends where a value was expected"))),
        ] {
            assert_eq!(skip(text), expected, "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(skip(&nested(DEPTH_MAX)), Ok(2 * DEPTH_MAX));
        assert_eq!(skip(&nested(10_000)), Err((DEPTH_MAX, "values are nested more than 41 levels deep")));
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                proptest::collection::vec((any::<String>(), inner), 0..5)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_serde_writes_is_skipped_and_minified(value in any_json()) {
            let compact = value.to_string();
            prop_assert_eq!(skip(&compact), Ok(compact.len()));
            let mut out = Vec::new();
            minify(serde_json::to_string_pretty(&value).expect("json").as_bytes(), &mut out);
            prop_assert_eq!(String::from_utf8(out).expect("utf-8"), compact);
        }

        #[test]
        fn we_and_serde_agree_on_what_json_is(text in "[{}\\[\\]\",:0-9eE.\\\\ntrufalse -]{0,16}") {
            let whole = skip(&text).is_ok_and(|end| text[end..].trim_matches([' ', '\t', '\n', '\r']).is_empty());
            // serde reads numbers into float64 and refuses those beyond it.
            let serde = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(whole, serde, "{}", text);
        }

        #[test]
        fn strings_are_unescaped_as_serde_does(text: String) {
            let json = serde_json::Value::from(text.clone()).to_string();
            let mut parser = Parser { data: json.as_bytes(), at: 0 };
            let string = parser.string().expect("a string");
            let mut out = Vec::new();
            parser.unescape(string, &mut out).expect("escapes");
            prop_assert_eq!(String::from_utf8(out).expect("utf-8"), text);
        }
    }
}
