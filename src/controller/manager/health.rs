//! Whether the watches live, and why one does not. `/healthz` fails when all watches of a kind have brought nothing but
//! errors for long, so that the kubelet starts the controller again: where only one of several namespaces cannot be
//! watched, that mends nothing and would stop the others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::runtime::watcher::{self, Event};
use tokio::time::Instant;

use crate::api::text;
use crate::controller::reflectors::{CONNECTIONS, RUNS};

/// A watch that fails for this long is dead: an API server that is restarted or upgraded is back sooner.
const DEAD_AFTER: Duration = Duration::from_secs(300);

/// A watch that works may be silent for ever. One that fails tries again within the backoff's 30 s, or the 130 s after
/// which a request without an answer is given up, so an error longer ago than this is over.
const ERRORS_APART_MAX: Duration = Duration::from_secs(180);

/// All watches.
#[derive(Debug, Default)]
pub struct Health {
    watches: Mutex<Vec<Arc<Watch>>>,
}

#[derive(Debug)]
struct Watch {
    kind: &'static str,
    /// Where; empty: everywhere.
    namespace: String,
    state: Mutex<WatchState>,
}

#[derive(Clone, Debug, Default)]
struct WatchState {
    /// First and last of a row of errors.
    failing: Option<(Instant, Instant)>,
    /// What the last of them says.
    error: String,
}

/// A watch, and what it says instead of bringing anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The kind's plural, as in a URL.
    pub kind: &'static str,
    /// Where; empty: everywhere.
    pub namespace: String,
    /// Why it brings nothing; `None` where it works, as far as is known.
    pub failure: Option<String>,
}

/// One watch's reports.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Watch>);

impl Health {
    /// A new watch of a namespace; of all together where it is empty.
    pub fn pulse(&self, kind: &'static str, namespace: &str) -> Pulse {
        let watch = Arc::new(Watch { kind, namespace: namespace.to_owned(), state: Mutex::default() });
        self.watches.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&watch));
        Pulse(watch)
    }

    /// The kinds whose watches are all dead.
    pub fn dead(&self) -> Vec<&'static str> {
        self.dead_at(Instant::now())
    }

    fn dead_at(&self, now: Instant) -> Vec<&'static str> {
        let mut kinds = BTreeMap::new();
        let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        // Who names no S3Connection and asks for no run by name needs neither their definitions nor a right to them.
        for watch in watches.iter().filter(|watch| ![CONNECTIONS, RUNS].contains(&watch.kind)) {
            *kinds.entry(watch.kind).or_insert(true) &= watch.is_dead(now);
        }
        kinds.into_iter().filter(|(_, dead)| *dead).map(|(kind, _)| kind).collect()
    }

    /// All watches.
    pub fn watches(&self) -> Vec<Watched> {
        let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        let watched = |watch: &Arc<Watch>| Watched {
            kind: watch.kind,
            namespace: watch.namespace.clone(),
            failure: watch.failure(Instant::now()),
        };
        watches.iter().map(watched).collect()
    }

    /// Why the watch of a kind in a namespace brings nothing.
    pub fn failure(&self, kind: &str, namespace: &str) -> Option<String> {
        let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        let watches_it =
            |watch: &&Arc<Watch>| watch.kind == kind && [namespace, ""].contains(&watch.namespace.as_str());
        watches.iter().find(watches_it)?.failure(Instant::now())
    }
}

impl Watch {
    fn is_dead(&self, now: Instant) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failing.is_some_and(|(first, last)| now - last < ERRORS_APART_MAX && now - first >= DEAD_AFTER)
    }

    fn failure(&self, now: Instant) -> Option<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failing.filter(|(_, last)| now - *last < ERRORS_APART_MAX).map(|_| state.error.clone())
    }
}

impl Pulse {
    /// What it brought: an object or an error. That a list begins is neither; it has brought nothing yet.
    pub fn heard<K>(&self, brought: &Result<Event<K>, watcher::Error>) {
        match brought {
            Ok(Event::Init) => {}
            Ok(_) => self.beat(),
            Err(error) => {
                tracing::warn!(kind = self.0.kind, namespace = self.0.namespace, %error, "a watch failed and is begun again");
                self.missed(Instant::now(), said(error));
            }
        }
    }

    fn beat(&self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).failing = None;
    }

    fn missed(&self, now: Instant, error: String) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.error = error;
        state.failing = match state.failing {
            Some((first, last)) if now - last < ERRORS_APART_MAX => Some((first, now)),
            _ => Some((now, now)),
        };
    }
}

/// The API server's own sentence, where there is one.
fn said(error: &watcher::Error) -> String {
    let own = match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => match error {
            kube::Error::Api(status) => Some(&status.message),
            _ => None,
        },
        watcher::Error::WatchError(status) => Some(&status.message),
        watcher::Error::NoResourceVersion => None,
    };
    text::message(&own.filter(|own| !own.is_empty()).cloned().unwrap_or_else(|| error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_is_dead_when_it_fails_for_long_and_without_a_break() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        for (errors, beat_after, asked, dead) in [
            (vec![], None, 10_000, false),
            (vec![0], None, 299, false),
            (vec![0, 30, 60, 90, 120, 150, 180, 210, 240, 270, 299], None, 299, false),
            (vec![0, 30, 60, 90, 120, 150, 180, 210, 240, 270, 300], None, 300, true),
            (vec![0, 130, 260], None, 301, true),
            // A working watch in between, in silence.
            (vec![0, 30, 600], None, 601, false),
            (vec![0, 100, 200, 290], Some(2), 301, false),
        ] {
            let health = Health::default();
            let pulse = health.pulse("jobs", "");
            for (i, seconds) in errors.iter().enumerate() {
                pulse.missed(at(*seconds), "no answer".into());
                if beat_after == Some(i) {
                    pulse.beat();
                }
            }
            assert_eq!(pulse.0.is_dead(at(asked)), dead, "{errors:?} at {asked}");
        }
    }

    /// Before each list that fails stands that it begins.
    #[test]
    fn a_list_that_begins_has_brought_nothing() {
        let health = Health::default();
        let pulse = health.pulse("pods", "b");
        let forbidden = || {
            let status = kube::core::Status::failure("pods is forbidden", "Forbidden").with_code(403);
            Err(watcher::Error::InitialListFailed(kube::Error::Api(status.boxed())))
        };
        for brought in [Ok(Event::<()>::Init), forbidden(), Ok(Event::Init)] {
            pulse.heard(&brought);
        }
        assert_eq!(health.failure("pods", "b").as_deref(), Some("pods is forbidden"));
        assert_eq!((health.failure("pods", "a"), health.failure("jobs", "b")), (None, None));
        pulse.heard(&Ok(Event::<()>::InitDone));
        assert_eq!(health.failure("pods", "b"), None);
    }

    /// A namespace that nobody may list does not end the controller for the others.
    #[test]
    fn a_kind_is_dead_when_all_its_watches_are() {
        let (health, start) = (Health::default(), Instant::now());
        let [a, b] = ["a", "b"].map(|namespace| health.pulse("pods", namespace));
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        for seconds in (0..=300).step_by(30) {
            a.missed(at(seconds), String::new());
        }
        assert_eq!(health.dead_at(at(300)), [""; 0]);
        for seconds in (0..=300).step_by(30) {
            b.missed(at(seconds), String::new());
        }
        assert_eq!(health.dead_at(at(300)), ["pods"]);
        let connections = health.pulse(CONNECTIONS, "");
        for seconds in (0..=300).step_by(30) {
            connections.missed(at(seconds), "the definition is not there".into());
        }
        assert_eq!(health.dead_at(at(300)), ["pods"], "most resources need none");
    }
}
