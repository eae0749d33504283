//! What became of all visits.

use std::collections::BTreeMap;
use std::fmt;

use parking_lot::Mutex;

/// What one visit came to.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Came {
    /// Answers, echoes and events that were exactly what they had to be.
    pub(crate) right: u64,
    /// Failures that were told as such, where a target had died.
    pub(crate) excused: u64,
}

impl Came {
    /// So many right answers.
    pub(crate) fn right(right: u64) -> Self {
        Self { right, excused: 0 }
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct Row {
    visits: u64,
    came: Came,
    wrong: u64,
}

/// Counts by kind of visit, and the first wrong ones in words.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    rows: Mutex<BTreeMap<&'static str, Row>>,
    wrong: Mutex<Vec<String>>,
}

impl Tally {
    /// Counts a visit.
    pub(crate) fn add(&self, kind: &'static str, outcome: Result<Came, String>) {
        let mut rows = self.rows.lock();
        let row = rows.entry(kind).or_default();
        row.visits += 1;
        match outcome {
            Ok(came) => {
                row.came.right += came.right;
                row.came.excused += came.excused;
            }
            Err(what) => {
                row.wrong += 1;
                let mut wrong = self.wrong.lock();
                if wrong.len() < 50 {
                    wrong.push(format!("{kind}: {what}"));
                }
            }
        }
    }

    /// Right, excused and wrong, of all kinds.
    pub(crate) fn sums(&self) -> (u64, u64, u64) {
        self.rows
            .lock()
            .values()
            .fold((0, 0, 0), |sum, row| (sum.0 + row.came.right, sum.1 + row.came.excused, sum.2 + row.wrong))
    }

    /// What went wrong, as far as it was kept.
    pub(crate) fn wrong(&self) -> Vec<String> {
        self.wrong.lock().clone()
    }

    /// Whether each kind of visit came to its end at least once.
    pub(crate) fn every_kind_was_tried(&self) -> bool {
        let rows = self.rows.lock();
        crate::visits::KINDS.iter().all(|kind| rows.get(kind.name).is_some_and(|row| row.visits > row.wrong))
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:28} {:>9} {:>11} {:>8} {:>6}", "kind", "visits", "right", "excused", "wrong")?;
        for (kind, Row { visits, came, wrong }) in &*self.rows.lock() {
            writeln!(f, "{kind:28} {visits:>9} {:>11} {:>8} {wrong:>6}", came.right, came.excused)?;
        }
        Ok(())
    }
}
