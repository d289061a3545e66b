//! A real MinIO, whose address and root keys `tests/run` puts into the environment. A test fails where they are
//! missing: what was not run has not passed.

use std::sync::Arc;

use aws_sdk_s3::config::{BehaviorVersion, Credentials as Keys, Region};
use bytes::Bytes;
use futures::TryStreamExt;
use s3sync::model::connection::{Connection, Credentials, Endpoint};
use s3sync::model::settings::ObjectAttributes;
use s3sync::store::contract::{self, Expected};
use s3sync::store::{Condition, ErrorKind, Side, Store, StoreError, connect};

pub fn required(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run tests/run, which starts MinIO"))
}

/// The server at an address, with the keys that all of them have.
pub fn connection_to(endpoint: &str) -> Connection {
    Connection { endpoint: Endpoint::Url(endpoint.to_owned()), ..root() }
}

fn connection(access_key_id: String, secret_access_key: String) -> Connection {
    Connection {
        endpoint: Endpoint::Url(required("S3SYNC_TEST_ENDPOINT")),
        region: None,
        path_style: true,
        credentials: Credentials::Static { access_key_id, secret_access_key, session_token: None },
        role: None,
        requester_pays: false,
        ca_pem: None,
        insecure_skip_verify: false,
        protection: Default::default(),
    }
}

fn root() -> Connection {
    connection(required("S3SYNC_TEST_ACCESS_KEY"), required("S3SYNC_TEST_SECRET_KEY"))
}

/// A client of the SDK's own, for what a store does not do.
fn admin() -> aws_sdk_s3::Client {
    admin_of(&required("S3SYNC_TEST_ENDPOINT"))
}

/// The same for another server.
pub fn admin_of(endpoint: &str) -> aws_sdk_s3::Client {
    let keys = Keys::new(required("S3SYNC_TEST_ACCESS_KEY"), required("S3SYNC_TEST_SECRET_KEY"), None, None, "test");
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .credentials_provider(keys)
        .force_path_style(true)
        .http_client(aws_smithy_http_client::Builder::new().build_http());
    aws_sdk_s3::Client::from_conf(config.build())
}

/// A bucket of its own for each test.
async fn bucket(name: &str) -> (String, Arc<dyn Store>) {
    let bucket = format!("store-{name}-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
    admin().create_bucket().bucket(&bucket).send().await.expect("create a bucket");
    let store = connect(&root(), &bucket, Side::Destination).await.expect("connect");
    (bucket, store)
}

async fn first_page(store: &dyn Store) -> Result<usize, StoreError> {
    Ok(store.list("", None).try_next().await?.map_or(0, |page| page.len()))
}

#[tokio::test]
async fn keeps_the_contract() {
    let (_, store) = bucket("contract").await;
    contract::check(
        store,
        "some/prefix/",
        Expected { conditional_writes: true, metadata: true, staged_etags: false, strict_uploads: true },
    )
    .await;
}

#[tokio::test]
async fn sets_attributes_on_uploads() {
    let (bucket, store) = bucket("attributes").await;
    let pairs =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let attributes = ObjectAttributes {
        storage_class: Some("REDUCED_REDUNDANCY".to_owned()),
        tags: pairs(&[("cost center", "a+b=c/d@e"), ("team", "data")]),
        metadata: pairs(&[("origin", "test")]),
        ..ObjectAttributes::default()
    };
    let upload = store.create_upload("key", "the-id", &attributes).await.unwrap();
    let part = store.upload_part("key", &upload, 1, vec![Bytes::from_static(b"bytes")]).await.unwrap();
    store.complete_upload("key", &upload, &[part], true).await.unwrap();
    assert_eq!(store.head("key").await.unwrap().id.as_deref(), Some("the-id"));

    let head = admin().head_object().bucket(&bucket).key("key").send().await.unwrap();
    assert_eq!(head.metadata().unwrap().get("origin").map(String::as_str), Some("test"));
    assert_eq!(head.storage_class().map(|class| class.as_str()), Some("REDUCED_REDUNDANCY"));
    let tags = admin().get_object_tagging().bucket(&bucket).key("key").send().await.unwrap();
    let mut tags: Vec<_> = tags.tag_set().iter().map(|tag| (tag.key(), tag.value())).collect();
    tags.sort_unstable();
    assert_eq!(tags, [("cost center", "a+b=c/d@e"), ("team", "data")]);
}

#[tokio::test]
async fn says_that_a_bucket_is_missing() {
    let store = connect(&root(), "no-such-bucket-anywhere", Side::Source).await.unwrap();
    let error = first_page(&*store).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoSuchBucket);
    let expected =
        "ListObjectsV2 s3://no-such-bucket-anywhere/: no such bucket: check bucket and endpoint (endpoint http://";
    assert!(error.to_string().starts_with(expected), "{error}");
    let error = store.create_upload("key", "id", &ObjectAttributes::default()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoSuchBucket);
    let error = store.put("key", Bytes::new(), Condition::Any).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoSuchBucket);
}

#[tokio::test]
async fn says_that_keys_are_wrong() {
    let (bucket, _) = bucket("denied").await;
    let wrong = [
        connection(required("S3SYNC_TEST_ACCESS_KEY"), "not-the-secret".to_owned()),
        connection("nobody".to_owned(), "not-the-secret".to_owned()),
    ];
    for connection in wrong {
        let store = connect(&connection, &bucket, Side::Source).await.unwrap();
        let error = first_page(&*store).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied);
        assert!(error.to_string().contains("check secretRef"), "{error}");
        assert!(!format!("{error:?}{store:?}").contains("not-the-secret"), "{error:?}");
        assert_eq!(store.head("key").await.unwrap_err().kind, ErrorKind::Denied, "HEAD has no body to say more");
    }
}

#[tokio::test]
async fn reads_public_buckets_without_keys() {
    let (bucket, store) = bucket("public").await;
    store.put("open/key", Bytes::from_static(b"for all"), Condition::Any).await.unwrap();
    store.put("closed/key", Bytes::from_static(b"for few"), Condition::Any).await.unwrap();
    let policy = format!(
        r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::{bucket}/open/*"}}]}}"#
    );
    admin().put_bucket_policy().bucket(&bucket).policy(policy).send().await.unwrap();
    let anonymous = Connection { credentials: Credentials::Anonymous, ..root() };
    let anybody = connect(&anonymous, &bucket, Side::Source).await.unwrap();
    let body = anybody.get("open/key", None, None).await.unwrap();
    assert_eq!(body.bytes.try_collect::<Vec<_>>().await.unwrap().concat(), b"for all");
    let error = anybody.get("closed/key", None, None).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(error.to_string().contains("closed/key: access denied: allow s3:GetObject"), "{error}");
}

#[tokio::test]
async fn tells_the_servers_time() {
    let (_, store) = bucket("time").await;
    let (here, there) = (jiff::Timestamp::now(), store.server_time());
    assert!((there.as_second() - here.as_second()).abs() <= 2, "{here} {there}");
}
