//! Whether the watches live: `/healthz` fails when one has brought nothing but errors for long, so that the kubelet starts the controller
//! again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::runtime::watcher;
use tokio::time::Instant;

/// A watch that fails for this long is dead: an API server that is restarted or upgraded is back sooner.
const DEAD_AFTER: Duration = Duration::from_secs(300);

/// A watch that works may be silent for ever. One that fails tries again within the backoff's 30 s, or the 130 s after which a request
/// without an answer is given up, so an error longer ago than this is over.
const ERRORS_APART_MAX: Duration = Duration::from_secs(180);

/// All watches.
#[derive(Debug, Default)]
pub struct Health {
    watches: Mutex<Vec<Arc<Watch>>>,
}

#[derive(Debug)]
struct Watch {
    kind: &'static str,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// First and last of a row of errors.
    failing: Option<(Instant, Instant)>,
}

/// One watch's reports.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Watch>);

impl Health {
    /// A new watch.
    pub fn pulse(&self, kind: &'static str) -> Pulse {
        let watch = Arc::new(Watch { kind, state: Mutex::default() });
        self.watches.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&watch));
        Pulse(watch)
    }

    /// The watches that are dead.
    pub fn dead(&self) -> Vec<&'static str> {
        let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.iter().filter(|watch| watch.is_dead(Instant::now())).map(|watch| watch.kind).collect()
    }
}

impl Watch {
    fn is_dead(&self, now: Instant) -> bool {
        let state = *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failing.is_some_and(|(first, last)| now - last < ERRORS_APART_MAX && now - first >= DEAD_AFTER)
    }
}

impl Pulse {
    /// It brought something.
    pub fn beat(&self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).failing = None;
    }

    /// It failed; it tries again by itself.
    pub fn missed(&self, error: &watcher::Error) {
        tracing::warn!(kind = self.0.kind, %error, "a watch failed and is begun again");
        self.note(Instant::now());
    }

    fn note(&self, now: Instant) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failing = match state.failing {
            Some((first, last)) if now - last < ERRORS_APART_MAX => Some((first, now)),
            _ => Some((now, now)),
        };
    }
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
            let pulse = health.pulse("jobs");
            for (i, seconds) in errors.iter().enumerate() {
                pulse.note(at(*seconds));
                if beat_after == Some(i) {
                    pulse.beat();
                }
            }
            assert_eq!(pulse.0.is_dead(at(asked)), dead, "{errors:?} at {asked}");
        }
    }
}
