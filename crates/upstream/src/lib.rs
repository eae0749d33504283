//! Upstream pools: who is in them, who is healthy, who is picked, and what an attempt may cost.
//!
//! A pool stands on the traits of pingora-load-balancing (docs/adr/0034): who is in it is its `Backends`, fed by the
//! pool's `roster` from what the file, its `discovery` and an operator's `orders` say; whether targets are well, a
//! `HealthCheck` says (`health`); which one gets a request, a `BackendSelection` (`selection`) over `crates/balance`. A
//! pool whose configuration did not change lives on through a reload; the state of a target lives on in
//! [`TargetRegistry`].

mod announcement;
mod answer;
mod attempts;
mod breaker;
mod budget;
mod call;
mod client;
mod connector;
mod discovery;
pub mod error_text;
pub mod fault;
mod gate;
pub mod grpc;
mod health;
mod hedge;
mod identity;
mod limits;
mod link;
mod members;
pub mod metrics;
mod near;
mod orders;
mod outside;
mod policy;
mod pool;
mod registry;
mod retry;
mod roster;
pub mod selection;
#[cfg(test)]
mod selection_tests;
mod status;
mod sticky;
mod stream;
mod target_gauges;
mod transport;

use std::borrow::Cow;

pub use announcement::announcement;
pub use answer::{BadAnswer, MAX_INTERIM, check_response};
pub use breaker::{CircuitStatus, CircuitWord};
pub use client::{
    Http1, Http2, Progress, RequestHead, ResponseEvent, Staleness, TargetExchange, bad_target, is_of_connection,
};
pub use connector::{AttemptOptions, Silence, UpstreamHandle};
pub use discovery::SourceStatus;
pub use discovery::{Resolver, TargetSources};
pub use gate::Slot;
pub use health::LastCheck;
pub use limits::LimitStatus;
pub use limits::{AttemptOutcome, Priorities};
pub use link::{ConnectionLease, Io, UpstreamAttempt};
pub use near::Near;
pub use orders::{Operation, Order, Standing};
pub use outside::{Outside, OutsideRequest};
pub use pool::{Parts, Pool};
pub use registry::TargetRegistry;
pub use retry::{Cause as RetryCause, Failed, Override as RetryOverride, RetryPolicy};
pub use selection::Wants;
pub use status::{OperateError, PoolStatus, TargetState, TargetStatus};
pub use stream::Stream;
pub use transport::Transport;

/// What is wrong with an upstream, and under which of its keys. Found when it is compiled, since no schema can say it.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Below the upstream: `health.expect.body`.
    pub at: Cow<'static, str>,
    pub message: String,
}

impl Wrong {
    fn new(at: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { at: at.into(), message: message.into() }
    }
}
