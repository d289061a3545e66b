//! What a server of the S3 protocol was seen to do otherwise than S3, and so cannot be relied on there.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What the probe of a destination found. Kept in the cursor, so that it is looked for once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// The probe that found it, see [`Findings::PROBE`].
    pub probe: u32,
    /// [`super::spec_hash::SpecHash::destination`] of where it was found.
    pub place: String,
    /// What is otherwise there.
    pub lacks: BTreeSet<Lack>,
}

impl Findings {
    /// The probe of this build. One that looks for more has a higher number, and is made again where an earlier one
    /// was.
    pub const PROBE: u32 = 1;

    /// Whether they say all that this build wants to know of `place`. What another build found and this one has no name
    /// for is not known: it would be written back without its name, and the build that looked for it would never look
    /// again.
    pub fn are_of(&self, place: &str) -> bool {
        self.probe >= Self::PROBE && self.place == place && !self.lacks.contains(&Lack::Unknown)
    }
}

/// One answer that S3 gives and a server does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Lack {
    /// PUT with the etag of another version in If-Match is carried out, or 501.
    PutIfMatchIgnored,
    /// PUT with the right etag in If-Match is refused (Ceph 16).
    PutIfMatchRefused,
    /// PUT with If-None-Match over an object is carried out, or 501.
    PutIfNoneMatchIgnored,
    /// CompleteMultipartUpload with If-None-Match over an object is carried out.
    CompletionIfNoneMatchIgnored,
    /// CompleteMultipartUpload gives another etag than HEAD.
    CompletionEtag,
    /// A listing gives another etag than HEAD.
    ListingEtag,
    /// A listing is not in the order of keys, or does not show what was just written.
    ListingOrder,
    /// DELETE with the etag of another version in If-Match is carried out, or 501.
    DeleteIfMatchIgnored,
    /// DELETE with the right etag in If-Match is refused.
    DeleteIfMatchRefused,
    /// To abort an upload that was completed is an error that is not 404.
    AbortAfterCompletion,
    /// To abort an upload deletes the object at its key (S3Mock).
    AbortDeletesObject,
    /// A key with a segment of more than 255 bytes is refused: the server keeps objects as files.
    LongSegments,
    /// HEAD does not give back the metadata that an upload was given. Such a server is refused.
    Metadata,
    /// What a later build found.
    #[serde(other)]
    Unknown,
}

impl Lack {
    /// All that the probe looks for.
    pub const ALL: [Lack; 13] = [
        Lack::PutIfMatchIgnored,
        Lack::PutIfMatchRefused,
        Lack::PutIfNoneMatchIgnored,
        Lack::CompletionIfNoneMatchIgnored,
        Lack::CompletionEtag,
        Lack::ListingEtag,
        Lack::ListingOrder,
        Lack::DeleteIfMatchIgnored,
        Lack::DeleteIfMatchRefused,
        Lack::AbortAfterCompletion,
        Lack::AbortDeletesObject,
        Lack::LongSegments,
        Lack::Metadata,
    ];
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lack::PutIfMatchIgnored => "PutObject ignores If-Match",
            Lack::PutIfMatchRefused => "PutObject refuses the right If-Match",
            Lack::PutIfNoneMatchIgnored => "PutObject ignores If-None-Match",
            Lack::CompletionIfNoneMatchIgnored => "CompleteMultipartUpload ignores If-None-Match",
            Lack::CompletionEtag => "CompleteMultipartUpload gives another etag than HEAD",
            Lack::ListingEtag => "listings give other etags than HEAD",
            Lack::ListingOrder => "listings are not in the order of keys",
            Lack::DeleteIfMatchIgnored => "DeleteObject ignores If-Match",
            Lack::DeleteIfMatchRefused => "DeleteObject refuses the right If-Match",
            Lack::AbortAfterCompletion => "AbortMultipartUpload fails after completion",
            Lack::AbortDeletesObject => "AbortMultipartUpload deletes the object at its key",
            Lack::LongSegments => "segments of keys have at most 255 bytes",
            Lack::Metadata => "HEAD does not give the metadata of an object back",
            Lack::Unknown => "something that a newer s3sync found",
        })
    }
}

/// One line: what is otherwise.
impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, lack) in self.lacks.iter().enumerate() {
            write!(f, "{}{lack}", if at > 0 { "; " } else { "" })?;
        }
        if self.lacks.is_empty() { f.write_str("as S3 does") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An older build must not write back `unknown`, which the newer one would take for all that there is to know.
    #[test]
    fn what_a_later_build_found_is_read_and_looked_for_again() {
        let found = |lacks: &str| -> Findings {
            serde_json::from_str(&format!(r#"{{"probe":9,"place":"00ff","lacks":[{lacks}]}}"#)).unwrap()
        };
        let unknown = r#""completionEtag","teleports""#;
        assert_eq!(found(unknown).lacks, BTreeSet::from([Lack::CompletionEtag, Lack::Unknown]));
        for (lacks, known) in [("", true), (r#""completionEtag""#, true), (unknown, false)] {
            assert_eq!(found(lacks).are_of("00ff"), known, "{lacks}");
        }
        assert!(!found("").are_of("00fe"), "another place");
        assert!(!Findings { probe: 0, ..found("") }.are_of("00ff"), "an earlier build looked for less");
    }
}
