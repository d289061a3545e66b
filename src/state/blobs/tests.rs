use futures::executor::block_on;

use super::*;
use crate::model::fixtures::settings;
use crate::model::manifest::{Excluded, Exclusion};
use crate::model::plan::ShardRef;
use crate::store::memory::MemoryStore;

fn plan(version: u32) -> Plan {
    let blob = BlobKey("_s3sync/abc/1/shard-00.s3sync".into());
    Plan {
        version,
        run: "run".into(),
        epoch: 1,
        number: 0,
        settings: settings(),
        planned_at: "2026-01-02T03:04:05Z".parse().unwrap(),
        seed: "00".into(),
        part_bytes: 1,
        layout_bytes: 1,
        tables: vec![],
        shards: vec![ShardRef { blob, plan: 0, objects: 1, bytes: 1, tables: (0, 0) }],
        objects: vec![],
        listed_to: None,
        pass: 1,
        request: None,
    }
}

/// One that was longer was written, and could not be read back: the shard was prepared again and again.
#[test]
fn an_attempt_is_written_only_where_it_can_be_read_back() {
    let store = MemoryStore::new("lake");
    let blobs =
        Blobs::new(Arc::new(store.clone()), "_s3sync", "abc").with_key(StateKey::parse(&"5".repeat(64)).unwrap());
    let attempt = |bytes: usize| {
        let mut attempt = AttemptManifest::empty(0, 0, "0a", "2026-01-02T03:04:05Z".parse().unwrap());
        let (key, etag) = ("a".to_owned(), "e".to_owned());
        attempt.excluded.push(Excluded { key, etag, reason: Exclusion::Quarantined, message: String::new() });
        let rest = serde_json::to_string(&attempt).unwrap().len();
        attempt.excluded[0].message = "x".repeat(bytes - rest);
        attempt
    };
    let most = BlobKind::Attempt.line_bytes_max();
    for version in [1, Plan::VERSION] {
        let plan = plan(version);
        let refused = block_on(blobs.put_attempt(&plan, &attempt(most + 1))).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the list of the files that one shard makes, and of the objects that it leaves out, would take 67108865 bytes, and no more than \
             67108864 are read back: have fewer and larger files by a coarser destination.partitionBy, or smaller epochs by \
             limits.bytesPerCommit"
        );
        assert_eq!(store.keys(), Vec::<String>::new(), "nothing is written");
        block_on(blobs.put_attempt(&plan, &attempt(most))).unwrap();
        let key = BlobKey(store.keys().remove(0));
        let (read, _) = block_on(blobs.get_attempt(&key, &plan)).unwrap();
        assert_eq!(read.excluded[0].message.len(), attempt(most).excluded[0].message.len());
        store.remove(&key.0);
    }
}

#[test]
fn no_line_of_any_kind_is_written_that_cannot_be_read_back() {
    for kind in [BlobKind::Plan, BlobKind::Decision, BlobKind::Garbage] {
        let mut blob = BlobWriter::new(kind);
        blob.line(&"x".repeat(10));
        assert_eq!(blob.longest(), 12);
        assert!(check_longest(kind, &blob).is_ok());
        blob.set_longest(kind.line_bytes_max() + 1);
        let refused = check_longest(kind, &blob).unwrap_err();
        assert!(matches!(refused, BlobError::TooLong { kind: of, .. } if of == kind), "{refused}");
    }
}
