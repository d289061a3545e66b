//! Certificates: the machine's roots, a CA of the connection, or none at all.

use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use s3sync::model::connection::Connection;
use s3sync::store::s3::{Proxies, S3Store};
use s3sync::store::{ErrorKind, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::server::{Answer, Server};
use crate::support::{connection, open, open_through};

/// A server for `localhost` whose certificate a CA of its own has signed; the CA in PEM.
async fn server() -> (Server, Vec<u8>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let tls = TlsAcceptor::from(Arc::new(config));
    let server = Server::start_on(Some(tls), |_, _| Answer::object("\"v\"", "bytes")).await;
    (server, ca.pem().into_bytes())
}

#[tokio::test]
async fn an_unknown_certificate_is_refused_at_once() {
    let (server, _) = server().await;
    let error = open(&connection(&server.url)).await.head("key").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Other);
    assert!(error.to_string().contains("set caSecretRef to its CA, or insecureSkipVerify"), "{error}");
    assert_eq!(server.lines(), [""; 0], "nothing was sent to a stranger");
}

#[tokio::test]
async fn a_ca_of_the_connection_is_trusted() {
    let (server, ca) = server().await;
    let connection = Connection { ca_pem: Some(ca), ..connection(&server.url) };
    assert_eq!(open(&connection).await.head("key").await.unwrap().size, 5);
}

#[tokio::test]
async fn a_ca_vouches_for_its_names_only() {
    let (server, ca) = server().await;
    let url = server.url.replace("localhost", "127.0.0.1");
    let error = open(&Connection { ca_pem: Some(ca), ..connection(&url) }).await.head("key").await.unwrap_err();
    assert!(error.to_string().contains("the server's certificate is not accepted"), "{error}");
}

#[tokio::test]
async fn verification_can_be_skipped() {
    let (server, _) = server().await;
    let connection = Connection { insecure_skip_verify: true, ..connection(&server.url) };
    assert_eq!(open(&connection).await.head("key").await.unwrap().size, 5);
}

#[tokio::test]
async fn a_ca_that_is_none_is_refused() {
    for (pem, words) in [
        ("", "holds no certificate"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be used"),
    ] {
        let connection = Connection { ca_pem: Some(pem.into()), ..connection("https://localhost:1") };
        let error = S3Store::connect(&connection, "bucket").await.unwrap_err();
        assert!(error.to_string().contains(words) && error.to_string().contains("check caSecretRef"), "{error}");
    }
}

/// A proxy that opens tunnels, and what it was asked: the request line and the credentials of each tunnel.
async fn proxy() -> (String, Arc<Mutex<Vec<(String, Option<String>)>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let line = head.lines().next().unwrap().to_owned();
                let credentials = head
                    .lines()
                    .find_map(|line| line.to_lowercase().strip_prefix("proxy-authorization: ").map(str::to_owned));
                let target = line.split(' ').nth(1).unwrap().to_owned();
                seen.lock().unwrap().push((line, credentials));
                let mut server = TcpStream::connect(target).await.unwrap();
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (address, asked)
}

#[tokio::test]
async fn https_goes_through_the_proxy_of_the_environment() {
    let (server, ca) = server().await;
    let (address, asked) = proxy().await;
    let connection = Connection { ca_pem: Some(ca), ..connection(&server.url) };
    let target = server.url.trim_start_matches("https://").to_owned();
    let through = |proxies| async { open_through(&connection, proxies).await.head("key").await.unwrap().size };
    assert_eq!(through(Proxies::new(&format!("http://me:secret@{address}"), "")).await, 5);
    let expected = (format!("CONNECT {target} HTTP/1.1"), Some("basic bwu6c2vjcmv0".to_owned()));
    assert_eq!(
        asked.lock().unwrap().as_slice(),
        std::slice::from_ref(&expected),
        "the tunnel, and me:secret in lower-cased base64"
    );
    assert_eq!(through(Proxies::new(&format!("http://{address}"), "localhost")).await, 5);
    assert_eq!(asked.lock().unwrap().len(), 1, "NO_PROXY goes straight");
    let error =
        open_through(&connection, Proxies::new("socks5://127.0.0.1:1", "")).await.head("key").await.unwrap_err();
    assert!(error.to_string().contains("not reached by http://"), "{error}");
}
