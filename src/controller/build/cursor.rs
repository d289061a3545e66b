//! The cursor's ConfigMap, empty: what stands in it, workers write.

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::child;
use crate::api::S3Sync;
use crate::api::spec::OnDelete;
use crate::controller::names::{ABOUT, CURSOR, cursor_name};

/// Said in the ConfigMap itself, since people find it before they find the manual.
const TEXT: &str =
    "The position of an S3Sync: written by its workers alone. Edit nothing here; see `s3sync state --help`.";

/// The ConfigMap's metadata, and no data. With `onDelete: Retain` nothing owns it: a resource of the same name goes on
/// from it.
pub fn cursor_map(sync: &S3Sync) -> ConfigMap {
    let metadata = child(sync, cursor_name(sync.metadata.name.as_deref().unwrap_or_default()), CURSOR);
    let owner_references = metadata.owner_references.filter(|_| sync.spec.state.on_delete == OnDelete::Delete);
    let annotations = Some([(ABOUT.to_owned(), TEXT.to_owned())].into());
    ConfigMap { metadata: ObjectMeta { owner_references, annotations, ..metadata }, ..ConfigMap::default() }
}
