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
mod policy;
mod sync;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use portreeve_plugin::prelude::*;

use account::{Decision, Refusal, Standings};
use config::Headers;
pub use config::{Config, Inline, Limit};
use cost::Cost;
use exempt::Exempt;
use policy::{Policies, Policy};
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
    clock: Clock,
    max_keys: usize,
}

/// What the response hook has to know of a request that was counted.
#[derive(Debug, Default)]
struct Counted(Option<Entry>);

#[derive(Debug)]
struct Entry {
    policy: Arc<Policy>,
    key: u128,
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
        let (policy, key, cost) = match self.count_of(cx) {
            Ok(count) => count,
            Err(reason) => return Ok(uncountable(reason)),
        };
        let now = self.table.moment(&policy.limits, &self.clock);
        let Some(decision) = self.table.decide(&policy.limits, key, cost, now, self.max_keys) else {
            return Ok(self.full());
        };
        let Decision { verdict, standings } = decision;
        let refusal = verdict.err();
        let flow = refusal.map_or(Flow::Continue, |refusal| policy.refusal(refusal).into());
        *cx.state() = Counted(Some(Entry { policy, key, standings, refusal }));
        Ok(flow)
    }

    async fn on_response(&self, cx: &mut ResponseCx<'_>) -> Result<()> {
        let Counted(Some(mut entry)) = std::mem::take(cx.state()) else { return Ok(()) };
        let admitted = entry.refusal.is_none();
        if let Some(more) = self.cost.after(cx).filter(|_| admitted) {
            let limits = &entry.policy.limits;
            let now = self.table.moment(limits, &self.clock);
            // No room is left only for a key that was idle meanwhile, in a table full of others: then nobody is over.
            if let Some(standings) = self.table.take(limits, entry.key, more, now, self.max_keys) {
                entry.standings = standings;
            }
        }
        if matches!(self.headers, Headers::Draft | Headers::Both) {
            entry.policy.announce(cx, &entry.standings, entry.refusal)?;
        }
        if matches!(self.headers, Headers::Legacy | Headers::Both) {
            entry.policy.announce_legacy(cx, &entry.standings);
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
        Ok(Self {
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
    fn count_of(&self, cx: &RequestCx<'_>) -> Result<(Arc<Policy>, u128, u64), String> {
        let policy = self.policies.of(cx.consumer())?;
        let key = self.table.seeds.digest(&self.by, cx).map_err(|none| format!("`by`: {none}"))?;
        let cost = self.cost.before(policy.cost, cx)?;
        Ok((policy.clone(), key, cost))
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
