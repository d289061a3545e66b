//! Which table an object belongs to: a rule over keys, and the names that it gives.

use std::collections::HashMap;

use regex::Regex;

use super::format::Compression;
use super::settings::TableRule;

/// The group of `tables.pattern` that names the table.
pub const PATTERN_GROUP: &str = "table";

/// A rule, ready to name keys.
#[derive(Clone, Debug)]
pub enum TableNamer {
    /// See [`TableRule::Prefix`].
    Prefix,
    /// See [`TableRule::Fixed`].
    Fixed(String),
    /// See [`TableRule::Pattern`].
    Pattern(Regex),
}

/// The table of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named<'a> {
    /// The table's name: `[A-Za-z0-9_]+`, neither beginning nor ending with `_`.
    pub table: String,
    /// What of the key gave the name: the directories with their last `/`, a root object's stem, or what the pattern
    /// captured. Two sources of one name are a collision. Empty for a fixed name.
    pub source: &'a str,
}

/// Why a key has no table, or two sources have one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Nothing is left of the name.
    #[error("{key:?} names no table: {from:?} has no letter or digit, set tables.from to Fixed or exclude the object")]
    Empty {
        /// The object's key.
        key: String,
        /// What the name is made from.
        from: String,
    },
    /// The pattern does not match.
    #[error("{key:?} names no table: tables.pattern does not match it, widen the pattern or exclude the object")]
    NoMatch {
        /// The object's key.
        key: String,
    },
    /// The pattern's text is no expression, or has no group `table`.
    #[error("tables.pattern cannot name tables: {reason}")]
    Pattern {
        /// Why, as part of a sentence.
        reason: String,
    },
    /// Two sources give one name.
    #[error(
        "{first:?} and {second:?} are both named table {table:?}: rename one, exclude one, or set tables.from to Fixed to make them one table"
    )]
    Collision {
        /// The name.
        table: String,
        /// The source that had it first, in key order.
        first: String,
        /// The source that has it too.
        second: String,
    },
    /// See [`TableSources::BYTES_MAX`].
    #[error(
        "more than {tables} tables are found: set tables.from to Fixed or Pattern so that fewer are, or split the sync by source.prefix"
    )]
    TooMany {
        /// Tables found so far.
        tables: usize,
    },
}

impl TableNamer {
    /// Prepares a rule.
    pub fn new(rule: &TableRule) -> Result<Self, TableError> {
        match rule {
            TableRule::Prefix => Ok(Self::Prefix),
            TableRule::Fixed { name } => Ok(Self::Fixed(
                sanitise(name).ok_or_else(|| TableError::Empty { key: name.clone(), from: name.clone() })?,
            )),
            TableRule::Pattern { pattern } => {
                let regex = Regex::new(pattern)
                    .map_err(|error| TableError::Pattern { reason: error.to_string().replace('\n', " ") })?;
                if !regex.capture_names().any(|name| name == Some(PATTERN_GROUP)) {
                    return Err(TableError::Pattern { reason: format!("it has no group (?<{PATTERN_GROUP}>...)") });
                }
                Ok(Self::Pattern(regex))
            }
        }
    }

    /// The table's name.
    pub fn name(&self, key: &str) -> Result<String, TableError> {
        self.named(key).map(|named| named.table)
    }

    /// The table's name, and what of the key gave it.
    pub fn named<'a>(&self, key: &'a str) -> Result<Named<'a>, TableError> {
        let source = match self {
            Self::Fixed(table) => return Ok(Named { table: table.clone(), source: "" }),
            Self::Prefix => source_of_prefix(key),
            Self::Pattern(regex) => regex
                .captures(key)
                .and_then(|captures| captures.name(PATTERN_GROUP))
                .ok_or_else(|| TableError::NoMatch { key: key.to_owned() })?
                .as_str(),
        };
        let table =
            sanitise(source).ok_or_else(|| TableError::Empty { key: key.to_owned(), from: source.to_owned() })?;
        Ok(Named { table, source })
    }
}

/// The directories of a key, or the stem of one that has none.
fn source_of_prefix(key: &str) -> &str {
    match key.rfind('/') {
        Some(last) => &key[..=last],
        None => {
            let (name, _) = Compression::strip_extension(key);
            name.rsplit_once('.').map_or(name, |(stem, _)| stem)
        }
    }
}

/// A text as a table's name: other characters than `[A-Za-z0-9_]` become `_`, runs of `_` one, none at the ends. `None`
/// when nothing is left.
pub fn sanitise(text: &str) -> Option<String> {
    let mut name = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii_alphanumeric() {
            name.push(character);
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    name.truncate(name.trim_end_matches('_').len());
    (!name.is_empty()).then_some(name)
}

/// Remembers which source each table's name came from, so that a second source is seen. Memory grows with tables, never
/// with objects.
#[derive(Debug, Default)]
pub struct TableSources {
    sources: HashMap<String, String>,
    bytes: usize,
}

impl TableSources {
    /// Names and sources together are kept up to 32 MiB: some 300,000 tables, thirty times what a sync is made for, and
    /// in the worst case (keys of 1,024 bytes) still 16,000.
    pub const BYTES_MAX: usize = 32 << 20;

    /// Takes one key's table in. Errors when the name came from another source before.
    pub fn add(&mut self, named: &Named<'_>) -> Result<(), TableError> {
        match self.sources.get(&named.table) {
            Some(first) if first == named.source => Ok(()),
            Some(first) => Err(collision(&named.table, first, named.source)),
            None => {
                self.bytes += named.table.len() + named.source.len();
                if self.bytes > Self::BYTES_MAX {
                    return Err(TableError::TooMany { tables: self.sources.len() });
                }
                self.sources.insert(named.table.clone(), named.source.to_owned());
                Ok(())
            }
        }
    }

    /// The source of a table.
    pub fn source(&self, table: &str) -> Option<&str> {
        self.sources.get(table).map(String::as_str)
    }
}

/// The error for two sources of one table.
pub fn collision(table: &str, first: &str, second: &str) -> TableError {
    TableError::Collision { table: table.to_owned(), first: first.to_owned(), second: second.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(rule: &TableRule, key: &str, expected: Result<(&str, &str), &str>) {
        let named = TableNamer::new(rule).unwrap().named(key).map_err(|error| error.to_string());
        let named = named.as_ref().map(|named| (named.table.as_str(), named.source)).map_err(String::as_str);
        assert_eq!(named, expected, "{key}");
    }

    #[test]
    fn prefixes_name_tables() {
        for (key, expected) in [
            ("datafile_0.parquet", Ok(("datafile_0", "datafile_0"))),
            ("data/2024/x.parquet", Ok(("data_2024", "data/2024/"))),
            ("data/2024/y.csv.gz", Ok(("data_2024", "data/2024/"))),
            ("a.csv.gz", Ok(("a", "a"))),
            ("a.b.csv", Ok(("a_b", "a.b"))),
            ("noextension", Ok(("noextension", "noextension"))),
            ("a-b/x.csv", Ok(("a_b", "a-b/"))),
            ("/a//b__c/x.csv", Ok(("a_b_c", "/a//b__c/"))),
            ("Été/x.csv", Ok(("t", "Été/"))),
            (
                "_/x.csv",
                Err(
                    r#""_/x.csv" names no table: "_/" has no letter or digit, set tables.from to Fixed or exclude the object"#,
                ),
            ),
            (
                ".csv",
                Err(
                    r#"".csv" names no table: "" has no letter or digit, set tables.from to Fixed or exclude the object"#,
                ),
            ),
        ] {
            check(&TableRule::Prefix, key, expected);
        }
    }

    #[test]
    fn patterns_and_fixed_names() {
        let pattern = TableRule::Pattern { pattern: "^events/(?<table>[^/]+)/".to_owned() };
        check(&pattern, "events/order-lines/1.csv", Ok(("order_lines", "order-lines")));
        check(
            &pattern,
            "other/1.csv",
            Err(
                r#""other/1.csv" names no table: tables.pattern does not match it, widen the pattern or exclude the object"#,
            ),
        );
        check(&TableRule::Fixed { name: "my table".to_owned() }, "any/1.csv", Ok(("my_table", "")));
    }

    #[test]
    fn rules_that_cannot_name_are_refused() {
        for (rule, expected) in [
            (TableRule::Pattern { pattern: "events/".to_owned() }, "it has no group (?<table>...)"),
            (TableRule::Pattern { pattern: "(".to_owned() }, "unclosed group"),
            (TableRule::Fixed { name: "--".to_owned() }, "no letter or digit"),
        ] {
            let error = TableNamer::new(&rule).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn two_sources_of_one_name_collide() {
        let namer = TableNamer::Prefix;
        for (keys, expected) in [
            (["a/1.csv", "a/2.csv", "b/1.csv"], None),
            (["a-b/1.csv", "a/b/1.csv", "c.csv"], Some(("a-b/", "a/b/"))),
            (["a.csv", "a.json", "a.csv.gz"], None),
            (["a.csv", "a/1.csv", "b.csv"], Some(("a", "a/"))),
        ] {
            let mut sources = TableSources::default();
            let found = keys.iter().try_for_each(|key| sources.add(&namer.named(key).unwrap()));
            let expected = expected.map(|(first, second)| collision(&namer.name(keys[1]).unwrap(), first, second));
            assert_eq!(found.err(), expected, "{keys:?}");
        }
    }

    #[test]
    fn sources_are_bounded() {
        let mut sources = TableSources::default();
        let source = "x".repeat(1 << 20);
        let full = (0..64).try_for_each(|n| sources.add(&Named { table: format!("t{n}"), source: &source }));
        assert_eq!(full, Err(TableError::TooMany { tables: 31 }));
    }

    proptest! {
        #[test]
        fn names_are_clean_and_stable(text in "[a-zA-Z0-9_/. é-]{0,12}") {
            if let Some(name) = sanitise(&text) {
                prop_assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
                prop_assert!(!name.contains("__") && !name.starts_with('_') && !name.ends_with('_'));
                prop_assert_eq!(sanitise(&name), Some(name));
            } else {
                prop_assert!(!text.bytes().any(|byte| byte.is_ascii_alphanumeric()));
            }
        }
    }
}
