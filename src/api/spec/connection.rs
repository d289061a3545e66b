//! How one side is reached: the same fields under `source` and `destination`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How one side is reached. Its rules stand on the structs that it is flattened into.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionSpec {
    /// URL of an S3 compatible service such as http://minio.minio:9000. file:DIR serves the sub-directories of DIR as buckets (command line
    /// only; a relative DIR starts at the manifest's folder). Absent: AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = r"^(https?://[^\s?#@]+|file:.+)$"))]
    pub endpoint: Option<String>,
    /// The region. Absent: from the environment or the profile, else us-east-1 where an endpoint is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub region: Option<String>,
    /// Puts the bucket into the path instead of the host name. Absent: true with an endpoint, false without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
    /// A Secret in the resource's namespace with the keys AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for temporary credentials,
    /// AWS_SESSION_TOKEN. Absent: the default chain (environment, profile, workload identity, instance).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// A named profile of the shared AWS configuration files (command line only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub profile: Option<String>,
    /// A role to assume with the credentials that were found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 20, max = 2048), regex(pattern = "^arn:"))]
    pub role_arn: Option<String>,
    /// The session's name when a role is assumed. Absent: s3sync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 64), regex(pattern = "^[A-Za-z0-9_+=,.@-]+$"))]
    pub role_session_name: Option<String>,
    /// The external id that the role's trust policy asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 1224))]
    pub external_id: Option<String>,
    /// Sends unsigned requests, for public buckets.
    #[serde(default)]
    pub anonymous: bool,
    /// Accepts the charges for requests to a bucket whose requester pays.
    #[serde(default)]
    pub requester_pays: bool,
    /// A Secret in the resource's namespace whose key ca.crt holds further root certificates (PEM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretRef>,
    /// Accepts any server certificate. For experiments only.
    #[serde(default)]
    pub insecure_skip_verify: bool,
}

/// A Secret in the resource's namespace.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}
