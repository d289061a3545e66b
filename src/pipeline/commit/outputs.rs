//! Who writes an output key. A path without a unique placeholder gives the same keys in every run, so that two syncs of
//! different sources would take turns at replacing each other's files. A small object for each table's path names the
//! one that writes there.
//!
//! It names the sync by its claim (see [`super::claim`]), and counts as long as that claim stands: whoever gave it
//! back, or moved to another path, holds no output.

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use super::claim::{self, digest, read_small};
use crate::model::settings::Settings;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::store::{Condition, ErrorKind, Store};

/// Claims looked at side by side, one for each table.
const CLAIMS_AT_ONCE: usize = 16;

/// What stands at an output's claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutputClaim {
    /// Key of the claim of the sync that writes there.
    pub holder: String,
    /// Where its cursor lives, for people.
    #[serde(deserialize_with = "claim::read_owner")]
    pub owner: String,
}

/// A sync that takes the outputs of a plan.
pub struct Holder<'a> {
    /// The destination.
    pub store: &'a dyn Store,
    /// Key of the claim that it holds.
    pub claim: &'a str,
    /// Where its cursor lives.
    pub owner: &'a str,
    /// Its cursor's id.
    pub state_id: &'a str,
}

impl Holder<'_> {
    /// Takes the outputs of these tables. Paths whose keys are unique, or follow from the sources, need none.
    ///
    /// # Errors
    /// [`RunErrorKind::Claimed`] when another sync writes there.
    pub async fn take(&self, settings: &Settings, tables: &[&str]) -> Result<(), RunError> {
        take(self.store, settings, tables, self.claim, self.owner, self.state_id).await
    }
}

async fn take(
    store: &dyn Store,
    settings: &Settings,
    tables: &[&str],
    holder: &str,
    owner: &str,
    state_id: &str,
) -> Result<(), RunError> {
    let ours = OutputClaim { holder: holder.to_owned(), owner: owner.to_owned() };
    let claims = stream::iter(shapes(settings, tables)).map(|shape| take_one(store, settings, shape, &ours, state_id));
    claims.buffer_unordered(CLAIMS_AT_ONCE).try_collect().await
}

/// Whether [`Holder::take`] would succeed now. Writes nothing.
pub async fn look(
    store: &dyn Store,
    settings: &Settings,
    tables: &[&str],
    holder: &str,
    state_id: Option<&str>,
) -> Result<(), RunError> {
    let claims = stream::iter(shapes(settings, tables)).map(|shape| async move {
        let key = claim_key(settings, &shape);
        match read_small::<OutputClaim>(store, &key).await? {
            Some((claim, _)) => refuse(store, settings, (&shape, &key), claim.as_ref().ok(), holder, state_id).await,
            None => Ok(()),
        }
    });
    claims.buffer_unordered(CLAIMS_AT_ONCE).try_collect().await
}

/// The forms of the keys of these tables that are claimed.
fn shapes(settings: &Settings, tables: &[&str]) -> Vec<String> {
    let template = &settings.destination.template;
    if template.is_unique() || template.per_source() {
        return Vec::new();
    }
    let mut shapes: Vec<String> = tables.iter().map(|table| shape(settings, table)).collect();
    shapes.dedup();
    shapes
}

fn claim_key(settings: &Settings, shape: &str) -> String {
    format!("{}/claims/output-{}.s3sync", settings.state_prefix, digest(shape))
}

/// The keys that a table's files can have, as text.
fn shape(settings: &Settings, table: &str) -> String {
    settings.output_keys(Some(table)).to_string()
}

async fn take_one(
    store: &dyn Store,
    settings: &Settings,
    shape: String,
    ours: &OutputClaim,
    state_id: &str,
) -> Result<(), RunError> {
    let key = claim_key(settings, &shape);
    loop {
        let found = read_small::<OutputClaim>(store, &key).await?;
        let condition = match &found {
            None => Condition::Absent,
            Some((Ok(claim), _)) if claim == ours => return Ok(()),
            Some((claim, etag)) => {
                refuse(store, settings, (&shape, &key), claim.as_ref().ok(), &ours.holder, Some(state_id)).await?;
                Condition::Match(etag)
            }
        };
        match store.put(&key, body(ours), condition).await {
            Ok(_) => return Ok(()),
            // Somebody was faster: what stands there now decides, and each turn somebody has made progress.
            Err(error) if error.kind == ErrorKind::Precondition => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Refuses an output, its keys' form and its claim's key, that another sync holds. One that nobody holds any more, or
/// that makes no sense, is free; so is one of a claim that this cursor itself held before, for other globs say, and has
/// not given back yet.
async fn refuse(
    store: &dyn Store,
    settings: &Settings,
    (shape, key): (&str, &str),
    found: Option<&OutputClaim>,
    holder: &str,
    state_id: Option<&str>,
) -> Result<(), RunError> {
    let Some(found) = found.filter(|found| found.holder != holder) else { return Ok(()) };
    match claim::read(store, &found.holder).await {
        Ok(None) => return Ok(()),
        Ok(Some((held, _))) if Some(held.state_id.as_str()) == state_id => return Ok(()),
        Ok(Some(_)) => {}
        Err(error) if error.kind == RunErrorKind::CursorInvalid => {}
        Err(error) => return Err(error),
    }
    let place = store.place();
    Err(RunError::new(
        RunErrorKind::Claimed,
        format!(
            "{}: {place}/{shape} is written by another sync already, whose cursor is {}: each run of one would replace the files of the \
             other; give one of them another destination.path, or, where that sync is no more, delete its claim {place}/{key}",
            settings.id, found.owner
        ),
    ))
}

fn body(claim: &OutputClaim) -> Bytes {
    Bytes::from(serde_json::to_vec(claim).expect("plain strings always serialise"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures::settings;
    use crate::model::template::Template;
    use crate::store::memory::MemoryStore;

    fn with(path: &str) -> Settings {
        let mut settings = settings();
        settings.destination.template = Template::parse(path).unwrap();
        settings
    }

    #[tokio::test]
    async fn one_sync_writes_a_key() {
        let store = MemoryStore::new("lake");
        for holder in ["a", "b"] {
            store.insert(holder, "{}");
        }
        let take = async |path: &str, tables: &[&str], holder: &str| {
            take(&store, &with(path), tables, holder, "host:/x", holder).await
        };
        take("all.{{FORMAT}}", &["t"], "a").await.unwrap();
        take("all.{{FORMAT}}", &["t"], "a").await.unwrap();
        let refused = take("all.parquet", &["u"], "b").await.unwrap_err();
        assert_eq!(refused.kind, RunErrorKind::Claimed);
        assert!(
            refused.message.contains("/all.parquet is written by another sync already, whose cursor is host:/x"),
            "{refused}"
        );
        // Tables of one template are told apart, and so are files of their own.
        take("{{TABLE}}.parquet", &["orders", "users"], "a").await.unwrap();
        take("{table_name}.parquet", &["items"], "b").await.unwrap();
        assert!(take("{{TABLE_HYPHEN}}.parquet", &["users"], "b").await.is_err());
        assert!(take("users.parquet", &["x"], "b").await.is_err());
        for (holder, free) in [("a", true), ("b", false)] {
            assert_eq!(look(&store, &with("users.parquet"), &["x"], holder, None).await.is_ok(), free, "{holder}");
        }
        for path in ["x/{{UUID}}.parquet", "{{SOURCE_DIR}}/{{SOURCE_STEM}}.parquet"] {
            for holder in ["a", "b"] {
                take(path, &["t"], holder).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn who_holds_an_output_is_shown_as_text_and_without_credentials() {
        crate::store::secrets::add("a-secret-of-a-bucket");
        let store = MemoryStore::new("lake");
        store.insert("a", "{}");
        let settings = with("all.parquet");
        store.insert(
            &claim_key(&settings, "all.parquet"),
            r#"{"holder": "a", "owner": "host\u001b[2J:/a-secret-of-a-bucket"}"#,
        );
        let refused = take(&store, &settings, &["t"], "b", "y", "2").await.unwrap_err();
        assert!(refused.message.contains("whose cursor is host[2J:/***: "), "{refused}");
    }

    #[tokio::test]
    async fn an_output_is_free_once_its_holder_gave_its_claim_back() {
        let store = MemoryStore::new("lake");
        store.insert("a", "{}");
        let settings = with("all.parquet");
        take(&store, &settings, &["t"], "a", "x", "1").await.unwrap();
        assert!(take(&store, &settings, &["t"], "b", "y", "2").await.is_err());
        store.remove("a");
        take(&store, &settings, &["t"], "b", "y", "2").await.unwrap();
    }
}
