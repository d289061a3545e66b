//! The workers of one run, side by side in this process: worker 0 leads, the others follow the cursor until it has
//! ended.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::pipeline::context::Context;
use crate::pipeline::error::RunError;
use crate::pipeline::run::{RunSummary, follow, lead};

/// How long a run that was told to stop may take to its next safe place, before it is left where it is: that is safe at
/// any point, and only leaves more for the next run to do. A part's upload ends within it; a server that does not
/// answer is not waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs one sync with so many workers, to its end. See [`lead`] for `summary`.
pub async fn run(context: &Context, workers: u32, summary: &mut RunSummary) -> Result<(), RunError> {
    // Ends with the run, or before it when the process is told to stop.
    let stop = context.cancel.child_token();
    let mut followers = JoinSet::new();
    for index in 1..workers {
        let follower = Context { index, cancel: stop.clone(), ..context.clone() };
        followers.spawn(async move { follow(&follower).await });
    }
    let result = tokio::select! {
        biased;
        result = lead(context, summary) => result,
        () = out_of_patience(context) => Err(context.interrupted()),
    };
    stop.cancel();
    while let Some(ended) = followers.join_next().await {
        // Worker 0 does alone what a follower cannot: its own result is the run's.
        if let Ok(Err(error)) = ended {
            tracing::debug!(sync = %context.settings.id, "a following worker stopped: {error}");
        }
    }
    result
}

/// Returns when the run was told to stop a while ago.
async fn out_of_patience(context: &Context) {
    context.cancel.cancelled().await;
    tokio::time::sleep(PATIENCE).await;
}
