//! An API server with one ConfigMap, at the client's own boundary: it keeps resourceVersions, refuses stale writes,
//! streams watches, and fails on purpose.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Frame;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tower_test::mock;

/// What happens to one request instead of what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is refused with a status code.
    Status(u16),
    /// It is never answered, nor carried out.
    Silence,
    /// It is carried out, and its answer is lost.
    Lost,
    /// Its connection is refused.
    Refused,
    /// A watch: it ends at once.
    Cut,
    /// A watch: an event says that its resourceVersion is too old.
    TooOld,
}

/// The server. Clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Server {
    state: Arc<Mutex<ServerState>>,
}

#[derive(Default)]
struct ServerState {
    map: Option<ConfigMap>,
    version: u64,
    log: Vec<String>,
    bodies: Vec<Value>,
    faults: VecDeque<(&'static str, Fault)>,
    watches: Vec<mpsc::UnboundedSender<Bytes>>,
}

impl Server {
    /// A server with the ConfigMap as the operator makes it.
    pub(super) fn with_empty_map() -> Server {
        let server = Server::default();
        server.make("uid-1");
        server
    }

    /// Makes the ConfigMap, empty of a cursor.
    pub(super) fn make(&self, uid: &str) {
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": "orders-cursor", "namespace": "data", "uid": uid, "labels": {"app.kubernetes.io/instance": "orders"},
                "managedFields": [{"manager": "s3sync"}],
            },
        });
        self.store(serde_json::from_value(map).unwrap());
    }

    /// Changes the ConfigMap's data as somebody else.
    pub(super) fn edit(&self, key: &str, text: &str) {
        let mut map = self.state().map.clone().unwrap();
        map.data.get_or_insert_default().insert(key.to_owned(), text.to_owned());
        self.store(map);
    }

    /// Deletes the ConfigMap.
    pub(super) fn delete(&self) {
        let map = self.state().map.take();
        self.tell("DELETED", &serde_json::to_value(map).unwrap());
    }

    /// The next request with this verb (GET, PUT, WATCH) meets a fault; several queue up.
    pub(super) fn fail(&self, verb: &'static str, fault: Fault) {
        self.state().faults.push_back((verb, fault));
    }

    /// The requests so far, each once it was answered, and forgets them.
    pub(super) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state().log)
    }

    /// The bodies of the writes so far.
    pub(super) fn bodies(&self) -> Vec<Value> {
        self.state().bodies.clone()
    }

    /// What is stored under a key.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.state().map.as_ref()?.data.as_ref()?.get(key).cloned()
    }

    /// A client of this server.
    pub(super) fn client(&self) -> Client {
        let (service, mut handle) = mock::pair::<Request<kube::client::Body>, Response<Stream>>();
        let server = self.clone();
        tokio::spawn(async move {
            while let Some((request, send)) = handle.next_request().await {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                match server.answer(&parts.method, &parts.uri.to_string(), &body) {
                    Reply::Answer(response) => send.send_response(response),
                    Reply::Refused => send.send_error(std::io::Error::from(std::io::ErrorKind::ConnectionRefused)),
                    // As a server that was stopped: the connection stays open.
                    Reply::Silence => std::mem::forget(send),
                }
            }
        });
        Client::new(service, "data")
    }

    fn state(&self) -> MutexGuard<'_, ServerState> {
        self.state.lock().unwrap()
    }

    fn store(&self, mut map: ConfigMap) -> Value {
        let mut state = self.state();
        state.version += 1;
        map.metadata.resource_version = Some(state.version.to_string());
        state.map = Some(map.clone());
        drop(state);
        let value = serde_json::to_value(map).unwrap();
        self.tell("MODIFIED", &value);
        value
    }

    fn tell(&self, kind: &str, object: &Value) {
        let line = Bytes::from(format!("{}\n", json!({"type": kind, "object": object})));
        self.state().watches.retain(|watch| watch.send(line.clone()).is_ok());
    }

    fn answer(&self, method: &Method, uri: &str, body: &Bytes) -> Reply {
        let verb = if uri.contains("watch=true") { "WATCH" } else { method.as_str() };
        let fault = {
            let mut state = self.state();
            state.log.push(format!("{verb} {uri}"));
            let due = state.faults.front().is_some_and(|(fails, _)| *fails == verb);
            due.then(|| state.faults.pop_front()).flatten().map(|(_, fault)| fault)
        };
        match fault {
            Some(Fault::Status(code)) => return Reply::Answer(status(code)),
            Some(Fault::Silence) => return Reply::Silence,
            Some(Fault::Refused) => return Reply::Refused,
            _ => {}
        }
        let response = match verb {
            "WATCH" => self.watch(uri, fault),
            "PUT" => self.put(serde_json::from_slice(body).unwrap()),
            _ => match &self.state().map {
                Some(map) => response(200, &serde_json::to_value(map).unwrap()),
                None => status(404),
            },
        };
        if fault == Some(Fault::Lost) { Reply::Silence } else { Reply::Answer(response) }
    }

    fn put(&self, body: Value) -> Response<Stream> {
        self.state().bodies.push(body.clone());
        let map: ConfigMap = serde_json::from_value(body).unwrap();
        let (sent, stored) = (&map.metadata, self.state().map.clone());
        match stored.map(|map| map.metadata) {
            None => status(404),
            Some(stored) if stored.resource_version != sent.resource_version || stored.uid != sent.uid => status(409),
            Some(_) => response(200, &self.store(map)),
        }
    }

    fn watch(&self, uri: &str, fault: Option<Fault>) -> Response<Stream> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let from: u64 = uri.split("resourceVersion=").nth(1).unwrap().parse().unwrap();
        let mut state = self.state();
        match (fault, &state.map) {
            (Some(Fault::TooOld), _) => {
                let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"});
                let _ = sender.send(Bytes::from(format!("{}\n", json!({"type": "ERROR", "object": status}))));
            }
            (Some(_), _) => {}
            // What happened since comes first.
            (None, Some(map)) if state.version > from => {
                let event = json!({"type": "MODIFIED", "object": map});
                let _ = sender.send(Bytes::from(format!("{event}\n")));
                state.watches.push(sender);
            }
            (None, _) => state.watches.push(sender),
        }
        Response::new(Stream(receiver))
    }
}

enum Reply {
    Answer(Response<Stream>),
    Silence,
    Refused,
}

fn status(code: u16) -> Response<Stream> {
    let message = format!("the server says {code}");
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": "", "message": message});
    response(code, &body)
}

fn response(code: u16, body: &Value) -> Response<Stream> {
    let (sender, receiver) = mpsc::unbounded_channel();
    sender.send(Bytes::from(body.to_string())).unwrap();
    Response::builder().status(code).body(Stream(receiver)).unwrap()
}

/// A body whose pieces come when they are sent, and that ends with their sender.
pub(super) struct Stream(mpsc::UnboundedReceiver<Bytes>);

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
