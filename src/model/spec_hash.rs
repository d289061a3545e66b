//! The identity of a sync: what may not change under a ledger without somebody accepting it.

use sha2::{Digest, Sha256};

use super::settings::Settings;

/// Digests of where the objects come from and of where they go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecHash {
    /// Of source endpoint, bucket, prefix and table rule.
    pub source: String,
    /// Of destination endpoint, bucket and state prefix.
    pub destination: String,
    /// Of the path template. `None`: written by a release that did not keep it, so that any path is as good.
    pub path: Option<PathHash>,
}

/// The path that files were published under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathHash {
    /// Of the template.
    pub digest: String,
    /// Whether by Replace, which leaves nothing under an earlier path.
    pub replaces: bool,
}

/// What marks the digest of a path that Replace writes to: no hexadecimal digit.
const REPLACES: char = 'r';

impl SpecHash {
    /// The identity of these settings.
    pub fn of(settings: &Settings) -> Self {
        let (source, destination) = (&settings.source, &settings.destination);
        Self {
            source: digest(&serde_json::json!([source.endpoint, source.bucket, source.prefix, source.tables])),
            destination: digest(&serde_json::json!([destination.endpoint, destination.bucket, settings.state_prefix])),
            path: Some(PathHash {
                digest: digest(&serde_json::json!(destination.template)),
                replaces: !destination.write_mode.keeps_published(),
            }),
        }
    }

    /// Reads what [`std::fmt::Display`] wrote, now or in an earlier release. Text that is not of this form differs from
    /// every identity.
    pub fn parse(text: &str) -> Self {
        let mut parts = text.splitn(3, '-');
        let mut part = || parts.next().unwrap_or_default().to_owned();
        let (source, destination, path) = (part(), part(), part());
        let path = (!path.is_empty()).then(|| PathHash {
            digest: path.trim_start_matches(REPLACES).to_owned(),
            replaces: path.starts_with(REPLACES),
        });
        Self { source, destination, path }
    }

    /// What of this identity, under which files were published, is another one in `now`; `None` when a run may go on.
    pub fn change_to(&self, now: &SpecHash) -> Option<Change> {
        let path = match (&self.path, &now.path) {
            // Replace moves what it published; Append would leave it where it is.
            (Some(before), Some(now)) => !now.replaces && before.digest != now.digest,
            _ => false,
        };
        let change =
            Change { source: self.source != now.source, destination: self.destination != now.destination, path };
        (change != Change::default()).then_some(change)
    }
}

impl std::fmt::Display for SpecHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.source, self.destination)?;
        match &self.path {
            Some(PathHash { digest, replaces: true }) => write!(f, "-{REPLACES}{digest}"),
            Some(PathHash { digest, .. }) => write!(f, "-{digest}"),
            None => Ok(()),
        }
    }
}

/// What changed between two identities: at least one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Source endpoint, bucket, prefix or table rule.
    pub source: bool,
    /// Destination endpoint, bucket or state prefix: blobs of before are out of reach.
    pub destination: bool,
    /// The path that Append writes to.
    pub path: bool,
}

impl Change {
    /// Whether what was published lies elsewhere, so that a run under the new identity begins with an empty ledger.
    pub fn begins_anew(self) -> bool {
        self.destination || self.path
    }

    /// What changed, as the subject of a sentence.
    pub fn what(self) -> &'static str {
        match (self.source, self.destination, self.path) {
            (true, true, _) => "source and destination",
            (true, false, true) => "source and destination.path",
            (true, false, false) => "source or table rule",
            (false, true, _) => "destination",
            (false, false, _) => "destination.path",
        }
    }

    /// What accepting it does, as a part of a sentence.
    pub fn effect(self) -> &'static str {
        match (self.destination, self.path) {
            (true, _) => "a new destination or state prefix starts with an empty ledger, so everything is read again",
            (false, true) => {
                "a new path starts with an empty ledger, so everything is read again and written under it; files under the old path stay, so remove \
                 them where a reader would see both"
            }
            (false, false) => "the ledger stays, so objects that it knows by key, etag and size are not read again",
        }
    }
}

/// Identity of what an epoch writes for given objects: what is read of them, and how and where it is written. How the
/// work is spread, and how much of it one epoch holds, changes no row.
pub fn output_digest(settings: &Settings) -> String {
    digest(&serde_json::json!([settings.source, settings.schema, settings.destination, settings.errors]))
}

fn digest(identity: &serde_json::Value) -> String {
    Sha256::digest(identity.to_string().as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures::settings;
    use crate::model::template::Template;
    use crate::model::write_mode::WriteMode;

    fn hash(path: &str, write_mode: WriteMode) -> SpecHash {
        let mut settings = settings();
        settings.destination.template = Template::parse(path).unwrap();
        settings.destination.write_mode = write_mode;
        SpecHash::of(&settings)
    }

    #[test]
    fn text_and_value_are_the_same() {
        for mode in [WriteMode::Append, WriteMode::Replace] {
            let hash = hash("a/{{UUID}}", mode);
            assert_eq!(SpecHash::parse(&hash.to_string()), hash);
            assert_ne!(SpecHash::parse(""), hash);
        }
    }

    #[test]
    fn a_hash_of_an_earlier_release_is_read_and_stops_nothing() {
        let now = hash("a/{{UUID}}", WriteMode::Append);
        let old = SpecHash { path: None, ..now.clone() };
        assert_eq!(old.to_string(), format!("{}-{}", now.source, now.destination));
        assert_eq!((SpecHash::parse(&old.to_string()), old.change_to(&now)), (old.clone(), None));
        let moved = SpecHash { destination: "00".into(), ..old };
        assert_eq!(moved.change_to(&now).map(|change| change.what()), Some("destination"));
    }

    #[test]
    fn another_path_is_another_identity_of_append_alone() {
        use WriteMode::{Append, Replace};
        for (before, now, expected) in [
            (hash("a/{{UUID}}", Append), hash("a/{{UUID}}", Append), None),
            (hash("a/{{UUID}}", Append), hash("b/{{UUID}}", Append), Some("destination.path")),
            (hash("a/{{UUID}}", Replace), hash("b/{{UUID}}", Append), Some("destination.path")),
            (hash("a/{{UUID}}", Replace), hash("a/{{UUID}}", Append), None),
            (hash("a/{{UUID}}", Append), hash("b/{{UUID}}", Replace), None),
            (hash("a/{{UUID}}", Replace), hash("b/{{UUID}}", Replace), None),
        ] {
            let change = before.change_to(&now);
            assert_eq!(change.map(|change| change.what()), expected, "{before} {now}");
            assert!(change.is_none_or(Change::begins_anew));
        }
    }
}
