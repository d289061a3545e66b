//! How a run ended, from worker 0 to the controller: the container's termination message.
//!
//! The kubelet keeps at most [`TERMINATION_MESSAGE_BYTES_MAX`] of it
//! (<https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/>), and what is cut is no
//! JSON any more, so a report is never longer.

use serde::{Deserialize, Serialize};

use super::status::{RunCounts, RunOutcome};
use super::text;

/// What the kubelet keeps of a termination message, in bytes.
pub const TERMINATION_MESSAGE_BYTES_MAX: usize = 4096;

/// The result of one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunReport {
    /// Whether the run reached its end.
    pub result: RunOutcome,
    /// `Succeeded`, or one word for what went wrong, such as `Denied`.
    pub reason: String,
    /// One sentence: what happened and what to do. Holds no secret.
    pub message: String,
    /// What was published before the end.
    #[serde(flatten)]
    pub counts: RunCounts,
}

impl RunReport {
    /// A run that failed before it published anything.
    pub fn failed(reason: impl Into<String>, message: impl Into<String>) -> RunReport {
        RunReport {
            result: RunOutcome::Failed,
            reason: reason.into(),
            message: message.into(),
            counts: RunCounts::default(),
        }
    }

    /// The report as one line of JSON. The message is cut at [`text::MESSAGE_BYTES_MAX`] and holds no control
    /// characters, so that the line is shorter than [`TERMINATION_MESSAGE_BYTES_MAX`] also where each of its bytes
    /// needs an escape.
    pub fn to_termination_message(&self) -> String {
        let report =
            RunReport { message: text::message(&self.message), reason: text::cut(&self.reason, 64), ..self.clone() };
        serde_json::to_string(&report).expect("plain texts and numbers always serialise")
    }

    /// Reads what [`RunReport::to_termination_message`] wrote; `None` for anything else, such as the last lines of a
    /// log.
    pub fn from_termination_message(text: &str) -> Option<RunReport> {
        serde_json::from_str(text.trim()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(message: &str) -> RunReport {
        let counts = RunCounts { tables: 2, objects: 3, rows: 12_345, files: 4, ..RunCounts::default() };
        RunReport { counts, ..RunReport::failed("BadData", message) }
    }

    #[test]
    fn a_report_survives_its_way() {
        let text = report("data/orders: a.csv: line 7 has 3 fields instead of 4").to_termination_message();
        let expected = r#"{"result":"Failed","reason":"BadData","message":"data/orders: a.csv: line 7 has 3 fields instead of 4","tables":2,"objects":3,"rows":12345,"bytes":0,"files":4,"badRecords":0,"quarantined":0}"#;
        assert_eq!(text, expected);
        assert_eq!(
            RunReport::from_termination_message(&format!("{text}\n")),
            Some(report("data/orders: a.csv: line 7 has 3 fields instead of 4"))
        );
    }

    #[test]
    fn long_messages_are_cut_and_stay_json() {
        for (message, length) in
            [("x".repeat(1024), 1024), ("x".repeat(5000), 1024), ("é".repeat(600), 1023), ("\"".repeat(5000), 1024)]
        {
            let text = report(&message).to_termination_message();
            assert!(text.len() <= TERMINATION_MESSAGE_BYTES_MAX, "{}", text.len());
            let read = RunReport::from_termination_message(&text).unwrap();
            assert_eq!(read.message.len(), length, "{}", &message[..4]);
            assert_eq!(RunReport { message: String::new(), ..read }, report(""));
        }
    }

    #[test]
    fn what_a_server_said_commands_no_terminal() {
        let text = report("PutObject s3://lake/a: \u{1b}]0;owned\u{7}\r\nno").to_termination_message();
        assert_eq!(RunReport::from_termination_message(&text).unwrap().message, "PutObject s3://lake/a: ]0;owned  no");
    }

    #[test]
    fn other_texts_are_no_report() {
        for text in [
            "",
            "error: denied",
            "{}",
            r#"{"result":"Perhaps","reason":"","message":""}"#,
            &report("x").to_termination_message()[..80],
        ] {
            assert_eq!(RunReport::from_termination_message(text), None, "{text}");
        }
        // A later version may say more, and an earlier one less.
        let text = r#"{"result":"Succeeded","reason":"Succeeded","message":"m","more":1}"#;
        let expected = RunReport { result: RunOutcome::Succeeded, ..RunReport::failed("Succeeded", "m") };
        assert_eq!(RunReport::from_termination_message(text), Some(expected));
    }
}
