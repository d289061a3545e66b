//! `s3sync crd`: the CustomResourceDefinitions.

use crate::api::crd;
use crate::command::CommandError;

/// Prints the definitions as YAML.
pub fn execute() -> Result<(), CommandError> {
    crate::command::print(&crd::yaml())
}
