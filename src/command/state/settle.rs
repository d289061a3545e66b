//! A decided epoch as it stands at the destination: what can become visible becomes so, and the rest is told by name.

use crate::command::render::counted;
use crate::model::manifest::{AttemptManifest, Decision, StagedFile};
use crate::model::settings::Settings;
use crate::pipeline::commit::own::OwnKeys;
use crate::pipeline::commit::publish::{Completed, Published, complete};
use crate::pipeline::error::RunError;
use crate::store::Store;

/// What became of the files of one attempt.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Visible by now.
    pub visible: Vec<Published>,
    /// Their uploads are gone.
    pub vanished: Vec<StagedFile>,
    /// The server does not take them, and why.
    pub refused: Vec<(StagedFile, String)>,
}

/// Completes what the decision names of this attempt; what no run of the sync writes is refused, as publishing refuses
/// it. A server that does not answer, denies, or has no room ends it: then nothing is given up.
pub(super) async fn settle(
    store: &dyn Store,
    settings: &Settings,
    decision: &Decision,
    manifest: &AttemptManifest,
) -> Result<Settled, RunError> {
    let (own, keys) = (OwnKeys::of(settings), settings.destination.write_mode.keys());
    let mut settled = Settled::default();
    if decision.dropped.contains(&manifest.shard) {
        return Ok(settled);
    }
    let amended = decision.amended_by_key();
    for file in manifest.files.iter().filter(|file| !decision.abandoned.contains(&file.key)) {
        let file = (*amended.get(file.key.as_str()).unwrap_or(&file)).clone();
        if let Err(reason) = own.check(&file) {
            settled.refused.push((file, reason));
            continue;
        }
        match complete(store, file, keys).await {
            Ok(Completed::Visible(published)) => settled.visible.push(published),
            Ok(Completed::Vanished(file)) => settled.vanished.push(file),
            Ok(Completed::Refused(refused)) => settled.refused.push((refused.file, refused.why)),
            Err(error) => return Err(error),
        }
    }
    Ok(settled)
}

/// A file that is given up, for people.
pub(super) fn given_up(file: &StagedFile) -> String {
    format!("given up: {} ({})", file.key, counted(file.rows, "row"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::model::fixtures::settings;
    use crate::model::manifest::FileKind;
    use crate::model::server::Lack;
    use crate::model::settings::ObjectAttributes;
    use crate::model::template::Template;
    use crate::model::write_mode::WriteMode;
    use crate::store::ErrorKind;
    use crate::store::faulty::{Call, Fault, Faults, FaultyStore};
    use crate::store::memory::{Behaviour, ManualClock, MemoryStore};

    async fn staged(store: &MemoryStore, key: &str) -> StagedFile {
        let upload = store.create_upload(key, key, &ObjectAttributes::default()).await.unwrap();
        let part = store.upload_part(key, &upload, 1, vec![Bytes::from_static(b"rows")]).await.unwrap();
        let (kind, partition, parts, id) = (FileKind::Data, String::new(), vec![part], key.to_owned());
        StagedFile {
            key: key.into(),
            table: 0,
            kind,
            partition,
            upload,
            parts,
            id,
            etag: None,
            size: 4,
            first_row: 0,
            rows: 1,
            objects: (0, 0),
        }
    }

    fn decision() -> Decision {
        let plan = crate::model::plan::BlobKey("plan".into());
        let (attempts, digests, amended) = (Vec::new(), Vec::new(), Vec::new());
        Decision {
            version: Decision::VERSION,
            epoch: 1,
            plan,
            attempts,
            digests,
            amended,
            dropped: Vec::new(),
            abandoned: Vec::new(),
        }
    }

    #[tokio::test]
    async fn what_a_server_refuses_at_completion_is_told_from_what_is_visible_and_what_is_gone() {
        let behaviour = Behaviour { lacks: [Lack::LongSegments].into(), ..Behaviour::default() };
        let store = MemoryStore::with("lake", behaviour, Arc::new(ManualClock::default()));
        let (good, long, gone) =
            (staged(&store, "good").await, staged(&store, &"x".repeat(300)).await, staged(&store, "gone").await);
        store.abort_upload(&gone.key, &gone.upload).await.unwrap();
        let files = vec![long.clone(), good, gone.clone()];
        let manifest = AttemptManifest { files, ..AttemptManifest::empty(0, 0, "0a", store.server_time()) };
        let mut settings = settings();
        settings.destination.write_mode = WriteMode::Append;
        settings.destination.template = Template::parse("{{UUID}}").unwrap();
        let foreign = staged(&store, "elsewhere/x").await;
        let forged = AttemptManifest { files: vec![foreign.clone()], ..manifest.clone() };
        let settled = settle(&store, &settings, &decision(), &forged).await.unwrap();
        assert_eq!(
            settled.refused.iter().map(|(file, _)| file).collect::<Vec<_>>(),
            [&foreign],
            "no run of the sync writes there"
        );
        for _ in 0..2 {
            let settled = settle(&store, &settings, &decision(), &manifest).await.unwrap();
            assert_eq!(
                settled.visible.iter().map(|published| published.file.key.as_str()).collect::<Vec<_>>(),
                ["good"]
            );
            assert_eq!(
                (settled.refused, settled.vanished),
                (vec![(long.clone(), "the name is too long".to_owned())], vec![gone.clone()])
            );
        }
        assert_eq!(store.keys(), ["good"]);
    }

    /// What passes (a full disk, a server that does not answer), and a look that fails, is no reason to give a file up.
    #[tokio::test]
    async fn nothing_is_given_up_for_what_passes() {
        let mut settings = settings();
        settings.destination.template = Template::parse("{{UUID}}").unwrap();
        for (op, kind, refused) in [
            ("complete_upload", ErrorKind::Other, true),
            ("complete_upload", ErrorKind::Unsupported, true),
            ("complete_upload", ErrorKind::Full, false),
            ("complete_upload", ErrorKind::Unavailable, false),
            ("complete_upload", ErrorKind::Denied, false),
            ("complete_upload", ErrorKind::NoSuchBucket, false),
            ("head", ErrorKind::Other, false),
            ("head", ErrorKind::Full, false),
        ] {
            let store = MemoryStore::new("lake");
            let manifest = AttemptManifest {
                files: vec![staged(&store, "one").await],
                ..AttemptManifest::empty(0, 0, "0a", store.server_time())
            };
            let faults = move |call: &Call<'_>| match call.op {
                _ if call.op == op => Fault::Before(kind),
                // So that there is something to look for.
                "complete_upload" => Fault::Before(ErrorKind::Other),
                _ => Fault::None,
            };
            let faulty = FaultyStore::new(Arc::new(store), Faults::new(faults));
            let settled = settle(&faulty, &settings, &decision(), &manifest).await;
            assert_eq!(settled.map(|settled| settled.refused.len()).ok(), refused.then_some(1), "{op} {kind:?}");
        }
    }
}
