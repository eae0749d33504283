//! What limits a key, and what a key has used of it: a sliding window ([`window`]), a token bucket ([`bucket`]) or a period
//! of the calendar ([`calendar`]). Each first says whether there is room, and only then takes it, so that several decide
//! together.

mod bucket;
mod calendar;
mod runs;
mod window;

use std::num::NonZeroU32;

use portreeve_plugin::units::{Quota, QuotaWindow, Rate, TimeZone};
use portreeve_plugin::{Allowance, Spread};

pub(crate) use self::bucket::{Bucket, Tokens};
pub(crate) use self::calendar::{Calendar, Page};
pub(crate) use self::window::{Log, Window};

/// One thing that limits a key.
#[derive(Debug)]
pub(crate) enum Limit {
    Window(Window),
    Bucket(Bucket),
    Calendar(Calendar),
}

/// When something happens: nanoseconds since the table was made, and nanoseconds since 1970 if a calendar is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) mono: u64,
    pub(crate) wall: u64,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// There is after this many nanoseconds, if nobody takes it meanwhile.
    For(u64),
    /// There never is: it asks for more than the limit has when nothing is used.
    Forever,
}

impl Wait {
    /// Whether this one is longer.
    pub(crate) fn outlasts(self, other: Self) -> bool {
        match (self, other) {
            (Self::For(this), Self::For(other)) => this > other,
            (Self::Forever, Self::For(_)) => true,
            (_, Self::Forever) => false,
        }
    }
}

impl Limit {
    /// How much there is when nothing is used.
    pub(crate) fn most(&self) -> u64 {
        match self {
            Self::Window(window) => window.count,
            Self::Bucket(bucket) => bucket.burst,
            Self::Calendar(calendar) => calendar.count,
        }
    }

    /// Whether two of this kind would count into one record.
    fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Window(this), Self::Window(other)) => this.span == other.span,
            (Self::Calendar(this), Self::Calendar(other)) => this.period == other.period,
            _ => false,
        }
    }
}

/// How a key stands with one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// What is left now.
    pub(crate) remaining: u64,
    /// Nanoseconds until there is more.
    pub(crate) more_in: u64,
}

/// What is allowed, as limits. Fails when a bucket takes longer than 366 days to fill: times would not fit their type.
pub(crate) fn compile(allowance: &Allowance) -> Result<Vec<Limit>, String> {
    let mut limits = Vec::with_capacity(allowance.rates.len() + allowance.quotas.len());
    for rate in &allowance.rates {
        limits.push(match allowance.spread {
            Spread::Window => Limit::Window(Window::new(u64::from(rate.count.get()), nanos(rate.per))),
            Spread::Burst(burst) => Limit::Bucket(bucket(*rate, burst)?),
            Spread::Smooth => Limit::Bucket(Bucket::smooth(*rate)),
        });
    }
    limits.extend(allowance.quotas.iter().map(quota));
    Ok(limits)
}

/// So many limits may hold a key together: every decision looks at all of them. (Arbitrary.)
const MOST_TOGETHER: usize = 16;

/// Puts the limits of several allowances together.
///
/// # Errors
/// As [`compile`], when there are too many, and when two hold over the same span.
pub(crate) fn compile_all<'a>(allowances: impl IntoIterator<Item = &'a Allowance>) -> Result<Box<[Limit]>, String> {
    let mut limits: Vec<Limit> = Vec::new();
    for allowance in allowances {
        limits.extend(compile(allowance)?);
    }
    if limits.len() > MOST_TOGETHER {
        return Err(format!("{} limits hold together; at most {MOST_TOGETHER} can", limits.len()));
    }
    for (place, limit) in limits.iter().enumerate() {
        if limits.iter().take(place).any(|other| other.meets(limit)) {
            return Err(
                "two limits hold over the same span, of which only the lower one ever decides; keep it".to_owned()
            );
        }
    }
    Ok(limits.into())
}

fn bucket(rate: Rate, burst: NonZeroU32) -> Result<Bucket, String> {
    let bucket = Bucket::new(rate, burst);
    if bucket.fill_time() > LONGEST_FILL {
        return Err(format!("at {rate} a bucket of {burst} takes more than 366 days to fill"));
    }
    Ok(bucket)
}

/// The longest that an empty token bucket may take to fill.
const LONGEST_FILL: std::time::Duration = std::time::Duration::from_hours(366 * 24);

fn quota(quota: &Quota) -> Limit {
    match quota.window {
        QuotaWindow::Rolling => Limit::Window(Window::new(quota.of.count.get(), nanos(quota.of.per.length()))),
        QuotaWindow::Calendar => {
            Limit::Calendar(Calendar::new(quota.of, quota.time_zone.clone().unwrap_or_else(TimeZone::utc)))
        }
    }
}

/// Nanoseconds fit 64 bits for 584 years.
pub(crate) fn nanos(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
