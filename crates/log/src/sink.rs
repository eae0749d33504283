//! Where lines go: a file, which may be moved away and opened anew, or a stream of the process.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;

/// Where lines are written.
#[derive(Debug)]
pub struct Sink {
    file: File,
    /// Where it was opened, if it is a file.
    path: Option<PathBuf>,
    /// Whether the last write broke off within a line.
    is_within_line: bool,
}

/// A stream that takes nothing now is asked again so much later.
const AGAIN: Duration = Duration::from_millis(10);

impl Sink {
    /// Standard output.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn stdout() -> io::Result<Self> {
        Self::stream(&io::stdout())
    }

    /// Standard error.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn stderr() -> io::Result<Self> {
        Self::stream(&io::stderr())
    }

    /// A descriptor of its own for the stream: whoever holds the lock of the standard library's holds up nobody here.
    fn stream(stream: &impl AsFd) -> io::Result<Self> {
        let file = File::from(stream.as_fd().try_clone_to_owned()?);
        Ok(Self { file, path: None, is_within_line: false })
    }

    /// Appends to a file, which is made if it is not there. A named pipe that nobody reads is an error, not a wait.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn file(path: &Path) -> io::Result<Self> {
        Ok(Self { file: open(path)?, path: Some(path.to_owned()), is_within_line: false })
    }

    #[cfg(test)]
    pub(crate) fn of(file: impl Into<std::os::fd::OwnedFd>) -> Self {
        Self { file: File::from(file.into()), path: None, is_within_line: false }
    }

    /// Goes on in a new file of the same name; nothing for a stream. The old file stays if there is no new one.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) fn reopen(&mut self) -> io::Result<()> {
        if let Some(path) = &self.path {
            self.file = open(path)?;
            self.is_within_line = false;
        }
        Ok(())
    }

    /// Writes whole lines. Blocks for as long as the other side takes nothing.
    ///
    /// # Errors
    /// What went wrong, and how many of the lines were not written whole.
    pub(crate) fn write(&mut self, lines: &[u8]) -> Result<(), (io::Error, u64)> {
        if self.is_within_line {
            // So that what was broken off spoils no other line.
            self.write_all(b"\n").map_err(|(error, _)| (error, count(lines)))?;
            self.is_within_line = false;
        }
        self.write_all(lines).map_err(|(error, rest)| {
            let written = lines.len() - rest;
            self.is_within_line =
                lines.get(..written).is_some_and(|written| !written.is_empty() && !written.ends_with(b"\n"));
            (error, count(lines.get(written..).unwrap_or_default()))
        })
    }

    /// Returns with an error how many bytes were not written.
    fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), (io::Error, usize)> {
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => return Err((ErrorKind::WriteZero.into(), bytes.len())),
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(AGAIN),
                Err(error) => return Err((error, bytes.len())),
            }
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    OpenOptions::new().create(true).append(true).custom_flags(flags).open(path)
}

fn count(lines: &[u8]) -> u64 {
    lines.split_inclusive(|byte| *byte == b'\n').count() as u64
}
