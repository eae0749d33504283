//! What `benches/decision.rs` measures: the decision alone, without a chain around it. Not part of the plugin.

use portreeve_plugin::Clock;
use portreeve_plugin::units::Rate;

use crate::meter::{Limit, Outcome};
use crate::table::Table;

/// A limiter that decides on the system's clock: true if the request may pass.
pub fn limiter(rate: Rate, burst: Option<std::num::NonZeroU32>) -> impl Fn(&str) -> bool + Sync {
    let clock = Clock::system();
    let table = Table::new(&clock);
    let limit = burst.map_or_else(|| Limit::window(rate), |burst| Limit::bucket(rate, burst));
    move |key| matches!(table.admit(&limit, key, &clock, 1_000_000), Outcome::Admitted { .. })
}
