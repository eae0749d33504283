//! Connections to targets, made here. Those in HTTP/1.1 are read strictly here, and kept here for the next request; those in
//! HTTP/2 are `stream`'s.
//!
//! Each exchange has one on loan, as a stream that carries one answer and then ends. docs/adr/0019, 0033.

mod attempt;
mod bound;
mod dial;
mod hedge_state;
mod idle;
mod io;
mod lease;
mod race;
mod tls;
mod tunnel;
mod wire;

pub(super) use attempt::AttemptParams;
pub use attempt::UpstreamAttempt;
pub(super) use bound::{Bound, Connections};
pub(crate) use dial::Dial;
pub use io::Io;
pub use lease::ConnectionLease;
pub(super) use tls::client_config;
pub(super) use tunnel::Tunnel;
pub(super) use wire::BOUNDS as ANSWERS;
