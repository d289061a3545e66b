//! What S3Connections say, put in the place of their names: the one place that knows how `connectionRef` and the fields
//! beside it compose. PURE.
//!
//! The rule is the simplest one: beside `connectionRef` no field says how that side is reached. What comes out is the
//! sync as if its author had written the connection's fields there, so that checks, hashes, policies and workers see no
//! difference.

use super::S3Sync;
use super::error::FieldError;
use super::spec::ConnectionSpec;

/// Why an S3Connection gives nothing, each with the end of a sentence that begins with `which`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoConnection {
    /// There is none of that name.
    Missing(String),
    /// There is one, and it cannot be used.
    Unusable(String),
}

/// What keeps a sync from its connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unconnected {
    /// A sentence for each side.
    pub errors: Vec<FieldError>,
    /// Whether a connection that is not there is among them: applying it mends that.
    pub missing: bool,
}

/// Puts what the connections say in the place of their names. `find` gives what the S3Connection of a name says. A side
/// with an error keeps its `connectionRef`, and so is refused by [`super::validate::settings`] too.
pub fn connect(
    sync: &mut S3Sync,
    find: &dyn Fn(&str) -> Result<ConnectionSpec, NoConnection>,
) -> Result<(), Unconnected> {
    let mut unconnected = Unconnected::default();
    for (path, side) in
        [("spec.source", &mut sync.spec.source.connection), ("spec.destination", &mut sync.spec.destination.connection)]
    {
        let Some(name) = side.connection_ref.as_ref().map(|named| named.name.clone()) else { continue };
        let path = format!("{path}.connectionRef");
        let beside = beside(side);
        if !beside.is_empty() {
            let error = FieldError::new(
                path,
                format!("excludes {}: the S3Connection says how this side is reached", beside.join(", ")),
            );
            unconnected.errors.push(error.suggest("leave out one or the other"));
            continue;
        }
        let which = match find(&name) {
            Ok(said) => {
                *side = ConnectionSpec { connection_ref: None, via: Some(name), ..said };
                continue;
            }
            Err(NoConnection::Missing(which)) => {
                unconnected.missing = true;
                which
            }
            Err(NoConnection::Unusable(which)) => which,
        };
        unconnected.errors.push(FieldError::new(path, format!("names the S3Connection {name:?}, {which}")));
    }
    if unconnected.errors.is_empty() { Ok(()) } else { Err(unconnected) }
}

/// The sync as if its connections only were somewhere: for whoever cannot look them up, and checks all else. Each is a
/// place of its own, so that only sides of the same one can collide.
pub fn assumed(sync: &S3Sync) -> Result<S3Sync, Unconnected> {
    let mut sync = sync.clone();
    let somewhere = |name: &str| Some(format!("https://{name}.s3connection.invalid"));
    connect(&mut sync, &|name| Ok(ConnectionSpec { endpoint: somewhere(name), ..ConnectionSpec::default() }))?;
    Ok(sync)
}

/// The S3Connections that a sync names.
pub fn named(sync: &S3Sync) -> impl Iterator<Item = &str> {
    let sides = [&sync.spec.source.connection, &sync.spec.destination.connection];
    sides.into_iter().filter_map(|side| Some(side.connection_ref.as_ref()?.name.as_str()))
}

/// The fields that stand beside `connectionRef`. Taken apart whole, so that a new field cannot be forgotten here; the
/// rule in the definition, [`super::spec::CONNECTION_REF_RULE`], names the same.
fn beside(side: &ConnectionSpec) -> Vec<&'static str> {
    let ConnectionSpec {
        connection_ref: _,
        endpoint,
        region,
        path_style,
        secret_ref,
        profile,
        role_arn,
        role_session_name,
        external_id,
        anonymous,
        requester_pays,
        ca_secret_ref,
        insecure_skip_verify,
        via: _,
    } = side;
    let fields = [
        ("endpoint", endpoint.is_some()),
        ("region", region.is_some()),
        ("pathStyle", path_style.is_some()),
        ("secretRef", secret_ref.is_some()),
        ("profile", profile.is_some()),
        ("roleArn", role_arn.is_some()),
        ("roleSessionName", role_session_name.is_some()),
        ("externalId", external_id.is_some()),
        ("anonymous", *anonymous),
        ("requesterPays", *requester_pays),
        ("caSecretRef", ca_secret_ref.is_some()),
        ("insecureSkipVerify", *insecure_skip_verify),
    ];
    fields.into_iter().filter_map(|(name, given)| given.then_some(name)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::crd::rules::broken;
    use crate::api::spec::KIND;

    fn sync(side: &Value) -> Value {
        let mut source = json!({"bucket": "raw"});
        source.as_object_mut().unwrap().extend(side.as_object().unwrap().clone());
        json!({"apiVersion": "s3sync.dev/v1alpha1", "kind": "S3Sync", "metadata": {"name": "orders", "namespace": "data"},
            "spec": {"source": source, "destination": {"bucket": "lake", "format": "csv", "connectionRef": {"name": "minio"}}}})
    }

    fn minio() -> ConnectionSpec {
        serde_json::from_value(json!({"endpoint": "http://minio:9000", "secretRef": {"name": "s3"}})).unwrap()
    }

    fn connected(sync: &Value) -> Result<S3Sync, Unconnected> {
        let mut sync: S3Sync = serde_json::from_value(sync.clone()).unwrap();
        connect(&mut sync, &|name| match name {
            "minio" => Ok(minio()),
            "strange" => Err(NoConnection::Unusable("which cannot be read".into())),
            _ => Err(NoConnection::Missing("which is not there".into())),
        })
        .map(|()| sync)
    }

    #[test]
    fn what_a_connection_says_stands_as_if_it_were_written_in_the_sync() {
        let there = connected(&sync(&json!({"endpoint": "http://minio:9000", "secretRef": {"name": "s3"}}))).unwrap();
        let named = connected(&sync(&json!({"connectionRef": {"name": "minio"}}))).unwrap();
        assert_eq!(serde_json::to_string(&named).unwrap(), serde_json::to_string(&there).unwrap());
        assert_eq!(
            (named.spec.source.connection.via.as_deref(), there.spec.source.connection.via),
            (Some("minio"), None)
        );
    }

    #[test]
    fn a_connection_that_gives_nothing_says_why() {
        for (name, which, missing) in [("strange", "cannot be read", false), ("other", "is not there", true)] {
            let unconnected = connected(&sync(&json!({"connectionRef": {"name": name}}))).unwrap_err();
            let sentence = format!("spec.source.connectionRef names the S3Connection {name:?}, which {which}");
            assert_eq!((unconnected.errors[0].to_string(), unconnected.missing), (sentence, missing));
        }
    }

    /// Each field of a side that is no part of what is read or written: by the API server's rule and by ours.
    #[test]
    fn every_other_field_of_a_connection_is_excluded() {
        let examples = json!({"endpoint": "http://minio:9000", "region": "eu-west-1", "pathStyle": false, "secretRef": {"name": "s3"}, "profile": "dev",
            "roleArn": "arn:aws:iam::1:role/reader", "roleSessionName": "us", "externalId": "abc", "anonymous": true, "requesterPays": true,
            "caSecretRef": {"name": "ca"}, "insecureSkipVerify": true});
        let of_connection = serde_json::to_value(schemars::schema_for!(ConnectionSpec)).unwrap();
        let mut fields: Vec<&String> =
            of_connection["properties"].as_object().unwrap().keys().filter(|name| *name != "connectionRef").collect();
        fields.sort();
        let mut shown: Vec<&String> = examples.as_object().unwrap().keys().collect();
        shown.sort();
        assert_eq!(fields, shown);
        for (field, value) in examples.as_object().unwrap() {
            let both = sync(&json!({"connectionRef": {"name": "minio"}, field: value}));
            let error = connected(&both).unwrap_err().errors.remove(0).to_string();
            assert!(error.starts_with(&format!("spec.source.connectionRef excludes {field}: ")), "{error}");
            let rules = broken(KIND, &both);
            assert!(rules.iter().any(|rule| rule.contains("connectionRef excludes")), "{field}: {rules:?}");
        }
        let alone = sync(&json!({"connectionRef": {"name": "minio"}, "anonymous": false}));
        assert_eq!((connected(&alone).is_ok(), broken(KIND, &alone)), (true, Vec::new()));
    }
}
