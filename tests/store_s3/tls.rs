//! Certificates: the machine's roots, a CA of the connection, or none at all.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use s3sync::model::connection::Connection;
use s3sync::store::s3::S3Store;
use s3sync::store::{ErrorKind, Store};
use tokio_rustls::TlsAcceptor;

use crate::server::{Answer, Server};
use crate::support::{connection, open};

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
    for (pem, words) in [("", "holds no certificate"), ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be used")]
    {
        let connection = Connection { ca_pem: Some(pem.into()), ..connection("https://localhost:1") };
        let error = S3Store::connect(&connection, "bucket").await.unwrap_err();
        assert!(error.to_string().contains(words) && error.to_string().contains("check caSecretRef"), "{error}");
    }
}
