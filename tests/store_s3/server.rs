//! A server that does what a test says: HTTP/1.1 over plain TCP or TLS, one answer a request, everything it was asked
//! kept for the test.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What a client asked.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: String,
    /// Without the query.
    pub path: String,
    /// The query as it was sent.
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// `GET /bucket/key`
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Whether the query has this pair.
    pub fn asks(&self, pair: &str) -> bool {
        self.query.split('&').any(|found| found == pair)
    }
}

/// What the server does.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// Sends only so many bytes of the body.
    pub cut: Option<usize>,
    /// Then says nothing more, instead of closing the connection.
    pub hang: bool,
    /// Sends the body, and this again and again, for as long as somebody reads.
    pub endless: Option<Vec<u8>>,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), cut: None, hang: false, endless: None }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// S3's XML for an error.
    pub fn error(status: u16, code: &str) -> Self {
        let body = format!(
            "<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>The server's words.</Message></Error>"
        );
        Self::new(status, body).with("content-type", "application/xml")
    }

    /// An object, or a part of it.
    pub fn object(etag: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, body).with("etag", etag).with("last-modified", "Sat, 21 Nov 2026 10:00:00 GMT")
    }

    /// A part of an object, from an offset.
    pub fn part(etag: &str, whole: &[u8], from: usize) -> Self {
        let range = format!("bytes {from}-{}/{}", whole.len() - 1, whole.len());
        let answer = Self::object(etag, &whole[from..]).with("content-range", range);
        Self { status: 206, ..answer }
    }

    pub fn cut(self, bytes: usize) -> Self {
        Self { cut: Some(bytes), ..self }
    }

    pub fn endless(self, again: impl Into<Vec<u8>>) -> Self {
        Self { endless: Some(again.into()), ..self }
    }

    pub fn hang(self, bytes: usize) -> Self {
        Self { cut: Some(bytes), hang: true, ..self }
    }
}

/// A server under way; it ends with its test.
pub struct Server {
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    sent_bytes: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// Starts a server whose answers follow from the request and from how many came before it.
    pub async fn start(answer: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_on(None, answer).await
    }

    pub async fn start_on(
        tls: Option<TlsAcceptor>,
        answer: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = if tls.is_some() { format!("https://localhost:{port}") } else { format!("http://127.0.0.1:{port}") };
        let requests = Arc::new(Mutex::new(Vec::new()));
        let sent_bytes = Arc::new(AtomicUsize::new(0));
        let connections = Arc::new(AtomicUsize::new(0));
        let (kept, answer, sent, accepted) =
            (requests.clone(), Arc::new(answer), sent_bytes.clone(), connections.clone());
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::SeqCst);
                // Heads and bodies are written one after the other.
                let _ = tcp.set_nodelay(true);
                let (kept, answer, tls, sent) = (kept.clone(), answer.clone(), tls.clone(), sent.clone());
                tokio::spawn(async move {
                    let answer = |request: &Request| {
                        let mut kept = kept.lock().unwrap();
                        kept.push(request.clone());
                        answer(kept.len() - 1, request)
                    };
                    match tls {
                        None => serve(tcp, answer, &sent).await,
                        Some(tls) => match tls.accept(tcp).await {
                            Ok(stream) => serve(stream, answer, &sent).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        Self { url, requests, sent_bytes, connections }
    }

    /// Everything that was asked, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Bytes of bodies that went out, however far.
    pub fn sent_bytes(&self) -> usize {
        self.sent_bytes.load(Ordering::SeqCst)
    }

    /// Connections that were made so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The same in a short form.
    pub fn lines(&self) -> Vec<String> {
        self.requests().iter().map(Request::line).collect()
    }
}

/// Serves one connection; `None` once it has ended.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    answer: impl Fn(&Request) -> Answer,
    sent: &AtomicUsize,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let request = read(&mut stream).await?;
        let answer = answer(&request);
        // Without a length a body ends with its connection (RFC 9112, 6.3).
        let length =
            if answer.endless.is_some() { String::new() } else { format!("content-length: {}\r\n", answer.body.len()) };
        let mut head = format!("HTTP/1.1 {} Words\r\n{length}", answer.status);
        for (name, value) in &answer.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await.ok()?;
        if request.method == "HEAD" {
            stream.flush().await.ok()?;
            continue;
        }
        let body = &answer.body[..answer.cut.unwrap_or(answer.body.len())];
        stream.write_all(body).await.ok()?;
        sent.fetch_add(body.len(), Ordering::SeqCst);
        while let Some(again) = &answer.endless {
            stream.write_all(again).await.ok()?;
            sent.fetch_add(again.len(), Ordering::SeqCst);
        }
        stream.flush().await.ok()?;
        if answer.hang {
            // Longer than any test: the client has to give up by itself.
            tokio::time::sleep(Duration::from_secs(3600)).await;
        }
        if answer.cut.is_some() {
            return None;
        }
    }
}

async fn read<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufReader<S>) -> Option<Request> {
    let mut request = Request::default();
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let mut words = line.split_whitespace();
    request.method = words.next()?.to_owned();
    let target = words.next()?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    (request.path, request.query) = (path.to_owned(), query.to_owned());
    loop {
        line.clear();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        request.headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    if request.header("expect") == Some("100-continue") {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
        stream.flush().await.ok()?;
    }
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    request.body = vec![0; length];
    stream.read_exact(&mut request.body).await.ok()?;
    Some(request)
}
