//! Whether the files that Replace published are still there. Where they are not, everything is written again: a run leaves the destination
//! as the reference says, or says that it did not look.

use futures::stream::{self, StreamExt};

use super::Remarks;
use crate::model::manifest::CommittedFile;
use crate::model::plan::BlobKey;
use crate::pipeline::error::RunError;
use crate::state::blobs::Blobs;
use crate::store::{ErrorKind, Head, Store};

/// Files that are looked at: a HEAD each, with every run that finds nothing new, so that a sync of every minute pays for few. Of more files
/// as many are looked at, spread evenly, which shows a table or a directory that was removed, and not a single file.
const LOOKED_MAX: usize = 100;

/// Looks under way at once.
const LOOKS_AT_ONCE: usize = 16;

/// Whether every file of the manifest that is looked at stands as it was published. What is not there, or was not looked at, is noted.
pub(super) async fn stands(blobs: &Blobs, manifest: &BlobKey, remarks: &mut Remarks) -> Result<bool, RunError> {
    let (_, files) = blobs.get_manifest(manifest).await?;
    let step = files.len().div_ceil(LOOKED_MAX).max(1);
    let store = blobs.store().as_ref();
    let mut looks = stream::iter(files.iter().step_by(step)).map(|file| look(store, file)).buffered(LOOKS_AT_ONCE);
    while let Some(seen) = looks.next().await {
        match seen? {
            Seen::There => {}
            Seen::Gone(what) => {
                remarks.note(format!("{what}: everything is written again"));
                return Ok(false);
            }
            Seen::Denied(why) => {
                remarks.note(format!("nothing new is listed, and whether the published files are still there was not looked at: {why}"));
                return Ok(true);
            }
        }
    }
    if step > 1 {
        let looked = files.len().div_ceil(step);
        remarks.note(format!("nothing new is listed, and of the {} published files {looked} were looked at: they are there", files.len()));
    }
    Ok(true)
}

enum Seen {
    There,
    Gone(String),
    Denied(String),
}

async fn look(store: &dyn Store, file: &CommittedFile) -> Result<Seen, RunError> {
    let place = format!("{}/{}", store.place(), file.key);
    match store.head(&file.key).await {
        Ok(head) if is_same(&head, file) => Ok(Seen::There),
        Ok(_) => Ok(Seen::Gone(format!("the published file {place} is another object now"))),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(Seen::Gone(format!("the published file {place} is not there any more"))),
        Err(error) if error.kind == ErrorKind::Denied => Ok(Seen::Denied(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// By our id where the store keeps metadata: not every server gives an object the etag that it named when the upload was completed.
fn is_same(head: &Head, file: &CommittedFile) -> bool {
    match &head.id {
        Some(id) => *id == file.id && head.size == file.bytes,
        None => head.etag.as_str() == file.etag,
    }
}
