//! The engine of the Portreeve gateway: what a request goes through between its client and a pool, as a `ProxyHttp` of Pingora.
//!
//! A request comes in through `listener`, takes the phases of `request/phases.rs`, one after the other, with what its
//! generation's [`Snapshot`] says, and goes out through a pool of `upstream`. [`Engine`] holds it all together.

mod acme;
mod compile;
mod engine;
mod http;
mod listener;
mod observe;
mod request;
mod snapshot;

// The crates below, by the names of what they hold.
use portreeve_connection::{deadline, descriptors, web_socket};
use portreeve_upstream::{self as upstream, fault};

pub use engine::{Engine, StartError};
pub use listener::{BindError, Drained, Inherited};
pub use portreeve_connection::descriptors::{ADMIN_CONNECTIONS, limit_descriptors, tell_not_accepted};
pub use portreeve_upstream::{
    CircuitStatus, CircuitWord, LastCheck, LimitStatus, OperateError, Operation, Order, PoolStatus, SourceStatus,
    Standing, TargetState, TargetStatus,
};
pub use snapshot::accounts::StepAccount;
pub use snapshot::{CertificateStatus, Closed, Snapshot};
