//! What one key has used of everything that limits it, and the decision that all of it makes together.

use portreeve_plugin::units::Period;
use smallvec::SmallVec;

use crate::meter::{Limit, Log, Moment, Page, Standing, Tokens, Wait, nanos};

/// One key.
#[derive(Debug, Default)]
pub(crate) struct Account {
    // Most keys have one limit or two; they then need no memory of their own.
    meters: SmallVec<[Meter; 2]>,
}

/// What was used of one limit.
#[derive(Debug)]
struct Meter {
    record: Record,
    /// When a decision last asked for it. What nobody asks for any more goes when it would be idle.
    asked_at: u64,
}

/// Found again by what a reload may not change without making the record useless.
#[derive(Debug)]
enum Record {
    /// By the length of the window: its count may change.
    Log { span: u64, log: Log },
    /// By its place among the buckets: rate and burst may change.
    Tokens { place: usize, tokens: Tokens },
    /// By the kind of period: amount and time zone may change.
    Page { period: Period, page: Page },
}

/// What becomes of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    /// Whether it may pass, else what it waits for.
    pub(crate) verdict: Result<(), Refusal>,
    /// How the key stands with each limit afterwards.
    pub(crate) standings: Standings,
}

pub(crate) type Standings = SmallVec<[Standing; 2]>;

/// Why a request may not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Which limit keeps it waiting longest, by its place.
    pub(crate) limit: usize,
    pub(crate) wait: Wait,
}

impl Account {
    /// Takes `cost` from all limits if all have room, else from none.
    pub(crate) fn decide(&mut self, limits: &[Limit], cost: u64, now: Moment) -> Decision {
        self.settle(limits, cost, now, now)
    }

    /// Decides without taking anything.
    pub(crate) fn look(&mut self, limits: &[Limit], cost: u64, now: Moment) -> Decision {
        Decision { verdict: self.room(limits, cost, now), standings: self.standings(limits, now) }
    }

    /// Takes `cost` for a request that was admitted elsewhere, as of when it came, unless by now there is no room.
    pub(crate) fn settle(&mut self, limits: &[Limit], cost: u64, came: Moment, now: Moment) -> Decision {
        let verdict = self.room(limits, cost, now);
        if verdict.is_ok() {
            self.take_prepared(limits, cost, came);
        }
        Decision { verdict, standings: self.standings(limits, now) }
    }

    /// Whether all have room, else the limit that keeps the request waiting longest.
    fn room(&mut self, limits: &[Limit], cost: u64, now: Moment) -> Result<(), Refusal> {
        self.prepare(limits, now);
        let mut refusal: Option<Refusal> = None;
        for (place, limit) in limits.iter().enumerate() {
            // A meter that is not there would be a fault of `prepare`: what cannot be counted does not pass.
            let room =
                self.meter(limits, place).map_or(Err(Wait::Forever), |meter| meter.record.room(limit, now, cost));
            if let Err(wait) = room
                && refusal.is_none_or(|longest| wait.outlasts(longest.wait))
            {
                refusal = Some(Refusal { limit: place, wait });
            }
        }
        refusal.map_or(Ok(()), Err)
    }

    /// Takes `cost` whether there is room or not; a key may then stand below zero.
    pub(crate) fn take(&mut self, limits: &[Limit], cost: u64, now: Moment) -> Standings {
        self.prepare(limits, now);
        self.take_prepared(limits, cost, now);
        self.standings(limits, now)
    }

    /// When it may be forgotten: from then on a new account would decide the same.
    pub(crate) fn idle_at(&self) -> u64 {
        self.meters.iter().map(|meter| meter.record.idle_at()).max().unwrap_or(0)
    }

    fn take_prepared(&mut self, limits: &[Limit], cost: u64, now: Moment) {
        for (place, limit) in limits.iter().enumerate() {
            if let Some(meter) = self.meter(limits, place) {
                meter.asked_at = now.mono;
                meter.record.take(limit, now, cost);
            }
        }
        if self.meters.len() > limits.len() {
            self.take_elsewhere(limits, cost, now);
        }
    }

    /// Counts in limits that others hold this key to as well: another step that shares, or the file before a reload that may
    /// be taken back.
    fn take_elsewhere(&mut self, limits: &[Limit], cost: u64, now: Moment) {
        let asked = |meter: &Meter| (0..limits.len()).any(|place| meter.record.serves(limits, place));
        self.meters.retain(|meter| asked(meter) || meter.is_wanted(now.mono));
        for meter in self.meters.iter_mut().filter(|meter| !asked(meter)) {
            meter.record.add(now.mono, cost);
        }
    }

    fn standings(&mut self, limits: &[Limit], now: Moment) -> Standings {
        let standing = |(place, limit)| {
            self.meter(limits, place)
                .map_or(Standing { remaining: 0, more_in: 0 }, |meter| meter.record.standing(limit, now))
        };
        limits.iter().enumerate().map(standing).collect()
    }

    fn meter(&mut self, limits: &[Limit], place: usize) -> Option<&mut Meter> {
        self.meters.iter_mut().find(|meter| meter.record.serves(limits, place))
    }

    /// Makes what is missing, from what the meters there are know: a reload or a change of tier that puts another kind of
    /// limit in the place of one does not hand out its amount anew.
    fn prepare(&mut self, limits: &[Limit], now: Moment) {
        for (place, limit) in limits.iter().enumerate() {
            if self.meter(limits, place).is_none() {
                let record = self.seeded(limit, buckets_before(limits, place), now);
                self.meters.push(Meter { record, asked_at: now.mono });
            }
        }
    }

    fn seeded(&self, limit: &Limit, bucket: usize, now: Moment) -> Record {
        let logs = self.meters.iter().filter_map(|meter| match &meter.record {
            Record::Log { span, log } => Some((span, log)),
            _ => None,
        });
        let longest = logs.max_by_key(|(span, _)| *span).map(|(_, log)| log);
        let entries = longest.into_iter().flat_map(Log::entries);
        match limit {
            Limit::Window(window) => {
                let mut log = Log::default();
                entries.filter(|(at, _)| at.saturating_add(window.span) > now.mono).for_each(|(at, n)| log.push(at, n));
                // Of a bucket only the sum is known: it counts as just taken.
                let missing = self.meters.iter().map(|meter| match &meter.record {
                    Record::Tokens { tokens, .. } => tokens.missing(now.mono),
                    _ => 0,
                });
                if let (None, Some(missing @ 1..)) = (longest, missing.max()) {
                    log.push(now.mono, missing);
                }
                Record::Log { span: window.span, log }
            }
            Limit::Bucket(kind) => {
                let mut tokens = Tokens::default();
                entries.for_each(|(at, n)| tokens.take(kind, at, n));
                Record::Tokens { place: bucket, tokens }
            }
            Limit::Calendar(calendar) => {
                let (mut page, start) = (Page::default(), calendar.at(now.wall).start);
                let wall = |at: u64| now.wall.saturating_sub(now.mono.saturating_sub(at));
                page.take(calendar, now, entries.filter(|(at, _)| wall(*at) >= start).map(|(_, n)| n).sum());
                Record::Page { period: calendar.period, page }
            }
        }
    }
}

/// How many of the limits before this one are buckets.
fn buckets_before(limits: &[Limit], place: usize) -> usize {
    limits.iter().take(place).filter(|limit| matches!(limit, Limit::Bucket(_))).count()
}

impl Meter {
    /// Whether its time has not passed since anybody asked for it.
    fn is_wanted(&self, now: u64) -> bool {
        let kept = match &self.record {
            Record::Log { span, .. } => *span,
            Record::Tokens { tokens, .. } => tokens.idle_at().saturating_sub(self.asked_at),
            Record::Page { period, .. } => nanos(period.length()),
        };
        self.asked_at.saturating_add(kept) > now
    }
}

impl Record {
    /// Counts `cost` without knowing more of its limit than stands here.
    fn add(&mut self, now: u64, cost: u64) {
        match self {
            Self::Log { log, .. } => log.push(now, cost),
            Self::Tokens { tokens, .. } => tokens.add(now, cost),
            Self::Page { page, .. } => page.add(cost),
        }
    }

    fn serves(&self, limits: &[Limit], at: usize) -> bool {
        match (self, limits.get(at)) {
            (Self::Log { span, .. }, Some(Limit::Window(window))) => *span == window.span,
            (Self::Tokens { place, .. }, Some(Limit::Bucket(_))) => *place == buckets_before(limits, at),
            (Self::Page { period, .. }, Some(Limit::Calendar(calendar))) => *period == calendar.period,
            _ => false,
        }
    }

    fn room(&mut self, limit: &Limit, now: Moment, cost: u64) -> Result<(), Wait> {
        match (self, limit) {
            (Self::Log { log, .. }, Limit::Window(window)) => log.room(window, now.mono, cost),
            (Self::Tokens { tokens, .. }, Limit::Bucket(bucket)) => tokens.room(bucket, now.mono, cost),
            (Self::Page { page, .. }, Limit::Calendar(calendar)) => page.room(calendar, now, cost),
            _ => Err(Wait::Forever),
        }
    }

    fn take(&mut self, limit: &Limit, now: Moment, cost: u64) {
        match (self, limit) {
            (Self::Log { log, .. }, Limit::Window(window)) => log.take(window, now.mono, cost),
            (Self::Tokens { tokens, .. }, Limit::Bucket(bucket)) => tokens.take(bucket, now.mono, cost),
            (Self::Page { page, .. }, Limit::Calendar(calendar)) => page.take(calendar, now, cost),
            _ => {}
        }
    }

    fn standing(&self, limit: &Limit, now: Moment) -> Standing {
        match (self, limit) {
            (Self::Log { log, .. }, Limit::Window(window)) => log.standing(window, now.mono),
            (Self::Tokens { tokens, .. }, Limit::Bucket(bucket)) => tokens.standing(bucket, now.mono),
            (Self::Page { page, .. }, Limit::Calendar(calendar)) => page.standing(calendar, now),
            _ => Standing { remaining: 0, more_in: 0 },
        }
    }

    fn idle_at(&self) -> u64 {
        match self {
            Self::Log { span, log } => log.idle_at(*span),
            Self::Tokens { tokens, .. } => tokens.idle_at(),
            Self::Page { page, .. } => page.idle_at(),
        }
    }
}
