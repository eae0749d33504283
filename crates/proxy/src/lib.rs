//! The engine of the Portreeve gateway: what a request goes through between its client and a pool, as a `ProxyHttp` of Pingora.
//!
//! A request comes in through `listener`, takes the phases of `phases.rs`, one after the other, with what its
//! generation's [`Snapshot`] says, and goes out through a pool of `upstream`. [`Engine`] holds it all together.

mod accept;
mod accounts;
mod acme;
mod admission;
mod answer;
mod attempt;
mod compile;
mod conclusion;
mod context;
mod cookies;
mod engine;
mod exchange;
mod forwarding;
mod gather;
mod grpc;
mod head;
mod https;
mod listener;
mod mirror;
mod observe;
mod pages;
mod phases;
mod query;
mod refusals;
mod reply;
mod route;
mod snapshot;
mod split;
mod status;
mod strangers;
mod trailers;
mod upload;

// The crates below, by the names of what they hold.
use portreeve_connection::{deadline, descriptors, web_socket};
use portreeve_upstream::{self as upstream, fault};

pub use accounts::StepAccount;
pub use engine::{Engine, StartError};
pub use listener::{BindError, Drained, Inherited};
pub use portreeve_connection::descriptors::{ADMIN_CONNECTIONS, limit_descriptors, tell_not_accepted};
pub use portreeve_upstream::{
    CircuitStatus, CircuitWord, LastCheck, LimitStatus, OperateError, Operation, Order, PoolStatus, SourceStatus,
    Standing, TargetState, TargetStatus,
};
pub use snapshot::{CertificateStatus, Closed, Snapshot};
