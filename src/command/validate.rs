//! `s3sync validate`: what is wrong with manifests, all of it, without a server and without Secrets.

use serde_json::{Value, json};

use crate::api::manifest::{self, CheckedDocument, ManifestError, ManifestErrorKind, Manifests};
use crate::cli::{Output, ValidateArgs};
use crate::command::{CommandError, FailureKind};

/// Checks the files and prints the verdict.
pub fn execute(args: &ValidateArgs) -> Result<(), CommandError> {
    let outcome = manifest::check(&args.from.files);
    let verdict = match &outcome {
        Ok(manifests) => verdict(manifests, &[]),
        Err(errors) => verdict(&Manifests::default(), errors),
    };
    match (args.print.output, outcome) {
        (Output::Table, Ok(manifests)) => crate::command::print(&lines(&manifests)),
        (Output::Table, Err(errors)) => Err(manifest_errors(errors)),
        (output, outcome) => {
            crate::command::print(&crate::command::document(&verdict, output)?)?;
            outcome.map(|_| ()).map_err(|_| CommandError::reported(FailureKind::Usage))
        }
    }
}

/// Errors of manifests as the command's: the first one decides the exit code.
pub fn manifest_errors(errors: Vec<ManifestError>) -> CommandError {
    let kind = match errors.first().map(|error| error.kind) {
        Some(ManifestErrorKind::Secret) => FailureKind::Access,
        Some(ManifestErrorKind::Invalid) | None => FailureKind::Usage,
    };
    CommandError { kind, errors: errors.into_iter().map(anyhow::Error::new).collect() }
}

fn lines(manifests: &Manifests) -> String {
    let place = |file: &str| if file == "-" { "stdin".to_owned() } else { file.to_owned() };
    let syncs = manifests
        .syncs
        .iter()
        .map(|sync| format!("{}:{}: {} is valid\n", place(&sync.file), sync.line, sync.resolved.settings.id));
    let beside = manifests.connections.iter().chain(&manifests.runs).map(|document| {
        let CheckedDocument { kind, namespace, name, file, line } = document;
        format!("{}:{line}: {kind} {namespace}/{name} is valid\n", place(file))
    });
    syncs.chain(beside).collect()
}

fn verdict(manifests: &Manifests, errors: &[ManifestError]) -> Value {
    let syncs: Vec<Value> = manifests
        .syncs
        .iter()
        .map(|sync| {
            let id = &sync.resolved.settings.id;
            json!({ "namespace": id.namespace, "name": id.name, "file": sync.file, "line": sync.line })
        })
        .collect();
    let beside = |documents: &[CheckedDocument]| -> Vec<Value> {
        let verdict = |document: &CheckedDocument| {
            let CheckedDocument { namespace, name, file, line, .. } = document;
            json!({ "namespace": namespace, "name": name, "file": file, "line": line })
        };
        documents.iter().map(verdict).collect()
    };
    let (connections, runs) = (beside(&manifests.connections), beside(&manifests.runs));
    let errors: Vec<Value> = errors
        .iter()
        .map(|error| json!({ "file": error.file, "line": error.line, "sync": error.sync, "message": error.message }))
        .collect();
    json!({ "valid": errors.is_empty(), "syncs": syncs, "connections": connections, "runs": runs, "errors": errors })
}
