//! When a failed request is tried again: exponential backoff with full jitter, as a pure schedule.
//!
//! Full jitter (a wait drawn evenly from nothing to the exponential bound) spreads clients that failed together better
//! than a fixed wait with a small random part; see "Exponential Backoff And Jitter", AWS Architecture Blog.

use std::time::Duration;

/// How often, and how far apart, a request is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Tries in all, the first one included; at least 1.
    pub attempts_max: u32,
    /// The longest wait before the second try.
    pub base: Duration,
    /// The longest wait before any try.
    pub cap: Duration,
}

impl Default for Schedule {
    /// Eight tries, 200 ms doubling up to 10 s: a server that restarts or throttles gets about 11 s on average and 23 s
    /// at most, and a wrong endpoint is still reported within half a minute.
    fn default() -> Self {
        Self { attempts_max: 8, base: Duration::from_millis(200), cap: Duration::from_secs(10) }
    }
}

impl Schedule {
    /// One try only.
    pub const ONCE: Schedule = Schedule { attempts_max: 1, base: Duration::ZERO, cap: Duration::ZERO };

    /// How long to wait after `failed` tries have failed (counted from 1), or `None` when that was the last one.
    /// `random` is even in [0, 1); values outside are taken as the nearest bound.
    pub fn wait(&self, failed: u32, random: f64) -> Option<Duration> {
        if failed == 0 || failed >= self.attempts_max {
            return None;
        }
        let doublings = (failed - 1).min(31);
        let bound = self.base.saturating_mul(1 << doublings).min(self.cap);
        Some(bound.mul_f64(if random.is_nan() { 0.0 } else { random.clamp(0.0, 1.0) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(failed: u32, random: f64, expected_ms: Option<u64>) {
        let schedule = Schedule { attempts_max: 5, base: Duration::from_millis(100), cap: Duration::from_millis(350) };
        assert_eq!(
            schedule.wait(failed, random),
            expected_ms.map(Duration::from_millis),
            "after {failed} failures, random {random}"
        );
    }

    #[test]
    fn waits_double_up_to_the_cap_and_end() {
        check(1, 1.0, Some(100));
        check(2, 1.0, Some(200));
        check(3, 1.0, Some(350));
        check(4, 1.0, Some(350));
        check(5, 1.0, None);
        check(500, 1.0, None);
    }

    #[test]
    fn waits_are_spread_from_nothing_to_the_bound() {
        check(2, 0.0, Some(0));
        check(2, 0.5, Some(100));
        check(2, 7.0, Some(200));
        check(2, -1.0, Some(0));
        check(2, f64::NAN, Some(0));
    }

    #[test]
    fn a_single_try_never_waits() {
        assert_eq!(Schedule::ONCE.wait(1, 0.5), None);
    }

    #[test]
    fn a_long_schedule_does_not_overflow() {
        let schedule = Schedule { attempts_max: u32::MAX, base: Duration::MAX, cap: Duration::from_secs(1) };
        assert_eq!(schedule.wait(u32::MAX - 1, 1.0), Some(Duration::from_secs(1)));
    }
}
