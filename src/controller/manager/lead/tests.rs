use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Method, Request, Response};
use kube::client::Body;
use tower_service::Service;

use super::*;

/// An API server with one Lease, and who cannot reach it.
#[derive(Clone, Default)]
struct Server {
    lease: Arc<Mutex<Option<Value>>>,
    cut: Arc<Mutex<Vec<&'static str>>>,
}

impl Server {
    /// The client of a replica.
    fn client(&self, identity: &'static str) -> Client {
        Client::new(Door { server: self.clone(), identity }, "ops")
    }

    fn answer(&self, identity: &str, method: &Method, body: Value) -> (u16, Value) {
        let refused = |code: u16, reason: &str| {
            (code, json!({"status": "Failure", "message": reason, "reason": reason, "code": code}))
        };
        if self.cut.lock().unwrap().contains(&identity) {
            return refused(500, "InternalError");
        }
        let mut lease = self.lease.lock().unwrap();
        match (method, lease.as_mut()) {
            (&Method::GET, Some(lease)) => (200, lease.clone()),
            (&Method::POST, Some(_)) => refused(409, "AlreadyExists"),
            (&Method::POST, None) => {
                let mut made = body;
                made["metadata"]["resourceVersion"] = json!("1");
                *lease = Some(made.clone());
                (201, made)
            }
            (_, None) => refused(404, "NotFound"),
            (_, Some(lease)) => {
                if body["metadata"]["resourceVersion"] != lease["metadata"]["resourceVersion"] {
                    return refused(409, "Conflict");
                }
                for (field, value) in body["spec"].as_object().unwrap() {
                    lease["spec"][field] = value.clone();
                }
                let version: u64 = lease["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
                lease["metadata"]["resourceVersion"] = json!((version + 1).to_string());
                (200, lease.clone())
            }
        }
    }

    /// A replica that wants to lead.
    async fn replica(&self, identity: &'static str) -> Lead {
        let options = LeaseOptions { namespace: "ops".into(), name: "s3sync".into(), identity: identity.into() };
        Lead::start(&self.client(identity), &options).await.unwrap()
    }

    fn holder(&self) -> Value {
        self.lease.lock().unwrap().as_ref().map(|lease| lease["spec"]["holderIdentity"].clone()).unwrap_or_default()
    }

    fn cut(&self, who: &[&'static str]) {
        *self.cut.lock().unwrap() = who.to_vec();
    }
}

/// A replica's way to the server.
struct Door {
    server: Server,
    identity: &'static str,
}

impl Service<Request<Body>> for Door {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (server, identity) = (self.server.clone(), self.identity);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await.unwrap();
            // A request takes a while, so that several are under way at once.
            tokio::time::sleep(Duration::from_millis(20)).await;
            let (code, answer) =
                server.answer(identity, &parts.method, serde_json::from_slice(&body).unwrap_or_default());
            Ok(Response::builder().status(code).body(Body::from(answer.to_string().into_bytes())).unwrap())
        }
        .boxed()
    }
}

/// How long it takes until it leads; at most a minute.
async fn leads_after(lead: &mut Lead) -> Duration {
    let since = Instant::now();
    assert!(
        tokio::time::timeout(Duration::from_secs(60), lead.wait(&CancellationToken::new())).await.expect("it leads")
    );
    since.elapsed()
}

/// A while, in which the first leads and the second does not.
async fn pair(server: &Server, seconds: u64) -> (Lead, Lead) {
    let mut one = server.replica("one").await;
    let two = server.replica("two").await;
    leads_after(&mut one).await;
    tokio::time::sleep(Duration::from_millis(seconds * 1000 + 300)).await;
    assert_eq!((*one.leads.borrow(), *two.leads.borrow(), server.holder()), (true, false, json!("one")));
    (one, two)
}

/// Whenever it is killed between two renewals.
#[tokio::test(start_paused = true)]
async fn a_killed_leader_is_followed_after_the_lease() {
    for seconds in 100..107 {
        let server = Server::default();
        let (one, mut two) = pair(&server, seconds).await;
        one.holding.abort();
        let took = leads_after(&mut two).await;
        assert!(took > LEASE - RENEW_EVERY - Duration::from_secs(1) && took < LEASE + 2 * LOOK_EVERY, "{took:?}");
        assert_eq!(server.holder(), json!("two"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_ends_is_followed_at_once() {
    let server = Server::default();
    let (one, mut two) = pair(&server, 100).await;
    one.release().await;
    assert_eq!(server.holder(), Value::Null);
    let took = leads_after(&mut two).await;
    assert!(took < Duration::from_millis(1200), "{took:?}");
    // One that waits takes nothing with it.
    let three = server.replica("three").await;
    three.release().await;
    assert_eq!(server.holder(), json!("two"));
}

/// Its network is cut: it has stopped before another leads.
#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_stops_before_the_next_leads() {
    for seconds in 100..107 {
        let server = Server::default();
        let (one, mut two) = pair(&server, seconds).await;
        server.cut(&["one"]);
        let since = Instant::now();
        one.lost().await;
        let lost = since.elapsed();
        assert_eq!(server.holder(), json!("one"), "it is not led by two at once");
        leads_after(&mut two).await;
        let led = since.elapsed();
        assert!(
            lost <= RENEW_DEADLINE && lost + Duration::from_secs(3) < led,
            "lost after {lost:?}, followed after {led:?}"
        );
    }
}

/// The API server is away for less than that.
#[tokio::test(start_paused = true)]
async fn a_short_outage_changes_nothing() {
    let server = Server::default();
    let (one, two) = pair(&server, 100).await;
    server.cut(&["one", "two"]);
    tokio::time::sleep(Duration::from_secs(6)).await;
    server.cut(&[]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((*one.leads.borrow(), *two.leads.borrow(), server.holder()), (true, false, json!("one")));
}

/// Clocks of nodes differ, and what a killed leader wrote says nothing of now: whoever waits counts from what it sees.
#[tokio::test(start_paused = true)]
async fn times_in_the_lease_do_not_count() {
    for renewed in ["1999-01-01T00:00:00.000000Z", "2099-01-01T00:00:00.000000Z"] {
        let server = Server::default();
        let lease = json!({"metadata": {"name": "s3sync", "resourceVersion": "7"}, "spec": {"holderIdentity": "gone", "leaseDurationSeconds": 15,
            "acquireTime": renewed, "renewTime": renewed, "leaseTransitions": 3}});
        *server.lease.lock().unwrap() = Some(lease);
        let mut one = server.replica("one").await;
        let took = leads_after(&mut one).await;
        assert!(took >= LEASE - LOOK_EVERY && took < LEASE + 2 * LOOK_EVERY, "{took:?}");
        assert_eq!(server.lease.lock().unwrap().as_ref().unwrap()["spec"]["leaseTransitions"], 4);
    }
    // Given back by a replica of an earlier release.
    let server = Server::default();
    *server.lease.lock().unwrap() =
        Some(json!({"metadata": {"name": "s3sync", "resourceVersion": "7"}, "spec": {"leaseTransitions": 3}}));
    let mut one = server.replica("one").await;
    assert!(leads_after(&mut one).await < LOOK_EVERY);
}

/// Several wait when the Lease ends: one gets it, and is left alone.
#[tokio::test(start_paused = true)]
async fn of_several_that_wait_one_leads() {
    let server = Server::default();
    let one = server.replica("one").await;
    let mut others = Vec::new();
    for identity in ["two", "three", "four", "five"] {
        others.push(server.replica(identity).await);
    }
    one.holding.abort();
    for _ in 0..120 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(others.iter().filter(|lead| *lead.leads.borrow()).count() <= 1);
    }
    assert_eq!(others.iter().filter(|lead| *lead.leads.borrow()).count(), 1);
}

#[tokio::test]
async fn a_lease_that_cannot_be_had_says_so_at_once() {
    let server = Server::default();
    server.cut(&["one"]);
    let options = LeaseOptions { namespace: "ops".into(), name: "s3sync".into(), identity: "one".into() };
    assert!(Lead::start(&server.client("one"), &options).await.is_err());
}
