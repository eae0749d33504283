//! Accepting: sockets, our connection type, and one worker per core.
//!
//! nginx's model on Pingora's parts. Each worker is a thread with its own single-threaded runtime, its own `SO_REUSEPORT`
//! socket on every listener, and its own Pingora `HttpProxy`, so that a connection, the requests on it and the upstream
//! connections it reuses never leave their core. Health, counts, limits and the snapshot are shared. docs/adr/0003.

mod connection;
mod listening;
mod socket;
mod workers;

pub(crate) use connection::Facts;
pub(crate) use listening::Listening;
pub use socket::BindError;
pub use workers::Drained;
pub(crate) use workers::Workers;
