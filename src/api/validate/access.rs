//! How a side is reached, with Secrets by name.

use std::fmt::Display;
use std::path::{Component, Path, PathBuf};

use super::{FieldError, Problems};
use crate::api::error::shown;
use crate::api::spec::ConnectionSpec;
use crate::model::connection::{Connection, Credentials, Endpoint, Protection, Role};

/// A validated connection whose Secrets are still names.
#[derive(Clone, Debug)]
pub struct Access {
    /// Endpoint as identity text (part of the spec's hash): the URL, `file:DIR` with a relative DIR as it was written,
    /// or empty for AWS.
    pub identity: String,
    /// Where the service answers; a directory is absolute.
    pub endpoint: Endpoint,
    /// The region, where it is given.
    pub region: Option<String>,
    /// Whether the bucket stands in the path.
    pub path_style: bool,
    /// Who we are, with Secrets by name.
    pub credentials: AccessCredentials,
    /// A role to assume.
    pub role: Option<Role>,
    /// Accepts charges.
    pub requester_pays: bool,
    /// The Secret with further root certificates under `ca.crt`.
    pub ca_secret: Option<String>,
    /// Accepts any server certificate.
    pub insecure_skip_verify: bool,
    /// What every object carries that is written there.
    pub protection: Protection,
    /// `spec.source` or `spec.destination`, for messages.
    pub path: &'static str,
    /// The S3Connection that says all this, for messages.
    pub via: Option<String>,
}

/// Who we are, with Secrets by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessCredentials {
    /// The default chain.
    Default,
    /// A named profile (command line only).
    Profile(String),
    /// The Secret of this name.
    Secret(String),
    /// Unsigned requests.
    Anonymous,
}

/// A Secret that is not there, or not as it must be. Never holds a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path} {lead}names the Secret {secret:?}, {message}")]
pub struct SecretError {
    /// The field of the sync that names it, or that names the S3Connection which does.
    pub path: String,
    /// What leads from there to the Secret, as a part of the sentence.
    pub lead: String,
    /// The Secret.
    pub secret: String,
    /// What is wrong with it, as the end of a sentence.
    pub message: String,
    /// Whether it lacks a variable of the environment: the user's usage, not their access.
    pub usage: bool,
}

/// Gives the value of a Secret's key, by the Secret's name and the key.
pub type SecretLookup<'a> = dyn Fn(&str, &str) -> Result<Option<String>, (String, bool)> + 'a;

impl Access {
    /// The connection, with what its Secrets hold. `secret` gives the value of a key of a Secret: `Ok(None)` when the
    /// Secret has no such key, and a message with whether it is about usage when there is no such Secret.
    pub fn connect(&self, secret: &SecretLookup<'_>) -> Result<Connection, SecretError> {
        let read = |field: &str, name: &str, key: &str, required: bool| {
            let wrong = |message: String, usage| {
                let (path, lead) = place(self.path, self.via.as_deref(), field);
                SecretError { path, lead, secret: name.to_owned(), message, usage }
            };
            match secret(name, key).map_err(|(message, usage)| wrong(message, usage))? {
                Some(value) if !value.is_empty() => Ok(Some(value)),
                _ if required => Err(wrong(format!("which has no value for {key}; add it to the Secret"), false)),
                _ => Ok(None),
            }
        };
        let credentials = match &self.credentials {
            AccessCredentials::Default => Credentials::Default,
            AccessCredentials::Profile(name) => Credentials::Profile(name.clone()),
            AccessCredentials::Anonymous => Credentials::Anonymous,
            AccessCredentials::Secret(name) => Credentials::Static {
                access_key_id: read("secretRef", name, "AWS_ACCESS_KEY_ID", true)?.unwrap_or_default(),
                secret_access_key: read("secretRef", name, "AWS_SECRET_ACCESS_KEY", true)?.unwrap_or_default(),
                session_token: read("secretRef", name, "AWS_SESSION_TOKEN", false)?,
            },
        };
        let ca_pem = match &self.ca_secret {
            Some(name) => read("caSecretRef", name, "ca.crt", true)?.map(String::into_bytes),
            None => None,
        };
        Ok(Connection {
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            path_style: self.path_style,
            credentials,
            role: self.role.clone(),
            requester_pays: self.requester_pays,
            ca_pem,
            insecure_skip_verify: self.insecure_skip_verify,
            protection: self.protection.clone(),
        })
    }

    /// The field that only the command line understands, where there is one: pods have no profiles and no directories
    /// of the user.
    pub fn command_line_only(&self) -> Option<String> {
        let field = match (&self.endpoint, &self.credentials) {
            (Endpoint::File(_), _) => "endpoint",
            (_, AccessCredentials::Profile(_)) => "profile",
            _ => return None,
        };
        let (path, lead) = place(self.path, self.via.as_deref(), field);
        Some(format!("{path} {lead}").trim_end().to_owned())
    }

    /// Whether both answer at the same place, so that equal buckets are one bucket.
    pub fn same_place(&self, other: &Access) -> bool {
        match (&self.endpoint, &other.endpoint) {
            (Endpoint::Url(a), Endpoint::Url(b)) => normal_url(a) == normal_url(b),
            (a, b) => a == b,
        }
    }
}

/// Where a field of a side stands in the sync, and what comes between that and a sentence about the field: nothing, or
/// which S3Connection has it.
fn place(side: &str, via: Option<&str>, field: &str) -> (String, String) {
    match via {
        None => (format!("{side}.{field}"), String::new()),
        Some(via) => (format!("{side}.connectionRef"), format!("names the S3Connection {via:?}, whose {field} ")),
    }
}

impl ConnectionSpec {
    /// What is wrong with a field of this side, said of where it stands: in the sync, or in the S3Connection that it
    /// names.
    pub fn wrong(&self, side: &str, field: &str, message: impl Display) -> FieldError {
        let (path, lead) = place(side, self.via.as_deref(), field);
        FieldError::new(path, format!("{lead}{message}"))
    }
}

/// Schemes and host names know no case, and a port may be the scheme's own.
fn normal_url(url: &str) -> String {
    let url = url.trim_end_matches('/').to_ascii_lowercase();
    let default_port = if url.starts_with("https:") { ":443" } else { ":80" };
    url.strip_suffix(default_port).map_or(url.clone(), str::to_owned)
}

pub(super) fn access(spec: &ConnectionSpec, path: &'static str, folder: &Path, problems: &mut Problems) -> Access {
    if let Some(unconnected) = &spec.connection_ref {
        // Whoever validates looks connections up first. Its place is no other's, so that nothing is said to collide
        // with it.
        let message = format!("names the S3Connection {:?}, which is not known here", unconnected.name);
        problems.add(FieldError::new(format!("{path}.connectionRef"), message));
        let nowhere = format!("{path} by {}", unconnected.name);
        return Access {
            endpoint: Endpoint::Url(nowhere),
            ..access(&ConnectionSpec::default(), path, folder, problems)
        };
    }
    let (identity, endpoint) = match spec.endpoint.as_deref() {
        None => (String::new(), Endpoint::Aws),
        Some(text) => match text.strip_prefix("file:") {
            Some(directory) => {
                let written = clean(Path::new(directory));
                (format!("file:{}", written.display()), Endpoint::File(clean(&folder.join(&written))))
            }
            None => {
                let url = text.trim_end_matches('/');
                if url.contains(['@', '?', '#']) {
                    problems.add(
                        spec.wrong(path, "endpoint", "has a user, parameters or a fragment, which no endpoint takes")
                            .suggest(
                                "write scheme, host and port alone, and credentials into a Secret that secretRef names",
                            ),
                    );
                }
                if !(url.starts_with("http://") || url.starts_with("https://")) {
                    let message = format!("is {}, which is no http:// or https:// URL and no file:DIR", shown(text));
                    problems
                        .add(spec.wrong(path, "endpoint", message).suggest("write it like http://minio.minio:9000"));
                }
                (url.to_owned(), Endpoint::Url(url.to_owned()))
            }
        },
    };
    let both = |a: bool, b: bool, field: &str, message: &str, problems: &mut Problems| {
        if a && b {
            problems.add(spec.wrong(path, field, message));
        }
    };
    let secret = spec.secret_ref.is_some();
    both(secret, spec.profile.is_some(), "profile", "excludes secretRef", problems);
    let identified = secret || spec.profile.is_some() || spec.role_arn.is_some();
    both(spec.anonymous, identified, "anonymous", "excludes secretRef, profile and roleArn", problems);
    let role_detail = spec.role_session_name.is_some() || spec.external_id.is_some();
    let detail = if spec.external_id.is_some() { "externalId" } else { "roleSessionName" };
    both(role_detail, spec.role_arn.is_none(), detail, "needs roleArn", problems);
    let credentials = match (&spec.secret_ref, &spec.profile) {
        (Some(secret), _) => AccessCredentials::Secret(secret.name.clone()),
        (None, Some(profile)) => AccessCredentials::Profile(profile.clone()),
        (None, None) if spec.anonymous => AccessCredentials::Anonymous,
        (None, None) => AccessCredentials::Default,
    };
    Access {
        path_style: spec.path_style.unwrap_or(endpoint != Endpoint::Aws),
        identity,
        endpoint,
        region: spec.region.clone(),
        credentials,
        role: spec.role_arn.clone().map(|arn| Role {
            arn,
            session_name: spec.role_session_name.clone().unwrap_or_else(|| "s3sync".to_owned()),
            external_id: spec.external_id.clone(),
        }),
        requester_pays: spec.requester_pays,
        ca_secret: spec.ca_secret_ref.as_ref().map(|secret| secret.name.clone()),
        insecure_skip_verify: spec.insecure_skip_verify,
        protection: Protection::default(),
        path,
        via: spec.via.clone(),
    }
}

/// A path without `.` and, where its parent is known, without `..`. Lexical: nothing need be there yet.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(clean.components().next_back(), Some(Component::Normal(_))) => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    if clean.as_os_str().is_empty() { PathBuf::from(".") } else { clean }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(spec: ConnectionSpec) -> Access {
        let mut problems = Problems::default();
        let access = access(&spec, "spec.source", Path::new("/manifests/team"), &mut problems);
        assert_eq!(problems.0, Vec::new());
        access
    }

    fn at(endpoint: &str) -> Access {
        of(ConnectionSpec { endpoint: Some(endpoint.to_owned()), ..ConnectionSpec::default() })
    }

    #[test]
    fn endpoints() {
        for (text, identity, endpoint) in [
            ("http://minio:9000/", "http://minio:9000", Endpoint::Url("http://minio:9000".into())),
            ("file:./data", "file:data", Endpoint::File("/manifests/team/data".into())),
            ("file:../data/.", "file:../data", Endpoint::File("/manifests/data".into())),
            ("file:/srv//buckets/", "file:/srv/buckets", Endpoint::File("/srv/buckets".into())),
        ] {
            let access = at(text);
            assert_eq!(
                (access.identity.as_str(), access.endpoint, access.path_style),
                (identity, endpoint, true),
                "{text}"
            );
        }
        assert!(!of(ConnectionSpec::default()).path_style);
    }

    #[test]
    fn equal_places_are_seen_through_their_spelling() {
        assert!(at("http://Minio:9000").same_place(&at("http://minio:9000/")));
        assert!(at("https://s3.example:443").same_place(&at("https://s3.example")));
        assert!(at("file:data").same_place(&at("file:/manifests/team/x/../data")));
        assert!(!at("http://minio:9000").same_place(&at("http://minio:9001")));
        assert!(!at("http://minio:9000").same_place(&of(ConnectionSpec::default())));
    }

    #[test]
    fn what_an_s3connection_says_is_told_of_it() {
        let spec = |via: Option<&str>| {
            let spec = serde_json::json!({"secretRef": {"name": "s3"}, "profile": "dev", "endpoint": "http://me:x@minio:9000"});
            ConnectionSpec { via: via.map(str::to_owned), ..serde_json::from_value(spec).unwrap() }
        };
        let errors = |spec: &ConnectionSpec| {
            let mut problems = Problems::default();
            let access = access(spec, "spec.source", Path::new("/"), &mut problems);
            let secret = access.connect(&|_, _| Ok(None)).unwrap_err();
            let mut said: Vec<(String, String)> =
                problems.0.iter().map(|error| (error.path.clone(), error.to_string())).collect();
            said.push((secret.path.clone(), secret.to_string()));
            said
        };
        let minio = "spec.source.connectionRef names the S3Connection \"minio\", whose";
        for (field, (path, own), (named_path, named)) in [
            ("endpoint", &errors(&spec(None))[0], &errors(&spec(Some("minio")))[0]),
            ("profile", &errors(&spec(None))[1], &errors(&spec(Some("minio")))[1]),
            ("secretRef", &errors(&spec(None))[2], &errors(&spec(Some("minio")))[2]),
        ] {
            assert_eq!(
                (path.as_str(), named_path.as_str()),
                (format!("spec.source.{field}").as_str(), "spec.source.connectionRef")
            );
            assert_eq!(*named, own.replace(&format!("spec.source.{field}"), &format!("{minio} {field}")));
        }
    }

    #[test]
    fn secrets_are_read_by_name_and_never_shown() {
        let spec = serde_json::json!({"secretRef": {"name": "raw-ro"}, "caSecretRef": {"name": "ca"}});
        let access = of(serde_json::from_value(spec).unwrap());
        let connection =
            access.connect(&|name, key| Ok((key != "AWS_SESSION_TOKEN").then(|| format!("{name}/{key}")))).unwrap();
        assert_eq!(format!("{:?}", connection.credentials), "Static(..)");
        assert_eq!(connection.ca_pem.as_deref(), Some("ca/ca.crt".as_bytes()));
        let Credentials::Static { secret_access_key, session_token, .. } = connection.credentials else { panic!() };
        assert_eq!((secret_access_key.as_str(), session_token), ("raw-ro/AWS_SECRET_ACCESS_KEY", None));
        let error = access.connect(&|_, key| Ok((key == "AWS_ACCESS_KEY_ID").then(|| "AKIA".to_owned()))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "spec.source.secretRef names the Secret \"raw-ro\", which has no value for AWS_SECRET_ACCESS_KEY; add it to the Secret"
        );
    }
}
