//! Manifests as the command line reads them: `-f FILE|DIR|-`, several documents a file, other kinds skipped. What the
//! API server would say about a document is said here with the file and the line, and all of it at once.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

mod beside;
mod connect;
mod connection;
pub mod document;
mod read;
mod root;
mod secret;
mod structural;
#[cfg(test)]
mod tests;

pub use beside::CheckedDocument;
pub use connect::{End, SecretSource};
use connection::Connections;
use document::{Node, Value};
use root::root_schema;
pub use secret::Secret;

use super::connect::connect;
use super::error::{FieldError, nearest};
use super::run::RUN_KIND;
use super::spec::{CONNECTION_KIND, GROUP, KIND, S3Sync, VERSION};
use super::validate::{self, Resolved};
use crate::model::connection::Connection;
use crate::model::settings::{Settings, SyncId};

/// A sync that is ready to run.
#[derive(Clone, Debug)]
pub struct LoadedSync {
    /// Namespace and name.
    pub id: SyncId,
    /// What a run works by.
    pub settings: Settings,
    /// How the source is reached, with what its Secrets hold.
    pub source: Connection,
    /// How the destination is reached, with what its Secrets hold.
    pub destination: Connection,
    /// The manifest's file as it was named; `-` for stdin.
    pub file: String,
    /// The folder that relative paths start at: the file's, or the current one for stdin.
    pub folder: PathBuf,
    /// The line at which the document begins, from 1.
    pub line: usize,
    /// The lines of `spec.source` and `spec.destination`.
    pub end_lines: [usize; 2],
    /// The S3Connections that say how they are reached.
    pub via: [Option<String>; 2],
}

/// A sync whose spec is valid. Its Secrets need not be there: they may be in the cluster only.
#[derive(Clone, Debug)]
pub struct CheckedSync {
    /// The resource, complete with the schema's defaults, and what its S3Connections say in the place of their names.
    pub sync: S3Sync,
    /// Its settings.
    pub resolved: Resolved,
    /// See [`LoadedSync::file`].
    pub file: String,
    /// See [`LoadedSync::folder`].
    pub folder: PathBuf,
    /// See [`LoadedSync::line`].
    pub line: usize,
    /// `None`: a resource of a cluster, which is in no file.
    document: Option<Node>,
}

impl CheckedSync {
    /// A resource of a cluster, with what its S3Connections say in the place of their names. The API server has seen to
    /// the schema and its rules; what it cannot see is checked here.
    pub fn of_resource(sync: S3Sync) -> Result<CheckedSync, Vec<ManifestError>> {
        let folder = PathBuf::from(".");
        let id = validate::id(&sync);
        let told = |error: FieldError| ManifestError {
            kind: ManifestErrorKind::Invalid,
            file: String::new(),
            line: None,
            sync: Some(id.to_string()),
            message: error.to_string(),
        };
        let resolved = validate::settings(&sync, &folder)
            .map_err(|errors| errors.into_iter().map(told).collect::<Vec<ManifestError>>())?;
        Ok(CheckedSync { sync, resolved, file: String::new(), folder, line: 0, document: None })
    }

    /// The line at which a field stands, or would.
    fn line_of(&self, path: &str) -> Option<usize> {
        Some(self.document.as_ref()?.place_of(path).line)
    }
}

/// What was found in the files.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    /// The syncs, in the order of files and documents.
    pub syncs: Vec<CheckedSync>,
    /// The S3Connections, whether a sync names them or not.
    pub connections: Vec<CheckedDocument>,
    /// The S3SyncRuns, which a cluster alone runs.
    pub runs: Vec<CheckedDocument>,
    secrets: BTreeMap<(String, String), Secret>,
}

/// What a manifest's error means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestErrorKind {
    /// The manifest is wrong, or a variable that it names is not set.
    Invalid,
    /// A Secret is missing.
    Secret,
}

/// One thing that is wrong with the manifests. Shown as `file:line: namespace/name: field what; suggestion`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ManifestError {
    /// What it means.
    pub kind: ManifestErrorKind,
    /// The file as it was named; `-` for stdin. Empty when it is about all of them.
    pub file: String,
    /// The line, from 1.
    pub line: Option<usize>,
    /// The sync, where the document says which.
    pub sync: Option<String>,
    /// What is wrong, with the field's path where it is about one.
    pub message: String,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = if self.file == "-" { "stdin" } else { &self.file };
        match (file, self.line) {
            // About all files, or about none.
            ("", _) => {}
            (file, Some(line)) => write!(f, "{file}:{line}: ")?,
            (file, None) => write!(f, "{file}: ")?,
        }
        if let Some(sync) = &self.sync {
            write!(f, "{sync}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Reads and checks every manifest and resolves every Secret: what `run` and its kin start from. `env` gives the
/// environment's variables.
pub fn load(files: &[PathBuf], env: &dyn Fn(&str) -> Option<String>) -> Result<Vec<LoadedSync>, Vec<ManifestError>> {
    let manifests = check(files)?;
    if manifests.syncs.is_empty() { Err(vec![no_sync(files)]) } else { manifests.connect(env) }
}

/// Reads and checks every manifest, without its Secrets. Fails with all errors of all files, also when there is nothing
/// of ours at all.
pub fn check(files: &[PathBuf]) -> Result<Manifests, Vec<ManifestError>> {
    let (texts, errors) = read::texts(files);
    check_texts(&texts, errors, files)
}

/// Checks one manifest that is in no file. Fails as [`check`] does, with errors that name no file.
pub fn check_text(text: &str) -> Result<Manifests, Vec<ManifestError>> {
    let text = Text { file: String::new(), folder: PathBuf::from("."), text: text.to_owned(), maybe_data: false };
    check_texts(&[text], Vec::new(), &[PathBuf::from("the manifest")])
}

/// The text of one file.
#[derive(Clone, Debug)]
struct Text {
    file: String,
    folder: PathBuf,
    text: String,
    /// Found in a directory under a name that data has as well.
    maybe_data: bool,
}

impl Text {
    /// Whether a text that cannot be parsed was meant as a manifest of ours.
    fn is_ours(&self) -> bool {
        !self.maybe_data || self.text.contains(GROUP)
    }
}

fn check_texts(
    texts: &[Text],
    mut errors: Vec<ManifestError>,
    files: &[PathBuf],
) -> Result<Manifests, Vec<ManifestError>> {
    let mut manifests = Manifests::default();
    let mut seen = Seen::new();
    let mut found = false;
    // A sync may name what stands after it. Only texts with such a word are parsed twice: files are large where data
    // lies beside manifests.
    let mut connections = Connections::default();
    for text in texts.iter().filter(|text| text.text.contains(CONNECTION_KIND)) {
        let documents = document::parse(&text.text).into_iter().flatten().flat_map(listed);
        documents
            .filter(|document| matches!(kind(document), DocumentKind::Connection))
            .for_each(|document| connections.add(text, &document));
    }
    for text in texts {
        let documents = match document::parse(&text.text) {
            Ok(documents) => documents,
            Err(_) if !text.is_ours() => continue,
            Err(error) => {
                errors.push(error_at(text, error.at.line, None, error.message));
                continue;
            }
        };
        for document in documents.into_iter().flat_map(listed) {
            match kind(&document) {
                DocumentKind::Sync => {
                    found = true;
                    match check_document(text, document, &connections, &mut seen) {
                        Ok(sync) => manifests.syncs.push(sync),
                        Err(more) => errors.extend(more),
                    }
                }
                DocumentKind::Connection => {
                    found = true;
                    match connections.check(text, &document) {
                        Ok(connection) => manifests.connections.push(connection),
                        Err(more) => errors.extend(more),
                    }
                }
                DocumentKind::Run => {
                    found = true;
                    match beside::run(text, &document) {
                        Ok(run) => manifests.runs.push(run),
                        Err(more) => errors.extend(more),
                    }
                }
                DocumentKind::Secret => {
                    let (namespace, name) = identity(&document);
                    let place = format!("{}:{}", text.file, document.at.line);
                    manifests.secrets.insert((namespace, name), Secret::new(&document, place));
                }
                DocumentKind::Wrong(message) => {
                    found = true;
                    errors.push(error_at(text, document.at.line, None, message));
                }
                DocumentKind::Other => {}
            }
        }
    }
    errors.extend(common_outputs(&manifests.syncs));
    if !found && errors.is_empty() {
        errors.push(no_sync(files));
    }
    if errors.is_empty() { Ok(manifests) } else { Err(errors) }
}

fn no_sync(files: &[PathBuf]) -> ManifestError {
    let names: Vec<String> = files
        .iter()
        .map(|file| if file == Path::new("-") { "stdin".to_owned() } else { file.display().to_string() })
        .collect();
    let message = format!(
        "no S3Sync in {}; a manifest begins with apiVersion: {GROUP}/{VERSION} and kind: {KIND}",
        names.join(", ")
    );
    ManifestError { kind: ManifestErrorKind::Invalid, file: String::new(), line: None, sync: None, message }
}

/// Syncs that would write each other's keys. Each is told once, beside the first that it meets.
fn common_outputs<'a>(syncs: &'a [CheckedSync]) -> Vec<ManifestError> {
    let mut errors = Vec::new();
    for (at, sync) in syncs.iter().enumerate() {
        let common = |earlier: &'a CheckedSync| {
            validate::common_output(&sync.resolved, &earlier.resolved).map(|keys| (earlier, keys))
        };
        let Some((earlier, keys)) = syncs[..at].iter().find_map(common) else { continue };
        let path =
            if sync.sync.spec.destination.uri.is_some() { "spec.destination.uri" } else { "spec.destination.path" };
        let bucket = &sync.resolved.settings.destination.bucket;
        let message = format!(
            "{path} gives {bucket}/{keys}, which {} at {}:{} writes too: each run of one would replace the files of the other; give one of them \
             another path",
            earlier.resolved.settings.id, earlier.file, earlier.line
        );
        errors.push(ManifestError {
            kind: ManifestErrorKind::Invalid,
            file: sync.file.clone(),
            line: sync.line_of(path),
            sync: Some(sync.resolved.settings.id.to_string()),
            message,
        });
    }
    errors
}

fn error_at(text: &Text, line: usize, sync: Option<String>, message: impl Into<String>) -> ManifestError {
    ManifestError {
        kind: ManifestErrorKind::Invalid,
        file: text.file.clone(),
        line: Some(line),
        sync,
        message: message.into(),
    }
}

/// Where each sync was defined, by folder and id.
type Seen = BTreeMap<(PathBuf, String), String>;

enum DocumentKind {
    Sync,
    Connection,
    Run,
    Secret,
    /// Meant as a sync, and none.
    Wrong(String),
    Other,
}

/// The documents of a `List`, as `kubectl get -o yaml` prints them, or the document itself.
fn listed(document: Node) -> Vec<Node> {
    let is_list = document.text("apiVersion") == Some("v1") && document.text("kind") == Some("List");
    match document.get("items").map(|items| &items.value) {
        Some(Value::List(items)) if is_list => items.clone(),
        _ => vec![document],
    }
}

fn kind(document: &Node) -> DocumentKind {
    kind_of(document.text("apiVersion").unwrap_or_default(), document.text("kind").unwrap_or_default())
}

/// Refuses what is no sync, by what it says it is.
pub fn must_be_a_sync(api_version: &str, kind: &str) -> Result<(), String> {
    match kind_of(api_version, kind) {
        DocumentKind::Sync => Ok(()),
        DocumentKind::Wrong(message) => Err(message),
        DocumentKind::Connection | DocumentKind::Run | DocumentKind::Secret | DocumentKind::Other => {
            Err(format!("kind is {kind:?}; write {KIND}"))
        }
    }
}

fn kind_of(api_version: &str, kind: &str) -> DocumentKind {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    match (group, kind) {
        ("", "Secret") if version == "v1" => DocumentKind::Secret,
        (GROUP, KIND) if version == VERSION => DocumentKind::Sync,
        (GROUP, CONNECTION_KIND) if version == VERSION => DocumentKind::Connection,
        (GROUP, RUN_KIND) if version == VERSION => DocumentKind::Run,
        (GROUP, KIND | CONNECTION_KIND | RUN_KIND) => {
            DocumentKind::Wrong(format!("apiVersion is {api_version:?}, and this build knows {GROUP}/{VERSION}"))
        }
        (GROUP, kind) => {
            DocumentKind::Wrong(format!("kind is {kind:?}, which is no kind of {GROUP}; write {}", meant(kind)))
        }
        (_, KIND | CONNECTION_KIND | RUN_KIND) => {
            DocumentKind::Wrong(format!("apiVersion is {api_version:?}; write {GROUP}/{VERSION}"))
        }
        (group, kind) if nearest(group, [GROUP]).is_some() && nearest(kind, KINDS).is_some() => DocumentKind::Wrong(
            format!("apiVersion is {api_version:?} and kind is {kind:?}; write {GROUP}/{VERSION} and {}", meant(kind)),
        ),
        _ => DocumentKind::Other,
    }
}

/// The kinds of ours.
const KINDS: [&str; 3] = [KIND, CONNECTION_KIND, RUN_KIND];

/// The kind of ours that is most like what is written.
fn meant(kind: &str) -> &str {
    nearest(kind, KINDS).unwrap_or(KIND)
}

fn identity(document: &Node) -> (String, String) {
    let text = |key: &str| document.get("metadata").and_then(|metadata| metadata.text(key)).map(str::to_owned);
    (text("namespace").unwrap_or_else(|| "default".to_owned()), text("name").unwrap_or_default())
}

fn check_document(
    text: &Text,
    document: Node,
    connections: &Connections,
    seen: &mut Seen,
) -> Result<CheckedSync, Vec<ManifestError>> {
    let (namespace, name) = identity(&document);
    let label = if name.is_empty() { None } else { Some(format!("{namespace}/{name}")) };
    let located = |errors: Vec<FieldError>| -> Vec<ManifestError> {
        let mut located: Vec<ManifestError> = errors
            .into_iter()
            .map(|error| error_at(text, document.place_of(&error.path).line, label.clone(), error.to_string()))
            .collect();
        located.sort_by_key(|error| error.line);
        located.dedup();
        located
    };
    let (value, mut errors) = structural::check(KIND, &root_schema(KIND), &document, "");
    let mut sync: S3Sync = match serde_json::from_value(value) {
        Ok(sync) => sync,
        Err(error) if errors.is_empty() => {
            return Err(located(vec![FieldError::new("spec", format!("cannot be read: {error}"))]));
        }
        Err(_) => return Err(located(errors)),
    };
    errors.extend(connect(&mut sync, &|name| connections.find(&namespace, name)).err().unwrap_or_default().errors);
    // What is wrong by the schema is left out of the value. The rest is checked all the same, so that everything is
    // said at once.
    let outcome = validate::settings(&sync, &text.folder);
    let resolved = match outcome {
        Ok(resolved) if errors.is_empty() => resolved,
        outcome => return Err(located(gathered(errors, outcome.err().unwrap_or_default()))),
    };
    let line = document.at.line;
    let id = resolved.settings.id.to_string();
    let place = format!("{}:{line}", text.file);
    // Cursors lie beside the manifests, so the same name in another folder is another sync.
    if let Some(earlier) = seen.insert((text.folder.clone(), id.clone()), place) {
        return Err(vec![error_at(
            text,
            line,
            Some(id),
            format!("is defined already at {earlier}; give one of them another name"),
        )]);
    }
    Ok(CheckedSync {
        sync,
        resolved,
        file: text.file.clone(),
        folder: text.folder.clone(),
        line,
        document: Some(document),
    })
}

/// Everything that is wrong with a document: by its schema, and what validation says beside that. The definition's CEL
/// rules are not evaluated: validation has each of them, in a sentence that says what would be right.
fn gathered(mut errors: Vec<FieldError>, validation: Vec<FieldError>) -> Vec<FieldError> {
    let structural = errors.len();
    for error in validation {
        if !errors[..structural].iter().any(|cause| follows(&error, cause)) {
            errors.push(error);
        }
    }
    errors
}

/// Whether an error may follow from another one, whose value was left out: it is about that field, about what holds it,
/// or about something that is missing beside it.
fn follows(error: &FieldError, cause: &FieldError) -> bool {
    let parent = |path: &str| path.rsplit_once('.').map_or(String::new(), |(parent, _)| parent.to_owned());
    let missing = ["is required", "needs ", "must "].iter().any(|words| error.message.starts_with(words));
    error.path.starts_with(&cause.path)
        || cause.path.starts_with(&error.path)
        || (missing && parent(&error.path) == parent(&cause.path))
}
