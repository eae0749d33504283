//! The engine of the Portreeve gateway, and the only crate that knows Pingora.
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
mod crumbs;
mod deadline;
mod descriptors;
mod engine;
mod error_text;
mod exchange;
mod fault;
mod forwarding;
mod gather;
mod grpc;
mod head;
mod https;
mod incoming;
mod listener;
mod mirror;
mod names;
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
mod upstream;
mod web_socket;

pub use accounts::StepAccount;
pub use descriptors::{ADMIN_CONNECTIONS, limit_descriptors, tell_not_accepted};
pub use engine::{Engine, StartError};
pub use listener::{BindError, Drained, Inherited};
pub use snapshot::{CertificateStatus, Closed, Snapshot};
pub use upstream::{
    CircuitStatus, CircuitWord, LastCheck, LimitStatus, OperateError, Operation, Order, PoolStatus, SourceStatus,
    Standing, TargetState, TargetStatus,
};
