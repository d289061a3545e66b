//! The cursor as the controller sees it: where it stands, and what people want to know of it. Read only; workers alone
//! move it. PURE.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};

use crate::api::status::Progress;
use crate::controller::names::{DOMAIN, KUBERNETES, LAST_APPLIED};
use crate::model::cursor::{Phase, TableMark};
use crate::model::spec_hash::SpecHash;
use crate::state::configmap::content::{CURSOR_KEY, PROGRESS_PREFIX, TABLE_PREFIX};
use crate::state::wire::cursor_from_json;

/// The longest cursor that is kept: ours have a kilobyte or two.
const CURSOR_BYTES_MAX: usize = 64 << 10;
/// In the controller's memory only: what stands in the tables' keys, in their place.
const SUMMARY: &str = "summary";

/// A cursor's ConfigMap.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CursorView {
    /// Uids of the objects that it dies with.
    pub owners: Vec<String>,
    /// Where the sync stands.
    pub position: Position,
    /// What its tables say.
    pub summary: Summary,
    /// How far the run in progress is.
    pub progress: Option<Progress>,
}

/// Where a sync stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Position {
    /// No worker has written a cursor yet.
    #[default]
    Untouched,
    /// A cursor.
    At {
        /// Where the epoch under way stands.
        phase: Phase,
        /// Whether the next sweep has something to remove.
        garbage: bool,
        /// Source and destination that the ledger is about; `None` while nothing was published, and any will do.
        identity: Option<SpecHash>,
    },
    /// What is written there is no cursor.
    Nonsense(String),
}

/// What the tables of a cursor add up to. A cursor shows its first 1,000 tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Tables.
    pub tables: i64,
    /// Last modified of the newest object.
    pub watermark: Option<Timestamp>,
    /// Objects published so far.
    pub objects: u64,
    /// Rows published so far.
    pub rows: u64,
    /// Bytes written so far.
    pub bytes: u64,
    /// Bytes of the ConfigMap's keys and values.
    pub size_bytes: i64,
}

impl CursorView {
    /// Reads a ConfigMap, whole or as [`only_what_is_read`] left it.
    pub fn of(map: &ConfigMap) -> CursorView {
        let none = BTreeMap::new();
        let data = map.data.as_ref().unwrap_or(&none);
        let summary =
            data.get(SUMMARY).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| summarise(data));
        CursorView {
            owners: map.metadata.owner_references.iter().flatten().map(|owner| owner.uid.clone()).collect(),
            position: position(data, &summary),
            summary,
            progress: progress(data),
        }
    }
}

/// Whether a ConfigMap without our labels is a cursor all the same, or nobody's.
pub fn is_a_copy(there: &ConfigMap) -> bool {
    let managed = there.labels().keys().any(|key| key.starts_with(KUBERNETES));
    if managed || !there.owner_references().is_empty() {
        return false;
    }
    let empty = there.data.as_ref().is_none_or(|data| data.is_empty()) && there.binary_data.is_none();
    // Some programs keep all that they know in annotations, as old leader elections do.
    let told = there.annotations().keys().any(|key| !key.starts_with(DOMAIN) && key != LAST_APPLIED);
    (empty && !told) || matches!(CursorView::of(there).position, Position::At { .. })
}

/// Keeps what [`CursorView::of`] reads: tables and progress are replaced by what they add up to, since a cursor may
/// have 1,000 of either, and the controller keeps every sync's in memory.
pub fn only_what_is_read(map: &mut ConfigMap) {
    map.binary_data = None;
    let Some(data) = &mut map.data else { return };
    let (summary, progress) = (summarise(data), progress(data));
    data.retain(|key, _| key == CURSOR_KEY);
    if let Some(text) = data.get_mut(CURSOR_KEY).filter(|text| text.len() > CURSOR_BYTES_MAX) {
        // No cursor: it makes no sense without its text, either.
        text.clear();
    }
    data.insert(SUMMARY.to_owned(), serde_json::to_string(&summary).expect("plain numbers serialise"));
    if let Some(sum) = progress {
        data.insert(format!("{PROGRESS_PREFIX}0"), serde_json::to_string(&sum).expect("plain numbers serialise"));
    }
}

fn summarise(data: &BTreeMap<String, String>) -> Summary {
    let mut summary = Summary::default();
    for (key, value) in data {
        // Progress comes and goes with every few seconds of a run, and is small.
        if !key.starts_with(PROGRESS_PREFIX) {
            summary.size_bytes += (key.len() + value.len()) as i64;
        }
        if !key.starts_with(TABLE_PREFIX) {
            continue;
        }
        summary.tables += 1;
        // A table's line is for people: one that was edited into nonsense is counted, and says nothing.
        let mark: TableMark = serde_json::from_str(value).unwrap_or_default();
        summary.watermark = summary.watermark.max(mark.last_modified);
        summary.objects += mark.objects;
        summary.rows += mark.rows;
        summary.bytes += mark.bytes;
    }
    summary
}

fn position(data: &BTreeMap<String, String>, summary: &Summary) -> Position {
    let Some(text) = data.get(CURSOR_KEY) else {
        // Taken for untouched, everything would be read once more.
        let lost = summary.tables > 0;
        return if lost {
            Position::Nonsense(format!("it has tables, and no key `{CURSOR_KEY}`"))
        } else {
            Position::Untouched
        };
    };
    match cursor_from_json(text.as_bytes()) {
        Ok(cursor) => Position::At {
            phase: cursor.phase,
            garbage: cursor.garbage.is_some(),
            identity: (!cursor.is_untouched()).then(|| SpecHash::parse(&cursor.spec_hash)),
        },
        Err(error) => Position::Nonsense(error.to_string()),
    }
}

/// Done is the sum over all workers; totals are worker 0's. Nothing before worker 0 has planned.
fn progress(data: &BTreeMap<String, String>) -> Option<Progress> {
    let read = |value: &String| serde_json::from_str::<Progress>(value).ok();
    let lead = data.get(&format!("{PROGRESS_PREFIX}0")).and_then(read)?;
    let workers = data.iter().filter(|(key, _)| key.starts_with(PROGRESS_PREFIX)).filter_map(|(_, value)| read(value));
    let mut sum = Progress { objects_done: 0, bytes_done: 0, ..lead };
    // Workers that have not followed to this epoch yet still show the last one's.
    for worker in workers.filter(|worker| worker.epoch == sum.epoch) {
        sum.objects_done += worker.objects_done;
        sum.bytes_done += worker.bytes_done;
    }
    sum.summary = Some(format!("{}/{}", sum.objects_done, sum.objects_total));
    Some(sum)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(data: serde_json::Value) -> ConfigMap {
        serde_json::from_value(json!({"metadata": {"name": "orders-cursor"}, "data": data})).unwrap()
    }

    fn cursor(phase: &str) -> String {
        json!({"version": 1, "stateId": "abc", "epoch": 3, "phase": phase, "run": null, "plan": null, "decision": null, "ledger": null,
            "manifest": null, "garbage": null, "listedTo": null, "specHash": "aa-bb"})
        .to_string()
    }

    #[test]
    fn positions() {
        let identity = SpecHash::parse("aa-bb");
        let at = |phase| Position::At { phase, garbage: false, identity: Some(identity.clone()) };
        for (data, expected) in [
            (json!(null), Position::Untouched),
            (json!({"progress.0": "{}"}), Position::Untouched),
            (json!({"cursor": cursor("Idle")}), at(Phase::Idle)),
            (json!({"cursor": cursor("Committing")}), at(Phase::Committing)),
        ] {
            assert_eq!(CursorView::of(&map(data.clone())).position, expected, "{data}");
        }
        let lost = CursorView::of(&map(json!({"table.orders": "{}"}))).position;
        assert_eq!(lost, Position::Nonsense("it has tables, and no key `cursor`".into()));
        for text in ["", "{}", "nonsense", &cursor("Idle").replace("\"version\":1", "\"version\":3")] {
            assert!(matches!(CursorView::of(&map(json!({"cursor": text}))).position, Position::Nonsense(_)), "{text}");
        }
    }

    #[test]
    fn a_lean_cursor_says_the_same() {
        let mut whole = map(json!({
            "cursor": cursor("Running"),
            "table.orders": json!({"lastModified": "2026-11-21T12:00:00Z", "key": "a", "objects": 2, "rows": 10, "bytes": 100}).to_string(),
            "table.items": json!({"lastModified": "2026-11-20T12:00:00Z", "key": "b", "objects": 1, "rows": 5, "bytes": 50}).to_string(),
            "table.edited": "nonsense",
            "progress.0": json!({"epoch": 4, "objectsDone": 1, "objectsTotal": 9, "bytesDone": 10, "bytesTotal": 90}).to_string(),
            "progress.1": json!({"epoch": 4, "objectsDone": 2, "bytesDone": 20}).to_string(),
            "progress.2": json!({"epoch": 3, "objectsDone": 7, "bytesDone": 70}).to_string(),
        }));
        let before = CursorView::of(&whole);
        let size_bytes = whole
            .data
            .iter()
            .flatten()
            .filter(|(key, _)| !key.starts_with(PROGRESS_PREFIX))
            .map(|(key, value)| key.len() + value.len())
            .sum::<usize>() as i64;
        let summary = Summary {
            tables: 3,
            watermark: Some("2026-11-21T12:00:00Z".parse().unwrap()),
            objects: 3,
            rows: 15,
            bytes: 150,
            size_bytes,
        };
        assert_eq!(before.summary, summary);
        let progress = Progress {
            epoch: 4,
            objects_done: 3,
            objects_total: 9,
            bytes_done: 30,
            bytes_total: 90,
            summary: Some("3/9".into()),
        };
        assert_eq!(before.progress, Some(progress));
        only_what_is_read(&mut whole);
        assert_eq!(CursorView::of(&whole), before);
        assert!(whole.data.unwrap().keys().all(|key| !key.starts_with("table.")));
    }
}
