//! What a sync may touch: its own files, by their keys, and its own state. Whoever can write the bucket can write what
//! looks like our state; keys that no plan of ours gives are refused, whatever names them.

use crate::model::manifest::{AttemptManifest, FileKind, StagedFile};
use crate::model::plan::Plan;
use crate::model::settings::Settings;
use crate::model::template::{KeyMatcher, KeyShape};
use crate::pipeline::commit::garbage::Garbage;
use crate::state::blobs::Blobs;

/// The keys that files of a spec can have.
#[derive(Clone, Debug)]
pub struct OwnKeys {
    data: KeyMatcher,
    /// The same for people.
    shape: KeyShape,
    dead_letters: Option<String>,
    state: String,
}

impl OwnKeys {
    /// Those of these settings.
    pub fn of(settings: &Settings) -> Self {
        let shape = settings.output_keys(None);
        Self {
            data: shape.matcher(),
            shape,
            dead_letters: settings
                .errors
                .dead_letter_path
                .as_ref()
                .map(|path| format!("{}/", path.trim_end_matches('/'))),
            state: format!("{}/", settings.state_prefix),
        }
    }

    /// Whether a file with this key can be one of ours.
    pub fn hold(&self, kind: FileKind, key: &str) -> bool {
        let fits = match kind {
            FileKind::Data => self.data.matches(key),
            FileKind::DeadLetter => self.dead_letters.as_ref().is_some_and(|prefix| key.starts_with(prefix)),
        };
        fits && !key.starts_with(&self.state)
    }

    /// Whether a file of any kind with this key can be one of ours.
    pub fn hold_any(&self, key: &str) -> bool {
        self.hold(FileKind::Data, key) || self.hold(FileKind::DeadLetter, key)
    }

    /// What keeps a staged file from being published.
    pub fn check(&self, file: &StagedFile) -> Result<(), String> {
        if self.hold(file.kind, &file.key) {
            return Ok(());
        }
        let ours = match (file.kind, &self.dead_letters) {
            (FileKind::Data, _) => format!("destination.path gives {}", self.shape),
            (FileKind::DeadLetter, Some(prefix)) => format!("errors.deadLetterPath is {prefix}"),
            (FileKind::DeadLetter, None) => "errors.deadLetterPath is not set".to_owned(),
        };
        Err(format!("it names a file {:?}, which no run of this sync writes: {ours}", file.key))
    }
}

/// What keeps an attempt from being one at shard `number` of the plan.
pub fn check_attempt(plan: &Plan, own: &OwnKeys, number: u32, attempt: &AttemptManifest) -> Result<(), String> {
    let Some(shard) = plan.shards.get(number as usize) else { return Err(format!("the plan has no shard {number}")) };
    if attempt.shard != number {
        return Err(format!("it is about shard {}, and stands where one about shard {number} should", attempt.shard));
    }
    let tables = attempt.files.iter().map(|file| file.table);
    let tables = tables
        .chain(attempt.tables.iter().map(|totals| totals.table))
        .chain(attempt.mismatches.iter().map(|mismatch| mismatch.table));
    let (first, last) = shard.tables;
    if let Some(table) =
        tables.into_iter().find(|table| !(first..=last).contains(table) || *table as usize >= plan.tables.len())
    {
        return Err(format!("it is about table {table}, which the shard does not have"));
    }
    attempt.files.iter().try_for_each(|file| own.check(file))
}

/// Takes out of a list of garbage whatever a sweep of this cursor may not remove: state as a file, and blobs of other
/// cursors. Each is said.
pub fn only_ours(garbage: &mut Garbage, blobs: &Blobs) {
    let state = format!("{}/", blobs.root());
    let keep = |fits: bool, key: &str| {
        if !fits {
            tracing::warn!(key, "the list of what is to be removed names what is not this sync's: it stays");
        }
        fits
    };
    garbage.files.retain(|file| keep(!file.key.starts_with(&state), &file.key));
    garbage.blobs.retain(|key| keep(blobs.holds(key), key));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::fixtures::settings;
    use crate::model::template::Template;
    use crate::pipeline::commit::garbage::GarbageFile;
    use crate::store::memory::MemoryStore;

    #[test]
    fn keys_that_no_plan_gives_are_refused() {
        let mut settings = settings();
        settings.state_prefix = "_s3sync".into();
        settings.errors.dead_letter_path = Some("rejects/".into());
        for (template, kind, key, expected) in [
            ("orders/{{TABLE}}/{{UUID}}.{{FORMAT}}", FileKind::Data, "orders/a/1.parquet", true),
            ("orders/{{TABLE}}/{{UUID}}.{{FORMAT}}", FileKind::Data, "orders/a/b/1.parquet", false),
            ("orders/{{TABLE}}/{{UUID}}.{{FORMAT}}", FileKind::Data, "orders/a/1.csv", false),
            ("orders/{{TABLE}}/{{UUID}}.{{FORMAT}}", FileKind::Data, "customers/a/1.parquet", false),
            ("orders/{{TABLE}}/{{UUID}}.{{FORMAT}}", FileKind::Data, "rejects/a/1.jsonl", false),
            ("{{TABLE}}/{{UUID}}.{{FORMAT}}", FileKind::Data, "_s3sync/1.parquet", false),
            ("{{TABLE}}/{{UUID}}.{{FORMAT}}", FileKind::Data, "anywhere/1.parquet", true),
            ("all.parquet", FileKind::Data, "all.parquet", true),
            ("all.parquet", FileKind::Data, "all.parquet2", false),
            ("all.parquet", FileKind::DeadLetter, "rejects/a/r-1-0-0.jsonl", true),
            ("all.parquet", FileKind::DeadLetter, "all.parquet", false),
        ] {
            settings.destination.template = Template::parse(template).unwrap();
            assert_eq!(OwnKeys::of(&settings).hold(kind, key), expected, "{template}: {key}");
        }
        settings.errors.dead_letter_path = None;
        assert!(!OwnKeys::of(&settings).hold(FileKind::DeadLetter, "rejects/a/r-1-0-0.jsonl"));
    }

    #[test]
    fn a_sweep_removes_no_state_of_others() {
        let blobs = Blobs::new(Arc::new(MemoryStore::new("lake")), "_s3sync", "abc");
        let file = |key: &str| GarbageFile { key: key.into(), etag: "e".into(), id: None, bytes: None };
        let mut garbage = Garbage {
            files: vec![file("orders/1.parquet"), file("_s3sync/other/3/plan-00.s3sync")],
            uploads: Vec::new(),
            blobs: ["_s3sync/abc/3/plan-00.s3sync", "_s3sync/abcd/3/plan-00.s3sync", "orders/2.parquet"]
                .map(str::to_owned)
                .into(),
            ..Garbage::default()
        };
        only_ours(&mut garbage, &blobs);
        assert_eq!(garbage.files, [file("orders/1.parquet")]);
        assert_eq!(garbage.blobs, ["_s3sync/abc/3/plan-00.s3sync"]);
    }
}
