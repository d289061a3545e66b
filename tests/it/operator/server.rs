//! An API server that answers as a test says. A watch brings what the test tells, and lasts.

use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Request, request};

/// One request.
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: String,
    pub body: Value,
}

/// What is answered to it.
pub struct Answer {
    code: u16,
    body: Value,
}

pub fn ok(body: Value) -> Answer {
    Answer { code: 200, body }
}

pub fn created(body: Value) -> Answer {
    Answer { code: 201, body }
}

pub fn refused(code: u16, reason: &str, message: &str) -> Answer {
    Answer {
        code,
        body: json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message, "code": code}),
    }
}

impl Asked {
    /// The last part of the path: a kind, a name or a subresource.
    pub fn kind(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// The namespace in the path; empty where there is none.
    pub fn namespace(&self) -> &str {
        self.path.split_once("/namespaces/").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default())
    }

    /// The page of a list that is asked for.
    pub fn page(&self, item: &dyn Fn(usize) -> Option<Value>) -> Value {
        let number = |name: &str| {
            let found = self.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            found.map(|text| text.parse::<usize>().expect("a number"))
        };
        let limit = number("limit").unwrap_or(usize::MAX);
        let from = number("continue").unwrap_or(0);
        let items: Vec<Value> = (from..).map_while(item).take(limit).collect();
        let next = from + items.len();
        let next = if items.len() == limit { next.to_string() } else { String::new() };
        json!({"metadata": {"resourceVersion": "1", "continue": next}, "items": items})
    }
}

/// What watches bring: the kind's plural, and the event.
type Changes = Mutex<Vec<(String, Value)>>;

/// The server, until the test's process ends.
pub struct ApiServer {
    url: String,
    changes: Arc<Changes>,
}

impl ApiServer {
    pub fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> ApiServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let answer = Arc::new(answer);
        let changes = Arc::<Changes>::default();
        let told = Arc::clone(&changes);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (answer, told) = (Arc::clone(&answer), Arc::clone(&told));
                // Whoever hangs up has heard enough.
                std::thread::spawn(move || drop(converse(stream, &*answer, &told)));
            }
        });
        ApiServer { url, changes }
    }

    /// Lets every watch of a kind bring an event (`ADDED`, `MODIFIED`, `DELETED`) about an object.
    pub fn tell(&self, plural: &str, event: &str, object: &Value) {
        self.changes.lock().expect("no panic").push((plural.to_owned(), json!({"type": event, "object": object})));
    }

    pub fn kubeconfig(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.url}}],
            "users": [{"name": "test", "user": {}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "data"}}],
        })
    }
}

/// Answers one connection's requests.
fn converse(mut stream: TcpStream, answer: &dyn Fn(&Asked) -> Answer, changes: &Changes) -> std::io::Result<()> {
    // An answer is two writes.
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(Request { method, path, query, body }) = request(&mut reader)? {
        if query.contains("watch=") {
            stream.write_all(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
            )?;
            let plural = path.rsplit('/').next().unwrap_or_default();
            let mut seen = 0;
            loop {
                let new: Vec<(String, Value)> = changes.lock().expect("no panic")[seen..].to_vec();
                seen += new.len();
                for (_, event) in new.iter().filter(|(of, _)| of == plural) {
                    let line = format!("{event}\n");
                    write!(stream, "{:x}\r\n{line}\r\n", line.len())?;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let asked = Asked { method, path, query, body };
        let Answer { code, body } = answer(&asked);
        let text = body.to_string();
        write!(
            stream,
            "HTTP/1.1 {code} said\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            text.len()
        )?;
        stream.write_all(text.as_bytes())?;
    }
    Ok(())
}
