//! The folder that a book is kept in: one file of what no other has, and one for each hour and day. Each is written beside
//! its place and moved there, so that it is there whole, as it was before or as it is now.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::book::{Book, Period, Segment, State};
use crate::trust::Trust;
use crate::{DAY, HOUR};

/// The form of the files. One of another number is no file of ours.
const FORMAT: u32 = 1;
const STATE: &str = "state.json";

/// A folder that is this process's alone for as long as this lives.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

/// What was found in a folder.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) state: State,
    pub(crate) hours: Vec<Period>,
    pub(crate) days: Vec<Period>,
    /// Files that cannot be understood, and where they were put.
    pub(crate) broken: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Formed<T> {
    format: u32,
    #[serde(flatten)]
    what: T,
}

impl Folder {
    /// Makes the folder if it is not there, and takes it; `None` while another process has it.
    pub(crate) fn take(path: &Path) -> io::Result<Option<Self>> {
        for folder in [path, &path.join("hours"), &path.join("days")] {
            DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
        }
        let mut open = OpenOptions::new();
        let lock = open.write(true).create(true).truncate(false).mode(0o640).open(path.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self { path: path.to_owned(), _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Reads everything. What cannot be understood is put aside, never written over.
    ///
    /// # Errors
    /// When the system does not let a file be read; then nothing was changed.
    pub(crate) fn load(&self, now: i64) -> io::Result<Found> {
        let mut found = Found::default();
        if let Some(state) = self.read(&self.path.join(STATE), now, &mut found.broken)? {
            found.state = state;
        }
        for (folder, periods) in [("hours", &mut found.hours), ("days", &mut found.days)] {
            for entry in fs::read_dir(self.path.join(folder))? {
                let file = entry?.path();
                if file.extension().is_some_and(|kind| kind == "json") {
                    periods.extend(self.read::<Period>(&file, now, &mut found.broken)?);
                }
            }
        }
        Ok(found)
    }

    fn read<T: DeserializeOwned>(&self, file: &Path, now: i64, broken: &mut Vec<String>) -> io::Result<Option<T>> {
        let bytes = match fs::read(file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(told(error, file)),
        };
        let why = match serde_json::from_slice::<Formed<T>>(&bytes) {
            Ok(formed) if formed.format == FORMAT => return Ok(Some(formed.what)),
            Ok(formed) => format!("its format is {}, not {FORMAT}", formed.format),
            Err(error) => error.to_string(),
        };
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let aside = self.path.join(format!("{name}.unreadable-{now}"));
        fs::rename(file, &aside).map_err(|error| told(error, file))?;
        broken.push(format!("{} cannot be understood and was put aside as {}: {why}", file.display(), aside.display()));
        Ok(None)
    }

    /// Writes what has changed, while `open` is being counted. A period goes into its file out of a state that has it as it
    /// is, and out of the state only with the next one: whatever is cut short, what a state has counts before a file.
    pub(crate) fn save(&self, book: &mut Book, open: &Segment, trust: Trust) -> io::Result<()> {
        write(&self.path.join(STATE), &book.state(open, trust))?;
        for (folder, periods, span) in [("hours", &mut book.hours, HOUR), ("days", &mut book.days, DAY)] {
            for page in periods.unwritten() {
                write(&self.path.join(folder).join(name(page.start, span)), &page)?;
            }
            periods.changed.clear();
        }
        Ok(())
    }

    /// Removes the files of periods that are not kept any longer.
    pub(crate) fn forget(&self, hours: &[i64], days: &[i64]) -> io::Result<()> {
        let hours = hours.iter().map(|start| self.path.join("hours").join(name(*start, HOUR)));
        let days = days.iter().map(|start| self.path.join("days").join(name(*start, DAY)));
        for file in hours.chain(days) {
            match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(told(error, &file)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Writes a file whole, to the disk, in the place of what was there.
fn write(file: &Path, what: &impl Serialize) -> io::Result<()> {
    let fresh = file.with_extension("new");
    let written = || -> io::Result<()> {
        let open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&fresh)?;
        // Not first as a whole in memory: that would take as much again as everything that is kept.
        let mut writer = BufWriter::with_capacity(64 * 1024, &open);
        serde_json::to_writer(&mut writer, &Formed { format: FORMAT, what })?;
        writer.flush()?;
        drop(writer);
        open.sync_all()?;
        fs::rename(&fresh, file)?;
        // The name is on the disk only when the folder is.
        file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    written().map_err(|error| told(error, file))
}

/// The error with the file it is about.
fn told(error: io::Error, file: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", file.display()))
}

/// `2026-11-22T08Z.json`, `2026-11-22Z.json`.
fn name(start: i64, span: i64) -> String {
    let form = if span == HOUR { "%Y-%m-%dT%HZ.json" } else { "%Y-%m-%dZ.json" };
    Timestamp::from_second(start).map_or_else(|_| format!("{start}.json"), |at| at.strftime(form).to_string())
}
