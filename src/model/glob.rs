//! Globs over keys and table names.

use serde::{Deserialize, Serialize};

/// One glob, by its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Glob(String);
