//! Connections to targets that speak HTTP/1.1: made here, read strictly here, and kept here for the next request.
//!
//! Each exchange is lent one, as a stream that carries one answer and then ends; so nobody but us decides where an answer ends and
//! whether another request may follow it. docs/adr/0019.

mod bound;
mod dial;
mod idle;
mod leg;
mod loan;
mod race;
mod rival;
mod tls;
mod wire;

pub(super) use bound::{Bound, Connections};
pub(super) use dial::Dial;
pub(crate) use leg::Leg;
pub(super) use leg::{Connecting, Terms};
pub(crate) use loan::Loan;
pub(super) use tls::client_config;
pub(crate) use wire::BOUNDS as ANSWERS;
