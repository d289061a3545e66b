//! `s3sync state show`: where each sync stands.

use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use crate::api::{S3Sync, validate};
use crate::cli::CursorArgs;
use crate::command::plugin::cluster::Cluster;
use crate::command::render::{self, Align, bytes, count};
use crate::command::syncs::{self, Sync};
use crate::command::{CommandError, FailureKind, print, runtime};
use crate::model::cursor::{Cursor, Phase, Run};
use crate::model::spec_hash::SpecHash;
use crate::pipeline::error::RunErrorKind;
use crate::state::CursorStore;

/// Prints the cursors. Only they are read, no bucket and no Secret.
pub fn execute(args: &CursorArgs) -> Result<(), CommandError> {
    let mut shown = Shown { syncs: Vec::new() };
    let mut failures = Vec::new();
    runtime()?.block_on(async {
        if let Some(name) = &args.name {
            shown.syncs.push(in_cluster(args, name).await?);
            return Ok(());
        }
        for sync in &super::open::open(args).await? {
            match sync.load().await {
                Ok(found) => shown.syncs.push(ShownSync::new(sync, found.map(|(cursor, _)| cursor))),
                Err(error) => failures.push(error),
            }
        }
        Ok::<(), CommandError>(())
    })?;
    print(&render::document(args.print.output, &shown, Shown::text)?)?;
    syncs::end(failures)
}

/// The cursor of a sync in a cluster. It outlives the sync, and is shown then too.
async fn in_cluster(args: &CursorArgs, name: &str) -> Result<ShownSync, CommandError> {
    let cluster = Cluster::connect(&args.cluster).await?;
    let what = format!("S3Sync {}/{name}", cluster.namespace);
    let sync = cluster.api::<S3Sync>().get_opt(name).await.map_err(|error| cluster.failed(&what, error))?;
    let cursor = super::open::cursor(&cluster, name);
    let found = cursor.load().await.map_err(|error| {
        let kind = RunErrorKind::from(&error).failure();
        CommandError::new(kind, anyhow::Error::new(error))
    })?;
    if sync.is_none() && found.is_none() {
        let message = format!(
            "{what} is not there, and no cursor of it either; look at the name, the namespace (-n) and the context (--context)"
        );
        return Err(CommandError::new(FailureKind::Access, anyhow::anyhow!(message)));
    }
    // A spec that is not valid has no identity to compare.
    let settings = sync.and_then(|sync| validate::settings(&sync, Path::new(".")).ok());
    let spec_hash = settings.map(|resolved| SpecHash::of(&resolved.settings).to_string());
    let state = found.map(|(cursor, _)| ShownCursor::new(cursor, spec_hash.as_deref()));
    Ok(ShownSync { namespace: cluster.namespace, name: name.to_owned(), place: cursor.place().to_owned(), state })
}

#[derive(Debug, Serialize)]
struct Shown {
    syncs: Vec<ShownSync>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownSync {
    namespace: String,
    name: String,
    /// The cursor's file or ConfigMap.
    place: String,
    /// `None`: there is no cursor yet.
    #[serde(flatten)]
    state: Option<ShownCursor>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownCursor {
    epoch: u64,
    phase: Phase,
    state_id: String,
    spec_hash: String,
    /// Whether the manifest names another source or destination than the cursor is about.
    spec_changed: bool,
    run: Option<Run>,
    tables: Vec<ShownTable>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownTable {
    name: String,
    watermark: Watermark,
    objects: u64,
    rows: u64,
    bytes: u64,
}

/// The newest object of a table.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Watermark {
    last_modified: Option<Timestamp>,
    key: String,
}

impl ShownSync {
    fn new(sync: &Sync, cursor: Option<Cursor>) -> ShownSync {
        let id = &sync.loaded.id;
        let state = cursor.map(|cursor| ShownCursor::new(cursor, Some(&sync.spec_hash())));
        ShownSync { namespace: id.namespace.clone(), name: id.name.clone(), place: sync.cursor.to_string(), state }
    }
}

impl ShownCursor {
    fn new(cursor: Cursor, spec_hash: Option<&str>) -> ShownCursor {
        let tables = cursor.tables.into_iter().map(|(name, mark)| ShownTable {
            name,
            watermark: Watermark { last_modified: mark.last_modified, key: mark.key },
            objects: mark.objects,
            rows: mark.rows,
            bytes: mark.bytes,
        });
        ShownCursor {
            epoch: cursor.epoch,
            phase: cursor.phase,
            state_id: cursor.state_id,
            spec_changed: spec_hash
                .is_some_and(|now| SpecHash::parse(&cursor.spec_hash).change_to(&SpecHash::parse(now)).is_some()),
            spec_hash: cursor.spec_hash,
            run: cursor.run,
            tables: tables.collect(),
        }
    }

    fn last_run(&self) -> String {
        match &self.run {
            None => "-".to_owned(),
            Some(run) if run.ended => render::time(run.started),
            Some(run) => format!("{}, not ended", render::time(run.started)),
        }
    }
}

impl Shown {
    fn text(&self) -> String {
        let id = |sync: &ShownSync| format!("{}/{}", sync.namespace, sync.name);
        let syncs = self.syncs.iter().map(|sync| {
            let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
            let state = sync.state.as_ref();
            [
                id(sync),
                or_none(state.map(|state| state.epoch.to_string())),
                state.map_or("not begun".to_owned(), |state| format!("{:?}", state.phase)),
                or_none(state.map(ShownCursor::last_run)),
                or_none(
                    state.map(|state| state.spec_hash.clone() + if state.spec_changed { " (changed)" } else { "" }),
                ),
                sync.place.clone(),
            ]
        });
        let heading = ["SYNC", "EPOCH", "PHASE", "LAST RUN", "SPEC", "CURSOR"].map(|name| (name, Align::Left));
        let mut text = render::table(heading, syncs);
        let tables: Vec<_> = self
            .syncs
            .iter()
            .flat_map(|sync| sync.state.iter().flat_map(|s| &s.tables).map(move |table| (sync, table)))
            .collect();
        if !tables.is_empty() {
            let heading = [
                ("SYNC", Align::Left),
                ("TABLE", Align::Left),
                ("OBJECTS", Align::Right),
                ("ROWS", Align::Right),
                ("BYTES", Align::Right),
                ("NEWEST", Align::Left),
                ("KEY", Align::Left),
            ];
            let rows = tables.into_iter().map(|(sync, table)| {
                let newest = table.watermark.last_modified.map_or("-".to_owned(), render::time);
                let counts = [count(table.objects), count(table.rows), bytes(table.bytes)];
                let [objects, rows, size] = counts;
                [id(sync), table.name.clone(), objects, rows, size, newest, table.watermark.key.clone()]
            });
            text.push('\n');
            text.push_str(&render::table(heading, rows));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cursor::TableMark;

    fn shown() -> Shown {
        let mark = TableMark {
            last_modified: Some("2024-01-31T10:00:00Z".parse().unwrap()),
            key: "orders/b.csv".into(),
            objects: 3,
            rows: 12_345,
            bytes: 1 << 20,
        };
        let cursor = Cursor {
            run: Some(Run {
                id: "r".into(),
                started: "2024-02-01T00:00:00Z".parse().unwrap(),
                pass: 1,
                changed: false,
                ended: true,
            }),
            tables: [("orders".to_owned(), mark)].into(),
            ..Cursor::empty("abc".into(), 7, "x-y".into())
        };
        let sync = |name: &str, state| ShownSync {
            namespace: "data".into(),
            name: name.into(),
            place: format!("/s/{name}"),
            state,
        };
        Shown { syncs: vec![sync("orders", Some(ShownCursor::new(cursor, Some("x-z")))), sync("new", None)] }
    }

    #[test]
    fn people_see_syncs_and_tables() {
        let expected = "\
SYNC         EPOCH  PHASE      LAST RUN              SPEC           CURSOR
data/orders  7      Idle       2024-02-01T00:00:00Z  x-y (changed)  /s/orders
data/new     -      not begun  -                     -              /s/new

SYNC         TABLE   OBJECTS    ROWS     BYTES  NEWEST                KEY
data/orders  orders        3  12,345  1.00 MiB  2024-01-31T10:00:00Z  orders/b.csv
";
        assert_eq!(shown().text(), expected);
    }

    #[test]
    fn programs_see_the_same() {
        let expected = serde_json::json!({"syncs": [
            {
                "namespace": "data", "name": "orders", "place": "/s/orders", "epoch": 7, "phase": "Idle", "stateId": "abc",
                "specHash": "x-y", "specChanged": true,
                "run": {"id": "r", "started": "2024-02-01T00:00:00Z", "pass": 1, "changed": false, "ended": true},
                "tables": [{
                    "name": "orders", "watermark": {"lastModified": "2024-01-31T10:00:00Z", "key": "orders/b.csv"},
                    "objects": 3, "rows": 12_345, "bytes": 1 << 20,
                }],
            },
            {"namespace": "data", "name": "new", "place": "/s/new"},
        ]});
        assert_eq!(serde_json::to_value(shown()).unwrap(), expected);
    }
}
