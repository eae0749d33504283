//! What both logs of the gateway are made of: lines of JSON that are written by hand, a bounded queue, and a thread that writes
//! them, for which nobody waits. And the operator's log itself: what `tracing` events become.
//!
//! *Not here*: what the access log says of a request, which is the engine's.

mod diagnostics;
mod json;
mod sink;
mod time;
mod writer;

pub use diagnostics::{Diagnostics, Settings as DiagnosticsSettings, dropped_lines, suppressed_lines};
pub use json::{Array, MAX_TEXT_BYTES, Object};
pub use sink::Sink;
pub use time::Moment;
pub use writer::{Keeper, Log, Settings, Trouble};
