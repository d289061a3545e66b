//! How one side is reached. Never frozen, never logged: `Debug` shows names and places only.

use std::fmt;
use std::path::PathBuf;

/// One side's connection.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Where the service answers.
    pub endpoint: Endpoint,
    /// The region; `None`: environment, profile, else `us-east-1` with an endpoint.
    pub region: Option<String>,
    /// Whether the bucket stands in the path instead of the host name.
    pub path_style: bool,
    /// Who we are.
    pub credentials: Credentials,
    /// A role to assume with those credentials.
    pub role: Option<Role>,
    /// Sends `x-amz-request-payer: requester`.
    pub requester_pays: bool,
    /// Further root certificates (PEM).
    pub ca_pem: Option<Vec<u8>>,
    /// Accepts any server certificate.
    pub insecure_skip_verify: bool,
    /// What every object that is written here carries.
    pub protection: Protection,
}

/// What a bucket's policy may ask of every object written, our own blobs among them. Output files get it by their
/// attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    /// A canned ACL.
    pub acl: Option<String>,
    /// `AES256`, `aws:kms`, `aws:kms:dsse`.
    pub sse: Option<String>,
    /// The key of `aws:kms`.
    pub kms_key_id: Option<String>,
}

/// Where the service answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// AWS, by region.
    Aws,
    /// An S3 compatible service.
    Url(String),
    /// A directory whose sub-directories are buckets.
    File(PathBuf),
}

/// Who we are.
#[derive(Clone)]
pub enum Credentials {
    /// The SDK's default chain: environment, profile, web identity, container, instance.
    Default,
    /// A named profile of the shared configuration files.
    Profile(String),
    /// Keys from a Secret.
    Static {
        /// `AWS_ACCESS_KEY_ID`
        access_key_id: String,
        /// `AWS_SECRET_ACCESS_KEY`
        secret_access_key: String,
        /// `AWS_SESSION_TOKEN`
        session_token: Option<String>,
    },
    /// Unsigned requests.
    Anonymous,
}

/// A role to assume through STS.
#[derive(Clone, Debug)]
pub struct Role {
    /// The role.
    pub arn: String,
    /// Defaults to `s3sync`.
    pub session_name: String,
    /// The trust policy's external id.
    pub external_id: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credentials::Default => f.write_str("Default"),
            Credentials::Profile(name) => write!(f, "Profile({name})"),
            Credentials::Static { .. } => f.write_str("Static(..)"),
            Credentials::Anonymous => f.write_str("Anonymous"),
        }
    }
}
