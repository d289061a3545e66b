//! `spec.schedule`, `timeZone` and `jitter`: what the command line ignores, and the operator arms.

use croner::parser::{CronParser, Seconds, Year};

use super::{FieldError, Problems};
use crate::api::spec::S3SyncSpec;
use crate::model::size::parse_duration;

pub(super) fn check(spec: &S3SyncSpec, problems: &mut Problems) {
    if let Some(schedule) = &spec.schedule
        && let Err(message) = check_schedule(schedule)
    {
        problems.add(FieldError::new("spec.schedule", message).suggest("write five fields like */15 * * * *"));
    }
    if let Some(zone) = &spec.time_zone {
        if spec.schedule.is_none() {
            problems.add(FieldError::new("spec.timeZone", "needs schedule"));
        }
        if jiff::tz::TimeZone::get(zone).is_err() {
            problems.add(
                FieldError::new("spec.timeZone", format!("is {zone:?}, which is no IANA time zone")).suggest("write it like Europe/Berlin"),
            );
        }
    }
    problems.check("spec.jitter", parse_duration(&spec.jitter));
}

fn check_schedule(schedule: &str) -> Result<(), String> {
    let plain = without_h(schedule)?;
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(&plain).map(|_| ()).map_err(|error| format!("is {schedule:?}, which is no cron expression: {error}"))
}

/// The expression with every H at the start of what it may stand for: `H`, `H/15`, `H(0-29)`, `H(0-29)/10`.
fn without_h(schedule: &str) -> Result<String, String> {
    if schedule.starts_with('@') {
        return Ok(schedule.to_owned());
    }
    // Where each field begins, for an H that names no range.
    let starts = ["0", "0", "1", "1", "0"];
    let mut fields = Vec::new();
    for (i, field) in schedule.split_whitespace().enumerate() {
        let Some(rest) = field.strip_prefix('H') else {
            fields.push(field.to_owned());
            continue;
        };
        let (range, rest) = match rest.strip_prefix('(') {
            Some(rest) => rest.split_once(')').ok_or_else(|| format!("is {schedule:?}, and the bracket of {field} does not close"))?,
            None => ("", rest),
        };
        let start = starts.get(i).copied().unwrap_or("0");
        fields.push(match (range, rest) {
            ("", "") => start.to_owned(),
            ("", rest) => format!("*{rest}"),
            (range, rest) => format!("{range}{rest}"),
        });
    }
    Ok(fields.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules() {
        for (schedule, valid) in [
            ("*/15 * * * *", true),
            ("H * * * *", true),
            ("H/15 * * * *", true),
            ("H(0-29)/10 H(1-5) * * MON-FRI", true),
            ("0 0 H H *", true),
            ("@hourly", true),
            ("0 9 * * MON#1", true),
            ("every hour", false),
            ("*/15 * * *", false),
            ("61 * * * *", false),
            ("0 */15 * * * *", false),
            ("H( * * * *", false),
            ("", false),
        ] {
            assert_eq!(check_schedule(schedule).is_ok(), valid, "{schedule}: {:?}", check_schedule(schedule));
        }
    }
}
