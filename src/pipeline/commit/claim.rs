//! One cursor a sync: the claim in the destination bucket says which.
//!
//! The claim is created where nothing stands (`If-None-Match: *`) and moved after each epoch (`If-Match`). It is read
//! again before each decision: on a server without conditional writes, where it only advises, two cursors that began at
//! the same moment are found out there.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

use crate::model::cursor::Cursor;
use crate::model::object::Etag;
use crate::model::settings::Settings;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::store::{Condition, ErrorKind, Store, secrets};

/// What a claim says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "Written")]
pub struct Claim {
    /// The cursor's state id.
    pub state_id: String,
    /// Where that cursor lives: a ConfigMap's uid, or host and path.
    pub owner: String,
    /// The last epoch recorded under it.
    pub epoch: u64,
}

/// A claim as it stands in the bucket.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    state_id: String,
    owner: String,
    epoch: u64,
}

/// A cursor may be made from what a claim says, and whoever can write the bucket can write one: what no cursor of ours
/// says is refused.
impl TryFrom<Written> for Claim {
    type Error = String;

    fn try_from(Written { state_id, owner, epoch }: Written) -> Result<Self, String> {
        if !(1..=64).contains(&state_id.len()) || !state_id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err("its stateId is not of letters and digits".to_owned());
        }
        if epoch > EPOCH_MAX {
            return Err(format!("its epoch is {epoch}"));
        }
        Ok(Self { state_id, owner: shown_owner(&owner), epoch })
    }
}

impl Claim {
    /// That of a cursor which lives at `owner`.
    fn of(cursor: &Cursor, owner: &str) -> Self {
        Self { state_id: cursor.state_id.clone(), owner: shown_owner(owner), epoch: cursor.epoch }
    }
}

/// An owner as it stands in claims of ours and is shown of any: whoever can write the bucket can write one.
fn shown_owner(owner: &str) -> String {
    secrets::clean(owner, OWNER_BYTES_MAX)
}

/// The owner in a claim of any kind.
pub(super) fn read_owner<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer).map(|owner| shown_owner(&owner))
}

/// A claim that is ours.
#[derive(Debug)]
pub struct Held {
    key: String,
    etag: Etag,
    claim: Claim,
}

/// An epoch a millisecond for 35,000 years: counting on from here never overflows.
const EPOCH_MAX: u64 = 1 << 50;

/// An owner is a host and a path, for people: what is longer than the longest path is cut.
const OWNER_BYTES_MAX: usize = 4_352;

/// A claim is a few hundred bytes; more is not one of ours.
const CLAIM_BYTES_MAX: usize = 64 << 10;

/// The claim's key: one for each pair of source selection and destination path.
pub fn claim_key(settings: &Settings) -> String {
    let source = &settings.source;
    let identity = serde_json::json!({
        "endpoint": source.endpoint,
        "bucket": source.bucket,
        "prefix": source.prefix,
        "include": source.include,
        "exclude": source.exclude,
        "tables": source.tables,
        "tableInclude": source.table_include,
        "path": settings.destination.template,
    });
    format!("{}/claims/{}.s3sync", settings.state_prefix, digest(&identity.to_string()))
}

/// What names a claim, of what it is about: 32 hexadecimal digits.
pub(super) fn digest(identity: &str) -> String {
    Sha256::digest(identity.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Takes or confirms the claim for `cursor`.
pub async fn hold(store: &dyn Store, settings: &Settings, cursor: &Cursor, owner: &str) -> Result<Held, RunError> {
    let key = claim_key(settings);
    let claim = Claim::of(cursor, owner);
    if let Some((found, etag)) = read(store, &key).await? {
        return confirm(store, settings, key, claim, found, etag).await;
    }
    match store.put(&key, body(&claim), Condition::Absent).await {
        Ok(etag) => Ok(Held { key, etag, claim }),
        Err(error) if error.kind == ErrorKind::Precondition => match read(store, &key).await? {
            Some((found, etag)) => confirm(store, settings, key, claim, found, etag).await,
            None => Err(RunError::new(RunErrorKind::Failed, "the claim vanished while it was taken; run again")),
        },
        Err(error) => Err(error.into()),
    }
}

/// Why a cursor may not go on beside a claim: its state id and epoch, where there is a cursor.
pub fn conflict(
    store: &dyn Store,
    settings: &Settings,
    cursor: Option<(&str, u64)>,
    found: &Claim,
) -> Option<RunError> {
    let place = format!("{}/{}", store.place(), claim_key(settings));
    let Some((_, epoch)) = cursor.filter(|(state_id, _)| *state_id == found.state_id) else {
        return Some(RunError::new(
            RunErrorKind::Claimed,
            format!(
                "{}: this source and destination are already synced by the cursor of {} (claim {place}); run it there; or, where that is this \
                 sync before it, its state directory or its host got another name, go on from what was published with `s3sync state adopt`; \
                 or give one of the two another destination.path",
                settings.id, found.owner,
            ),
        ));
    };
    (found.epoch > epoch).then(|| {
        RunError::new(
            RunErrorKind::Claimed,
            format!(
                "{}: the cursor stands at epoch {epoch}, but epoch {} was published under it (claim {place}): it was restored from an older \
                 copy; put the newer one back, or go on from the published ledger with `s3sync state adopt`",
                settings.id, found.epoch,
            ),
        )
    })
}

async fn confirm(
    store: &dyn Store,
    settings: &Settings,
    key: String,
    claim: Claim,
    found: Claim,
    etag: Etag,
) -> Result<Held, RunError> {
    if let Some(error) = conflict(store, settings, Some((&claim.state_id, claim.epoch)), &found) {
        return Err(error);
    }
    let mut held = Held { key, etag, claim: found };
    if held.claim != claim {
        // A cursor moved by its owner, or an epoch recorded just before a crash.
        held.update(store, &claim.owner, claim.epoch).await?;
    }
    Ok(held)
}

/// Reads a claim; `None` when there is none.
pub async fn read(store: &dyn Store, key: &str) -> Result<Option<(Claim, Etag)>, RunError> {
    let Some((claim, etag)) = read_small(store, key).await? else { return Ok(None) };
    let claim = claim.map_err(|error| {
        RunError::because(
            RunErrorKind::CursorInvalid,
            format!(
                "the claim {}/{key} makes no sense; take it over with `s3sync state adopt`, or, where the cursor is lost too, delete it and run \
                 the sync, which reads everything again",
                store.place()
            ),
            error,
        )
    })?;
    Ok(Some((claim, etag)))
}

/// A claim of any kind, or why it is none.
type Small<C> = (Result<C, serde_json::Error>, Etag);

/// Reads an object of [`CLAIM_BYTES_MAX`] at most; `None` when there is none.
pub(super) async fn read_small<C: DeserializeOwned>(
    store: &dyn Store,
    key: &str,
) -> Result<Option<Small<C>>, RunError> {
    let body = match store.get(key, None, None).await {
        Ok(body) => body,
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let etag = body.etag.clone();
    let text = body.up_to(CLAIM_BYTES_MAX).await?;
    Ok(Some((serde_json::from_slice(&text), etag)))
}

/// Gives a claim back, where it is still that of this cursor. One that is not there is no error.
pub async fn give_back(store: &dyn Store, key: &str, state_id: &str) -> Result<(), RunError> {
    let Some((Ok(claim), etag)) = read_small::<Claim>(store, key).await? else { return Ok(()) };
    if claim.state_id != state_id {
        return Ok(());
    }
    match store.delete(key, Some(&etag)).await {
        Err(error) if !matches!(error.kind, ErrorKind::Precondition | ErrorKind::Changed | ErrorKind::NotFound) => {
            Err(error.into())
        }
        _ => Ok(()),
    }
}

/// Writes the claim whatever stands there: `state adopt`.
pub async fn adopt(store: &dyn Store, settings: &Settings, cursor: &Cursor, owner: &str) -> Result<(), RunError> {
    let claim = Claim::of(cursor, owner);
    store.put(&claim_key(settings), body(&claim), Condition::Any).await?;
    Ok(())
}

impl Held {
    /// The claim's key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Reads the claim again: an error when it is another cursor's by now.
    pub async fn confirm(&mut self, store: &dyn Store, settings: &Settings) -> Result<(), RunError> {
        match read(store, &self.key).await? {
            Some((found, _)) if found.state_id != self.claim.state_id => {
                Err(self.taken_over(store, &found).of(&settings.id))
            }
            Some(_) => Ok(()),
            // Deleted by somebody who meant it or not: it is made again, by one of us.
            None => {
                self.etag = store.put(&self.key, body(&self.claim), Condition::Absent).await?;
                Ok(())
            }
        }
    }

    fn taken_over(&self, store: &dyn Store, found: &Claim) -> RunError {
        let message = format!(
            "the cursor of {} took over the claim {}/{} during this run; run the sync there, or take it over with `s3sync state adopt`",
            found.owner,
            store.place(),
            self.key
        );
        RunError::new(RunErrorKind::Claimed, message)
    }

    /// Moves the claim to `epoch`. A claim that somebody else moved meanwhile is an error.
    pub async fn update(&mut self, store: &dyn Store, owner: &str, epoch: u64) -> Result<(), RunError> {
        let claim = Claim { owner: shown_owner(owner), epoch, ..self.claim.clone() };
        let written = store.put(&self.key, body(&claim), Condition::Match(&self.etag)).await;
        self.etag = match written {
            Ok(etag) => etag,
            Err(error) if error.kind == ErrorKind::Precondition => match read(store, &self.key).await? {
                // Our own write whose answer was lost, or the other worker 0 of the same cursor.
                Some((found, etag)) if found.state_id == claim.state_id && found.epoch >= epoch => etag,
                // As we left it: the server gives it another etag than it gave us.
                Some((found, etag)) if found == self.claim => {
                    store.put(&self.key, body(&claim), Condition::Match(&etag)).await?
                }
                Some((found, _)) => return Err(self.taken_over(store, &found)),
                // Given back by another process of this cursor, which had published nothing when it ended.
                None => store.put(&self.key, body(&claim), Condition::Absent).await?,
            },
            Err(error) => return Err(error.into()),
        };
        self.claim = claim;
        Ok(())
    }
}

fn body(claim: &Claim) -> Bytes {
    Bytes::from(serde_json::to_vec(claim).expect("plain strings always serialise"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_that_no_cursor_of_ours_wrote_makes_no_sense() {
        let read = |state_id: &str, owner: &str, epoch: u64| {
            let text = serde_json::json!({"stateId": state_id, "owner": owner, "epoch": epoch}).to_string();
            serde_json::from_str::<Claim>(&text).map_err(|error| error.to_string())
        };
        assert_eq!(
            read("abc0", "host:/x", 7).unwrap(),
            Claim { state_id: "abc0".into(), owner: "host:/x".into(), epoch: 7 }
        );
        assert_eq!(read("abc0", "host\u{1b}[2J", 7).unwrap().owner, "host[2J", "it is shown to people");
        for (state_id, epoch) in [("", 1), ("../other", 1), ("a/b", 1), ("a", u64::MAX), (&"a".repeat(65), 1)] {
            assert!(read(state_id, "host", epoch).is_err(), "{state_id} {epoch}");
        }
    }
}
