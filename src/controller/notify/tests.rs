//! Notices against receivers that answer, hang, are slow, or send elsewhere.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::api::S3SyncStatus;
use crate::controller::reflectors::reflectors;

/// What a receiver does with a notice.
#[derive(Clone, Copy)]
enum Receives {
    /// Answers with this status line.
    Answer(&'static str),
    /// Answers late.
    Late(Duration),
    /// Never answers.
    Hang,
    /// Hangs up.
    Close,
}

const OK: Receives = Receives::Answer("204 No Content");

/// A receiver that does one after another of these, and the last for ever; it says what came.
async fn receiver(does: Vec<Receives>) -> (String, mpsc::UnboundedReceiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?token=a-very-secret-token", listener.local_addr().unwrap());
    let (came, comes) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut at = 0;
        while let Ok((stream, _)) = listener.accept().await {
            let does = does[at.min(does.len() - 1)];
            at += 1;
            tokio::spawn(converse(stream, does, came.clone()));
        }
    });
    (url, comes)
}

async fn converse(mut stream: TcpStream, does: Receives, came: mpsc::UnboundedSender<Value>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(
        head.starts_with("post /hook?token=a-very-secret-token ") && head.contains("content-type: application/json"),
        "{head}"
    );
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let _ = came.send(serde_json::from_slice(&body).unwrap());
    match does {
        Receives::Hang => tokio::time::sleep(Duration::from_secs(600)).await,
        Receives::Close => return Ok(()),
        Receives::Late(wait) => tokio::time::sleep(wait).await,
        Receives::Answer(_) => {}
    }
    let status = if let Receives::Answer(status) = does { status } else { "200 OK" };
    let answer = format!(
        "HTTP/1.1 {status}\r\nlocation: http://127.0.0.1:1/elsewhere\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await
}

fn patience() -> Patience {
    Patience {
        answer: Duration::from_millis(300),
        first_wait: Duration::from_millis(20),
        in_all: Duration::from_millis(1500),
    }
}

fn notice(name: &str) -> Notice {
    let after: S3SyncStatus =
        serde_json::from_value(serde_json::json!({"conditions": [{"type": "Ready", "status": "False", "reason": "Why",
        "message": "x", "lastTransitionTime": "2026-11-21T12:00:10Z"}]}))
        .unwrap();
    notice::notices(&("data".into(), name.into()), &S3SyncStatus::default(), &after).remove(0)
}

/// Somebody who sends to `url`.
struct Scene {
    notices: Notices,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    sending: tokio::task::JoinHandle<()>,
    file: tempfile::NamedTempFile,
}

impl Scene {
    fn new(url: &str) -> Scene {
        let metrics = Arc::new(Metrics::new(reflectors().0, Arc::default()));
        let (notices, stop) = (Notices::new(Arc::clone(&metrics)), CancellationToken::new());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{url}\n")).unwrap();
        let sending = tokio::spawn(notices.clone().send(file.path().to_owned(), patience(), stop.clone()));
        Scene { notices, metrics, stop, sending, file }
    }

    fn count(&self, result: &str) -> u64 {
        let text = self.metrics.text();
        let name = format!("s3sync_notices_total{{result=\"{result}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
    }

    /// Waits until so many were sent, failed and dropped.
    async fn counts(&self, expected: (u64, u64, u64)) {
        let count = || (self.count("sent"), self.count("failed"), self.count("dropped"));
        let counted = async {
            while count() != expected {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), counted)
            .await
            .unwrap_or_else(|_| panic!("{:?} instead of {expected:?}", count()));
    }
}

async fn next(came: &mut mpsc::UnboundedReceiver<Value>) -> Value {
    timeout(Duration::from_secs(20), came.recv()).await.expect("a notice").expect("a receiver")
}

#[tokio::test]
async fn a_receiver_that_is_slow_or_fails_is_told_again() {
    let late = Receives::Late(Duration::from_millis(100));
    for does in [
        vec![OK],
        vec![late],
        vec![Receives::Answer("500 Broken"), Receives::Close, Receives::Answer("429 Slow Down"), OK],
    ] {
        let tries = does.len();
        let (url, mut came) = receiver(does).await;
        let scene = Scene::new(&url);
        scene.notices.tell(vec![notice("orders")]);
        for _ in 0..tries {
            assert_eq!(next(&mut came).await["name"], "orders");
        }
        scene.counts((1, 0, 0)).await;
    }
}

#[tokio::test]
async fn what_nobody_takes_is_given_up_and_the_next_is_told() {
    // Whether another try is worth its while.
    for (does, tries) in [
        // At least once: a machine that does much besides may spend all the time on the first try.
        (Receives::Hang, 1..=5),
        (Receives::Answer("503 Away"), 1..=9),
        (Receives::Answer("404 Not Found"), 1..=1),
        (Receives::Answer("302 Found"), 1..=1),
    ] {
        let (url, mut came) = receiver(vec![does]).await;
        let scene = Scene::new(&url);
        scene.notices.tell(vec![notice("orders"), notice("more")]);
        scene.counts((0, 2, 0)).await;
        let mut names = Vec::new();
        while let Ok(told) = came.try_recv() {
            names.push(told["name"].as_str().unwrap().to_owned());
        }
        let first = names.iter().filter(|name| *name == "orders").count();
        assert!(tries.contains(&first) && names.last().is_some_and(|name| name == "more"), "{names:?}");
    }
}

#[tokio::test]
async fn a_url_that_changes_is_followed_and_none_is_shown() {
    let (url, mut came) = receiver(vec![OK]).await;
    let scene = Scene::new("http://127.0.0.1:1/hook?token=a-very-secret-token");
    let sender = Sender::new(scene.file.path().to_owned(), patience()).unwrap();
    let failure = sender.post(&notice("orders")).await.unwrap_err().to_string();
    assert!(!failure.contains("secret-token") && failure.contains("onnect"), "{failure}");
    scene.notices.tell(vec![notice("orders")]);
    std::fs::write(scene.file.path(), &url).unwrap();
    assert_eq!(next(&mut came).await["name"], "orders");
    scene.counts((1, 0, 0)).await;
    for text in ["", "ftp://x/", "/hook", "https://", "http://me:a-very-secret-token@x/", "a-very-secret-token\nx"] {
        std::fs::write(scene.file.path(), text).unwrap();
        let error = super::url(scene.file.path()).unwrap_err().to_string();
        assert!(error.contains("holds no http:// or https:// URL") && !error.contains("secret-token"), "{error}");
    }
}

#[tokio::test]
async fn where_too_many_wait_the_oldest_are_given_up() {
    let (url, mut came) = receiver(vec![OK]).await;
    let metrics = Arc::new(Metrics::new(reflectors().0, Arc::default()));
    let notices = Notices::new(Arc::clone(&metrics));
    notices.tell((0..WAITING_MAX + 44).map(|n| notice(&format!("sync-{n:03}"))).collect());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &url).unwrap();
    let stop = CancellationToken::new();
    let sending = tokio::spawn(notices.clone().send(file.path().to_owned(), patience(), stop.clone()));
    let scene = Scene { notices, metrics, stop, sending, file };
    scene.counts((WAITING_MAX as u64, 0, 44)).await;
    assert_eq!(next(&mut came).await["name"], "sync-044", "the oldest that is left comes first");
}

#[tokio::test]
async fn at_the_end_what_waits_is_tried_once_more_and_holds_nothing_up() {
    let (url, mut came) = receiver(vec![Receives::Answer("503 Away"), OK]).await;
    let scene = Scene::new(&url);
    scene.notices.tell(vec![notice("orders")]);
    next(&mut came).await;
    scene.stop.cancel();
    assert_eq!(next(&mut came).await["name"], "orders");
    timeout(Duration::from_secs(20), scene.sending).await.expect("an end").unwrap();
    Notices::none().tell(vec![notice("orders")]);
}
