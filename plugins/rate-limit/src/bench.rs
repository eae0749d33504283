//! What `benches/decision.rs` measures: the decision alone, without a chain around it. Not part of the plugin.

use portreeve_plugin::{Allowance, Clock};

use crate::meter::compile_all;
use crate::table::Table;

/// A limiter that decides on the system's clock: true if the request may pass.
///
/// # Panics
/// When the limits make no sense together.
#[expect(clippy::expect_used, reason = "a bench with nonsense limits has nothing to measure")]
pub fn limiter(allowances: &[Allowance]) -> impl Fn(&str) -> bool + Sync + use<> {
    let clock = Clock::system();
    let table = Table::new(&clock);
    let limits = compile_all(allowances).expect("limits that hold together");
    move |key| {
        let key = table.seeds.digest_of(key);
        let now = table.moment(&limits, &clock);
        table.decide(&limits, key, 1, now, 10_000_000).is_some_and(|decision| decision.verdict.is_ok())
    }
}
