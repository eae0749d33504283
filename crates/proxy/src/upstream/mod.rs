//! Upstream pools: who is in them, who is healthy, who is picked, and what an attempt may cost.
//!
//! Where targets come from is `discovery`, whether they are well `health`, what an operator says of them `orders`; picking is
//! `crates/balance` (docs/adr/0004, 0014). A pool whose configuration did not change lives on through a reload; the state of a
//! target lives on in [`TargetRegistry`].

mod answer;
mod call;
mod discovery;
mod health;
mod identity;
mod members;
mod orders;
mod pool;
mod registry;
mod retry;
mod status;
mod transport;

use std::borrow::Cow;

pub(crate) use answer::{BadAnswer, MAX_INTERIM, check_response};
pub(crate) use call::Fetcher;
pub use discovery::SourceStatus;
pub(crate) use discovery::{Resolver, TargetSources};
pub use health::LastCheck;
pub use orders::{Operation, Order, Standing};
pub(crate) use pool::Pool;
pub(crate) use registry::TargetRegistry;
pub(crate) use retry::Cause as RetryCause;
pub use status::{OperateError, PoolStatus, TargetState, TargetStatus};
pub(crate) use transport::Transport;

/// What is wrong with an upstream, and under which of its keys. Found when it is compiled, since no schema can say it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Below the upstream: `health.expect.body`.
    pub(crate) at: Cow<'static, str>,
    pub(crate) message: String,
}

impl Fault {
    fn new(at: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { at: at.into(), message: message.into() }
    }
}
