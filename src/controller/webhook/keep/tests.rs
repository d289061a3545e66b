//! Renewal against an API server that keeps a Secret and a configuration, and a clock that jumps.

use std::sync::Mutex;

use http::{Method, Request, Response};
use jiff::SignedDuration;
use kube::client::Body;
use serde_json::Value;
use tower_test::mock;

use super::*;

const SECRET: &str = "/api/v1/namespaces/ops/secrets/hook";
const CONFIGURATION: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/hook";
const HOST: &str = "hook.ops.svc";

fn shared() -> Source {
    Source::Shared(Shared { namespace: "ops".into(), name: "hook".into() })
}

fn days(days: i64) -> Timestamp {
    "2026-11-30T12:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(24 * days)
}

/// An object with its version.
#[derive(Clone)]
struct Kept {
    object: Value,
    writes: u64,
}

/// What the API server keeps, by path.
#[derive(Clone)]
struct Cluster(Arc<Mutex<BTreeMap<&'static str, Kept>>>);

impl Cluster {
    fn new() -> Cluster {
        let service = |name: &str, namespace: &str| {
            json!({"clientConfig": {"service": {"name": "hook", "namespace": namespace}}, "name": name,
            "admissionReviewVersions": ["v1"], "sideEffects": "None"})
        };
        let secret = json!({"metadata": {"name": "hook", "labels": {"kept": "yes"}}});
        let webhooks = json!([service("ours.s3sync.dev", "ops"), service("theirs.s3sync.dev", "elsewhere")]);
        let configuration = json!({"metadata": {"name": "hook"}, "webhooks": webhooks});
        let kept = |object| Kept { object, writes: 0 };
        Cluster(Arc::new(Mutex::new([(SECRET, kept(secret)), (CONFIGURATION, kept(configuration))].into())))
    }

    fn client(&self) -> Client {
        let (service, mut server) = mock::pair::<Request<Body>, Response<Body>>();
        let cluster = self.clone();
        tokio::spawn(async move {
            while let Some((request, send)) = server.next_request().await {
                let (parts, body) = request.into_parts();
                let body: Value = serde_json::from_slice(&body.collect_bytes().await.unwrap()).unwrap_or_default();
                let (status, answer) = cluster.answer(&parts.method, parts.uri.path(), &body);
                send.send_response(
                    Response::builder().status(status).body(Body::from(answer.to_string().into_bytes())).unwrap(),
                );
            }
        });
        Client::new(service, "ops")
    }

    fn answer(&self, method: &Method, path: &str, body: &Value) -> (u16, Value) {
        let refused = |code: u16, reason: &str| {
            (code, json!({"kind": "Status", "status": "Failure", "reason": reason, "message": reason, "code": code}))
        };
        let mut all = self.0.lock().unwrap();
        let Some(kept) = all.get_mut(path) else { return refused(404, "NotFound") };
        if *method == Method::PATCH {
            if body["metadata"]["resourceVersion"] != json!(kept.writes.to_string()) {
                return refused(409, "Conflict");
            }
            kept.writes += 1;
            if let Some(data) = body["data"].as_object() {
                kept.object["data"] = json!(data);
            }
            for patched in body["webhooks"].as_array().into_iter().flatten() {
                let webhooks = kept.object["webhooks"].as_array_mut().unwrap();
                let meant = webhooks.iter_mut().find(|webhook| webhook["name"] == patched["name"]).unwrap();
                meant["clientConfig"]["caBundle"] = patched["clientConfig"]["caBundle"].clone();
            }
        }
        let mut object = kept.object.clone();
        object["metadata"]["resourceVersion"] = json!(kept.writes.to_string());
        (200, object)
    }

    fn writes(&self, path: &str) -> u64 {
        self.0.lock().unwrap()[path].writes
    }

    /// Whom the API servers trust.
    fn bundle(&self) -> Vec<u8> {
        let webhooks = self.0.lock().unwrap()[CONFIGURATION].object["webhooks"].clone();
        assert_eq!(webhooks[1]["clientConfig"]["caBundle"], Value::Null, "another's webhook");
        let bundle: ByteString = serde_json::from_value(webhooks[0]["clientConfig"]["caBundle"].clone()).unwrap();
        bundle.0
    }

    /// Whether the API servers take what a replica shows for the webhook.
    fn trusts(&self, keeper: &Keeper, at: Timestamp) -> bool {
        let shown = keeper.current.0.read().unwrap().clone().expect("shown");
        assert_eq!(shown.cert, keeper.shown.certified().unwrap().cert);
        Pems { ca: self.bundle(), ..keeper.shown.clone() }.holds(HOST, at)
    }
}

fn keeper(source: Source, client: Client) -> Keeper {
    Keeper { source, client, current: Arc::default(), shown: Pems::default(), next: None, told: String::new() }
}

#[tokio::test]
async fn replicas_that_begin_together_share_one_certificate() {
    let cluster = Cluster::new();
    let (mut one, mut two) = (keeper(shared(), cluster.client()), keeper(shared(), cluster.client()));
    tokio::join!(one.look(days(0)), two.look(days(0)));
    assert_eq!((cluster.writes(SECRET), one.shown.certificate == two.shown.certificate), (1, true));
    assert!(cluster.trusts(&one, days(0)) && cluster.trusts(&two, days(0)));
    assert_eq!((one.told.as_str(), two.told.as_str()), ("", ""));
    // Nothing is written that is as it should be; a replica that comes later takes what is there.
    let mut later = keeper(shared(), cluster.client());
    for at in [1, 30, 58] {
        one.look(days(at)).await;
        later.look(days(at)).await;
        assert_eq!(
            (cluster.writes(SECRET), cluster.writes(CONFIGURATION), cluster.trusts(&later, days(at))),
            (1, 1, true),
            "{at}"
        );
    }
}

#[tokio::test]
async fn a_certificate_is_renewed_under_replicas_that_go_on_answering() {
    let cluster = Cluster::new();
    let mut replicas = [keeper(shared(), cluster.client()), keeper(shared(), cluster.client())];
    let first = {
        replicas[0].look(days(0)).await;
        replicas[1].look(days(0)).await;
        replicas[0].shown.clone()
    };
    let mut shown = vec![];
    for day in (0..400).map(days) {
        for at in 0..2 {
            replicas[at].look(day).await;
            let trusted = replicas.iter().all(|replica| cluster.trusts(replica, day));
            assert!(trusted, "a certificate is shown that is not trusted on {day}");
        }
        shown.push(replicas[1].shown.certificate.clone());
    }
    shown.dedup();
    assert_eq!((shown.len(), shown[0] == first.certificate), (7, true), "every 60 days");
    assert_eq!(cluster.0.lock().unwrap()[SECRET].object["metadata"]["labels"]["kept"], "yes");
}

#[tokio::test]
async fn what_the_renewed_bundle_trusts_is_shown_only_at_the_next_look() {
    let cluster = Cluster::new();
    let mut replica = keeper(shared(), cluster.client());
    replica.look(days(0)).await;
    let first = replica.shown.certificate.clone();
    replica.look(days(61)).await;
    assert_eq!((cluster.writes(SECRET), replica.shown.certificate == first), (2, true));
    replica.look(days(61)).await;
    assert_eq!((cluster.writes(SECRET), replica.shown.certificate == first), (2, false));
    // What somebody has broken is made again.
    cluster.0.lock().unwrap().get_mut(SECRET).unwrap().object["data"]["tls.key"] = json!("bm8ga2V5");
    replica.look(days(61)).await;
    assert_eq!(
        (cluster.writes(SECRET), cluster.trusts(&replica, days(61))),
        (3, true),
        "its authority went with what was broken"
    );
}

#[tokio::test]
async fn without_rights_or_objects_it_is_said_once_and_tried_again() {
    let cluster = Cluster::new();
    let (secret, configuration) = {
        let mut all = cluster.0.lock().unwrap();
        (all.remove(SECRET).unwrap(), all.remove(CONFIGURATION).unwrap())
    };
    let mut replica = keeper(shared(), cluster.client());
    replica.look(days(0)).await;
    assert!(!replica.current.is_there());
    assert!(replica.told.starts_with("the API server refuses to show the Secret hook: "), "{}", replica.told);
    cluster.0.lock().unwrap().insert(SECRET, secret);
    replica.look(days(0)).await;
    assert!(replica.current.is_there(), "somebody else may have written the bundle");
    assert!(
        replica.told.starts_with("the API server refuses to show the ValidatingWebhookConfiguration hook: "),
        "{}",
        replica.told
    );
    cluster.0.lock().unwrap().insert(CONFIGURATION, configuration);
    replica.look(days(0)).await;
    assert_eq!((replica.told.as_str(), cluster.trusts(&replica, days(0))), ("", true));
}

#[tokio::test]
async fn files_are_read_again_when_they_change() {
    let directory = tempfile::tempdir().unwrap();
    let write = |pems: &Pems| {
        std::fs::write(directory.path().join("tls.crt"), &pems.certificate).unwrap();
        std::fs::write(directory.path().join("tls.key"), &pems.key).unwrap();
    };
    let mut replica = keeper(Source::Directory(directory.path().to_owned()), Cluster::new().client());
    replica.look(days(0)).await;
    assert!(!replica.current.is_there() && replica.told.contains("tls.crt cannot be read: "), "{}", replica.told);
    let [first, second] = [(); 2].map(|()| make(&[HOST.to_owned()], days(0), None).unwrap());
    write(&first);
    replica.look(days(0)).await;
    assert_eq!((replica.told.as_str(), replica.shown.certificate == first.certificate), ("", true));
    // Half of a renewal is not shown.
    write(&Pems { key: second.key.clone(), ..first.clone() });
    replica.look(days(0)).await;
    assert!(
        replica.told.contains("cannot be used together") && replica.shown.certificate == first.certificate,
        "{}",
        replica.told
    );
    write(&second);
    replica.look(days(0)).await;
    let shown = replica.current.0.read().unwrap().clone().unwrap();
    assert_eq!((replica.told.as_str(), &shown.cert), ("", &second.certified().unwrap().cert));
}
