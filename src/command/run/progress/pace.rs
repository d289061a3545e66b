//! How fast bytes are read, smoothed, and how long the rest will take.

use std::time::Duration;

/// Time after which an old speed counts for a third: long enough to be read, short enough to follow a change.
const MEMORY_SECONDS: f64 = 8.0;

/// A smoothed speed.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    last: Option<(Duration, u64)>,
    bytes_per_second: Option<f64>,
}

impl Pace {
    /// Takes note that `done` bytes were read `at` this time since the start. Fewer bytes than before begin a new
    /// count: another epoch.
    pub fn observe(&mut self, at: Duration, done: u64) {
        let Some((then, before)) = self.last.replace((at, done)) else { return };
        let elapsed = at.saturating_sub(then).as_secs_f64();
        if elapsed <= 0.0 || done < before {
            return;
        }
        let now = (done - before) as f64 / elapsed;
        self.bytes_per_second = match self.bytes_per_second {
            // Before the first byte there is no speed yet, rather than one of zero.
            None if now == 0.0 => None,
            None => Some(now),
            Some(known) => {
                let weight = 1.0 - (-elapsed / MEMORY_SECONDS).exp();
                Some(known + (now - known) * weight)
            }
        };
    }

    /// The speed; 0 while none is known.
    pub fn bytes_per_second(&self) -> u64 {
        self.bytes_per_second.unwrap_or_default() as u64
    }

    /// Seconds that `rest` bytes will take, `None` while nobody can say.
    pub fn seconds_for(&self, rest: u64) -> Option<u64> {
        let speed = self.bytes_per_second();
        // A day and more is no forecast.
        (speed > 0).then(|| rest.div_ceil(speed)).filter(|seconds| *seconds < 86_400)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(observed: &[(u64, u64)], rest: u64, expected: (u64, Option<u64>)) {
        let mut pace = Pace::default();
        for &(millis, done) in observed {
            pace.observe(Duration::from_millis(millis), done);
        }
        assert_eq!((pace.bytes_per_second(), pace.seconds_for(rest)), expected, "{observed:?}");
    }

    #[test]
    fn a_pace_is_smoothed_and_survives_a_new_epoch() {
        check(&[], 10, (0, None));
        check(&[(0, 0), (1000, 0)], 10, (0, None));
        check(&[(0, 0), (1000, 0), (2000, 100)], 250, (100, Some(3)));
        check(&[(0, 0), (1000, 100), (2000, 200)], 0, (100, Some(0)));
        check(&[(0, 0), (1000, 100), (2000, 0), (3000, 100)], 100, (100, Some(1)));
        // A stop is followed slowly, an unchanged clock not at all.
        check(&[(0, 0), (1000, 1000), (1000, 5000), (2000, 5000)], 1, (882, Some(1)));
        check(&[(0, 0), (1000, 1)], 100_000, (1, None));
    }
}
