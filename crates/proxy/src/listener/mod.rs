//! Accepting: sockets, our connection type, and one worker per core.
//!
//! nginx's model on Pingora's parts. Each worker is a thread with its own single-threaded runtime, its own `SO_REUSEPORT`
//! socket on every listener, and its own Pingora `HttpProxy`, so that a connection, the requests on it and the upstream
//! connections it reuses never leave their core. Health, counts, limits and the snapshot are shared. docs/adr/0003.

mod connection;
mod connection_rate;
mod crowd;
mod facts;
mod http1;
mod http2;
mod kept;
mod listening;
mod pace;
mod refused;
mod serve;
mod socket;
mod tcp;
mod terms;
mod tls;
mod transport;
mod workers;

pub(crate) use facts::{AttemptTime, Facts, Line, nobody};
pub(crate) use listening::{Copies, Listening};
pub(crate) use refused::{ALLOW, Reason};
pub use socket::{BindError, Inherited};
pub(crate) use tcp::{SameName, Tcp, Way, Ways};
pub(crate) use terms::Terms;
pub(crate) use tls::{Certified, Expiry, Issuing, Tls, TlsFacts, authorities, moment, now, sha256, watch_expiry};
pub use workers::Drained;
pub(crate) use workers::Workers;
