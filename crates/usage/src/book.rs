//! Hours and days that are kept, and what of them is still to be exported.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::export::Position;
use crate::sheet::Sheet;
use crate::{DAY, HOUR, start_of};

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

/// What of a book is in one file, with the table that is open: everything that still changes.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) open: Segment,
    pub(crate) hours: Vec<Period>,
    pub(crate) days: Vec<Period>,
    pub(crate) pending: VecDeque<Segment>,
    pub(crate) exported: Position,
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

    /// Forgets what began before `first`; returns when those did.
    fn forget(&mut self, first: i64) -> Vec<i64> {
        let kept = self.sheets.split_off(&first);
        let gone = std::mem::replace(&mut self.sheets, kept).into_keys().collect();
        self.changed = self.changed.split_off(&first);
        gone
    }

    /// Those that no file has.
    fn unwritten(&self) -> Vec<Period> {
        let changed = self.changed.iter().filter_map(|start| Some((*start, self.sheets.get(start)?)));
        changed.map(|(start, sheet)| Period { start, sheet: sheet.clone() }).collect()
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

    /// Keeps so many hours and days, the current ones among them. Returns when the others began.
    pub(crate) fn keep(&mut self, now: i64, hours: i64, days: i64) -> (Vec<i64>, Vec<i64>) {
        let first = |span, count: i64| start_of(now, span) - (count - 1).max(0) * span;
        (self.hours.forget(first(HOUR, hours)), self.days.forget(first(DAY, days)))
    }

    /// What is written while `open` is being counted.
    pub(crate) fn state(&self, open: Segment) -> State {
        State {
            open,
            hours: self.hours.unwritten(),
            days: self.days.unwritten(),
            pending: self.pending.clone(),
            exported: self.exported.clone(),
        }
    }

    /// Takes in what another process, or this one before it was started anew, has left. `hours` and `days` are files of
    /// their own: of periods that were over when the state was written.
    pub(crate) fn absorb(
        &mut self,
        state: State,
        hours: Vec<Period>,
        days: Vec<Period>,
        most: usize,
        exports: bool,
    ) -> usize {
        self.revision += 1;
        let State { open, hours: unwritten_hours, days: unwritten_days, pending, exported } = state;
        let (hour, day) = (start_of(open.since, HOUR), start_of(open.since, DAY));
        // What the state has goes before what files have: a file may have been written, and the state not any more.
        let is_older = |unwritten: &[Period], current: i64| {
            let held: BTreeSet<i64> = unwritten.iter().map(|period| period.start).collect();
            move |period: &Period| period.start < current && !held.contains(&period.start)
        };
        let files = hours.into_iter().filter(is_older(&unwritten_hours, hour));
        files.for_each(|period| self.hours.restore(period, most));
        let files = days.into_iter().filter(is_older(&unwritten_days, day));
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
