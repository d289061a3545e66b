//! A door between the binary and MinIO that counts requests, and at a chosen one pulls the trigger: before the server
//! sees the request, or after the server has done it and before the binary hears so. Between them every point is met
//! where a crash can part the two.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

/// Where in a request the trigger is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The server never sees it.
    Before,
    /// The server has done it; its answer is lost.
    After,
}

struct Shared {
    upstream: String,
    requests: AtomicUsize,
    log: Mutex<Vec<String>>,
    at: Mutex<Option<(usize, Moment)>>,
    closed: AtomicBool,
    trigger: Mutex<Sender<()>>,
}

/// The door. It stays open until the test's process ends, which is soon.
pub struct Proxy {
    /// `http://127.0.0.1:PORT`
    pub endpoint: String,
    /// Gets a message when the chosen request has come.
    pub triggered: Receiver<()>,
    shared: Arc<Shared>,
}

impl Proxy {
    /// In front of `upstream` (`http://HOST:PORT`); `at`: the number of a request, from 1.
    pub fn new(upstream: &str, at: Option<(usize, Moment)>) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let (trigger, triggered) = channel();
        let shared = Arc::new(Shared {
            upstream: upstream.trim_start_matches("http://").to_owned(),
            requests: AtomicUsize::new(0),
            log: Mutex::default(),
            at: Mutex::new(at),
            closed: AtomicBool::new(false),
            trigger: Mutex::new(trigger),
        });
        let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = accepting.clone();
                std::thread::spawn(move || drop(serve(&shared, client)));
            }
        });
        Proxy { endpoint, triggered, shared }
    }

    /// Opens the door again, for good: the binary's next life goes by the same address.
    pub fn open(&self) {
        *self.shared.at.lock().expect("no panic under it") = None;
        self.shared.closed.store(false, Ordering::SeqCst);
    }

    /// Method and path of each request so far.
    pub fn requests(&self) -> Vec<String> {
        self.shared.log.lock().expect("no panic under it").clone()
    }
}

impl Shared {
    /// From here on nothing passes, and the test knows.
    fn pull(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let _ = self.trigger.lock().expect("no panic under it").send(());
    }
}

fn serve(shared: &Arc<Shared>, client: TcpStream) -> std::io::Result<()> {
    let server = TcpStream::connect(&shared.upstream)?;
    let answer_lost = Arc::new(AtomicBool::new(false));
    let back = {
        let (shared, answer_lost) = (shared.clone(), answer_lost.clone());
        let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
        std::thread::spawn(move || {
            let mut buffer = [0; 64 * 1024];
            while let Ok(n @ 1..) = from.read(&mut buffer) {
                // "100 Continue" is no answer yet.
                if answer_lost.load(Ordering::SeqCst) && !buffer.starts_with(b"HTTP/1.1 100") {
                    shared.pull();
                }
                if shared.closed.load(Ordering::SeqCst) || to.write_all(&buffer[..n]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Both);
        })
    };
    let mut requests = BufReader::new(client);
    let mut server = server;
    while let Some((head, body_bytes)) = head(&mut requests)? {
        let number = shared.requests.fetch_add(1, Ordering::SeqCst) + 1;
        let line =
            String::from_utf8_lossy(&head).lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
        shared.log.lock().expect("no panic under it").push(line);
        let at = *shared.at.lock().expect("no panic under it");
        if at == Some((number, Moment::Before)) {
            shared.pull();
        }
        if shared.closed.load(Ordering::SeqCst) {
            break;
        }
        if at == Some((number, Moment::After)) {
            answer_lost.store(true, Ordering::SeqCst);
        }
        server.write_all(&head)?;
        std::io::copy(&mut requests.by_ref().take(body_bytes), &mut server)?;
    }
    let _ = server.shutdown(Shutdown::Write);
    let _ = back.join();
    Ok(())
}

/// The next request's head and the length of its body; `None` at the end of the connection.
fn head(client: &mut impl BufRead) -> std::io::Result<Option<(Vec<u8>, u64)>> {
    let (mut head, mut body_bytes) = (Vec::new(), 0);
    loop {
        let start = head.len();
        if client.read_until(b'\n', &mut head)? == 0 {
            return Ok(None);
        }
        let line = String::from_utf8_lossy(&head[start..]).to_ascii_lowercase();
        if let Some(length) = line.strip_prefix("content-length:") {
            body_bytes = length.trim().parse().expect("a length");
        }
        assert!(!line.starts_with("transfer-encoding:"), "this proxy reads bodies of known length");
        if line == "\r\n" {
            return Ok(Some((head, body_bytes)));
        }
    }
}
