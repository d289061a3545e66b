//! Uploads under way: a directory each, inside the hidden staging directory.
//!
//! `data` holds the file as it will be published: part `n` is written at `(n - 1) * part size`, in whatever order parts
//! come. The part size is the first part's; a part that comes before it is parked as `part-<n>`. `parts` is a journal,
//! a line for each part with number, bytes and CRC-32; the last line of a number counts, and a line that a crash cut
//! short does not. `upload` names key and id.
//!
//! Parts are not synced one by one. Instead an upload that another process wrote is verified against its journal before
//! it is published: bytes that were lost with the machine show, and the upload counts as gone
//! ([`ErrorKind::NoSuchUpload`]), which its owner can mend.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::place::Expected;
use super::{Bucket, Failure, STAGING, etag, path};
use crate::model::object::Etag;
use crate::store::ErrorKind;

/// The parts of one upload.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// The first part's size, which decides where the others lie.
    part_bytes: Option<u64>,
    /// By number.
    parts: BTreeMap<u32, Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    bytes: u64,
    crc: u32,
}

impl Part {
    fn etag(self) -> String {
        format!("{:x}-{:08x}", self.bytes, self.crc)
    }
}

#[derive(Serialize, Deserialize)]
struct Named {
    key: String,
    id: String,
}

/// How long the staging directory stays as it is before what it held is remembered: twice the coarsest times that file
/// systems keep (FAT).
const SETTLED: Duration = Duration::from_secs(4);

/// Uploads by a digest of their keys, and the time that the staging directory had then.
#[derive(Debug)]
pub(super) struct Listed {
    changed: SystemTime,
    by_key: HashMap<u64, Vec<uuid::Uuid>>,
}

impl Listed {
    fn load(staging: &Path, changed: SystemTime) -> io::Result<Self> {
        let mut by_key: HashMap<u64, Vec<uuid::Uuid>> = HashMap::new();
        for entry in fs::read_dir(staging)? {
            let entry = entry?;
            // What is gone by now, or is no upload, is not listed.
            if let Some(upload) = entry.file_name().to_str().and_then(|name| uuid::Uuid::try_parse(name).ok())
                && let Ok(named) = fs::read(entry.path().join("upload"))
                && let Ok(named) = serde_json::from_slice::<Named>(&named)
            {
                by_key.entry(digest(&named.key)).or_default().push(upload);
            }
        }
        Ok(Self { changed, by_key })
    }
}

fn digest(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

impl Bucket {
    pub(super) fn create_upload(&self, key: &str, id: &str) -> Result<String, Failure> {
        path::of_key(&self.root, key)?;
        let upload = uuid::Uuid::new_v4().to_string();
        let named = serde_json::to_vec(&Named { key: key.to_owned(), id: id.to_owned() }).map_err(io::Error::other)?;
        self.in_staging(|staging| {
            // Renamed once it is whole, so that no upload is ever seen half made.
            let making = staging.join(format!("{upload}.new"));
            fs::create_dir(&making)?;
            fs::write(making.join("upload"), &named)?;
            File::create_new(making.join("parts"))?;
            File::create_new(making.join("data"))?;
            fs::rename(&making, staging.join(&upload))
        })?;
        self.written().insert(upload.clone(), Arc::default());
        Ok(upload)
    }

    pub(super) fn upload_part(&self, key: &str, upload: &str, number: u32, body: &[Bytes]) -> Result<String, Failure> {
        if !(1..=10_000).contains(&number) {
            return Err(Failure::found(ErrorKind::Other, format!("part number {number} is not between 1 and 10000")));
        }
        let directory = self.upload(key, upload)?;
        let known = self.parts(upload, &directory)?;
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut crc = crc32fast::Hasher::new();
        body.iter().for_each(|piece| crc.update(piece));
        let part = Part { bytes: body.iter().map(|piece| piece.len() as u64).sum(), crc: crc.finalize() };
        if number == 1 && known.part_bytes.is_some_and(|bytes| bytes != part.bytes) && known.parts.len() > 1 {
            return Err(Failure::found(ErrorKind::Other, "part 1 was uploaded again with another size"));
        }
        let part_bytes = if number == 1 { Some(part.bytes) } else { known.part_bytes };
        match part_bytes {
            Some(part_bytes) => {
                fits(number, part, part_bytes)?;
                let mut data = OpenOptions::new().write(true).open(directory.join("data"))?;
                data.seek(SeekFrom::Start(u64::from(number - 1) * part_bytes))?;
                write_pieces(data, body)?;
            }
            None => write_pieces(File::create(parked(&directory, number))?, body)?,
        }
        let mut journal = OpenOptions::new().append(true).open(directory.join("parts"))?;
        journal.write_all(format!("{number} {} {:08x}\n", part.bytes, part.crc).as_bytes())?;
        known.parts.insert(number, part);
        if number == 1 {
            known.part_bytes = part_bytes;
            known.settle(&directory)?;
        }
        Ok(part.etag())
    }

    pub(super) fn complete_upload(
        &self,
        key: &str,
        upload: &str,
        etags: &[String],
        if_none_match: bool,
    ) -> Result<Etag, Failure> {
        let directory = self.upload(key, upload)?;
        let path = directory.join("data");
        let ours = self.written().contains_key(upload);
        let known = self.parts(upload, &directory)?;
        let known = known.lock().unwrap_or_else(PoisonError::into_inner);
        let size = known.named(upload, etags)?;
        known.settle(&directory)?;
        let data = OpenOptions::new().read(true).write(true).open(&path).map_err(|error| gone(error, upload))?;
        if !ours && !known.verify(&data)? {
            return Err(Failure::found(
                ErrorKind::NoSuchUpload,
                format!("upload {upload} lost bytes when the machine stopped"),
            ));
        }
        if data.metadata()?.len() != size {
            data.set_len(size)?;
        }
        data.sync_all()?;
        let version = etag(&data.metadata()?);
        let expected = if if_none_match { Expected::Nothing } else { Expected::Anything };
        self.place(&path, key, &expected).map_err(|failure| match failure {
            // Somebody else completed it at the same time.
            Failure::Io(error) => gone(error, upload),
            other => other,
        })?;
        self.forget(upload, &directory)?;
        Ok(version)
    }

    pub(super) fn abort_upload(&self, key: &str, upload: &str) -> Result<(), Failure> {
        match self.upload(key, upload) {
            Ok(directory) => self.forget(upload, &directory),
            Err(Failure::Found(ErrorKind::NoSuchUpload, _)) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    pub(super) fn list_parts(&self, key: &str, upload: &str) -> Result<Vec<(u32, String)>, Failure> {
        let directory = self.upload(key, upload)?;
        let known = Parts::load(&directory).map_err(|error| gone(error, upload))?;
        Ok(known.parts.iter().map(|(number, part)| (*number, part.etag())).collect())
    }

    pub(super) fn list_uploads(&self, key: &str) -> Result<Vec<String>, Failure> {
        let mut uploads = match self.listed(key) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        uploads.retain(|name| self.upload(key, name).is_ok());
        uploads.sort_unstable();
        Ok(uploads)
    }

    /// Names of uploads that may be for this key. Whoever sweeps asks for one key after the other, and looks through
    /// the directory once.
    fn listed(&self, key: &str) -> io::Result<Vec<String>> {
        let staging = self.root.join(STAGING);
        let changed = fs::metadata(&staging)?.modified()?;
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match listed.take_if(|known| known.changed == changed) {
            Some(known) => known,
            None => Listed::load(&staging, changed)?,
        };
        let found = known.by_key.get(&digest(key)).into_iter().flatten().map(uuid::Uuid::to_string).collect();
        // A change soon after another one may leave the directory with the time that it had.
        if changed.elapsed().is_ok_and(|age| age > SETTLED) {
            *listed = Some(known);
        }
        Ok(found)
    }

    pub(super) fn staged_etag(&self, key: &str, upload: &str) -> Result<Etag, Failure> {
        let directory = self.upload(key, upload)?;
        Ok(etag(&fs::metadata(directory.join("data")).map_err(|error| gone(error, upload))?))
    }

    /// Writes a small file in one go.
    pub(super) fn put(&self, key: &str, body: &[u8], expected: &Expected) -> Result<Etag, Failure> {
        path::of_key(&self.root, key)?;
        let name = format!("put-{}", uuid::Uuid::new_v4());
        let version = self.in_staging(|staging| {
            let mut file = File::create_new(staging.join(&name))?;
            file.write_all(body)?;
            file.sync_all()?;
            Ok(etag(&file.metadata()?))
        })?;
        let staged = self.root.join(STAGING).join(&name);
        let placed = self.place(&staged, key, expected);
        if placed.is_err() {
            let _ = fs::remove_file(&staged);
        }
        self.leave_staging();
        placed.map(|()| version)
    }

    /// The directory of an upload that is under way for this key.
    fn upload(&self, key: &str, upload: &str) -> Result<PathBuf, Failure> {
        // Names come back from manifests, so they are checked before they become paths.
        if uuid::Uuid::try_parse(upload).is_err() {
            return Err(Failure::no_such_upload(upload));
        }
        let directory = self.root.join(STAGING).join(upload);
        let named = fs::read(directory.join("upload")).map_err(|error| gone(error, upload))?;
        let named: Named = serde_json::from_slice(&named).map_err(io::Error::other)?;
        if named.key != key {
            return Err(Failure::no_such_upload(upload));
        }
        if !directory.join("data").exists() {
            // It was published, and the process ended before it could tidy up.
            self.forget(upload, &directory)?;
            return Err(Failure::no_such_upload(upload));
        }
        Ok(directory)
    }

    fn forget(&self, upload: &str, directory: &Path) -> Result<(), Failure> {
        self.written().remove(upload);
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
        self.leave_staging();
        Ok(())
    }

    fn written(&self) -> std::sync::MutexGuard<'_, std::collections::HashMap<String, Arc<Mutex<Parts>>>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of an upload's parts: our own record, or another process's journal.
    fn parts(&self, upload: &str, directory: &Path) -> Result<Arc<Mutex<Parts>>, Failure> {
        if let Some(known) = self.written().get(upload) {
            return Ok(known.clone());
        }
        Ok(Arc::new(Mutex::new(Parts::load(directory).map_err(|error| gone(error, upload))?)))
    }
}

impl Parts {
    fn load(directory: &Path) -> io::Result<Self> {
        let mut loaded = Self::default();
        for line in fs::read_to_string(directory.join("parts"))?.lines() {
            if let Some((number, part)) = parse(line) {
                loaded.parts.insert(number, part);
            }
        }
        loaded.part_bytes = loaded.parts.get(&1).map(|first| first.bytes);
        Ok(loaded)
    }

    /// Checks that the parts named are the parts that are here, and fit together; the size of the whole in bytes.
    fn named(&self, upload: &str, etags: &[String]) -> Result<u64, Failure> {
        let refused = |message: String| Err(Failure::found(ErrorKind::Other, message));
        if etags.is_empty() {
            return refused(format!("upload {upload} has no parts to complete"));
        }
        let mut size = 0;
        for (number, wanted) in (1..).zip(etags) {
            let Some(part) = self.parts.get(&number).filter(|part| part.etag() == *wanted) else {
                return refused(format!("part {number} of upload {upload} is not the one named"));
            };
            let first = self.part_bytes.unwrap_or(part.bytes);
            fits(number, *part, first)?;
            if (number as usize) < etags.len() && part.bytes != first {
                return refused(format!(
                    "part {number} of upload {upload} has {} bytes where part 1 has {first}",
                    part.bytes
                ));
            }
            size += part.bytes;
        }
        Ok(size)
    }

    /// Moves parked parts to their places. Interrupted, it is simply done again.
    fn settle(&self, directory: &Path) -> Result<(), Failure> {
        let Some(part_bytes) = self.part_bytes else { return Ok(()) };
        for (number, part) in &self.parts {
            let path = parked(directory, *number);
            let body = match fs::read(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            fits(*number, *part, part_bytes)?;
            let data = OpenOptions::new().write(true).open(directory.join("data"))?;
            data.write_all_at(&body, u64::from(number - 1) * part_bytes)?;
            fs::remove_file(&path)?;
        }
        Ok(())
    }

    /// Whether the file holds what the journal says.
    fn verify(&self, mut data: &File) -> io::Result<bool> {
        for part in self.parts.values() {
            let mut crc = crc32fast::Hasher::new();
            let mut left = part.bytes;
            let mut buffer = vec![0; 256 << 10];
            while left > 0 {
                let wanted = left.min(buffer.len() as u64) as usize;
                match data.read(&mut buffer[..wanted]) {
                    Ok(0) => return Ok(false),
                    Ok(count) => {
                        crc.update(&buffer[..count]);
                        left -= count as u64;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            if crc.finalize() != part.crc {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A line of the journal; `None` when a crash cut it short.
fn parse(line: &str) -> Option<(u32, Part)> {
    let mut words = line.split(' ');
    let (number, bytes, crc) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() || crc.len() != 8 {
        return None;
    }
    Some((number.parse().ok()?, Part { bytes: bytes.parse().ok()?, crc: u32::from_str_radix(crc, 16).ok()? }))
}

fn fits(number: u32, part: Part, part_bytes: u64) -> Result<(), Failure> {
    if part.bytes <= part_bytes {
        return Ok(());
    }
    let message = format!(
        "part {number} has {} bytes where part 1 has {part_bytes}: only the last part may differ, and be smaller",
        part.bytes
    );
    Err(Failure::found(ErrorKind::Other, message))
}

fn write_pieces(mut file: File, pieces: &[Bytes]) -> io::Result<()> {
    pieces.iter().try_for_each(|piece| file.write_all(piece))
}

fn parked(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("part-{number}"))
}

/// What is missing in an upload's directory means that the upload is not there.
fn gone(error: io::Error, upload: &str) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound => Failure::no_such_upload(upload),
        _ => Failure::Io(error),
    }
}
