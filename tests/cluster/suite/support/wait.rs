//! Waiting for what the cluster does in its own time.

use std::time::{Duration, Instant};

/// How long anything may take on a slow machine with everything else going on; what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(180);

/// Looks again and again until there is something, and gives it. Panics with what was seen last when patience ends.
#[track_caller]
pub fn until<T>(what: &str, look: impl FnMut() -> Result<T, String>) -> T {
    within(PATIENCE, what, look)
}

/// As [`until`], with a patience of its own.
#[track_caller]
pub fn within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let started = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) if started.elapsed() > patience => {
                panic!("waited {} s for {what}; last seen: {seen}", patience.as_secs())
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}
