//! The termination message: how the run ended, for the operator. Worker 0 leaves one however it ends, short of being
//! killed.

use std::path::PathBuf;

use super::pod::{self, Environment};
use crate::api::report::RunReport;
use crate::api::status::{PassedOverCounts, RunCounts, RunOutcome};
use crate::command::run::report::{Outcome, SyncReport};
use crate::pipeline::error::RunErrorKind;
use crate::store::secrets;

/// Where a worker leaves its last words. Followers have none.
#[derive(Clone, Debug)]
pub struct TerminationMessage {
    path: Option<PathBuf>,
}

impl TerminationMessage {
    /// Those of the pod with this environment.
    pub fn new(env: &Environment<'_>) -> TerminationMessage {
        TerminationMessage { path: pod::leads(env).then(|| pod::termination_log(env)) }
    }

    /// Leaves a report. What cannot be written is logged, and changes nothing: the exit code says the most important.
    pub fn leave(&self, report: &RunReport) {
        let Some(path) = &self.path else { return };
        // The kubelet puts it into the pod's status, where whoever may see pods reads it.
        let report = RunReport { message: secrets::hide(&report.message).into_owned(), ..report.clone() };
        if let Err(error) = std::fs::write(path, report.to_termination_message()) {
            tracing::warn!(path = %path.display(), "the termination message cannot be written: {error}");
        }
    }

    /// Leaves the report of a run that failed with nothing published that we know of.
    pub fn failed(&self, kind: RunErrorKind, message: &str) {
        self.leave(&RunReport::failed(kind.reason(), message));
    }
}

/// A run's report as the operator takes it.
pub fn report(sync: &SyncReport) -> RunReport {
    let sum =
        |number: fn(&crate::command::run::report::TableReport) -> u64| count(sync.tables.iter().map(number).sum());
    RunReport {
        result: match sync.result {
            Outcome::Succeeded => RunOutcome::Succeeded,
            Outcome::Failed => RunOutcome::Failed,
        },
        reason: sync.reason.into(),
        message: message(sync),
        counts: RunCounts {
            tables: count(sync.tables.iter().filter(|table| table.files > 0).count() as u64),
            objects: sum(|table| table.objects),
            rows: sum(|table| table.rows),
            bytes: sum(|table| table.bytes),
            files: sum(|table| table.files),
            bad_records: count(sync.bad_records),
            quarantined: count(sync.quarantined),
            passed_over: PassedOverCounts::of(&sync.passed_over),
        },
    }
}

/// The report's sentence, with what a person must know of a run that succeeded all the same.
fn message(sync: &SyncReport) -> String {
    let mut message = sync.message.clone();
    if sync.quarantined > 0 || sync.bad_records > 0 {
        for note in sync.notes.iter().filter(|note| !note.starts_with("look in ")) {
            message.push_str("; ");
            message.push_str(note);
        }
    }
    // Of a run that failed, its error is what matters.
    if sync.result == Outcome::Failed {
        return message;
    }
    for remark in &sync.remarks {
        message.push_str("; ");
        message.push_str(remark);
    }
    if let Some(passed) = sync.passed_over.text() {
        message.push_str(&format!("; passed over: {passed}"));
    }
    message
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::run::output_locations::OutputLocations;
    use crate::model::passed_over::Reason;
    use crate::model::settings::SyncId;
    use crate::pipeline::error::RunError;
    use crate::pipeline::run::RunSummary;

    #[test]
    fn a_resource_says_what_a_run_passed_over_and_remarked() {
        let mut summary = RunSummary::default();
        summary.remarks.note("the layout changed".into());
        summary.remarks.passed_over.add(Reason::UnknownExtension, "orders/README.md");
        let id = SyncId { namespace: "data".into(), name: "orders".into() };
        let places = OutputLocations { files: "s3://lake/".into(), dead_letters: None };
        let told = |error: Option<&RunError>| report(&SyncReport::ended(&id, &summary, &places, error));
        let read = RunReport::from_termination_message(&told(None).to_termination_message()).unwrap();
        let expected = "nothing new, nothing written; the layout changed; passed over: 1 of no known extension (.md 1)";
        assert_eq!((read.message.as_str(), read.counts.passed_over.unknown_extension), (expected, 1));
        let denied = RunError::new(RunErrorKind::Denied, "data/orders: denied");
        assert_eq!(told(Some(&denied)).message, "data/orders: denied");
    }
}
