//! Hours and days that are kept, and what of them is still to be exported.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::export::Position;
use crate::sheet::Sheet;
use crate::trust::Trust;
use crate::{DAY, HOUR, start_of};

/// A clock that is wrong may bring periods of another time: beside those that are kept, as many as fit a day, until the oldest
/// go.
const STRANGE: i64 = DAY;

/// Spans that wait for an export that fails; then the oldest go. Two days of hours.
const MOST_PENDING: usize = 48;

/// What was used from one moment to another.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Segment {
    pub(crate) since: i64,
    pub(crate) until: i64,
    pub(crate) sheet: Sheet,
}

/// An hour or a day of the calendar (UTC), by when it began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Period {
    pub(crate) start: i64,
    pub(crate) sheet: Sheet,
}

/// Sheets of one length.
#[derive(Debug, Default)]
pub(crate) struct Periods {
    pub(crate) sheets: BTreeMap<i64, Sheet>,
    /// Those that no file has as they are.
    pub(crate) changed: BTreeSet<i64>,
}

/// What of a book is in one file, with the table that is open: everything that no other file has.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct State {
    pub(crate) open: Segment,
    pub(crate) hours: Vec<Period>,
    pub(crate) days: Vec<Period>,
    pub(crate) pending: VecDeque<Segment>,
    pub(crate) exported: Position,
    #[serde(default)]
    pub(crate) trust: Option<Trust>,
}

/// The same, as it is written.
#[derive(Debug, Serialize)]
pub(crate) struct Shown<'b> {
    pub(crate) open: &'b Segment,
    pub(crate) hours: Vec<Page<'b>>,
    pub(crate) days: Vec<Page<'b>>,
    pub(crate) pending: &'b VecDeque<Segment>,
    pub(crate) exported: &'b Position,
    pub(crate) trust: Trust,
}

/// A [`Period`] as it is written.
#[derive(Debug, Serialize)]
pub(crate) struct Page<'b> {
    pub(crate) start: i64,
    pub(crate) sheet: &'b Sheet,
}

/// All that is kept.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) hours: Periods,
    pub(crate) days: Periods,
    /// Not exported yet, oldest first.
    pub(crate) pending: VecDeque<Segment>,
    pub(crate) exported: Position,
    /// Grows with every change of the above.
    pub(crate) revision: u64,
}

impl Periods {
    fn add(&mut self, start: i64, sheet: &Sheet, most: usize) {
        self.sheets.entry(start).or_default().add(sheet, most);
        self.changed.insert(start);
    }

    /// Takes one in that a file has.
    fn restore(&mut self, period: Period, most: usize) {
        match self.sheets.entry(period.start) {
            Entry::Vacant(place) => drop(place.insert(period.sheet)),
            Entry::Occupied(_) => self.add(period.start, &period.sheet, most),
        }
    }

    /// Forgets what began before `first`, and the oldest while there are more than `most`; returns when those began.
    fn forget(&mut self, first: i64, most: i64) -> Vec<i64> {
        let kept = self.sheets.split_off(&first);
        let mut gone: Vec<i64> = std::mem::replace(&mut self.sheets, kept).into_keys().collect();
        while i64::try_from(self.sheets.len()).is_ok_and(|count| count > most) {
            gone.extend(self.sheets.pop_first().map(|(start, _)| start));
        }
        self.changed.retain(|start| !gone.contains(start));
        gone
    }

    /// Those that no file has as they are.
    pub(crate) fn unwritten(&self) -> Vec<Page<'_>> {
        let changed = self.changed.iter().filter_map(|start| Some((*start, self.sheets.get(start)?)));
        changed.map(|(start, sheet)| Page { start, sheet }).collect()
    }
}

impl Book {
    /// Takes in what was counted since `segment.since`. Returns how many spans had to go that were never exported.
    pub(crate) fn fold(&mut self, segment: Segment, most: usize, is_exported: bool) -> usize {
        if segment.sheet.is_empty() {
            return 0;
        }
        self.revision += 1;
        self.hours.add(start_of(segment.since, HOUR), &segment.sheet, most);
        self.days.add(start_of(segment.since, DAY), &segment.sheet, most);
        if is_exported {
            self.pending.push_back(segment);
        }
        self.bound(most)
    }

    /// Puts spans of one hour together while they wait, and lets the oldest go when there are too many.
    fn bound(&mut self, most: usize) -> usize {
        let mut lost = 0;
        while self.pending.len() > MOST_PENDING {
            let alike = self.pending.iter().zip(self.pending.iter().skip(1));
            let alike = alike.map(|(one, next)| start_of(one.since, HOUR) == start_of(next.since, HOUR));
            let Some(place) = alike.into_iter().position(|is_alike| is_alike) else {
                self.pending.pop_front();
                lost += 1;
                continue;
            };
            if let (Some(next), Some(one)) = (self.pending.remove(place + 1), self.pending.get_mut(place)) {
                one.sheet.add(&next.sheet, most);
                one.until = next.until;
            }
        }
        lost
    }

    /// Keeps so many hours and days before `time`, the current ones among them. Returns when the others began.
    pub(crate) fn keep(&mut self, time: i64, hours: i64, days: i64) -> (Vec<i64>, Vec<i64>) {
        let first = |span, count: i64| start_of(time, span) - (count - 1).max(0) * span;
        let most = |span, count: i64| count.max(1) + STRANGE / span;
        (self.hours.forget(first(HOUR, hours), most(HOUR, hours)), self.days.forget(first(DAY, days), most(DAY, days)))
    }

    /// What is written while `open` is being counted.
    pub(crate) fn state<'b>(&'b self, open: &'b Segment, trust: Trust) -> Shown<'b> {
        Shown {
            open,
            hours: self.hours.unwritten(),
            days: self.days.unwritten(),
            pending: &self.pending,
            exported: &self.exported,
            trust,
        }
    }

    /// Rows of what is written while `open` is being counted.
    pub(crate) fn rows(&self, open: &Segment) -> usize {
        let unwritten = self.hours.unwritten().into_iter().chain(self.days.unwritten()).map(|page| page.sheet);
        let sheets = unwritten.chain(self.pending.iter().map(|segment| &segment.sheet)).chain([&open.sheet]);
        sheets.map(|sheet| sheet.rows.len()).sum()
    }

    /// Takes in what another process, or this one before it was started anew, has left. `hours` and `days` are files of
    /// their own.
    pub(crate) fn absorb(
        &mut self,
        state: State,
        hours: Vec<Period>,
        days: Vec<Period>,
        most: usize,
        exports: bool,
    ) -> usize {
        self.revision += 1;
        let State { open, hours: unwritten_hours, days: unwritten_days, pending, exported, trust: _ } = state;
        // What the state has is as good as the file of the same period, or newer.
        let not_in = |unwritten: &[Period]| {
            let held: BTreeSet<i64> = unwritten.iter().map(|period| period.start).collect();
            move |period: &Period| !held.contains(&period.start)
        };
        let files = hours.into_iter().filter(not_in(&unwritten_hours));
        files.for_each(|period| self.hours.restore(period, most));
        let files = days.into_iter().filter(not_in(&unwritten_days));
        files.for_each(|period| self.days.restore(period, most));
        for period in &unwritten_hours {
            self.hours.add(period.start, &period.sheet, most);
        }
        for period in &unwritten_days {
            self.days.add(period.start, &period.sheet, most);
        }
        let mut own = std::mem::replace(&mut self.pending, pending);
        self.exported = exported;
        let lost = self.fold(open, most, exports);
        self.pending.append(&mut own);
        lost + self.bound(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_began_too_early_goes_and_then_the_oldest_of_too_many() {
        let mut hours = Periods::default();
        for hour in [1, 2, 3, 4, 5, 6, 7] {
            hours.add(hour * HOUR, &Sheet::default(), 1);
        }
        assert_eq!(hours.forget(3 * HOUR, 5), [HOUR, 2 * HOUR]);
        assert_eq!(hours.forget(3 * HOUR, 3), [3 * HOUR, 4 * HOUR]);
        let left = [5 * HOUR, 6 * HOUR, 7 * HOUR];
        assert!(hours.sheets.keys().eq(&left) && hours.changed.iter().eq(&left));
    }
}
