//! One writer at a time for what must look and then act: conditional puts, pinned deletes, renames that they must not
//! miss.

use std::fs::{File, OpenOptions};
use std::io;

use super::{Bucket, STAGING};

impl Bucket {
    /// Waits for the bucket's lock, which ends when the file is dropped or the process ends. It is held for a few
    /// filesystem calls only.
    ///
    /// The lock is on the bucket's directory itself, so that none is left behind. Some network filesystems lock only
    /// what is open for writing, which a directory never is; there it is a file in the staging directory, which then
    /// stays.
    pub(super) fn lock(&self) -> io::Result<File> {
        let directory = File::open(&self.root)?;
        match directory.lock() {
            Ok(()) => Ok(directory),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::BADF.raw_os_error()) => {
                self.in_staging(|staging| {
                    let path = staging.join("lock");
                    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
                    file.lock()?;
                    Ok(file)
                })
            }
            Err(error) => {
                Err(io::Error::new(error.kind(), format!("cannot lock {}: {error}", self.root.join(STAGING).display())))
            }
        }
    }
}
