//! What the manifests' syncs connect with: their Secrets' values, wherever those are.

use super::{CheckedSync, LoadedSync, ManifestError, ManifestErrorKind, Manifests};
use crate::api::validate::{self, Resolved};

/// Which end of which sync names a Secret.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// The sync's namespace, where its Secrets are.
    pub namespace: &'a str,
    /// `spec.source` or `spec.destination`.
    pub path: &'a str,
}

/// Gives the value of a Secret's key: for an end, the Secret's name and the key. See [`validate::Access::connect`].
pub type SecretSource<'a> = dyn Fn(&End<'_>, &str, &str) -> Result<Option<String>, (String, bool)> + 'a;

impl Manifests {
    /// The syncs with what their Secrets hold: documents of the same files, with variables from `env`.
    pub fn connect(self, env: &dyn Fn(&str) -> Option<String>) -> Result<Vec<LoadedSync>, Vec<ManifestError>> {
        let (mut loaded, mut errors) = (Vec::with_capacity(self.syncs.len()), Vec::new());
        for checked in &self.syncs {
            match checked.connect(&|end, name, key| self.secret(end.namespace, name, key, env)) {
                Ok(sync) => loaded.push(sync),
                Err(more) => errors.extend(more),
            }
        }
        if errors.is_empty() { Ok(loaded) } else { Err(errors) }
    }

    fn secret(
        &self,
        namespace: &str,
        name: &str,
        key: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<String>, (String, bool)> {
        if let Some(secret) = self.secrets.get(&(namespace.to_owned(), name.to_owned())) {
            return secret.value(key, env);
        }
        let elsewhere = self.secrets.iter().find(|((_, other), _)| other == name);
        Err((
            match elsewhere {
                Some(((other, _), secret)) => {
                    format!("which is in the namespace {other} ({}) and not in {namespace}; give both the same namespace", secret.place)
                }
                None => "which is in none of the files; add a Secret document, or leave the field out to use the default credential chain"
                    .to_owned(),
            },
            false,
        ))
    }
}

impl CheckedSync {
    /// The sync with what its Secrets hold, wherever those are: `secret` gives the value of a Secret's key, as in
    /// [`validate::Access::connect`].
    pub fn connect(&self, secret: &SecretSource<'_>) -> Result<LoadedSync, Vec<ManifestError>> {
        let Resolved { settings, source, destination } = &self.resolved;
        let mut errors = Vec::new();
        let mut connect = |access: &validate::Access| {
            let end = End { namespace: &settings.id.namespace, path: access.path };
            let wrong = |error: validate::SecretError| ManifestError {
                kind: if error.usage { ManifestErrorKind::Invalid } else { ManifestErrorKind::Secret },
                file: self.file.clone(),
                line: self.line_of(&error.path),
                sync: Some(settings.id.to_string()),
                message: error.to_string(),
            };
            let connected = access.connect(&|name, key| secret(&end, name, key));
            connected.map_err(|error| errors.push(wrong(error))).ok()
        };
        let (Some(read), Some(written)) = (connect(source), connect(destination)) else { return Err(errors) };
        Ok(LoadedSync {
            id: settings.id.clone(),
            settings: settings.clone(),
            source: read,
            destination: written,
            end_lines: ["spec.source", "spec.destination"].map(|path| self.line_of(path).unwrap_or_default()),
            via: [source, destination].map(|access| access.via.clone()),
            file: self.file.clone(),
            folder: self.folder.clone(),
            line: self.line,
        })
    }
}
