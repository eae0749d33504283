//! The settings of `rate-limit`.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use portreeve_plugin::prelude::*;
use portreeve_plugin::units::{Name, Network, OneOrMany, Quota, QuotaWindow, Rate};
use portreeve_plugin::{Allowance, Spread};

use crate::store::{OnStoreError, Store};

/// Limits how much a key may use in any span of time.
///
/// Without `burst` a rate is an exact sliding window: `100/min` admits at most 100 requests in any 60 seconds, all at
/// once if the client wishes, and a refused request may come again at the moment the oldest one is 60 seconds old. With
/// `burst` it is a token bucket. Several limits hold together: a request that one of them refuses counts against none. A
/// request over a limit is answered 429 with `Retry-After`; every answer to a counted request carries the `RateLimit` and
/// `RateLimit-Policy` fields (draft-ietf-httpapi-ratelimit-headers).
///
/// What a key has used survives a reload, also one that changes the limits.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("../example.yaml")))]
pub struct Config {
    /// Whose requests are counted together: a template such as `${consumer.id}` or `${request.headers.x-team}`, the
    /// network of the client (`{ client_network: { v4: 24, v6: 64 } }`), or a list of these, which all have to be the same.
    /// `all` counts all requests together; other plain text is refused. A request for which a part has no value, or an empty one, is refused with
    /// 403; give it a default (`${request.headers.x-team:-none}`) to count such requests together instead.
    pub by: Key,
    /// How much: `tier` for the limits of the consumer's tier, or limits of this step's own, one such as
    /// `{ rate: 10/min }` or a list. With `tier`, a request whose consumer has no tier of the file is refused with 403.
    #[schemars(extend("x-expected" = "`tier`, or a limit such as { rate: 100/min }"))]
    pub limit: Limit,
    /// Other limits than the tier's own for the consumers of some tiers, by the name of the tier: with
    /// `{ paid: { rate: 10/s } }` those of `paid` have 10 a second here and no other limit of the tier, and those of other tiers have
    /// their tier's. Only with `limit: tier`.
    #[serde(default)]
    pub overrides: BTreeMap<Name, OneOrMany<Inline>>,
    /// What a request counts: a whole number, a template that gives one (`${request.headers.x-weight:-1}`), or
    /// `{ response_header: x-cost }` for what the answer says. 1 unless given here or by the tier.
    #[serde(default)]
    #[schemars(extend("x-expected" = "a whole number, a template, or { response_header: x-cost }"))]
    pub cost: Option<Cost>,
    /// Who is not counted at all.
    #[serde(default)]
    pub exempt: Exempt,
    /// Steps with the same name here count together, wherever they stand: one limit over several routes, each with a cost
    /// of its own if wished. Left out, the step counts by itself.
    #[serde(default)]
    pub share: Option<Name>,
    /// Where counts are kept when several nodes share the limit: `{ redis: { url: "redis://…" } }`. Left out, each node
    /// counts by itself.
    #[serde(default)]
    pub store: Option<Store>,
    /// What becomes of a request while the store cannot be asked: `local` (the default) holds it to the whole limit on this
    /// node, `open` lets it pass uncounted, `closed` refuses it with 503. When the store is back it decides again.
    #[serde(default)]
    pub on_store_error: Option<OnStoreError>,
    /// How much of a limit a node draws from the store beforehand, so that requests do not wait for it: `5%`. All nodes
    /// together may then admit one such slice for each node beyond the limit.
    #[serde(default)]
    pub lease: Option<units::Percent>,
    /// Which fields tell the client where it stands.
    #[serde(default)]
    pub headers: Headers,
    /// How many keys are remembered at most. A key takes up to 450 bytes with one limit or two; for each limit every further
    /// request that counts takes 16 more, of which there are at most 1025 for one key and limit (and as many again with a
    /// cost from a response header). Keys are forgotten when they are idle, never earlier: while all are in use, requests with
    /// a new key are answered 503.
    #[serde(default = "default_max_keys")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub max_keys: u32,
}

/// How much.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Limit {
    /// The limits of the consumer's tier.
    Named(Named),
    /// Limits of this step's own, which hold together.
    Many(Vec<Inline>),
    /// A limit of this step's own.
    Inline(Inline),
}

/// A limit that stands elsewhere in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Named {
    /// The limits of the consumer's tier.
    Tier,
}

/// A limit of the step's own: a rate, a quota, or both.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inline {
    /// At most so many in any such span, one or several: `10/s`, `[10/s, 100/min]`. Exact up to 1024; beyond that never too
    /// many, but a freed place may come back late by up to 1/1024 of the span.
    #[serde(default)]
    pub rate: OneOrMany<Rate>,
    /// Makes it a token bucket that holds this many and is refilled at `rate`: so many may come at once after a pause, and
    /// later no more than `rate` on average. In the worst case `burst` and one span of `rate` come within one span.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub burst: Option<NonZeroU32>,
    /// Spreads the rate evenly: at `100/min` one request in any 600 milliseconds, never two at once (spike arrest). A
    /// request that costs more is let through alone, and the next waits that much longer.
    #[serde(default)]
    pub smooth: bool,
    /// How much may be used over a long time: `1000/day`, `20000/month`, one or several.
    #[serde(default)]
    pub quota: OneOrMany<Quota>,
}

/// What a request counts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Cost {
    /// Always the same.
    Fixed(NonZeroU32),
    /// What the answer says.
    Answer(FromAnswer),
    /// What a template gives: a whole number from 0 to 4294967295. A request for which it gives anything else is refused
    /// with 403.
    Template(Template),
}

/// What the answer says a request has cost.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FromAnswer {
    /// The header of the answer that holds a whole number. The request is let through if there is room for a cost of 1,
    /// and what the header says beyond that is charged when the answer comes: a key may so go below zero, and then waits
    /// until it is above again. Without the header, or with anything else in it, the cost is 1.
    pub response_header: units::HeaderName,
}

/// Who is not counted.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exempt {
    /// Clients from these networks: `10.0.0.0/8`.
    #[serde(default)]
    pub networks: Vec<Network>,
    /// Consumers with these ids.
    #[serde(default)]
    pub consumers: Vec<String>,
    /// Consumers in any of these groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Consumers of these tiers.
    #[serde(default)]
    pub tiers: Vec<TierName>,
}

/// The name of a tier of the file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline, extend("x-refers-to" = "tier"))]
pub struct TierName(pub String);

/// Which fields tell the client where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Headers {
    /// `RateLimit` and `RateLimit-Policy`, as the draft of the IETF has them.
    #[default]
    Draft,
    /// `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset` (seconds) of the limit with the least left.
    Legacy,
    /// Both.
    Both,
    /// None; a 429 has its `Retry-After` all the same.
    None,
}

impl Inline {
    /// What it allows.
    ///
    /// # Errors
    /// Which key makes no sense, and why.
    pub(crate) fn allowance(&self) -> Result<Allowance, (&'static str, String)> {
        let spread = match (self.burst, self.smooth) {
            (None, false) => Spread::Window,
            (Some(_), true) => return Err(("burst", "burst and smooth exclude each other; keep one".to_owned())),
            (Some(burst), false) => Spread::Burst(burst),
            (None, true) => Spread::Smooth,
        };
        let shape = if self.smooth { "smooth" } else { "burst" };
        match (spread, self.rate.len()) {
            (Spread::Window, 0) if self.quota.is_empty() => {
                return Err(("", "it limits nothing; give it a rate or a quota".to_owned()));
            }
            (Spread::Window, _) | (_, 1) => {}
            (_, 0) => return Err((shape, format!("{shape} belongs to a rate, and there is none"))),
            _ => return Err((shape, format!("{shape} belongs to one rate; write each rate as a limit of its own"))),
        }
        if self.quota.iter().any(|quota| quota.window == QuotaWindow::Rolling && quota.time_zone.is_some()) {
            return Err(("quota", "a rolling window has no time zone; remove time_zone".to_owned()));
        }
        Ok(Allowance { rates: self.rate.to_vec(), spread, quotas: self.quota.to_vec() })
    }
}

fn default_max_keys() -> u32 {
    1_000_000
}
