//! `concurrency-limit`: so many requests of each key under way at the same time, and a bounded queue before them.

mod config;
mod gates;
mod operator;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;

use futures::future::{Either, select};
use portreeve_plugin::prelude::*;
use portreeve_plugin::{Limits, Seeds};

pub use config::{Config, Limit, Queue};
use gates::{Entry, Gates, Place};

/// Lets so many requests of a key in at the same time.
#[derive(Debug)]
pub struct ConcurrencyLimit {
    by: Key,
    numbers: Numbers,
    queue: Option<Queue>,
    shared: Arc<Shared>,
    clock: Clock,
}

/// What survives a reload.
#[derive(Debug)]
struct Shared {
    gates: Arc<Gates>,
    seeds: Seeds,
}

#[derive(Debug)]
enum Numbers {
    Fixed(NonZeroU32),
    ByTier(HashMap<Arc<str>, NonZeroU32>),
}

/// The place of a request, held until the request is over.
#[derive(Debug, Default)]
struct Held {
    _place: Option<Place>,
}

#[async_trait]
impl Plugin for ConcurrencyLimit {
    fn hooks(&self) -> Hooks {
        Hooks::REQUEST
    }

    fn limits(&self) -> Option<&dyn Limits> {
        Some(self)
    }

    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        let counted = self.numbers.of(cx.consumer()).and_then(|limit| {
            let key = self.shared.seeds.digest(&self.by, cx).map_err(|none| format!("`by`: {none}"))?;
            Ok((limit, key))
        });
        let (limit, key) = match counted {
            Ok(counted) => counted,
            Err(reason) => {
                let detail = "This request cannot be counted against a limit.";
                return Ok(Reply::problem(StatusCode::FORBIDDEN, detail).because(reason).into());
            }
        };
        // An observing step holds nobody up.
        let queue = self.queue.filter(|_| !cx.is_observing());
        let length = queue.map_or(0, |queue| queue.length as usize);
        let place = match self.shared.gates.enter(key, limit, length) {
            Entry::Inside(place) => place,
            Entry::Refused => return Ok(refusal(limit, "and none is free")),
            Entry::Waiting(place) => {
                let deadline = self.clock.sleep(queue.map_or(std::time::Duration::ZERO, |queue| queue.timeout.get()));
                match select(place, pin!(deadline)).await {
                    Either::Left((Ok(place), _)) => place,
                    Either::Left((Err(_), _)) | Either::Right(_) => {
                        return Ok(refusal(limit, "and none became free in time"));
                    }
                }
            }
        };
        *cx.state() = Held { _place: Some(place) };
        Ok(Flow::Continue)
    }
}

impl Build for ConcurrencyLimit {
    const NAME: &'static str = "concurrency-limit";
    type Config = Config;

    fn build(config: Config, host: &Host) -> Result<Self, BuildError> {
        Ok(Self {
            numbers: Numbers::compile(&config.limit, host)?,
            by: config.by,
            queue: config.queue,
            shared: host.shared(host.step(), || Shared { gates: Arc::new(Gates::new()), seeds: Seeds::default() }),
            clock: host.clock(),
        })
    }
}

impl Numbers {
    fn compile(setting: &Limit, host: &Host) -> Result<Self, BuildError> {
        if let Limit::Fixed(limit) = setting {
            return Ok(Self::Fixed(*limit));
        }
        if host.tiers().is_empty() {
            return Err(BuildError::at("limit", "the file has no `tiers`; declare them, or give a number of requests"));
        }
        let tiers = host.tiers().iter().map(|tier| {
            let limit = tier.concurrency.ok_or_else(|| {
                BuildError::at("limit", format!("tier \"{}\" has no concurrency; give it one", tier.name))
            })?;
            Ok((tier.name.clone(), limit))
        });
        Ok(Self::ByTier(tiers.collect::<Result<_, BuildError>>()?))
    }

    /// The limit of this consumer, or why there is none.
    fn of(&self, consumer: Option<&Consumer>) -> Result<NonZeroU32, String> {
        let tiers = match self {
            Self::Fixed(limit) => return Ok(*limit),
            Self::ByTier(tiers) => tiers,
        };
        let consumer = consumer.ok_or("nobody is authenticated, so there is no tier")?;
        let tier = consumer.tier.as_ref().ok_or_else(|| format!("consumer \"{}\" has no tier", consumer.id))?;
        let limit = tiers.get(tier).copied();
        limit.ok_or_else(|| format!("the tier of consumer \"{}\" is not one of the file's", consumer.id))
    }
}

fn refusal(limit: NonZeroU32, why: &str) -> Flow {
    Reply::problem(StatusCode::TOO_MANY_REQUESTS, format!("No more than {limit} requests at the same time."))
        .header(header::RETRY_AFTER, HeaderValue::from_static("1"))
        .because(format!("all {limit} places of the key are taken, {why}"))
        .into()
}
