//! What a listing says of an object.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// An entity tag without quotes and without the weak mark `W/` (RFC 9110, 8.8.3): compared byte by byte, never
/// interpreted.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Etag(String);

impl Etag {
    /// Takes the header's or the listing's text in any of its spellings: `"x"`, `W/"x"`, `x`.
    pub fn new(text: &str) -> Self {
        let text = text.trim();
        let text = text.strip_prefix("W/").unwrap_or(text);
        Self(text.trim_matches('"').to_owned())
    }

    /// The bare tag, as it stands in ledgers.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tag as an `If-Match` header carries it.
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

impl fmt::Debug for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One object of a listing. Its identity is (key, etag, size): see [`Object::same_version`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// The whole key, without the bucket.
    pub key: String,
    /// The version's entity tag.
    pub etag: Etag,
    /// Bytes as stored (compressed, where the object is).
    pub size: u64,
    /// The server's time. For a multipart upload this is when it began (S3 API reference, `LastModified`).
    pub last_modified: Timestamp,
    /// Whether the listing says that it lies in an archive and is not restored, so that it need not be asked for. Not
    /// every listing says so: an object that is not marked may be archived all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub archived: bool,
}

impl Object {
    /// Whether both name the same bytes. The time is left out: a copy onto itself changes nothing that we read.
    pub fn same_version(&self, other: &Object) -> bool {
        self.key == other.key && self.etag == other.etag && self.size == other.size
    }
}
