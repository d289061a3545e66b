//! What the store makes of servers that throttle, lie, break off, stall, or hide errors in a 200.

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use s3sync::model::connection::Credentials;
use s3sync::model::object::Etag;
use s3sync::store::adapted::Adapted;
use s3sync::store::{Body, Condition, ErrorKind, Store, StoreError};

use crate::server::{Answer, Request, Server};
use crate::support::{PATIENT, SECRET, connection, impatient, open, store};

async fn whole(body: Result<Body, StoreError>) -> Result<Vec<u8>, StoreError> {
    Ok(body?.bytes.try_collect::<Vec<_>>().await?.concat())
}

fn data() -> Vec<u8> {
    (0..300_000_u32).map(|n| (n % 251) as u8).collect()
}

#[tokio::test]
async fn throttling_is_waited_for() {
    let server = Server::start(|number, _| match number {
        0 => Answer::error(503, "SlowDown"),
        1 => Answer::error(500, "InternalError"),
        2 => Answer::new(502, "<html>a proxy</html>"),
        3 => Answer::error(429, "TooManyRequests"),
        4 => Answer::error(400, "RequestTimeout"),
        _ => Answer::object("\"etag\"", "bytes"),
    })
    .await;
    let store = store(&server).await;
    assert_eq!(whole(store.get("key", None, None).await).await.unwrap(), b"bytes");
    assert_eq!(server.lines(), ["GET /bucket/key"; 6]);
}

#[tokio::test]
async fn a_connection_that_answered_with_an_error_of_the_server_is_not_used_again() {
    let server = Server::start(|number, _| match number {
        1 => Answer::error(500, "InternalError"),
        _ => Answer::object("\"etag\"", "bytes"),
    })
    .await;
    let store = store(&server).await;
    for _ in 0..4 {
        store.head("key").await.unwrap();
    }
    assert_eq!(
        (server.lines().len(), server.connections()),
        (5, 2),
        "one connection for all that go well, another after the error"
    );
}

#[tokio::test]
async fn an_archived_object_is_named_as_one() {
    let server = Server::start(|_, _| Answer::error(403, "InvalidObjectState")).await;
    let error = whole(store(&server).await.get("key", None, None).await).await.unwrap_err();
    assert_eq!((error.kind, server.lines().len()), (ErrorKind::Archived, 1));
    assert!(error.to_string().contains("archived"), "{error}");
}

/// As rclone does: it is no answer that another try makes better.
#[tokio::test]
async fn a_server_whose_answers_are_others_is_named() {
    let server = Server::start(|_, _| {
        let body = "<InitiateMultipartUpload><UploadId>1</UploadId></InitiateMultipartUpload>";
        Answer::new(200, body).with("server", "rclone/v1.60.1")
    })
    .await;
    let error = store(&server).await.create_upload("key", "id", &Default::default()).await.unwrap_err();
    assert_eq!((error.kind, server.lines().len()), (ErrorKind::Unsupported, 1));
    let said = error.to_string();
    assert!(said.contains("rclone/v1.60.1") && said.contains("expected InitiateMultipartUploadResult"), "{said}");
}

#[tokio::test]
async fn tries_are_bounded() {
    let server = Server::start(|_, _| Answer::error(503, "SlowDown")).await;
    let error = store(&server).await.head("key").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!(
        error.to_string(),
        format!(
            "HeadObject s3://bucket/key: the server answered 503, {PATIENT} times in a row: try again later (endpoint {})",
            server.url
        )
    );
    assert_eq!(server.lines().len(), PATIENT as usize);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_as_such() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = open(&connection(&url)).await.head("key").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(
        error.to_string().contains("the endpoint does not answer") && error.to_string().contains("refused"),
        "{error}"
    );
}

#[tokio::test]
async fn errors_hide_in_the_body_of_a_200() {
    let server = Server::start(|number, _| match number {
        0 => Answer::error(200, "InternalError"),
        1 => Answer::error(200, "SlowDown"),
        _ => Answer::new(
            200,
            "<CompleteMultipartUploadResult><ETag>&quot;done-1&quot;</ETag></CompleteMultipartUploadResult>",
        ),
    })
    .await;
    let etag = store(&server).await.complete_upload("key", "upload", &["part".to_owned()], true).await.unwrap();
    assert_eq!(etag.as_str(), "done-1");
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    assert!(
        requests
            .iter()
            .all(|request| request.line() == "POST /bucket/key" && request.header("if-none-match") == Some("*"))
    );
    let body = String::from_utf8(requests[2].body.clone()).unwrap();
    assert!(body.contains("<PartNumber>1</PartNumber>") && body.contains("part"), "{body}");

    for (code, kind) in [
        ("AccessDenied", ErrorKind::Denied),
        ("NoSuchUpload", ErrorKind::NoSuchUpload),
        ("InvalidPart", ErrorKind::NoSuchUpload),
    ] {
        let server = Server::start(move |_, _| Answer::error(200, code)).await;
        let error =
            store(&server).await.complete_upload("key", "upload", &["part".to_owned()], false).await.unwrap_err();
        assert_eq!((error.kind, server.lines().len()), (kind, 1), "{code}: {error}");
    }
}

#[tokio::test]
async fn a_server_without_conditional_completion_gets_an_unconditional_one() {
    let server = Server::start(|_, request| match request.header("if-none-match") {
        Some(_) => Answer::error(501, "NotImplemented"),
        None => {
            Answer::new(200, "<CompleteMultipartUploadResult><ETag>\"done\"</ETag></CompleteMultipartUploadResult>")
        }
    })
    .await;
    let store = store(&server).await;
    assert_eq!(store.complete_upload("key", "upload", &["part".to_owned()], true).await.unwrap().as_str(), "done");
    let put = store.put("key", Bytes::new(), Condition::Absent).await.unwrap_err();
    assert_eq!(put.kind, ErrorKind::Unsupported, "a claim must not be made without its condition");
}

#[tokio::test]
async fn the_pin_holds_where_if_match_is_ignored() {
    let server = Server::start(|_, _| Answer::object("W/\"other\"", "bytes")).await;
    let store = store(&server).await;
    let error = whole(store.get("key", None, Some(&Etag::new("pinned"))).await).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Changed);
    assert_eq!(error.to_string(), "GetObject s3://bucket/key: expected etag pinned, found other");
    assert_eq!(
        whole(store.get("key", None, Some(&Etag::new("other"))).await).await.unwrap(),
        b"bytes",
        "a weak etag is compared bare"
    );
    assert_eq!(server.requests()[0].header("if-match"), Some("\"pinned\""));
}

#[tokio::test]
async fn a_body_is_read_on_from_where_it_broke() {
    let server = Server::start(|number, request| match number {
        0 => Answer::object("\"v\"", data()).cut(100_000),
        1 => Answer::error(503, "SlowDown"),
        2 => Answer::part("\"v\"", &data(), offset(request)).cut(150_000),
        _ => Answer::part("\"v\"", &data(), offset(request)),
    })
    .await;
    let body = store(&server).await.get("key", None, None).await.unwrap();
    assert_eq!((body.size, body.etag.as_str()), (300_000, "v"));
    assert!(whole(Ok(body)).await.unwrap() == data());
    let requests = server.requests();
    assert_eq!(requests.len(), 4);
    assert_eq!(requests[0].header("range"), None);
    assert!(
        requests[1..].iter().all(|request| request.header("if-match") == Some("\"v\"")),
        "only the same version goes on"
    );
    assert_eq!(offset(&requests[3]), 250_000);
}

#[tokio::test]
async fn a_range_is_read_on_too() {
    let server = Server::start(|number, request| {
        let answer = Answer::part("\"v\"", &data(), offset(request));
        if number == 0 { answer.cut(10) } else { answer }
    })
    .await;
    let body = store(&server).await.get("key", Some(1_000..2_000), None).await;
    assert!(whole(body).await.unwrap() == data()[1_000..2_000]);
    assert_eq!(server.requests()[0].header("range"), Some("bytes=1000-1999"));
    assert_eq!(server.requests()[1].header("range"), Some("bytes=1010-1999"));
}

fn offset(request: &Request) -> usize {
    let range = request.header("range").and_then(|range| range.strip_prefix("bytes=")).expect("a range is asked for");
    range.split('-').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_body_that_broke_does_not_go_on_with_another_version() {
    for answer in [Answer::part("\"new\"", &data(), 100_000), Answer::error(412, "PreconditionFailed")] {
        let server =
            Server::start(
                move |number, _| {
                    if number == 0 { Answer::object("\"v\"", data()).cut(100_000) } else { answer.clone() }
                },
            )
            .await;
        let error = whole(store(&server).await.get("key", None, None).await).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Changed, "{error}");
    }
}

#[tokio::test]
async fn a_body_that_never_gets_further_is_given_up() {
    let server = Server::start(|_, request| match request.header("range") {
        None => Answer::object("\"v\"", data()).cut(100_000),
        Some(_) => Answer::part("\"v\"", &data(), 100_000).cut(0),
    })
    .await;
    let error = whole(store(&server).await.get("key", None, None).await).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.to_string().contains("the body broke off"), "{error}");
    assert_eq!(server.lines().len(), PATIENT as usize);
}

#[tokio::test]
async fn silence_is_not_waited_for() {
    let server = Server::start(|number, request| match number {
        0 => Answer::object("\"v\"", data()).hang(100_000),
        _ => Answer::part("\"v\"", &data(), offset(request)),
    })
    .await;
    let store = impatient(&server).await;
    assert!(whole(store.get("key", None, None).await).await.unwrap() == data());
    assert_eq!(server.lines().len(), 2);
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    let error = crate::support::impatient_at(&connection(&url)).await.head("key").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.to_string().contains("nothing came for"), "{error}");
    server.abort();
}

#[tokio::test]
async fn a_server_without_ranges_is_refused() {
    let server = Server::start(|_, _| Answer::object("\"v\"", data())).await;
    let store = store(&server).await;
    let error = whole(store.get("key", Some(10..20), None).await).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.to_string().contains("it must serve ranges"), "{error}");
    assert!(
        whole(store.get("key", Some(0..20), None).await).await.unwrap() == data()[..20],
        "its beginning can be had"
    );
}

#[tokio::test]
async fn a_put_whose_answer_was_lost_knows_its_own_bytes() {
    for (standing, expected) in
        [("mine", Ok(())), ("else", Err(ErrorKind::Precondition)), ("longer", Err(ErrorKind::Precondition))]
    {
        let server = Server::start(move |number, request| match (number, request.method.as_str()) {
            (0, _) => Answer::error(500, "InternalError"),
            (_, "PUT") => Answer::error(412, "PreconditionFailed"),
            _ => Answer::object("\"v\"", standing),
        })
        .await;
        let put = store(&server).await.put("key", Bytes::from_static(b"mine"), Condition::Absent).await;
        assert_eq!(put.map(drop).map_err(|error| error.kind), expected, "{standing}");
        assert_eq!(server.lines(), ["PUT /bucket/key", "PUT /bucket/key", "GET /bucket/key"]);
    }
    // Without a lost answer somebody else was first, whatever the bytes.
    let server = Server::start(|_, _| Answer::error(412, "PreconditionFailed")).await;
    let put = store(&server).await.put("key", Bytes::from_static(b"mine"), Condition::Absent).await;
    assert_eq!(put.unwrap_err().kind, ErrorKind::Precondition);
    assert_eq!(server.lines().len(), 1);
}

/// The store over this server, as a destination has it, before anything is known of the server.
async fn unknown(server: &Server) -> Adapted {
    Adapted::new(Arc::new(store(server).await))
}

#[tokio::test]
async fn a_pinned_delete_looks_first() {
    let server = Server::start(|_, request| match request.method.as_str() {
        "HEAD" => Answer::object("\"other\"", "bytes"),
        _ => Answer::new(204, ""),
    })
    .await;
    let store = unknown(&server).await;
    assert_eq!(store.delete("key", Some(&Etag::new("pinned"))).await.unwrap_err().kind, ErrorKind::Precondition);
    assert_eq!(server.lines(), ["HEAD /bucket/key"], "a server that ignores If-Match must not be asked");
    store.delete("key", Some(&Etag::new("other"))).await.unwrap();
    assert_eq!(server.requests()[2].line(), "DELETE /bucket/key");
    assert_eq!(server.requests()[2].header("if-match"), Some("\"other\""));
}

/// Ceph 16 and S3Proxy.
#[tokio::test]
async fn a_delete_that_is_refused_under_the_right_etag_is_made_without_it() {
    let server = Server::start(|_, request| match (request.method.as_str(), request.header("if-match")) {
        ("HEAD", _) => Answer::object("\"v\"", "bytes"),
        (_, Some(_)) => Answer::error(412, "PreconditionFailed"),
        _ => Answer::new(204, ""),
    })
    .await;
    unknown(&server).await.delete("key", Some(&Etag::new("v"))).await.unwrap();
    let last = server.requests().pop().unwrap();
    assert_eq!((last.line().as_str(), last.header("if-match")), ("DELETE /bucket/key", None));
}

/// Swift answers NoSuchKey, others with no code at all.
#[tokio::test]
async fn an_upload_that_is_not_there_needs_no_aborting_whatever_the_404_says() {
    for answer in [Answer::error(404, "NoSuchUpload"), Answer::error(404, "NoSuchKey"), Answer::new(404, "")] {
        let server = Server::start(move |_, _| answer.clone()).await;
        store(&server).await.abort_upload("key", "upload").await.unwrap();
    }
}

#[tokio::test]
async fn a_completion_without_an_etag_is_looked_at() {
    for etag in ["", "<ETag></ETag>", "<ETag>\"\"</ETag>"] {
        let server = Server::start(move |_, request| match request.method.as_str() {
            "HEAD" => Answer::object("\"v\"", "bytes"),
            _ => Answer::new(200, format!("<CompleteMultipartUploadResult>{etag}</CompleteMultipartUploadResult>")),
        })
        .await;
        let completed = store(&server).await.complete_upload("key", "upload", &["part".to_owned()], true).await;
        assert_eq!(completed.unwrap().as_str(), "v", "{etag}");
    }
}

#[tokio::test]
async fn conflicts_of_conditional_writes_are_failed_conditions() {
    let server = Server::start(|_, _| Answer::error(409, "ConditionalRequestConflict")).await;
    let store = store(&server).await;
    let put = store.put("key", Bytes::new(), Condition::Match(&Etag::new("v"))).await.unwrap_err();
    let complete = store.complete_upload("key", "upload", &["part".to_owned()], true).await.unwrap_err();
    assert_eq!((put.kind, complete.kind), (ErrorKind::Precondition, ErrorKind::Precondition));
}

/// What a server was sent it may send back, with a terminal's commands and at any length.
#[tokio::test]
async fn what_a_server_says_shows_no_credential_and_commands_no_terminal() {
    const TOKEN: &str = "a-session/token+of==an-hour";
    let connection = |url: &str| {
        let mut connection = connection(url);
        connection.credentials = Credentials::Static {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_access_key: SECRET.to_owned(),
            session_token: Some(TOKEN.to_owned()),
        };
        connection
    };
    let chain = |error: &dyn std::error::Error| {
        std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>()
    };
    for (status, code) in [
        (400, "Hostile"),
        (501, "NotImplemented"),
        (400, "Host&#27;[2Jile"),
        (301, "PermanentRedirect"),
        (503, "SlowDown"),
    ] {
        let server = Server::start(move |_, request| {
            let sent = |name: &str| request.header(name).unwrap_or_default().to_owned();
            let said = format!(
                "{} {} {SECRET} a%2Dsession%2Ftoken%2Bof%3D%3Dan-hour a-session%2Ftoken%2Bof%3D%3Dan-hour &#27;]0;owned&#7;&#10;error: forged {}",
                sent("authorization"),
                sent("x-amz-security-token"),
                "and on ".repeat(100_000),
            );
            Answer::new(status, format!("<Error><Code>{code}</Code><Message>expecting '{said}'</Message></Error>"))
        })
        .await;
        let error = open(&connection(&server.url)).await.put("key", Bytes::new(), Condition::Any).await.unwrap_err();
        assert!(server.requests()[0].header("x-amz-security-token") == Some(TOKEN));
        for text in chain(&error) {
            for secret in [SECRET, TOKEN, "AKIAIOSFODNN7EXAMPLE", "token%2Bof"] {
                assert!(!text.contains(secret), "{code}: {text}");
            }
            assert!(text.len() < 800 && !text.contains(char::is_control), "{code}: {text:?}");
        }
        assert!(
            error.to_string().starts_with("PutObject s3://bucket/key: ")
                && error.to_string().contains("(endpoint") == (status != 501)
        );
    }
}

/// An etag is the server's too, and stands in messages.
#[tokio::test]
async fn an_etag_is_no_message() {
    let server = Server::start(|_, _| Answer::object(&format!("\"{SECRET}{}\"", "e".repeat(6000)), "bytes")).await;
    let error = whole(store(&server).await.get("key", None, Some(&Etag::new("pinned"))).await).await.unwrap_err();
    assert!(error.to_string().len() < 4200 && !error.to_string().contains(SECRET), "{error}");
}
