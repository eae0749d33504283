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
mod discovery;
mod gate;
mod health;
mod hedge;
mod identity;
mod limits;
mod link;
mod members;
mod near;
mod orders;
mod outside;
mod policy;
mod pool;
mod prepared;
mod registry;
mod retry;
mod roster;
mod selection;
#[cfg(test)]
mod selection_tests;
mod status;
mod sticky;
mod stream;
mod transport;

use std::borrow::Cow;

pub(crate) use announcement::announcement;
pub(crate) use answer::{BadAnswer, MAX_INTERIM, check_response};
pub use breaker::{CircuitStatus, CircuitWord};
pub(crate) use client::{
    Http1, Http2, Progress, RequestHead, ResponseEvent, Staleness, TargetExchange, bad_target, is_of_connection,
};
pub use discovery::SourceStatus;
pub(crate) use discovery::{Resolver, TargetSources};
pub(crate) use gate::Slot;
pub use health::LastCheck;
pub use limits::LimitStatus;
pub(crate) use limits::{Priorities, Told};
pub(crate) use link::{ConnectionLease, Io, UpstreamAttempt};
pub(crate) use near::Near;
pub use orders::{Operation, Order, Standing};
pub(crate) use outside::{Outside, OutsideRequest};
pub(crate) use pool::{Parts, Pool};
pub(crate) use prepared::{Silence, Start, UpstreamHandle};
pub(crate) use registry::TargetRegistry;
pub(crate) use retry::{Cause as RetryCause, Failed, Override as RetryOverride, Terms as RetryTerms};
pub(crate) use selection::Wants;
pub use status::{OperateError, PoolStatus, TargetState, TargetStatus};
pub(crate) use stream::Stream;
pub(crate) use transport::Transport;

/// What is wrong with an upstream, and under which of its keys. Found when it is compiled, since no schema can say it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Below the upstream: `health.expect.body`.
    pub(crate) at: Cow<'static, str>,
    pub(crate) message: String,
}

impl Wrong {
    fn new(at: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { at: at.into(), message: message.into() }
    }
}
