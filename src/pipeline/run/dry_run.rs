//! A run that stops before it freezes a plan: what it would read and write, and what would stop it. Nothing is written.

use super::open;
use crate::model::cursor::{Cursor, Phase};
use crate::pipeline::commit::{claim, outputs};
use crate::pipeline::context::Context;
use crate::pipeline::error::RunError;
use crate::pipeline::planner::{Planner, Preview, PreviewOf};
use crate::pipeline::sample::SourceSampler;
use crate::state::blobs::Blobs;

/// What a run would do, and where the epoch under way stands.
pub struct DryRun {
    /// Where the cursor stands before anything is read.
    pub phase: Phase,
    /// What would be found.
    pub preview: Preview,
}

/// Looks at one sync, as a run would that goes on with `cursor`. What would stop a run before it has planned is an
/// error here too.
pub async fn dry_run(context: &Context, cursor: Option<Cursor>, of: PreviewOf) -> Result<DryRun, RunError> {
    let (settings, store) = (&context.settings, context.destination.as_ref());
    let state_id = cursor.as_ref().map(|cursor| cursor.state_id.clone());
    let cursor = match &cursor {
        Some(cursor) => cursor.under(&context.spec_hash, context.accept_spec_change),
        // Without one no blob is ever asked for.
        None => Ok((Cursor::empty("none".to_owned(), 0, context.spec_hash.clone()), None)),
    };
    let (cursor, _) = cursor.map_err(|change| open::changed(settings, change))?;
    if let Some((claim, _)) = claim::read(store, &claim::claim_key(settings)).await? {
        let ours = state_id.as_deref().map(|state_id| (state_id, cursor.epoch));
        claim::conflict(store, settings, ours, &claim).map_or(Ok(()), Err)?;
    }
    let blobs = Blobs::new(context.destination.clone(), &settings.state_prefix, &cursor.state_id);
    let planner = Planner {
        source: context.source.as_ref(),
        blobs: &blobs,
        settings,
        cursor: &cursor,
        run: cursor.run_under_way(context.request_id()).map(|run| run.id.as_str()),
        request: context.request.as_ref(),
        sampler: &SourceSampler::new(context),
        scratch: &context.scratch,
    };
    let preview = planner.preview(of).await?;
    if of == PreviewOf::Run {
        let read: Vec<&str> = preview.read().map(|(name, _)| name).collect();
        outputs::look(store, settings, &read, &claim::claim_key(settings), state_id.as_deref()).await?;
    }
    Ok(DryRun { phase: cursor.phase, preview })
}
