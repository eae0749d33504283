//! `rate-limit`: so much for each key in any span of time, by tier or by limits of the step's own.
//!
//! What a key has used is held in a [`table`] that survives reloads; how a limit is kept is in [`meter`], how several
//! decide together in [`account`]. A request that cannot be counted is refused: nothing here ever means "unlimited".

mod account;
#[doc(hidden)]
pub mod bench;
mod config;
mod cost;
mod exempt;
mod meter;
mod operator;
mod policy;
mod store;
mod sync;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use portreeve_plugin::Limits;
use portreeve_plugin::prelude::*;

use account::{Decision, Refusal, Standings};
use config::Headers;
pub use config::{Config, Inline, Limit};
use cost::Cost;
use exempt::Exempt;
use policy::Policies;
use store::{Outcome, Request, Shared};
use table::Table;

/// Refuses what goes beyond the limits of its key.
#[derive(Debug)]
pub struct RateLimit {
    by: Key,
    policies: Policies,
    cost: Cost,
    exempt: Exempt,
    headers: Headers,
    table: Arc<Table>,
    shared: Option<Shared>,
    clock: Clock,
    max_keys: usize,
}

/// What the response hook has to know of a request that was counted.
#[derive(Debug, Default)]
struct Counted(Option<Entry>);

#[derive(Debug)]
struct Entry {
    request: Request,
    standings: Standings,
    refusal: Option<Refusal>,
}

#[async_trait]
impl Plugin for RateLimit {
    fn hooks(&self) -> Hooks {
        Hooks::REQUEST | Hooks::RESPONSE
    }

    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        if self.exempt.holds(cx) {
            return Ok(Flow::Continue);
        }
        let request = match self.request(cx) {
            Ok(request) => request,
            Err(reason) => return Ok(uncountable(reason)),
        };
        let outcome = match &self.shared {
            None => self.decide_here(&request),
            // In a box of its own: who counts here alone makes no room for what asking a store takes.
            Some(shared) => Box::pin(shared.decide(&request, &self.table, &self.clock)).await,
        };
        let Decision { verdict, standings } = match outcome {
            Outcome::Decided(decision) => decision,
            Outcome::Full => return Ok(self.full()),
            Outcome::Open => return Ok(Flow::Continue),
            Outcome::Closed => return Ok(closed()),
        };
        let refusal = verdict.err();
        if refusal.is_none() {
            cx.charge(request.cost);
        }
        let flow = refusal.map_or(Flow::Continue, |refusal| request.policy.refusal(refusal).into());
        *cx.state() = Counted(Some(Entry { request, standings, refusal }));
        Ok(flow)
    }

    fn limits(&self) -> Option<&dyn Limits> {
        Some(self)
    }

    async fn on_response(&self, cx: &mut ResponseCx<'_>) -> Result<()> {
        let Counted(Some(mut entry)) = std::mem::take(cx.state()) else { return Ok(()) };
        let admitted = entry.refusal.is_none();
        if let Some(cost) = self.cost.after(cx).filter(|_| admitted) {
            let now = self.table.moment(&entry.request.policy.limits, &self.clock);
            cx.charge(entry.request.cost.saturating_add(cost));
            let charge = Request { cost, now, ..entry.request.clone() };
            // Nothing comes back only for a key that was idle meanwhile, in a table full of others: then nobody is over.
            if let Some(standings) = self.charge(&charge).await {
                entry.standings = standings;
            }
        }
        let policy = &entry.request.policy;
        if matches!(self.headers, Headers::Draft | Headers::Both) {
            policy.announce(cx, &entry.standings, entry.refusal)?;
        }
        if matches!(self.headers, Headers::Legacy | Headers::Both) {
            policy.announce_legacy(cx, &entry.standings);
        }
        Ok(())
    }
}

impl Build for RateLimit {
    const NAME: &'static str = "rate-limit";
    type Config = Config;

    fn build(mut config: Config, host: &Host) -> Result<Self, BuildError> {
        let clock = host.clock();
        let exempt = Exempt::compile(std::mem::take(&mut config.exempt));
        let policies = Policies::compile(&config, &exempt, host)?;
        let cost = Cost::compile(config.cost)?;
        if let Cost::Fixed(fixed) = &cost {
            for policy in policies.all() {
                policy.fits(u64::from(fixed.get())).map_err(|limit| {
                    BuildError::at("cost", format!("a request that costs {fixed} never fits into {limit}"))
                })?;
            }
        }
        // By name alone: changed limits find what their keys have used already.
        let name =
            config.share.as_ref().map_or_else(|| format!("step {}", host.step()), |share| format!("share {share}"));
        let shared = match &config.store {
            None => {
                let stray = [("on_store_error", config.on_store_error.is_some()), ("lease", config.lease.is_some())];
                if let Some((key, _)) = stray.into_iter().find(|(_, is_there)| *is_there) {
                    return Err(BuildError::at(
                        key,
                        format!("{key} means something only with a store; add one or remove it"),
                    ));
                }
                None
            }
            Some(store) => {
                let is_smooth =
                    |limit: &meter::Limit| matches!(limit, meter::Limit::Bucket(bucket) if bucket.is_smooth);
                if config.lease.is_some_and(|lease| lease.fraction() <= 0.0) {
                    return Err(BuildError::at("lease", "at 0% nothing is drawn; write more, or leave lease out"));
                }
                if config.lease.is_some() && policies.all().any(|policy| policy.limits.iter().any(is_smooth)) {
                    return Err(BuildError::at("lease", "a smooth rate has no slices to draw; remove lease or smooth"));
                }
                Some(Shared::new(store, config.on_store_error.unwrap_or_default(), config.lease, &name, host)?)
            }
        };
        Ok(Self {
            shared,
            table: host.shared(&name, || Table::new(&clock)),
            by: config.by,
            policies,
            cost,
            exempt,
            headers: config.headers,
            clock,
            max_keys: config.max_keys as usize,
        })
    }
}

impl RateLimit {
    /// Which limits the request is held to, under which key, and what it counts; or why it cannot be counted.
    fn request(&self, cx: &RequestCx<'_>) -> Result<Request, String> {
        let policy = self.policies.of(cx.consumer())?;
        let keyless = |none| format!("`by`: {none}");
        let key = self.table.seeds.digest(&self.by, cx).map_err(keyless)?;
        let tag = self.shared.as_ref().map_or(Ok(0), |shared| shared.tag(&self.by, cx)).map_err(keyless)?;
        Ok(Request {
            policy: policy.clone(),
            key,
            tag,
            cost: self.cost.before(policy.cost, cx)?,
            now: self.table.moment(&policy.limits, &self.clock),
            max_keys: self.max_keys,
        })
    }

    fn decide_here(&self, request: &Request) -> Outcome {
        let Request { policy, key, cost, now, max_keys, .. } = request;
        self.table.decide(&policy.limits, *key, *cost, *now, *max_keys).map_or(Outcome::Full, Outcome::Decided)
    }

    async fn charge(&self, request: &Request) -> Option<Standings> {
        if let Some(shared) = &self.shared {
            return Box::pin(shared.take(request, &self.table, &self.clock)).await;
        }
        let Request { policy, key, cost, now, max_keys, .. } = request;
        self.table.take(&policy.limits, *key, *cost, *now, *max_keys)
    }

    /// Every key the table may hold is in use: a new one is turned away, since making room would reset a living limit.
    fn full(&self) -> Flow {
        Reply::problem(StatusCode::SERVICE_UNAVAILABLE, "The gateway is serving too many callers at once.")
            .header(header::RETRY_AFTER, HeaderValue::from_static("1"))
            .because(format!("all {} keys of this limiter are in use", self.max_keys))
            .into()
    }
}

fn uncountable(reason: String) -> Flow {
    Reply::problem(StatusCode::FORBIDDEN, "This request cannot be counted against a limit.").because(reason).into()
}

fn closed() -> Flow {
    Reply::problem(StatusCode::SERVICE_UNAVAILABLE, "The gateway cannot count this request now.")
        .header(header::RETRY_AFTER, HeaderValue::from_static("1"))
        .because("the store of limits cannot be asked, and `on_store_error` is closed")
        .into()
}
