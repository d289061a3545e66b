//! The webhook's certificate: made here where nobody else makes one, and checked as the API server will check it. PURE
//! but for the key's chance.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;

/// How long a certificate is good for.
const LIFE: SignedDuration = SignedDuration::from_hours(90 * 24);

/// How long before its end another one is made: as long as a controller may be away, and come back to a webhook that
/// works.
pub const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The line that ends a certificate in PEM.
const PEM_END: &str = "-----END CERTIFICATE-----\n";

/// A certificate, its key and whoever vouches for it, as PEM.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Pems {
    /// Certificates of which one has signed: the latest first.
    pub ca: Vec<u8>,
    /// The certificate.
    pub certificate: Vec<u8>,
    /// Its key.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for Pems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pems").finish_non_exhaustive()
    }
}

/// Cryptography, as everywhere in this program.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Makes a certificate for a Service, signed by an authority of its own whose key is thrown away. `before` is what it
/// takes the place of: its authority is kept beside the new one as long as replicas may still show it.
pub fn make(names: &[String], now: Timestamp, before: Option<&Pems>) -> Result<Pems, rcgen::Error> {
    let day = |time: Timestamp| {
        let date = time.to_zoned(TimeZone::UTC).date();
        date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    let params = |names: &[String], name: &str| -> Result<CertificateParams, rcgen::Error> {
        let mut params = CertificateParams::new(names)?;
        // A day before: clocks differ.
        params.not_before = day(now - SignedDuration::from_hours(24));
        params.not_after = day(now + LIFE);
        params.distinguished_name.push(DnType::CommonName, name);
        Ok(params)
    };
    let mut authority = params(&[], &format!("s3sync webhook CA of {now}"))?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let mut leaf = params(names, "s3sync webhook")?;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = leaf.signed_by(&key, &authority)?.pem();
    let earlier = before.and_then(|before| std::str::from_utf8(&before.ca).ok()?.split_inclusive(PEM_END).next());
    let ca = format!("{}{}", authority.pem(), earlier.unwrap_or_default());
    Ok(Pems { ca: ca.into_bytes(), certificate: certificate.into_bytes(), key: key.serialize_pem().into_bytes() })
}

impl Pems {
    /// What a TLS server shows.
    pub fn certified(&self) -> Result<CertifiedKey, String> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.certificate).collect();
        let chain = chain.map_err(|error| format!("tls.crt is no certificate in PEM: {error}"))?;
        if chain.is_empty() {
            return Err("tls.crt holds no certificate".to_owned());
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| format!("tls.key is no private key in PEM: {error}"))?;
        CertifiedKey::from_der(chain, key, &provider())
            .map_err(|error| format!("tls.crt and tls.key cannot be used together: {error}"))
    }

    /// Whether a client that trusts `ca` alone takes the certificate for that of the host `name`, at that time.
    pub fn holds(&self, name: &str, at: Timestamp) -> bool {
        let Ok(certified) = self.certified() else { return false };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&self.ca).filter_map(Result::ok));
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        let (Ok(verifier), Ok(name)) = (verifier, ServerName::try_from(name)) else { return false };
        let Some((leaf, rest)) = certified.cert.split_first() else { return false };
        let at = UnixTime::since_unix_epoch(Duration::from_secs(at.as_second().unsigned_abs()));
        verifier.verify_server_cert(leaf, rest, &name, &[], at).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "s3sync-webhook.s3sync-system.svc";

    fn days(days: i64) -> Timestamp {
        "2026-11-30T12:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(24 * days)
    }

    fn made(at: Timestamp, before: Option<&Pems>) -> Pems {
        make(&[NAME.to_owned()], at, before).unwrap()
    }

    #[test]
    fn a_certificate_is_good_for_its_name_and_time() {
        let pems = made(days(0), None);
        for (name, at, good) in [
            (NAME, days(0), true),
            (NAME, days(89), true),
            (NAME, days(91), false),
            (NAME, days(-2), false),
            ("s3sync-webhook.elsewhere.svc", days(0), false),
        ] {
            assert_eq!(pems.holds(name, at), good, "{name} at {at}");
        }
        let other = made(days(0), None);
        assert!(!Pems { ca: other.ca.clone(), ..pems.clone() }.holds(NAME, days(0)), "of another authority");
        assert!(!Pems { key: other.key, ..pems.clone() }.holds(NAME, days(0)), "with another key");
        for broken in
            [Pems::default(), Pems { ca: vec![], ..pems.clone() }, Pems { certificate: b"x".to_vec(), ..pems }]
        {
            assert!(!broken.holds(NAME, days(0)));
        }
    }

    #[test]
    fn the_authority_of_before_is_trusted_as_long_as_its_certificate_is_shown() {
        let first = made(days(0), None);
        let second = made(days(60), Some(&first));
        for shown in [&first, &second] {
            assert!(Pems { ca: second.ca.clone(), ..shown.clone() }.holds(NAME, days(60)));
        }
        let third = made(days(120), Some(&second));
        assert!(
            !Pems { ca: third.ca.clone(), ..first }.holds(NAME, days(61)),
            "two are trusted, not all that ever were"
        );
        assert!(!format!("{third:?}").contains("PRIVATE"));
    }
}
