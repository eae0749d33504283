//! What comes before an attempt and after one that failed: the pause, the turn, the question whether there is another.

use std::mem;
use std::time::{Duration, Instant};

use http::HeaderMap;
use pingora::protocols::http::ServerSession as Session;
use pingora::{Error, ErrorType, Result};

use super::Request;
use crate::fault::Fault;
use crate::upstream::{AttemptOutcome, Failed, Pool, RetryCause, RetryPolicy};

impl Request {
    /// Waits for what has to come before the next attempt: the pause after the one that failed, and the turn of this request
    /// where its upstream is full. The client is watched meanwhile: one that leaves takes nobody's turn.
    pub(crate) async fn wait_for_turn(&mut self, session: &mut Session) -> Result<()> {
        let pause = mem::take(&mut self.pause);
        if !pause.is_zero() {
            watched(session, tokio::time::sleep(pause)).await?;
        }
        // With a place it has had its turn, and asks the circuit breaker again when a target is picked.
        let limited = self.pool().filter(|pool| self.slot.is_none() && pool.is_limited());
        let Some(pool) = limited else { return Ok(()) };
        let tier = self.exchange.consumer.as_ref().and_then(|consumer| consumer.tier.as_deref());
        match watched(session, pool.admit(tier, self.try_until())).await? {
            Ok(slot) => {
                self.slot = slot;
                Ok(())
            }
            Err(fault) => Err(self.refused(fault)),
        }
    }

    /// In how many seconds a client that is told 503 may come back, at least 1.
    pub(crate) fn comes_back_after(&self) -> u64 {
        let is_open = self.fault == Some(Fault::CircuitOpen);
        let left = self.pool().filter(|_| is_open).and_then(Pool::refuses).unwrap_or_default();
        left.as_secs() + u64::from(left.subsec_nanos() > 0 || left.is_zero())
    }

    /// Until when tries may be begun.
    fn try_until(&self) -> Instant {
        // Whoever has less patience than that has narrowed it.
        self.deadline
    }

    /// No attempt can be made: the error that ends the request.
    #[expect(clippy::unnecessary_box_returns, reason = "Pingora's hooks return boxed errors")]
    pub(super) fn refused(&mut self, fault: Fault) -> Box<Error> {
        self.failed(fault);
        fault.error()
    }

    /// An attempt failed, or there can be none: counted, kept for the log line, and told to the pool where it is the target's
    /// doing. Comes before the target is left.
    pub(crate) fn failed(&mut self, fault: Fault) {
        self.settle();
        // A client that gave little time says nothing of the target.
        if fault.blames_target() && (fault != Fault::Deadline || !self.is_hurried()) {
            self.report(AttemptOutcome::by_fault(fault));
        }
        self.gave_up(fault);
    }

    /// The same, but it says nothing of the target: the request had not even come whole.
    pub(crate) fn gave_up(&mut self, fault: Fault) {
        self.settle();
        self.fault = Some(fault);
        if let Some(pool) = self.pool() {
            pool.metrics.failed(fault);
        }
    }

    /// If two targets were asked, the race is over when something is known of the attempt: it goes on as that of whoever was
    /// heard, and the other has been judged.
    pub(super) fn settle(&mut self) {
        let Some(settled) = self.upstream_attempt.as_ref().and_then(|attempt| attempt.settled()) else { return };
        self.tried.push(settled.second);
        self.hedge = Some(settled.won.is_some());
        let Some(won) = settled.won else { return };
        match settled.first {
            None => self.report(AttemptOutcome::Overtaken),
            Some(fault) => {
                self.report(AttemptOutcome::by_fault(fault));
                if let Some(pool) = self.pool() {
                    pool.metrics.failed(fault);
                }
            }
        }
        self.told = None;
        self.in_flight = Some(won);
        self.attempt.target = Some(settled.second);
    }

    /// The policy for this request: what its upstream says, but for what its route says.
    pub(crate) fn retry_terms(&self) -> Option<RetryPolicy<'_>> {
        let of_route = self.route.as_ref().and_then(|route| route.retry.as_deref());
        Some(self.pool()?.terms(of_route))
    }

    /// Whether the attempt that failed so may be followed by another. Keeps the pause before it.
    pub(crate) fn may_retry(&mut self, cause: RetryCause, answer: Option<&HeaderMap>) -> bool {
        let failed = Failed { number: self.attempt.number, cause, answer };
        let pause = self
            .pool()
            .zip(self.retry_terms())
            .and_then(|(pool, terms)| pool.take_retry(terms, failed, &self.tried, self.try_until()));
        self.pause = pause.unwrap_or_default();
        pause.is_some()
    }

    /// What became of an attempt that ended in this error of the target's side.
    pub(crate) fn fault_of(&self, error: &Error, is_http2: bool) -> Fault {
        match Fault::of(error) {
            Fault::AnswerTimeout if self.is_late() => Fault::Deadline,
            Fault::AnswerTimeout if is_http2 && self.per_try().is_some() => Fault::PerTryTimeout,
            fault => fault,
        }
    }

    /// Whether its client, or a plugin, gives the request less time than its route.
    pub(crate) fn is_hurried(&self) -> bool {
        self.patience.is_some()
    }

    /// The longest that one attempt may wait for its answer's head, if the upstream says so.
    pub(crate) fn per_try(&self) -> Option<Duration> {
        self.pool()?.per_try()
    }
}

/// Waits for `wait`, unless the client leaves first.
async fn watched<T>(session: &mut Session, wait: impl Future<Output = T>) -> Result<T> {
    tokio::select! {
        biased;
        waited = wait => Ok(waited),
        left = session.read_body_or_idle(true) => match left {
            Err(error) => Err(error.into_down()),
            Ok(_) => Error::e_explain(ErrorType::ConnectionClosed, "the client left").map_err(Error::into_down),
        },
    }
}
