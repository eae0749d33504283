//! What consumers have used: requests, errors, refusals, bytes, cost and latency by consumer, tier, route and version.
//!
//! [`Usage::record`] counts a request in a [`table`](Usage) of bounded size, whose totals are exact whatever comes in.
//! [`Usage::tick`] folds what was counted into hours and days, saves it, and exports it as JSON lines, each period once.
//! [`Usage::page`] answers a [`Query`]. Time is passed in, in seconds since 1970.

mod book;
mod count;
mod export;
mod folder;
mod key;
mod query;
mod sheet;
mod sketch;
mod table;
mod trust;
mod usage;

pub use count::{Counts, Event, Outcome};
pub use export::Export;
pub use key::{Asked, Dimension, Key};
pub use query::{Page, Query};
pub use usage::{Failure, Keep, Settings, Stage, Usage};

/// Seconds of an hour.
const HOUR: i64 = 3600;
/// Seconds of a day.
const DAY: i64 = 24 * HOUR;

/// When the hour or day of `span` seconds that holds `at` began.
fn start_of(at: i64, span: i64) -> i64 {
    at - at.rem_euclid(span)
}
