//! The durable position of a sync: small, forward only, changed by compare-and-swap.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::plan::BlobKey;
use super::request::{Request, RequestMark};
use super::server::Findings;

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
    /// The last committed manifest.
    pub manifest: Option<BlobKey>,
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
            manifest: None,
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
        begun.unwrap_or_else(|| RequestMark { id: request.id.clone(), since: self.epoch, ended: false })
    }

    /// Whether a request is begun and not complete: what is read meanwhile is noted in the ledger with its epoch.
    pub fn request_is_open(&self) -> bool {
        self.request.as_ref().is_some_and(|mark| !mark.ended)
    }

    /// Whether nothing was published under it and nothing is to be swept, so that nothing ties it to its source and
    /// destination: a first run that found nothing, or that failed on a misspelt bucket or on bad data.
    pub fn is_untouched(&self) -> bool {
        self.epoch == 0 && self.phase == Phase::Idle && self.ledger.is_none() && self.garbage.is_none()
    }
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
