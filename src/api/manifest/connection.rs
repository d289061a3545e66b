//! `S3Connection` documents that lie beside the syncs: what `connectionRef` names when there is no cluster.

use std::collections::BTreeMap;

use super::document::Node;
use super::{CheckedDocument, ManifestError, Text, beside, identity};
use crate::api::connect::NoConnection;
use crate::api::spec::{CONNECTION_KIND, ConnectionSpec, S3Connection};
use crate::api::validate;

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
    pub fn check(&self, text: &Text, document: &Node) -> Result<CheckedDocument, Vec<ManifestError>> {
        checked(text, document)?;
        let key = identity(document);
        if let Some(first) = self.0.get(&key).filter(|first| first.place != place(text, document)) {
            let message = format!("is defined already at {}; give one of them another name", first.place);
            return Err(vec![beside::error(CONNECTION_KIND, text, document, document.at.line, &message)]);
        }
        Ok(CheckedDocument::new(CONNECTION_KIND, text, document))
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

fn checked(text: &Text, document: &Node) -> Result<ConnectionSpec, Vec<ManifestError>> {
    let validate = |connection: &S3Connection| validate::connection(connection).err().unwrap_or_default();
    Ok(beside::checked(CONNECTION_KIND, text, document, validate)?.spec.connection)
}
