//! Bad records that were allowed, as staged files beside the data: they become visible with the epoch, or not at all.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use super::Shard;
use crate::codec::BadRecord;
use crate::model::manifest::{FileKind, StagedFile};
use crate::model::plan::PlannedObject;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::pipeline::layout::check_key;
use crate::pipeline::open_log::OpenLog;

/// Bytes of one dead letter file: a one-part upload, and the most that is held in memory for it.
const FILE_BYTES: usize = 4 << 20;

/// One line.
#[derive(Serialize)]
struct Line<'a> {
    key: &'a str,
    etag: &'a str,
    line: Option<u64>,
    offset: u64,
    record: u64,
    reason: &'a str,
    raw: &'a str,
}

/// Collects bad records and stages them, a file whenever [`FILE_BYTES`] are reached. With `wanted`, only those files.
pub(super) struct DeadLetters<'a> {
    shard: &'a Shard<'a>,
    open_log: Arc<OpenLog>,
    wanted: Option<&'a [StagedFile]>,
    table: u32,
    lines: Vec<u8>,
    rows: u64,
    number: u32,
    staged: Vec<StagedFile>,
}

impl<'a> DeadLetters<'a> {
    pub(super) fn new(shard: &'a Shard<'a>, open_log: Arc<OpenLog>, wanted: Option<&'a [StagedFile]>) -> Self {
        Self { shard, open_log, wanted, number: 0, table: 0, lines: Vec::new(), rows: 0, staged: Vec::new() }
    }

    /// Adds the bad records of one block whose records before it were `first`.
    pub(super) async fn add(&mut self, planned: &PlannedObject, first: u64, bad: &[BadRecord]) -> Result<(), RunError> {
        for record in bad {
            if planned.table != self.table || self.lines.len() >= FILE_BYTES {
                self.stage().await?;
            }
            self.table = planned.table;
            let line = Line {
                key: &planned.object.key,
                etag: planned.object.etag.as_str(),
                line: record.position.line,
                offset: record.position.offset,
                record: first + record.record + 1,
                reason: &record.reason,
                raw: &record.raw,
            };
            serde_json::to_writer(&mut self.lines, &line).expect("writing to memory does not fail");
            self.lines.push(b'\n');
            self.rows += 1;
        }
        Ok(())
    }

    /// Stages what is left.
    pub(super) async fn finish(mut self) -> Result<Vec<StagedFile>, RunError> {
        self.stage().await?;
        Ok(self.staged)
    }

    async fn stage(&mut self) -> Result<(), RunError> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let (plan, store) = (&self.shard.plan, &self.shard.context.destination);
        let prefix = plan.settings.errors.dead_letter_path.as_deref().unwrap_or_default().trim_end_matches('/');
        let table = &plan.tables[self.table as usize].name;
        let number = self.number;
        self.number += 1;
        let key = format!("{prefix}/{table}/{}-{}-{}-{number}.jsonl", plan.run, plan.epoch, self.shard.number);
        let id = format!("{}-{}-dead-{number}", plan.seed, self.shard.number);
        let rows = std::mem::take(&mut self.rows);
        let lines = Bytes::from(std::mem::take(&mut self.lines));
        check_key(&key, store.segment_bytes_max()).map_err(|error| {
            RunError::new(RunErrorKind::InvalidSpec, format!("{}: errors.deadLetterPath: {error}", plan.settings.id))
        })?;
        if self.wanted.is_some_and(|wanted| !wanted.iter().any(|file| file.key == key)) {
            return Ok(());
        }
        self.open_log.announce(&key).await?;
        let upload = store.create_upload(&key, &id, &plan.settings.destination.object).await?;
        self.open_log.began(&key, &upload);
        let size = lines.len() as u64;
        let part = store.upload_part(&key, &upload, 1, vec![lines]).await?;
        let etag = store.staged_etag(&key, &upload).await?.map(|etag| etag.as_str().to_owned());
        self.staged.push(StagedFile {
            key,
            table: self.table,
            kind: FileKind::DeadLetter,
            partition: String::new(),
            upload,
            parts: vec![part],
            id,
            etag,
            size,
            first_row: 0,
            rows,
            objects: (0, 0),
        });
        Ok(())
    }
}
