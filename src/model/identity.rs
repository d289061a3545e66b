//! What names an output file: made from the plan's seed and the file's place in the plan, so that every attempt at a
//! shard gives the same names and no two files of any plans share one.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The names of one output file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileIdentity([u8; 32]);

/// What the identity is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilePurpose {
    /// Rows of a table.
    Data,
    /// Bad records of a table.
    DeadLetter,
}

impl FileIdentity {
    /// The identity of file `seq` (from 0) of a shard, table and partition under a plan's seed.
    pub fn new(seed: &str, purpose: FilePurpose, shard: u32, table: &str, partition: &str, seq: u64) -> Self {
        let purpose: &str = match purpose {
            FilePurpose::Data => "data",
            FilePurpose::DeadLetter => "dead-letter",
        };
        let mut hash = Sha256::new();
        // Lengths before texts: ("ab", "c") must not meet ("a", "bc").
        for text in ["s3sync-id", purpose, seed, table, partition] {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        hash.update(shard.to_le_bytes());
        hash.update(seq.to_le_bytes());
        Self(hash.finalize().into())
    }

    /// The object metadata `s3sync-id`: 64 hexadecimal digits.
    pub fn id(&self) -> String {
        hex(&self.0)
    }

    /// `{{UUID}}`: version 8 (RFC 9562, 5.8), 122 bits of the hash.
    pub fn uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.0[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }

    /// `{file_id}`: 20 hexadecimal digits. 80 bits: among a billion files two are alike once in two million times.
    pub fn file_id(&self) -> String {
        hex(&self.0[16..26])
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_frozen() {
        let identity = FileIdentity::new("00ff", FilePurpose::Data, 3, "orders", "country=DE", 1);
        assert_eq!(identity.uuid().get_version_num(), 8);
        assert_eq!(identity.uuid().get_variant(), uuid::Variant::RFC4122);
        assert_eq!(identity.id(), "8209251f84a4a93855d8a0de12a6c061cbe73ec7c5d8f9b0c8545e64823cb3c2");
        assert_eq!(identity.file_id(), identity.id()[32..52]);
    }

    #[test]
    fn every_field_counts() {
        let of = |seed, purpose, shard, table, partition, seq| {
            FileIdentity::new(seed, purpose, shard, table, partition, seq).id()
        };
        let mut ids = vec![
            of("a", FilePurpose::Data, 0, "b", "c", 0),
            of("x", FilePurpose::Data, 0, "b", "c", 0),
            of("a", FilePurpose::DeadLetter, 0, "b", "c", 0),
            of("a", FilePurpose::Data, 1, "b", "c", 0),
            of("a", FilePurpose::Data, 0, "bc", "", 0),
            of("a", FilePurpose::Data, 0, "", "bc", 0),
            of("ab", FilePurpose::Data, 0, "", "c", 0),
            of("a", FilePurpose::Data, 0, "b", "c", 1),
        ];
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }
}
