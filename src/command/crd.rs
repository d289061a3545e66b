//! `s3sync crd`: the CustomResourceDefinition.

use super::CommandError;
use crate::api::crd;

/// Prints the definition as YAML.
pub fn execute() -> Result<(), CommandError> {
    super::print(&crd::yaml())
}
