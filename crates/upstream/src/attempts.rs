//! The attempts of a call that a plugin makes, or that is mirrored: picked, timed and retried as those of a request are.

use std::time::{Duration, Instant};

use portreeve_balance::Tried;
use portreeve_plugin::{Answer, Call, CallError};
use tokio::time::timeout;

use super::call::attempt;
use super::limits::AttemptOutcome;
use super::pool::Pool;
use super::retry::{Cause, Failed, RetryPolicy};
use crate::fault::Fault;
use crate::grpc;

impl Pool {
    /// Tries targets until one answers or the policy has had enough.
    pub(super) async fn attempts(&self, call: &Call) -> Result<Answer, CallError> {
        let until = Instant::now() + call.timeout;
        let _slot = self.admit(call.tier.as_deref(), until).await.map_err(|fault| self.refused(fault))?;
        self.earn_retry();
        let (mut tried, mut made) = (Tried::new(), 0);
        loop {
            made += 1;
            let outcome = self.attempt(call, &mut tried, until).await;
            let (cause, answer) = match &outcome {
                Ok(answer) => (Some(Cause::Status(answer.status.as_u16())), Some(&answer.headers)),
                Err((fault, _)) => (fault.retry_cause(), None),
            };
            let terms = self.terms(None);
            let failed = cause.filter(|cause| is_worth_it(terms, call, *cause));
            let pause =
                failed.and_then(|cause| self.take_retry(terms, Failed { number: made, cause, answer }, &tried, until));
            let Some(pause) = pause else {
                return outcome.map_err(|(_, error)| error);
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// One attempt and no other: for a copy, whose answer nobody waits for.
    pub async fn once(&self, call: &Call) -> Result<Answer, CallError> {
        let until = Instant::now() + call.timeout;
        let asked = async {
            let _slot = self.admit(None, until).await.map_err(|fault| self.refused(fault))?;
            self.attempt(call, &mut Tried::new(), until).await.map_err(|(_, error)| error)
        };
        timeout(call.timeout, asked).await.unwrap_or(Err(CallError::TimedOut(call.timeout)))
    }

    async fn attempt(&self, call: &Call, tried: &mut Tried, until: Instant) -> Result<Answer, (Fault, CallError)> {
        let picked = self.pick(fastrand::u64(..), tried);
        let (member, in_flight) = picked.map_err(|fault| (fault, self.refused(fault)))?;
        tried.push(member.target.address);
        let left = until.saturating_duration_since(Instant::now());
        let asked = attempt(&member.prepared, call, left);
        let outcome = match self.per_try() {
            Some(limit) => timeout(limit, asked).await.unwrap_or_else(|_| Err(late(limit))),
            None => asked.await,
        };
        if let Some(told) = judged(&outcome) {
            self.report(&in_flight, told);
        }
        match &outcome {
            Ok(_) => self.metrics.answered(),
            Err((fault, _)) => self.metrics.failed(*fault),
        }
        outcome
    }

    /// Nobody was asked.
    fn refused(&self, fault: Fault) -> CallError {
        self.metrics.failed(fault);
        match fault {
            Fault::NoTarget | Fault::CircuitOpen => CallError::Unavailable(self.name.clone()),
            Fault::Deadline => CallError::TimedOut(Duration::ZERO),
            _ => CallError::Full(self.name.clone()),
        }
    }
}

/// What an attempt says of its target: what is only too large for the caller is a good answer.
fn judged(outcome: &Result<Answer, (Fault, CallError)>) -> Option<AttemptOutcome> {
    match outcome {
        Ok(answer) => Some(AttemptOutcome::by_answer(answer.status, grpc::status(&answer.headers))),
        Err((_, CallError::TooLarge(_))) => Some(AttemptOutcome::Answered),
        Err((fault, _)) => fault.blames_target().then(|| AttemptOutcome::by_fault(*fault)),
    }
}

fn late(limit: Duration) -> (Fault, CallError) {
    (Fault::PerTryTimeout, CallError::TimedOut(limit))
}

/// Nobody got the request, or getting it twice does nothing that getting it once does not.
fn is_worth_it(terms: RetryPolicy<'_>, call: &Call, cause: Cause) -> bool {
    terms.cover(cause) && (cause == Cause::Connect || terms.repeats(&call.method, &call.headers))
}
