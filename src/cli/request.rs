//! The grammar of what a run is asked for beside its manifest.

use clap::Args;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::model::request::{Asked, Window};

/// What a run is about, of all that the manifests select. The words are those of the resource S3SyncRun.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "What is read")]
pub struct RequestArgs {
    /// Reads objects that were read before once more: with Append their rows are written again, and those of before
    /// stay. Begun again after it was interrupted, it goes on where it was
    #[arg(long)]
    pub reread: bool,
    /// Reads only objects with this key or a later one, byte by byte
    #[arg(long, value_name = "KEY")]
    pub from_key: Option<String>,
    /// Reads only objects with keys before this one
    #[arg(long, value_name = "KEY")]
    pub to_key: Option<String>,
    /// Reads only objects last modified at this time or later: 2026-01-31T10:00:00Z, or a day, from its beginning in
    /// UTC
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub modified_from: Option<Timestamp>,
    /// Reads only objects last modified before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub modified_to: Option<Timestamp>,
}

impl RequestArgs {
    /// What is asked for; `None`: no more than any run does.
    pub fn asked(&self) -> Option<Asked> {
        let window = Window {
            from_key: self.from_key.clone(),
            to_key: self.to_key.clone(),
            modified_from: self.modified_from,
            modified_to: self.modified_to,
        };
        Some(Asked { window, reread: self.reread }).filter(|asked| !asked.is_plain())
    }
}

/// What is asked for as the options that ask for it, for a shell.
pub fn options(asked: &Asked) -> String {
    let Window { from_key, to_key, modified_from, modified_to } = &asked.window;
    let time = |time: &Option<Timestamp>| time.map(|time| time.to_string());
    let values = [
        ("--from-key", from_key.clone()),
        ("--to-key", to_key.clone()),
        ("--modified-from", time(modified_from)),
        ("--modified-to", time(modified_to)),
    ];
    let values =
        values.into_iter().filter_map(|(option, value)| value.map(|value| format!("{option} {}", word(&value))));
    asked.reread.then(|| "--reread".to_owned()).into_iter().chain(values).collect::<Vec<_>>().join(" ")
}

/// A text as one word of a shell.
fn word(text: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "/._-:=,+@".contains(char);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn time(text: &str) -> Result<Timestamp, String> {
    let day = |date: Date| date.to_zoned(TimeZone::UTC).map(|midnight| midnight.timestamp());
    // A time without a zone would be read as its day.
    let is_day = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let parsed = if is_day { text.parse::<Date>().and_then(day) } else { text.parse() };
    parsed.map_err(|_| {
        "write a time with its zone, such as 2026-01-31T10:00:00Z, or a day, such as 2026-01-31".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_in_utc() {
        for (text, expected) in [
            ("2026-01-31T10:00:00Z", Some("2026-01-31T10:00:00Z")),
            ("2026-01-31T10:00:00+02:00", Some("2026-01-31T08:00:00Z")),
            ("2026-01-31", Some("2026-01-31T00:00:00Z")),
            ("2026-01-31T10:00:00", None),
            ("yesterday", None),
        ] {
            assert_eq!(time(text).ok().map(|time| time.to_string()).as_deref(), expected, "{text}");
        }
    }
}
