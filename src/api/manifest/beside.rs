//! Documents that lie beside the syncs: kinds of ours that a terminal does not run.

use serde::de::DeserializeOwned;

use super::document::Node;
use super::{ManifestError, Text, error_at, gathered, identity, root_schema, structural};
use crate::api::error::FieldError;
use crate::api::run::{RUN_KIND, S3SyncRun};

/// A document that is valid.
#[derive(Clone, Debug)]
pub struct CheckedDocument {
    /// Its kind.
    pub kind: &'static str,
    /// Its namespace, `default` where the document names none.
    pub namespace: String,
    /// Its name; empty where the API server is to make one.
    pub name: String,
    /// See [`super::LoadedSync::file`].
    pub file: String,
    /// See [`super::LoadedSync::line`].
    pub line: usize,
}

impl CheckedDocument {
    pub(super) fn new(kind: &'static str, text: &Text, document: &Node) -> CheckedDocument {
        let (namespace, name) = identity(document);
        CheckedDocument { kind, namespace, name, file: text.file.clone(), line: document.at.line }
    }
}

/// Checks an S3SyncRun. Its sync may be in the cluster alone, so what that allows is found out there.
pub(super) fn run(text: &Text, document: &Node) -> Result<CheckedDocument, Vec<ManifestError>> {
    checked(RUN_KIND, text, document, |run: &S3SyncRun| run.spec.check().err().into_iter().collect())?;
    Ok(CheckedDocument::new(RUN_KIND, text, document))
}

/// A resource of a kind, or everything that is wrong with it.
pub(super) fn checked<K: DeserializeOwned>(
    kind: &'static str,
    text: &Text,
    document: &Node,
    validate: impl Fn(&K) -> Vec<FieldError>,
) -> Result<K, Vec<ManifestError>> {
    let (value, errors) = structural::check(kind, &root_schema(kind), document, "");
    let (resource, validation) = match serde_json::from_value::<K>(value) {
        Ok(resource) => {
            let validation = validate(&resource);
            (Some(resource), validation)
        }
        Err(failed) if errors.is_empty() => (None, vec![FieldError::new("spec", format!("cannot be read: {failed}"))]),
        Err(_) => (None, Vec::new()),
    };
    let errors = gathered(errors, validation);
    match resource {
        Some(resource) if errors.is_empty() => Ok(resource),
        _ => {
            let located = |wrong: FieldError| {
                error(kind, text, document, document.place_of(&wrong.path).line, &wrong.to_string())
            };
            let mut errors: Vec<ManifestError> = errors.into_iter().map(located).collect();
            errors.sort_by_key(|error| error.line);
            errors.dedup();
            Err(errors)
        }
    }
}

/// What is wrong with a document, at a line.
pub(super) fn error(kind: &str, text: &Text, document: &Node, line: usize, message: &str) -> ManifestError {
    let (namespace, name) = identity(document);
    error_at(text, line, None, format!("{kind} {namespace}/{name}: {message}"))
}
