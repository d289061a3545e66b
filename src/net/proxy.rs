//! The way to a server: straight, or through the proxy that the environment names.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::TryFutureExt;
use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

type BoxError = Box<dyn Error + Send + Sync>;

/// Which proxy leads to which server.
#[derive(Clone)]
pub struct Proxies(Arc<Matcher>);

impl Proxies {
    /// `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` of the environment, in either case.
    pub fn from_env() -> Self {
        Self(Arc::new(Matcher::from_env()))
    }

    /// A proxy for https, and the hosts that are reached without it, as the variables give them.
    pub fn new(https: &str, no: &str) -> Self {
        Self(Arc::new(Matcher::builder().https(https.to_owned()).no(no.to_owned()).build()))
    }
}

impl Default for Proxies {
    fn default() -> Self {
        Self::from_env()
    }
}

impl fmt::Debug for Proxies {
    /// Nothing of it: a proxy's address may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies").finish_non_exhaustive()
    }
}

/// Connects to servers. Only https goes through a proxy, by a tunnel that the proxy cannot look into; plain http is for
/// servers nearby and for the machine's own metadata service.
#[derive(Clone, Debug)]
pub struct Dial {
    tcp: HttpConnector,
    proxies: Proxies,
}

impl Dial {
    pub(super) fn new(tcp: HttpConnector, proxies: Proxies) -> Self {
        Self { tcp, proxies }
    }
}

impl Service<Uri> for Dial {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let through = if server.scheme_str() == Some("https") { self.proxies.0.intercept(&server) } else { None };
        let Some(proxy) = through else { return Box::pin(self.tcp.call(server).err_into()) };
        if proxy.uri().scheme_str() != Some("http") {
            return Box::pin(std::future::ready(
                Err("HTTPS_PROXY names a proxy that is not reached by http://".into()),
            ));
        }
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.tcp.clone());
        if let Some(auth) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(auth.clone());
        }
        Box::pin(tunnel.call(server).map_err(|error| format!("through the proxy of HTTPS_PROXY: {error}").into()))
    }
}
