//! The template of output keys: literal text and placeholders, parsed once.
//!
//! `{{UPPER}}` placeholders are CloudQuery's and our own, `{lower}` ones are dlt's, each with the meaning it has there;
//! both kinds may stand in one template. Case is kept as written, time is UTC and is the plan's, so that a plan gives
//! the same keys whenever it runs.

mod fields;
mod placeholder;
mod shape;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::format::OutputFormat;
pub use fields::{Fields, extension};
pub use placeholder::Placeholder;
pub use shape::{KeyMatcher, KeyShape, ShapeToken};

/// Literal text, or what a file's fields stand in for, with the name that was written: several name one placeholder.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Placeholder(Placeholder, &'static str),
}

/// A parsed template. Serialises as its text.
///
/// ```
/// use s3sync::model::template::Template;
///
/// let template = Template::parse("lake/{{TABLE}}/{{UUID}}.{{FORMAT}}")?;
/// assert!(template.is_unique() && template.has_table() && !template.per_source());
/// assert_eq!(template.of_table("orders").as_str(), "lake/orders/{{UUID}}.{{FORMAT}}");
///
/// // Every key that it can give, as a glob.
/// let keys = template.possible_keys("my-sync", "csv.gz", &[]);
/// assert_eq!(keys.to_string(), "lake/*/*.csv.gz");
/// assert!(keys.matches("lake/orders/7f.csv.gz"));
///
/// let unknown = Template::parse("{{TABEL}}.csv").unwrap_err();
/// assert_eq!(unknown.to_string(), "the path template has an unknown placeholder {{TABEL}}; did you mean {{TABLE}}?");
/// # Ok::<(), s3sync::model::template::TemplateError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template {
    text: String,
    pieces: Vec<Piece>,
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Nothing at all.
    #[error("the path template is empty; write for example {{{{TABLE}}}}/{{{{UUID}}}}.{{{{FORMAT}}}}")]
    Empty,
    /// No such placeholder.
    #[error("the path template has an unknown placeholder {placeholder}{}", suggest(.suggestion))]
    Unknown {
        /// As written, with its braces.
        placeholder: String,
        /// The nearest known one, where one is near.
        suggestion: Option<&'static str>,
    },
    /// A brace without its partner.
    #[error("the path template has a `{brace}` without its partner at byte {offset}")]
    Unbalanced {
        /// `{`, `{{` or `}`.
        brace: &'static str,
        /// Its place in the template, from 0.
        offset: usize,
    },
    /// A segment that stores do not keep apart from others, or not at all.
    #[error("the path template has {what}: {why}")]
    Segment {
        /// Which segment.
        what: &'static str,
        /// What to do.
        why: &'static str,
    },
}

fn suggest(suggestion: &Option<&'static str>) -> String {
    suggestion.map(|known| format!("; did you mean {known}?")).unwrap_or_default()
}

impl Template {
    /// Reads a template. A text that ends in `/` names a directory: `{{UUID}}.{{FORMAT}}` is appended.
    ///
    /// # Errors
    /// Unknown placeholders (with a suggestion), braces that do not match, and segments that are empty, `.` or `..`.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.is_empty() {
            return Err(TemplateError::Empty);
        }
        let mut text = text.to_owned();
        if text.ends_with('/') {
            text.push_str("{{UUID}}.{{FORMAT}}");
        }
        for (at, segment) in text.split('/').enumerate() {
            let (what, why) = match segment {
                "" if at == 0 => ("a leading `/`", "keys begin without one"),
                "" => ("an empty segment (`//`)", "write one `/`"),
                "." | ".." => ("a segment `.` or `..`", "keys have no relative segments, name the directory itself"),
                _ => continue,
            };
            return Err(TemplateError::Segment { what, why });
        }
        let pieces = pieces(&text)?;
        Ok(Self { text, pieces })
    }

    /// The text, as parsed.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The template with this table's name for every placeholder of one. Names of tables hold letters, digits and `_`
    /// alone.
    pub fn of_table(&self, table: &str) -> Template {
        let text = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Placeholder(Placeholder::Table, _) => table.to_owned(),
            Piece::Placeholder(Placeholder::TableHyphen, _) => table.replace('_', "-"),
            Piece::Placeholder(_, written) => (*written).to_owned(),
        };
        let text: String = self.pieces.iter().map(text).collect();
        Template::parse(&text).expect("a table's name in the place of a placeholder leaves a template")
    }

    /// Whether keys of different tables differ: a table placeholder, or both of SOURCE_DIR and SOURCE_STEM (an object
    /// has one table).
    pub fn has_table(&self) -> bool {
        self.has(Placeholder::Table)
            || self.has(Placeholder::TableHyphen)
            || (self.has(Placeholder::SourceDir) && self.has(Placeholder::SourceStem))
    }

    /// Whether no two files of any epochs share a key, given [`Template::has_table`] or one table: UUID, file_id, or
    /// EPOCH, SHARD and SEQ each set apart from other placeholders by text (`1` next to `11` would read as `11` next to
    /// `1`).
    pub fn is_unique(&self) -> bool {
        self.has(Placeholder::Uuid)
            || self.has(Placeholder::FileId)
            || [Placeholder::Epoch, Placeholder::Shard, Placeholder::Seq].iter().all(|wanted| self.has_apart(*wanted))
    }

    /// Whether each input object has outputs of its own.
    pub fn per_source(&self) -> bool {
        self.has(Placeholder::SourceStem) || self.has(Placeholder::SourceDir)
    }

    /// Whether the template says where hive directories go; otherwise they stand before the file name.
    pub fn places_partition(&self) -> bool {
        self.has(Placeholder::Partition)
    }

    /// The format that the key's end names, where it is written out: `.csv.gz`, not `.{{FORMAT}}`.
    pub fn named_format(&self) -> Option<OutputFormat> {
        OutputFormat::of_key(&self.text).map(|(format, _)| format)
    }

    /// Whether keys count: the files of one shard, or shards.
    pub fn is_numbered(&self) -> bool {
        self.has(Placeholder::Shard) || self.has(Placeholder::Seq)
    }

    /// The placeholders that would tell apart outputs that have one key now, for advice.
    pub fn would_tell_apart(&self) -> &'static str {
        if self.has(Placeholder::SourceDir) { "{{UUID}}" } else { "{{UUID}} or {{SOURCE_DIR}}" }
    }

    fn has(&self, wanted: Placeholder) -> bool {
        self.pieces.iter().any(|piece| piece.is(wanted))
    }

    fn has_apart(&self, wanted: Placeholder) -> bool {
        let is_text =
            |at: Option<usize>| !matches!(at.and_then(|at| self.pieces.get(at)), Some(Piece::Placeholder(..)));
        let mut pieces = self.pieces.iter().enumerate();
        pieces.any(|(at, piece)| piece.is(wanted) && is_text(at.checked_sub(1)) && is_text(Some(at + 1)))
    }
}

impl Piece {
    fn is(&self, wanted: Placeholder) -> bool {
        matches!(self, Piece::Placeholder(placeholder, _) if *placeholder == wanted)
    }
}

/// Cuts a text into literal pieces and placeholders.
fn pieces(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find(['{', '}']) {
        let offset = text.len() - rest.len() + open;
        if rest[open..].starts_with('}') {
            return Err(TemplateError::Unbalanced { brace: "}", offset });
        }
        let (left, right) = if rest[open..].starts_with("{{") { ("{{", "}}") } else { ("{", "}") };
        let inside = &rest[open + left.len()..];
        let end = inside.find(['{', '}']).filter(|end| inside[*end..].starts_with(right));
        let Some(end) = end else {
            return Err(TemplateError::Unbalanced { brace: left, offset });
        };
        let written = &rest[open..open + left.len() + end + right.len()];
        let Some((name, placeholder)) = Placeholder::named(written) else {
            return Err(TemplateError::Unknown {
                placeholder: written.to_owned(),
                suggestion: Placeholder::nearest(written),
            });
        };
        if open > 0 {
            pieces.push(Piece::Text(rest[..open].to_owned()));
        }
        pieces.push(Piece::Placeholder(placeholder, name));
        rest = &rest[open + written.len()..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

impl TryFrom<String> for Template {
    type Error = TemplateError;

    fn try_from(text: String) -> Result<Self, TemplateError> {
        Self::parse(&text)
    }
}

impl From<Template> for String {
    fn from(template: Template) -> String {
        template.text
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({})", self.text)
    }
}

#[cfg(test)]
mod tests;
