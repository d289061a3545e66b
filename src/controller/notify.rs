//! Notices: a resource's change of Ready or LastRunSucceeded, told to a URL by POST. Nothing depends on them: a
//! receiver that is slow or away holds nothing up, and what it misses is counted.

pub mod notice;
mod send;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Uri;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::notice::Notice;
pub use self::send::Patience;
use self::send::{Failure, Sender};
use crate::controller::manager::metrics::Metrics;

/// Notices that wait: those of some hundred resources that break together. Each has two kilobytes at most.
const WAITING_MAX: usize = 256;

/// The longest file with a URL.
const URL_BYTES_MAX: u64 = 8192;

/// At the end, what waits is tried once more, for no longer than this.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// A URL that cannot be had. Says nothing of it: it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// No file.
    #[error("--notify-url-file: {file} cannot be read: {why}")]
    Unread {
        /// Which.
        file: String,
        /// Why.
        why: String,
    },
    /// No URL in it.
    #[error(
        "--notify-url-file: {file} holds no http:// or https:// URL of a host, without a user; write it on one line"
    )]
    NoUrl {
        /// Which.
        file: String,
    },
}

/// The URL in a file. Read at each notice, so that a Secret may be changed under it.
pub fn url(file: &Path) -> Result<Uri, UrlError> {
    let name = || file.display().to_string();
    let unread = |why: String| UrlError::Unread { file: name(), why };
    let length = std::fs::metadata(file).map_err(|error| unread(error.to_string()))?.len();
    if length > URL_BYTES_MAX {
        return Err(unread(format!("it has {length} bytes, and no URL has more than {URL_BYTES_MAX}")));
    }
    let text = std::fs::read_to_string(file).map_err(|error| unread(error.to_string()))?;
    let uri: Option<Uri> = text.trim().parse().ok();
    let fits = |uri: &Uri| {
        let host =
            uri.authority().is_some_and(|authority| !authority.as_str().contains('@') && !authority.host().is_empty());
        host && matches!(uri.scheme_str(), Some("http" | "https"))
    };
    uri.filter(fits).ok_or_else(|| UrlError::NoUrl { file: name() })
}

/// What waits to be told.
#[derive(Clone, Debug)]
pub struct Notices(Option<Arc<Waiting>>);

#[derive(Debug)]
struct Waiting {
    notices: Mutex<VecDeque<Notice>>,
    more: Notify,
    metrics: Arc<Metrics>,
}

impl Notices {
    /// Nobody is told.
    pub fn none() -> Notices {
        Notices(None)
    }

    /// What is told here waits for [`Notices::send`].
    pub fn new(metrics: Arc<Metrics>) -> Notices {
        Notices(Some(Arc::new(Waiting { notices: Mutex::default(), more: Notify::new(), metrics })))
    }

    /// Tells, at once and without waiting. Where too many wait, the oldest is given up: what is true now matters most.
    pub fn tell(&self, notices: Vec<Notice>) {
        let Some(waiting) = &self.0 else { return };
        for notice in notices {
            let mut queue = waiting.notices.lock().unwrap_or_else(PoisonError::into_inner);
            let oldest = if queue.len() == WAITING_MAX { queue.pop_front() } else { None };
            queue.push_back(notice);
            drop(queue);
            if let Some(oldest) = oldest {
                waiting.metrics.notified("dropped");
                let (namespace, name, condition) = (oldest.namespace, oldest.name, oldest.condition);
                tracing::warn!(
                    namespace,
                    name,
                    condition,
                    "a notice is given up, because {WAITING_MAX} wait to be sent"
                );
            }
            waiting.more.notify_one();
        }
    }

    /// Sends what is told to the URL in `file`, one after another, until `stop`.
    pub async fn send(self, file: PathBuf, patience: Patience, stop: CancellationToken) {
        let Some(waiting) = &self.0 else { return };
        // The machine's root certificates are read.
        let sender = tokio::task::spawn_blocking(move || Sender::new(file, patience)).await;
        let sender = match sender.unwrap_or_else(|ended| Err(ended.to_string())) {
            Ok(sender) => sender,
            Err(why) => return tracing::error!("no notice can be sent: {why}"),
        };
        loop {
            let next = waiting.notices.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(notice) = next else {
                tokio::select! {
                    () = waiting.more.notified() => {}
                    () = stop.cancelled() => return,
                }
                continue;
            };
            tokio::select! {
                sent = sender.tell(&notice) => waiting.told(&notice, sent),
                () = stop.cancelled() => {
                    waiting.notices.lock().unwrap_or_else(PoisonError::into_inner).push_front(notice);
                    return waiting.drain(&sender).await;
                }
            }
        }
    }
}

impl Waiting {
    fn told(&self, notice: &Notice, sent: Result<(), Failure>) {
        self.metrics.notified(if sent.is_ok() { "sent" } else { "failed" });
        if let Err(failure) = sent {
            let Notice { namespace, name, condition, status, .. } = notice;
            tracing::warn!(namespace, name, condition, status, "a notice could not be sent: {failure}");
        }
    }

    async fn drain(&self, sender: &Sender) {
        let all = async {
            loop {
                let next = self.notices.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some(notice) = next else { return };
                self.told(&notice, sender.post(&notice).await);
            }
        };
        // What is left then is lost with this replica.
        let _ = tokio::time::timeout(DRAIN_MAX, all).await;
    }
}

#[cfg(test)]
mod tests;
