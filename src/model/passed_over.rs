//! Objects of a listing that are not read, counted by reason, so that a prefix of which nothing is read never looks
//! like success without a word.

use std::collections::BTreeMap;

use serde::Serialize;

/// Why an object is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// Its extension names no format, and neither does the spec.
    UnknownExtension,
    /// No glob of `include` matches.
    NotIncluded,
    /// A glob of `exclude` matches.
    Excluded,
    /// Its table is none of `tables.include`.
    OtherTable,
    /// An empty object whose key ends in `/`.
    DirectoryMarker,
    /// It is state of a sync.
    State,
}

impl Reason {
    /// The reason as the rest of a sentence that begins with a number.
    fn text(self) -> &'static str {
        match self {
            Reason::UnknownExtension => "of no known extension",
            Reason::NotIncluded => "not in source.include",
            Reason::Excluded => "in source.exclude",
            Reason::OtherTable => "of tables not in tables.include",
            Reason::DirectoryMarker => "empty directory markers",
            Reason::State => "state",
        }
    }
}

/// How many objects were passed over, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassedOver {
    counts: BTreeMap<Reason, u64>,
    extensions: Extensions,
}

impl PassedOver {
    /// Counts one object.
    pub fn add(&mut self, reason: Reason, key: &str) {
        *self.counts.entry(reason).or_default() += 1;
        if reason == Reason::UnknownExtension {
            self.extensions.add(key);
        }
    }

    /// Counts one object, where there is a reason.
    pub fn note(&mut self, reason: Option<Reason>, key: &str) {
        if let Some(reason) = reason {
            self.add(reason, key);
        }
    }

    /// Objects of one reason.
    pub fn count(&self, reason: Reason) -> u64 {
        self.counts.get(&reason).copied().unwrap_or(0)
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The counts as a part of a sentence: `12 of no known extension (.txt 10, .md 2), 1 in source.exclude`. State is
    /// left out: it is ours, and nobody misses it.
    pub fn text(&self) -> Option<String> {
        let told = self.counts.iter().filter(|(reason, _)| **reason != Reason::State);
        let parts: Vec<String> = told
            .map(|(reason, count)| match reason {
                Reason::UnknownExtension => format!("{count} {} ({})", reason.text(), self.extensions),
                _ => format!("{count} {}", reason.text()),
            })
            .collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

impl Serialize for PassedOver {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(&self.counts)
    }
}

/// Extensions of keys, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    counts: BTreeMap<String, u64>,
    others: u64,
}

/// Extensions that are told apart: people read a few, and keys may have any.
const EXTENSIONS_MAX: usize = 8;

/// Bytes of what is taken for an extension: what is longer is a part of a name.
const EXTENSION_BYTES_MAX: usize = 16;

/// What stands for keys without an extension.
const NONE: &str = "none";

impl Extensions {
    /// Counts a key.
    pub fn add(&mut self, key: &str) {
        let extension = extension_of(key);
        let room = self.counts.len() < EXTENSIONS_MAX;
        match self.counts.get_mut(extension) {
            Some(count) => *count += 1,
            None if room => drop(self.counts.insert(extension.to_owned(), 1)),
            None => self.others += 1,
        }
    }

    /// How many are told apart.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether no key was counted.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The counts by extension.
    pub fn counts(&self) -> &BTreeMap<String, u64> {
        &self.counts
    }
}

impl std::fmt::Display for Extensions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut counts: Vec<(&String, &u64)> = self.counts.iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let mut parts: Vec<String> =
            counts.into_iter().map(|(extension, count)| format!("{extension} {count}")).collect();
        if self.others > 0 {
            parts.push(format!("others {}", self.others));
        }
        f.write_str(&parts.join(", "))
    }
}

/// The last extension of a key, with its point.
fn extension_of(key: &str) -> &str {
    let name = key.rsplit('/').next().unwrap_or_default();
    match name.rfind('.') {
        Some(point) if point > 0 && name.len() - point > 1 && name.len() - point <= EXTENSION_BYTES_MAX => {
            &name[point..]
        }
        _ => NONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_reasons_and_extensions() {
        let mut passed = PassedOver::default();
        assert_eq!((passed.text(), passed.is_empty()), (None, true));
        for key in ["a/x.txt", "a/y.txt", "a/_SUCCESS", "a/.hidden", "b.d/part-0000"] {
            passed.add(Reason::UnknownExtension, key);
        }
        passed.add(Reason::Excluded, "old/a.csv");
        passed.add(Reason::State, "_s3sync/x.s3sync");
        assert_eq!(passed.text().as_deref(), Some("5 of no known extension (none 3, .txt 2), 1 in source.exclude"));
        assert_eq!(
            serde_json::to_value(&passed).unwrap(),
            serde_json::json!({"unknownExtension": 5, "excluded": 1, "state": 1})
        );
    }

    #[test]
    fn extensions_are_bounded() {
        let mut extensions = Extensions::default();
        for number in 0..1000 {
            extensions.add(&format!("a.{number}"));
        }
        assert_eq!((extensions.len(), extensions.others), (EXTENSIONS_MAX, 1000 - EXTENSIONS_MAX as u64));
        assert_eq!(extension_of("a/v1.2.a very long part of a name"), NONE);
    }
}
