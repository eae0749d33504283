//! The engine of the Portreeve gateway, and the only crate that knows Pingora.
//!
//! A request comes in through `listener`, takes the phases of `phases.rs`, one after the other, with what its
//! generation's [`Snapshot`] says, and goes out through a pool of `upstream`. [`Engine`] holds it all together.

mod admission;
mod compile;
mod conclusion;
mod context;
mod engine;
mod head;
mod listener;
mod observe;
mod phases;
mod reply;
mod route;
mod snapshot;
mod status;
mod upstream;

pub use engine::{Engine, StartError};
pub use listener::{BindError, Drained};
pub use snapshot::Snapshot;
pub use upstream::{PoolStatus, TargetStatus};
