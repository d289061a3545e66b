//! The template of output keys.

use serde::{Deserialize, Serialize};

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template(String);
