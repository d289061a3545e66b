//! Somebody who can write the bucket, and not the cursor: they write, change and repeat state objects as the dice say,
//! between runs and while they are under way.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::executor::block_on;
use s3sync::model::manifest::{AttemptManifest, FileKind, StagedFile};
use s3sync::pipeline::commit::claim::Claim;
use s3sync::pipeline::open_log::{OPEN_SUFFIX, OpenUpload};
use s3sync::state::seal::StateKey;
use s3sync::state::wire::{BlobKind, BlobWriter};
use s3sync::store::Store;
use s3sync::store::memory::MemoryStore;

use crate::history::Dice;

/// Copies of state objects that are kept to be repeated later, in other epochs and after they were removed.
const KEPT_MAX: usize = 200;

/// Objects of somebody else in the same bucket: nothing of the sync may touch them.
pub const VICTIM: &str = "victim/";

pub struct Forger {
    store: MemoryStore,
    /// `_s3sync/`
    state: String,
    /// State objects as they once were.
    kept: Vec<(String, Bytes)>,
    /// What stood where something was forged, and what was put there.
    changed: BTreeMap<String, (Option<Bytes>, Bytes)>,
    victim: OpenUpload,
    part: String,
    number: u64,
}

impl Forger {
    pub fn new(store: &MemoryStore, state_prefix: &str) -> Self {
        store.insert(&format!("{VICTIM}file"), "theirs");
        let (victim, part) = begin_upload(store);
        Self {
            store: store.clone(),
            state: format!("{state_prefix}/"),
            kept: Vec::new(),
            changed: BTreeMap::new(),
            victim,
            part,
            number: 0,
        }
    }

    /// A lifecycle rule took these uploads: theirs is begun again.
    pub fn expired(&mut self, uploads: &[String]) {
        if uploads.contains(&self.victim.upload) {
            (self.victim, self.part) = begin_upload(&self.store);
        }
    }

    /// One forgery.
    pub fn act(&mut self, dice: &mut Dice) {
        let keys: Vec<String> = self.store.keys().into_iter().filter(|key| key.starts_with(&self.state)).collect();
        if keys.is_empty() {
            return;
        }
        // Whatever is there may be repeated later.
        for _ in 0..4 {
            let key = &keys[dice.pick(keys.len())];
            let copy = (key.clone(), self.store.peek(key).expect("it was just listed"));
            if self.kept.len() < KEPT_MAX {
                self.kept.push(copy);
            } else {
                let at = dice.pick(KEPT_MAX);
                self.kept[at] = copy;
            }
        }
        let (kept_key, kept) = self.kept[dice.pick(self.kept.len())].clone();
        let target = keys[dice.pick(keys.len())].clone();
        match dice.roll(8) {
            // Another object's bytes, or its own of another time.
            0 => self.put(&target, kept),
            1 => self.put(&kept_key, kept),
            2 => {
                let mut bytes = self.store.peek(&target).expect("it was just listed").to_vec();
                match dice.roll(3) {
                    0 => bytes.truncate(dice.pick(bytes.len().max(1))),
                    1 => bytes.extend_from_slice(b"more"),
                    _ if bytes.is_empty() => {}
                    _ => {
                        let at = dice.pick(bytes.len());
                        bytes[at] ^= 1;
                    }
                }
                self.put(&target, Bytes::from(bytes));
            }
            // What workers left elsewhere, at a name that is looked at first.
            3 => {
                let key = self.ahead(dice, &keys, kept_key.ends_with(OPEN_SUFFIX));
                self.put(&key, kept);
            }
            4 | 5 => {
                let key = self.ahead(dice, &keys, false);
                let manifest = self.manifest(dice, &key);
                self.put(&key, self.sealed(dice, BlobKind::Attempt.word(), &key, |writer| writer.line(&manifest)));
            }
            6 => {
                let key = self.ahead(dice, &keys, true);
                let mut uploads: Vec<OpenUpload> = self
                    .store
                    .uploads()
                    .into_iter()
                    .map(|upload| OpenUpload { key: upload.key, upload: upload.upload })
                    .collect();
                uploads.push(self.victim.clone());
                let body = serde_json::to_vec(&uploads).expect("plain strings serialise");
                let body = if dice.one_in(2) { Bytes::from(body) } else { wrong_key().seal("open", &key, "", &body) };
                self.put(&key, body);
            }
            _ => {
                let claim = keys.iter().find(|key| key.starts_with(&format!("{}claims/", self.state)));
                let body = match dice.roll(3) {
                    0 => Bytes::from_static(b"no claim"),
                    1 => kept,
                    _ => {
                        let claim =
                            Claim { state_id: "5".repeat(32), owner: "somebody else".into(), epoch: dice.roll(9) };
                        Bytes::from(serde_json::to_vec(&claim).expect("plain strings serialise"))
                    }
                };
                if let Some(claim) = claim {
                    self.put(&claim.clone(), body);
                }
            }
        }
    }

    /// Somebody puts back what was changed, as the messages say. What was added stays, but for a claim where there was
    /// none.
    pub fn put_back(&mut self) {
        for (key, (before, forged)) in std::mem::take(&mut self.changed) {
            let stands = self.store.peek(&key).is_some_and(|now| now == forged);
            match before {
                Some(before) if stands => drop(self.store.insert(&key, before)),
                None if stands && key.starts_with(&format!("{}claims/", self.state)) => drop(self.store.remove(&key)),
                _ => {}
            }
        }
    }

    /// Their file and their upload are as they were.
    pub fn check_victim(&self) {
        assert_eq!(
            self.store.peek(&format!("{VICTIM}file")).as_deref(),
            Some(&b"theirs"[..]),
            "somebody else's file was touched"
        );
        let theirs = self.store.uploads().into_iter().find(|upload| upload.upload == self.victim.upload);
        assert_eq!(
            theirs.map(|upload| upload.bytes).as_deref(),
            Some(&b"theirs"[..]),
            "somebody else's upload was ended"
        );
    }

    fn put(&mut self, key: &str, bytes: Bytes) {
        let before = self.store.peek(key);
        let first = self.changed.remove(key).map_or(before, |(first, _)| first);
        self.store.insert(key, bytes.clone());
        self.changed.insert(key.to_owned(), (first, bytes));
    }

    /// A name of an attempt, or of a log of one, that comes before all others of its shard, in a directory where
    /// attempts may be.
    fn ahead(&mut self, dice: &mut Dice, keys: &[String], log: bool) -> String {
        self.number += 1;
        let key = &keys[dice.pick(keys.len())];
        // `_s3sync/<state id>/<epoch>/…`
        let mut steps = key.split('/').skip(1);
        let (state_id, epoch) =
            (steps.next().unwrap_or("claims"), steps.next().and_then(|epoch| epoch.parse::<u64>().ok()).unwrap_or(1));
        let (epoch, plan, shard) = (epoch + dice.roll(2), dice.roll(2), dice.roll(3));
        let suffix = if log { OPEN_SUFFIX } else { ".s3sync" };
        format!("{}{state_id}/{epoch}/{plan}/{shard}-{:016x}{suffix}", self.state, self.number)
    }

    /// An attempt that made nothing of its objects, or that would publish what is somebody else's.
    fn manifest(&self, dice: &mut Dice, key: &str) -> AttemptManifest {
        let name = key.rsplit('/').next().expect("a key has a name");
        let shard = name.split('-').next().and_then(|shard| shard.parse().ok()).expect("it was just made");
        let theirs = |key: &str| StagedFile {
            key: key.to_owned(),
            table: 0,
            kind: FileKind::Data,
            partition: String::new(),
            upload: self.victim.upload.clone(),
            parts: vec![self.part.clone()],
            id: "theirs".into(),
            etag: None,
            size: 6,
            first_row: 0,
            rows: 1,
            objects: (0, 0),
        };
        let files = match dice.roll(3) {
            0 => vec![],
            1 => vec![theirs(&self.victim.key)],
            _ => vec![theirs(&format!("{VICTIM}file"))],
        };
        AttemptManifest {
            version: AttemptManifest::VERSION,
            shard,
            plan: 0,
            attempt: name.to_owned(),
            sliced: None,
            files,
            tables: vec![],
            excluded: vec![],
            bad_records: 0,
            mismatches: vec![],
            prepared_at: self.store.clock().now(),
        }
    }

    fn sealed(&self, dice: &mut Dice, kind: &str, key: &str, fill: impl Fn(&mut BlobWriter)) -> Bytes {
        let write = |mut writer: BlobWriter| {
            fill(&mut writer);
            writer.finish()
        };
        match dice.roll(2) {
            0 => Bytes::from(write(BlobWriter::of_version(BlobKind::Attempt, 1))),
            _ => wrong_key().seal(kind, key, "", &write(BlobWriter::headless())),
        }
    }
}

fn begin_upload(store: &MemoryStore) -> (OpenUpload, String) {
    let key = format!("{VICTIM}upload");
    let upload = block_on(store.create_upload(&key, "theirs", &Default::default())).expect("memory does not fail");
    let part = block_on(store.upload_part(&key, &upload, 1, vec![Bytes::from_static(b"theirs")]))
        .expect("memory does not fail");
    (OpenUpload { key, upload }, part)
}

fn wrong_key() -> StateKey {
    StateKey::parse(&"6".repeat(64)).expect("64 digits")
}
