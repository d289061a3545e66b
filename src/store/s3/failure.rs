//! What an error of the SDK means: for the caller, for the next try, and in words. No text here comes from a request;
//! of the SDK's errors only their sentences are kept, not their contents. A server may say anything, also what it was
//! sent: its words go through [`secrets::words`].

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::client::Change;
use super::http::TooLong;
use crate::store::{ErrorKind, secrets};

/// A failed call.
pub(super) struct Failure {
    pub(super) kind: ErrorKind,
    pub(super) message: String,
    pub(super) remedy: Remedy,
    /// Whether there were no credentials to sign it with.
    pub(super) unsigned: bool,
    /// What the client said, for the chain of causes.
    pub(super) cause: Option<Cause>,
}

/// What may make the next try succeed.
pub(super) enum Remedy {
    Nothing,
    /// Waiting.
    Wait,
    /// Another client.
    Change(Change),
}

/// A sentence of an error chain, without what the error held.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct Cause {
    text: String,
    source: Option<Box<Cause>>,
}

impl Cause {
    fn of(error: &(dyn Error + 'static)) -> Self {
        // What is below says which value of the configuration is not as it should be, and that may be a key.
        let ends = matches!(error.downcast_ref(), Some(CredentialsError::InvalidConfiguration(_)));
        let source = below(error).filter(|_| !ends).map(|source| Box::new(Self::of(source)));
        Self { text: secrets::words(&error.to_string()), source }
    }
}

/// The next error down the chain. An `io::Error` shows as its source the source of what it wraps, so what it wraps is
/// taken instead.
fn below<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<std::io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| below(*error))
}

impl Failure {
    /// What a failed call means. `op` is the call in the words of the S3 API.
    pub(super) fn of<E>(op: &'static str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let mut failure = match error {
            _ if let Some(what) = foreign(error) => {
                let server = error.raw_response().and_then(|raw| raw.headers().get("server")).unwrap_or("the server");
                let message = format!(
                    "{server} answers otherwise than S3 ({what}): use another server, or another version of it"
                );
                failure(ErrorKind::Unsupported, message)
            }
            SdkError::ServiceError(service) => {
                let (raw, error) = (service.raw(), service.err());
                let region = raw.headers().get("x-amz-bucket-region").map(str::to_owned);
                Answer {
                    op,
                    status: raw.status().as_u16(),
                    code: error.code().unwrap_or_default(),
                    said: error.message(),
                    region,
                }
                .meaning()
            }
            // Another try would bring the same.
            SdkError::ResponseError(_) if chain(error).any(|cause| cause.is::<TooLong>()) => {
                failure(ErrorKind::Other, format!("{TooLong}: check that the endpoint is an S3 service"))
            }
            // The head came, the body broke or was no XML: as good as no answer.
            SdkError::ResponseError(_) => unavailable("the answer broke off"),
            SdkError::TimeoutError(_) => unavailable("no answer in time"),
            SdkError::ConstructionFailure(_) => unsent(error, false),
            SdkError::DispatchFailure(dispatch) => unsent(error, !dispatch.is_user()),
            _ => unsent(error, true),
        };
        failure.cause = Some(Cause::of(error));
        failure
    }

    /// A body that broke while it was read.
    pub(super) fn of_body(error: impl Error + 'static) -> Self {
        Self { cause: Some(Cause::of(&error)), ..unavailable("the body broke off") }
    }
}

/// What the SDK says of a document that is whole and is not the one that S3 gives: its root has another name. Its error
/// is not public beyond its words, `…invalid XML root: expected X but got …`.
fn foreign(error: &(dyn Error + 'static)) -> Option<String> {
    let said = chain(error).map(ToString::to_string).find(|said| said.contains("invalid XML root"))?;
    let (_, expected) = said.split_once("expected ")?;
    let name: String = expected.chars().take_while(char::is_ascii_alphanumeric).collect();
    Some(format!("expected {name}, got a document of another name"))
}

fn failure(kind: ErrorKind, message: impl Into<String>) -> Failure {
    Failure { kind, message: message.into(), remedy: Remedy::Nothing, unsigned: false, cause: None }
}

fn unavailable(message: impl Into<String>) -> Failure {
    Failure { remedy: Remedy::Wait, ..failure(ErrorKind::Unavailable, message) }
}

/// A request that was not answered, or not even sent; whether it was well formed.
fn unsent(error: &(dyn Error + 'static), sendable: bool) -> Failure {
    for cause in chain(error) {
        if let Some(credentials) = cause.downcast_ref::<CredentialsError>() {
            return Failure { unsigned: true, ..no_credentials(credentials) };
        }
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return match tls {
                rustls::Error::InvalidCertificate(why) => failure(
                    ErrorKind::Other,
                    format!(
                        "the server's certificate is not accepted ({}): set caSecretRef to its CA, or insecureSkipVerify",
                        secrets::words(&why.to_string())
                    ),
                ),
                other => {
                    let why = secrets::words(&other.to_string());
                    failure(
                        ErrorKind::Other,
                        format!("TLS failed ({why}): check that the endpoint's scheme and port belong together"),
                    )
                }
            };
        }
    }
    let last = secrets::words(&chain(error).last().map(ToString::to_string).unwrap_or_default());
    if sendable {
        unavailable(format!("the endpoint does not answer ({last}): check endpoint and network"))
    } else {
        failure(ErrorKind::Other, format!("the request cannot be made ({last}): check bucket, key and endpoint"))
    }
}

fn no_credentials(error: &CredentialsError) -> Failure {
    /// Codes of STS that waiting does not change.
    const REFUSALS: [&str; 6] = [
        "AccessDenied",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "InvalidIdentityToken",
        "UnrecognizedClient",
    ];
    /// What the SDK's providers say when a machine's or a container's metadata service answers 401 or 403: there is
    /// one, and it gives us nothing. Their errors are not public beyond their words.
    const CLOSED: [&str; 5] =
        ["(code: 401)", "(code: 403)", "request forbidden: IMDS", "StatusCode(401)", "StatusCode(403)"];
    let says = |words: &[&str]| {
        chain(error).map(ToString::to_string).any(|said| words.iter().any(|words| said.contains(words)))
    };
    let (refused, closed) = (says(&REFUSALS), says(&CLOSED));
    match error {
        CredentialsError::CredentialsNotLoaded(_) => failure(
            ErrorKind::Denied,
            "no credentials were found: set secretRef, profile or anonymous, or give the environment or the service account some",
        ),
        // Not what is wrong with it: the SDK says that with the value, or the line of the file, that it stands in.
        CredentialsError::InvalidConfiguration(_) => failure(
            ErrorKind::Denied,
            "the credentials' configuration is not valid: check the profile, the AWS_* variables, and the files that they name",
        ),
        _ if closed => failure(
            ErrorKind::Denied,
            "no credentials were found, and the metadata service of this machine refuses to give any: set secretRef, profile or anonymous",
        ),
        _ if refused => failure(
            ErrorKind::Denied,
            "the role or token for the credentials was refused: check roleArn and its trust policy",
        ),
        _ => unavailable("the credentials could not be loaded"),
    }
}

/// An answer of the server.
struct Answer<'a> {
    op: &'static str,
    status: u16,
    code: &'a str,
    said: Option<&'a str>,
    /// The bucket's region, where the answer names it.
    region: Option<String>,
}

impl Answer<'_> {
    fn meaning(&self) -> Failure {
        let op = self.op;
        if let Some(region) = self.other_region() {
            let message = format!("the bucket is in region {region}: set region to it");
            return Failure { remedy: Remedy::Change(Change::Region(region)), ..failure(ErrorKind::Other, message) };
        }
        match (self.status, self.code) {
            (_, "NoSuchBucket") => failure(ErrorKind::NoSuchBucket, "no such bucket: check bucket and endpoint"),
            (_, "NoSuchUpload") => failure(ErrorKind::NoSuchUpload, "the upload is not there"),
            // MinIO, when the connection of an earlier completion broke: the parts are taken apart already, the object
            // is not there.
            (_, "InvalidPart") if op == "CompleteMultipartUpload" => {
                failure(ErrorKind::NoSuchUpload, "the upload has lost parts, so it can no longer be completed")
            }
            (_, "NoSuchKey") => failure(ErrorKind::NotFound, "no such key"),
            (_, "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired") => Failure {
                remedy: Remedy::Change(Change::Identity),
                ..failure(ErrorKind::Denied, "the session token has expired: renew the credentials")
            },
            (_, "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken") => failure(
                ErrorKind::Denied,
                format!(
                    "the server does not know the credentials or their secret is wrong ({}): check secretRef or profile",
                    self.code
                ),
            ),
            // By the next try the client has learned the server's time from this answer.
            (_, "RequestTimeTooSkewed") => unavailable("this machine's clock is wrong"),
            (_, "InvalidObjectState") => failure(
                ErrorKind::Archived,
                "the object is archived (GLACIER, DEEP_ARCHIVE or an archive tier): restore it first",
            ),
            (_, "NotImplemented") | (501, _) => {
                failure(ErrorKind::Unsupported, format!("the server does not implement this: {}", self.words()))
            }
            // MinIO's two, Ceph's, and what RFC 4918 has for all.
            (_, "XMinioStorageFull" | "XMinioAdminBucketQuotaExceeded" | "QuotaExceeded") | (507, _) => failure(
                ErrorKind::Full,
                format!(
                    "the server has no room ({}): free some, or raise the bucket's quota, and run again",
                    self.words()
                ),
            ),
            (
                _,
                "SlowDown"
                | "SlowDownRead"
                | "SlowDownWrite"
                | "Throttling"
                | "ThrottlingException"
                | "RequestLimitExceeded",
            )
            | (_, "InternalError" | "ServiceUnavailable" | "RequestTimeout" | "BadDigest" | "OperationAborted")
            | (429 | 500 | 502 | 503 | 504, _) => unavailable(format!("the server answered {}", self.words())),
            (412, _) | (_, "PreconditionFailed") if matches!(op, "GetObject" | "HeadObject") => {
                failure(ErrorKind::Changed, "another version than the listed one stands there")
            }
            (412, _) | (_, "PreconditionFailed" | "ConditionalRequestConflict") => {
                failure(ErrorKind::Precondition, "another version stands there")
            }
            (404, _)
                if matches!(op, "UploadPart" | "CompleteMultipartUpload" | "AbortMultipartUpload" | "ListParts") =>
            {
                failure(ErrorKind::NoSuchUpload, "the upload is not there")
            }
            (404, _) => failure(ErrorKind::NotFound, "no such key"),
            (401 | 403, _) | (_, "AccessDenied" | "AllAccessDisabled") => self.denied(),
            (301 | 307, _) => failure(ErrorKind::Other, "the bucket is served elsewhere: check endpoint and region"),
            _ => failure(ErrorKind::Other, format!("the server answered {}", self.words())),
        }
    }

    fn denied(&self) -> Failure {
        let action = match self.op {
            "HeadObject" => "s3:GetObject",
            "ListObjectsV2" => "s3:ListBucket",
            "CreateMultipartUpload" | "UploadPart" | "CompleteMultipartUpload" | "PutObject" => "s3:PutObject",
            "ListParts" => "s3:ListMultipartUploadParts",
            "ListMultipartUploads" => "s3:ListBucketMultipartUploads",
            "AbortMultipartUpload" => "s3:AbortMultipartUpload",
            "DeleteObject" => "s3:DeleteObject",
            _ => "s3:GetObject",
        };
        let message = format!("access denied: allow {action} to the credentials in use, or check secretRef");
        // HEAD has no body to say that the token has expired.
        let remedy = if self.op == "HeadObject" { Remedy::Change(Change::Identity) } else { Remedy::Nothing };
        Failure { remedy, ..failure(ErrorKind::Denied, message) }
    }

    /// The region to go to, by a redirect or by a signature that was made for another one.
    fn other_region(&self) -> Option<String> {
        let misdirected = matches!(self.status, 301 | 307)
            || matches!(self.code, "AuthorizationHeaderMalformed" | "PermanentRedirect");
        if !misdirected {
            return None;
        }
        let in_words = || {
            let (_, rest) = self.said?.split_once("expecting '")?;
            rest.split_once('\'').map(|(region, _)| region.to_owned())
        };
        self.region.clone().or_else(in_words).filter(|region| is_region(region))
    }

    /// Status, code and the server's own words, as far as there are any.
    fn words(&self) -> String {
        let mut words = self.status.to_string();
        for more in [self.code, self.said.unwrap_or_default()] {
            if !more.is_empty() {
                words.push(' ');
                words.push_str(more.trim_end_matches('.'));
            }
        }
        secrets::words(&words)
    }
}

/// Whether a server's text can be a region: it becomes part of a host name, and of messages.
fn is_region(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_means() {
        for (op, status, code, kind, said) in [
            (
                "PutObject",
                507,
                "XMinioStorageFull",
                ErrorKind::Full,
                "free some, or raise the bucket's quota, and run again",
            ),
            ("CompleteMultipartUpload", 507, "", ErrorKind::Full, "the server has no room (507)"),
            ("PutObject", 403, "QuotaExceeded", ErrorKind::Full, "the server has no room (403 QuotaExceeded)"),
            ("PutObject", 400, "XMinioAdminBucketQuotaExceeded", ErrorKind::Full, "raise the bucket's quota"),
            ("PutObject", 503, "SlowDown", ErrorKind::Unavailable, "the server answered 503 SlowDown"),
            ("PutObject", 400, "KeyTooLongError", ErrorKind::Other, "the server answered 400 KeyTooLongError"),
            ("ListMultipartUploads", 403, "AccessDenied", ErrorKind::Denied, "allow s3:ListBucketMultipartUploads to"),
            ("ListParts", 403, "AccessDenied", ErrorKind::Denied, "allow s3:ListMultipartUploadParts to"),
            ("ListObjectsV2", 403, "AccessDenied", ErrorKind::Denied, "allow s3:ListBucket to"),
            ("HeadObject", 403, "", ErrorKind::Denied, "allow s3:GetObject to"),
            ("UploadPart", 403, "AccessDenied", ErrorKind::Denied, "allow s3:PutObject to"),
            ("AbortMultipartUpload", 403, "AccessDenied", ErrorKind::Denied, "allow s3:AbortMultipartUpload to"),
            ("DeleteObject", 403, "AccessDenied", ErrorKind::Denied, "allow s3:DeleteObject to"),
        ] {
            let failure = Answer { op, status, code, said: None, region: None }.meaning();
            assert_eq!(failure.kind, kind, "{op} {status} {code}");
            assert!(failure.message.contains(said), "{op} {status} {code}: {}", failure.message);
        }
    }

    /// The SDK's sentence below says which line of which file, or which variable, with what stands there.
    #[test]
    fn an_invalid_configuration_prints_no_value() {
        let said = "error parsing ~/.aws/credentials on line 3: expected =, found `wJalrXUtnFEMI/K7MDENG`";
        let error = || CredentialsError::invalid_configuration(said);
        let failure = no_credentials(&error());
        assert_eq!(failure.kind, ErrorKind::Denied);
        assert!(
            failure.message.contains("check the profile") && !failure.message.contains("wJalr"),
            "{}",
            failure.message
        );
        let cause = Cause::of(&std::io::Error::other(error()));
        let causes: Vec<String> = chain(&cause).map(ToString::to_string).collect();
        assert!(causes.len() == 2 && causes.iter().all(|cause| !cause.contains("wJalr")), "{causes:?}");
    }

    #[test]
    fn a_metadata_service_that_refuses_is_not_asked_again() {
        for said in [
            "error response from IMDS (code: 403). Response { .. }",
            "request forbidden: IMDS is disabled or the caller has insufficient permissions.",
            "Non-success status from HTTP credential provider: StatusCode(403)",
        ] {
            let failure = no_credentials(&CredentialsError::provider_error(said));
            assert_eq!(failure.kind, ErrorKind::Denied, "{said}");
            assert!(failure.message.ends_with("set secretRef, profile or anonymous"), "{}", failure.message);
            assert!(matches!(failure.remedy, Remedy::Nothing), "{said}");
        }
        assert_eq!(no_credentials(&CredentialsError::provider_error("503")).kind, ErrorKind::Unavailable);
    }
}
