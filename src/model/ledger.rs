//! The ledger's values and rules: what is known of an object, what a listed object is beside it, and how runs of
//! segments are compacted.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::cursor::TableMark;
use super::layout::Layout;
use super::object::{Etag, Object};
use super::plan::SegmentRef;
use super::request::RequestMark;
use super::schema::TableSchema;
use super::settings::Settings;
use super::write_mode::LedgerLife;

/// One accounted object. The ledger holds one for each key, in key order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The version that is accounted for.
    pub object: Object,
    /// What became of it.
    pub outcome: Outcome,
    /// The epoch that accounted for it, where a request was under way then: it tells what the request has read from
    /// what it has yet to read.
    pub epoch: Option<u64>,
    /// Whether a request read this version once more, whose rows were published before and stay: what cannot be read
    /// now is published still.
    pub again: bool,
}

/// What became of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its rows are in published files, its bad records with the dead letters.
    Published,
    /// It could not be read, and is left out until its etag changes.
    Quarantined {
        /// One sentence, cut to [`Outcome::REASON_BYTES_MAX`].
        reason: String,
    },
    /// It is archived, and is left out until it is restored, which changes neither its etag nor its size.
    Archived,
    /// It overwrote an accounted object and `onOverwrite` is Ignore.
    Ignored,
}

impl Outcome {
    /// A reason is for people; 512 bytes hold a sentence with a key in it.
    pub const REASON_BYTES_MAX: usize = 512;

    /// Why the object is left out, where it is.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Outcome::Quarantined { reason } => Some(reason),
            Outcome::Archived => Some("it is archived, and left out until it is restored"),
            Outcome::Published | Outcome::Ignored => None,
        }
    }

    /// Quarantined, for a reason that is cut to its bound.
    pub fn quarantined(reason: &str) -> Self {
        Outcome::Quarantined { reason: cut(reason, Self::REASON_BYTES_MAX).to_owned() }
    }
}

/// A text cut to at most `bytes_max` bytes, on a character's boundary.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// An entry as a line of a segment: flat, and short where nothing is special, because there are millions. Spelled out,
/// because serde's `flatten` would hold every value of a line twice.
#[derive(Serialize)]
struct Line<'a> {
    key: &'a str,
    etag: &'a Etag,
    size: u64,
    last_modified: Timestamp,
    /// Also of what is archived: a release that does not know of that leaves the object out too.
    #[serde(skip_serializing_if = "Option::is_none")]
    quarantined: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    archived: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ignored: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    again: bool,
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Object { key, etag, size, last_modified, .. } = &self.object;
        let (quarantined, archived) = (self.outcome.reason(), self.outcome == Outcome::Archived);
        let ignored = self.outcome == Outcome::Ignored;
        let (epoch, again) = (self.epoch, self.again);
        Line { key, etag, size: *size, last_modified: *last_modified, quarantined, archived, ignored, epoch, again }
            .serialize(serializer)
    }
}

/// The same line for reading.
#[derive(Deserialize)]
struct ReadLine {
    key: String,
    etag: Etag,
    size: u64,
    last_modified: Timestamp,
    #[serde(default)]
    quarantined: Option<String>,
    #[serde(default)]
    archived: bool,
    #[serde(default)]
    ignored: bool,
    #[serde(default)]
    epoch: Option<u64>,
    #[serde(default)]
    again: bool,
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let line = ReadLine::deserialize(deserializer)?;
        let outcome = match (line.quarantined, line.ignored) {
            _ if line.archived => Outcome::Archived,
            (Some(reason), _) => Outcome::Quarantined { reason },
            (None, true) => Outcome::Ignored,
            (None, false) => Outcome::Published,
        };
        let object = Object {
            key: line.key,
            etag: line.etag,
            size: line.size,
            last_modified: line.last_modified,
            archived: false,
        };
        Ok(Entry { object, outcome, epoch: line.epoch, again: line.again })
    }
}

/// What a listed object is beside the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its key is not in the ledger.
    New,
    /// Its key is there with another version, which was published or ignored.
    Overwritten,
    /// Its key is there with another version, which was quarantined, or it was restored from its archive: another try
    /// is due.
    Replaced,
    /// This version is accounted for.
    Known,
    /// This version is left out: quarantined, or still archived.
    Quarantined,
}

/// What `object` is beside what the ledger holds under its key; one that was archived is taken to be so still. No clock
/// takes part: what is new is what the ledger does not have.
///
/// ```
/// use s3sync::model::ledger::{Entry, Outcome, Standing, standing};
/// use s3sync::model::object::{Etag, Object};
///
/// let listed = |etag: &str| Object {
///     key: "raw/a.csv".into(),
///     etag: Etag::new(etag),
///     size: 7,
///     last_modified: "2026-01-31T12:00:00Z".parse().unwrap(),
///     archived: false,
/// };
/// let known = Entry { object: listed("1"), outcome: Outcome::Published, epoch: None, again: false };
/// assert_eq!(standing(&listed("1"), None), Standing::New);
/// assert_eq!(standing(&listed("1"), Some(&known)), Standing::Known);
/// assert_eq!(standing(&listed("2"), Some(&known)), Standing::Overwritten);
/// ```
pub fn standing(object: &Object, known: Option<&Entry>) -> Standing {
    let Some(known) = known else { return Standing::New };
    let quarantined = known.outcome.reason().is_some();
    match (known.object.same_version(object), quarantined) {
        (true, false) => Standing::Known,
        (true, true) => Standing::Quarantined,
        (false, false) => Standing::Overwritten,
        (false, true) => Standing::Replaced,
    }
}

/// The first line of a ledger's root. The tables follow, a line each, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerHead {
    /// The run that wrote it.
    pub run: String,
    /// The epoch that wrote it.
    pub epoch: u64,
    /// [`super::spec_hash::output_digest`] of the plan's settings: whether Replace would write the same again.
    pub settings: String,
    /// Sorted runs, oldest first. Segments of one run are in key order and do not overlap; where two runs hold a key,
    /// the newer counts.
    pub runs: Vec<Vec<SegmentRef>>,
    /// How the files of this epoch are laid out; `None` in ledgers of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// The last request that an epoch was of, for a cursor that is made from the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestMark>,
}

impl LedgerHead {
    /// The runs that count for an epoch of `run`: none when every epoch begins anew, or when a ledger is kept for the
    /// length of a run only and this one is another's.
    pub fn runs_for(&self, settings: &Settings, run: &str) -> &[Vec<SegmentRef>] {
        match settings.destination.write_mode.ledger(settings.incremental.enabled) {
            LedgerLife::Sync => &self.runs,
            LedgerLife::Run if self.run == run => &self.runs,
            LedgerLife::Run | LedgerLife::Epoch => &[],
        }
    }
}

/// What the ledger knows of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LedgerTable {
    /// Its name.
    pub name: String,
    /// What gave the name, see [`super::table::Named::source`].
    pub source: String,
    /// The schema in force.
    pub schema: TableSchema,
    /// How far it is, for people.
    pub mark: TableMark,
}

/// Entries of a run over the sum of all newer runs, at least.
const RUN_RATIO: u64 = 2;

/// Where to begin merging: `runs[at..]` become one, `at == runs.len() - 1` merges nothing. `entries` are the runs'
/// sizes, oldest first.
///
/// After it, each run holds at least twice the entries of all newer ones together, so a ledger of n entries has at most
/// log₃ n + 1 runs (15 for five million). The oldest run that is merged grows by half at least, and the newer ones
/// more, so an entry is rewritten at most log₁.₅ n + 1 times in its life, and an epoch of one object rewrites a few
/// lines most of the time.
pub fn merge_from(entries: &[u64]) -> usize {
    let mut newer = 0u64;
    let mut from = entries.len().saturating_sub(1);
    for (at, &held) in entries.iter().enumerate().rev() {
        if held < newer.saturating_mul(RUN_RATIO) {
            from = at;
        }
        newer = newer.saturating_add(held);
    }
    from
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn object(key: &str, etag: &str, size: u64) -> Object {
        Object {
            key: key.into(),
            etag: Etag::new(etag),
            size,
            last_modified: "2026-01-02T03:04:05.678Z".parse().unwrap(),
            archived: false,
        }
    }

    #[test]
    fn lines_are_frozen() {
        let of = |outcome| Entry { object: object("a/b.csv", "e1", 7), outcome, epoch: None, again: false };
        for (entry, expected) in [
            (
                of(Outcome::Published),
                r#"{"key":"a/b.csv","etag":"e1","size":7,"last_modified":"2026-01-02T03:04:05.678Z"}"#,
            ),
            (
                of(Outcome::quarantined("no footer")),
                r#"{"key":"a/b.csv","etag":"e1","size":7,"last_modified":"2026-01-02T03:04:05.678Z","quarantined":"no footer"}"#,
            ),
            (
                of(Outcome::Archived),
                r#"{"key":"a/b.csv","etag":"e1","size":7,"last_modified":"2026-01-02T03:04:05.678Z","quarantined":"it is archived, and left out until it is restored","archived":true}"#,
            ),
            (
                of(Outcome::Ignored),
                r#"{"key":"a/b.csv","etag":"e1","size":7,"last_modified":"2026-01-02T03:04:05.678Z","ignored":true}"#,
            ),
            (
                Entry { epoch: Some(9), ..of(Outcome::Published) },
                r#"{"key":"a/b.csv","etag":"e1","size":7,"last_modified":"2026-01-02T03:04:05.678Z","epoch":9}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&entry).unwrap(), expected);
            assert_eq!(serde_json::from_str::<Entry>(expected).unwrap(), entry);
        }
    }

    #[test]
    fn an_object_is_its_key_etag_and_size() {
        let published = Entry { object: object("k", "e", 1), outcome: Outcome::Published, epoch: None, again: false };
        let quarantined = Entry { outcome: Outcome::quarantined("bad"), ..published.clone() };
        let ignored = Entry { outcome: Outcome::Ignored, ..published.clone() };
        let archived = Entry { outcome: Outcome::Archived, ..published.clone() };
        for (listed, known, expected) in [
            (object("k", "e", 1), None, Standing::New),
            (object("k", "e", 1), Some(&published), Standing::Known),
            (object("k", "f", 1), Some(&published), Standing::Overwritten),
            (object("k", "e", 2), Some(&published), Standing::Overwritten),
            (object("k", "e", 1), Some(&quarantined), Standing::Quarantined),
            (object("k", "f", 1), Some(&quarantined), Standing::Replaced),
            (object("k", "e", 1), Some(&archived), Standing::Quarantined),
            (object("k", "f", 1), Some(&archived), Standing::Replaced),
            (object("k", "e", 1), Some(&ignored), Standing::Known),
            (object("k", "f", 1), Some(&ignored), Standing::Overwritten),
        ] {
            assert_eq!(standing(&listed, known), expected, "{listed:?} beside {known:?}");
        }
        let later = Object { last_modified: Timestamp::MAX, ..object("k", "e", 1) };
        assert_eq!(standing(&later, Some(&published)), Standing::Known);
    }

    #[test]
    fn reasons_are_cut_on_a_character() {
        let Outcome::Quarantined { reason } = Outcome::quarantined(&"é".repeat(400)) else { panic!("quarantined") };
        assert_eq!(reason, "é".repeat(256));
        assert_eq!(cut("aé", 2), "a");
    }

    #[test]
    fn small_runs_are_merged_into_a_larger_one() {
        for (entries, expected) in [
            (&[][..], 0),
            (&[5], 0),
            (&[1, 1], 0),
            (&[100, 1], 1),
            (&[100, 2, 1], 2),
            (&[100, 2, 2], 1),
            (&[130, 40, 18, 1, 1], 3),
            (&[180, 44, 17, 6], 1),
            (&[6, 2, 1, 1], 0),
        ] {
            assert_eq!(merge_from(entries), expected, "{entries:?}");
        }
    }

    proptest! {
        #[test]
        fn runs_stay_few_and_rewrites_rare(epochs in prop::collection::vec(1u64..200, 1..400)) {
            let (mut runs, mut written): (Vec<u64>, u64) = (Vec::new(), 0);
            for added in &epochs {
                runs.push(*added);
                let at = merge_from(&runs);
                let merged: u64 = runs.drain(at..).sum();
                runs.push(merged);
                written += merged;
                for at in 0..runs.len() - 1 {
                    prop_assert!(runs[at] >= RUN_RATIO * runs[at + 1..].iter().sum::<u64>());
                }
            }
            let total: u64 = epochs.iter().sum();
            prop_assert_eq!(total, runs.iter().sum::<u64>());
            prop_assert!(runs.len() as f64 <= (total as f64).log(3.0) + 1.0 + 1e-9);
            prop_assert!(written as f64 <= total as f64 * ((total as f64).log(1.5) + 2.0));
        }
    }
}
