//! `s3sync plan`, and `run --dry-run`: what a run would read and write, and why. Nothing is written anywhere.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cli::PlanArgs;
use crate::command::dry_run::{self, Failed, ShownColumn};
use crate::command::render::{self, Align, bytes, count, counted, printable};
use crate::command::run::resources::Resources;
use crate::command::syncs::{self, Sync};
use crate::command::{CommandError, print, runtime};
use crate::model::cursor::Phase;
use crate::model::passed_over::PassedOver;
use crate::model::request::Asked;
use crate::model::template::extension;
use crate::model::write_mode::WriteMode;
use crate::pipeline::context::Context;
use crate::pipeline::error::RunError;
use crate::pipeline::planner::{KEYS_MAX, PreviewOf, QuarantinedKey, ReadKey, TablePreview, Why};
use crate::pipeline::run::DryRun;

/// Prints the plan of every sync.
pub fn execute(args: &PlanArgs) -> Result<(), CommandError> {
    show(args, false)
}

/// The same, where a changed source or destination may be accepted, as `run` may.
pub fn show(args: &PlanArgs, accept_spec_change: bool) -> Result<(), CommandError> {
    let syncs = syncs::load(&args.from, &args.state)?;
    let mut resources = Resources::new(None)?;
    resources.accept_spec_change = accept_spec_change;
    let asked = args.request.asked();
    let mut plans = Plans { syncs: Vec::new() };
    let mut failures = Vec::new();
    runtime()?.block_on(async {
        for sync in &syncs {
            match SyncPlan::of(&resources, sync, asked.as_ref()).await {
                Ok(plan) => plans.syncs.push(Shown::Plan(plan)),
                Err(error) => {
                    let error = sync.located(error);
                    plans.syncs.push(Shown::Failed(Failed::of(&sync.loaded.id, &error)));
                    failures.push(error);
                }
            }
        }
    });
    print(&render::document(args.print.output, &plans, Plans::text)?)?;
    syncs::end(failures)
}

#[derive(Debug, Serialize)]
struct Plans {
    syncs: Vec<Shown>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Shown {
    Plan(SyncPlan),
    Failed(Failed),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SyncPlan {
    namespace: String,
    name: String,
    write_mode: WriteMode,
    /// The number of the first epoch that a run would record.
    epoch: u64,
    /// Whether files of earlier runs go: when the new ones are published, or at once where there is nothing to publish.
    replaces: bool,
    /// What a run would do before anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    under_way: Option<String>,
    tables: Vec<TablePlan>,
    /// Overwritten objects that would be taken into the ledger unread.
    ignored: u64,
    /// Objects that stay left out, because they could not be read and have not changed.
    quarantined: u64,
    /// The first of them; `quarantined` says how many there are.
    quarantined_objects: Vec<QuarantinedKey>,
    /// Why there is nothing at all to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    nothing: Option<String>,
    /// Objects that are not read, by reason.
    #[serde(skip_serializing_if = "PassedOver::is_empty")]
    passed_over: PassedOver,
    /// What a person should know beside it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    remarks: Vec<String>,
}

#[derive(Debug, Serialize)]
struct TablePlan {
    name: String,
    objects: u64,
    bytes: u64,
    new: u64,
    overwritten: u64,
    retried: u64,
    again: u64,
    /// The first objects; `objects` says how many there are.
    keys: Vec<ReadKey>,
    schema: Vec<ShownColumn>,
    /// The keys of the files, with the bucket.
    writes: String,
    /// The extensions of the table's keys, where source.format reads all of them alike and they differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    extensions: Option<BTreeMap<String, u64>>,
}

impl SyncPlan {
    async fn of(resources: &Resources, sync: &Sync, asked: Option<&Asked>) -> Result<SyncPlan, RunError> {
        let (context, DryRun { phase, preview }) = dry_run::dry_run(resources, sync, asked, PreviewOf::Run).await?;
        let settings = &context.settings;
        let tables = preview.tables.values();
        Ok(SyncPlan {
            namespace: settings.id.namespace.clone(),
            name: settings.id.name.clone(),
            write_mode: settings.destination.write_mode,
            epoch: preview.epoch,
            replaces: preview.replaces,
            under_way: under_way(phase, preview.epoch),
            tables: preview.read().map(|(name, table)| TablePlan::of(&context, name, table)).collect(),
            ignored: tables.clone().map(|table| table.ignored).sum(),
            quarantined: tables.clone().map(|table| table.quarantined.objects).sum(),
            quarantined_objects: tables.flat_map(|table| table.quarantined.keys.clone()).take(KEYS_MAX).collect(),
            nothing: preview.remarks.nothing,
            passed_over: preview.remarks.passed_over,
            remarks: preview.remarks.notes,
        })
    }
}

/// Where the epoch under way stands, when one is.
fn under_way(phase: Phase, epoch: u64) -> Option<String> {
    match phase {
        Phase::Idle => None,
        Phase::Running => Some(format!(
            "epoch {epoch} was planned and not finished: a run goes on with it, or plans it again when the spec changed"
        )),
        Phase::Committing => Some(format!(
            "epoch {epoch} is decided: a run first makes the rest of its files visible; its objects are still listed here"
        )),
    }
}

impl TablePlan {
    fn of(context: &Context, name: &str, table: &TablePreview) -> TablePlan {
        let why = |why: Why| table.read.why.get(&why).copied().unwrap_or(0);
        let to = &context.settings.destination;
        let extension = extension(to.format, to.compression);
        let shown = to.template.of_table(name).shown(&extension, &to.partition_by);
        TablePlan {
            name: name.to_owned(),
            objects: table.read.objects,
            bytes: table.read.bytes,
            new: why(Why::New),
            overwritten: why(Why::Overwritten),
            retried: why(Why::Retried),
            again: why(Why::Again),
            keys: table.read.keys.clone(),
            schema: table.planned.as_ref().map(|table| dry_run::columns(&table.read)).unwrap_or_default(),
            writes: format!("{}/{shown}", context.destination.place()),
            extensions: table.mixed_extensions(&context.settings).map(|extensions| extensions.counts().clone()),
        }
    }
}

impl Plans {
    fn text(&self) -> String {
        let heading = [
            ("SYNC", Align::Left),
            ("TABLE", Align::Left),
            ("OBJECTS", Align::Right),
            ("BYTES", Align::Right),
            ("NEW", Align::Right),
            ("OVERWRITTEN", Align::Right),
            ("RETRIED", Align::Right),
            ("AGAIN", Align::Right),
            ("WRITES", Align::Left),
        ];
        let plans = || {
            self.syncs.iter().filter_map(|sync| match sync {
                Shown::Plan(plan) => Some(plan),
                // Said on stderr.
                Shown::Failed(_) => None,
            })
        };
        let rows = plans().flat_map(|sync| {
            sync.tables.iter().map(move |table| {
                let counts = [table.new, table.overwritten, table.retried, table.again].map(count);
                let [new, overwritten, retried, again] = counts;
                let (objects, size) = (count(table.objects), bytes(table.bytes));
                [sync.id(), table.name.clone(), objects, size, new, overwritten, retried, again, table.writes.clone()]
            })
        });
        let mut rows = rows.peekable();
        let mut text = if rows.peek().is_some() { render::table(heading, rows) } else { String::new() };
        for sync in plans() {
            for table in &sync.tables {
                text.push_str(&format!("\n{} {}\n{}", sync.id(), table.name, dry_run::columns_text(&table.schema)));
                for key in &table.keys {
                    text.push_str(&format!(
                        "  {:11}  {} ({})\n",
                        key.why.word(),
                        printable(&key.key),
                        bytes(key.bytes)
                    ));
                }
                let more = table.objects - table.keys.len() as u64;
                if more > 0 {
                    text.push_str(&format!("  and {} more\n", counted(more, "object")));
                }
            }
        }
        for sync in plans() {
            let notes = sync.notes();
            if !notes.is_empty() && !text.is_empty() {
                text.push('\n');
            }
            text.extend(notes.into_iter().map(|note| format!("{}: {note}\n", sync.id())));
        }
        text
    }
}

impl SyncPlan {
    fn id(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self.under_way.clone().into_iter().collect();
        notes.extend(self.nothing.clone());
        if self.tables.is_empty() && self.replaces {
            notes.push("the files of the last run are removed, and nothing takes their place".to_owned());
        } else if self.tables.is_empty() {
            notes.push("nothing new: a run would read and write nothing".to_owned());
        } else if self.replaces {
            notes.push("the files of the last run are removed once the new ones are published".to_owned());
        }
        if self.ignored > 0 {
            notes.push(format!("{} overwritten and ignored", counted(self.ignored, "object")));
        }
        notes.extend(
            dry_run::quarantined_lines(&self.quarantined_objects, self.quarantined)
                .iter()
                .map(|line| printable(line).to_string()),
        );
        notes.extend(self.remarks.iter().map(|remark| printable(remark).to_string()));
        notes.extend(self.tables.iter().filter_map(|table| {
            let extensions = dry_run::extensions_text(table.extensions.as_ref()?);
            Some(format!("table {}: source.format reads all of {}", table.name, printable(&extensions)))
        }));
        notes.extend(self.passed_over.text().map(|passed| format!("passed over: {}", printable(&passed))));
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::settings::SyncId;
    use crate::pipeline::error::RunErrorKind;

    fn plans() -> Plans {
        let column = |name: &str, data_type: &str| ShownColumn { name: name.into(), data_type: data_type.into() };
        let key = |key: &str, why| ReadKey { key: key.into(), bytes: 2048, why };
        let orders = TablePlan {
            name: "orders".into(),
            objects: 12,
            bytes: 24_576,
            new: 11,
            overwritten: 1,
            retried: 0,
            again: 0,
            keys: vec![key("orders/a.csv", Why::New), key("orders/b.csv", Why::Overwritten)],
            schema: vec![column("id", "int64"), column("amount", "decimal(12,2)")],
            writes: "s3://lake/orders/{{UUID}}.parquet".into(),
            extensions: None,
        };
        let sync = |name: &str, tables: Vec<TablePlan>, quarantined| SyncPlan {
            namespace: "data".into(),
            name: name.into(),
            write_mode: WriteMode::Append,
            epoch: 3,
            replaces: false,
            under_way: None,
            tables,
            ignored: 0,
            quarantined,
            quarantined_objects: match quarantined {
                0 => vec![],
                _ => vec![QuarantinedKey {
                    key: "orders/bad.csv".into(),
                    reason: "orders/bad.csv line 2: 3 fields, not 2".into(),
                }],
            },
            nothing: None,
            passed_over: PassedOver::default(),
            remarks: vec![],
        };
        let denied = RunError::new(RunErrorKind::Denied, "data/locked: access denied");
        let locked = Failed::of(&SyncId { namespace: "data".into(), name: "locked".into() }, &denied);
        let emptied = SyncPlan { write_mode: WriteMode::Replace, replaces: true, ..sync("emptied", vec![], 0) };
        let unselected = SyncPlan { nothing: Some("no object is selected".into()), ..sync("unselected", vec![], 0) };
        let found = [sync("orders", vec![orders], 2), sync("still", vec![], 0), emptied, unselected];
        Plans { syncs: found.map(Shown::Plan).into_iter().chain([Shown::Failed(locked)]).collect() }
    }

    #[test]
    fn people_see_what_and_why() {
        let expected = "\
SYNC         TABLE   OBJECTS     BYTES  NEW  OVERWRITTEN  RETRIED  AGAIN  WRITES
data/orders  orders       12  24.0 KiB   11            1        0      0  s3://lake/orders/{{UUID}}.parquet

data/orders orders
  id      int64
  amount  decimal(12,2)
  new          orders/a.csv (2.00 KiB)
  overwritten  orders/b.csv (2.00 KiB)
  and 10 objects more

data/orders: quarantined until it changes: orders/bad.csv line 2: 3 fields, not 2
data/orders: quarantined until they change: 1 object more

data/still: nothing new: a run would read and write nothing

data/emptied: the files of the last run are removed, and nothing takes their place

data/unselected: no object is selected
data/unselected: nothing new: a run would read and write nothing
";
        assert_eq!(plans().text(), expected);
    }

    #[test]
    fn programs_see_the_same() {
        let shown = serde_json::to_value(plans()).unwrap();
        assert_eq!(
            shown["syncs"][0]["tables"][0],
            serde_json::json!({
                "name": "orders", "objects": 12, "bytes": 24_576, "new": 11, "overwritten": 1, "retried": 0, "again": 0,
                "keys": [
                    {"key": "orders/a.csv", "bytes": 2048, "why": "new"},
                    {"key": "orders/b.csv", "bytes": 2048, "why": "overwritten"},
                ],
                "schema": [{"name": "id", "type": "int64"}, {"name": "amount", "type": "decimal(12,2)"}],
                "writes": "s3://lake/orders/{{UUID}}.parquet",
            })
        );
        assert_eq!(
            shown["syncs"][4],
            serde_json::json!({
                "namespace": "data", "name": "locked", "result": "Failed", "reason": "Denied", "message": "data/locked: access denied",
            })
        );
        assert_eq!((&shown["syncs"][0]["epoch"], &shown["syncs"][0]["writeMode"]), (&3.into(), &"Append".into()));
    }
}
