//! How a run begins: the cursor is loaded or made, its identity compared with the spec's, the claim taken.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Lead, RunSummary};
use crate::model::cursor::{Cursor, Phase, SpecChange};
use crate::model::plan::BlobKey;
use crate::model::server::{Findings, Lack};
use crate::model::settings::Settings;
use crate::model::spec_hash::SpecHash;
use crate::pipeline::commit::claim;
use crate::pipeline::context::Context;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::state::blobs::Blobs;
use crate::state::{StateError, Version};

impl<'a> Lead<'a> {
    /// Everything that must hold before anything is read.
    pub(super) async fn open(context: &'a Context, summary: &'a mut RunSummary) -> Result<Lead<'a>, RunError> {
        let (cursor, version) = load_or_create(context).await?;
        let (cursor, version) = accept_spec(context, cursor, version).await?;
        let (cursor, version) = know_server(context, cursor, version).await?;
        let (store, blobs) = (context.destination.as_ref(), blobs(context, &cursor));
        let settings = settings_in_force(context, &cursor, &blobs).await?;
        let held = claim::hold(store, &settings, &cursor, &context.owner).await?;
        let (cursor, version) = take_place(context, cursor, version, held.key()).await?;
        Ok(Lead { context, summary, blobs, cursor, version, held, changed: BTreeSet::new() })
    }
}

/// The spec; or, where an epoch is decided, what it is finished by: its claim is not given back before all of it is
/// visible, whatever became of the spec.
async fn settings_in_force(context: &Context, cursor: &Cursor, blobs: &Blobs) -> Result<Arc<Settings>, RunError> {
    match &cursor.plan {
        Some(plan) if cursor.phase == Phase::Committing => Ok(Arc::new(blobs.get_plan(plan).await?.settings)),
        _ => Ok(Arc::clone(&context.settings)),
    }
}

/// The cursor with the claim that it holds now; one that it held before (of another path, or of other globs) is given
/// back. A failure leaves an old claim behind, which its sentence tells how to take over, and no run should fail for
/// it.
async fn take_place(
    context: &Context,
    cursor: Cursor,
    version: Version,
    key: &str,
) -> Result<(Cursor, Version), RunError> {
    let next = Cursor { claim: Some(BlobKey(key.to_owned())), ..cursor.clone() };
    match &cursor.claim {
        Some(BlobKey(before)) if before != key => {
            if let Err(error) = claim::give_back(context.destination.as_ref(), before, &cursor.state_id).await {
                tracing::warn!(claim = before, "a claim of before cannot be given back: {error}");
                return Ok((cursor, version));
            }
            swapped(context, &version, next).await
        }
        // Written with the next step of the run.
        _ => Ok((next, version)),
    }
}

/// The blobs of a cursor.
pub(super) fn blobs(context: &Context, cursor: &Cursor) -> Blobs {
    let blobs = Blobs::new(Arc::clone(&context.destination), &context.settings.state_prefix, &cursor.state_id);
    blobs.with_key(context.state_key.clone())
}

/// The cursor as it stands, or a new one.
pub(super) async fn load_or_create(context: &Context) -> Result<(Cursor, Version), RunError> {
    let failed = |error: StateError| state_error(context, error);
    if let Some(found) = context.cursor.load().await.map_err(failed)? {
        return Ok(found);
    }
    let cursor = Cursor::empty((context.ids)(), 0, context.spec_hash.clone());
    let version = context.cursor.create(&cursor).await.map_err(failed)?;
    Ok((cursor, version))
}

/// What the destination's server does otherwise than S3 is found out once in a cursor's life, and again where the
/// destination is another or this build looks for more. It comes before everything that relies on it.
async fn know_server(context: &Context, cursor: Cursor, version: Version) -> Result<(Cursor, Version), RunError> {
    let store = context.destination.as_ref();
    let place = SpecHash::parse(&context.spec_hash).destination;
    if let Some(known) = cursor.server.as_ref().filter(|known| known.are_of(&place)) {
        store.adapt(known);
        return Ok((cursor, version));
    }
    let prefix = format!("{}/{}/probe/", context.settings.state_prefix, cursor.state_id);
    let id = &context.settings.id;
    let find_out = async || {
        store.find_out(&prefix, &context.settings.destination.object).await.map_err(|error| {
            let mut failed = RunError::from(error);
            failed.message = format!("{id}: the destination cannot be written: {}", failed.message);
            failed
        })
    };
    let Some(mut lacks) = find_out().await? else { return Ok((cursor, version)) };
    if !lacks.is_empty() {
        // Another process may have been at it at the same time: what is found twice is the server's.
        let again = find_out().await?.unwrap_or_default();
        lacks.retain(|lack| again.contains(lack));
    }
    if lacks.contains(&Lack::Metadata) {
        let message = format!(
            "{id}: the server of {} does not give the metadata of an object back (x-amz-meta-s3sync-id), by which a published file is known \
             again; use one that keeps metadata, or a gateway that does in front of it",
            store.place()
        );
        return Err(RunError::new(RunErrorKind::InvalidSpec, message));
    }
    let findings = Findings { probe: Findings::PROBE, place, lacks };
    let (sync, place) = (id, store.place());
    if findings.lacks.is_empty() {
        tracing::debug!(%sync, place, "the server answers {findings}");
    } else {
        tracing::info!(%sync, place, "the server does not do all that S3 does, which is worked around: {findings}");
    }
    if findings.lacks.contains(&Lack::PutIfNoneMatchIgnored) || findings.lacks.contains(&Lack::PutIfMatchIgnored) {
        tracing::warn!(%sync, place, "without conditional writes the claim only advises: do not run this sync from two places");
    }
    store.adapt(&findings);
    let next = Cursor { server: Some(findings), ..cursor };
    let version = context.cursor.swap(&version, &next).await.map_err(|error| state_error(context, error))?;
    Ok((next, version))
}

/// What a failure of the cursor's store means.
pub(super) fn state_error(context: &Context, error: StateError) -> RunError {
    RunError::because(RunErrorKind::from(&error), format!("{}: {error}", context.settings.id), error)
}

/// Stops on a changed identity, or takes it over when that was accepted. An epoch under way is always finished first,
/// by its own settings.
async fn accept_spec(context: &Context, cursor: Cursor, version: Version) -> Result<(Cursor, Version), RunError> {
    let (next, accepted) = cursor
        .under(&context.spec_hash, context.accept_spec_change)
        .map_err(|change| changed(&context.settings, change))?;
    if next == cursor {
        return Ok((cursor, version));
    }
    if let Some(change) = accepted {
        if change.begins_anew() {
            tracing::warn!(sync = %context.settings.id, "the {} changed: starting with an empty ledger", change.what());
        }
        if change.destination
            && let Some(BlobKey(garbage)) = &cursor.garbage
        {
            tracing::warn!(sync = %context.settings.id, garbage, "what was to be removed at the old destination stays: that blob names it");
        }
    }
    swapped(context, &version, next).await
}

async fn swapped(context: &Context, version: &Version, next: Cursor) -> Result<(Cursor, Version), RunError> {
    let version = context.cursor.swap(version, &next).await.map_err(|error| state_error(context, error))?;
    Ok((next, version))
}

/// What a run, or a look at what it would do, says of a changed identity that it cannot go on with.
pub fn changed(settings: &Settings, change: SpecChange) -> RunError {
    let message = match change {
        SpecChange::NotAccepted(change) => format!(
            "{}: the {} changed since the last run; {}; go back, or accept it with `s3sync run --accept-spec-change` (first with --dry-run, \
             to see what it would do; in a cluster: annotation s3sync.dev/accept-spec-change), or start over with `s3sync state reset --yes`",
            settings.id,
            change.what(),
            change.effect()
        ),
        SpecChange::OfDecided { epoch } => format!(
            "{}: the destination changed while epoch {epoch} was decided and not yet visible; put it back as it was, run once to finish the \
             epoch there, and change it then",
            settings.id
        ),
    };
    RunError::new(RunErrorKind::SpecChanged, message)
}
