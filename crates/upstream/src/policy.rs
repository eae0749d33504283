//! From the file's words about picking to those of `crates/balance`.

use portreeve_balance::{Algorithm, Failover, Outlier, Policy};
use portreeve_config::units::Duration;
use portreeve_config::{Balance, Upstream as UpstreamConfig};

/// How an upstream picks.
pub(super) fn policy(config: &UpstreamConfig) -> Policy {
    Policy {
        algorithm: match config.balance {
            Balance::RoundRobin => Algorithm::RoundRobin,
            Balance::LeastConnections => Algorithm::LeastConnections,
            Balance::LeastTime => Algorithm::LeastTime,
            Balance::RandomTwo => Algorithm::RandomTwo,
            Balance::IpHash | Balance::Hash(_) => Algorithm::Hash,
        },
        failover: Failover {
            spill_below: config.failover.spill_below.fraction(),
            panic_below: config.failover.panic_below.fraction(),
        },
        slow_start: config.slow_start.map(Duration::get),
        outlier: config.outlier.as_ref().map(|outlier| Outlier {
            consecutive_failures: outlier.consecutive_failures,
            failure_rate: outlier.failure_rate.fraction(),
            min_requests: outlier.min_requests,
            window: outlier.window.get(),
            eject_for: outlier.eject_for.get(),
            max_eject_for: outlier.max_eject_for.get(),
            max_ejected: outlier.max_ejected.fraction(),
        }),
    }
}
