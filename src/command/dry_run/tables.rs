//! `s3sync tables`: the tables that the syncs find, with what there is of each, how far the cursor is, and the schema.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::cli::TablesArgs;
use crate::command::dry_run::{self, Failed, ShownColumn};
use crate::command::render::{self, Align, bytes, count, printable};
use crate::command::run::resources::Resources;
use crate::command::syncs::{self, Sync};
use crate::command::{CommandError, print, runtime};
use crate::model::cursor::TableMark;
use crate::model::passed_over::PassedOver;
use crate::pipeline::error::RunError;
use crate::pipeline::planner::{PreviewOf, QuarantinedKey, TablePreview};

/// Prints the tables of every sync.
pub fn execute(args: &TablesArgs) -> Result<(), CommandError> {
    let syncs = syncs::load(&args.from, &args.state)?;
    let resources = Resources::new(None)?;
    let mut tables = Tables { syncs: Vec::new() };
    let mut failures = Vec::new();
    runtime()?.block_on(async {
        for sync in &syncs {
            match SyncTables::of(&resources, sync).await {
                Ok(found) => tables.syncs.push(Shown::Found(found)),
                Err(error) => {
                    let error = sync.located(error);
                    tables.syncs.push(Shown::Failed(Failed::of(&sync.loaded.id, &error)));
                    failures.push(error);
                }
            }
        }
    });
    print(&render::document(args.print.output, &tables, Tables::text)?)?;
    syncs::end(failures)
}

#[derive(Debug, Serialize)]
struct Tables {
    syncs: Vec<Shown>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Shown {
    Found(SyncTables),
    Failed(Failed),
}

#[derive(Debug, Serialize)]
struct SyncTables {
    namespace: String,
    name: String,
    tables: Vec<Table>,
    /// Why there is no table.
    #[serde(skip_serializing_if = "Option::is_none")]
    nothing: Option<String>,
    /// Objects that are not read, by reason.
    #[serde(rename = "passedOver", skip_serializing_if = "PassedOver::is_empty")]
    passed_over: PassedOver,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Table {
    name: String,
    objects: u64,
    bytes: u64,
    formats: Vec<&'static str>,
    /// The extensions of its keys, where source.format reads all of them alike and they differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    extensions: Option<BTreeMap<String, u64>>,
    last_modified: Option<Timestamp>,
    /// Objects that a run would read.
    unread: u64,
    /// Objects that stay left out, because they could not be read and have not changed.
    quarantined: u64,
    /// The first of them.
    quarantined_objects: Vec<QuarantinedKey>,
    /// How far the cursor is; `null`: nothing of the table was read yet.
    cursor: Option<TableMark>,
    schema: Vec<ShownColumn>,
}

impl SyncTables {
    async fn of(resources: &Resources, sync: &Sync) -> Result<SyncTables, RunError> {
        let (context, found) = dry_run::dry_run(resources, sync, None, PreviewOf::Tables).await?;
        let preview = found.preview;
        let table = |(name, table): (&String, &TablePreview)| Table {
            name: name.clone(),
            objects: table.objects,
            bytes: table.bytes,
            formats: table.formats.iter().map(|format| format.name()).collect(),
            extensions: table.mixed_extensions(&context.settings).map(|extensions| extensions.counts().clone()),
            last_modified: table.last_modified,
            unread: table.read.objects,
            quarantined: table.quarantined.objects,
            quarantined_objects: table.quarantined.keys.clone(),
            cursor: table.mark.clone(),
            schema: table.planned.as_ref().map(|table| dry_run::columns(&table.read)).unwrap_or_default(),
        };
        let id = &sync.loaded.id;
        Ok(SyncTables {
            namespace: id.namespace.clone(),
            name: id.name.clone(),
            tables: preview.tables.iter().map(table).collect(),
            nothing: preview.remarks.nothing,
            passed_over: preview.remarks.passed_over,
        })
    }
}

impl Tables {
    fn text(&self) -> String {
        let heading = [
            ("SYNC", Align::Left),
            ("TABLE", Align::Left),
            ("OBJECTS", Align::Right),
            ("BYTES", Align::Right),
            ("FORMAT", Align::Left),
            ("NEWEST", Align::Left),
            ("UNREAD", Align::Right),
            ("READ", Align::Right),
            ("ROWS", Align::Right),
            ("UP TO", Align::Left),
        ];
        let time = |time: Option<Timestamp>| time.map_or("-".to_owned(), render::time);
        let found = || {
            self.syncs.iter().filter_map(|sync| match sync {
                Shown::Found(found) => Some(found),
                // Said on stderr.
                Shown::Failed(_) => None,
            })
        };
        let rows = found().flat_map(|sync| {
            sync.tables.iter().map(move |table| {
                let mark = table.cursor.as_ref();
                [
                    format!("{}/{}", sync.namespace, sync.name),
                    table.name.clone(),
                    count(table.objects),
                    bytes(table.bytes),
                    table.formats.join(","),
                    time(table.last_modified),
                    count(table.unread),
                    count(mark.map_or(0, |mark| mark.objects)),
                    count(mark.map_or(0, |mark| mark.rows)),
                    time(mark.and_then(|mark| mark.last_modified)),
                ]
            })
        });
        let mut rows = rows.peekable();
        let mut text = if rows.peek().is_some() { render::table(heading, rows) } else { String::new() };
        for sync in found() {
            let id = format!("{}/{}", sync.namespace, sync.name);
            for table in &sync.tables {
                text.push_str(&format!("\n{id} {}\n{}", table.name, dry_run::columns_text(&table.schema)));
                if let Some(extensions) = &table.extensions {
                    let extensions = dry_run::extensions_text(extensions);
                    text.push_str(&format!("  source.format reads all of {}\n", printable(&extensions)));
                }
                for line in dry_run::quarantined_lines(&table.quarantined_objects, table.quarantined) {
                    text.push_str(&format!("  {}\n", printable(&line)));
                }
            }
            if let Some(passed) = sync.passed_over.text() {
                text.push_str(&format!("\n{id}: passed over: {}\n", printable(&passed)));
            }
            if let Some(nothing) = sync.nothing.as_deref() {
                text.push_str(&format!("{id}: {}\n", printable(nothing)));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables() -> Tables {
        let modified = Some("2024-01-31T10:00:00Z".parse().unwrap());
        let mark =
            TableMark { last_modified: modified, key: "orders/b.csv".into(), objects: 3, rows: 12_345, bytes: 999 };
        let table = |name: &str, cursor| Table {
            name: name.into(),
            objects: 4,
            bytes: 2048,
            formats: vec!["csv", "jsonl"],
            extensions: None,
            last_modified: modified,
            unread: 1,
            quarantined: 2,
            quarantined_objects: vec![QuarantinedKey { key: "bad.csv".into(), reason: "no header".into() }],
            cursor,
            schema: vec![ShownColumn { name: "id".into(), data_type: "int64".into() }],
        };
        let tables = vec![table("items", None), table("orders", Some(mark))];
        let (namespace, name) = ("data".to_owned(), "shop".to_owned());
        Tables {
            syncs: vec![Shown::Found(SyncTables {
                namespace,
                name,
                tables,
                nothing: None,
                passed_over: PassedOver::default(),
            })],
        }
    }

    #[test]
    fn people_see_what_there_is_and_how_far_the_cursor_is() {
        let expected = "\
SYNC       TABLE   OBJECTS     BYTES  FORMAT     NEWEST                UNREAD  READ    ROWS  UP TO
data/shop  items         4  2.00 KiB  csv,jsonl  2024-01-31T10:00:00Z       1     0       0  -
data/shop  orders        4  2.00 KiB  csv,jsonl  2024-01-31T10:00:00Z       1     3  12,345  2024-01-31T10:00:00Z

data/shop items
  id  int64
  quarantined until it changes: bad.csv: no header
  quarantined until they change: 1 object more

data/shop orders
  id  int64
  quarantined until it changes: bad.csv: no header
  quarantined until they change: 1 object more
";
        assert_eq!(tables().text(), expected);
        let nothing = Some("no object is selected".to_owned());
        let empty = SyncTables {
            namespace: "data".into(),
            name: "shop".into(),
            tables: vec![],
            nothing,
            passed_over: PassedOver::default(),
        };
        assert_eq!(Tables { syncs: vec![Shown::Found(empty)] }.text(), "data/shop: no object is selected\n");
        assert_eq!(Tables { syncs: vec![] }.text(), "", "a sync that failed is said on stderr");
    }

    #[test]
    fn programs_see_the_same() {
        let expected = serde_json::json!({
            "name": "orders", "objects": 4, "bytes": 2048, "formats": ["csv", "jsonl"], "lastModified": "2024-01-31T10:00:00Z", "unread": 1,
            "quarantined": 2, "quarantinedObjects": [{"key": "bad.csv", "reason": "no header"}],
            "cursor": {"lastModified": "2024-01-31T10:00:00Z", "key": "orders/b.csv", "objects": 3, "rows": 12_345, "bytes": 999},
            "schema": [{"name": "id", "type": "int64"}],
        });
        assert_eq!(serde_json::to_value(tables()).unwrap()["syncs"][0]["tables"][1], expected);
    }
}
