//! The whole: what is being counted, what is kept, and the one turn a second that folds, saves and exports.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use crate::book::{Book, Segment};
use crate::export::Export;
use crate::folder::Folder;
use crate::query::{Page, Query, Sources};
use crate::sheet::Sheet;
use crate::table::Table;
use crate::trust::Trust;
use crate::{Asked, Event, HOUR, start_of};

/// How often what is being counted is saved, in seconds: so much is lost when the process is killed.
const SAVE: i64 = 10;

/// So long a query waits for a disk. (Arbitrary.)
const PATIENCE: Duration = Duration::from_secs(2);

/// Rows that are written in that time at most, some 250 bytes each: with more of them it is saved as much less often. (20,000
/// take a core some 20 ms; arbitrary beyond that.)
const ROWS: usize = 20_000;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Hours, the current one among them.
    pub hours: u16,
    /// Days, the current one among them.
    pub days: u16,
}

/// What is counted and kept, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Rows of a period.
    pub max_keys: usize,
    /// How many periods.
    pub keep: Keep,
    /// The folder that it is saved in; `None`: in memory only. What was given first stays.
    pub path: Option<PathBuf>,
    /// Where it is exported to. Only with a folder, which knows what was exported.
    pub export: Option<Export>,
}

/// What could not be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Another process has the folder.
    Lock,
    /// A file of the folder cannot be read or understood.
    Load,
    /// What is counted cannot be saved.
    Save,
    /// It cannot be exported.
    Export,
    /// It could not be exported for so long that the oldest of it had to go.
    Dropped,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Lock, Self::Load, Self::Save, Self::Export, Self::Dropped];

    /// Its word in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Load => "load",
            Self::Save => "save",
            Self::Export => "export",
            Self::Dropped => "dropped",
        }
    }
}

/// What could not be done, and why. Counting goes on; what concerns a disk is tried again.
#[derive(Debug)]
pub struct Failure {
    /// What.
    pub stage: Stage,
    /// Why.
    pub error: String,
}

/// What consumers have used. Shared by everybody who counts.
#[derive(Debug)]
pub struct Usage {
    table: Table,
    is_on: AtomicBool,
    kept: Mutex<Kept>,
    /// Settings that are not in effect yet: whoever waits for the disk takes them.
    wanted: Mutex<Option<Settings>>,
}

#[derive(Debug)]
struct Kept {
    settings: Settings,
    book: Book,
    /// Since when the table counts.
    since: i64,
    /// When the last turn was, on the same clock.
    seen: i64,
    trust: Trust,
    folder: Option<Folder>,
    saved: Saved,
}

/// What the last save had, to leave out one that would have the same.
#[derive(Debug, Default)]
struct Saved {
    at: i64,
    /// How many rows it had.
    rows: usize,
    requests: u64,
    revision: u64,
}

impl Usage {
    /// Counts nothing before [`Usage::follow`].
    pub fn new(now: i64) -> Self {
        let settings = Settings { max_keys: 1, keep: Keep { hours: 1, days: 1 }, path: None, export: None };
        let (book, trust) = (Book::default(), Trust::new(now));
        let kept = Kept { settings, book, since: now, seen: now, trust, folder: None, saved: Saved::default() };
        Self { table: Table::new(1), is_on: AtomicBool::new(false), kept: Mutex::new(kept), wanted: Mutex::default() }
    }

    /// Counts as these settings say from now on, or not at all. What was counted stays.
    pub fn follow(&self, settings: Option<Settings>) {
        self.is_on.store(settings.is_some(), Ordering::Relaxed);
        let Some(settings) = settings else { return };
        self.table.resize(settings.max_keys);
        *self.wanted.lock() = Some(settings);
    }

    /// What is kept, with the newest settings. Waits while something is being saved.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.newest(self.kept.lock())
    }

    fn newest<'k>(&self, mut kept: MutexGuard<'k, Kept>) -> MutexGuard<'k, Kept> {
        if let Some(settings) = self.wanted.lock().take() {
            let path = kept.settings.path.take().or_else(|| settings.path.clone());
            kept.settings = Settings { path, ..settings };
        }
        kept
    }

    /// Counts one request, at its end. A key that is known allocates nothing.
    pub fn record(&self, asked: &Asked<'_>, event: &Event) {
        if self.is_on.load(Ordering::Relaxed) {
            self.table.record(asked, event);
        }
    }

    /// Does what is due: takes the folder, folds what was counted into its hour and day, saves, exports. Once a second; it
    /// waits for the disk.
    pub fn tick(&self, now: i64) -> Vec<Failure> {
        let mut failures = Vec::new();
        let mut kept = self.kept();
        kept.settle(now, &mut failures);
        let every = kept.settings.export.as_ref().map_or(HOUR, |export| export.every);
        let has_folded = start_of(now, every) != start_of(kept.since, every);
        if has_folded {
            let spans = if now >= kept.since {
                (start_of(kept.since, every).saturating_add(every), start_of(now, every))
            } else {
                // The clock was set back: the next span begins now, not before anything in it was counted.
                (kept.ended(now), now)
            };
            kept.fold(&self.table, spans, &mut failures);
        }
        kept.seen = now;
        if has_folded || kept.saved.is_due(now) {
            kept.save(&self.table, now, &mut failures);
        }
        kept.export(&self.table, now, &mut failures);
        failures
    }

    /// The end: folds, saves and exports whatever there is, and gives the folder back.
    pub fn finish(&self, now: i64) -> Vec<Failure> {
        let mut failures = Vec::new();
        let mut kept = self.kept();
        kept.settle(now, &mut failures);
        let spans = (kept.ended(now), now);
        kept.fold(&self.table, spans, &mut failures);
        kept.seen = now;
        kept.save(&self.table, now, &mut failures);
        kept.export(&self.table, now, &mut failures);
        kept.folder = None;
        // Nothing takes it again.
        kept.settings.path = None;
        failures
    }

    /// The answer to a query. It waits while something is being saved; `None` if that takes too long.
    pub fn page(&self, query: &Query, now: i64) -> Option<Page> {
        let kept = self.newest(self.kept.try_lock_for(PATIENCE)?);
        let open = kept.open(&self.table, now);
        let hours = i64::from(kept.settings.keep.hours);
        Some(query.answer(&Sources {
            hours: &kept.book.hours.sheets,
            days: &kept.book.days.sheets,
            open: &open,
            now,
            kept_hours: hours,
        }))
    }
}

impl Kept {
    /// Takes the folder, with what is in it.
    fn settle(&mut self, now: i64, failures: &mut Vec<Failure>) {
        self.trust.look(now);
        let Some(path) = self.settings.path.clone().filter(|_| self.folder.is_none()) else { return };
        let failed = |stage, error: &dyn std::fmt::Display| Failure { stage, error: error.to_string() };
        let folder = match Folder::take(&path) {
            Ok(Some(folder)) => folder,
            Ok(None) => {
                let error =
                    format!("another process counts in {}; what this one counts is in memory only", path.display());
                return failures.push(failed(Stage::Lock, &error));
            }
            Err(error) => return failures.push(failed(Stage::Save, &format!("{}: {error}", path.display()))),
        };
        match folder.load(now) {
            Ok(found) => {
                failures.extend(found.broken.iter().map(|error| failed(Stage::Load, error)));
                if let Some(saved) = found.state.trust {
                    self.trust.recall(saved);
                }
                let (most, exports) = (self.settings.max_keys, self.settings.export.is_some());
                let lost = self.book.absorb(found.state, found.hours, found.days, most, exports);
                failures.extend(dropped(lost));
                self.folder = Some(folder);
                self.saved = Saved::default();
            }
            Err(error) => failures.push(failed(Stage::Load, &error)),
        }
    }

    /// When what is being counted ends: by the last turn, if the clock was set back meanwhile.
    fn ended(&self, now: i64) -> i64 {
        if now >= self.since { now } else { self.seen.max(self.since) }
    }

    /// Closes what was counted until the first of two times; another span begins at the second.
    fn fold(&mut self, table: &Table, (until, begins): (i64, i64), failures: &mut Vec<Failure>) {
        let segment = Segment { since: self.since, until, sheet: table.drain() };
        self.since = begins;
        let (most, exports) = (self.settings.max_keys, self.settings.export.is_some());
        failures.extend(dropped(self.book.fold(segment, most, exports)));
    }

    /// Saves everything that no file has.
    fn save(&mut self, table: &Table, now: i64, failures: &mut Vec<Failure>) {
        let Keep { hours, days } = self.settings.keep;
        let gone = self.book.keep(self.trust.time(), i64::from(hours), i64::from(days));
        let Some(folder) = &self.folder else {
            self.saved.at = now;
            return;
        };
        let open = self.open(table, now);
        let requests = requests(&open.sheet);
        let same = self.saved.at != 0 && (requests, self.book.revision) == (self.saved.requests, self.saved.revision);
        self.saved.at = now;
        if same && gone.0.is_empty() && gone.1.is_empty() {
            return;
        }
        let rows = self.book.rows(&open);
        let saved = folder.save(&mut self.book, &open, self.trust);
        match saved.and_then(|()| folder.forget(&gone.0, &gone.1)) {
            Ok(()) => self.saved = Saved { at: now, rows, requests, revision: self.book.revision },
            Err(error) => {
                // Tried again at the next turn, not seconds later.
                self.saved = Saved::default();
                failures.push(Failure { stage: Stage::Save, error: error.to_string() });
            }
        }
    }

    /// What is being counted.
    fn open(&self, table: &Table, now: i64) -> Segment {
        Segment { since: self.since, until: now.max(self.since), sheet: table.look() }
    }

    /// Exports what was closed. What it does is saved before and after, so that it is done once.
    fn export(&mut self, table: &Table, now: i64, failures: &mut Vec<Failure>) {
        let (Some(export), Some(_)) = (self.settings.export.clone(), &self.folder) else { return };
        if self.book.pending.is_empty() {
            return;
        }
        let mut exporting = || -> io::Result<()> {
            self.book.exported = export.prepare(&self.book.exported)?;
            self.save_now(table, now)?;
            self.book.exported = export.append(&self.book.exported, self.book.pending.iter())?;
            self.book.pending.clear();
            self.book.revision += 1;
            self.save_now(table, now)?;
            self.book.exported = export.rotate(self.book.exported.clone())?;
            Ok(())
        };
        if let Err(error) = exporting() {
            failures.push(Failure { stage: Stage::Export, error: format!("{}: {error}", export.path.display()) });
        }
    }

    fn save_now(&mut self, table: &Table, now: i64) -> io::Result<()> {
        let open = self.open(table, now);
        let Some(folder) = &self.folder else { return Ok(()) };
        folder.save(&mut self.book, &open, self.trust)
    }
}

impl Saved {
    /// Whether it is time again.
    fn is_due(&self, now: i64) -> bool {
        let parts = i64::try_from(self.rows / ROWS).unwrap_or(i64::MAX).saturating_add(1);
        now >= self.at.saturating_add(SAVE.saturating_mul(parts)) || now < self.at
    }
}

fn requests(sheet: &Sheet) -> u64 {
    sheet.rows.values().chain(sheet.rest.values()).map(|line| line.counts.requests).sum()
}

fn dropped(lost: usize) -> Option<Failure> {
    let error = format!("{lost} spans were not exported for too long and had to go; hours and days still have them");
    (lost > 0).then_some(Failure { stage: Stage::Dropped, error })
}

#[cfg(test)]
#[path = "usage_tests.rs"]
mod tests;
