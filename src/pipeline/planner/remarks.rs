//! What a person should know of a run beside what it reads: what it passed over, and what is not as it was.

use super::selection::Selection;
use crate::model::layout::Layout;
use crate::model::ledger::LedgerHead;
use crate::model::passed_over::PassedOver;
use crate::model::request::Request;
use crate::model::settings::Settings;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// Objects that are not read; of the last look at the whole listing.
    pub passed_over: PassedOver,
    /// Sentences, each once.
    pub notes: Vec<String>,
    /// Whether an object was selected, read or not, in any look at the listing.
    pub found: bool,
    /// Says that nothing was selected, where every look at the whole listing saw nothing.
    pub nothing: Option<String>,
}

impl Remarks {
    /// Notes a sentence once.
    pub fn note(&mut self, sentence: String) {
        if !self.notes.contains(&sentence) {
            self.notes.push(sentence);
        }
    }

    /// Takes over what a look at the whole listing passed over.
    pub(super) fn passed_over(&mut self, passed: Option<PassedOver>) {
        if let Some(passed) = passed {
            self.passed_over = passed;
        }
    }

    /// Takes note of selected objects, in a look or in a plan of before.
    pub(in crate::pipeline) fn found(&mut self, objects: u64) {
        if objects > 0 {
            self.found = true;
            self.nothing = None;
        }
    }

    /// Notes what new files do to a table that has files already, and what nobody sees from the files of one run.
    pub(super) fn of_head(&mut self, head: &LedgerHead, settings: &Settings, run: &str) {
        let destination = &settings.destination;
        if !destination.write_mode.keeps_published() || head.run.is_empty() {
            return;
        }
        if let Some(change) = head.layout.as_ref().and_then(|before| before.change_to(&Layout::of(destination))) {
            self.note(format!(
                "{change}: new objects are written in the new layout, and what is published stays as it is; to write everything anew, give \
                 another destination.path and accept it with `s3sync run --accept-spec-change`"
            ));
        }
        if !settings.incremental.enabled && head.run != run {
            self.note(
                "incremental.enabled is false and writeMode is Append: every run reads everything and adds it to the files of the runs \
                 before, so that rows repeat; set destination.writeMode: Replace to have each row once"
                    .to_owned(),
            );
        }
    }
}

impl Remarks {
    /// Notes what a request does to a table that has files already.
    pub(super) fn of_request(&mut self, head: &LedgerHead, settings: &Settings, request: Option<&Request>) {
        let stays = settings.destination.write_mode.keeps_published();
        if stays && !head.run.is_empty() && request.is_some_and(|request| request.asked.reread) {
            let note = "objects that were read before are read once more: their rows are written again, and the rows of before stay beside them";
            self.note(note.to_owned());
        }
    }

    /// Notes that nothing lies in the window that was asked for.
    pub(super) fn of_empty_window(&mut self, selection: &Selection<'_>) {
        if let Some(window) = selection.window() {
            self.note(format!(
                "no object that the spec selects lies in the window ({window}): look at its ends, and at what the spec selects"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures::settings;
    use crate::model::format::OutputFormat;
    use crate::model::write_mode::WriteMode;

    #[test]
    fn what_append_adds_to_a_table_is_noted() {
        let before = settings();
        let head =
            LedgerHead { run: "one".into(), layout: Some(Layout::of(&before.destination)), ..LedgerHead::default() };
        let notes = |head: &LedgerHead, change: fn(&mut Settings)| {
            let mut settings = settings();
            change(&mut settings);
            let mut remarks = Remarks::default();
            for _ in 0..2 {
                remarks.of_head(head, &settings, "two");
            }
            remarks.notes
        };
        let csv = |settings: &mut Settings| settings.destination.format = OutputFormat::Csv;
        let all = |settings: &mut Settings| settings.incremental.enabled = false;
        assert_eq!(notes(&head, |_| {}), Vec::<String>::new());
        assert!(notes(&head, csv)[0].starts_with("the layout changed (the format from parquet to csv): "));
        assert!(notes(&head, all)[0].contains("rows repeat") && notes(&head, all).len() == 1);
        let replace = |settings: &mut Settings| {
            settings.destination.format = OutputFormat::Csv;
            settings.destination.write_mode = WriteMode::Replace;
        };
        assert_eq!(notes(&head, replace), Vec::<String>::new());
        assert_eq!(
            notes(&LedgerHead { layout: None, ..head.clone() }, csv),
            Vec::<String>::new(),
            "of an earlier release"
        );
        assert_eq!(notes(&LedgerHead::default(), all), Vec::<String>::new(), "nothing was published yet");
    }
}
