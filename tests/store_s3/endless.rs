//! What the store makes of servers that never end: whoever sends, memory and time are bounded (invariant I6).

use futures::TryStreamExt;
use s3sync::store::{ErrorKind, Store, StoreError};

use crate::server::{Answer, Server};
use crate::support::store;

/// What an answer may have, and what is on its way when its reader has had enough.
const READ_BYTES_MAX: usize = (8 << 20) + (8 << 20);

fn refused(error: &StoreError, server: &Server, words: &str) {
    assert_eq!(error.kind, ErrorKind::Other, "{error}");
    assert!(error.to_string().contains(words), "{error}");
    let sent = server.sent_bytes();
    assert!(sent < READ_BYTES_MAX, "{sent} bytes were read");
}

const ENTRY: &str =
    "<Contents><Key>k</Key><ETag>e</ETag><Size>3</Size><LastModified>2026-11-21T10:00:00Z</LastModified></Contents>";

#[tokio::test]
async fn an_endless_answer_is_given_up_at_its_bound() {
    // Many elements, few and long ones, and none that is ever closed.
    for again in [
        ENTRY.repeat(1000),
        "<Contents/>".repeat(1000),
        "x".repeat(64 << 10),
        format!("<Key>{}</Key>", "x".repeat(64 << 10)),
    ] {
        let server = Server::start(move |_, _| Answer::new(200, "<ListBucketResult>").endless(again.clone())).await;
        let store = store(&server).await;
        refused(
            &store.list("", None).try_collect::<Vec<_>>().await.unwrap_err(),
            &server,
            "the answer has more than 8 MiB",
        );
        assert_eq!(server.lines().len(), 1, "another try would bring the same");
    }
}

#[tokio::test]
async fn every_answer_but_an_objects_bytes_is_bounded() {
    for status in [200, 403, 404, 500] {
        for call in ["parts", "uploads", "create", "complete", "abort", "delete", "put", "get"] {
            if (status, call) == (200, "get") {
                continue;
            }
            let server = Server::start(move |_, _| {
                Answer::new(status, "<Error>").with("etag", "e").endless("x".repeat(64 << 10))
            })
            .await;
            let store = store(&server).await;
            let part = ["part".to_owned()];
            let error = match call {
                "parts" => store.list_parts("key", "u").await.err(),
                "uploads" => store.list_uploads("key").await.err(),
                "create" => store.create_upload("key", "id", &Default::default()).await.err(),
                "complete" => store.complete_upload("key", "u", &part, false).await.err(),
                "abort" => store.abort_upload("key", "u").await.err(),
                "delete" => store.delete("key", None).await.err(),
                "put" => store.put("key", Default::default(), s3sync::store::Condition::Any).await.err(),
                _ => store.get("key", None, None).await.err(),
            };
            refused(&error.unwrap_or_else(|| panic!("{status} {call}")), &server, "the answer has more than 8 MiB");
        }
    }
}

#[tokio::test]
async fn an_objects_bytes_are_not_bounded() {
    const WHOLE: usize = 20 << 20;
    let server = Server::start(|_, _| Answer::object("\"v\"", vec![b'<'; WHOLE])).await;
    let mut body = store(&server).await.get("key", None, None).await.unwrap();
    let mut read = 0;
    while let Some(bytes) = body.bytes.try_next().await.unwrap() {
        read += bytes.len();
    }
    assert_eq!(read, WHOLE);
}

/// A page with these keys that says that another follows.
fn page(keys: &[&str], token: &str) -> Answer {
    let contents: String = keys.iter().map(|key| ENTRY.replace("<Key>k</Key>", &format!("<Key>{key}</Key>"))).collect();
    let more = format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>");
    Answer::new(200, format!("<ListBucketResult>{contents}{more}</ListBucketResult>"))
}

#[tokio::test]
async fn listings_that_lead_nowhere_end() {
    let fresh = Server::start(|number, _| page(&[], &format!("t{number}"))).await;
    let error = store(&fresh).await.list("", None).try_collect::<Vec<_>>().await.unwrap_err();
    refused(&error, &fresh, "empty pages without end");
    assert!(fresh.lines().len() <= 1001, "{}", fresh.lines().len());
    // Circles of every length, with objects and without, behind pages that are no part of them.
    for length in [2, 3, 7, 40] {
        for keys in [&[][..], &["a"]] {
            let server = Server::start(move |number, _| {
                let place = if number < 5 { number } else { 5 + (number - 5) % length };
                page(keys, &format!("t{place}"))
            })
            .await;
            let error = store(&server).await.list("", None).try_collect::<Vec<_>>().await.unwrap_err();
            refused(&error, &server, "the same pages again and again");
            assert!(server.lines().len() < 4 * (length + 5), "{}", server.lines().len());
        }
    }
}

#[tokio::test]
async fn a_listing_that_is_only_long_goes_on() {
    let server = Server::start(|number, _| match number {
        3000 => Answer::new(200, "<ListBucketResult></ListBucketResult>"),
        // Nothing for most pages, and then something.
        _ if number % 900 < 899 => page(&[], &format!("t{number}")),
        _ => page(&[&format!("{number:05}")], &format!("t{number}")),
    })
    .await;
    let pages: Vec<_> = store(&server).await.list("", None).try_collect().await.unwrap();
    assert_eq!(pages.len(), 3);
}

#[tokio::test]
async fn listings_of_uploads_and_parts_end_too() {
    let server = Server::start(|number, _| {
        let marker = ["a", "b"][number % 2];
        let more =
            format!("<IsTruncated>true</IsTruncated><NextKeyMarker>key</NextKeyMarker><NextUploadIdMarker>{marker}</NextUploadIdMarker>");
        Answer::new(200, format!("<ListMultipartUploadsResult>{more}</ListMultipartUploadsResult>"))
    })
    .await;
    refused(&store(&server).await.list_uploads("key").await.unwrap_err(), &server, "again and again");
    let server = Server::start(|number, _| {
        let more =
            format!("<IsTruncated>true</IsTruncated><NextPartNumberMarker>{}</NextPartNumberMarker>", number % 2);
        let parts = "<Part><PartNumber>1</PartNumber><ETag>e</ETag></Part>".repeat(1000);
        Answer::new(200, format!("<ListPartsResult>{more}{parts}</ListPartsResult>"))
    })
    .await;
    refused(&store(&server).await.list_parts("key", "u").await.unwrap_err(), &server, "more than 10000 parts");
}

#[tokio::test]
async fn names_of_great_length_are_refused() {
    for (entry, words) in [
        (ENTRY.replace("<Key>k</Key>", &format!("<Key>{}</Key>", "k".repeat(1025))), "a key of 1025 bytes"),
        (ENTRY.replace("<ETag>e</ETag>", &format!("<ETag>{}</ETag>", "e".repeat(2000))), "an etag of 2000 bytes"),
    ] {
        let server =
            Server::start(move |_, _| Answer::new(200, format!("<ListBucketResult>{entry}</ListBucketResult>"))).await;
        refused(&store(&server).await.list("", None).try_collect::<Vec<_>>().await.unwrap_err(), &server, words);
    }
}
