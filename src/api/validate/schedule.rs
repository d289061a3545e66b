//! `spec.schedule`, `timeZone` and `jitter`: what the command line ignores, and the operator arms.

use super::{FieldError, Problems};
use crate::api::spec::S3SyncSpec;
use crate::model::cron::{Cron, CronError};
use crate::model::settings::SyncId;
use crate::model::size::parse_duration;

pub(super) fn check(spec: &S3SyncSpec, id: &SyncId, problems: &mut Problems) {
    let zone = spec.time_zone.as_deref();
    if let Some(schedule) = &spec.schedule
        && let Err(error) = Cron::parse(schedule, None, id)
    {
        problems
            .add(FieldError::new("spec.schedule", error.to_string()).suggest("write five fields like */15 * * * *"));
    }
    if zone.is_some() && spec.schedule.is_none() {
        problems.add(FieldError::new("spec.timeZone", "needs schedule"));
    }
    // The zone by itself, so that it is checked beside a wrong schedule too.
    if let Err(error @ CronError::Zone(_)) = Cron::parse("@hourly", zone, id) {
        problems.add(FieldError::new("spec.timeZone", error.to_string()).suggest("write it like Europe/Berlin"));
    }
    problems.check("spec.jitter", parse_duration(&spec.jitter));
}
