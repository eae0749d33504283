//! Who of a pool gets the next request: the state of a target, and picking by it. No I/O, no sockets, no clock of its own,
//! so that every promise is held by a property test or in virtual time.
//!
//! [`Target`] is the state of one address, shared by all pools and generations that name it. [`Member`] is a target in one
//! pool, with its share and whatever the pool prepared for it. [`Picker`] holds the members of a pool at one moment.

pub mod hash;
mod member;
mod picker;
mod target;

pub use member::Member;
pub use picker::{Algorithm, Picker, Tried};
pub use target::{Bar, InFlight, Target, Thresholds};
