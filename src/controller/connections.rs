//! A resource with what its S3Connections say in the place of their names: from here on nobody knows that it named any.
//! PURE.

use std::sync::Arc;

use kube::{Resource, ResourceExt};
use serde_json::json;

use crate::api::S3Sync;
use crate::api::connect::{NoConnection, connect, named};
use crate::controller::decide::check::{Refusal, sentence};
use crate::controller::names::short_hash;
use crate::controller::reflectors::GuardedConnection;
use crate::model::reason::Reason;

/// What became of the connections that a resource names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Why one of them gives nothing.
    pub refusal: Option<Refusal>,
    /// Ten digits that are others for any other version of them; `None` where the resource names none. The resource's
    /// generation does not count their changes.
    pub version: Option<String>,
}

/// Puts what the connections say into a resource. `find` gives the S3Connection of a name in the resource's namespace.
pub fn look_up(sync: &mut S3Sync, find: &dyn Fn(&str) -> Option<Arc<GuardedConnection>>) -> Connections {
    let version = |name| find(name).map(|found| (found.uid(), found.meta().generation));
    let versions: Vec<_> = named(sync).map(|name| (name.to_owned(), version(name))).collect();
    if versions.is_empty() {
        return Connections::default();
    }
    let namespace = sync.namespace().unwrap_or_default();
    let said = connect(sync, &|name| match find(name) {
        Some(found) => match &found.0 {
            Ok(connection) => Ok(connection.spec.connection.clone()),
            Err(error) => Err(NoConnection::Unusable(format!("which cannot be read: {}", error.error))),
        },
        None => Err(NoConnection::Missing(format!("which is not in the namespace {namespace}; apply it there"))),
    });
    let refusal = said.err().map(|unconnected| {
        let reason = if unconnected.missing { Reason::ConnectionNotFound } else { Reason::InvalidSpec };
        Refusal { reason, message: format!("{}; nothing runs until then", sentence(&unconnected.errors)) }
    });
    Connections { refusal, version: Some(short_hash(&[&json!(versions).to_string()])) }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::controller::build::{PodDefaults, job};
    use crate::controller::decide::check::check;
    use crate::controller::decide::{Observed, decide};
    use crate::controller::fixtures::{connected, cursor, minio, observed, run, sync_with};
    use crate::controller::names::Repeat;
    use crate::controller::policy::{Policy, Rules, WorkerEnv};
    use crate::model::cursor::Phase;

    fn endpoint(url: &str) -> Value {
        json!({"endpoint": url, "secretRef": {"name": "s3"}, "caSecretRef": {"name": "ca"}})
    }

    fn with(fields: &Value) -> Value {
        let mut sides = json!({"source": {"bucket": "raw"}, "destination": {"bucket": "lake", "format": "parquet"}});
        for side in ["source", "destination"] {
            sides[side].as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        }
        sides
    }

    fn named() -> S3Sync {
        sync_with(with(&json!({"connectionRef": {"name": "minio"}})))
    }

    fn seen(minio: Option<&Arc<GuardedConnection>>) -> Observed {
        let (sync, connections) = connected(named(), minio);
        Observed { connections, ..observed(sync, "12:00:10") }
    }

    /// What moves its fields into an S3Connection is the same sync: nothing runs for it, nothing is asked, and its
    /// workers get the same.
    #[test]
    fn fields_that_move_into_a_connection_change_nothing() {
        let written = check(&sync_with(with(&endpoint("http://minio:9000")))).unwrap();
        let (sync, connections) = connected(named(), Some(&minio(1, endpoint("http://minio:9000"))));
        assert_eq!(connections.refusal, None);
        let through = check(&sync).unwrap();
        assert_eq!((&through.synced, &through.identity), (&written.synced, &written.identity));
        assert_eq!((&through.manifest, &through.settings), (&written.manifest, &written.settings));
        let of = |seen: &Observed| {
            let start = decide(seen).start.expect("a run");
            job(&seen.sync, &seen.checked().unwrap(), &start, false, &PodDefaults::default())
        };
        let there = observed(sync_with(with(&endpoint("http://minio:9000"))), "12:00:10");
        let mut through = of(&seen(Some(&minio(1, endpoint("http://minio:9000")))));
        // But for its name, which a worker's messages tell.
        let container = &mut through.spec.as_mut().unwrap().template.spec.as_mut().unwrap().containers[0];
        let (told, rest): (Vec<_>, Vec<_>) =
            container.env.take().unwrap().into_iter().partition(|variable| variable.name.ends_with("_CONNECTION"));
        container.env = Some(rest);
        assert_eq!(through, of(&there));
        let told = told.iter().map(|variable| (variable.name.as_str(), variable.value.as_deref())).collect::<Vec<_>>();
        let expected = ["S3SYNC_SOURCE_CONNECTION", "S3SYNC_DESTINATION_CONNECTION"].map(|name| (name, Some("minio")));
        assert_eq!(told, expected);
    }

    /// Each field of a connection that a change of makes a run worth while in a sync makes one here.
    #[test]
    fn what_a_connection_says_is_what_is_synced() {
        let synced = |spec: Value| check(&connected(named(), Some(&minio(2, spec))).0).unwrap();
        let base = synced(endpoint("http://minio:9000"));
        assert_eq!(synced(endpoint("http://minio:9000")).synced, base.synced);
        let other =
            json!({"endpoint": "http://minio:9000", "secretRef": {"name": "s3-2"}, "caSecretRef": {"name": "ca"}});
        let other = synced(other);
        assert!(
            other.synced != base.synced && other.identity == base.identity,
            "another Secret is another run of the same sync"
        );
        assert_ne!(synced(endpoint("http://elsewhere:9000")).identity, base.identity);
    }

    #[test]
    fn a_connection_that_gives_nothing_is_not_ready() {
        let broken: GuardedConnection = serde_json::from_value(
            json!({"metadata": {"name": "minio", "namespace": "data"}, "spec": {"anonymous": "perhaps"}}),
        )
        .unwrap();
        for (minio, reason, part) in [
            (
                None,
                "ConnectionNotFound",
                "which is not in the namespace data; apply it there; spec.destination.connectionRef names",
            ),
            (Some(Arc::new(broken)), "InvalidSpec", "which cannot be read: "),
        ] {
            let desired = decide(&seen(minio.as_ref()));
            assert_eq!(desired.start, None);
            let ready = &desired.status.conditions[0];
            assert_eq!(
                (ready.type_.as_str(), ready.status.as_str(), ready.reason.as_str()),
                ("Ready", "False", reason)
            );
            let begins = "spec.source.connectionRef names the S3Connection \"minio\", ";
            assert!(ready.message.starts_with(begins) && ready.message.contains(part), "{}", ready.message);
            assert!(ready.message.ends_with("; nothing runs until then"), "{}", ready.message);
            assert!(desired.notes.iter().any(|note| note.reason == reason && note.warning), "{:?}", desired.notes);
        }
        let beside =
            sync_with(json!({"source": {"bucket": "raw", "region": "eu-west-1", "connectionRef": {"name": "minio"}}}));
        let refusal = connected(beside, Some(&minio(1, json!({})))).1.refusal.unwrap();
        assert_eq!(
            (refusal.reason.as_str(), refusal.message.starts_with("spec.source.connectionRef excludes region")),
            ("InvalidSpec", true)
        );
        // What it names by, and a run in progress, stay as they are.
        let running = run("x", Repeat::First, "12:00:00");
        let busy = decide(&Observed { runs: vec![running.clone()], ..seen(None) });
        assert_eq!((busy.delete_jobs.len(), busy.status.active[0].job.as_str()), (0, running.job.as_str()));
    }

    #[test]
    fn another_endpoint_in_a_connection_is_accepted_for_that_version_of_it_alone() {
        let first = seen(Some(&minio(1, endpoint("http://minio:9000"))));
        let identity = Some(first.checked().unwrap().identity);
        let mut at = cursor(Phase::Idle, false);
        if let crate::controller::decide::cursor::Position::At { identity: of, .. } = &mut at.position {
            *of = identity;
        }
        let look = |generation: i64, url: &str, annotation: Option<&str>| {
            let mut seen = Observed { cursor: Some(at.clone()), ..seen(Some(&minio(generation, endpoint(url)))) };
            seen.sync.metadata.annotations =
                annotation.map(|value| [("s3sync.dev/accept-spec-change".to_owned(), value.to_owned())].into());
            let ready = decide(&seen).status.conditions.remove(0);
            (ready.reason, ready.message)
        };
        // The generation of the resource was accepted long ago, for another change.
        assert_eq!(look(1, "http://minio:9000", Some("3")).0, "Armed");
        let (reason, message) = look(2, "http://elsewhere:9000", Some("3"));
        assert_eq!(reason, "SpecChanged");
        let value = message.split("s3sync.dev/accept-spec-change: \"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(look(2, "http://elsewhere:9000", Some(value)).0, "Armed", "advice that was followed: {message}");
        assert_eq!(look(3, "http://elsewhere:9001", Some(value)).0, "SpecChanged");
        assert!(value.starts_with("3-") && value.len() == 12, "{value}");
    }

    #[test]
    fn a_policy_judges_what_the_connection_says() {
        let texts = |list: &[&str]| Some(list.iter().map(|text| (*text).to_owned()).collect());
        let rules =
            Rules { endpoints: texts(&["http://minio:9000"]), worker_env: Some(WorkerEnv::Plain), ..Rules::default() };
        let policy = Policy::new(rules, None).unwrap();
        let judged = |spec: Value| {
            policy.check(&connected(named(), Some(&minio(1, spec))).0).err().map(|refusal| refusal.message)
        };
        assert_eq!(judged(endpoint("http://minio:9000")), None);
        for (spec, which) in
            [(endpoint("http://evil:9000"), "is \"http://evil:9000\""), (json!({}), "is not set and so aws")]
        {
            let message = judged(spec).unwrap();
            let said = format!(
                "spec.source.connectionRef names the S3Connection \"minio\", whose endpoint {which}, which the operator's --allowed-endpoint"
            );
            assert!(message.starts_with(&said), "{message}");
        }
    }
}
