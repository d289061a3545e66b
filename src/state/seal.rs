//! The key that a sync's workers share, and that lies in no bucket; and what they seal with it.
//!
//! What workers leave is found by listing, and whoever can write the bucket can leave something too. So attempts and
//! open logs carry a MAC (HMAC-SHA256, RFC 2104) by a key that lies beside the cursor: a file of mode 0600 in a state
//! directory, a Secret in a cluster. It covers the object's whole key (state id, epoch, plan number, shard and
//! attempt), what it is bound to, and the body: a copy in another place is no copy.
//!
//! A sealed object is a line `s3sync <kind> 2 <64 hexadecimal digits>`, and the body.

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::proof::hex;

/// Bytes of a sealed object's first line, at most.
pub(super) const HEADER_BYTES_MAX: usize = 128;

/// The key of one sync's state.
#[derive(Clone, PartialEq, Eq)]
pub struct StateKey([u8; 32]);

impl StateKey {
    /// A new one, of the system's random numbers.
    pub fn generate() -> Self {
        let mut hash = Sha256::new();
        // Each has 122 random bits.
        (0..4).for_each(|_| hash.update(uuid::Uuid::new_v4().as_bytes()));
        Self(hash.finalize().into())
    }

    /// Reads what [`StateKey::text`] gave, with or without a line's end.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_end_matches(['\n', '\r']);
        let mut key = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (at, byte) in key.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
        }
        Some(Self(key))
    }

    /// 64 hexadecimal digits: for the file or the Secret that keeps it, and for nothing else.
    pub fn text(&self) -> String {
        hex(&self.0)
    }

    /// The sealed object of `kind` at `key`, which counts only where it is read as bound to `bound`.
    pub fn seal(&self, kind: &str, key: &str, bound: &str, body: &[u8]) -> Bytes {
        let mut mac = self.begin(kind, key, bound);
        mac.update(body);
        let mut sealed = format!("s3sync {kind} 2 {}\n", hex(&mac.finalize().into_bytes())).into_bytes();
        sealed.extend_from_slice(body);
        Bytes::from(sealed)
    }

    /// The body of a sealed object that is held as a whole.
    pub fn open(&self, kind: &str, key: &str, bound: &str, sealed: &Bytes) -> Result<Bytes, NotOurs> {
        let mut seal = Seal::new(self, kind, key, bound);
        seal.update(sealed);
        let body = sealed.len() - seal.body_bytes;
        seal.end()?;
        Ok(sealed.slice(body..))
    }

    fn begin(&self, kind: &str, key: &str, bound: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        for text in ["s3sync-state", kind, key, bound] {
            // Lengths before texts: ("ab", "c") must not meet ("a", "bc").
            mac.update(&(text.len() as u64).to_be_bytes());
            mac.update(text.as_bytes());
        }
        mac
    }
}

impl std::fmt::Debug for StateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StateKey(..)")
    }
}

/// What was found was not written by a worker of this sync, or for another place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOurs {
    /// No MAC at all.
    #[error("it has no MAC: an earlier release wrote it, or somebody else")]
    Unsealed,
    /// Not the MAC of these bytes under this key.
    #[error(
        "its MAC is wrong: somebody else wrote it, or it was written for another place, or the sync's state key was made anew since"
    )]
    Wrong,
}

/// A MAC that is checked as the bytes come.
pub(super) struct Seal {
    mac: Hmac<Sha256>,
    kind: String,
    header: Vec<u8>,
    /// Bytes behind the first line.
    body_bytes: usize,
    in_body: bool,
}

impl Seal {
    pub(super) fn new(key: &StateKey, kind: &str, place: &str, bound: &str) -> Self {
        let mac = key.begin(kind, place, bound);
        Self { mac, kind: kind.to_owned(), header: Vec::new(), body_bytes: 0, in_body: false }
    }

    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        if !self.in_body {
            let end = memchr::memchr(b'\n', bytes);
            let more = end.unwrap_or(bytes.len()).min(HEADER_BYTES_MAX.saturating_sub(self.header.len()));
            self.header.extend_from_slice(&bytes[..more]);
            let Some(end) = end else { return };
            self.in_body = true;
            bytes = &bytes[end + 1..];
        }
        self.body_bytes += bytes.len();
        self.mac.update(bytes);
    }

    pub(super) fn end(self) -> Result<(), NotOurs> {
        let header = std::str::from_utf8(&self.header).unwrap_or_default();
        let found = header.strip_prefix(&format!("s3sync {} 2 ", self.kind)).ok_or(NotOurs::Unsealed)?;
        // The text of a key has the form of a MAC's.
        let found = StateKey::parse(found).filter(|_| self.in_body).ok_or(NotOurs::Wrong)?;
        self.mac.verify_slice(&found.0).map_err(|_| NotOurs::Wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digit: &str) -> StateKey {
        StateKey::parse(&digit.repeat(64)).unwrap()
    }

    #[test]
    fn a_key_is_64_digits_and_hides_itself() {
        let key = StateKey::generate();
        assert_ne!(key, StateKey::generate());
        assert_eq!(StateKey::parse(&format!("{}\n", key.text())), Some(key.clone()));
        assert_eq!(format!("{key:?}"), "StateKey(..)");
        for text in ["", "00", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(StateKey::parse(text), None, "{text}");
        }
    }

    /// The form of sealed objects is kept.
    #[test]
    fn seals_are_frozen() {
        let sealed = key("0").seal("open", "_s3sync/abc/1/0/0-a.0.open.s3sync", "seed", b"[]");
        assert_eq!(
            std::str::from_utf8(&sealed).unwrap(),
            "s3sync open 2 b852c51a52a392b1a3ff2435287c599ee2c715835f1970bdbc34aabf386e2a8c\n[]"
        );
    }

    #[test]
    fn a_seal_holds_for_one_key_one_place_and_one_body() {
        let place = "_s3sync/abc/1/0/0-a.s3sync";
        let sealed = key("0").seal("attempt", place, "seed", b"body");
        let open = |key: &StateKey, kind: &str, place: &str, bound: &str, sealed: &[u8]| {
            key.open(kind, place, bound, &Bytes::copy_from_slice(sealed))
        };
        assert_eq!(open(&key("0"), "attempt", place, "seed", &sealed), Ok(Bytes::from_static(b"body")));
        for (key, kind, place, bound) in [
            (key("1"), "attempt", place, "seed"),
            (key("0"), "attempt", "_s3sync/abd/1/0/0-a.s3sync", "seed"),
            (key("0"), "attempt", "_s3sync/abc/2/0/0-a.s3sync", "seed"),
            (key("0"), "attempt", "_s3sync/abc/1/1/0-a.s3sync", "seed"),
            (key("0"), "attempt", "_s3sync/abc/1/0/1-a.s3sync", "seed"),
            (key("0"), "attempt", "_s3sync/abc/1/0/0-b.s3sync", "seed"),
            (key("0"), "attempt", place, "another plan's seed"),
        ] {
            assert_eq!(open(&key, kind, place, bound, &sealed), Err(NotOurs::Wrong), "{place} {bound}");
        }
        assert_eq!(open(&key("0"), "open", place, "seed", &sealed), Err(NotOurs::Unsealed), "another kind");
        for at in 0..sealed.len() {
            let mut changed = sealed.to_vec();
            changed[at] ^= 1;
            assert!(open(&key("0"), "attempt", place, "seed", &changed).is_err(), "byte {at}");
            assert!(open(&key("0"), "attempt", place, "seed", &sealed[..at]).is_err(), "cut at {at}");
        }
        assert_eq!(open(&key("0"), "attempt", place, "seed", b"s3sync attempt 1\nbody"), Err(NotOurs::Unsealed));
        assert_eq!(open(&key("0"), "attempt", place, "seed", &[b'x'; 4096]), Err(NotOurs::Unsealed));
    }

    #[test]
    fn a_seal_is_checked_however_the_bytes_come() {
        let sealed = key("0").seal("attempt", "k", "seed", b"body\nof two lines");
        for step in 1..=sealed.len() {
            let mut seal = Seal::new(&key("0"), "attempt", "k", "seed");
            sealed.chunks(step).for_each(|bytes| seal.update(bytes));
            assert_eq!(seal.end(), Ok(()), "{step}");
        }
    }
}
