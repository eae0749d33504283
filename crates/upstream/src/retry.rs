//! When a failed attempt is tried again, how often, and after what pause: what the upstream says, and what a route says instead.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, Method, header};
use portreeve_config::{Backoff, Retry as RetryConfig, RetryOn, RouteRetry};

use super::budget::Budget;

/// By which a target knows a request that it has had before (draft-ietf-httpapi-idempotency-key-header).
static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Why an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// No connection: the request was never sent.
    Connect,
    /// No answer's head in time.
    Timeout,
    /// The connection was lost before the answer's head.
    Reset,
    /// The target answered with this status.
    Status(u16),
}

/// What a route says of retries in the place of its upstream.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    attempts: Option<u32>,
    on: Option<Box<[RetryOn]>>,
    methods: Option<Box<[Method]>>,
    backoff: Option<Backoff>,
}

impl Override {
    pub fn new(config: &RouteRetry) -> Self {
        Self {
            attempts: config.attempts,
            on: config.on.as_deref().map(Box::from),
            methods: config.methods.as_deref().map(methods),
            backoff: config.backoff.clone(),
        }
    }
}

/// The retry policy of one upstream and what is left of its budget.
#[derive(Debug)]
pub(super) struct Retries {
    attempts: u32,
    on: Box<[RetryOn]>,
    methods: Box<[Method]>,
    backoff: Backoff,
    budget: Budget,
}

/// The policy for one request: the upstream's, but for what its route says.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy<'t> {
    attempts: u32,
    on: &'t [RetryOn],
    methods: &'t [Method],
    backoff: &'t Backoff,
    budget: &'t Budget,
}

/// Why there is no retry though the policy has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRetry {
    /// Such failures are not retried, or not as often, or not before the time is up.
    Policy,
    /// The budget is spent.
    Budget,
}

/// An attempt that failed.
#[derive(Debug, Clone, Copy)]
pub struct Failed<'f> {
    /// Its number, from 1.
    pub number: u32,
    pub cause: Cause,
    /// The headers of the answer, if it brought one.
    pub answer: Option<&'f HeaderMap>,
}

impl Retries {
    pub(super) fn new(config: &RetryConfig) -> Self {
        Self {
            attempts: config.attempts,
            on: config.on.as_slice().into(),
            methods: methods(&config.methods),
            backoff: config.backoff.clone(),
            budget: Budget::new(config.budget.fraction(), Instant::now()),
        }
    }

    /// Counts a request: it earns its share of a retry.
    pub(super) fn earn(&self) {
        self.budget.earn();
    }

    pub(super) fn terms<'t>(&'t self, of_route: Option<&'t Override>) -> RetryPolicy<'t> {
        RetryPolicy {
            attempts: of_route.and_then(|it| it.attempts).unwrap_or(self.attempts),
            on: of_route.and_then(|it| it.on.as_deref()).unwrap_or(&self.on),
            methods: of_route.and_then(|it| it.methods.as_deref()).unwrap_or(&self.methods),
            backoff: of_route.and_then(|it| it.backoff.as_ref()).unwrap_or(&self.backoff),
            budget: &self.budget,
        }
    }
}

impl RetryPolicy<'_> {
    /// Whether such failures are retried at all.
    pub fn cover(&self, cause: Cause) -> bool {
        self.on.iter().any(|on| match (on, cause) {
            (RetryOn::Connect, Cause::Connect)
            | (RetryOn::Timeout, Cause::Timeout)
            | (RetryOn::Reset, Cause::Reset) => true,
            (RetryOn::Status(wanted), Cause::Status(status)) => wanted.get() == status,
            _ => false,
        })
    }

    /// Whether a request like this may reach targets twice.
    pub fn repeats(&self, method: &Method, headers: &HeaderMap) -> bool {
        method.is_idempotent() || (self.methods.contains(method) && headers.contains_key(&IDEMPOTENCY_KEY))
    }

    /// Takes one retry, if the policy, the time left and the budget have one: how long to wait before it.
    pub fn take(&self, failed: Failed<'_>, now: Instant, until: Instant) -> Result<Duration, NoRetry> {
        if failed.number >= self.attempts || !self.cover(failed.cause) {
            return Err(NoRetry::Policy);
        }
        let pause = self.pause(failed);
        if now + pause >= until {
            return Err(NoRetry::Policy);
        }
        // Nobody got the request yet, so sending it to another target adds no load. Were it to cost, the death of a target
        // with more than the budget's share would be noticed by clients until the health checks take it out.
        if failed.cause == Cause::Connect || self.budget.take(now) { Ok(pause) } else { Err(NoRetry::Budget) }
    }

    /// Exponential backoff with full jitter: the targets that are left get the retries of one that died spread over time.
    fn pause(&self, failed: Failed<'_>) -> Duration {
        if failed.cause == Cause::Connect && failed.number == 1 {
            return Duration::ZERO;
        }
        let doubled = 2_u32.saturating_pow(failed.number.saturating_sub(1));
        let longest = self.backoff.base.get().saturating_mul(doubled).min(self.backoff.max.get());
        let drawn = longest.mul_f64(fastrand::f64());
        // A 429 is of a limit that the targets of an upstream are likely to share. A 503 speaks for its target alone (RFC 9110
        // §10.2.3), and the retry goes to another.
        let asked = failed.answer.filter(|_| failed.cause == Cause::Status(429)).and_then(retry_after);
        asked.map_or(drawn, |asked| asked.max(drawn))
    }
}

/// How long a target wants to be left alone (RFC 9110 §10.2.3), where it says so in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse::<u32>().ok()?;
    Some(Duration::from_secs(seconds.into()))
}

fn methods(names: &[portreeve_config::units::Method]) -> Box<[Method]> {
    names.iter().filter_map(|name| name.as_str().parse().ok()).collect()
}

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
