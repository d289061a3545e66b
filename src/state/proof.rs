//! Whether bytes under the state prefix are ours: the cursor is trusted, the bucket that everything else lies in is
//! not.
//!
//! What the cursor names, and what that names in turn, is content-addressed: its name holds its SHA-256. What is found
//! by listing carries a MAC, see [`super::seal`], until a decision names it with its digest. Nothing is decompressed,
//! parsed or acted on before it is proven.

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};

use super::blobs::{BlobError, Blobs};
use super::seal::{Seal, StateKey};
use super::wire::BlobKind;
use crate::model::object::Etag;
use crate::model::plan::BlobKey;
use crate::store::{Body, ErrorKind, StoreError};

/// Blobs up to this size are held while they are proven; larger ones are read twice, since what is not proven is not
/// used. A segment of the ledger has little more than 1 MiB, and a merge has one of each run open, some fifteen.
const HELD_BYTES_MAX: u64 = 2 << 20;

/// Bytes of a blob.
pub(super) type Chunks = BoxStream<'static, Result<Bytes, StoreError>>;

/// What the bytes under a name have to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Those with this SHA-256, in hexadecimal digits.
    Digest(String),
    /// Those that were sealed under this key as an object of this kind, bound to this.
    Sealed(StateKey, BlobKind, String),
    /// Whatever is there.
    None,
}

/// The SHA-256 of some bytes in hexadecimal digits.
pub(super) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Blobs {
    /// The digest in a blob's name, `<state prefix>/<state id>/<epoch>/<kind>-<sha256>.s3sync`. The state id may be
    /// another cursor's: one that was adopted goes on from the blobs of the one before.
    pub(super) fn named_digest(&self, key: &BlobKey, kind: BlobKind) -> Result<Proof, BlobError> {
        let digest = || {
            let mut steps = key.0.strip_prefix(self.root())?.strip_prefix('/')?.split('/');
            let (state_id, epoch, name) = (steps.next()?, steps.next()?, steps.next()?);
            let digest = name.strip_prefix(kind.word())?.strip_prefix('-')?.strip_suffix(".s3sync")?;
            let of = |text: &str, allowed: fn(&u8) -> bool| !text.is_empty() && text.bytes().all(|byte| allowed(&byte));
            let ours = steps.next().is_none()
                && of(state_id, u8::is_ascii_alphanumeric)
                && of(epoch, u8::is_ascii_digit)
                && of(digest, |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
                && digest.len() == 64;
            ours.then(|| digest.to_owned())
        };
        digest().map(Proof::Digest).ok_or_else(|| {
            let shape = format!("{}/<state id>/<epoch>/{}-<sha256>.s3sync", self.root(), kind.word());
            self.nonsense(key, format!("this is no name of ours ({shape}), and nothing else is read as state"))
        })
    }

    /// A blob's bytes, once they are proven, and their SHA-256. One of more than `bytes_max` is none of ours.
    pub(super) async fn open(
        &self,
        key: &BlobKey,
        proof: &Proof,
        bytes_max: u64,
    ) -> Result<(Chunks, String), BlobError> {
        let body = self.get(key, None).await?;
        if body.size > bytes_max {
            return Err(self.nonsense(key, format!("it has {} bytes, more than one of ours ever has", body.size)));
        }
        let mut check = Check::new(key, proof);
        if body.size <= HELD_BYTES_MAX {
            let bytes = body.up_to(HELD_BYTES_MAX as usize).await?;
            check.update(&bytes);
            let digest = check.end().map_err(|reason| self.nonsense(key, reason))?;
            return Ok((stream::once(async { Ok(bytes) }).boxed(), digest));
        }
        let Body { etag, mut bytes, .. } = body;
        while let Some(bytes) = bytes.try_next().await? {
            check.update(&bytes);
        }
        let digest = check.end().map_err(|reason| self.nonsense(key, reason))?;
        // The version that was just proven, and no other.
        Ok((self.get(key, Some(&etag)).await?.bytes, digest))
    }

    async fn get(&self, key: &BlobKey, pin: Option<&Etag>) -> Result<Body, BlobError> {
        match self.store().get(&key.0, None, pin).await {
            Ok(body) => Ok(body),
            Err(error) if error.kind == ErrorKind::NotFound => {
                Err(BlobError::Missing { place: self.store().place().to_owned(), key: key.0.clone() })
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// A proof under way.
struct Check {
    hash: Sha256,
    expected: Option<String>,
    seal: Option<Seal>,
}

impl Check {
    fn new(key: &BlobKey, proof: &Proof) -> Self {
        let (expected, seal) = match proof {
            Proof::Digest(digest) => (Some(digest.clone()), None),
            Proof::Sealed(state_key, kind, bound) => (None, Some(Seal::new(state_key, kind.word(), &key.0, bound))),
            Proof::None => (None, None),
        };
        Self { hash: Sha256::new(), expected, seal }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        if let Some(seal) = &mut self.seal {
            seal.update(bytes);
        }
    }

    fn end(self) -> Result<String, String> {
        let digest = hex(&self.hash.finalize());
        if self.expected.is_some_and(|expected| expected != digest) {
            return Err("its bytes are not those that its name was made of: somebody changed it".to_owned());
        }
        match self.seal.map(Seal::end) {
            Some(Err(not_ours)) => Err(not_ours.to_string()),
            _ => Ok(digest),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::executor::block_on;

    use super::*;
    use crate::state::wire::BlobWriter;
    use crate::store::memory::MemoryStore;

    /// A ledger of so many entries, which do not compress.
    fn blob(blobs: &Blobs, entries: u32) -> BlobKey {
        let mut writer = BlobWriter::new(BlobKind::Objects);
        for number in 0..entries {
            writer.line(&digest(&number.to_be_bytes()));
        }
        block_on(blobs.put(3, BlobKind::Objects, writer)).unwrap()
    }

    fn read(blobs: &Blobs, key: &str) -> (usize, Result<(), String>) {
        let mut lines = blobs.lines(&BlobKey(key.to_owned()), BlobKind::Objects);
        let mut count = 0;
        loop {
            match block_on(lines.next::<String>()) {
                Ok(Some(_)) => count += 1,
                Ok(None) => return (count, Ok(())),
                Err(error) => return (count, Err(error.to_string())),
            }
        }
    }

    #[test]
    fn a_blob_that_is_not_what_its_name_says_gives_no_line() {
        let store = MemoryStore::new("lake");
        let blobs = Blobs::new(Arc::new(store.clone()), "_s3sync/", "abc");
        // Held while it is proven, and read twice.
        for entries in [10, 100_000] {
            let key = blob(&blobs, entries).0;
            let good = store.peek(&key).unwrap();
            assert_eq!(good.len() as u64 > HELD_BYTES_MAX, entries > 10);
            assert_eq!(read(&blobs, &key), (entries as usize, Ok(())));
            let other = store.peek(&blob(&blobs, entries - 1).0).unwrap();
            let mut changed = good.to_vec();
            *changed.last_mut().unwrap() ^= 1;
            for (what, bytes) in
                [("changed", changed), ("another", other.to_vec()), ("cut", good[..good.len() - 1].to_vec())]
            {
                store.insert(&key, bytes);
                let (lines, error) = read(&blobs, &key);
                assert_eq!(lines, 0, "{what}");
                let expected = format!(
                    "memory://lake/{key}: its bytes are not those that its name was made of: somebody changed it; put it back"
                );
                assert!(error.unwrap_err().starts_with(&expected), "{what}");
            }
        }
    }

    #[test]
    fn only_names_of_ours_are_read() {
        let store = MemoryStore::new("lake");
        let blobs = Blobs::new(Arc::new(store.clone()), "_s3sync", "abc");
        let key = blob(&blobs, 1).0;
        let good = store.peek(&key).unwrap();
        let name = key.rsplit('/').next().unwrap();
        for (key, expected) in [
            (format!("_s3sync/abc/3/{name}"), true),
            // One that was adopted.
            (format!("_s3sync/def/3/{name}"), true),
            (format!("elsewhere/abc/3/{name}"), false),
            (format!("_s3sync2/abc/3/{name}"), false),
            (format!("_s3sync/abc/{name}"), false),
            (format!("_s3sync/abc/3/4/{name}"), false),
            (format!("_s3sync/../3/{name}"), false),
            (format!("_s3sync/abc/x/{name}"), false),
            (format!("_s3sync/abc/3/{}", name.replace("objects", "ledger")), false),
            ("_s3sync/abc/3/objects-00.s3sync".to_owned(), false),
            ("_s3sync/abc/3/objects-.s3sync".to_owned(), false),
            (
                format!(
                    "_s3sync/abc/3/{}",
                    name.to_uppercase().replace("OBJECTS", "objects").replace("S3SYNC", "s3sync")
                ),
                false,
            ),
        ] {
            store.insert(&key, good.clone());
            let (lines, result) = read(&blobs, &key);
            assert_eq!((lines, result.is_ok()), (usize::from(expected), expected), "{key}: {result:?}");
            assert!(expected || result.unwrap_err().contains("no name of ours"), "{key}");
        }
    }
}
