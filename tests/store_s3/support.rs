//! Stores over servers of this test.

use std::time::Duration;

use s3sync::model::connection::{Connection, Credentials, Endpoint};
use s3sync::model::retry::RetryPolicy;
use s3sync::store::s3::{Options, Proxies, S3Store, Timeouts};

use crate::server::Server;

/// Tries of a call here: as in production, but without the long waits.
pub const PATIENT: u32 = 8;

/// Keys that no error may show.
pub const SECRET: &str = "a-very-secret-key";

/// A connection with static keys and path style.
pub fn connection(url: &str) -> Connection {
    Connection {
        endpoint: Endpoint::Url(url.to_owned()),
        region: None,
        path_style: true,
        credentials: Credentials::Static {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: SECRET.to_owned(),
            session_token: None,
        },
        role: None,
        requester_pays: false,
        ca_pem: None,
        insecure_skip_verify: false,
        protection: Default::default(),
    }
}

fn options() -> Options {
    let retries = RetryPolicy::tries(PATIENT, Duration::from_millis(1), Duration::from_millis(4));
    Options { retries, timeouts: Timeouts::default(), proxies: Proxies::new("", "") }
}

/// A store for the bucket `bucket` that tries again at once.
pub async fn open(connection: &Connection) -> S3Store {
    S3Store::connect_with(connection, "bucket", options()).await.unwrap()
}

pub async fn store(server: &Server) -> S3Store {
    open(&connection(&server.url)).await
}

/// The same, through proxies.
pub async fn open_through(connection: &Connection, proxies: Proxies) -> S3Store {
    S3Store::connect_with(connection, "bucket", Options { proxies, ..options() }).await.unwrap()
}

/// The same, and silence of a tenth of a second is too long.
pub async fn impatient_at(connection: &Connection) -> S3Store {
    let silence = Duration::from_millis(100);
    let timeouts = Timeouts { response: silence, idle: silence, ..Timeouts::default() };
    S3Store::connect_with(connection, "bucket", Options { timeouts, ..options() }).await.unwrap()
}

pub async fn impatient(server: &Server) -> S3Store {
    impatient_at(&connection(&server.url)).await
}
