//! Who of a pool gets the next request: the state of a target, and picking by it. No I/O, no sockets, no clock of its
//! own, so that every promise is held by a property test or in virtual time.
//!
//! [`Target`] is the state of one address, shared by all pools and generations that name it. [`Seat`] is what one pool
//! has learnt of an address, kept in the pool's [`Ledger`] while members come and go. [`Member`] is a target in one
//! pool, with its share and whatever the pool prepared for it. [`Picker`] holds the members of a pool at one moment,
//! and a [`Search`] picks of them by a [`Policy`]; an attempt holds an [`InFlight`] and reports its [`Outcome`]. How
//! many requests a pool may have at once, [`Adaptive`] learns from how fast it answers; whether it may be asked at all,
//! [`Circuit`] learns from what fails.

mod adaptive;
mod changes;
mod circuit;
mod counts;
pub mod hash;
mod latency;
mod ledger;
mod member;
mod outlier;
mod picker;
mod policy;
mod shares;
mod table;
mod target;
mod time;

pub use adaptive::{Adaptive, Bounds, Found, Sample};
pub use circuit::{Circuit, CircuitChange, CircuitPolicy, CircuitState, Pass};
pub use ledger::{Ledger, Seat};
pub use member::{InFlight, Member};
pub use outlier::Outlier;
pub use picker::{Cause, Ejection, Outcome, Picker, Search, Tried};
pub use policy::{Algorithm, Failover, Group, MOST_ZONES, Order, Policy};
pub use target::{Bar, Target, Thresholds};
