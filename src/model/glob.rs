//! Globs over keys and table names.
//!
//! `*` and `?` stop at `/`; `**/` is zero or more whole segments; `[a-z]`, `[!a-z]` and `{a,b}` choose; `\` takes the
//! next character as it is. Case counts. `?` and classes match one character (a Unicode scalar value), and a negated
//! class never matches `/`.

use std::fmt;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

/// A glob is at most this long: longer than any key (1,024 bytes, S3 user guide, "Object key names") twice over, and
/// short enough that its automaton is built at once.
pub const GLOB_BYTES_MAX: usize = 2048;

/// One glob. Two are equal when their texts are.
///
/// ```
/// use s3sync::model::glob::Glob;
///
/// let glob = Glob::new("raw/**/*.{csv,jsonl}")?;
/// assert!(glob.is_match("raw/a.csv") && glob.is_match("raw/2026/01/a.jsonl"));
/// assert!(!glob.is_match("raw/a.csv.gz") && !glob.is_match("Raw/a.csv"));
/// assert_eq!(glob.literal_prefix(), "raw/");
/// # Ok::<(), s3sync::model::glob::GlobError>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Glob {
    text: String,
    literal_prefix: String,
    regex: Regex,
}

/// Why a text is no glob.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// Nothing would match.
    #[error("a glob is empty: write ** to match everything")]
    Empty,
    /// See [`GLOB_BYTES_MAX`].
    #[error("the glob {glob:.40}... has {bytes} bytes, more than the {GLOB_BYTES_MAX} that a glob may have")]
    TooLong {
        /// The glob's text.
        glob: String,
        /// Its length.
        bytes: usize,
    },
    /// Brackets, braces or escapes that do not close.
    #[error("{glob:?} is not a glob: {reason}")]
    Syntax {
        /// The glob's text.
        glob: String,
        /// Why, as part of a sentence.
        reason: String,
    },
}

impl Glob {
    /// Parses a glob.
    pub fn new(text: &str) -> Result<Self, GlobError> {
        if text.is_empty() {
            return Err(GlobError::Empty);
        }
        if text.len() > GLOB_BYTES_MAX {
            return Err(GlobError::TooLong { glob: text.to_owned(), bytes: text.len() });
        }
        let syntax = |reason: String| GlobError::Syntax { glob: text.to_owned(), reason };
        let parsed = globset::GlobBuilder::new(text)
            .literal_separator(true)
            .backslash_escape(true)
            .empty_alternates(true)
            .build()
            .map_err(|error| syntax(error.kind().to_string()))?;
        let regex = RegexBuilder::new(&over_characters(parsed.regex()))
            .dot_matches_new_line(true)
            .build()
            .map_err(|error| syntax(error.to_string()))?;
        Ok(Self { text: text.to_owned(), literal_prefix: literal_prefix(text), regex })
    }

    /// Whether the whole of `text` matches.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// What everything that matches begins with: the text before the first wildcard, without its escapes.
    pub fn literal_prefix(&self) -> &str {
        &self.literal_prefix
    }

    /// The one text that matches, where there is only one.
    pub fn literal(&self) -> Option<&str> {
        let mut characters = self.text.chars();
        while let Some(c) = characters.next() {
            match c {
                '\\' => drop(characters.next()),
                '*' | '?' | '[' | '{' => return None,
                _ => {}
            }
        }
        Some(&self.literal_prefix)
    }

    /// The regular expression that the whole of a text must match.
    pub fn expression(&self) -> &str {
        self.regex.as_str()
    }

    /// The glob as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// What everything begins with that any of the globs matches; empty when there are no globs.
pub fn common_literal_prefix(globs: &[Glob]) -> &str {
    let Some((first, rest)) = globs.split_first() else { return "" };
    rest.iter().fold(first.literal_prefix(), |common, glob| shared_prefix(common, glob.literal_prefix()))
}

/// The longest text that both begin with.
pub fn shared_prefix<'a>(a: &'a str, b: &str) -> &'a str {
    let bytes: usize = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
    &a[..bytes]
}

/// globset's expressions work on bytes, where `?` would match half of an `é`. This is the same expression over
/// characters: the escapes of bytes above ASCII become the characters they spell, and a negated class gets the `/` that
/// it must not match.
fn over_characters(regex: &str) -> String {
    let mut bytes = Vec::with_capacity(regex.len());
    let mut rest = regex.strip_prefix("(?-u)").unwrap_or(regex).as_bytes();
    loop {
        rest = match rest {
            [b'\\', b'x', high, low, rest @ ..] => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16).unwrap_or(0) as u8;
                bytes.push(digit(high) << 4 | digit(low));
                rest
            }
            [b'\\', escaped, rest @ ..] => {
                bytes.extend([b'\\', *escaped]);
                rest
            }
            [b'[', b'^', rest @ ..] => {
                bytes.extend(b"[^/");
                rest
            }
            [byte, rest @ ..] => {
                bytes.push(*byte);
                rest
            }
            [] => return String::from_utf8_lossy(&bytes).into_owned(),
        }
    }
}

fn literal_prefix(text: &str) -> String {
    let mut literal = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '*' | '?' | '[' | '{' => break,
            '\\' => literal.extend(characters.next()),
            other => literal.push(other),
        }
    }
    literal
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Glob {}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Glob {
    type Error = GlobError;

    fn try_from(text: String) -> Result<Self, GlobError> {
        Self::new(&text)
    }
}

impl From<Glob> for String {
    fn from(glob: Glob) -> Self {
        glob.text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn globs_match_whole_keys() {
        for (glob, key, expected) in [
            ("a.csv", "a.csv", true),
            ("a.csv", "b/a.csv", false),
            ("*.csv", "a.csv", true),
            ("*.csv", "b/a.csv", false),
            ("**/*.csv", "a.csv", true),
            ("**/*.csv", "b/c/a.csv", true),
            ("**/*.csv.gz", "b/a.csv", false),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "axb", false),
            ("a/**", "a/b/c", true),
            ("a/**", "ab", false),
            ("**", "any/thing\nat all", true),
            ("a?c", "abc", true),
            ("a?c", "aéc", true),
            ("a?c", "a/c", false),
            ("[à-ü]", "é", true),
            ("[à-ü]", "e", false),
            ("é*", "été", true),
            ("[!a]", "b", true),
            ("[!a]", "/", false),
            ("[a-c]x", "bx", true),
            ("[a-c]x", "dx", false),
            ("{a,b/*}.csv", "b/x.csv", true),
            ("{a,b/*}.csv", "c.csv", false),
            ("a{,.gz}", "a", true),
            (r"\*", "*", true),
            (r"\*", "x", false),
            (r"a\\x41", r"a\x41", true),
            ("A", "a", false),
            ("a.c", "abc", false),
        ] {
            assert_eq!(Glob::new(glob).unwrap().is_match(key), expected, "{glob} on {key}");
        }
    }

    #[test]
    fn what_is_no_glob_is_said() {
        for (text, expected) in [
            ("", "a glob is empty: write ** to match everything"),
            ("[a", r#""[a" is not a glob: unclosed character class; missing ']'"#),
            ("{a", r#""{a" is not a glob: unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)"#),
            (r"a\", r#""a\\" is not a glob: dangling '\'"#),
        ] {
            assert_eq!(Glob::new(text).unwrap_err().to_string(), expected, "{text}");
        }
        assert!(matches!(Glob::new(&"a".repeat(GLOB_BYTES_MAX + 1)), Err(GlobError::TooLong { .. })));
    }

    #[test]
    fn literal_prefixes() {
        for (globs, expected) in [
            (&["a/b/*.csv"][..], "a/b/"),
            (&["a/b.csv"], "a/b.csv"),
            (&[r"a\*b/c?"], "a*b/c"),
            (&["**/x"], ""),
            (&["a/{b,c}"], "a/"),
            (&["a/x/*", "a/y/*"], "a/"),
            (&["é/1", "è/1"], ""),
            (&[], ""),
        ] {
            let parsed: Vec<Glob> = globs.iter().map(|glob| Glob::new(glob).unwrap()).collect();
            assert_eq!(common_literal_prefix(&parsed), expected, "{globs:?}");
        }
    }

    #[test]
    fn serialises_as_its_text() {
        let glob = Glob::new("a/*.csv").unwrap();
        let json = serde_json::to_string(&glob).unwrap();
        assert_eq!(json, r#""a/*.csv""#);
        assert_eq!(serde_json::from_str::<Glob>(&json).unwrap(), glob);
        assert!(serde_json::from_str::<Glob>(r#""[a""#).is_err());
    }

    proptest! {
        #[test]
        fn ascii_globs_mean_what_globset_says(glob in r"([ab/.*?,-]|\*\*/|\[ab\]|\{a,b\}|\\\*){1,8}", key in "[ab/.*,]{0,8}") {
            let reference = globset::GlobBuilder::new(&glob).literal_separator(true).backslash_escape(true).build();
            if let Ok(reference) = reference {
                prop_assert_eq!(Glob::new(&glob).unwrap().is_match(&key), reference.compile_matcher().is_match(&key));
            }
        }

        #[test]
        fn what_matches_begins_with_the_literal_prefix(glob in r"([abé/*?]|\*\*/|\[ab\]|\{a,b\}|\\\*){1,6}", key in "[abé/*]{0,8}") {
            if let Ok(glob) = Glob::new(&glob) && glob.is_match(&key) {
                prop_assert!(key.starts_with(glob.literal_prefix()));
            }
        }

        #[test]
        fn a_key_escaped_matches_itself_alone(key in r"[a-cé/*?\[\]{}\\,!^ -]{1,12}", other in "[a-c/*]{1,4}") {
            let escaped: String = key.chars().flat_map(|c| ['\\', c]).collect();
            let glob = Glob::new(&escaped).unwrap();
            prop_assert!(glob.is_match(&key));
            prop_assert_eq!(glob.is_match(&other), other == key);
        }
    }
}
