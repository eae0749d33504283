//! The folder of the account and its certificates: written whole or not at all, and readable by the gateway alone.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use portreeve_config::units;

use super::failure::Failure;

/// Holds the store against other processes for as long as it lives.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "closing the file gives the lock back")] File);

/// Makes the folder if it is not there, and takes it.
///
/// # Errors
/// [`Failure::Busy`] while another process has it.
pub(super) fn lock(folder: &Path) -> Result<Lock, Failure> {
    let failed = |error: &io::Error| Failure::Store(format!("cannot write to {}: {error}", folder.display()));
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| failed(&error))?;
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(folder.join("lock"));
    let file = file.map_err(|error| failed(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(Failure::Busy),
        Err(TryLockError::Error(error)) => Err(failed(&error)),
    }
}

/// More than any chain of certificates with its key.
const MAX_BYTES: u64 = 4 << 20;

/// Reads a file; `None` when there is none.
///
/// # Errors
/// What is wrong with it, with its name.
pub(super) fn read(file: &Path) -> Result<Option<Vec<u8>>, String> {
    match units::file::read(file, MAX_BYTES) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot read {}: {error}", file.display())),
    }
}

/// Writes a file: under another name first, to the disk, and then in the place of what was there. Wherever that is cut
/// short, what was there before is there still.
///
/// # Errors
/// As the system says, with the file's name.
pub(super) fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let fresh = file.with_extension("new");
    let written = || -> io::Result<()> {
        let mut open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        open.write_all(bytes)?;
        open.sync_all()?;
        fs::rename(&fresh, file)?;
        // The name is on the disk only when the folder is.
        file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    written().map_err(|error| Failure::Store(format!("cannot write {}: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_nobody_else_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("a/b");
        let held = lock(&store).unwrap();
        assert!(matches!(lock(&store), Err(Failure::Busy)));
        let file = store.join("x.pem");
        assert_eq!(read(&file), Ok(None));
        write(&file, b"one").unwrap();
        write(&file, b"two").unwrap();
        assert_eq!(read(&file), Ok(Some(b"two".to_vec())));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&store), mode(&file)), (0o700, 0o600));
        assert_eq!(fs::read_dir(&store).unwrap().count(), 2, "the file and the lock");
        drop(held);
        lock(&store).unwrap();
    }

    #[test]
    fn a_write_that_fails_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.pem");
        write(&file, b"one").unwrap();
        // Its place for the new contents is taken by a folder.
        fs::create_dir(folder.path().join("x.new")).unwrap();
        assert!(matches!(write(&file, b"two"), Err(Failure::Store(_))));
        assert_eq!(read(&file), Ok(Some(b"one".to_vec())));
    }
}
