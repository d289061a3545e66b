//! What the store sends: identity, region, and the headers that a connection and an upload's attributes ask for.

use bytes::Bytes;
use futures::TryStreamExt;
use s3sync::model::connection::{Connection, Credentials, Protection, Role};
use s3sync::model::object::Etag;
use s3sync::model::settings::ObjectAttributes;
use s3sync::store::{Condition, ErrorKind, Store};

use crate::server::{Answer, Request, Server};
use crate::support::{SECRET, connection, open, store};

/// A server that does everything it is asked.
async fn obliging() -> Server {
    Server::start(|_, request| match (request.method.as_str(), request.query.as_str()) {
        ("GET", query) if query.contains("list-type=2") => Answer::new(200, "<ListBucketResult></ListBucketResult>"),
        ("GET", query) if query.contains("uploadId") => Answer::new(200, "<ListPartsResult></ListPartsResult>"),
        ("GET", query) if query.contains("uploads") => {
            Answer::new(200, "<ListMultipartUploadsResult></ListMultipartUploadsResult>")
        }
        ("POST", query) if query.contains("uploads") => Answer::new(
            200,
            "<InitiateMultipartUploadResult><UploadId>upload</UploadId></InitiateMultipartUploadResult>",
        ),
        ("POST", _) => {
            Answer::new(200, "<CompleteMultipartUploadResult><ETag>\"v\"</ETag></CompleteMultipartUploadResult>")
        }
        ("DELETE", _) => Answer::new(204, ""),
        _ => Answer::object("\"v\"", "bytes"),
    })
    .await
}

/// Makes every call there is.
async fn every_call(store: &dyn Store) {
    store.list("", None).try_collect::<Vec<_>>().await.unwrap();
    store.get("key", None, Some(&Etag::new("v"))).await.unwrap();
    store.head("key").await.unwrap();
    store.put("key", Bytes::from_static(b"bytes"), Condition::Any).await.unwrap();
    store.delete("key", Some(&Etag::new("v"))).await.unwrap();
    let upload = store.create_upload("key", "id", &ObjectAttributes::default()).await.unwrap();
    let part = store.upload_part("key", &upload, 1, vec![Bytes::from_static(b"bytes")]).await.unwrap();
    store.complete_upload("key", &upload, &[part], false).await.unwrap();
    store.abort_upload("key", &upload).await.unwrap();
    store.list_parts("key", &upload).await.unwrap();
    store.list_uploads("key").await.unwrap();
}

#[tokio::test]
async fn every_request_is_signed_and_plain() {
    let server = obliging().await;
    every_call(&store(&server).await).await;
    let requests = server.requests();
    assert_eq!(requests.len(), 11, "a call is a request");
    for request in requests {
        let authorization = request.header("authorization").unwrap_or_default();
        assert!(
            authorization.contains("Credential=AKIDEXAMPLE/") && authorization.contains("/us-east-1/s3/"),
            "{request:?}"
        );
        assert!(request.path.starts_with("/bucket"), "path style: {request:?}");
        let unwanted =
            |name: &str| name.contains("checksum") || name == "x-amz-trailer" || name == "x-amz-request-payer";
        assert!(
            !request.headers.iter().any(|(name, _)| unwanted(name)),
            "third-party servers know no checksums: {request:?}"
        );
        let chatter = |name: &str| name.starts_with("amz-sdk-") || name == "x-amz-user-agent";
        assert!(
            !request.headers.iter().any(|(name, _)| chatter(name)),
            "nobody has to read what nobody needs: {request:?}"
        );
        assert!(request.header("user-agent").is_some_and(|agent| agent.contains("app/s3sync")), "{request:?}");
        assert_eq!(request.header("accept-encoding"), None, "nobody may compress what we store: {request:?}");
        assert_eq!(request.header("content-encoding"), None, "a body is sent as it is: {request:?}");
    }
}

#[tokio::test]
async fn requester_pays_every_request() {
    let server = obliging().await;
    let connection = Connection { requester_pays: true, ..connection(&server.url) };
    every_call(&open(&connection).await).await;
    for request in server.requests() {
        assert_eq!(request.header("x-amz-request-payer"), Some("requester"), "{request:?}");
        assert!(request.header("authorization").unwrap().contains("x-amz-request-payer"), "it is signed: {request:?}");
    }
}

#[tokio::test]
async fn anonymous_requests_are_not_signed() {
    let server = obliging().await;
    let connection = Connection { credentials: Credentials::Anonymous, ..connection(&server.url) };
    every_call(&open(&connection).await).await;
    assert!(server.requests().iter().all(|request| request.header("authorization").is_none()));
}

#[tokio::test]
async fn a_session_token_is_sent() {
    let server = obliging().await;
    let credentials = Credentials::Static {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: SECRET.to_owned(),
        session_token: Some("the token".to_owned()),
    };
    open(&Connection { credentials, ..connection(&server.url) }).await.head("key").await.unwrap();
    assert_eq!(server.requests()[0].header("x-amz-security-token"), Some("the token"));
}

#[tokio::test]
async fn the_bucket_is_part_of_the_host_name_where_asked() {
    let server = obliging().await;
    let url = server.url.replace("127.0.0.1", "localhost");
    let connection = Connection { path_style: false, ..connection(&url) };
    // `bucket.localhost` resolves to this machine (RFC 6761, 6.3) where the resolver knows the rule; elsewhere the name
    // is in the error.
    match open(&connection).await.head("key").await {
        Ok(_) => assert!(server.requests()[0].header("host").unwrap().starts_with("bucket.localhost")),
        Err(error) => assert_eq!(error.kind, ErrorKind::Unavailable, "{error}"),
    }
    assert!(server.requests().iter().all(|request| request.path == "/key"));
}

#[tokio::test]
async fn attributes_become_headers() {
    let server = obliging().await;
    let pairs =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let attributes = ObjectAttributes {
        acl: Some("bucket-owner-full-control".to_owned()),
        storage_class: Some("STANDARD_IA".to_owned()),
        sse: Some("aws:kms".to_owned()),
        kms_key_id: Some("arn:aws:kms:x".to_owned()),
        tags: pairs(&[("cost center", "a&b")]),
        metadata: pairs(&[("origin", "test")]),
    };
    store(&server).await.create_upload("key", "the-id", &attributes).await.unwrap();
    let requests = server.requests();
    for (name, value) in [
        ("x-amz-acl", "bucket-owner-full-control"),
        ("x-amz-storage-class", "STANDARD_IA"),
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-server-side-encryption-aws-kms-key-id", "arn:aws:kms:x"),
        ("x-amz-tagging", "cost%20center=a%26b"),
        ("x-amz-meta-origin", "test"),
        ("x-amz-meta-s3sync-id", "the-id"),
    ] {
        assert_eq!(requests[0].header(name), Some(value), "{name}");
    }
    store(&server).await.create_upload("key", "id", &ObjectAttributes::default()).await.unwrap();
    let plain = &server.requests()[1];
    for name in ["x-amz-acl", "x-amz-storage-class", "x-amz-server-side-encryption", "x-amz-tagging"] {
        assert_eq!(plain.header(name), None, "{name}");
    }
}

/// What a bucket's policy asks of objects, it asks of our own too.
#[tokio::test]
async fn blobs_are_protected_like_files() {
    let server = obliging().await;
    let protection = Protection {
        acl: Some("bucket-owner-full-control".to_owned()),
        sse: Some("aws:kms".to_owned()),
        kms_key_id: Some("arn:aws:kms:x".to_owned()),
    };
    let connection = Connection { protection, ..connection(&server.url) };
    open(&connection).await.put("key", Bytes::from_static(b"x"), Condition::Absent).await.unwrap();
    for (name, value) in [
        ("x-amz-acl", "bucket-owner-full-control"),
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-server-side-encryption-aws-kms-key-id", "arn:aws:kms:x"),
    ] {
        assert_eq!(server.requests()[0].header(name), Some(value), "{name}");
    }
}

fn region_of(request: &Request) -> String {
    let authorization = request.header("authorization").unwrap();
    authorization.split('/').nth(2).unwrap().to_owned()
}

fn elsewhere(_: usize, request: &Request) -> Answer {
    match region_of(request).as_str() {
        "eu-west-3" => Answer::object("\"v\"", "bytes"),
        _ => Answer::error(301, "PermanentRedirect").with("x-amz-bucket-region", "eu-west-3"),
    }
}

#[tokio::test]
async fn the_buckets_region_is_followed() {
    let server = Server::start(elsewhere).await;
    let store = store(&server).await;
    store.head("key").await.unwrap();
    store.head("key").await.unwrap();
    assert_eq!(server.requests().iter().map(region_of).collect::<Vec<_>>(), ["us-east-1", "eu-west-3", "eu-west-3"]);
}

#[tokio::test]
async fn a_region_that_was_asked_for_is_not_replaced() {
    let server = Server::start(elsewhere).await;
    let connection = Connection { region: Some("eu-central-1".to_owned()), ..connection(&server.url) };
    let error = open(&connection).await.head("key").await.unwrap_err();
    let expected = format!(
        "HeadObject s3://bucket/key: the bucket is in region eu-west-3: set region to it (endpoint {})",
        server.url
    );
    assert_eq!(error.to_string(), expected);
    assert_eq!(server.lines().len(), 1);
}

#[tokio::test]
async fn a_server_that_sends_on_and_on_is_not_followed() {
    let server = Server::start(|number, _| {
        Answer::error(301, "PermanentRedirect").with("x-amz-bucket-region", format!("region-{number}"))
    })
    .await;
    let error = store(&server).await.head("key").await.unwrap_err();
    assert!(error.to_string().contains("the bucket is in region region-1"), "{error}");
    assert_eq!(server.lines().len(), 2);
}

#[tokio::test]
async fn a_role_is_assumed_again_when_its_keys_expire() {
    let server = Server::start(|number, request| {
        if request.path == "/" {
            let keys = format!(
                "<AccessKeyId>ASIA{number}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t{number}</SessionToken>"
            );
            let keys = format!("<Credentials>{keys}<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>");
            return Answer::new(200, format!("<AssumeRoleResponse><AssumeRoleResult>{keys}</AssumeRoleResult></AssumeRoleResponse>"));
        }
        match request.header("x-amz-security-token") {
            Some("t0") if number > 2 => Answer::error(400, "ExpiredToken"),
            _ => Answer::object("\"v\"", "bytes"),
        }
    })
    .await;
    let role = Role {
        arn: "arn:aws:iam::1:role/r".to_owned(),
        session_name: "nightly".to_owned(),
        external_id: Some("e1".to_owned()),
    };
    let store = open(&Connection { role: Some(role), ..connection(&server.url) }).await;
    for _ in 0..3 {
        store.get("key", None, None).await.unwrap();
    }
    let key = "GET /bucket/key";
    assert_eq!(server.lines(), ["POST /", key, key, key, "POST /", key], "keys are kept while they are good");
    let asked = String::from_utf8(server.requests()[0].body.clone()).unwrap();
    for pair in
        ["Action=AssumeRole", "RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr", "RoleSessionName=nightly", "ExternalId=e1"]
    {
        assert!(asked.split('&').any(|found| found == pair), "{pair} in {asked}");
    }
    assert_eq!(server.requests()[5].header("x-amz-security-token"), Some("t4"));
}

#[tokio::test]
async fn a_refused_role_is_named_as_such() {
    let server = Server::start(|_, _| {
        Answer::new(403, "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>")
    })
    .await;
    let role = Role { arn: "arn:aws:iam::1:role/r".to_owned(), session_name: "s3sync".to_owned(), external_id: None };
    let error = open(&Connection { role: Some(role), ..connection(&server.url) }).await.head("key").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(error.to_string().contains("check roleArn"), "{error}");
}

#[tokio::test]
async fn fixed_keys_that_expired_are_not_tried_again() {
    let server = Server::start(|_, _| Answer::error(400, "ExpiredToken")).await;
    let error = store(&server).await.get("key", None, None).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(error.to_string().contains("the session token has expired: renew the credentials"), "{error}");
    assert_eq!(server.lines().len(), 1);
}

#[tokio::test]
async fn no_secret_is_ever_shown() {
    for code in ["SignatureDoesNotMatch", "AccessDenied", "SlowDown", "Strange"] {
        let server = Server::start(move |_, _| Answer::error(400, code)).await;
        let connection = connection(&server.url);
        let store = open(&connection).await;
        let error = store.put("key", Bytes::from_static(b"x"), Condition::Any).await.unwrap_err();
        let mut shown = format!("{error} {error:?} {store:?} {connection:?}");
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            shown.push_str(&format!(" {error} {error:?}"));
            cause = error.source();
        }
        assert!(!shown.contains(SECRET) && !shown.contains("Signature="), "{shown}");
    }
}

#[tokio::test]
async fn the_servers_clock_is_read() {
    let there: jiff::Timestamp = "2031-02-03T04:05:06Z".parse().unwrap();
    let server =
        Server::start(|_, _| Answer::object("\"v\"", "bytes").with("date", "Mon, 03 Feb 2031 04:05:06 GMT")).await;
    let store = store(&server).await;
    store.head("key").await.unwrap();
    let seconds = store.server_time().as_second() - there.as_second();
    assert!((0..60).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn an_endpoint_must_be_a_url() {
    for url in ["minio:9000", "ftp://minio", ""] {
        let error = s3sync::store::s3::S3Store::connect(&connection(url), "bucket").await.unwrap_err();
        assert!(error.to_string().contains("must begin with http:// or https://"), "{error}");
    }
}
