//! From spec to settings: one function for the command line and the controller. It makes the defaults that depend on
//! other fields and checks what the schema's bounds cannot: every CEL rule of the schema, and what CEL cannot see. It
//! sees no Secret: an [`Access`] only names them, and is resolved where they are.

use std::path::Path;

use super::error::FieldError;
use super::spec::{S3Connection, S3Sync, S3SyncSpec};
use super::variables;
use crate::model::connection::Protection;
use crate::model::memory::{BUDGET_BYTES_MIN, mebibytes, raised};
use crate::model::settings::{ErrorSettings, IncrementalSettings, LimitSettings, Settings, SyncId, WorkerSettings};

mod access;
mod collision;
mod columns;
mod destination;
mod outputs;
mod partition;
mod schedule;
mod source;
mod uri;

pub use access::{Access, AccessCredentials, SecretError};
pub use outputs::common_output;

/// A valid spec.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// What a run works by.
    pub settings: Settings,
    /// How the source is reached.
    pub source: Access,
    /// How the destination is reached.
    pub destination: Access,
}

/// What is wrong with an S3Connection, beyond its schema.
pub fn connection(connection: &S3Connection) -> Result<(), Vec<FieldError>> {
    let mut problems = Problems::default();
    // Nothing relative is allowed, so the folder that relative paths begin at does not matter.
    let access = access::access(&connection.spec.connection, "spec", Path::new("/"), &mut problems);
    if let Some(field) = access.command_line_only() {
        problems.add(FieldError::new(field, "is for a sync itself, on the command line only"));
    }
    if problems.0.is_empty() { Ok(()) } else { Err(problems.0) }
}

/// Whose spec it is.
pub fn id(sync: &S3Sync) -> SyncId {
    SyncId {
        namespace: sync.metadata.namespace.clone().unwrap_or_else(|| "default".to_owned()),
        name: sync.metadata.name.clone().unwrap_or_default(),
    }
}

/// The settings of a sync, or everything that is wrong with its spec, in the order of the fields. What it names by
/// `connectionRef` was put in its place before, by [`super::connect`].
///
/// A relative `file:` endpoint starts at `folder`. The spec must have passed the CRD's schema (the API server or
/// [`super::manifest`] saw to that); what is checked here holds for specs that came past it too.
pub fn settings(sync: &S3Sync, folder: &Path) -> Result<Resolved, Vec<FieldError>> {
    let id = id(sync);
    let spec = &sync.spec;
    let mut problems = Problems::default();
    schedule::check(spec, &id, &mut problems);
    let source_access = access::access(&spec.source.connection, "spec.source", folder, &mut problems);
    let source = source::source(&spec.source, &source_access, &mut problems);
    let schema = columns::schema(&spec.schema, &mut problems);
    let mut destination_access =
        access::access(&spec.destination.connection, "spec.destination", folder, &mut problems);
    let destination = destination::destination(spec, &destination_access, &mut problems);
    let rest = rest(spec, &mut problems);
    let (Some(source), Some(destination), Some(rest)) = (source, destination, rest) else {
        return Err(problems.0);
    };
    let settings = Settings {
        id,
        source,
        schema,
        destination,
        incremental: IncrementalSettings {
            enabled: spec.incremental.enabled,
            on_overwrite: spec.incremental.on_overwrite.into(),
        },
        errors: rest.errors,
        on_nothing_found: spec.errors.on_nothing_found.into(),
        limits: rest.limits,
        state_prefix: rest.state_prefix,
        worker: rest.worker,
    };
    let object = &settings.destination.object;
    destination_access.protection =
        Protection { acl: object.acl.clone(), sse: object.sse.clone(), kms_key_id: object.kms_key_id.clone() };
    if source_access.same_place(&destination_access) && settings.source.bucket == settings.destination.bucket {
        collision::check(&settings, &mut problems);
    }
    if problems.0.is_empty() {
        Ok(Resolved { settings, source: source_access, destination: destination_access })
    } else {
        Err(problems.0)
    }
}

/// Everything found wrong so far.
#[derive(Debug, Default)]
struct Problems(Vec<FieldError>);

impl Problems {
    fn add(&mut self, error: FieldError) {
        self.0.push(error);
    }

    /// The value, or its error on record.
    fn check<T, E: ToString>(&mut self, path: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(FieldError::new(path, format!("is not valid: {}", error.to_string())))).ok()
    }
}

/// Variables that the operator or Kubernetes sets in workers, beside all that begin with S3SYNC_.
const RESERVED_VARIABLES: [&str; 3] = [variables::INDEX, variables::POD_NAME, variables::POD_NAMESPACE];

/// What is left of the settings.
struct Rest {
    errors: ErrorSettings,
    limits: LimitSettings,
    state_prefix: String,
    worker: WorkerSettings,
}

fn rest(spec: &S3SyncSpec, problems: &mut Problems) -> Option<Rest> {
    let bytes_per_commit = problems.check("spec.limits.bytesPerCommit", spec.limits.bytes_per_commit.bytes());
    let scratch_bytes = problems.check("spec.worker.scratch", spec.worker.scratch.bytes());
    let dead_letter_path =
        spec.errors.dead_letter_path.as_deref().map(|path| directory(path, "spec.errors.deadLetterPath", problems));
    if spec.errors.max_bad_records > 0 && dead_letter_path.is_none() {
        problems.add(FieldError::new(
            "spec.errors.maxBadRecords",
            "needs deadLetterPath when it is above 0: the place where bad records are kept",
        ));
    }
    let state_prefix = directory(&spec.state.prefix, "spec.state.prefix", problems);
    if spec.worker.concurrency == Some(0) {
        let message = "is not valid: concurrency must be at least 1, or -1 for no cap";
        problems.add(FieldError::new("spec.worker.concurrency", message));
    }
    if let Some(limit) = spec.worker.resources.limits.get("memory")
        && limit.amount().is_some_and(|bytes| bytes < BUDGET_BYTES_MIN)
    {
        let least = mebibytes(BUDGET_BYTES_MIN);
        let error = FieldError::new(
            "spec.worker.resources.limits.memory",
            format!("is {}, and a worker needs at least {least}", limit.0),
        );
        problems.add(error.suggest(format!("write {}, with which its budget is the default", mebibytes(raised(0)))));
    }
    for (i, variable) in spec.worker.env.iter().enumerate() {
        if variable.name.starts_with(variables::PREFIX) || RESERVED_VARIABLES.contains(&variable.name.as_str()) {
            problems.add(
                FieldError::new(
                    format!("spec.worker.env[{i}].name"),
                    format!("is {:?}, which is the operator's own", variable.name),
                )
                .suggest("choose another name"),
            );
        }
    }
    Some(Rest {
        errors: ErrorSettings {
            on_bad_object: spec.errors.on_bad_object.into(),
            max_bad_records: u64::try_from(spec.errors.max_bad_records).unwrap_or(0),
            dead_letter_path: dead_letter_path.flatten(),
        },
        limits: LimitSettings {
            objects_per_commit: u64::try_from(spec.limits.objects_per_commit).unwrap_or(0).max(1),
            bytes_per_commit: bytes_per_commit?.max(1),
        },
        state_prefix: state_prefix?,
        worker: WorkerSettings {
            replicas: u32::try_from(spec.worker.replicas).unwrap_or(0).max(1),
            concurrency: spec.worker.concurrency.map(|objects| u32::try_from(objects).unwrap_or(u32::MAX)),
            rows_per_batch: usize::try_from(spec.worker.rows_per_batch).unwrap_or(0).max(1),
            scratch_bytes: scratch_bytes?,
        },
    })
}

/// A prefix that is used as a directory, without its trailing `/`.
fn directory(text: &str, path: &str, problems: &mut Problems) -> Option<String> {
    problems.check(path, uri::no_credentials(text))?;
    let bare = text.strip_suffix('/').unwrap_or(text);
    let wrong = bare.is_empty() || bare.split('/').any(|segment| matches!(segment, "" | "." | ".."));
    if wrong {
        problems.add(
            FieldError::new(path, format!("is {text:?}, which has an empty, . or .. segment"))
                .suggest("write a prefix such as quality/rejects"),
        );
        return None;
    }
    Some(bare.to_owned())
}
