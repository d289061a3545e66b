//! What is wrong with a field.

use std::fmt;

/// One thing that is wrong with one field. Its text never holds a secret: values of Secrets do not come here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Which field: `spec.source.format`, `spec.schema.columns[2].type`.
    pub path: String,
    /// What is wrong, as a sentence without its subject: "is not one of csv, tsv, json, jsonl, parquet".
    pub message: String,
    /// What would be right: "did you mean \"format\"?".
    pub suggestion: Option<String>,
}

impl FieldError {
    /// An error without a suggestion.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> FieldError {
        FieldError { path: path.into(), message: message.into(), suggestion: None }
    }

    /// The same error with what would be right.
    pub fn suggest(mut self, suggestion: impl Into<String>) -> FieldError {
        self.suggestion = Some(suggestion.into());
        self
    }

    /// The sentence without its subject: what is wrong, and what would be right.
    pub fn predicate(&self) -> String {
        match &self.suggestion {
            Some(suggestion) => format!("{}; {suggestion}", self.message),
            None => self.message.clone(),
        }
    }

    /// The same error with the nearest of `allowed`, where one is near.
    pub fn nearest<'a>(self, written: &str, allowed: impl IntoIterator<Item = &'a str>) -> FieldError {
        match nearest(written, allowed) {
            Some(name) => self.suggest(format!("did you mean {name}?")),
            None => self,
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = if self.path.is_empty() { "the resource" } else { &self.path };
        write!(f, "{subject} {}", self.predicate())
    }
}

/// A value as messages show it: in quotes, unless it looks as if it held credentials, as uris and endpoints of other
/// tools do.
pub fn shown(value: &str) -> String {
    if holds_credentials(value) {
        "a value that may hold credentials (it is not shown)".to_owned()
    } else {
        format!("{value:?}")
    }
}

/// Whether a value may hold credentials: `user:password@` or a parameter with such a name.
fn holds_credentials(value: &str) -> bool {
    const NAMES: [&str; 7] = ["secret", "password", "passwd", "token", "access_key", "accesskey", "x-amz-"];
    let authority = value.split_once("://").map_or(value, |(_, rest)| rest);
    let user = authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
    let lower = value.to_ascii_lowercase();
    user || (value.contains('=') && NAMES.iter().any(|name| lower.contains(name)))
}

/// The name most like the written one; `None` when none is like it. Case and `_` and `-` count least.
pub fn nearest<'a>(written: &str, allowed: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let bare = |text: &str| text.replace(['_', '-'], "").to_ascii_lowercase();
    let wanted = bare(written);
    // A third of the letters may be wrong: fewer misses "delimeter", more suggests what has nothing to do with it.
    let tolerance = (wanted.chars().count() / 3).max(1);
    allowed
        .into_iter()
        .map(|name| (strsim::osa_distance(&wanted, &bare(name)), name))
        .filter(|(distance, _)| *distance <= tolerance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_hold_credentials_is_not_shown() {
        for (value, is_shown) in [
            ("s3://lake/x", true),
            ("orders@2024", true),
            ("http://minio:9000/a@b", false),
            ("http://me:hunter2@minio:9000", false),
            ("s3://AKIA:s3cr3t/x@lake/", false),
            ("s3://lake/x?secret_access_key=hunter2", false),
            ("x/AWS_SESSION_TOKEN=hunter2", false),
            ("https://lake.s3.amazonaws.com/a?X-Amz-Signature=0", false),
        ] {
            assert_eq!(shown(value) == format!("{value:?}"), is_shown, "{value}");
            assert!(is_shown || !shown(value).contains("hunter2"));
        }
    }

    #[test]
    fn the_nearest_name_is_found_or_none() {
        let allowed = ["delimiter", "format", "partitionBy", "bucket", "csv"];
        for (written, expected) in [
            ("delimeter", Some("delimiter")),
            ("fromat", Some("format")),
            ("partition_by", Some("partitionBy")),
            ("Bucket", Some("bucket")),
            ("CSV", Some("csv")),
            ("topic", None),
            ("x", None),
        ] {
            assert_eq!(nearest(written, allowed), expected, "{written}");
        }
    }
}
