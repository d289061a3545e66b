//! Every key that a template can give, seen from outside: what a sync that would read its own output is found by.

use std::fmt;

use super::{Piece, Placeholder, Template, extension};
use crate::model::hive;
use crate::model::settings::{PartitionRule, Settings};

/// A superset of the keys that a template can give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyShape(Vec<ShapeToken>);

/// A piece of a [`KeyShape`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShapeToken {
    /// Exactly this.
    Literal(String),
    /// Any text without `/`, also none.
    Segment,
    /// Any text, also none.
    Any,
}

impl Template {
    /// The keys that this template can give in any run of the resource `sync` (its name), with this extension and these
    /// partitions.
    pub fn possible_keys(&self, sync: &str, extension: &str, partition_by: &[PartitionRule]) -> KeyShape {
        let partition: Vec<ShapeToken> = partition_by
            .iter()
            .enumerate()
            .flat_map(|(at, rule)| {
                let separator = if at > 0 { "/" } else { "" };
                [ShapeToken::Literal(format!("{separator}{}=", hive::escape(&rule.name))), ShapeToken::Segment]
            })
            .collect();
        let mut shape = KeyShape(Vec::new());
        let last_slash = self.pieces.iter().rposition(|piece| matches!(piece, Piece::Text(text) if text.contains('/')));
        let before_name = !self.places_partition() && !partition.is_empty();
        if before_name && last_slash.is_none() {
            shape.extend_partition(&partition, self.dir_in_name(0));
        }
        // Whether a key may be at the start of a segment here: then what is empty takes the `/` after it along.
        let mut may_begin = true;
        let mut swallow = false;
        for (at, piece) in self.pieces.iter().enumerate() {
            match piece {
                Piece::Text(text) => {
                    let text = if swallow { text.strip_prefix('/').unwrap_or(text) } else { text };
                    may_begin = text.ends_with('/') || (text.is_empty() && may_begin);
                    if before_name && last_slash == Some(at) {
                        let cut = text.rfind('/').map_or(0, |slash| slash + 1);
                        shape.literal(&text[..cut]);
                        shape.extend_partition(&partition, self.dir_in_name(at + 1));
                        shape.literal(&text[cut..]);
                    } else {
                        shape.literal(text);
                    }
                }
                Piece::Placeholder(Placeholder::SchemaName, _) => shape.literal(sync),
                Piece::Placeholder(Placeholder::Extension, _) => shape.literal(extension),
                Piece::Placeholder(Placeholder::SourceDir, _) => shape.0.push(ShapeToken::Any),
                // An object `a/dir/` has no stem.
                Piece::Placeholder(Placeholder::SourceStem, _) if may_begin && self.slash_follows(at) => {
                    shape.0.push(ShapeToken::Any)
                }
                Piece::Placeholder(Placeholder::Partition, _) => shape.0.extend(partition.iter().cloned()),
                Piece::Placeholder(..) => shape.0.push(ShapeToken::Segment),
            }
            if let Piece::Placeholder(placeholder, _) = piece {
                may_begin &= match placeholder {
                    Placeholder::SourceDir | Placeholder::SourceStem => true,
                    Placeholder::Partition => partition.is_empty(),
                    _ => false,
                };
            }
            swallow = may_begin && matches!(piece, Piece::Placeholder(..));
        }
        shape
    }

    /// The template for people: with this extension, and with the hive directories in their place.
    pub fn shown(&self, extension: &str, partition_by: &[PartitionRule]) -> String {
        let directories: Vec<String> =
            partition_by.iter().map(|rule| format!("{}=*", hive::escape(&rule.name))).collect();
        let directories = directories.join("/");
        let mut shown = String::new();
        let mut swallow = false;
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => {
                    shown.push_str(if swallow { text.strip_prefix('/').unwrap_or(text) } else { text })
                }
                Piece::Placeholder(Placeholder::Extension, _) => shown.push_str(extension),
                Piece::Placeholder(Placeholder::Partition, _) => shown.push_str(&directories),
                Piece::Placeholder(_, written) => shown.push_str(written),
            }
            // As in keys, what is empty takes the `/` after it along.
            swallow = directories.is_empty() && piece.is(Placeholder::Partition);
        }
        if !self.places_partition() && !directories.is_empty() {
            let name = shown.rfind('/').map_or(0, |slash| slash + 1);
            shown.insert_str(name, &format!("{directories}/"));
        }
        shown
    }

    /// Whether the next text after piece `at` begins with a `/`, where all between may be empty.
    fn slash_follows(&self, at: usize) -> bool {
        let next = self.pieces[at + 1..].iter().find_map(|piece| match piece {
            Piece::Text(text) => Some(text.starts_with('/')),
            Piece::Placeholder(Placeholder::SourceDir | Placeholder::SourceStem | Placeholder::Partition, _) => None,
            Piece::Placeholder(..) => Some(false),
        });
        next.unwrap_or(false)
    }

    /// Whether the file name, which begins at piece `from`, may itself hold directories.
    fn dir_in_name(&self, from: usize) -> bool {
        self.pieces[from..].iter().any(|piece| piece.is(Placeholder::SourceDir))
    }
}

impl Settings {
    /// The keys that files of this sync can have: of one table, or of any.
    pub fn output_keys(&self, table: Option<&str>) -> KeyShape {
        let to = &self.destination;
        let extension = extension(to.format, to.compression);
        let keys = |template: &Template| template.possible_keys(&self.id.name, &extension, &to.partition_by);
        table.map_or_else(|| keys(&to.template), |table| keys(&to.template.of_table(table)))
    }
}

impl KeyShape {
    /// The pieces, in order; no two literals stand side by side.
    pub fn tokens(&self) -> &[ShapeToken] {
        &self.0
    }

    /// What every key begins with.
    pub fn literal_prefix(&self) -> &str {
        match self.0.first() {
            Some(ShapeToken::Literal(text)) => text,
            _ => "",
        }
    }

    /// The longest prefix that ends in `/` and begins every key; empty where there is none.
    pub fn directory(&self) -> &str {
        let prefix = self.literal_prefix();
        &prefix[..prefix.rfind('/').map_or(0, |slash| slash + 1)]
    }

    /// The one key that there is, where there is one.
    pub fn only_key(&self) -> Option<&str> {
        match self.0.as_slice() {
            [ShapeToken::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether a key has this shape; see [`KeyMatcher::matches`], for many keys.
    pub fn matches(&self, key: &str) -> bool {
        self.matcher().matches(key)
    }

    /// What tells whether keys have this shape.
    pub fn matcher(&self) -> KeyMatcher {
        let steps = self.0.iter().flat_map(|token| -> Vec<Option<(u8, bool)>> {
            match token {
                ShapeToken::Literal(text) => text.bytes().map(|byte| Some((byte, true))).collect(),
                ShapeToken::Segment => vec![Some((b'/', false))],
                ShapeToken::Any => vec![None],
            }
        });
        KeyMatcher { prefix: self.literal_prefix().to_owned(), steps: steps.collect() }
    }

    fn literal(&mut self, text: &str) {
        match self.0.last_mut() {
            _ if text.is_empty() => {}
            Some(ShapeToken::Literal(last)) => last.push_str(text),
            _ => self.0.push(ShapeToken::Literal(text.to_owned())),
        }
    }

    /// The hive directories before a file name; anywhere at all when the name itself may hold directories.
    fn extend_partition(&mut self, partition: &[ShapeToken], anywhere: bool) {
        if anywhere {
            self.0.push(ShapeToken::Any);
            return;
        }
        for token in partition {
            match token {
                ShapeToken::Literal(text) => self.literal(text),
                other => self.0.push(other.clone()),
            }
        }
        self.literal("/");
    }
}

/// A [`KeyShape`] as a table of steps, made once for many keys.
#[derive(Clone, Debug)]
pub struct KeyMatcher {
    prefix: String,
    /// A byte that must (`true`) or must not stand there; `None` for any.
    steps: Vec<Option<(u8, bool)>>,
}

impl KeyMatcher {
    /// Whether a key has the shape: true for every key that the template can give, and for more.
    pub fn matches(&self, key: &str) -> bool {
        if !key.starts_with(&self.prefix) {
            return false;
        }
        // States are "steps done": a set, advanced a byte at a time, so that the time is bounded by steps times bytes.
        let flat = &self.steps;
        let is_loop = |state: usize| !matches!(flat.get(state), Some(Some((_, true))) | None);
        let mut states = vec![false; flat.len() + 1];
        states[0] = true;
        let close = |states: &mut Vec<bool>| {
            for state in 0..flat.len() {
                if states[state] && is_loop(state) {
                    states[state + 1] = true;
                }
            }
        };
        close(&mut states);
        for byte in key.bytes() {
            let mut next = vec![false; flat.len() + 1];
            for (state, step) in flat.iter().enumerate().filter(|(state, _)| states[*state]) {
                match step {
                    Some((wanted, true)) if *wanted == byte => next[state + 1] = true,
                    Some((stop, false)) if *stop != byte => next[state] = true,
                    None => next[state] = true,
                    _ => {}
                }
            }
            close(&mut next);
            states = next;
        }
        states[flat.len()]
    }
}

/// As a glob of the kind that manifests use, for messages: `*` inside a segment, `**` anywhere.
impl fmt::Display for KeyShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|token| match token {
            ShapeToken::Literal(text) => f.write_str(text),
            ShapeToken::Segment => f.write_str("*"),
            ShapeToken::Any => f.write_str("**"),
        })
    }
}
