//! What came of an attempt, and what follows from it for the member: its expected time, and whether it is ejected.

use std::time::{Duration, Instant};

use crate::counts::Counts;
use crate::time::nanos;
use crate::{InFlight, Outlier, Seat};

use super::Picker;

/// What came of an attempt, as far as it is the target's doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It has begun to answer.
    Answered,
    /// No connection, no answer in time, a broken one, or one that says that the target is not well.
    Failed,
    /// Another target that was asked the same was heard first: no failure, but it takes longer than that.
    Overtaken,
}

/// A member was ejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ejection {
    /// For how long.
    pub lasts: Duration,
    /// Why.
    pub cause: Cause,
}

/// Why a member was ejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// So many attempts failed in a row.
    Consecutive(u32),
    /// A far larger share of its attempts failed than of those of the rest of the pool.
    Rate,
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Consecutive(count) => write!(f, "{count} attempts failed in a row"),
            Self::Rate => f.write_str("far more of its attempts fail than of the rest of the pool"),
        }
    }
}

impl<P> Picker<P> {
    /// Takes note of what came of an attempt. Once for each attempt, and not for one that the client gave up. Returns the
    /// ejection that follows from it.
    pub fn report(&self, attempt: &InFlight, outcome: Outcome, now: Instant) -> Option<Ejection> {
        let (seat, nanos) = (&attempt.seat, nanos(now));
        let took = now.saturating_duration_since(attempt.begun);
        match outcome {
            Outcome::Answered => seat.latency.observe(took, nanos),
            Outcome::Failed => seat.latency.penalise(took, nanos),
            Outcome::Overtaken => {
                seat.latency.exceeded(took, nanos);
                return None;
            }
        }
        let policy = self.policy.outlier.as_ref()?;
        let row = seat.passive.observe(outcome == Outcome::Failed, policy, nanos);
        if outcome == Outcome::Answered {
            return None;
        }
        let cause = if row >= policy.consecutive_failures {
            Cause::Consecutive(row)
        } else if self.stands_out(seat, policy, nanos) {
            Cause::Rate
        } else {
            return None;
        };
        self.eject(seat, policy, nanos).map(|lasts| Ejection { lasts, cause })
    }

    /// Whether so much more of its attempts fail than of those of the others. Looks at the others only if it fails that often
    /// at all.
    fn stands_out(&self, seat: &Seat, policy: &Outlier, nanos: u64) -> bool {
        let own = seat.passive.counts(policy, nanos);
        if own.attempts < policy.min_requests || own.rate() < policy.failure_rate {
            return false;
        }
        let mut rest = Counts::default();
        for other in self.members.iter().filter(|member| !is_same(&member.seat, seat)) {
            rest += other.seat.passive.counts(policy, nanos);
        }
        own.rate() - rest.rate() >= policy.failure_rate
    }

    /// Ejects it, unless too many are out already or nobody else could be picked.
    fn eject(&self, seat: &Seat, policy: &Outlier, nanos: u64) -> Option<Duration> {
        let _one_at_a_time = self.ledger.judging.lock();
        if seat.passive.is_ejected(nanos) {
            return None;
        }
        let out = self.members.iter().filter(|member| member.seat.passive.is_ejected(nanos)).count();
        let is_left = self.members.iter().any(|member| {
            let other = &*member.seat;
            !is_same(other, seat) && member.target.is_available() && !other.passive.is_ejected(nanos)
        });
        if out >= policy.most_ejected(self.members.len()) || !is_left {
            return None;
        }
        let lasts = seat.passive.eject(policy, nanos);
        self.ledger.changes.note();
        Some(lasts)
    }
}

fn is_same(a: &Seat, b: &Seat) -> bool {
    std::ptr::eq(a, b)
}
