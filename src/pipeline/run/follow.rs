//! Every worker but the first: prepares shards of whatever plan the cursor names, until it is ended.

use std::sync::Arc;

use super::epoch::prepare_all;
use super::open::{blobs, state_error};
use crate::model::cursor::Phase;
use crate::pipeline::context::Context;
use crate::pipeline::error::{RunError, RunErrorKind};

/// Follows the cursor until the context is cancelled. A plan that vanishes under it is no error: worker 0 has moved on.
pub async fn follow(context: &Context) -> Result<(), RunError> {
    loop {
        if context.cancel.is_cancelled() {
            return Ok(());
        }
        let found = context.cursor.load().await.map_err(|error| state_error(context, error))?;
        let version = match &found {
            Some((cursor, version)) => {
                if let Some(known) = &cursor.server {
                    context.destination.adapt(known);
                }
                if cursor.phase == Phase::Running
                    && let Some(key) = &cursor.plan
                {
                    let blobs = blobs(context, cursor);
                    let prepared = match blobs.get_plan(key).await {
                        Ok(plan) => {
                            context.progress.join(plan.epoch);
                            prepare_all(context, &blobs, key, &Arc::new(plan)).await.map(|_| ())
                        }
                        Err(error) => Err(error.into()),
                    };
                    match prepared {
                        Ok(()) => {}
                        Err(error) if error.kind == RunErrorKind::Interrupted => return Ok(()),
                        Err(error) => {
                            let now = context.cursor.load().await.map_err(|error| state_error(context, error))?;
                            if now.is_some_and(|(_, now)| now == *version) {
                                return Err(error);
                            }
                        }
                    }
                }
                Some(version.clone())
            }
            None => None,
        };
        tokio::select! {
            () = context.cancel.cancelled() => return Ok(()),
            changed = context.cursor.changed(version.as_ref(), context.patience.look_again) => {
                changed.map_err(|error| state_error(context, error))?;
            }
        }
    }
}
