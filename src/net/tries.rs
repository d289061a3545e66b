//! The clock and the chance of [`crate::model::retry`].

use std::time::Duration;

use tokio::time::Instant;

use crate::model::retry::RetryPolicy;

/// The tries of one operation: how many have failed, and since when it is tried.
#[derive(Debug)]
pub struct Tries {
    policy: RetryPolicy,
    began: Instant,
    failed: u32,
}

impl Tries {
    /// None has failed yet, and the first begins now.
    pub fn new(policy: RetryPolicy) -> Tries {
        Tries { policy, began: Instant::now(), failed: 0 }
    }

    /// Notes a failure: how long to wait before the next try; `None`: give up.
    pub fn fail(&mut self) -> Option<Duration> {
        self.fail_by(self.policy)
    }

    /// The same by another policy, where that depends on what failed.
    pub fn fail_by(&mut self, policy: RetryPolicy) -> Option<Duration> {
        self.failed += 1;
        policy.wait(self.failed, self.began.elapsed(), random())
    }

    /// Tries that have failed: their requests may have been carried out nevertheless.
    pub fn failed(&self) -> u32 {
        self.failed
    }
}

/// Even in [0, 1), from the system's random numbers: what spreads the waits of those that failed together.
pub fn random() -> f64 {
    let (bits, _) = uuid::Uuid::new_v4().as_u64_pair();
    // The upper 48 bits of a version 4 UUID are random.
    (bits >> 16) as f64 / (1_u64 << 48) as f64
}
