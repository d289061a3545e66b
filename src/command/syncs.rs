//! From manifests to opened syncs: what every verb over a cursor begins with.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::api::manifest::{self, LoadedSync};
use crate::cli::{FileArgs, StateDirArgs};
use crate::command::CommandError;
use crate::command::validate::manifest_errors;
use crate::model::connection::{Connection, Endpoint};
use crate::model::cursor::Cursor;
use crate::model::settings::Settings;
use crate::model::spec_hash::SpecHash;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::state::configmap::ConfigMapCursor;
use crate::state::file::FileCursor;
use crate::state::seal::StateKey;
use crate::state::{CursorStore, StateError, Version};
use crate::store::{self, Side, Store, StoreError};

/// The state directory beside a manifest.
const STATE_DIR: &str = ".s3sync";

/// One sync of the manifests.
#[derive(Debug)]
pub struct Sync {
    /// Its manifest.
    pub loaded: LoadedSync,
    /// Its cursor.
    pub cursor: CursorLocation,
}

/// Where a cursor lives.
#[derive(Clone, Debug)]
pub enum CursorLocation {
    /// In a state directory.
    File(FileCursor),
    /// In a cluster.
    ConfigMap {
        /// The cursor.
        cursor: ConfigMapCursor,
        /// The ConfigMap's uid; empty where there is none yet.
        uid: String,
    },
}

impl CursorLocation {
    /// The cursor, wherever it is.
    pub fn store(&self) -> &dyn CursorStore {
        match self {
            CursorLocation::File(cursor) => cursor,
            CursorLocation::ConfigMap { cursor, .. } => cursor,
        }
    }

    /// The cursor for a run.
    pub fn shared(&self) -> Arc<dyn CursorStore> {
        match self {
            CursorLocation::File(cursor) => Arc::new(cursor.clone()),
            CursorLocation::ConfigMap { cursor, .. } => Arc::new(cursor.clone()),
        }
    }
}

/// For people: the file's path, or `ConfigMap namespace/name`.
impl fmt::Display for CursorLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CursorLocation::File(cursor) => write!(f, "{}", cursor.path().display()),
            CursorLocation::ConfigMap { cursor, .. } => f.write_str(cursor.place()),
        }
    }
}

/// A sync whose buckets are within reach.
#[derive(Clone, Debug)]
pub struct Stores {
    /// The source bucket.
    pub source: Arc<dyn Store>,
    /// The destination bucket.
    pub destination: Arc<dyn Store>,
}

/// Reads the manifests, at least one; every error of them is reported.
pub fn load(from: &FileArgs, state: &StateDirArgs) -> Result<Vec<Sync>, CommandError> {
    let environment = |name: &str| std::env::var(name).ok();
    let loaded = manifest::load(&from.files, &environment).map_err(manifest_errors)?;
    let sync = |loaded: LoadedSync| {
        let state_dir = state.state_dir.clone().unwrap_or_else(|| loaded.folder.join(STATE_DIR));
        let state_dir: PathBuf = std::path::absolute(&state_dir).unwrap_or(state_dir);
        let cursor = FileCursor::new(&state_dir, &loaded.id);
        Sync { loaded, cursor: CursorLocation::File(cursor) }
    };
    Ok(loaded.into_iter().map(sync).collect())
}

impl Sync {
    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.loaded.settings
    }

    /// Identity of source and destination.
    pub fn spec_hash(&self) -> String {
        SpecHash::of(self.settings()).to_string()
    }

    /// Where the cursor lives, for people who read the claim: this host and the cursor's file, or the ConfigMap with
    /// its uid.
    pub fn owner(&self) -> String {
        match &self.cursor {
            CursorLocation::File(cursor) => format!("{}:{}", host(), cursor.path().display()),
            CursorLocation::ConfigMap { cursor, uid } => {
                format!("configmap {uid} {}", cursor.place().trim_start_matches("ConfigMap "))
            }
        }
    }

    /// The key of the sync's state, made where there is none.
    pub fn state_key(&self) -> Result<StateKey, RunError> {
        match &self.cursor {
            CursorLocation::File(cursor) => cursor.state_key().map_err(|error| self.failed(error)),
            CursorLocation::ConfigMap { cursor, .. } => {
                let message = format!("{}: the key of {} is its workers' alone", self.loaded.id, cursor.place());
                Err(RunError::new(RunErrorKind::Failed, message))
            }
        }
    }

    /// The cursor as it stands.
    pub async fn load(&self) -> Result<Option<(Cursor, Version)>, RunError> {
        self.cursor.store().load().await.map_err(|error| self.failed(error))
    }

    /// The error as one of this sync; what a store raised with the end that it is, and where the manifest describes
    /// that.
    pub fn located(&self, error: RunError) -> RunError {
        let mut error = error.of(&self.loaded.id);
        let Some(end) = error
            .source
            .as_ref()
            .and_then(|source| source.downcast_ref::<StoreError>())
            .and_then(|store| self.end(store))
        else {
            return error;
        };
        let (field, side) = match end {
            Side::Source => ("spec.source", 0),
            Side::Destination => ("spec.destination", 1),
        };
        let line = self.loaded.end_lines[side];
        let via = self.loaded.via[side].as_ref().map(|name| format!(" by the S3Connection {name:?}"));
        let file = match self.loaded.file.as_str() {
            // A resource of a cluster.
            "" => String::new(),
            "-" => format!(" at stdin:{line}"),
            file => format!(" at {file}:{line}"),
        };
        error.message.push_str(&format!(" ({field}{}{file})", via.unwrap_or_default()));
        error
    }

    /// Which end a store's error is about.
    fn end(&self, error: &StoreError) -> Option<Side> {
        let settings = self.settings();
        let place = |connection: &Connection, bucket: &str| match &connection.endpoint {
            Endpoint::File(directory) => directory.join(bucket).display().to_string(),
            _ => format!("s3://{bucket}"),
        };
        let source = place(&self.loaded.source, &settings.source.bucket) == error.place;
        let destination = place(&self.loaded.destination, &settings.destination.bucket) == error.place;
        match (source, destination) {
            (true, false) => Some(Side::Source),
            (false, true) => Some(Side::Destination),
            // One bucket for both: the source is only read, and state lies at the destination.
            (true, true) if matches!(error.op, "GetObject" | "HeadObject" | "ListObjectsV2") => {
                let state = error.key.starts_with(&format!("{}/", settings.state_prefix));
                Some(if state { Side::Destination } else { Side::Source })
            }
            (true, true) => Some(Side::Destination),
            (false, false) => None,
        }
    }

    /// What a failure of the cursor means.
    pub fn failed(&self, error: StateError) -> RunError {
        RunError::because(RunErrorKind::from(&error), format!("{}: {error}", self.loaded.id), error)
    }

    /// Opens both buckets. No request is made yet.
    pub async fn stores(&self) -> Result<Stores, RunError> {
        let settings = self.settings();
        Ok(Stores {
            source: store::connect(&self.loaded.source, &settings.source.bucket, Side::Source).await?,
            destination: store::connect(&self.loaded.destination, &settings.destination.bucket, Side::Destination)
                .await?,
        })
    }
}

/// This machine's name, as far as it can be told.
fn host() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned());
    kernel
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}

/// The failure of a sync as a verb's.
pub fn failure(error: RunError) -> CommandError {
    CommandError::new(error.kind.failure(), error)
}

/// The failures of several syncs as one error: each is reported, and the first gives the exit code.
pub fn end(failures: Vec<RunError>) -> Result<(), CommandError> {
    match failures.first().map(|error| error.kind.failure()) {
        None => Ok(()),
        Some(kind) => Err(CommandError { kind, errors: failures.into_iter().map(anyhow::Error::new).collect() }),
    }
}
