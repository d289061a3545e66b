//! Listings: decoded, followed page by page, one page ahead of their reader, and ended where a server does not advance.

use futures::TryStreamExt;
use s3sync::store::Store;

use crate::server::{Answer, Server};
use crate::support::store;

#[tokio::test]
async fn listings_are_decoded_and_followed() {
    let page = |keys: &[&str], more: &str, encoding: &str| {
        let contents: String = keys
            .iter()
            .map(|key| {
                format!("<Contents><Key>{key}</Key><ETag>&quot;e&quot;</ETag><Size>3</Size><LastModified>2026-11-21T10:00:00.123Z</LastModified></Contents>")
            })
            .collect();
        Answer::new(200, format!("<ListBucketResult>{contents}{more}{encoding}</ListBucketResult>"))
    };
    let url = "<EncodingType>url</EncodingType>";
    let server = Server::start(move |number, _| match number {
        0 => page(
            &["a%2Bb", "a+b"],
            "<IsTruncated>true</IsTruncated><NextContinuationToken>to+ken=</NextContinuationToken>",
            url,
        ),
        1 => page(&[], "<IsTruncated>true</IsTruncated><NextContinuationToken>second</NextContinuationToken>", url),
        2 => page(&["%C3%BC%0A"], "<IsTruncated>false</IsTruncated>", url),
        _ => page(&["a%2Bb+c"], "", ""),
    })
    .await;
    let store = store(&server).await;
    let keys = async || {
        let pages: Vec<_> = store.list("a/b c", Some("a/b")).try_collect().await.unwrap();
        pages.concat().into_iter().map(|object| object.key).collect::<Vec<_>>()
    };
    assert_eq!(keys().await, ["a+b", "a b", "ü\n"]);
    assert_eq!(keys().await, ["a%2Bb+c"], "a server that does not encode is taken at its word");
    let requests = server.requests();
    assert!(
        requests.iter().all(|request| request.asks("encoding-type=url") && request.asks("prefix=a%2Fb%20c")),
        "{requests:?}"
    );
    assert!(requests[0].asks("start-after=a%2Fb") && !requests[1].query.contains("start-after"));
    assert!(requests[1].asks("continuation-token=to%2Bken%3D"), "{}", requests[1].query);
}

#[tokio::test]
async fn a_listing_that_does_not_advance_ends_in_an_error() {
    let server = Server::start(|_, _| {
        Answer::new(
            200,
            "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>same</NextContinuationToken></ListBucketResult>",
        )
    })
    .await;
    let error = store(&server).await.list("", None).try_collect::<Vec<_>>().await.unwrap_err();
    assert!(error.to_string().contains("again and again"), "{error}");
    assert_eq!(server.lines().len(), 2);
}

#[tokio::test]
async fn a_listing_is_one_page_ahead_of_its_reader() {
    let server = Server::start(|number, _| {
        Answer::new(
            200,
            format!(
                "<ListBucketResult><Contents><Key>{number:03}</Key><ETag>e</ETag><Size>3</Size><LastModified>2026-11-21T10:00:00Z</LastModified></Contents>\
                 <IsTruncated>true</IsTruncated><NextContinuationToken>t{number}</NextContinuationToken></ListBucketResult>"
            ),
        )
    })
    .await;
    let store = store(&server).await;
    let mut pages = store.list("", None);
    assert_eq!(pages.try_next().await.unwrap().unwrap()[0].key, "000");
    while server.lines().len() < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    // The second page is there and nobody has taken it: no third request comes.
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert_eq!(server.lines().len(), 2);
}

#[tokio::test]
async fn uploads_under_way_are_those_of_exactly_the_key() {
    let server = Server::start(|number, _| {
        let upload = |key: &str, id: &str| format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId></Upload>");
        let next = |key: &str| {
            format!("<IsTruncated>true</IsTruncated><NextKeyMarker>{key}</NextKeyMarker><NextUploadIdMarker>m</NextUploadIdMarker>")
        };
        let inner = match number {
            0 => upload("a+b", "1") + &next("a+b"),
            1 => upload("a+b", "2") + &upload("a+bc", "3") + &next("a+bc"),
            _ => String::new(),
        };
        Answer::new(200, format!("<ListMultipartUploadsResult><EncodingType>url</EncodingType>{inner}</ListMultipartUploadsResult>"))
    })
    .await;
    assert_eq!(store(&server).await.list_uploads("a b").await.unwrap(), ["1", "2"]);
    assert_eq!(server.lines().len(), 2, "behind the key's uploads nothing is asked for");
}
