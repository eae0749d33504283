//! Accepting: sockets, our connection type, and one worker per core.
//!
//! nginx's model on Pingora's parts. Each worker is a thread with its own single-threaded runtime, its own `SO_REUSEPORT`
//! socket on every listener, and its own Pingora `HttpProxy`, so that a connection, the requests on it and the upstream
//! connections it reuses never leave their core. Health, counts, limits and the snapshot are shared. docs/adr/0003.

mod connection;
mod connection_info;
mod connection_limiter;
mod connection_rate;
mod http1;
mod http2;
mod listening;
mod pace;
mod refused;
mod replay_buffer;
mod rules;
mod serve;
mod socket;
mod tcp;
mod tls;
mod transport;
mod workers;

pub(crate) use connection_info::{AttemptTime, ConnectionInfo, RequestControl, nobody};
pub(crate) use listening::{Copies, Listening};
pub(crate) use refused::{ALLOW, Reason};
pub(crate) use rules::ListenerRules;
pub use socket::{BindError, Inherited};
pub(crate) use tcp::{SameName, Tcp, Way, Ways};
pub(crate) use tls::{Certified, Expiry, Issuing, Tls, TlsInfo, authorities, moment, now, sha256, watch_expiry};
pub use workers::Drained;
pub(crate) use workers::Workers;
