//! The way out by HTTP, for S3 and for notices: whom TLS trusts, through which proxy, and how long before the next try.
//! One stack for all of it.

pub mod proxy;
pub mod tls;
pub mod tries;

use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;

use self::proxy::{Dial, Proxies};

/// Connections to http:// and https:// servers. `connect`: until TCP stands.
pub fn connector(tls: rustls::ClientConfig, proxies: Proxies, connect: Duration) -> HttpsConnector<Dial> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(connect));
    tcp.set_keepalive(Some(Duration::from_secs(60)));
    HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(Dial::new(tcp, proxies))
}
