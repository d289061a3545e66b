//! What the manifests' syncs connect with: their Secrets' values, wherever those are.

use super::{LoadedSync, ManifestError, ManifestErrorKind, Manifests};
use crate::api::validate;

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
        self.connect_with(&|access, name, key| self.secret(access.namespace, name, key, env))
    }

    /// The syncs with what their Secrets hold, wherever those are: `secret` gives the value of a Secret's key, as in
    /// [`validate::Access::connect`].
    pub fn connect_with(&self, secret: &SecretSource<'_>) -> Result<Vec<LoadedSync>, Vec<ManifestError>> {
        let mut errors = Vec::new();
        let mut loaded = Vec::with_capacity(self.syncs.len());
        for checked in &self.syncs {
            let settings = &checked.resolved.settings;
            let mut connect = |access: &validate::Access| {
                let end = End { namespace: &settings.id.namespace, path: access.path };
                access
                    .connect(&|name, key| secret(&end, name, key))
                    .map_err(|error| {
                        errors.push(ManifestError {
                            kind: if error.usage { ManifestErrorKind::Invalid } else { ManifestErrorKind::Secret },
                            file: checked.file.clone(),
                            line: Some(checked.document.place_of(&error.path).line),
                            sync: Some(settings.id.to_string()),
                            message: error.to_string(),
                        });
                    })
                    .ok()
            };
            if let (Some(source), Some(destination)) =
                (connect(&checked.resolved.source), connect(&checked.resolved.destination))
            {
                loaded.push(LoadedSync {
                    id: settings.id.clone(),
                    settings: settings.clone(),
                    source,
                    destination,
                    end_lines: ["spec.source", "spec.destination"].map(|path| checked.document.place_of(path).line),
                    file: checked.file.clone(),
                    folder: checked.folder.clone(),
                    line: checked.line,
                });
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
