//! What was found: a line for each thing that was looked at, for people and for programs.

use serde::{Deserialize, Serialize};

use crate::command::render::{self, Align};
use crate::command::{CommandError, FailureKind};
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::store::StoreError;

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// It works, or cannot be looked at from here.
    Warning,
    /// Something does not work.
    Failed,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Warning => "warning",
            Outcome::Failed => "failed",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// `cluster`, a namespace, or a sync as `namespace/name`.
    pub about: String,
    /// What was looked at, in one word.
    pub check: String,
    /// How it is.
    pub result: Outcome,
    /// What was seen.
    pub why: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// What the process ends with, were this the only one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub exit_code: u8,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's own signature
fn is_zero(code: &u8) -> bool {
    *code == 0
}

impl Finding {
    fn new(about: &str, check: &str, result: Outcome, why: String, fix: Option<String>) -> Finding {
        Finding { about: about.to_owned(), check: check.to_owned(), result, why, fix, exit_code: 0 }
    }

    /// All is well.
    pub fn ok(about: &str, check: &str, why: impl Into<String>) -> Finding {
        Finding::new(about, check, Outcome::Ok, why.into(), None)
    }

    /// It works, or cannot be looked at.
    pub fn warning(about: &str, check: &str, why: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding::new(about, check, Outcome::Warning, why.into(), Some(fix.into()).filter(|fix| !fix.is_empty()))
    }

    /// It does not work.
    pub fn failed(
        about: &str,
        check: &str,
        kind: FailureKind,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Finding {
        let finding =
            Finding::new(about, check, Outcome::Failed, why.into(), Some(fix.into()).filter(|fix| !fix.is_empty()));
        Finding { exit_code: kind.exit_code(), ..finding }
    }

    /// What a run of the sync would say. Its sentence ends with what to do.
    pub fn of_run(about: &str, check: &str, error: &RunError) -> Finding {
        if let Some(store) = error.source.as_ref().and_then(|source| source.downcast_ref::<StoreError>()) {
            return Finding::of_store(about, check, store);
        }
        let message = error.message.strip_prefix(&format!("{about}: ")).unwrap_or(&error.message);
        let (why, fix) = message.split_once("; ").unwrap_or((message, ""));
        Finding::failed(about, check, error.kind.failure(), why, fix)
    }

    /// What a store says: its sentence has what to do behind a colon.
    pub fn of_store(about: &str, check: &str, error: &StoreError) -> Finding {
        let kind = match error.kind {
            crate::store::ErrorKind::Denied => RunErrorKind::Denied,
            crate::store::ErrorKind::NotFound | crate::store::ErrorKind::NoSuchBucket => RunErrorKind::NotFound,
            _ => RunErrorKind::Failed,
        };
        let (why, fix) = error.message.rsplit_once(": ").unwrap_or((&error.message, ""));
        Finding::failed(about, check, kind.failure(), format!("{} {}/{}: {why}", error.op, error.place, error.key), fix)
    }
}

/// Everything that was found.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// In the order in which one thing needs another.
    pub checks: Vec<Finding>,
}

impl Report {
    /// The worst of it.
    pub fn result(&self) -> Outcome {
        self.checks.iter().map(|finding| finding.result).max().unwrap_or(Outcome::Ok)
    }

    /// The table for people.
    pub fn text(&self) -> String {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let rows = self.checks.iter().map(|finding| {
            [
                finding.about.clone(),
                finding.check.clone(),
                finding.result.word().to_owned(),
                finding.why.clone(),
                or_none(&finding.fix),
            ]
        });
        let heading = ["ABOUT", "CHECK", "RESULT", "WHY", "FIX"].map(|name| (name, Align::Left));
        render::table(heading, rows)
    }

    /// The exit code: that of what failed first, since the rest may follow from it.
    pub fn end(&self) -> Result<(), CommandError> {
        let failed = self.checks.iter().find(|finding| finding.result == Outcome::Failed);
        match failed
            .map(|finding| FailureKind::of_exit_code(i32::from(finding.exit_code)).unwrap_or(FailureKind::Other))
        {
            Some(kind) => Err(CommandError::reported(kind)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ErrorKind;

    fn report() -> Report {
        let denied = StoreError::new(
            ErrorKind::Denied,
            "ListObjectsV2",
            "s3://raw",
            "a/",
            "access denied: allow s3:ListBucket to it",
        );
        let claimed = RunError::new(RunErrorKind::Claimed, "data/orders: held by another; run it there; or adopt it");
        Report {
            checks: vec![
                Finding::ok("cluster", "Leader", "s3sync-0 leads"),
                Finding::warning("data/orders", "SourceClock", "it is 90 s behind", "set the clock"),
                Finding::of_store("data/orders", "SourceRights", &denied),
                Finding::of_run("data/orders", "Claim", &claimed),
            ],
        }
    }

    #[test]
    fn people_see_what_is_wrong_and_what_to_do() {
        let expected = "\
ABOUT        CHECK         RESULT   WHY                                        FIX
cluster      Leader        ok       s3sync-0 leads                             -
data/orders  SourceClock   warning  it is 90 s behind                          set the clock
data/orders  SourceRights  failed   ListObjectsV2 s3://raw/a/: access denied   allow s3:ListBucket to it
data/orders  Claim         failed   held by another                            run it there; or adopt it
";
        let squeezed = |text: &str| {
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(squeezed(&report().text()), squeezed(expected));
    }

    #[test]
    fn what_failed_first_gives_the_exit_code() {
        assert_eq!(report().end().unwrap_err().kind, FailureKind::Access);
        let mut report = report();
        report.checks.truncate(2);
        assert!(report.end().is_ok() && report.result() == Outcome::Warning, "a warning is none");
        let text = serde_json::to_value(&report.checks[0]).unwrap();
        assert_eq!(
            text,
            serde_json::json!({"about": "cluster", "check": "Leader", "result": "Ok", "why": "s3sync-0 leads"})
        );
    }
}
