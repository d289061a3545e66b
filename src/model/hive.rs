//! Hive partition directories: `country=DE/month=1`.

use std::borrow::Cow;
use std::sync::Arc;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::data_file::PartitionValues;

/// What stands for null, and for an empty text, which a directory cannot show (Hive's
/// `hive.exec.default.partition.name`).
pub const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// Everything in ASCII but letters, digits and `-_.~`. Spark and Hive escape fewer characters, but undo every `%XX`, as
/// DuckDB, Polars and pyarrow do; escaping what S3 advises against ("Naming Amazon S3 objects", characters to avoid)
/// keeps keys portable. Characters beyond ASCII stay as they are: Hive undoes escapes byte by byte and would tear them
/// apart.
const ESCAPED: AsciiSet = CONTROLS
    .add(b' ')
    .add(b'!')
    .add(b'"')
    .add(b'#')
    .add(b'$')
    .add(b'%')
    .add(b'&')
    .add(b'\'')
    .add(b'(')
    .add(b')')
    .add(b'*')
    .add(b'+')
    .add(b',')
    .add(b'/')
    .add(b':')
    .add(b';')
    .add(b'<')
    .add(b'=')
    .add(b'>')
    .add(b'?')
    .add(b'@')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A partition of a table: as directories, and as values. Without either where files have none. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Partition {
    /// `country=DE/month=1`.
    pub path: Arc<str>,
    /// What the directories show.
    pub values: PartitionValues,
}

/// A name or value as it stands in a directory.
pub fn escape(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte >= 0x80 || byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    // The encoder escapes whatever is not ASCII too, so runs of ASCII go through it and the rest goes around.
    let mut rest = text;
    while !rest.is_empty() {
        let ascii = rest.find(|c: char| !c.is_ascii()).unwrap_or(rest.len());
        escaped.extend(utf8_percent_encode(&rest[..ascii], &ESCAPED));
        let wide = rest[ascii..].find(|c: char| c.is_ascii()).unwrap_or(rest.len() - ascii);
        escaped.push_str(&rest[ascii..ascii + wide]);
        rest = &rest[ascii + wide..];
    }
    Cow::Owned(escaped)
}

/// One directory. `None` and an empty text give [`NULL`].
pub fn directory(name: &str, value: Option<&str>) -> String {
    match value {
        None | Some("") => format!("{}={NULL}", escape(name)),
        Some(value) => format!("{}={}", escape(name), escape(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn directories_are_spelled_as_hive_reads_them() {
        for (value, expected) in [
            (Some("DE"), "c=DE"),
            (Some("New York"), "c=New%20York"),
            (Some("a/b=c%"), "c=a%2Fb%3Dc%25"),
            (Some("2024-01-31"), "c=2024-01-31"),
            (Some("Zürich 1"), "c=Zürich%201"),
            (Some("a\u{0}\n\u{7f}"), "c=a%00%0A%7F"),
            (Some(".."), "c=.."),
            (Some(""), "c=__HIVE_DEFAULT_PARTITION__"),
            (None, "c=__HIVE_DEFAULT_PARTITION__"),
        ] {
            assert_eq!(directory("c", value), expected);
        }
        assert_eq!(directory("a=b", Some("1")), "a%3Db=1");
    }

    proptest! {
        #[test]
        fn escaping_is_undone_by_percent_decoding(text in any::<String>()) {
            let escaped = escape(&text).into_owned();
            let reserved = escaped.contains(|c: char| c.is_ascii_punctuation() && !"-_.~%".contains(c));
            prop_assert!(!reserved, "{}", escaped);
            prop_assert_eq!(percent_encoding::percent_decode_str(&escaped).decode_utf8().unwrap(), text);
        }
    }
}
