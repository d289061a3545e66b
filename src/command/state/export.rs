//! `s3sync state export`: every file that is published now, as the commit records list it. Written as it is read:
//! a line for each file is in memory, never all of them, but for a person's table.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cli::{CursorArgs, Output};
use crate::command::render::{self, Align, bytes, count};
use crate::command::syncs::{self, Stores, Sync};
use crate::command::{CommandError, print, runtime};
use crate::model::commit_record::{CommitRecord, CommittedFile};
use crate::model::cursor::Cursor;
use crate::model::plan::BlobKey;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::state::blobs::{BlobError, Blobs, CommitRecordLine};
use crate::state::wire::BlobKind;

/// Prints the files.
pub fn execute(args: &CursorArgs) -> Result<(), CommandError> {
    let mut printer = Printer { output: args.print.output, rows: Vec::new(), printed: 0 };
    let mut failures = Vec::new();
    runtime()?.block_on(async {
        for sync in &super::open::open(args).await? {
            match export(args, sync, &mut printer).await {
                Ok(()) => {}
                Err(Failure::Run(error)) => failures.push(sync.located(error)),
                Err(Failure::Print(error)) => return Err(error),
            }
        }
        printer.end()
    })?;
    syncs::end(failures)
}

enum Failure {
    Run(RunError),
    Print(CommandError),
}

impl<E: Into<RunError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Run(error.into())
    }
}

/// One published file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    namespace: &'a str,
    name: &'a str,
    load_id: &'a str,
    epoch: u64,
    table: &'a str,
    key: &'a str,
    rows: u64,
    bytes: u64,
    /// The objects that its rows come from. With hive partitions, those that they may come from.
    source_keys: &'a [String],
}

async fn export(args: &CursorArgs, sync: &Sync, printer: &mut Printer) -> Result<(), Failure> {
    let Some((cursor, _)) = sync.load().await? else { return Ok(()) };
    super::open::reach(args, sync, "export").await?;
    let stores = sync.stores().await?;
    let blobs = super::blobs(sync, &stores, &cursor);
    for record in current(&blobs, &cursor).await? {
        one(sync, &stores, &blobs, &record, printer).await?;
    }
    Ok(())
}

/// The commit records whose files are published now, oldest first: back to the last that replaced what was before it.
async fn current(blobs: &Blobs, cursor: &Cursor) -> Result<Vec<BlobKey>, BlobError> {
    let mut records = Vec::new();
    let mut next = cursor.commit_record.clone();
    while let Some(key) = next {
        let header = match blobs.lines(&key, BlobKind::CommitRecord).next().await? {
            Some(CommitRecordLine::Header(header)) => Some(header),
            _ => None,
        };
        next = header.and_then(|header| if header.replaces { None } else { header.previous });
        records.push(key);
    }
    records.reverse();
    Ok(records)
}

async fn one(
    sync: &Sync,
    stores: &Stores,
    blobs: &Blobs,
    record: &BlobKey,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let mut lines = blobs.lines(record, BlobKind::CommitRecord);
    let mut header: Option<CommitRecord> = None;
    let mut objects: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    while let Some(line) = lines.next().await? {
        match (line, &header) {
            (CommitRecordLine::Header(found), _) => header = Some(found),
            (CommitRecordLine::Objects { shard, keys }, _) => {
                objects.insert(shard, keys);
            }
            (CommitRecordLine::File(file), Some(header)) => {
                let line = line_of(sync, header, &file, &objects);
                printer.line(&line).map_err(Failure::Print)?;
            }
            (CommitRecordLine::File(_), None) => {
                let message = format!(
                    "{}: {}/{} does not begin with its header",
                    sync.loaded.id,
                    stores.destination.place(),
                    record.0
                );
                return Err(RunError::new(RunErrorKind::CursorInvalid, message).into());
            }
        }
    }
    Ok(())
}

fn line_of<'a>(
    sync: &'a Sync,
    header: &'a CommitRecord,
    file: &'a CommittedFile,
    objects: &'a BTreeMap<u32, Vec<String>>,
) -> Line<'a> {
    let (first, last) = (file.objects.0 as usize, file.objects.1 as usize);
    let keys = objects.get(&file.shard).and_then(|keys| keys.get(first..=last)).unwrap_or_default();
    Line {
        namespace: &sync.loaded.id.namespace,
        name: &sync.loaded.id.name,
        load_id: &header.load_id,
        epoch: header.epoch,
        table: &file.table,
        key: &file.key,
        rows: file.rows,
        bytes: file.bytes,
        source_keys: keys,
    }
}

/// Writes lines as one document: an array in JSON, a sequence in YAML, a table for people.
struct Printer {
    output: Output,
    rows: Vec<[String; 7]>,
    printed: u64,
}

impl Printer {
    fn line(&mut self, line: &Line<'_>) -> Result<(), CommandError> {
        self.printed += 1;
        match self.output {
            Output::Table => {
                let sources = match line.source_keys {
                    [] => "-".to_owned(),
                    [one] => one.clone(),
                    [first, rest @ ..] => format!("{first} and {} more", count(rest.len() as u64)),
                };
                let id = format!("{}/{}", line.namespace, line.name);
                let texts = [line.load_id, line.table, line.key].map(str::to_owned);
                let [load_id, table, key] = texts;
                self.rows.push([id, load_id, table, key, count(line.rows), bytes(line.bytes), sources]);
                Ok(())
            }
            Output::Json => {
                let text = serde_json::to_string(line).map_err(anyhow::Error::new)?;
                print(&format!("{}{text}", if self.printed == 1 { "[\n" } else { ",\n" }))
            }
            Output::Yaml => print(&serde_yaml::to_string(&[line]).map_err(anyhow::Error::new)?),
        }
    }

    fn end(self) -> Result<(), CommandError> {
        match (self.output, self.printed) {
            (Output::Table, 0) => print("nothing is published\n"),
            (Output::Table, _) => {
                let heading = [
                    ("SYNC", Align::Left),
                    ("LOAD", Align::Left),
                    ("TABLE", Align::Left),
                    ("KEY", Align::Left),
                    ("ROWS", Align::Right),
                    ("BYTES", Align::Right),
                    ("SOURCE", Align::Left),
                ];
                print(&render::table(heading, self.rows))
            }
            (Output::Json, 0) | (Output::Yaml, 0) => print("[]\n"),
            (Output::Json, _) => print("\n]\n"),
            (Output::Yaml, _) => Ok(()),
        }
    }
}
