//! A sync's two buckets, and its state in one of them: each step of what a run does first, until one fails. Nothing
//! becomes visible: what is written lies under the state prefix for a moment, and an upload at a key of the output is
//! never completed.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use http::Uri;
use jiff::SignedDuration;
use tokio::net::TcpStream;

use super::finding::Finding;
use crate::api::variables;
use crate::command::FailureKind;
use crate::command::render::counted;
use crate::command::syncs::{CursorLocation, Sync};
use crate::model::connection::{Connection, Endpoint};
use crate::model::cursor::{Cursor, Phase, SpecChange};
use crate::model::object::Object;
use crate::model::plan::BlobKey;
use crate::model::retry::RetryPolicy;
use crate::model::server::{Findings, Lack};
use crate::model::spec_hash::SpecHash;
use crate::model::table::TableNamer;
use crate::pipeline::commit::garbage::Garbage;
use crate::pipeline::commit::{attempts, claim, outputs};
use crate::pipeline::error::RunError;
use crate::pipeline::run::changed;
use crate::state::blobs::{BlobError, Blobs};
use crate::state::seal::StateKey;
use crate::state::wire::BlobKind;
use crate::store::s3::{Options, Timeouts};
use crate::store::{self, Condition, ErrorKind, Side, Store, StoreError};

/// A clock that is off by less disturbs nobody.
const SKEW_MAX_SECONDS: u64 = 60;

/// Tables of which it is looked who writes their keys: enough to find another sync.
const TABLES_MAX: usize = 100;

/// Attempts that are opened: enough to see whether the key is theirs.
const ATTEMPTS_MAX: usize = 20;

/// The key of the upload that is begun and given up: no source reads `*.s3sync`.
const UPLOAD: &str = "s3sync-doctor.s3sync";

/// Looks at one sync.
pub async fn look(sync: &Sync) -> Vec<Finding> {
    let mut found = Vec::new();
    let about = sync.loaded.id.to_string();
    let settings = sync.settings();
    let source = Bucket::open(&about, Side::Source, &sync.loaded.source, &settings.source.bucket, &mut found).await;
    let listed = match &source {
        Some(bucket) => bucket.read(&settings.source.prefix, &settings.state_prefix, &mut found).await,
        None => None,
    };
    let cursor = match sync.load().await {
        Ok(cursor) => cursor.map(|(cursor, _)| cursor),
        Err(error) => {
            found.push(Finding::of_run(&about, "Cursor", &error));
            None
        }
    };
    let destination =
        Bucket::open(&about, Side::Destination, &sync.loaded.destination, &settings.destination.bucket, &mut found)
            .await;
    if let Some(bucket) = &destination {
        bucket.write(sync, cursor.as_ref(), listed.as_ref(), &mut found).await;
        state(sync, bucket, cursor.as_ref(), &mut found).await;
    }
    found
}

/// This machine's clock beside a server's.
fn clock(about: &str, check: &str, ahead: SignedDuration) -> Finding {
    let off = ahead.unsigned_abs().as_secs();
    if off <= SKEW_MAX_SECONDS {
        return Finding::ok(about, check, format!("{off} s off the server's"));
    }
    let way = if ahead.is_negative() { "ahead of" } else { "behind" };
    let why = format!("this machine's clock is {off} s {way} the server's");
    Finding::warning(about, check, why, "let both follow a time server: signatures are refused at 15 minutes")
}

struct Bucket<'a> {
    about: &'a str,
    /// `Source` or `Destination`, as checks begin.
    end: &'static str,
    store: std::sync::Arc<dyn Store>,
}

impl<'a> Bucket<'a> {
    /// The bucket, where it answers.
    async fn open(
        about: &'a str,
        side: Side,
        connection: &Connection,
        bucket: &str,
        found: &mut Vec<Finding>,
    ) -> Option<Bucket<'a>> {
        let end = match side {
            Side::Source => "Source",
            Side::Destination => "Destination",
        };
        let check = format!("{end}Connection");
        let options = Options { retries: RetryPolicy::ONCE, timeouts: Timeouts::IN_SECONDS, ..Options::default() };
        let store = match store::connect_with(connection, bucket, side, options).await {
            Ok(store) => store,
            Err(error) => {
                found.push(Finding::of_store(about, &check, &error));
                return None;
            }
        };
        // Nothing stands there: whatever S3 says of it, it has answered.
        let answer = store.head(UPLOAD).await.err();
        let Some(ahead) = store.clock_ahead() else {
            let silent = answer.filter(|error| !matches!(error.kind, ErrorKind::NotFound));
            let Some(error) = silent else {
                found.push(Finding::ok(about, &check, format!("{} is there", store.place())));
                return Some(Bucket { about, end, store });
            };
            found.push(unreached(about, &check, connection, &error).await);
            return None;
        };
        found.push(Finding::ok(about, &check, format!("{} answers", store.place())));
        found.push(clock(about, &format!("{end}Clock"), ahead));
        Some(Bucket { about, end, store })
    }

    fn failed(&self, what: &str, error: &StoreError) -> Finding {
        Finding::of_store(self.about, &format!("{}{what}", self.end), error)
    }

    /// What a run does with the source. Gives its first object.
    async fn read(&self, prefix: &str, state_prefix: &str, found: &mut Vec<Finding>) -> Option<Object> {
        let page = match self.store.list(prefix, None).next().await.transpose() {
            Ok(page) => page.unwrap_or_default(),
            Err(error) => {
                found.push(self.failed("List", &error));
                return None;
            }
        };
        let state = format!("{state_prefix}/");
        let first =
            page.iter().find(|object| !object.key.ends_with(".s3sync") && !object.key.starts_with(&state)).cloned();
        let place = format!("{}/{prefix}", self.store.place());
        let Some(first) = first else {
            let fix = "look at source.prefix and source.bucket; or wait until something is there";
            found.push(Finding::warning(self.about, "SourceList", format!("nothing lies under {place}"), fix));
            return None;
        };
        found.push(Finding::ok(self.about, "SourceList", format!("{place} can be listed")));
        let range = (first.size > 0).then_some(0..1);
        let read = async {
            self.store.get(&first.key, range, Some(&first.etag)).await?.bytes.try_collect::<Vec<Bytes>>().await
        };
        found.push(match read.await {
            Ok(_) => Finding::ok(self.about, "SourceRead", format!("{} can be read", first.key)),
            Err(error) => self.failed("Read", &error),
        });
        Some(first)
    }

    /// What a run does with the destination.
    async fn write(&self, sync: &Sync, cursor: Option<&Cursor>, listed: Option<&Object>, found: &mut Vec<Finding>) {
        let settings = sync.settings();
        let state = format!("{}/", settings.state_prefix);
        if let Err(error) = self.store.list(&state, None).next().await.transpose() {
            found.push(self.failed("List", &error));
            return;
        }
        found.push(Finding::ok(self.about, "DestinationList", format!("{}/{state} can be listed", self.store.place())));
        // A place of the sync's own, so that two that are looked at side by side do not mislead each other.
        let prefix = format!("{state}doctor/{}.{}/", settings.id.namespace, settings.id.name);
        let tried = self.store.find_out(&prefix, &settings.destination.object).await;
        let tried = match tried {
            Ok(Some(lacks)) => Ok(lacks),
            Ok(None) => self.directory(&prefix).await.map(|()| Default::default()),
            Err(error) => Err(error),
        };
        match tried {
            Ok(lacks) if lacks.contains(&Lack::Metadata) => {
                let why =
                    "the server does not give the metadata of an object back, by which a published file is known again";
                found.push(Finding::failed(
                    self.about,
                    "DestinationWrite",
                    FailureKind::Usage,
                    why,
                    "use a server or a gateway that keeps metadata",
                ));
            }
            Ok(lacks) if lacks.is_empty() => {
                found.push(Finding::ok(
                    self.about,
                    "DestinationWrite",
                    "objects and uploads can be written, completed and deleted",
                ));
            }
            Ok(lacks) => {
                let otherwise = Findings { probe: Findings::PROBE, place: String::new(), lacks };
                let why = format!("the server does otherwise than S3, which is worked around: {otherwise}");
                found.push(Finding::ok(self.about, "DestinationWrite", why));
            }
            Err(error) => {
                found.push(self.failed("Write", &error));
                self.tidy(&prefix).await;
                return;
            }
        }
        found.push(self.publish(sync, cursor, listed).await);
    }

    /// A directory takes what a run writes.
    async fn directory(&self, prefix: &str) -> Result<(), StoreError> {
        let key = format!("{prefix}put.s3sync");
        self.store.put(&key, Bytes::from_static(b"s3sync doctor\n"), Condition::Any).await?;
        self.store.delete(&key, None).await
    }

    /// Removes what a probe left that could not do all that it does.
    async fn tidy(&self, prefix: &str) {
        let upload = format!("{prefix}upload/1.s3sync");
        for left in self.store.list_uploads(&upload).await.unwrap_or_default() {
            let _ = self.store.abort_upload(&upload, &left).await;
        }
        for object in self.store.list(prefix, None).next().await.and_then(Result::ok).unwrap_or_default() {
            // Where deleting is what may not be done, it stays: a run that may do so does not look here, and it is a
            // line of text.
            let _ = self.store.delete(&object.key, None).await;
        }
    }

    /// Whether an upload may be begun where the output lies: it is given up at once, and nothing is ever seen of it.
    async fn publish(&self, sync: &Sync, cursor: Option<&Cursor>, listed: Option<&Object>) -> Finding {
        let settings = sync.settings();
        let known = cursor.and_then(|cursor| cursor.tables.keys().next().cloned());
        let table = known.or_else(|| {
            let namer = TableNamer::new(&settings.source.tables).ok()?;
            namer.name(&listed?.key).ok()
        });
        let key = format!("{}{UPLOAD}", settings.output_keys(table.as_deref()).directory());
        let tried = async {
            let upload = self.store.create_upload(&key, "doctor", &settings.destination.object).await?;
            self.store.abort_upload(&key, &upload).await
        };
        match tried.await {
            Ok(()) => Finding::ok(
                self.about,
                "DestinationPath",
                format!("uploads may begin under {}/{}", self.store.place(), key.trim_end_matches(UPLOAD)),
            ),
            Err(error) => self.failed("Path", &error),
        }
    }
}

/// Which step on the way to a server fails.
async fn unreached(about: &str, check: &str, connection: &Connection, error: &StoreError) -> Finding {
    let plain = Finding::of_store(about, check, error);
    let Endpoint::Url(url) = &connection.endpoint else { return plain };
    let Ok(uri) = url.parse::<Uri>() else { return plain };
    // Through a proxy the names are the proxy's to look up.
    let (Some(host), false) = (uri.host(), proxied(&uri)) else { return plain };
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let host = host.trim_matches(['[', ']']);
    let addresses: Vec<_> =
        match tokio::time::timeout(Timeouts::IN_SECONDS.connect, tokio::net::lookup_host((host, port))).await {
            Ok(Ok(addresses)) => addresses.collect(),
            Ok(Err(_)) | Err(_) => Vec::new(),
        };
    let Some(first) = addresses.first() else {
        let why = format!("the name {host} is not known here");
        return Finding::failed(
            about,
            check,
            FailureKind::Other,
            why,
            "check the endpoint, and whether a name server here knows it",
        );
    };
    match tokio::time::timeout(Timeouts::IN_SECONDS.connect, TcpStream::connect(first)).await {
        Ok(Ok(_)) => plain,
        Ok(Err(refused)) => {
            let why = format!("no connection to {host} ({first}): {refused}");
            Finding::failed(
                about,
                check,
                FailureKind::Other,
                why,
                "check the endpoint's port, and whether the server runs",
            )
        }
        Err(_) => {
            let why =
                format!("nothing answers at {host} ({first}) within {} s", Timeouts::IN_SECONDS.connect.as_secs());
            Finding::failed(
                about,
                check,
                FailureKind::Other,
                why,
                "check endpoint, firewalls and NetworkPolicies between here and there",
            )
        }
    }
}

/// Whether the environment names a proxy for this server.
fn proxied(uri: &Uri) -> bool {
    let is_set = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty());
    uri.scheme_str() == Some("https")
        && ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"].into_iter().any(is_set)
}

/// Cursor, key and blobs, and who else may be at the same data.
async fn state(sync: &Sync, bucket: &Bucket<'_>, cursor: Option<&Cursor>, found: &mut Vec<Finding>) {
    let (about, settings, store) = (bucket.about, sync.settings(), bucket.store.as_ref());
    let Some(cursor) = cursor else {
        found.push(Finding::ok(about, "Cursor", format!("none yet at {}: nothing was synced", sync.cursor)));
        found.push(result(about, "Claim", claimed(sync, store, None).await, "nobody else holds this source and path"));
        return;
    };
    found.push(Finding::ok(about, "Cursor", format!("epoch {}, {:?}, at {}", cursor.epoch, cursor.phase, sync.cursor)));
    let change =
        SpecHash::parse(&cursor.spec_hash).change_to(&SpecHash::of(settings)).filter(|_| !cursor.is_untouched());
    found.push(match change {
        Some(change) => Finding::of_run(about, "Identity", &changed(settings, SpecChange::NotAccepted(change))),
        None => Finding::ok(about, "Identity", "source, table rule and destination are those of the cursor"),
    });
    let blobs = Blobs::new(bucket.store.clone(), &settings.state_prefix, &cursor.state_id);
    found.push(match sealed(sync, &blobs, cursor).await {
        Ok((why, 0)) => Finding::ok(about, "StateKey", why),
        Ok((why, _)) => {
            let fix =
                "nothing is lost: the next run prepares those shards again; look who can write under state.prefix";
            Finding::warning(about, "StateKey", why, fix)
        }
        Err(error) => Finding::of_run(about, "StateKey", &error),
    });
    found.push(match named(&blobs, cursor).await {
        Ok(number) => {
            Finding::ok(about, "State", format!("{} that the cursor names can be read", counted(number, "blob")))
        }
        Err(error) => Finding::of_run(about, "State", &error.into()),
    });
    found.push(result(about, "Claim", claimed(sync, store, Some(cursor)).await, "this cursor's, or nobody's"));
    let tables: Vec<&str> = cursor.tables.keys().map(String::as_str).take(TABLES_MAX).collect();
    let outputs = outputs::look(store, settings, &tables, &claim::claim_key(settings), Some(&cursor.state_id)).await;
    found.push(result(about, "OutputClaims", outputs, "no other sync writes the same keys"));
    if let Some(key) = &cursor.garbage {
        found.push(match leftovers(&blobs, key).await {
            Ok(why) => Finding::ok(about, "Leftovers", why),
            Err(error) => Finding::of_run(about, "Leftovers", &error.into()),
        });
    }
}

/// What the next run removes, read a line at a time.
async fn leftovers(blobs: &Blobs, key: &BlobKey) -> Result<String, BlobError> {
    let (mut files, mut uploads, mut replaced) = (0, 0, false);
    let mut lines = blobs.lines(key, BlobKind::Garbage);
    while let Some(line) = lines.next::<Garbage>().await? {
        files += line.files.len() as u64;
        uploads += line.uploads.len() as u64;
        replaced |= line.replaced.is_some();
    }
    let generation = if replaced { ", and the generation that was replaced" } else { "" };
    Ok(format!(
        "the next run removes {} and {} of earlier ones{generation}",
        counted(files, "file"),
        counted(uploads, "upload")
    ))
}

fn result(about: &str, check: &str, outcome: Result<(), RunError>, well: &str) -> Finding {
    match outcome {
        Ok(()) => Finding::ok(about, check, well),
        Err(error) => Finding::of_run(about, check, &error),
    }
}

/// The key of the state: it is looked at, and not made. A pod has it from the kubelet.
fn key(sync: &Sync) -> Result<Option<StateKey>, RunError> {
    match &sync.cursor {
        CursorLocation::ConfigMap { .. } => {
            Ok(std::env::var(variables::STATE_KEY).ok().and_then(|text| StateKey::parse(&text)))
        }
        CursorLocation::File(cursor) if !cursor.path().with_extension("state-key").exists() => Ok(None),
        CursorLocation::File(_) => sync.state_key().map(Some),
    }
}

/// Whether the key opens what workers left in an epoch that is not decided: what there is to say, and how many attempts
/// it does not open.
async fn sealed(sync: &Sync, blobs: &Blobs, cursor: &Cursor) -> Result<(String, u64), RunError> {
    let Some(key) = key(sync)? else {
        let why = match &sync.cursor {
            CursorLocation::ConfigMap { .. } => "it is given to workers' pods alone",
            CursorLocation::File(_) => "none yet; the next run makes it",
        };
        return Ok((why.to_owned(), 0));
    };
    let (Phase::Running, Some(plan)) = (cursor.phase, &cursor.plan) else {
        return Ok(("it can be read".to_owned(), 0));
    };
    let (blobs, plan) = (blobs.clone().with_key(key), blobs.get_plan(plan).await?);
    let (mut opened, mut strange) = (0, 0);
    for attempt in
        attempts::prepared(blobs.store().as_ref(), &blobs, &plan).await?.into_values().flatten().take(ATTEMPTS_MAX)
    {
        match blobs.get_attempt(&attempt, &plan).await {
            Ok(_) => opened += 1,
            Err(BlobError::Nonsense { .. }) => strange += 1,
            Err(error) => return Err(error.into()),
        }
    }
    Ok((
        format!(
            "of {} at shards of epoch {} it opens {opened}",
            counted(opened + strange, "attempt"),
            cursor.epoch + 1
        ),
        strange,
    ))
}

/// Reads what the cursor names.
async fn named(blobs: &Blobs, cursor: &Cursor) -> Result<u64, BlobError> {
    let mut number = 0;
    for (key, kind) in [
        (&cursor.plan, BlobKind::Plan),
        (&cursor.decision, BlobKind::Decision),
        (&cursor.ledger, BlobKind::Ledger),
        (&cursor.commit_record, BlobKind::CommitRecord),
        (&cursor.garbage, BlobKind::Garbage),
    ] {
        let Some(key) = key else { continue };
        let place = blobs.store().place().to_owned();
        match blobs.is_lost(key, kind).await? {
            None => number += 1,
            Some(reason) => return Err(BlobError::Nonsense { place, key: key.0.clone(), reason }),
        }
    }
    Ok(number)
}

async fn claimed(sync: &Sync, store: &dyn Store, cursor: Option<&Cursor>) -> Result<(), RunError> {
    let settings = sync.settings();
    let Some((found, _)) = claim::read(store, &claim::claim_key(settings)).await? else { return Ok(()) };
    claim::conflict(store, settings, cursor.map(|cursor| (cursor.state_id.as_str(), cursor.epoch)), &found)
        .map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_a_warning() {
        for (seconds, expected, part) in [
            (0, Outcome::Ok, "0 s"),
            (-60, Outcome::Ok, "60 s"),
            (61, Outcome::Warning, "61 s behind"),
            (-900, Outcome::Warning, "900 s ahead of"),
        ] {
            let found = clock("data/orders", "SourceClock", SignedDuration::from_secs(seconds));
            assert!(found.result == expected && found.why.contains(part), "{found:?}");
        }
    }
}
