//! Cron expressions in a time zone: five fields or a name such as `@hourly`, and `H` for "some value, always the same
//! for this sync".
//!
//! Where clocks are set forward, a time that does not exist fires at the end of the gap; where they are set back, a
//! time that comes twice fires once, and `*` or a step in minutes or hours fires in both hours (Vixie cron's rules:
//! croner's).

use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

use super::settings::SyncId;

/// Least and greatest value of each field, as `H` takes them: day 29 and later do not come in every month, and 7 is
/// Sunday once more.
const FIELDS: [(u64, u64); 5] = [(0, 59), (0, 23), (1, 28), (1, 12), (0, 6)];

/// What each field is, in messages.
const FIELD_NAMES: [&str; 5] = ["minute", "hour", "day of the month", "month", "day of the week"];

/// An instant from which every expression is asked once for its next time: what has none in a few thousand years has
/// none at all.
const SOME_DAY: Timestamp = Timestamp::UNIX_EPOCH;

/// A cron expression in its time zone.
///
/// ```
/// use s3sync::model::cron::Cron;
/// use s3sync::model::settings::SyncId;
///
/// let id = SyncId { namespace: "data".into(), name: "orders".into() };
/// let cron = Cron::parse("30 2 * * *", Some("Europe/Berlin"), &id)?;
/// let next = |after: &str| cron.next(after.parse().unwrap()).unwrap().to_string();
/// assert_eq!(next("2026-01-31T12:00:00Z"), "2026-02-01T01:30:00Z");
/// // On the day that clocks are set forward there is no half past two.
/// assert_eq!(next("2026-03-29T00:00:00Z"), "2026-03-29T01:00:00Z");
/// # Ok::<(), s3sync::model::cron::CronError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cron {
    cron: croner::Cron,
    zone: TimeZone,
}

/// What is wrong with an expression or a zone, as the end of a sentence that begins with the field's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// The expression.
    #[error("is {0:?}, which is no cron expression: {1}")]
    Expression(String, String),
    /// The zone.
    #[error("is {0:?}, which is no IANA time zone")]
    Zone(String),
}

impl Cron {
    /// Reads an expression. `zone` is an IANA name, UTC where there is none; `id` decides what `H` stands for.
    pub fn parse(expression: &str, zone: Option<&str>, id: &SyncId) -> Result<Cron, CronError> {
        let wrong = |reason: String| CronError::Expression(expression.to_owned(), reason);
        let plain = resolve_hashes(expression, id).map_err(wrong)?;
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser
            .parse(&plain)
            .map_err(|error| wrong(culprit(&parser, &plain).unwrap_or_else(|| error.to_string())))?;
        let zone = match zone {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name).map_err(|_| CronError::Zone(name.to_owned()))?,
        };
        let cron = Cron { cron, zone };
        if cron.next(SOME_DAY).is_none() {
            return Err(wrong("it names a day that never comes".to_owned()));
        }
        Ok(cron)
    }

    /// The first time after `after`; `None` beyond the year 4999.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let zoned = after.to_zoned(self.zone.clone());
        self.cron.find_next_occurrence(&zoned, false).ok().map(|next| next.timestamp())
    }
}

/// Which field of an expression is wrong, and why; `None` where each is good by itself, or where the expression is a
/// name.
fn culprit(parser: &CronParser, plain: &str) -> Option<String> {
    let fields: Vec<&str> = plain.split_whitespace().collect();
    if fields.len() != FIELD_NAMES.len() {
        let is_name = plain.trim_start().starts_with('@');
        return (!is_name).then(|| format!("it has {} fields, not five ({})", fields.len(), FIELD_NAMES.join(", ")));
    }
    fields.iter().zip(FIELD_NAMES).enumerate().find_map(|(at, (field, name))| {
        let mut alone = ["*"; FIELD_NAMES.len()];
        alone[at] = field;
        let error = parser.parse(&alone.join(" ")).err()?.to_string();
        let why = error.strip_prefix("Component error: ").unwrap_or(&error).trim_end_matches('.').to_lowercase();
        Some(format!("the {name} is {field:?}: {why}"))
    })
}

/// A number that is this sync's own, for one `purpose`: below `bound`, which is at least 1.
pub fn own_number(id: &SyncId, purpose: &str, bound: u64) -> u64 {
    let digest = Sha256::digest(format!("{purpose}\0{}\0{}", id.namespace, id.name));
    let mut head = [0; 8];
    head.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(head) % bound.max(1)
}

/// The expression with a number for every `H`: `H`, `H/15`, `H(0-29)`, `H(0-29)/10`, alone or in a list.
fn resolve_hashes(expression: &str, id: &SyncId) -> Result<String, String> {
    let mut fields = Vec::new();
    for (i, field) in expression.split_whitespace().enumerate() {
        let own = |bound| own_number(id, &format!("cron field {i}"), bound);
        let whole = FIELDS.get(i).copied().unwrap_or(FIELDS[0]);
        let items: Result<Vec<String>, String> = field.split(',').map(|item| resolve_hash(item, whole, &own)).collect();
        let name = FIELD_NAMES.get(i).copied().unwrap_or("sixth field");
        fields.push(items.map_err(|error| format!("the {name} is {field:?}: {error}"))?.join(","));
    }
    Ok(fields.join(" "))
}

fn resolve_hash(item: &str, whole: (u64, u64), own: &dyn Fn(u64) -> u64) -> Result<String, String> {
    let Some(rest) = item.strip_prefix('H') else { return Ok(item.to_owned()) };
    let malformed = || format!("{item} is not written like H, H/15, H(0-29) or H(0-29)/10");
    let (range, rest) = match rest.strip_prefix('(') {
        None => (whole, rest),
        Some(rest) => {
            let (range, rest) = rest.split_once(')').ok_or_else(|| format!("the bracket of {item} does not close"))?;
            let (first, last) = range.split_once('-').ok_or_else(malformed)?;
            let number = |text: &str| text.parse::<u64>().map_err(|_| malformed());
            ((number(first)?, number(last)?), rest)
        }
    };
    let (first, last) = range;
    if first > last || first < whole.0 || last > whole.1 {
        return Err(format!("{item} goes from {first} to {last}, and this field goes from {} to {}", whole.0, whole.1));
    }
    let span = last - first + 1;
    match rest.strip_prefix('/') {
        None if rest.is_empty() => Ok((first + own(span)).to_string()),
        None => Err(malformed()),
        Some(step) => {
            let step: u64 = step.parse().map_err(|_| malformed())?;
            if !(1..=span).contains(&step) {
                return Err(format!("{item} steps by {step}, and its range has {span} values"));
            }
            Ok(format!("{}-{last}/{step}", first + own(step)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> SyncId {
        SyncId { namespace: "data".into(), name: name.into() }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn expressions() {
        for (expression, valid) in [
            ("*/15 * * * *", true),
            ("H * * * *", true),
            ("H/15 * * * *", true),
            ("H(0-29)/10 H(1-5) * * MON-FRI", true),
            ("H(0-9),H(30-39) * * * *", true),
            ("0 0 H H *", true),
            ("0 0 * * H", true),
            ("@hourly", true),
            ("0 9 * * MON#1", true),
            ("0 0 29 2 *", true),
            ("0 0 31 2 *", false),
            ("every hour", false),
            ("*/15 * * *", false),
            ("61 * * * *", false),
            ("0 */15 * * * *", false),
            ("H( * * * *", false),
            ("H(5) * * * *", false),
            ("H(30-10) * * * *", false),
            ("H(0-70) * * * *", false),
            ("H/0 * * * *", false),
            ("H/61 * * * *", false),
            ("Hx * * * *", false),
            ("", false),
        ] {
            let parsed = Cron::parse(expression, None, &id("orders"));
            assert_eq!(parsed.is_ok(), valid, "{expression}: {parsed:?}");
        }
        let wrong = Cron::parse("0 9 * * *", Some("Europe/Atlantis"), &id("orders")).unwrap_err();
        assert_eq!(wrong.to_string(), "is \"Europe/Atlantis\", which is no IANA time zone");
    }

    /// Frozen: another number would move every schedule with H when the controller is upgraded.
    #[test]
    fn h_is_the_same_for_ever_and_another_for_another_sync() {
        for (name, expression, expected) in [
            ("orders", "H H * * *", "25 11 * * *"),
            ("orders", "H/15 * * * *", "10-59/15 * * * *"),
            ("orders", "H(0-29)/10 H(1-5) H H H", "5-29/10 4 24 8 2"),
            ("orders", "H(0-9),H(30-39) 3 * * *", "5,35 3 * * *"),
            ("events", "H H * * *", "19 5 * * *"),
            ("orders", "@daily", "@daily"),
        ] {
            assert_eq!(resolve_hashes(expression, &id(name)).unwrap(), expected, "{name} {expression}");
        }
    }

    #[test]
    fn h_spreads_over_its_whole_range_and_never_leaves_it() {
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..1000 {
            let plain = resolve_hashes("H(10-19) * * * *", &id(&format!("sync-{number}"))).unwrap();
            seen.insert(plain.split(' ').next().unwrap().parse::<u32>().unwrap());
        }
        assert_eq!(seen, (10..20).collect());
    }

    /// The next times after a start, in a zone; by the minute.
    fn check(expression: &str, zone: &str, after: &str, expected: &[&str]) {
        let cron = Cron::parse(expression, Some(zone), &id("orders")).unwrap();
        let mut now = at(after);
        let mut seen = Vec::new();
        for _ in expected {
            now = cron.next(now).unwrap();
            seen.push(now.to_string());
        }
        assert_eq!(seen, expected, "{expression} {zone} after {after}");
    }

    #[test]
    fn times_come_in_order_and_never_include_the_start() {
        check("*/15 * * * *", "Etc/UTC", "2026-11-21T12:00:00Z", &["2026-11-21T12:15:00Z", "2026-11-21T12:30:00Z"]);
        check("*/15 * * * *", "Etc/UTC", "2026-11-21T11:59:59.999Z", &["2026-11-21T12:00:00Z"]);
        check("0 9 * * *", "Asia/Kolkata", "2026-11-21T00:00:00Z", &["2026-11-21T03:30:00Z", "2026-11-22T03:30:00Z"]);
        check("0 0 29 2 *", "Etc/UTC", "2026-11-21T00:00:00Z", &["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]);
    }

    /// Berlin leaves out 02:00 to 03:00 on 2026-03-29 (at 01:00 UTC).
    #[test]
    fn clocks_set_forward() {
        check("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", &["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
        check(
            "0 * * * *",
            "Europe/Berlin",
            "2026-03-28T23:30:00Z",
            &["2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"],
        );
    }

    /// Berlin has 02:00 to 03:00 twice on 2026-10-25 (until 01:00 UTC, and from then on).
    #[test]
    fn clocks_set_back() {
        check("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
        check(
            "30 * * * *",
            "Europe/Berlin",
            "2026-10-24T23:00:00Z",
            &["2026-10-24T23:30:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"],
        );
    }
}
