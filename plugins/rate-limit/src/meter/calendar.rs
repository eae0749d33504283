//! A period of the calendar: what was used since the last midnight, Monday or first of the month in a time zone.

use jiff::{Span, Timestamp, Zoned};
use parking_lot::RwLock;
use portreeve_plugin::units::{Allotment, Period, TimeZone};

use super::{Moment, Standing, Wait};

const SECOND: u64 = 1_000_000_000;

/// At most `count` in each period.
#[derive(Debug)]
pub(crate) struct Calendar {
    pub(crate) count: u64,
    pub(crate) period: Period,
    pub(crate) zone: TimeZone,
    /// The last period asked for: the calendar is consulted once in each.
    current: RwLock<Pair>,
}

/// Two ends of a period, in nanoseconds since 1970; the first is within it, the second is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// What one key has used in a period.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Page {
    /// Which period, by its start.
    start: u64,
    used: u64,
    /// When the period is over on the clock of the table.
    idle_at: u64,
}

impl Calendar {
    pub(crate) fn new(of: Allotment, zone: TimeZone) -> Self {
        Self { count: of.count.get(), period: of.per, zone, current: RwLock::default() }
    }

    /// The period that holds `wall`.
    pub(crate) fn at(&self, wall: u64) -> Pair {
        let known = *self.current.read();
        if (known.start..known.end).contains(&wall) {
            return known;
        }
        // Where the calendar ends (in the year 9999), its last hour goes on for ever.
        let pair = bounds(self.period, &self.zone, wall)
            .unwrap_or(Pair { start: wall - wall % (3600 * SECOND), end: u64::MAX });
        *self.current.write() = pair;
        pair
    }
}

impl Calendar {
    /// Ends of periods around `wall`, ascending: enough for a clock that is off by up to a period either way.
    pub(crate) fn around(&self, wall: u64) -> [u64; 4] {
        let now = self.at(wall);
        let bounds = |wall| bounds(self.period, &self.zone, wall).unwrap_or(now);
        let (before, after) = (bounds(now.start.saturating_sub(1)), bounds(now.end));
        [before.start, now.start, now.end, after.end]
    }
}

fn bounds(period: Period, zone: &TimeZone, wall: u64) -> Option<Pair> {
    let now = Timestamp::from_nanosecond(i128::from(wall)).ok()?.to_zoned(zone.get().clone());
    let (start, length) = match period {
        Period::Hour => return hour(wall),
        Period::Day => (now.start_of_day().ok()?, Span::new().days(1)),
        Period::Week => {
            let since_monday = i64::from(now.weekday().to_monday_zero_offset());
            (now.start_of_day().ok()?.checked_sub(Span::new().days(since_monday)).ok()?, Span::new().days(7))
        }
        Period::Month => (now.first_of_month().ok()?, Span::new().months(1)),
    };
    // Midnight may not exist where clocks change at it: the day begins when it can.
    let start = start.start_of_day().ok()?;
    let end = start.checked_add(length).ok()?.start_of_day().ok()?;
    Some(Pair { start: unix(&start)?, end: unix(&end)? })
}

/// An hour is an hour everywhere, whatever the clocks on the wall are set to.
fn hour(wall: u64) -> Option<Pair> {
    let start = wall - wall % (3600 * SECOND);
    Some(Pair { start, end: start.checked_add(3600 * SECOND)? })
}

fn unix(at: &Zoned) -> Option<u64> {
    u64::try_from(at.timestamp().as_nanosecond()).ok()
}

impl Page {
    /// Whether `cost` fits into the period.
    pub(crate) fn room(&mut self, calendar: &Calendar, now: Moment, cost: u64) -> Result<(), Wait> {
        let pair = self.turn(calendar, now);
        let Some(most) = calendar.count.checked_sub(cost) else { return Err(Wait::Forever) };
        if self.used <= most { Ok(()) } else { Err(Wait::For(pair.end.saturating_sub(now.wall).max(1))) }
    }

    /// Counts `cost`, whether it fits or not.
    pub(crate) fn take(&mut self, calendar: &Calendar, now: Moment, cost: u64) {
        self.turn(calendar, now);
        self.add(cost);
    }

    /// As [`Page::take`], in whatever period it is.
    pub(crate) fn add(&mut self, cost: u64) {
        self.used = self.used.saturating_add(cost);
    }

    pub(crate) fn standing(&self, calendar: &Calendar, now: Moment) -> Standing {
        let end = calendar.at(now.wall).end;
        Standing { remaining: calendar.count.saturating_sub(self.used), more_in: end.saturating_sub(now.wall) }
    }

    pub(crate) fn idle_at(&self) -> u64 {
        if self.used > 0 { self.idle_at } else { 0 }
    }

    /// Begins anew with a new period. A clock that is set back does not bring an old one back.
    fn turn(&mut self, calendar: &Calendar, now: Moment) -> Pair {
        let pair = calendar.at(now.wall);
        if pair.start > self.start {
            *self = Self { start: pair.start, used: 0, idle_at: 0 };
        }
        self.idle_at = self.idle_at.max(now.mono.saturating_add(pair.end.saturating_sub(now.wall)));
        pair
    }
}
