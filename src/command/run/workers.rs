//! The workers of one run, side by side in this process: worker 0 leads, the others follow the cursor until it has ended.

use tokio::task::JoinSet;

use crate::pipeline::context::Context;
use crate::pipeline::error::RunError;
use crate::pipeline::run::{RunSummary, follow, lead};

/// Runs one sync with so many workers, to its end. See [`lead`] for `summary`.
pub async fn run(context: &Context, workers: u32, summary: &mut RunSummary) -> Result<(), RunError> {
    // Ends with the run, or before it when the process is told to stop.
    let stop = context.cancel.child_token();
    let mut followers = JoinSet::new();
    for index in 1..workers {
        let follower = Context { index, cancel: stop.clone(), ..context.clone() };
        followers.spawn(async move { follow(&follower).await });
    }
    let result = lead(context, summary).await;
    stop.cancel();
    while let Some(ended) = followers.join_next().await {
        // Worker 0 does alone what a follower cannot: its own result is the run's.
        if let Ok(Err(error)) = ended {
            tracing::debug!(sync = %context.settings.id, "a following worker stopped: {error}");
        }
    }
    result
}
