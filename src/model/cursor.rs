//! The durable position of a sync: small, forward only, changed by compare-and-swap.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::plan::BlobKey;
use super::request::{Request, RequestMark};
use super::server::Findings;
use super::spec_hash::{Change, SpecHash};

/// The cursor. Everything large lies in blobs that it names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cursor {
    /// Version of this format: as it is stored, see [`Cursor::version_of_form`].
    pub version: u32,
    /// Names the directory of blobs: made once, random.
    pub state_id: String,
    /// Epochs committed so far; the next has this number plus one.
    pub epoch: u64,
    /// Where the epoch under way stands.
    pub phase: Phase,
    /// The run under way, or the last one.
    pub run: Option<Run>,
    /// The plan of the epoch under way (phase Running or Committing).
    pub plan: Option<BlobKey>,
    /// The decision of the epoch under way (phase Committing).
    pub decision: Option<BlobKey>,
    /// Root of the ledger.
    pub ledger: Option<BlobKey>,
    /// The last commit record. Persisted as `manifest`.
    #[serde(rename = "manifest")]
    pub commit_record: Option<BlobKey>,
    /// What the next sweep removes.
    pub garbage: Option<BlobKey>,
    /// Key that the current pass has reached; `None`: at its start.
    pub listed_to: Option<String>,
    /// Identity of source and destination, see [`super::settings`].
    pub spec_hash: String,
    /// The claim that this cursor holds, so that it is given back when another one takes its place. `None` before the
    /// first epoch, and in cursors of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<BlobKey>,
    /// What the destination's server was found to do otherwise than S3; `None` before it was looked at, and for a
    /// directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Findings>,
    /// The last run that was asked for by name or window. `None`: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestMark>,
    /// For people: a mark for each table, at most [`Cursor::TABLES_MAX`]; the rest stand in the ledger's root.
    #[serde(default)]
    pub tables: BTreeMap<String, TableMark>,
}

impl Cursor {
    /// Tables shown in the cursor: 1,000 marks of at most about 300 bytes stay far below a ConfigMap's 1 MiB.
    pub const TABLES_MAX: usize = 1000;
    /// The newest format that this build reads and writes. The second has a request.
    pub const VERSION: u32 = 2;

    /// A cursor that nothing was published under.
    pub fn empty(state_id: String, epoch: u64, spec_hash: String) -> Cursor {
        Cursor {
            version: 1,
            state_id,
            epoch,
            phase: Phase::Idle,
            run: None,
            plan: None,
            decision: None,
            ledger: None,
            commit_record: None,
            garbage: None,
            listed_to: None,
            spec_hash,
            claim: None,
            server: None,
            request: None,
            tables: BTreeMap::new(),
        }
    }

    /// The version that it is stored with. A release that does not know of requests would drop what is kept of one, and
    /// what was read once more would be read again: it must not go on with such a cursor. It goes on with every other.
    pub fn version_of_form(&self) -> u32 {
        if self.request.is_some() { 2 } else { 1 }
    }

    /// The run under way, where it is the one of this request, or of none.
    pub fn run_under_way(&self, request: Option<&str>) -> Option<&Run> {
        let run = self.run.as_ref().filter(|run| !run.ended)?;
        let of = self.request.as_ref().map(|mark| mark.id.as_str()).filter(|id| *id == run.id);
        (of == request).then_some(run)
    }

    /// What the cursor keeps, or begins to keep, of a request.
    pub fn mark_of(&self, request: &Request) -> RequestMark {
        let begun = self.request.as_ref().filter(|mark| mark.id == request.id).cloned();
        begun.unwrap_or_else(|| RequestMark { id: request.id.clone(), since: self.epoch, ended: false, ended_at: None })
    }

    /// Whether a request is begun and not complete: what is read meanwhile is noted in the ledger with its epoch.
    pub fn request_is_open(&self) -> bool {
        self.request.as_ref().is_some_and(|mark| !mark.ended)
    }

    /// This cursor as a run goes on with it whose spec has this hash, and the change of identity that was accepted with
    /// it, where there was one. An epoch that is decided is finished first, by its own settings.
    ///
    /// # Errors
    /// The source or the destination changed, and that is not `accepted`, or cannot be.
    pub fn under(&self, spec_hash: &str, accepted: bool) -> Result<(Cursor, Option<Change>), SpecChange> {
        let (before, now) = (SpecHash::parse(&self.spec_hash), SpecHash::parse(spec_hash));
        if before == now {
            return Ok((self.clone(), None));
        }
        if self.is_untouched() {
            let empty = Cursor::empty(self.state_id.clone(), 0, spec_hash.to_owned());
            return Ok((Cursor { claim: self.claim.clone(), ..empty }, None));
        }
        let Some(change) = before.change_to(&now) else {
            // A cursor of a release that kept no path: from here on it knows the one that its files lie under. Any
            // other difference is written with the next epoch.
            let learns = before.path.is_none() && self.phase == Phase::Idle;
            let known = if learns { spec_hash } else { &self.spec_hash };
            return Ok((Cursor { spec_hash: known.to_owned(), ..self.clone() }, None));
        };
        if self.phase == Phase::Committing {
            return match change.destination {
                true => Err(SpecChange::OfDecided { epoch: self.epoch + 1 }),
                false => Ok((self.clone(), None)),
            };
        }
        if !accepted {
            return Err(SpecChange::NotAccepted(change));
        }
        let mut next = Cursor { spec_hash: spec_hash.to_owned(), listed_to: None, ..self.clone() };
        if change.begins_anew() {
            next = Cursor { ledger: None, commit_record: None, tables: BTreeMap::new(), ..next };
        }
        if change.destination {
            // What they name lies where the destination was.
            next = Cursor { phase: Phase::Idle, run: None, plan: None, garbage: None, claim: None, ..next };
        }
        Ok((next, Some(change)))
    }

    /// Whether nothing was published under it and nothing is to be swept, so that nothing ties it to its source and
    /// destination: a first run that found nothing, or that failed on a misspelt bucket or on bad data.
    pub fn is_untouched(&self) -> bool {
        self.epoch == 0 && self.phase == Phase::Idle && self.ledger.is_none() && self.garbage.is_none()
    }
}

/// Why a run under another spec cannot go on with a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecChange {
    /// This changed, and nobody accepted it.
    NotAccepted(Change),
    /// The destination changed while this epoch was decided and not yet visible.
    OfDecided {
        /// Its number.
        epoch: u64,
    },
}

/// Where an epoch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// No epoch under way.
    Idle,
    /// A plan is named; nothing is visible.
    Running,
    /// A decision is named; everything it names becomes visible.
    Committing,
}

/// One scheduled execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Unique.
    pub id: String,
    /// When it began.
    pub started: Timestamp,
    /// Passes over the listing so far, from 1.
    pub pass: u32,
    /// Whether an object changed under way, so that another pass is due.
    pub changed: bool,
    /// Whether the run has ended.
    pub ended: bool,
}

/// Where one table stands, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TableMark {
    /// Last modified of the newest object.
    pub last_modified: Option<Timestamp>,
    /// Its key, cut to 120 bytes.
    pub key: String,
    /// Objects published so far.
    pub objects: u64,
    /// Rows published so far.
    pub rows: u64,
    /// Bytes written so far.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures::settings;
    use crate::model::settings::Settings;
    use crate::model::template::Template;

    fn hash(change: impl FnOnce(&mut Settings)) -> String {
        let mut settings = settings();
        settings.destination.template = Template::parse("a/{{UUID}}").unwrap();
        change(&mut settings);
        SpecHash::of(&settings).to_string()
    }

    /// A cursor with everything that another identity may put out of reach.
    fn cursor(phase: Phase) -> Cursor {
        let blob = |name: &str| Some(BlobKey(name.to_owned()));
        let started = Timestamp::UNIX_EPOCH;
        Cursor {
            phase,
            run: Some(Run { id: "run".into(), started, pass: 1, changed: false, ended: false }),
            plan: blob("plan"),
            ledger: blob("ledger"),
            commit_record: blob("manifest"),
            garbage: blob("garbage"),
            listed_to: Some("a/1.csv".into()),
            claim: blob("claim"),
            tables: BTreeMap::from([("a".to_owned(), TableMark::default())]),
            ..Cursor::empty("abc".into(), 7, hash(|_| {}))
        }
    }

    #[test]
    fn a_cursor_goes_on_under_its_own_spec_alone_until_another_one_is_accepted() {
        let source = hash(|settings| settings.source.prefix = "other/".into());
        let path = hash(|settings| settings.destination.template = Template::parse("b/{{UUID}}").unwrap());
        let destination = hash(|settings| settings.destination.bucket = "other".into());
        for phase in [Phase::Idle, Phase::Running, Phase::Committing] {
            let before = cursor(phase);
            assert_eq!(before.under(&before.spec_hash, true), Ok((before.clone(), None)), "{phase:?}");
            for now in [&source, &path, &destination] {
                let refused = before.under(now, false);
                match (phase, now == &destination) {
                    (Phase::Committing, true) => assert_eq!(refused, Err(SpecChange::OfDecided { epoch: 8 })),
                    (Phase::Committing, false) => {
                        assert_eq!(refused, Ok((before.clone(), None)), "it is finished first")
                    }
                    _ => assert!(matches!(refused, Err(SpecChange::NotAccepted(_))), "{phase:?}: {refused:?}"),
                }
            }
        }
        let before = cursor(Phase::Running);
        let accepted = |now: &str| before.under(now, true).unwrap().0;
        let of_source = Cursor { spec_hash: source.clone(), listed_to: None, ..before.clone() };
        assert_eq!(accepted(&source), of_source, "the ledger stays");
        let of_path = Cursor { ledger: None, commit_record: None, tables: BTreeMap::new(), ..of_source };
        assert_eq!(accepted(&path), Cursor { spec_hash: path.clone(), ..of_path.clone() });
        let idle = Cursor { phase: Phase::Idle, run: None, plan: None, garbage: None, claim: None, ..of_path };
        assert_eq!(accepted(&destination), Cursor { spec_hash: destination.clone(), ..idle });
    }

    #[test]
    fn what_nothing_was_published_under_takes_any_spec() {
        let other = hash(|settings| settings.destination.bucket = "other".into());
        let claim = Some(BlobKey("claim".into()));
        let before = Cursor {
            listed_to: Some("a".into()),
            claim: claim.clone(),
            ..Cursor::empty("abc".into(), 0, hash(|_| {}))
        };
        let expected = Cursor { claim, ..Cursor::empty("abc".into(), 0, other.clone()) };
        assert_eq!(before.under(&other, false), Ok((expected, None)));
    }
}
