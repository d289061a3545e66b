//! How a run begins: the cursor is loaded or made, its identity compared with the spec's, the claim taken.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Lead, RunSummary};
use crate::model::cursor::{Cursor, Phase};
use crate::model::spec_hash::SpecHash;
use crate::pipeline::claim;
use crate::pipeline::context::Context;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::state::blobs::Blobs;
use crate::state::{StateError, Version};

impl<'a> Lead<'a> {
    /// Everything that must hold before anything is read.
    pub(super) async fn open(context: &'a Context, summary: &'a mut RunSummary) -> Result<Lead<'a>, RunError> {
        let (cursor, version) = load_or_create(context).await?;
        let (cursor, version) = accept_spec(context, cursor, version).await?;
        let held = claim::hold(context.destination.as_ref(), &context.settings, &cursor, &context.owner).await?;
        let blobs = blobs(context, &cursor);
        Ok(Lead { context, summary, blobs, cursor, version, held, changed: BTreeSet::new() })
    }
}

/// The blobs of a cursor.
pub(super) fn blobs(context: &Context, cursor: &Cursor) -> Blobs {
    Blobs::new(Arc::clone(&context.destination), &context.settings.state_prefix, &cursor.state_id)
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

/// What a failure of the cursor's store means.
pub(super) fn state_error(context: &Context, error: StateError) -> RunError {
    RunError::because(RunErrorKind::from(&error), format!("{}: {error}", context.settings.id), error)
}

/// Stops on a changed identity, or takes it over when that was accepted. An epoch under way is always finished first, by its own settings.
async fn accept_spec(context: &Context, cursor: Cursor, version: Version) -> Result<(Cursor, Version), RunError> {
    if cursor.spec_hash == context.spec_hash {
        return Ok((cursor, version));
    }
    if cursor.is_untouched() {
        let next = Cursor::empty(cursor.state_id, 0, context.spec_hash.clone());
        let version = context.cursor.swap(&version, &next).await.map_err(|error| state_error(context, error))?;
        return Ok((next, version));
    }
    let (before, now) = (SpecHash::parse(&cursor.spec_hash), SpecHash::parse(&context.spec_hash));
    let moved = before.destination != now.destination;
    if cursor.phase == Phase::Committing {
        if !moved {
            return Ok((cursor, version));
        }
        return Err(RunError::new(
            RunErrorKind::SpecChanged,
            format!(
                "{}: the destination changed while epoch {} was decided and not yet visible; put it back as it was, run once to finish \
                 the epoch there, and change it then",
                context.settings.id,
                cursor.epoch + 1
            ),
        ));
    }
    let what = match (before.source != now.source, moved) {
        (true, true) => "source and destination",
        (_, true) => "destination",
        _ => "source or table rule",
    };
    if !context.accept_spec_change {
        let effect = if moved {
            "a new destination or state prefix starts with an empty ledger, so everything is read again"
        } else {
            "the ledger stays, so objects that it knows by key, etag and size are not read again"
        };
        return Err(RunError::new(
            RunErrorKind::SpecChanged,
            format!(
                "{}: the {what} changed since the last run; {effect}; accept it with --accept-spec-change (in a cluster: annotation \
                 s3sync.dev/accept-spec-change), or start over with `s3sync state reset --yes`",
                context.settings.id
            ),
        ));
    }
    let mut next = Cursor { spec_hash: context.spec_hash.clone(), listed_to: None, ..cursor };
    if moved {
        tracing::warn!(sync = %context.settings.id, "the destination changed: starting with an empty ledger");
        next = Cursor {
            phase: Phase::Idle,
            run: None,
            plan: None,
            ledger: None,
            manifest: None,
            garbage: None,
            tables: Default::default(),
            ..next
        };
    }
    let version = context.cursor.swap(&version, &next).await.map_err(|error| state_error(context, error))?;
    Ok((next, version))
}
