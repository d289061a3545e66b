//! The Secret with the key of a sync's state. The controller makes it and never reads it; only the workers' pods get
//! it, by the kubelet.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::child;
use crate::api::S3Sync;
use crate::api::spec::OnDelete;
use crate::controller::names::{ABOUT, STATE_KEY, state_key_name};

/// The Secret's key that holds it.
pub const STATE_KEY_KEY: &str = "state-key";

/// Said in the Secret itself.
const TEXT: &str = "What workers of an S3Sync seal their state in the bucket with. When it is deleted, the next run makes another, and prepares again \
                     what was prepared and not yet decided.";

/// The Secret with this key. It lives as long as the cursor, as far as that is known when it is made: the controller
/// may change no Secret.
pub fn state_key(sync: &S3Sync, text: &str) -> Secret {
    let metadata = child(sync, state_key_name(sync.metadata.name.as_deref().unwrap_or_default()), STATE_KEY);
    let owner_references = metadata.owner_references.filter(|_| sync.spec.state.on_delete == OnDelete::Delete);
    let annotations = Some([(ABOUT.to_owned(), TEXT.to_owned())].into());
    Secret {
        metadata: ObjectMeta { owner_references, annotations, ..metadata },
        immutable: Some(true),
        string_data: Some([(STATE_KEY_KEY.to_owned(), text.to_owned())].into()),
        ..Secret::default()
    }
}
