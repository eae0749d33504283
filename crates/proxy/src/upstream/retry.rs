//! When a failed attempt is tried again, and how often in all: a budget keeps retries from drowning a failing upstream.

use std::sync::atomic::{AtomicI64, Ordering};

use portreeve_config::{Retry as RetryConfig, RetryOn};

/// Thousandths of a retry: what one retry costs.
const COST: i64 = 1_000;
/// Retries that may be saved up, so that a quiet upstream can retry at all.
const RESERVE: i64 = 10 * COST;

/// Why an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// No connection: the request was never sent.
    Connect,
    /// No answer's head in time.
    Timeout,
    /// The target answered with this status.
    Status(u16),
}

/// The retry policy of one upstream and what is left of its budget.
#[derive(Debug)]
pub(super) struct Retries {
    pub(super) attempts: u32,
    on: Vec<RetryOn>,
    deposit: i64,
    saved: AtomicI64,
}

impl Retries {
    pub(super) fn new(config: &RetryConfig) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a share of a thousand")]
        let deposit = (config.budget.fraction() * COST as f64) as i64;
        Self { attempts: config.attempts, on: config.on.clone(), deposit, saved: AtomicI64::new(RESERVE) }
    }

    /// Counts a request: it earns its share of a retry.
    pub(super) fn earn(&self) {
        if self.saved.load(Ordering::Relaxed) < RESERVE {
            self.saved.fetch_add(self.deposit, Ordering::Relaxed);
        }
    }

    /// Whether such failures are retried at all.
    pub(super) fn covers(&self, cause: Cause) -> bool {
        self.on.iter().any(|on| match (on, cause) {
            (RetryOn::Connect, Cause::Connect) | (RetryOn::Timeout, Cause::Timeout) => true,
            (RetryOn::Status(wanted), Cause::Status(status)) => wanted.get() == status,
            _ => false,
        })
    }

    /// Takes one retry after attempt number `made`, if the policy and the budget have one.
    pub(super) fn take(&self, made: u32, cause: Cause) -> bool {
        if made >= self.attempts || !self.covers(cause) {
            return false;
        }
        // Nobody got the request yet, so sending it to another target adds no load. Were it to cost, the death of a target
        // with more than the budget's share would be noticed by clients until the health checks take it out.
        if cause == Cause::Connect {
            return true;
        }
        let taken = self
            .saved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| (saved >= COST).then_some(saved - COST));
        taken.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(yaml: serde_json::Value) -> Retries {
        Retries::new(&serde_json::from_value(yaml).unwrap())
    }

    #[test]
    fn only_the_named_causes_are_retried_and_only_so_often() {
        let retries = policy(serde_json::json!({ "attempts": 2, "on": ["connect", 503] }));
        assert!(retries.take(1, Cause::Connect));
        assert!(retries.take(1, Cause::Status(503)));
        assert!(!retries.take(1, Cause::Status(502)));
        assert!(!retries.take(1, Cause::Timeout));
        assert!(!retries.take(2, Cause::Connect));
    }

    #[test]
    fn retries_stay_within_their_share_of_the_requests() {
        let retries = policy(serde_json::json!({ "attempts": 10, "on": [503], "budget": "20%" }));
        let mut taken = 0;
        for _ in 0..1_000 {
            retries.earn();
            taken += i32::from(retries.take(1, Cause::Status(503)));
        }
        assert!((200..=210).contains(&taken), "{taken}");
    }

    #[test]
    fn a_request_that_nobody_got_costs_no_budget() {
        let retries = policy(serde_json::json!({ "attempts": 2, "on": ["connect"], "budget": "0%" }));
        assert!((0..1_000).all(|_| retries.take(1, Cause::Connect)));
    }
}
