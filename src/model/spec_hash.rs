//! The identity of a sync: what may not change under a ledger without somebody accepting it.

use sha2::{Digest, Sha256};

use super::settings::Settings;

/// Two digests, of where the objects come from and of where they go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecHash {
    /// Of source endpoint, bucket, prefix and table rule.
    pub source: String,
    /// Of destination endpoint, bucket and state prefix.
    pub destination: String,
}

impl SpecHash {
    /// The identity of these settings.
    pub fn of(settings: &Settings) -> Self {
        let (source, destination) = (&settings.source, &settings.destination);
        Self {
            source: digest(&serde_json::json!([source.endpoint, source.bucket, source.prefix, source.tables])),
            destination: digest(&serde_json::json!([destination.endpoint, destination.bucket, settings.state_prefix])),
        }
    }

    /// Reads what [`std::fmt::Display`] wrote. Text that is not of this form differs from every identity.
    pub fn parse(text: &str) -> Self {
        let (source, destination) = text.split_once('-').unwrap_or((text, ""));
        Self { source: source.to_owned(), destination: destination.to_owned() }
    }
}

impl std::fmt::Display for SpecHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.source, self.destination)
    }
}

/// Identity of what an epoch writes for given objects: what is read of them, and how and where it is written. How the work is spread, and
/// how much of it one epoch holds, changes no row.
pub fn output_digest(settings: &Settings) -> String {
    digest(&serde_json::json!([settings.source, settings.schema, settings.destination, settings.errors]))
}

fn digest(identity: &serde_json::Value) -> String {
    Sha256::digest(identity.to_string().as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_value_are_the_same() {
        let hash = SpecHash { source: "0011".into(), destination: "aabb".into() };
        assert_eq!(SpecHash::parse(&hash.to_string()), hash);
        assert_ne!(SpecHash::parse(""), hash);
    }
}
