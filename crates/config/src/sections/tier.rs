//! `tiers`: named limits, and what a tier takes from the one it builds on.

use std::num::NonZeroU32;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Named, OneOrMany};
use crate::units::{Name, Quota, Rate};

/// How many tiers may build on one another. Who is above sees no more of what the lowest says. (Arbitrary.)
pub(crate) const MAX_LINE: usize = 16;

/// What consumers of this tier may do. `rate`, `burst`, `smooth`, `quota` and `cost` are enforced where a chain has
/// `rate-limit: { limit: tier }`, `concurrency` where it has `concurrency-limit: { limit: tier }`. A tier needs one of
/// `rate`, `quota` and `concurrency`, of its own or from the tier it extends.
///
/// A change takes effect with the reload, and what consumers have used goes on counting.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("examples/tier.yaml")))]
pub struct Tier {
    /// The tier whose keys this one has as well, unless it writes them itself. `burst` and `smooth` belong to `rate`: they
    /// come along only with the other tier's rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-refers-to" = "tier"))]
    pub extends: Option<Name>,
    /// At most so many requests in any such span, all at once if wished: `100/min`. Several hold at once:
    /// `[10/s, 100/min]`.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub rate: OneOrMany<Rate>,
    /// Makes the rate a token bucket that holds this many requests and is refilled at `rate`: so many may come at once
    /// after a pause, and later no more than `rate` on average. Without it the rate is an exact sliding window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub burst: Option<NonZeroU32>,
    /// Who goes first when an upstream with `limits` is full: requests of tiers with a higher priority wait in front of those
    /// with a lower one, and take their place when the queue is full. From 0 to 9; requests without a tier have 0, as have
    /// tiers that say nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9))]
    pub priority: Option<u8>,
    /// Spreads the rate evenly: at `100/min` one request in any 600 milliseconds, never two at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub smooth: bool,
    /// How much may be used over a long time: `1000/day`, `20000/month`, one or several.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub quota: OneOrMany<Quota>,
    /// How many requests may be under way at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub concurrency: Option<NonZeroU32>,
    /// What a request counts against `rate` and `quota` where the step says nothing of its cost; 1 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub cost: Option<NonZeroU32>,
}

fn is_empty<T>(list: &OneOrMany<T>) -> bool {
    list.is_empty()
}

impl Tier {
    /// Every tier with what it takes from those it builds on, in the order of the file.
    pub fn resolve_all(tiers: &Named<Self>) -> IndexMap<Name, Self> {
        tiers.into_iter().map(|(name, tier)| (name.clone(), tier.resolved(tiers))).collect()
    }

    /// This tier with what it takes from those it builds on. The loader refuses circles and towers; so many steps end one all
    /// the same.
    fn resolved(&self, tiers: &Named<Self>) -> Self {
        let (mut whole, mut next) = (self.clone(), self.extends.as_ref());
        for _ in 0..MAX_LINE {
            let Some(base) = next.take().and_then(|name| tiers.get(name)) else { break };
            whole.take_from(base);
            next = base.extends.as_ref();
        }
        whole.extends = None;
        whole
    }

    fn take_from(&mut self, base: &Self) {
        if self.rate.is_empty() {
            self.rate = base.rate.clone();
            self.burst = self.burst.or(base.burst);
            self.smooth |= base.smooth;
        }
        if self.quota.is_empty() {
            self.quota = base.quota.clone();
        }
        self.concurrency = self.concurrency.or(base.concurrency);
        self.cost = self.cost.or(base.cost);
        self.priority = self.priority.or(base.priority);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(yaml: serde_json::Value) -> IndexMap<Name, Tier> {
        Tier::resolve_all(&serde_json::from_value(yaml).unwrap())
    }

    #[test]
    fn a_tier_has_what_it_extends_but_for_what_it_writes() {
        let tiers = resolved(serde_json::json!({
            "free": { "rate": ["10/s", "100/min"], "quota": "1000/day", "concurrency": 2 },
            "paid": { "extends": "free", "rate": "1000/min" },
            "gold": { "extends": "paid", "quota": "1000000/month", "cost": 2 },
        }));
        let gold = &tiers["gold"];
        assert_eq!(gold.rate.iter().map(ToString::to_string).collect::<Vec<_>>(), ["1000/min"]);
        assert_eq!(gold.quota[0].to_string(), "1000000/month");
        assert_eq!((gold.concurrency, gold.cost), (NonZeroU32::new(2), NonZeroU32::new(2)));
        assert_eq!(tiers["paid"].quota[0].to_string(), "1000/day");
    }

    #[test]
    fn the_burst_of_a_tier_comes_only_with_its_rate() {
        let tiers = resolved(serde_json::json!({
            "free": { "rate": "10/s", "burst": 30 },
            "same": { "extends": "free", "concurrency": 1 },
            "paid": { "extends": "free", "rate": "100/s" },
        }));
        assert_eq!((tiers["same"].burst, tiers["paid"].burst), (NonZeroU32::new(30), None));
    }

    #[test]
    fn a_circle_ends() {
        let tiers = resolved(serde_json::json!({ "a": { "extends": "b" }, "b": { "extends": "a", "rate": "1/s" } }));
        assert_eq!(tiers["a"].rate.len(), 1);
    }
}
