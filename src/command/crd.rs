//! `s3sync crd`: the CustomResourceDefinitions.

use super::CommandError;
use crate::api::crd;

/// Prints the definitions as YAML.
pub fn execute() -> Result<(), CommandError> {
    super::print(&crd::yaml())
}
