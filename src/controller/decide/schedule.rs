//! When a scheduled sync runs: slots, the jitter's delay, what was missed. PURE: the time is passed in.
//!
//! A slot is a minute that the cron expression names; it is due at that minute plus the resource's own delay.
//! `status.nextScheduleTime` is the anchor: what became due since then and was not run is missed, and at most one run,
//! the latest slot's, makes up for all of it. A resource without an anchor (new, unpaused, mended) starts from now, so
//! nothing of the time before is caught up.

use jiff::{SignedDuration, Timestamp};

use crate::api::S3SyncSpec;
use crate::model::cron::{Cron, own_number};
use crate::model::settings::SyncId;
use crate::model::size::parse_duration;

/// Missed slots are counted up to here at one look: after a year without a controller the metric need not say how many
/// minutes a year has.
const COUNTED_MAX: u32 = 1000;

/// Windows in which the latest slot is sought, the nearest first, so that an expression of every minute costs no walk
/// over a year.
const WINDOWS_HOURS: [i64; 6] = [2, 24, 24 * 32, 24 * 366, 24 * 366 * 5, 24 * 366 * 100];

/// A sync's schedule.
#[derive(Clone, Debug)]
pub struct Schedule {
    cron: Cron,
    delay: SignedDuration,
    deadline: Option<SignedDuration>,
}

/// One time at which a run is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// The minute that the expression names.
    pub minute: Timestamp,
    /// The minute plus the resource's delay.
    pub due: Timestamp,
}

impl Slot {
    /// The slot in a Job's name: its minute in UTC, such as `202611211530`.
    pub fn text(&self) -> String {
        self.minute.strftime("%Y%m%d%H%M").to_string()
    }
}

/// What a schedule says at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The slot that is to be run now.
    pub due: Option<Slot>,
    /// What `status.nextScheduleTime` should say: the first slot that is due and not run yet, or the next one to come.
    pub anchor: Option<Timestamp>,
    /// When the next slot to come is due.
    pub next: Option<Timestamp>,
    /// Slots that will never run: all but the latest, or all where the latest is too late.
    pub missed: u32,
}

impl Schedule {
    /// The schedule of a valid spec, `None` where it has none.
    pub fn of(spec: &S3SyncSpec, id: &SyncId) -> Option<Schedule> {
        let cron = Cron::parse(spec.schedule.as_deref()?, spec.time_zone.as_deref(), id).ok()?;
        let jitter = parse_duration(&spec.jitter).unwrap_or_default();
        let delay = own_number(id, "jitter", jitter.as_secs().saturating_add(1));
        Some(Schedule {
            cron,
            delay: SignedDuration::from_secs(i64::try_from(delay).unwrap_or_default()),
            deadline: spec.starting_deadline_seconds.map(SignedDuration::from_secs),
        })
    }

    /// The first slot that is due after `after`: the one function that every look at the future uses.
    pub fn next_fire(&self, after: Timestamp) -> Option<Slot> {
        let minute = self.cron.next(after.checked_sub(self.delay).ok()?)?;
        Some(Slot { minute, due: minute.checked_add(self.delay).ok()? })
    }

    /// What is due at `now`. `anchor` is [`Look::anchor`] of an earlier look, or the time from which slots count;
    /// `done` is the minute of the last slot that has a run. An anchor that this schedule does not know (it was edited,
    /// or a clock was wrong) is dropped for `now`.
    pub fn look(&self, anchor: Anchor, done: Option<Timestamp>, now: Timestamp) -> Look {
        let next = self.next_fire(now);
        let first = match anchor {
            Anchor::Armed(time) => self.next_fire(before(time)).filter(|slot| slot.due == time),
            Anchor::Since(time) => self.next_fire(time),
        };
        // Slots that have run are behind us, unless a clock that ran ahead says so.
        let first = match done.filter(|done| *done <= now) {
            Some(done) => first.and_then(|slot| if slot.minute > done { Some(slot) } else { self.after_minute(done) }),
            None => first,
        };
        let ahead = Look { due: None, anchor: next.map(|slot| slot.due), next: next.map(|slot| slot.due), missed: 0 };
        let Some(first) = first.filter(|slot| slot.due <= now) else { return ahead };
        let latest = self.latest(first, now);
        let late = self.deadline.is_some_and(|deadline| now.duration_since(latest.due) > deadline);
        let slots = self.count(first, now);
        if late {
            return Look { missed: slots, ..ahead };
        }
        Look { due: Some(latest), anchor: Some(first.due), missed: slots - 1, ..ahead }
    }

    fn after_minute(&self, minute: Timestamp) -> Option<Slot> {
        self.next_fire(minute.checked_add(self.delay).ok()?)
    }

    /// The latest slot from `first` to `now`.
    fn latest(&self, first: Slot, now: Timestamp) -> Slot {
        let mut latest = first;
        for hours in WINDOWS_HOURS {
            let start = now.checked_sub(SignedDuration::from_hours(hours)).unwrap_or(first.due).max(first.due);
            let mut slot = self.next_fire(before(start));
            while let Some(found) = slot.filter(|slot| slot.due <= now) {
                latest = found;
                slot = self.next_fire(found.due);
            }
            if latest != first || start == first.due {
                break;
            }
        }
        latest
    }

    /// Slots from `first` to `now`, at most [`COUNTED_MAX`].
    fn count(&self, first: Slot, now: Timestamp) -> u32 {
        let mut slots = 0;
        let mut slot = Some(first);
        while let Some(found) = slot.filter(|slot| slot.due <= now && slots < COUNTED_MAX) {
            slots += 1;
            slot = self.next_fire(found.due);
        }
        slots
    }
}

/// From when on slots count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// `status.nextScheduleTime`.
    Armed(Timestamp),
    /// The first slot after this time: the resource's creation, or now.
    Since(Timestamp),
}

/// The last instant before a time.
fn before(time: Timestamp) -> Timestamp {
    time.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-21T{text}Z").parse().unwrap()
    }

    fn schedule(expression: &str, delay_seconds: i64, deadline_seconds: Option<i64>) -> Schedule {
        let id = SyncId { namespace: "data".into(), name: "orders".into() };
        Schedule {
            cron: Cron::parse(expression, None, &id).unwrap(),
            delay: SignedDuration::from_secs(delay_seconds),
            deadline: deadline_seconds.map(SignedDuration::from_secs),
        }
    }

    /// (due minute, anchor, missed) of a look.
    fn check(schedule: &Schedule, anchor: Anchor, done: Option<&str>, now: &str, expected: (Option<&str>, &str, u32)) {
        let look = schedule.look(anchor, done.map(at), at(now));
        let seen = (look.due.map(|slot| slot.minute), look.anchor.unwrap(), look.missed);
        assert_eq!(seen, (expected.0.map(at), at(expected.1), expected.2), "{anchor:?} done {done:?} at {now}");
        assert_eq!(look.next, schedule.next_fire(at(now)).map(|slot| slot.due));
    }

    #[test]
    fn slots() {
        let quarter = &schedule("*/15 * * * *", 0, None);
        let armed = |text| Anchor::Armed(at(text));
        // Not yet; due to the second; due and late; already run.
        check(quarter, armed("12:15:00"), None, "12:14:59.9", (None, "12:15:00", 0));
        check(quarter, armed("12:15:00"), None, "12:15:00", (Some("12:15:00"), "12:15:00", 0));
        check(quarter, armed("12:15:00"), None, "12:22:00", (Some("12:15:00"), "12:15:00", 0));
        check(quarter, armed("12:15:00"), Some("12:15:00"), "12:15:00.4", (None, "12:30:00", 0));
        check(quarter, armed("12:15:00"), Some("12:00:00"), "12:15:00.4", (Some("12:15:00"), "12:15:00", 0));
        // New, or unpaused: from its beginning on, nothing before it.
        check(quarter, Anchor::Since(at("12:14:59")), None, "12:15:03", (Some("12:15:00"), "12:15:00", 0));
        check(quarter, Anchor::Since(at("12:16:00")), None, "12:16:00", (None, "12:30:00", 0));
    }

    #[test]
    fn missed_slots_become_one() {
        let armed = Anchor::Armed(at("12:15:00"));
        check(&schedule("*/15 * * * *", 0, None), armed, None, "18:07:00", (Some("18:00:00"), "12:15:00", 23));
        check(
            &schedule("*/15 * * * *", 0, None),
            armed,
            Some("17:30:00"),
            "18:07:00",
            (Some("18:00:00"), "17:45:00", 1),
        );
        check(&schedule("*/15 * * * *", 0, Some(600)), armed, None, "18:07:00", (Some("18:00:00"), "12:15:00", 23));
        check(&schedule("*/15 * * * *", 0, Some(60)), armed, None, "18:07:00", (None, "18:15:00", 24));
        check(&schedule("*/15 * * * *", 0, Some(420)), armed, None, "18:07:00", (Some("18:00:00"), "12:15:00", 23));
        // A day without the controller, every minute: the count has its bound, the latest slot is exact.
        let yesterday = Anchor::Armed("2026-11-20T11:00:00Z".parse().unwrap());
        let look = schedule("* * * * *", 0, None).look(yesterday, None, at("18:07:30"));
        assert_eq!((look.due.unwrap().minute, look.missed), (at("18:07:00"), COUNTED_MAX - 1));
        // Once a year, years ago.
        let long_ago = Anchor::Armed("2003-01-01T00:00:00Z".parse().unwrap());
        let look = schedule("0 0 1 1 *", 0, None).look(long_ago, None, at("18:07:30"));
        assert_eq!((look.due.unwrap().minute.to_string().as_str(), look.missed), ("2026-01-01T00:00:00Z", 23));
    }

    #[test]
    fn the_delay_moves_every_slot_and_no_name() {
        let delayed = schedule("*/15 * * * *", 100, None);
        check(&delayed, Anchor::Armed(at("12:16:40")), None, "12:16:39", (None, "12:16:40", 0));
        check(&delayed, Anchor::Armed(at("12:16:40")), None, "12:16:40", (Some("12:15:00"), "12:16:40", 0));
        check(&delayed, Anchor::Armed(at("12:16:40")), Some("12:15:00"), "12:16:41", (None, "12:31:40", 0));
        assert_eq!(delayed.next_fire(at("12:16:39")).unwrap().text(), "202611211215");
        // A delay longer than the period: each slot is late by the same time.
        let slow = schedule("*/15 * * * *", 3600, None);
        check(&slow, Anchor::Armed(at("13:15:00")), Some("12:00:00"), "13:15:01", (Some("12:15:00"), "13:15:00", 0));
    }

    #[test]
    fn an_edited_schedule_drops_the_old_time() {
        let hourly = schedule("30 * * * *", 0, None);
        check(&hourly, Anchor::Armed(at("12:15:00")), None, "12:20:00", (None, "12:30:00", 0));
        check(&hourly, Anchor::Armed(at("12:45:00")), None, "12:20:00", (None, "12:30:00", 0));
        // A time that both know is kept.
        check(&hourly, Anchor::Armed(at("12:30:00")), None, "12:30:05", (Some("12:30:00"), "12:30:00", 0));
    }

    #[test]
    fn clocks_that_jump() {
        let quarter = &schedule("*/15 * * * *", 0, None);
        // Back: the slot has run, or is due again by name only.
        check(quarter, Anchor::Armed(at("12:30:00")), Some("12:15:00"), "11:58:00", (None, "12:00:00", 0));
        check(quarter, Anchor::Armed(at("12:00:00")), Some("12:00:00"), "12:00:01", (None, "12:15:00", 0));
        // Far ahead and back again: a stored time in the far future holds nothing up.
        let far = Anchor::Armed("2031-01-01T00:00:00Z".parse().unwrap());
        check(quarter, far, None, "12:07:00", (None, "12:15:00", 0));
        let look =
            quarter.look(Anchor::Armed(at("12:15:00")), Some("2031-01-01T00:00:00Z".parse().unwrap()), at("12:15:01"));
        assert_eq!(look.due.unwrap().minute, at("12:15:00"));
    }

    #[test]
    fn jitter_is_a_resource_s_own() {
        let spec = |jitter: &str| -> S3SyncSpec {
            serde_json::from_value(serde_json::json!({
                "schedule": "0 * * * *", "jitter": jitter, "source": {"bucket": "raw"}, "destination": {"bucket": "lake", "format": "csv"}
            }))
            .unwrap()
        };
        let delays: std::collections::BTreeSet<i64> = (0..200)
            .map(|n| {
                let id = SyncId { namespace: "data".into(), name: format!("sync-{n}") };
                let delay = Schedule::of(&spec("5m"), &id).unwrap().delay;
                assert_eq!(delay, Schedule::of(&spec("5m"), &id).unwrap().delay);
                assert_eq!(Schedule::of(&spec("0s"), &id).unwrap().delay, SignedDuration::ZERO);
                delay.as_secs()
            })
            .collect();
        assert!(delays.iter().all(|delay| (0..=300).contains(delay)) && delays.len() > 100, "{delays:?}");
    }
}
