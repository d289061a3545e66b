//! `S3Connection` documents that lie beside the syncs: what `connectionRef` names when there is no cluster.

use std::collections::BTreeMap;

use super::document::Node;
use super::{ManifestError, Text, error_at, gathered, identity, root_schema, structural};
use crate::api::connect::NoConnection;
use crate::api::crd;
use crate::api::error::FieldError;
use crate::api::spec::{CONNECTION_KIND, ConnectionSpec, S3Connection};
use crate::api::validate;

/// An S3Connection that is valid.
#[derive(Clone, Debug)]
pub struct CheckedConnection {
    /// Its namespace, `default` where the document names none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// See [`super::LoadedSync::file`].
    pub file: String,
    /// See [`super::LoadedSync::line`].
    pub line: usize,
}

/// The S3Connections of all files, by namespace and name.
#[derive(Debug, Default)]
pub(super) struct Connections(BTreeMap<(String, String), Known>);

#[derive(Debug)]
struct Known {
    /// `file:line`.
    place: String,
    /// `None`: it is not valid, and its own errors say why.
    says: Option<ConnectionSpec>,
}

impl Connections {
    /// Takes a document in. The first of a name counts; [`Connections::check`] refuses the others.
    pub fn add(&mut self, text: &Text, document: &Node) {
        let says = checked(text, document).ok();
        self.0.entry(identity(document)).or_insert(Known { place: place(text, document), says });
    }

    /// What is wrong with a document, or where and what it is.
    pub fn check(&self, text: &Text, document: &Node) -> Result<CheckedConnection, Vec<ManifestError>> {
        checked(text, document)?;
        let key = identity(document);
        if let Some(first) = self.0.get(&key).filter(|first| first.place != place(text, document)) {
            let message = format!("is defined already at {}; give one of them another name", first.place);
            return Err(vec![error(text, document, document.at.line, &message)]);
        }
        let (namespace, name) = key;
        Ok(CheckedConnection { namespace, name, file: text.file.clone(), line: document.at.line })
    }

    /// What the S3Connection of a name says to the syncs of a namespace.
    pub fn find(&self, namespace: &str, name: &str) -> Result<ConnectionSpec, NoConnection> {
        if let Some(known) = self.0.get(&(namespace.to_owned(), name.to_owned())) {
            return known
                .says
                .clone()
                .ok_or_else(|| NoConnection::Unusable(format!("which is not valid ({})", known.place)));
        }
        let elsewhere = self.0.iter().find(|((_, other), _)| other == name);
        Err(NoConnection::Missing(match elsewhere {
            Some(((other, _), known)) => {
                format!(
                    "which is in the namespace {other} ({}) and not in {namespace}; give both the same namespace",
                    known.place
                )
            }
            None => "which is in none of the files; add its document, or write endpoint and secretRef here".to_owned(),
        }))
    }
}

fn place(text: &Text, document: &Node) -> String {
    format!("{}:{}", text.file, document.at.line)
}

fn error(text: &Text, document: &Node, line: usize, message: &str) -> ManifestError {
    let (namespace, name) = identity(document);
    error_at(text, line, None, format!("{CONNECTION_KIND} {namespace}/{name}: {message}"))
}

fn checked(text: &Text, document: &Node) -> Result<ConnectionSpec, Vec<ManifestError>> {
    let (value, errors) = structural::check(CONNECTION_KIND, &root_schema(CONNECTION_KIND), document, "");
    let (connection, validation) = match serde_json::from_value::<S3Connection>(value.clone()) {
        Ok(connection) => {
            let validation = validate::connection(&connection).err().unwrap_or_default();
            (Some(connection), validation)
        }
        Err(failed) if errors.is_empty() => (None, vec![FieldError::new("spec", format!("cannot be read: {failed}"))]),
        Err(_) => (None, Vec::new()),
    };
    let errors = gathered(errors, validation, crd::definition(CONNECTION_KIND).check_rules(&value));
    match connection {
        Some(connection) if errors.is_empty() => Ok(connection.spec.connection),
        _ => {
            let located =
                |wrong: FieldError| error(text, document, document.place_of(&wrong.path).line, &wrong.to_string());
            let mut errors: Vec<ManifestError> = errors.into_iter().map(located).collect();
            errors.sort_by_key(|error| error.line);
            errors.dedup();
            Err(errors)
        }
    }
}
