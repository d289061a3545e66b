//! A worker's progress, told through the cursor's ConfigMap for people: at most now and then, and only what is new.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::api::status;
use crate::pipeline::progress::Progress;
use crate::state::configmap::ConfigMapCursor;

/// How often one worker tells at most.
const EVERY: Duration = Duration::from_secs(5);

/// How much longer each other worker makes the wait: all write the same object, and its API server should see two
/// writes a second of a run, however many workers it has.
const EVERY_EACH: Duration = Duration::from_millis(500);

/// How long the end of a run waits for progress to be removed.
const REMOVED_WITHIN: Duration = Duration::from_secs(5);

/// Tells a worker's progress until it is dropped.
#[derive(Debug)]
pub struct Told {
    task: JoinHandle<()>,
}

impl Drop for Told {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Begins to tell the progress of worker `index` of `workers`.
pub fn tell(cursor: ConfigMapCursor, index: u32, workers: u32, progress: Arc<Progress>) -> Told {
    let every = EVERY.max(EVERY_EACH.saturating_mul(workers));
    let task = tokio::spawn(async move {
        let mut told = None;
        loop {
            tokio::time::sleep(every).await;
            let now = view(&progress, index);
            if now.epoch == 0 || told.as_ref() == Some(&now) {
                continue;
            }
            let text = serde_json::to_string(&now).expect("numbers serialise");
            match cursor.put_progress(index, &text).await {
                Ok(()) => told = Some(now),
                // For people only: the next one is due in seconds, and what matters meets the same API server.
                Err(error) => tracing::debug!("progress cannot be told: {error}"),
            }
        }
    });
    Told { task }
}

/// Removes what all workers told. A failure is logged: what is left is replaced by the next run.
pub async fn forget(cursor: &ConfigMapCursor) {
    match tokio::time::timeout(REMOVED_WITHIN, cursor.clear_progress()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("progress cannot be removed: {error}"),
        Err(_) => tracing::debug!("progress cannot be removed: the API server does not answer"),
    }
}

/// What the counters show. Only worker 0 knows the totals.
fn view(progress: &Progress, index: u32) -> status::Progress {
    let read = |counter: &AtomicU64| i64::try_from(counter.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
    let total = |counter: &AtomicU64| if index == 0 { read(counter) } else { 0 };
    status::Progress {
        epoch: read(&progress.epoch),
        objects_done: read(&progress.objects_done),
        objects_total: total(&progress.objects_total),
        bytes_done: read(&progress.bytes_done),
        bytes_total: total(&progress.bytes_total),
        summary: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_worker_0_tells_totals() {
        let progress = Progress::default();
        progress.begin(3, 10, 1000);
        progress.objects_done.store(4, Ordering::Relaxed);
        let json = |index| serde_json::to_string(&view(&progress, index)).unwrap();
        assert_eq!(json(0), r#"{"epoch":3,"objectsDone":4,"objectsTotal":10,"bytesDone":0,"bytesTotal":1000}"#);
        assert_eq!(json(1), r#"{"epoch":3,"objectsDone":4,"objectsTotal":0,"bytesDone":0,"bytesTotal":0}"#);
    }
}
