//! What became of each sync: the summary on stdout.

use serde::Serialize;

use crate::command::dry_run::{blamed, quarantined_lines};
use crate::command::render::{self, Align, bytes, count, counted, printable};
use crate::command::run::output_locations::OutputLocations;
use crate::model::manifest::{Excluded, Exclusion};
use crate::model::passed_over::PassedOver;
use crate::model::reason::Reason;
use crate::model::settings::SyncId;
use crate::pipeline::error::RunError;
use crate::pipeline::planner::QuarantinedKey;
use crate::pipeline::run::RunSummary;
use crate::store::secrets;

/// What became of every sync, in the order of the manifests. Serialised, it is the result of `run -o json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The syncs.
    pub syncs: Vec<SyncReport>,
}

/// What became of one sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncReport {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// Whether it reached its end.
    pub result: Outcome,
    /// `Succeeded`, `NothingFound` where no object is selected, or the word of
    /// [`crate::pipeline::error::RunErrorKind::reason`].
    pub reason: Reason,
    /// One sentence.
    pub message: String,
    /// What was published, by table name.
    pub tables: Vec<TableReport>,
    /// Objects that were left out because they could not be read.
    pub quarantined: u64,
    /// Records that were set aside.
    pub bad_records: u64,
    /// Objects that were not read, by reason; absent when there were none.
    #[serde(skip_serializing_if = "PassedOver::is_empty")]
    pub passed_over: PassedOver,
    /// What a person should know beside it, a sentence each; absent when there is nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// Lines for people below the table: where to look, and what was left out.
    #[serde(skip)]
    pub notes: Vec<String>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// At its end.
    Succeeded,
    /// Before.
    Failed,
}

/// What was published of one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableReport {
    /// The table.
    pub name: String,
    /// Objects read.
    pub objects: u64,
    /// Rows written.
    pub rows: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Files written.
    pub files: u64,
}

impl SyncReport {
    /// The report of a run that has reached its end or, with an error, has not: what it published before is published.
    pub fn ended(
        sync: &SyncId,
        summary: &RunSummary,
        places: &OutputLocations,
        error: Option<&RunError>,
    ) -> SyncReport {
        let tables = summary.tables.iter().map(|(name, table)| TableReport {
            name: name.clone(),
            objects: table.objects,
            rows: table.rows,
            bytes: table.bytes,
            files: table.files,
        });
        let mut report = SyncReport {
            tables: tables.collect(),
            quarantined: summary.quarantined,
            bad_records: summary.bad_records,
            passed_over: summary.remarks.passed_over.clone(),
            remarks: summary.remarks.notes.clone(),
            ..error.map_or_else(|| SyncReport::empty(sync), |error| SyncReport::failed(sync, error))
        };
        if error.is_none() {
            (report.result, report.reason) = (Outcome::Succeeded, Reason::Succeeded);
            report.message = report.published();
            if let Some(nothing) = summary.remarks.nothing.as_ref().filter(|_| report.tables.is_empty()) {
                report.reason = Reason::NothingFound;
                report.message = match summary.epochs {
                    0 => nothing.clone(),
                    // Of Replace, which publishes what there is.
                    _ => format!("nothing is selected any more: the files of earlier runs were removed; {nothing}"),
                };
            }
        } else if !report.tables.is_empty() {
            report.notes.push(format!("published before it failed: {}", report.published()));
        }
        report.notes.extend(report.places(places));
        report.notes.extend(quarantined(summary));
        report
    }

    /// The report of a run that did not begin.
    pub fn failed(sync: &SyncId, error: &RunError) -> SyncReport {
        SyncReport {
            reason: error.kind.reason(),
            message: secrets::hide(&error.to_string()).into_owned(),
            ..SyncReport::empty(sync)
        }
    }

    fn empty(sync: &SyncId) -> SyncReport {
        SyncReport {
            namespace: sync.namespace.clone(),
            name: sync.name.clone(),
            result: Outcome::Failed,
            reason: Reason::Failed,
            message: String::new(),
            tables: Vec::new(),
            quarantined: 0,
            bad_records: 0,
            passed_over: PassedOver::default(),
            remarks: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// `12,345 rows of 3 objects in 4 files`.
    fn published(&self) -> String {
        let sum = |number: fn(&TableReport) -> u64| self.tables.iter().map(number).sum::<u64>();
        let (objects, files) = (sum(|table| table.objects), sum(|table| table.files));
        if objects == 0 && files == 0 {
            return "nothing new, nothing written".to_owned();
        }
        format!(
            "{} of {} in {}",
            counted(sum(|table| table.rows), "row"),
            counted(objects, "object"),
            counted(files, "file")
        )
    }

    fn places(&self, places: &OutputLocations) -> Vec<String> {
        let mut notes = Vec::new();
        if self.tables.iter().any(|table| table.files > 0) {
            notes.push(format!("look in {}", places.files));
        }
        match &places.dead_letters {
            Some(place) if self.bad_records > 0 => {
                notes.push(format!("{} set aside in {place}", counted(self.bad_records, "bad record")));
            }
            _ => {}
        }
        notes
    }
}

/// A line for each object that was left out and is named, and one for the rest. An archived one is tried again by each
/// run.
fn quarantined(summary: &RunSummary) -> Vec<String> {
    let (archived, bad): (Vec<_>, Vec<_>) =
        summary.quarantined_objects.iter().partition(|object| object.reason == Exclusion::Archived);
    let key = |object: &Excluded| QuarantinedKey { key: object.key.clone(), reason: object.message.clone() };
    let keys: Vec<QuarantinedKey> = bad.into_iter().map(key).collect();
    let restored =
        |object: &Excluded| format!("left out until it is restored: {}", blamed(&object.key, &object.message));
    let mut lines: Vec<String> = archived.iter().map(|object| restored(object)).collect();
    lines.extend(quarantined_lines(&keys, summary.quarantined.saturating_sub(archived.len() as u64)));
    lines
}

impl Report {
    /// For people: the tables that were written, then a line for each sync and what there is to say of it.
    pub fn text(&self) -> String {
        let rows = self.syncs.iter().flat_map(|sync| {
            sync.tables.iter().map(move |table| {
                let id = format!("{}/{}", sync.namespace, sync.name);
                [
                    id,
                    table.name.clone(),
                    count(table.objects),
                    count(table.rows),
                    bytes(table.bytes),
                    count(table.files),
                ]
            })
        });
        let heading = [
            ("SYNC", Align::Left),
            ("TABLE", Align::Left),
            ("OBJECTS", Align::Right),
            ("ROWS", Align::Right),
            ("BYTES", Align::Right),
            ("FILES", Align::Right),
        ];
        let mut rows = rows.peekable();
        let mut text = String::new();
        if rows.peek().is_some() {
            text = render::table(heading, rows);
            text.push('\n');
        }
        for sync in &self.syncs {
            text.push_str(&match sync.result {
                Outcome::Succeeded => format!("{}/{}: {}\n", sync.namespace, sync.name, printable(&sync.message)),
                // The sentence itself goes to stderr.
                Outcome::Failed => format!("{}/{}: failed: {}\n", sync.namespace, sync.name, sync.reason),
            });
            for note in sync.notes.iter().chain(&sync.remarks) {
                text.push_str(&format!("  {}\n", printable(note)));
            }
            if let Some(passed) = sync.passed_over.text() {
                text.push_str(&format!("  passed over: {}\n", printable(&passed)));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::passed_over::Reason;
    use crate::pipeline::error::RunErrorKind;
    use crate::pipeline::planner::Remarks;
    use crate::pipeline::run::TableSummary;

    fn remarks() -> Remarks {
        let mut remarks = Remarks { notes: vec!["the layout changed".into()], ..Remarks::default() };
        for key in ["orders/README.md", "orders/x.md"] {
            remarks.passed_over.add(Reason::UnknownExtension, key);
        }
        remarks
    }

    fn report() -> Report {
        let id = |name: &str| SyncId { namespace: "data".into(), name: name.into() };
        let places =
            OutputLocations { files: "s3://lake/orders/".into(), dead_letters: Some("s3://lake/rejects/".into()) };
        let written = RunSummary {
            tables: [
                ("items".to_owned(), TableSummary { objects: 1, rows: 7, bytes: 900, files: 1 }),
                ("orders".to_owned(), TableSummary { objects: 3, rows: 12_345, bytes: 1_268_776, files: 4 }),
            ]
            .into(),
            epochs: 1,
            quarantined: 4,
            quarantined_objects: [
                ("orders/b\u{7}.csv", Exclusion::Quarantined, "line 4: the quote never closes"),
                ("orders/old.csv", Exclusion::Archived, "orders/old.csv: it is archived"),
            ]
            .map(|(key, reason, message)| Excluded {
                key: key.into(),
                etag: "x".into(),
                reason,
                message: message.into(),
            })
            .into(),
            bad_records: 2,
            remarks: remarks(),
        };
        let denied = RunError::new(RunErrorKind::Denied, "data/locked: GetObject s3://raw/a: access denied");
        let nothing = RunSummary::default();
        Report {
            syncs: vec![
                SyncReport::ended(&id("orders"), &written, &places, None),
                SyncReport::ended(&id("still"), &nothing, &places, None),
                SyncReport::failed(&id("locked"), &denied),
            ],
        }
    }

    #[test]
    fn people_see_a_table_and_what_there_is_to_say() {
        let expected = "\
SYNC         TABLE   OBJECTS    ROWS     BYTES  FILES
data/orders  items         1       7     900 B      1
data/orders  orders        3  12,345  1.21 MiB      4

data/orders: 12,352 rows of 4 objects in 5 files
  look in s3://lake/orders/
  2 bad records set aside in s3://lake/rejects/
  left out until it is restored: orders/old.csv: it is archived
  quarantined until it changes: orders/b\\u{7}.csv: line 4: the quote never closes
  quarantined until they change: 2 objects more
  the layout changed
  passed over: 2 of no known extension (.md 2)
data/still: nothing new, nothing written
data/locked: failed: Denied
";
        assert_eq!(report().text(), expected);
    }

    #[test]
    fn what_a_failed_run_published_is_told() {
        let published = RunSummary {
            tables: [("orders".to_owned(), TableSummary { objects: 1, rows: 7, bytes: 900, files: 1 })].into(),
            epochs: 1,
            ..RunSummary::default()
        };
        let bad = RunError::new(RunErrorKind::BadData, "data/orders: orders/b.csv line 4: the quote never closes");
        let places = OutputLocations { files: "s3://lake/orders/".into(), dead_letters: None };
        let id = SyncId { namespace: "data".into(), name: "orders".into() };
        let report = Report { syncs: vec![SyncReport::ended(&id, &published, &places, Some(&bad))] };
        let expected = "\
SYNC         TABLE   OBJECTS  ROWS  BYTES  FILES
data/orders  orders        1     7  900 B      1

data/orders: failed: BadData
  published before it failed: 7 rows of 1 object in 1 file
  look in s3://lake/orders/
";
        assert_eq!(report.text(), expected);
    }

    #[test]
    fn programs_see_the_documented_fields_and_no_others() {
        let expected = serde_json::json!({"syncs": [
            {
                "namespace": "data", "name": "orders", "result": "Succeeded", "reason": "Succeeded",
                "message": "12,352 rows of 4 objects in 5 files",
                "tables": [
                    {"name": "items", "objects": 1, "rows": 7, "bytes": 900, "files": 1},
                    {"name": "orders", "objects": 3, "rows": 12_345, "bytes": 1_268_776, "files": 4},
                ],
                "quarantined": 4, "badRecords": 2, "passedOver": {"unknownExtension": 2}, "remarks": ["the layout changed"],
            },
            {
                "namespace": "data", "name": "still", "result": "Succeeded", "reason": "Succeeded",
                "message": "nothing new, nothing written", "tables": [], "quarantined": 0, "badRecords": 0,
            },
            {
                "namespace": "data", "name": "locked", "result": "Failed", "reason": "Denied",
                "message": "data/locked: GetObject s3://raw/a: access denied", "tables": [], "quarantined": 0, "badRecords": 0,
            },
        ]});
        assert_eq!(serde_json::to_value(report()).unwrap(), expected);
    }
}
