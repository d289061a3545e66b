//! When what failed is tried again: exponential backoff, with or without full jitter, and the end of it. Pure: whoever
//! tries brings the clock and the chance ([`crate::net::tries`] has both), and sleeps.
//!
//! Full jitter (a wait drawn evenly from nothing to the exponential bound) spreads clients that failed together better
//! than a fixed wait with a small random part; see "Exponential Backoff And Jitter", AWS Architecture Blog. The crate
//! backon, which kube brings, has jitter on top of the wait only, and no end by what a failure was.

use std::time::Duration;

/// How far apart the tries of one thing are, and when they end.
///
/// ```
/// use std::time::Duration;
/// use s3sync::model::retry::{GiveUp, Jitter, RetryPolicy};
///
/// let policy = RetryPolicy {
///     base: Duration::from_secs(1),
///     cap: Duration::from_secs(5),
///     jitter: Jitter::None,
///     give_up: GiveUp::AfterTries(5),
///     ..RetryPolicy::ONCE
/// };
/// let wait = |failed| policy.wait(failed, Duration::ZERO, 0.5).map(|wait| wait.as_secs());
/// let waits: Vec<u64> = (1..).map_while(wait).collect();
/// assert_eq!(waits, [1, 2, 4, 5]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The longest wait before the second try; it doubles with each failure.
    pub base: Duration,
    /// The longest wait before any try.
    pub cap: Duration,
    /// The shortest wait before any try, also beyond `cap`: what a server asked for (Retry-After).
    pub at_least: Duration,
    /// What becomes of the bound.
    pub jitter: Jitter,
    /// When it is not tried again.
    pub give_up: GiveUp,
}

/// What a wait is, of the bound that doubles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// The bound: nobody else tries at the same moment.
    None,
    /// A random part of it.
    Full,
}

/// The end of trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiveUp {
    /// After so many tries, the first one included.
    AfterTries(u32),
    /// Before a try that would begin later than this after the first.
    AfterTime(Duration),
    /// Whoever tries again decides.
    Never,
}

impl Default for RetryPolicy {
    /// A request's: eight tries, 200 ms doubling up to 10 s. A server that restarts or throttles gets about 11 s on
    /// average and 23 s at most, and a wrong endpoint is still reported within half a minute.
    fn default() -> Self {
        Self::tries(8, Duration::from_millis(200), Duration::from_secs(10))
    }
}

impl RetryPolicy {
    /// One try only.
    pub const ONCE: RetryPolicy = RetryPolicy::tries(1, Duration::ZERO, Duration::ZERO);

    /// So many tries in all, with full jitter.
    pub const fn tries(max: u32, base: Duration, cap: Duration) -> RetryPolicy {
        let give_up = GiveUp::AfterTries(max);
        RetryPolicy { base, cap, at_least: Duration::ZERO, jitter: Jitter::Full, give_up }
    }

    /// How long to wait after `failed` tries have failed (0: what failed needs no wait), `elapsed` after the first
    /// began; `None`: give up. `random` is even in [0, 1); values outside are taken as the nearest bound.
    pub fn wait(&self, failed: u32, elapsed: Duration, random: f64) -> Option<Duration> {
        let bound = match failed.checked_sub(1) {
            Some(doublings) => self.base.saturating_mul(1 << doublings.min(31)).min(self.cap),
            None => Duration::ZERO,
        };
        let wait = match self.jitter {
            Jitter::None => bound,
            Jitter::Full => bound.mul_f64(if random.is_nan() { 0.0 } else { random.clamp(0.0, 1.0) }),
        };
        let wait = wait.max(self.at_least);
        let over = match self.give_up {
            GiveUp::AfterTries(max) => failed >= max,
            GiveUp::AfterTime(max) => elapsed.saturating_add(wait) > max,
            GiveUp::Never => false,
        };
        (!over).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy::tries(5, Duration::from_millis(100), Duration::from_millis(350));

    fn check(policy: RetryPolicy, (failed, elapsed_ms, random): (u32, u64, f64), expected_ms: Option<u64>) {
        assert_eq!(
            policy.wait(failed, Duration::from_millis(elapsed_ms), random),
            expected_ms.map(Duration::from_millis),
            "after {failed} failures in {elapsed_ms} ms, random {random}: {policy:?}"
        );
    }

    #[test]
    fn waits_double_up_to_the_cap_and_end() {
        for (failed, expected) in
            [(0, Some(0)), (1, Some(100)), (2, Some(200)), (3, Some(350)), (4, Some(350)), (5, None), (500, None)]
        {
            check(POLICY, (failed, 1 << 40, 1.0), expected);
        }
    }

    #[test]
    fn waits_are_spread_from_nothing_to_the_bound() {
        for (random, expected) in [(0.0, 0), (0.5, 100), (7.0, 200), (-1.0, 0), (f64::NAN, 0)] {
            check(POLICY, (2, 0, random), Some(expected));
            check(RetryPolicy { jitter: Jitter::None, ..POLICY }, (2, 0, random), Some(200));
        }
    }

    #[test]
    fn a_server_may_ask_for_a_longer_wait() {
        let asked = RetryPolicy { at_least: Duration::from_millis(700), ..POLICY };
        check(asked, (0, 0, 0.5), Some(700));
        check(asked, (4, 0, 1.0), Some(700));
        check(asked, (5, 0, 1.0), None);
    }

    #[test]
    fn no_try_begins_after_the_time_is_over() {
        let timed = RetryPolicy { give_up: GiveUp::AfterTime(Duration::from_millis(1000)), ..POLICY };
        check(timed, (9, 650, 1.0), Some(350));
        check(timed, (9, 651, 1.0), None);
        check(timed, (0, 1000, 0.0), Some(0));
        check(timed, (0, 1001, 0.0), None);
        check(RetryPolicy { at_least: Duration::from_millis(500), ..timed }, (1, 501, 0.0), None);
        check(RetryPolicy { give_up: GiveUp::Never, ..POLICY }, (u32::MAX, u64::MAX, 1.0), Some(350));
    }

    #[test]
    fn a_single_try_never_waits() {
        assert_eq!(RetryPolicy::ONCE.wait(1, Duration::ZERO, 0.5), None);
    }

    #[test]
    fn a_long_policy_does_not_overflow() {
        let policy = RetryPolicy::tries(u32::MAX, Duration::MAX, Duration::from_secs(1));
        assert_eq!(policy.wait(u32::MAX - 1, Duration::MAX, 1.0), Some(Duration::from_secs(1)));
    }
}
