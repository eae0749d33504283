//! The sliding window: when the requests of the last span were admitted, oldest first.

use std::collections::VecDeque;

use super::Outcome;

/// Up to this many admissions are held one by one. Beyond it they are held in this many slots of the span, which keeps a
/// key below 1025 × 16 bytes at the price of giving a place back up to one slot late. (1024 was chosen arbitrarily.)
const EXACT: u32 = 1024;

/// At most `count` admissions in any `span`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) count: u32,
    /// In nanoseconds.
    pub(crate) span: u64,
    /// Width of a slot in nanoseconds; 1 when every admission is held by its own time.
    slot: u64,
}

/// The admissions that still count, and perhaps some that no longer do.
#[derive(Debug, Default)]
pub(crate) struct Log {
    runs: VecDeque<Run>,
    /// Sum of all `admitted`.
    used: u32,
    idle_at: u64,
}

/// Admissions that count as of the same moment.
#[derive(Debug, Clone, Copy)]
struct Run {
    at: u64,
    admitted: u32,
}

impl Window {
    pub(crate) fn new(count: u32, span: u64) -> Self {
        let slot = if count <= EXACT { 1 } else { (span / u64::from(EXACT)).max(1) };
        Self { count, span, slot }
    }

    /// When an admission at `now` counts as made: the last moment of its slot, so that no span ever holds too many.
    fn stamp(&self, now: u64) -> u64 {
        now - now % self.slot + (self.slot - 1)
    }
}

impl Log {
    pub(crate) fn admit(&mut self, window: &Window, now: u64) -> Outcome {
        self.forget(window, now);
        if self.used >= window.count {
            return Outcome::Refused { more_in: self.free_in(window, now) };
        }
        // Threads may read the clock in one order and arrive here in the other; the log stays sorted.
        let newest = self.runs.back().map_or(0, |run| run.at);
        let at = window.stamp(now).max(newest);
        match self.runs.back_mut() {
            Some(run) if run.at == at => run.admitted += 1,
            _ => self.push(Run { at, admitted: 1 }, window),
        }
        self.used += 1;
        self.idle_at = at.saturating_add(window.span);
        let oldest = self.runs.front().map_or(at, |run| run.at);
        Outcome::Admitted {
            remaining: window.count - self.used,
            more_in: oldest.saturating_add(window.span).saturating_sub(now),
        }
    }

    pub(crate) fn idle_at(&self) -> u64 {
        self.idle_at
    }

    /// Drops what is a whole span old.
    fn forget(&mut self, window: &Window, now: u64) {
        while let Some(run) = self.runs.front().filter(|run| run.at.saturating_add(window.span) <= now) {
            self.used -= run.admitted;
            self.runs.pop_front();
        }
    }

    /// Nanoseconds until a request could be admitted. More than one run must pass if the count was lowered by a reload.
    fn free_in(&self, window: &Window, now: u64) -> u64 {
        let mut left = self.used;
        for run in &self.runs {
            left -= run.admitted;
            if left < window.count {
                return run.at.saturating_add(window.span).saturating_sub(now);
            }
        }
        window.span
    }

    /// Grows by doubling, but never beyond what the window can fill: `VecDeque` alone would round up to a power of two.
    fn push(&mut self, run: Run, window: &Window) {
        let len = self.runs.len();
        if len == self.runs.capacity() {
            let most = window.count.min(EXACT + 1) as usize;
            let wanted = (2 * len).clamp(4, most.max(4));
            self.runs.reserve_exact(wanted.saturating_sub(len).max(1));
        }
        self.runs.push_back(run);
    }
}
