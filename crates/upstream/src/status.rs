//! What the admin port tells of pools and targets, and what it may do with them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use portreeve_balance::Bar;
use serde::Serialize;

use super::breaker::CircuitStatus;
use super::discovery::SourceStatus;
use super::health::LastCheck;
use super::limits::LimitStatus;
use super::orders::{Operation, Order, Standing};
use super::pool::Pool;
use super::roster::Listed;

/// What the admin port tells of a pool.
#[derive(Debug, Serialize)]
pub struct PoolStatus {
    /// Name of the upstream.
    pub name: Arc<str>,
    /// Targets that get requests now.
    pub available: usize,
    /// Requests being tried at its targets now, from every upstream that has them.
    pub in_flight: u64,
    /// How full it is, if it has `limits`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitStatus>,
    /// Whether it is asked at all, if it has a `circuit_breaker`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circuit: Option<CircuitStatus>,
    /// Its targets now, in the order of their addresses.
    pub targets: Vec<TargetStatus>,
    /// Where targets are found that the file does not write as addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceStatus>,
}

/// What the admin port tells of a target.
#[derive(Debug, Serialize)]
pub struct TargetStatus {
    /// Its address.
    pub address: SocketAddr,
    /// What the file or a source calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
    /// Whether it gets requests, in one word.
    pub state: TargetState,
    /// Why it gets none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<Arc<str>>,
    /// When that last changed, in seconds since 1970.
    pub since: u64,
    /// Whether it gets requests.
    pub available: bool,
    /// Whether its checks pass; true where there are none. False before the first.
    pub healthy: bool,
    /// Everything that keeps requests from it, where `state` tells the weightiest alone.
    pub bars: Vec<TargetState>,
    /// Whether attempts at it failed so that it is out for a while (`outlier`).
    pub ejected: bool,
    /// How often it was ejected lately.
    pub ejections: u32,
    /// The time to the first byte that is expected of it, in milliseconds; none before its first answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// Where it is, as the file or a source has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<Arc<str>>,
    /// Requests being tried there now, from every upstream that has it and checks it alike.
    pub in_flight: u32,
    /// Its share in effect.
    pub weight: u32,
    /// Its share as the file or a source has it.
    pub written_weight: u32,
    /// Lower ones come first.
    pub priority: u16,
    /// What an operator has ordered, who, and when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<Order>,
    /// Its latest check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_check: Option<LastCheck>,
}

/// Whether a target gets requests, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetState {
    /// It gets requests.
    Up,
    /// An operator has taken it out.
    Disabled,
    /// An operator drains it, and requests are still there.
    Draining,
    /// An operator has drained it: no request of this upstream is there any more.
    Drained,
    /// Its weight is 0.
    NoWeight,
    /// Its checks fail.
    Unhealthy,
    /// No check has passed yet.
    Unproven,
    /// Attempts at it failed: out for a while.
    Ejected,
}

/// Why nothing was done with a target.
#[derive(Debug, thiserror::Error)]
pub enum OperateError {
    /// There is no such upstream; these there are.
    #[error("no upstream {name:?}; known are {}", list(known))]
    NoUpstream {
        /// What was asked for.
        name: String,
        /// The names there are.
        known: Vec<Arc<str>>,
    },
    /// The upstream has no such target; these it has.
    #[error("the upstream {upstream} has no target {target}; it has {}", list(known))]
    NoTarget {
        /// The upstream.
        upstream: Arc<str>,
        /// What was asked for.
        target: String,
        /// The addresses there are.
        known: Vec<SocketAddr>,
    },
}

fn list(known: &[impl ToString]) -> String {
    if known.is_empty() {
        return "none".to_owned();
    }
    known.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Pool {
    /// How it is now.
    pub fn status(&self) -> PoolStatus {
        let now = Instant::now();
        let all = self.members.all();
        let targets: Vec<_> = all.iter().map(|(address, listed)| self.status_of(*address, listed, now)).collect();
        PoolStatus {
            name: self.name.clone(),
            available: targets.iter().filter(|target| target.available).count(),
            in_flight: targets.iter().map(|target| u64::from(target.in_flight)).sum(),
            limits: self.limits(),
            circuit: self.circuit(now),
            targets,
            sources: self.members.sources().status(),
        }
    }

    /// Does what an operator orders of one target. `by` is who ordered it. Returns how the target is then.
    ///
    /// # Errors
    /// When the pool has no such target.
    pub fn operate(&self, target: &str, operation: Operation, by: &str) -> Result<TargetStatus, OperateError> {
        let all = self.members.all();
        let wanted = target.parse().ok();
        let Some((address, listed)) = all.iter().find(|(known, _)| Some(*known) == wanted) else {
            let known = all.into_iter().map(|(address, _)| address).collect();
            return Err(OperateError::NoTarget { upstream: self.name.clone(), target: target.to_owned(), known });
        };
        let address = *address;
        self.members.order(address, operation, by, unix_seconds(), &listed.share.written);
        let all = self.members.all();
        let now = all.iter().find(|(known, _)| *known == address);
        // It may have left in this moment; then this is how it was.
        let (_, now) = now.unwrap_or(&(address, listed.clone())).clone();
        tracing::info!(upstream = %self.name, target = %address, ?operation, by, "An operator's order takes effect.");
        Ok(self.status_of(address, &now, Instant::now()))
    }

    fn status_of(&self, address: SocketAddr, listed: &Listed, now: Instant) -> TargetStatus {
        let (target, seat) = (&listed.member.target, &listed.member.seat);
        let ejected = self.ejects() && seat.is_ejected(now);
        // Of requests that began before a reload changed how the target is checked, the target of now knows nothing.
        let in_flight = target.in_flight().max(seat.in_flight());
        let standing = listed.standing().map(|standing| match standing {
            Standing::Disabled => TargetState::Disabled,
            // Drained of this upstream's requests: others that have the target may go on.
            Standing::Draining if seat.in_flight() > 0 => TargetState::Draining,
            Standing::Draining => TargetState::Drained,
        });
        let when = |holds: bool, state| holds.then_some(state);
        let bars: Vec<TargetState> = [
            standing,
            when(listed.weight() == 0, TargetState::NoWeight),
            when(target.is_barred(Bar::Unhealthy), TargetState::Unhealthy),
            when(target.is_barred(Bar::Unproven) && listed.watched.is_some(), TargetState::Unproven),
            when(ejected, TargetState::Ejected),
        ]
        .into_iter()
        .flatten()
        .collect();
        let state = bars.first().copied().unwrap_or(TargetState::Up);
        let of_checks = listed.watched.as_ref().and_then(|watched| watched.why());
        let why: Option<Arc<str>> = match state {
            TargetState::Up => None,
            TargetState::Disabled => Some("an operator has disabled it".into()),
            TargetState::Draining | TargetState::Drained => Some("an operator drains it".into()),
            TargetState::NoWeight => Some("its weight is 0".into()),
            TargetState::Ejected => Some("attempts at it failed".into()),
            TargetState::Unhealthy | TargetState::Unproven => of_checks,
        };
        let turned = seat.turned(now).filter(|_| self.ejects());
        let turned = turned.map_or(0, |ago| unix_seconds().saturating_sub(ago.as_secs()));
        let ordered = listed.order.as_ref().filter(|order| order.state.is_some()).map_or(0, |order| order.at);
        TargetStatus {
            address,
            name: listed.share.name.clone(),
            state,
            why,
            since: target.since().max(ordered).max(turned),
            available: state == TargetState::Up && target.is_available(),
            healthy: target.is_healthy(),
            bars,
            ejected,
            ejections: seat.ejections(),
            latency_ms: seat.latency(now).map(|latency| (latency.as_secs_f64() * 1e6).round() / 1e3),
            zone: listed.share.zone.clone(),
            in_flight,
            weight: listed.weight(),
            written_weight: listed.share.weight,
            priority: listed.share.priority,
            operator: listed.order.clone(),
            last_check: listed.watched.as_ref().and_then(|watched| watched.last_check()),
        }
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
