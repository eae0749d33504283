//! Connections to targets, made here. Those in HTTP/1.1 are read strictly here, and kept here for the next request; those in
//! HTTP/2 are `stream`'s.
//!
//! Each exchange is lent one, as a stream that carries one answer and then ends; so nobody but us decides where an answer ends and
//! whether another request may follow it. docs/adr/0019.

mod bound;
mod dial;
mod idle;
mod io;
mod leg;
mod loan;
mod race;
mod rival;
mod tls;
mod wire;

pub(super) use bound::{Bound, Connections};
pub(crate) use dial::Dial;
pub(crate) use io::Io;
pub(crate) use leg::Leg;
pub(super) use leg::{Connecting, Terms};
pub(crate) use loan::Loan;
pub(super) use tls::client_config;
pub(crate) use wire::BOUNDS as ANSWERS;
