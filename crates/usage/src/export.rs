//! What is told of closed spans to others: JSON lines at the end of a file, each span once, whatever is cut short.
//!
//! Where the file ended is saved together with what is to be written, before it is written; whoever finds that after a
//! crash cuts the file there and writes again. What was written is taken off together with the new end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Key;
use crate::book::Segment;
use crate::query::{Latency, at};
use crate::sheet::Line;

/// Where lines go.
#[derive(Debug, Clone, PartialEq)]
pub struct Export {
    /// The file.
    pub path: PathBuf,
    /// Seconds from one export to the next, by the clock: a part of an hour.
    pub every: i64,
    /// When the file is longer than this, in bytes, it becomes `….1` and another is begun.
    pub max_size: u64,
    /// Files beside the one that is written.
    pub keep: u32,
}

/// Which file it is, how much of it counts, and how many lines were written, to it and to those before it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    inode: u64,
    length: u64,
    lines: u64,
}

#[derive(Serialize)]
struct Written<'s> {
    /// Tells lines apart whose spans begin in the same second, and grows by one with each.
    number: u64,
    since: &'s str,
    until: &'s str,
    #[serde(flatten)]
    key: &'s Key,
    #[serde(skip_serializing_if = "is_false")]
    rest: bool,
    #[serde(flatten)]
    counts: &'s crate::Counts,
    missed: u64,
    latency_ms: Latency,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
fn is_false(is: &bool) -> bool {
    !*is
}

impl Export {
    /// The end of the file as far as it counts: what comes after was cut short. A file that is not the one it was before (it
    /// was moved away) counts whole.
    pub(crate) fn prepare(&self, known: &Position) -> io::Result<Position> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let fresh = !self.path.exists();
        let file = self.open()?;
        if fresh && let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        let there = file.metadata()?;
        let length = if there.ino() == known.inode { there.len().min(known.length) } else { there.len() };
        Ok(Position { inode: there.ino(), length, lines: known.lines })
    }

    /// Writes these spans after `from`, to the disk. Returns where they end.
    pub(crate) fn append<'s>(
        &self,
        from: &Position,
        segments: impl Iterator<Item = &'s Segment>,
    ) -> io::Result<Position> {
        let mut file = self.open()?;
        if file.metadata()?.ino() != from.inode {
            return Err(io::Error::other("the file was moved away meanwhile"));
        }
        file.set_len(from.length)?;
        file.seek(SeekFrom::Start(from.length))?;
        let (mut text, mut lines) = (Vec::new(), from.lines);
        for segment in segments {
            write_lines(&mut text, segment, &mut lines)?;
            file.write_all(&text)?;
            text.clear();
        }
        file.sync_all()?;
        Ok(Position { inode: from.inode, length: file.stream_position()?, lines })
    }

    /// Begins another file if this one has become too long.
    pub(crate) fn rotate(&self, at: Position) -> io::Result<Position> {
        if at.length < self.max_size {
            return Ok(at);
        }
        let numbered = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..self.keep).rev() {
            match fs::rename(numbered(number), numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, numbered(1))?;
        Ok(Position { lines: at.lines, ..Position::default() })
    }

    fn open(&self) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o640).open(&self.path)
    }
}

fn write_lines(text: &mut Vec<u8>, segment: &Segment, lines: &mut u64) -> io::Result<()> {
    let (since, until) = (at(segment.since), at(segment.until));
    let mut line = |key: &Key, line: &Line, rest: bool| {
        let Line { counts, missed, latency } = line;
        let latency_ms = Latency::of(latency);
        *lines += 1;
        let (number, since, until) = (*lines, &*since, &*until);
        serde_json::to_writer(
            &mut *text,
            &Written { number, since, until, key, rest, counts, missed: *missed, latency_ms },
        )?;
        text.push(b'\n');
        io::Result::Ok(())
    };
    segment.sheet.rows.iter().try_for_each(|(key, row)| line(key, row, false))?;
    segment.sheet.rest.iter().try_for_each(|(route, row)| {
        let key = Key { route: route.clone(), ..Key::default() };
        line(&key, row, true)
    })
}
