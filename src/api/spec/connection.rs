//! How one side is reached: the same fields under `source` and `destination`, and once for many syncs in an
//! S3Connection.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind that says how a service is reached.
pub const CONNECTION_KIND: &str = "S3Connection";

/// The rule of [`crate::api::connect`] for an API server, on each struct that has `connectionRef`.
pub const CONNECTION_REF_RULE: &str = "!has(self.connectionRef) || !(has(self.endpoint) || has(self.region) || has(self.pathStyle) || \
    has(self.secretRef) || has(self.profile) || has(self.roleArn) || has(self.roleSessionName) || has(self.externalId) || self.anonymous || \
    self.requesterPays || has(self.caSecretRef) || self.insecureSkipVerify)";

/// What that rule says.
pub const CONNECTION_REF_MESSAGE: &str = "connectionRef excludes endpoint, region, pathStyle, secretRef, profile, roleArn, roleSessionName, \
    externalId, anonymous, requesterPays, caSecretRef and insecureSkipVerify: the S3Connection says how this side is reached";

/// An S3 service.
pub const URL_PATTERN: &str = r"^https?://[^\s?#@]+$";

/// How S3 is reached, and with whose credentials. In no category: kubectl looks for a category before it looks for a
/// kind's singular, so that with two kinds in `s3sync` a `kubectl patch s3sync NAME` would mean both, and is refused.
#[allow(clippy::duplicated_attributes, reason = "each column has a type")]
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "s3sync.dev",
    version = "v1alpha1",
    kind = "S3Connection",
    plural = "s3connections",
    shortname = "s3c",
    namespaced,
    derive = "PartialEq",
    doc = "An S3Connection says once how an S3 service is reached, and with whose credentials. The S3Syncs of its namespace name it by source.connectionRef and destination.connectionRef.",
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".spec.endpoint"),
    printcolumn(name = "Region", type_ = "string", json_path = ".spec.region"),
    printcolumn(name = "Secret", type_ = "string", json_path = ".spec.secretRef.name"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = Rule::new("!self.anonymous || (!has(self.secretRef) && !has(self.roleArn))").message("anonymous excludes secretRef and roleArn").field_path(".anonymous"))]
#[x_kube(validation = Rule::new("has(self.roleArn) || (!has(self.roleSessionName) && !has(self.externalId))").message("roleSessionName and externalId need roleArn"))]
#[serde(rename_all = "camelCase")]
pub struct S3ConnectionSpec {
    /// The fields of a sync's own connection. [`crate::api::crd`] takes out those that only a sync has.
    #[serde(flatten)]
    pub connection: ConnectionSpec,
}

/// How one side is reached. Its rules stand on the structs that it is flattened into.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionSpec {
    /// The S3Connection, in the resource's namespace, that says how this side is reached. No other field that says so
    /// may stand beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_ref: Option<ConnectionRef>,
    /// URL of an S3 compatible service such as http://minio.minio:9000. file:DIR serves the sub-directories of DIR as
    /// buckets (command line only; a relative DIR starts at the manifest's folder). Absent: AWS.
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
    /// A Secret in the resource's namespace with the keys AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for temporary
    /// credentials, AWS_SESSION_TOKEN. Absent: the default chain (environment, profile, workload identity, instance).
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
    /// The S3Connection that these fields were taken from, for messages alone. Nobody writes it, and it is written
    /// nowhere.
    #[serde(skip)]
    pub via: Option<String>,
}

/// An S3Connection in the resource's namespace.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionRef {
    /// The S3Connection's name.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

/// A Secret in the resource's namespace.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}
