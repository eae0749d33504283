//! The harness: a real gateway in this process ([`Gateway`]), origins that say who they are and do what a test tells them
//! ([`Origin`]) or that a test plays byte for byte ([`RawOrigin`]), a client that writes bytes no library would send
//! ([`Wire`]), and the servers of other people ([`servers`]).
//!
//! Nothing here sleeps to be in step: a gateway and an origin are ready when their constructor returns, and what takes time
//! (a health check, a log line) is waited for with [`until`], which has a deadline.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a harness fails its test by panicking"
)]

mod counting;
mod dns;
mod gateway;
mod http1;
mod load;
mod log_line;
mod origin;
mod pebble;
mod process;
mod raw_origin;
pub mod redis;
mod road;
pub mod servers;
mod target;
mod tls;
mod token;
mod wait;
mod wire;

pub use counting::Counting;
pub use dns::Dns;
pub use gateway::{Admin, Ask, Gateway, Setup};
pub use http1::{Answer, Head};
pub use load::{CLIENTS, Load};
pub use log_line::log_line;
pub use origin::{Beat, Origin, Received, at};
pub use pebble::{BINDING, Pebble, Suggesting};
pub use process::{Exit, Process};
pub use raw_origin::{Clogged, RawOrigin};
pub use road::{Road, Way};
pub use target::{Sickness, Target};
pub use tls::{Authority, Certificate, Certificates, Secure, TlsClient};
pub use token::{RsaIssuer, SECRET, hs256, hs256_with};
pub use wait::{until, within};
pub use wire::Wire;
