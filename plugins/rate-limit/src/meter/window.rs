//! The sliding window: when what counts was admitted, oldest first, as running totals.

use super::runs::{Run, Runs};
use super::{Standing, Wait};

/// Up to this many admissions are held one by one. Beyond it they are held in this many slots of the span, which keeps a
/// log below 1025 × 16 bytes at the price of giving a place back up to one slot late. (1024 was chosen arbitrarily.)
const EXACT: u64 = 1024;

/// Runs that a window alone makes at most: one slot may be over and another begun.
const FEW_RUNS: usize = 1025;

/// Runs that a log holds at most. Only what is charged after the answer brings it beyond `FEW_RUNS`: one run for each
/// admission.
const MOST_RUNS: usize = 2 * 1024;

/// At most `count` in any `span`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) count: u64,
    /// In nanoseconds.
    pub(crate) span: u64,
    /// Width of a slot in nanoseconds; 1 when every admission is held by its own time.
    pub(crate) slot: u64,
}

/// The admissions that still count, and perhaps some that no longer do.
#[derive(Debug, Default, Clone)]
pub(crate) struct Log {
    runs: Runs,
    /// The total of all that has left.
    gone: u64,
}

impl Window {
    pub(crate) fn new(count: u64, span: u64) -> Self {
        let slot = if count <= EXACT { 1 } else { (span / EXACT).max(1) };
        Self { count, span, slot }
    }

    /// When an admission at `now` counts as made: the last moment of its slot, so that no span ever holds too many.
    fn stamp(&self, now: u64) -> u64 {
        now - now % self.slot + (self.slot - 1)
    }
}

impl Log {
    /// Whether `cost` fits now. Forgets what is a whole span old.
    pub(crate) fn room(&mut self, window: &Window, now: u64, cost: u64) -> Result<(), Wait> {
        self.forget(window.span, now);
        let Some(most) = window.count.checked_sub(cost) else { return Err(Wait::Forever) };
        let used = self.used();
        if used <= most {
            return Ok(());
        }
        // As much has to leave; the first run whose total covers it is the last one to wait for.
        let leaving = self.gone.saturating_add(used - most);
        let last = self.runs.partition_point(|run| run.total < leaving);
        let free_at = self.runs.get(last).map_or(now, |run| run.at.saturating_add(window.span));
        Err(Wait::For(free_at.saturating_sub(now)))
    }

    /// Counts `cost`, whether there is room or not.
    pub(crate) fn take(&mut self, window: &Window, now: u64, cost: u64) {
        self.push(window.stamp(now), cost);
    }

    /// How a key stands that was just looked at with `room`.
    pub(crate) fn standing(&self, window: &Window, now: u64) -> Standing {
        let oldest = self.runs.front().map_or(now, |run| run.at.saturating_add(window.span));
        Standing { remaining: window.count.saturating_sub(self.used()), more_in: oldest.saturating_sub(now) }
    }

    /// When it may be forgotten: from then on a new log would decide the same.
    pub(crate) fn idle_at(&self, span: u64) -> u64 {
        self.runs.back().map_or(0, |run| run.at.saturating_add(span))
    }

    /// What was admitted and when, oldest first.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut before = self.gone;
        self.runs.iter().map(move |run| (run.at, run.total - std::mem::replace(&mut before, run.total)))
    }

    fn used(&self) -> u64 {
        self.runs.back().map_or(0, |run| run.total - self.gone)
    }

    fn forget(&mut self, span: u64, now: u64) {
        while let Some(run) = self.runs.front().filter(|run| run.at.saturating_add(span) <= now) {
            self.gone = run.total;
            self.runs.pop_front();
        }
        if self.runs.is_empty() {
            self.gone = 0;
        }
    }

    /// Adds to the newest run, or after it: threads may read the clock in one order and arrive here in the other.
    pub(crate) fn push(&mut self, at: u64, cost: u64) {
        if cost == 0 {
            return;
        }
        match self.runs.back().copied() {
            // What is held then may count as later than it was: longer, never shorter.
            Some(newest) if newest.at >= at || self.runs.len() >= MOST_RUNS => {
                let total = newest.total.saturating_add(cost);
                self.runs.replace_back(Run { at: newest.at.max(at), total });
            }
            newest => {
                let total = newest.map_or(self.gone, |run| run.total).saturating_add(cost);
                self.runs.push_back(Run { at, total }, FEW_RUNS - 2);
            }
        }
    }
}
