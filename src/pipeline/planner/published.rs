//! Whether the files that Replace published are still there. Where they are not, everything is written again: a run
//! leaves the destination as the reference says, or says that it did not look.

use futures::stream::{self, StreamExt};

use super::Remarks;
use crate::model::commit_record::CommittedFile;
use crate::model::plan::BlobKey;
use crate::pipeline::error::RunError;
use crate::state::blobs::Blobs;
use crate::store::{ErrorKind, Head, Store};

/// Files that are looked at: a HEAD each, with every run that finds nothing new, so that a sync of every minute pays
/// for few. Of more files as many are looked at, spread evenly, which shows a table or a directory that was removed,
/// and not a single file.
const LOOKED_MAX: usize = 100;

/// Looks under way at once.
const LOOKS_AT_ONCE: usize = 16;

/// Whether every file of the commit record that is looked at stands as it was published. What is not there, or was not
/// looked at, is noted.
pub(super) async fn stands(blobs: &Blobs, record: &BlobKey, remarks: &mut Remarks) -> Result<bool, RunError> {
    let (_, mut files) = blobs.commit_record(record).await?;
    let mut spread = Spread::default();
    while let Some(file) = files.next().await? {
        spread.add(file);
    }
    let store = blobs.store().as_ref();
    let mut looks = stream::iter(&spread.files).map(|file| look(store, file)).buffered(LOOKS_AT_ONCE);
    while let Some(seen) = looks.next().await {
        match seen? {
            Seen::There => {}
            Seen::Gone(what) => {
                remarks.note(format!("{what}: everything is written again"));
                return Ok(false);
            }
            Seen::Denied(why) => {
                remarks.note(format!(
                    "nothing new is listed, and whether the published files are still there was not looked at: {why}"
                ));
                return Ok(true);
            }
        }
    }
    if spread.step > 1 {
        let (seen, looked) = (spread.seen, spread.files.len());
        remarks.note(format!(
            "nothing new is listed, and of the {seen} published files {looked} were looked at: they are there"
        ));
    }
    Ok(true)
}

/// Files spread evenly over all that are added, at most [`LOOKED_MAX`] of them, however many there turn out to be:
/// every `step`-th, and each time that they become too many, every other one of those.
struct Spread {
    files: Vec<CommittedFile>,
    step: usize,
    seen: usize,
}

impl Default for Spread {
    fn default() -> Self {
        Self { files: Vec::new(), step: 1, seen: 0 }
    }
}

impl Spread {
    fn add(&mut self, file: CommittedFile) {
        if self.seen.is_multiple_of(self.step) {
            self.files.push(file);
            if self.files.len() > LOOKED_MAX {
                let mut at = 0..;
                self.files.retain(|_| at.next().is_some_and(|at: usize| at.is_multiple_of(2)));
                self.step *= 2;
            }
        }
        self.seen += 1;
    }
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
        Err(error) if error.kind == ErrorKind::NotFound => {
            Ok(Seen::Gone(format!("the published file {place} is not there any more")))
        }
        Err(error) if error.kind == ErrorKind::Denied => Ok(Seen::Denied(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// By our id where the store keeps metadata: not every server gives an object the etag that it named when the upload
/// was completed.
fn is_same(head: &Head, file: &CommittedFile) -> bool {
    match &head.id {
        Some(id) => *id == file.id && head.size == file.bytes,
        None => head.etag.as_str() == file.etag,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_looked_at_from_the_first_to_the_last_however_many_there_are() {
        for (count, expected) in
            [(0, 0), (1, 1), (100, 100), (101, 51), (200, 100), (201, 51), (1_000, 63), (1_000_000, 62)]
        {
            let mut spread = Spread::default();
            for number in 0..count {
                let (table, key, id, etag) = ("t".to_owned(), number.to_string(), String::new(), String::new());
                spread.add(CommittedFile { table, key, id, etag, bytes: 1, rows: 1, shard: 0, objects: (0, 0) });
            }
            assert_eq!((spread.seen, spread.files.len()), (count, expected));
            let step = spread.step;
            assert!(spread.files.iter().enumerate().all(|(at, file)| file.key == (at * step).to_string()), "{count}");
        }
    }
}
