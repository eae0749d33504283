//! Usage: for whom a request counts, at its end, and the background that folds, saves and exports what was counted.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;
use portreeve_config::{Config, ConfigPath, Sources};
use portreeve_plugin::Clock;
use portreeve_plugin::engine::{Exchange, Summary};
use portreeve_usage::{Asked, Event, Export, Failure, Keep, Outcome, Page, Query, Settings, Stage, Usage};
use prometheus::IntCounterVec;

use crate::http::grpc;

/// How often the background looks whether something is due.
const TURN: Duration = Duration::from_secs(1);

/// What consumers have used, and what became of keeping it.
#[derive(Debug)]
pub(crate) struct UsageKeeper {
    usage: Arc<Usage>,
    clock: Clock,
    failures: IntCounterVec,
    /// What fails now, so that it is told once and not every second.
    failing: Mutex<BTreeMap<&'static str, String>>,
}

impl UsageKeeper {
    pub(crate) fn new(clock: Clock, failures: IntCounterVec) -> Self {
        let usage = Arc::new(Usage::new(now(&clock)));
        for stage in Stage::ALL {
            failures.with_label_values(&[stage.as_str()]);
        }
        Self { usage, clock, failures, failing: Mutex::default() }
    }

    /// Where requests are counted.
    pub(crate) fn usage(&self) -> Arc<Usage> {
        self.usage.clone()
    }

    /// Counts as a configuration says from now on.
    pub(crate) fn follow(&self, settings: Option<Settings>) {
        self.usage.follow(settings);
    }

    /// Answers a query, read from these parameters. Waits for the disk, shortly; `None` if that does not answer.
    ///
    /// # Errors
    /// What is wrong with a parameter.
    pub(crate) fn page(&self, parameters: &[(String, String)]) -> Result<Option<Page>, String> {
        let now = now(&self.clock);
        let pairs = parameters.iter().map(|(name, value)| (&**name, &**value));
        Ok(self.usage.page(&Query::parse(pairs, now)?, now))
    }

    /// One turn; waits for the disk.
    pub(crate) fn turn(&self) {
        self.tell(self.usage.tick(now(&self.clock)));
    }

    /// The end: nothing is counted after. Waits for the disk.
    pub(crate) fn finish(&self) {
        self.tell(self.usage.finish(now(&self.clock)));
    }

    /// Takes turns for as long as anybody else has it.
    pub(crate) async fn run(this: Weak<Self>) {
        loop {
            tokio::time::sleep(TURN).await;
            let Some(this) = this.upgrade() else { return };
            // A turn that panicked is over; the next one tries again.
            tokio::task::spawn_blocking(move || this.turn()).await.ok();
        }
    }

    fn tell(&self, failures: Vec<Failure>) {
        let mut failing = self.failing.lock();
        let mut now = BTreeMap::new();
        for Failure { stage, error } in failures {
            let word = stage.as_str();
            self.failures.with_label_values(&[word]).inc();
            if failing.get(word) != Some(&error) {
                if stage == Stage::Lock {
                    // As it is meant to be during an upgrade.
                    tracing::info!(stage = word, error, "Usage is not saved yet.");
                } else {
                    tracing::error!(stage = word, error, "Usage cannot be kept as it should be; counting goes on.");
                }
            }
            now.insert(word, error);
        }
        for stage in failing.keys().filter(|stage| !now.contains_key(*stage)) {
            tracing::info!(stage, "Usage is kept again.");
        }
        *failing = now;
    }
}

fn now(clock: &Clock) -> i64 {
    i64::try_from(clock.unix_seconds()).unwrap_or(i64::MAX)
}

/// What the file says; `None` if nothing is to be counted. Relative paths count from its folder.
pub(crate) fn settings(config: &Config, sources: &Sources) -> Option<Settings> {
    let usage = Some(&config.usage).filter(|usage| usage.enabled)?;
    let folder = sources.folder(&ConfigPath::from("usage"));
    let export = usage.export.as_ref().map(|export| Export {
        path: folder.join(&export.path),
        every: i64::try_from(export.every.get().as_secs()).unwrap_or(3600).max(1),
        max_size: export.max_size.bytes(),
        keep: u32::from(export.keep),
    });
    Some(Settings {
        max_keys: usage.max_keys as usize,
        keep: Keep { hours: usage.hours, days: usage.days },
        path: usage.path.as_ref().map(|path| folder.join(path)),
        export,
    })
}

/// How a request ended, as usage tells it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    /// Whether the gateway made the answer.
    pub(crate) by_gateway: bool,
    /// What a gRPC call ended with.
    pub(crate) grpc_status: Option<u16>,
}

/// Counts a request at its end.
pub(crate) fn record(usage: &Usage, exchange: &Exchange, summary: &Summary, ended: Ended) {
    let consumer = exchange.consumer.as_ref();
    let asked = Asked {
        consumer: consumer.map(|consumer| &consumer.id),
        tier: consumer.and_then(|consumer| consumer.tier.as_ref()),
        route: exchange.route.as_ref(),
        version: exchange.version.as_ref(),
    };
    let outcome = outcome(summary.status, ended);
    let event = Event {
        outcome,
        bytes_in: summary.bytes_in,
        bytes_out: summary.bytes_out,
        cost: exchange.cost.unwrap_or(u64::from(outcome != Outcome::Refused)),
        duration: summary.duration,
    };
    usage.record(&asked, &event);
}

fn outcome(status: Option<StatusCode>, ended: Ended) -> Outcome {
    let Some(status) = status else { return Outcome::Served };
    // The status of a gRPC call is not that of its head.
    let (is_error, is_mistake) = match ended.grpc_status {
        Some(grpc) => (grpc::is_server_error(grpc), grpc != 0),
        None => (status.is_server_error(), status.is_client_error()),
    };
    match (is_error, is_mistake && ended.by_gateway) {
        (true, _) => Outcome::Error,
        (false, true) => Outcome::Refused,
        (false, false) => Outcome::Served,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_anybodys_and_refusals_the_gateways_own() {
        let ended = |by_gateway, grpc_status| Ended { by_gateway, grpc_status };
        let of = |status: u16, ended| outcome(StatusCode::from_u16(status).ok(), ended);
        for (status, by_gateway, told) in [
            (200, false, Outcome::Served),
            (404, false, Outcome::Served),
            (429, true, Outcome::Refused),
            (404, true, Outcome::Refused),
            (308, true, Outcome::Served),
            (503, true, Outcome::Error),
            (500, false, Outcome::Error),
        ] {
            assert_eq!(of(status, ended(by_gateway, None)), told, "{status}");
        }
        assert_eq!(of(200, ended(true, Some(16))), Outcome::Refused, "unauthenticated");
        assert_eq!(of(200, ended(false, Some(5))), Outcome::Served, "not found, says the target");
        assert_eq!(of(200, ended(false, Some(14))), Outcome::Error, "unavailable");
        assert_eq!(outcome(None, ended(false, None)), Outcome::Served, "the client left first");
    }
}
