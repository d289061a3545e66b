//! An external sort: more objects than memory shall hold, of which what does not fit is spilled to scratch in sorted
//! files and merged.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use crate::model::plan::PlannedObject;

/// Objects are held up to this many bytes: some 100,000, which is the default of `limits.objectsPerCommit`, so that
/// most epochs never spill.
const HELD_BYTES_MAX: usize = 24 << 20;

/// Bytes of an object beside its texts.
const OBJECT_BYTES: usize = size_of::<PlannedObject>();

/// Files merged at once; when there are so many, they become one. Each costs a file descriptor and 300 KiB while it is
/// read.
const FILES_MAX: usize = 64;

/// Objects handed over at once by the thread that merges.
const BATCH_OBJECTS: usize = 512;

/// Takes objects in any order.
pub struct ExternalSorter {
    scratch: PathBuf,
    held: Vec<PlannedObject>,
    held_bytes: usize,
    held_bytes_max: usize,
    files: Vec<File>,
}

/// Gives them by table, then key; objects that are alike in both as they were pushed.
pub enum Sorted {
    /// All fitted.
    Held(std::vec::IntoIter<PlannedObject>),
    /// They come from a thread that merges files.
    Merged {
        /// What has come and was not taken yet.
        batch: std::vec::IntoIter<PlannedObject>,
        /// What is still to come.
        batches: mpsc::Receiver<io::Result<Vec<PlannedObject>>>,
    },
}

impl ExternalSorter {
    /// An empty sorter that spills into the directory `scratch`.
    pub fn new(scratch: &Path) -> Self {
        Self::holding(scratch, HELD_BYTES_MAX)
    }

    fn holding(scratch: &Path, held_bytes_max: usize) -> Self {
        Self { scratch: scratch.to_owned(), held: Vec::new(), held_bytes: 0, held_bytes_max, files: Vec::new() }
    }

    /// Adds an object.
    pub async fn push(&mut self, object: PlannedObject) -> io::Result<()> {
        self.held_bytes += OBJECT_BYTES + object.object.key.len() + object.object.etag.as_str().len();
        self.held.push(object);
        if self.held_bytes >= self.held_bytes_max { self.spill().await } else { Ok(()) }
    }

    /// Everything that was pushed, in order.
    pub async fn finish(mut self) -> io::Result<Sorted> {
        if self.files.is_empty() {
            self.held.sort_by(order);
            return Ok(Sorted::Held(self.held.into_iter()));
        }
        self.spill().await?;
        let (give, batches) = mpsc::channel(2);
        // It ends when all is given, or when nobody takes any more.
        tokio::task::spawn_blocking(move || {
            if let Err(error) = merge(self.files, |batch| give.blocking_send(Ok(batch)).is_ok()) {
                // Nobody may be there to hear it.
                let _ = give.blocking_send(Err(error));
            }
        });
        Ok(Sorted::Merged { batch: Vec::new().into_iter(), batches })
    }

    async fn spill(&mut self) -> io::Result<()> {
        let mut held = std::mem::take(&mut self.held);
        self.held_bytes = 0;
        let scratch = self.scratch.clone();
        let files = if self.files.len() >= FILES_MAX { std::mem::take(&mut self.files) } else { Vec::new() };
        let spilled = tokio::task::spawn_blocking(move || {
            let mut spilled = Vec::new();
            if !files.is_empty() {
                let mut writer = Spill::new(&scratch)?;
                let mut failed = Ok(());
                merge(files, |batch| {
                    failed = batch.iter().try_for_each(|object| writer.line(object));
                    failed.is_ok()
                })?;
                failed?;
                spilled.push(writer.finish()?);
            }
            held.sort_by(order);
            let mut writer = Spill::new(&scratch)?;
            held.iter().try_for_each(|object| writer.line(object))?;
            spilled.push(writer.finish()?);
            Ok::<_, io::Error>(spilled)
        });
        self.files.extend(spilled.await.map_err(io::Error::other)??);
        Ok(())
    }
}

impl Sorted {
    /// The next object.
    pub async fn next(&mut self) -> io::Result<Option<PlannedObject>> {
        match self {
            Sorted::Held(objects) => Ok(objects.next()),
            Sorted::Merged { batch, batches } => {
                if batch.len() == 0 {
                    match batches.recv().await {
                        Some(next) => *batch = next?.into_iter(),
                        None => return Ok(None),
                    }
                }
                Ok(batch.next())
            }
        }
    }
}

fn order(a: &PlannedObject, b: &PlannedObject) -> Ordering {
    (a.table, &a.object.key).cmp(&(b.table, &b.object.key))
}

/// A file without a name: it is gone when it is closed, whatever happens to us.
struct Spill(zstd::Encoder<'static, BufWriter<File>>);

impl Spill {
    fn new(scratch: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(scratch)?;
        // The fastest level: it is read once, soon, and keys that follow each other are alike.
        zstd::Encoder::new(BufWriter::new(tempfile::tempfile_in(scratch)?), 1).map(Self)
    }

    fn line(&mut self, object: &PlannedObject) -> io::Result<()> {
        serde_json::to_writer(&mut self.0, object)?;
        self.0.write_all(b"\n")
    }

    fn finish(self) -> io::Result<File> {
        let mut file = self.0.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        Ok(file)
    }
}

/// Gives the objects of sorted files in order, batch by batch, until `take` wants no more.
fn merge(files: Vec<File>, mut take: impl FnMut(Vec<PlannedObject>) -> bool) -> io::Result<()> {
    let mut readers = Vec::with_capacity(files.len());
    for file in files {
        readers.push(BufReader::new(zstd::Decoder::new(file)?));
    }
    let count = readers.len();
    let mut heads = BinaryHeap::with_capacity(count);
    let mut line = String::new();
    let mut next = |at: usize, heads: &mut BinaryHeap<Reverse<Head>>| -> io::Result<()> {
        line.clear();
        if readers[at].read_line(&mut line)? > 0 {
            heads.push(Reverse(Head(serde_json::from_str(&line)?, at)));
        }
        Ok(())
    };
    for at in 0..count {
        next(at, &mut heads)?;
    }
    let mut batch = Vec::with_capacity(BATCH_OBJECTS);
    while let Some(Reverse(Head(object, at))) = heads.pop() {
        batch.push(object);
        next(at, &mut heads)?;
        if (batch.len() == BATCH_OBJECTS || heads.is_empty())
            && !take(std::mem::replace(&mut batch, Vec::with_capacity(BATCH_OBJECTS)))
        {
            return Ok(());
        }
    }
    Ok(())
}

/// The next object of a file, and which file: earlier files were pushed earlier.
struct Head(PlannedObject, usize);

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        order(&self.0, &other.0).then(self.1.cmp(&other.1))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::fixtures::object;

    async fn sort(objects: Vec<PlannedObject>, held_bytes_max: usize) -> Vec<PlannedObject> {
        let scratch = tempfile::tempdir().unwrap();
        let mut sorter = ExternalSorter::holding(scratch.path(), held_bytes_max);
        for object in objects {
            sorter.push(object).await.unwrap();
        }
        let mut sorted = sorter.finish().await.unwrap();
        let mut objects = Vec::new();
        while let Some(object) = sorted.next().await.unwrap() {
            objects.push(object);
        }
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "scratch is left behind");
        objects
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn order_does_not_depend_on_what_fits(
            keys in prop::collection::vec((0u32..3, "[a-d]{1,3}"), 0..300),
            objects_held in 1usize..40,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let objects: Vec<PlannedObject> = keys
                .iter()
                .enumerate()
                .map(|(at, (table, key))| (object(key, &at.to_string()), *table))
                .map(|(object, table)| PlannedObject { object, table, slice: None })
                .collect();
            let mut expected = objects.clone();
            expected.sort_by(order);
            let sorted = runtime.block_on(sort(objects, objects_held * OBJECT_BYTES));
            prop_assert_eq!(sorted, expected);
        }
    }

    #[tokio::test]
    async fn a_full_scratch_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut sorter = ExternalSorter::holding(file.path(), 1);
        assert!(sorter.push(PlannedObject { object: object("a", "e"), table: 0, slice: None }).await.is_err());
    }
}
