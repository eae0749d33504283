//! Limits as clients are told of them: which apply to whom, the 429, and the fields of
//! draft-ietf-httpapi-ratelimit-headers-11.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use portreeve_plugin::Allowance;
use portreeve_plugin::prelude::*;
use smallvec::SmallVec;

use crate::account::Refusal;
use crate::config::{Config, Inline, Limit as Setting};
use crate::exempt::Exempt;
use crate::meter::{Limit, Standing, Wait, compile, compile_all};

/// The quotas, the same on every answer (draft §3).
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// What is left of them (draft §4).
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const X_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// The largest integer of structured fields (RFC 9651 §3.3.1).
const MOST: u64 = 999_999_999_999_999;

/// Which limits apply to whom.
#[derive(Debug)]
pub(crate) enum Policies {
    One(Arc<Policy>),
    ByTier(HashMap<Arc<str>, Arc<Policy>>),
}

/// Limits that hold together, with all that can be said of them beforehand.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) limits: Box<[Limit]>,
    /// What a request counts where the step does not say.
    pub(crate) cost: NonZeroU32,
    /// `RateLimit-Policy`, ready to send.
    field: HeaderValue,
    said: Box<[Said]>,
}

/// What is said of one limit.
#[derive(Debug)]
struct Said {
    /// Its name as a structured-fields string, with its quotes (RFC 9651 §3.3.3).
    name: String,
    quota: u64,
    /// `100/min`, `10/s with bursts of 30`.
    what: String,
}

impl Policies {
    pub(crate) fn compile(config: &Config, exempt: &Exempt, host: &Host) -> Result<Self, BuildError> {
        let own = match &config.limit {
            Setting::Inline(inline) => Some(allowances(std::slice::from_ref(inline), "limit", false)?),
            Setting::Many(many) => Some(allowances(many, "limit", true)?),
            Setting::Named(_) => None,
        };
        if let Some(own) = own {
            if let Some(tier) = config.overrides.keys().next() {
                let at = format!("overrides.{tier}");
                return Err(BuildError::at(at, "only `limit: tier` has something to override; remove it"));
            }
            let policy = Policy::new(host.step(), &own, NonZeroU32::MIN);
            return policy
                .map(|policy| Self::One(Arc::new(policy)))
                .map_err(|message| BuildError::at("limit", message));
        }
        if host.tiers().is_empty() {
            let message = "the file has no `tiers`; declare them, or give a limit such as { rate: 100/min }";
            return Err(BuildError::at("limit", message));
        }
        if let Some(tier) =
            config.overrides.keys().find(|name| !host.tiers().iter().any(|tier| *tier.name == *name.as_str()))
        {
            let known: Vec<&str> = host.tiers().iter().map(|tier| &*tier.name).collect();
            let message = format!("no tier \"{tier}\"; the file has {}", known.join(", "));
            return Err(BuildError::at(format!("overrides.{tier}"), message));
        }
        let mut tiers = HashMap::new();
        for tier in host.tiers().iter().filter(|tier| !exempt.has_tier(&tier.name)) {
            let other = config.overrides.iter().find(|(name, _)| name.as_str() == &*tier.name);
            let (allowed, at) = match other {
                Some((name, inline)) => {
                    let at = format!("overrides.{name}");
                    (allowances(inline, &at, inline.len() > 1)?, at)
                }
                None if tier.allowance.is_empty() => {
                    let message = format!(
                        "tier \"{}\" has neither a rate nor a quota; give it one, give it `overrides` here, or exempt it",
                        tier.name
                    );
                    return Err(BuildError::at("limit", message));
                }
                None => (vec![tier.allowance.clone()], "limit".to_owned()),
            };
            let policy = Policy::new(&tier.name, &allowed, tier.cost)
                .map_err(|message| BuildError::at(at, format!("tier \"{}\": {message}", tier.name)))?;
            tiers.insert(tier.name.clone(), Arc::new(policy));
        }
        Ok(Self::ByTier(tiers))
    }

    /// The limits of this consumer, or why there are none.
    pub(crate) fn of(&self, consumer: Option<&Consumer>) -> Result<&Arc<Policy>, String> {
        let tiers = match self {
            Self::One(policy) => return Ok(policy),
            Self::ByTier(tiers) => tiers,
        };
        let consumer = consumer.ok_or("nobody is authenticated, so there is no tier")?;
        let tier = consumer.tier.as_ref().ok_or_else(|| format!("consumer \"{}\" has no tier", consumer.id))?;
        tiers.get(tier).ok_or_else(|| format!("the tier of consumer \"{}\" is not one of the file's", consumer.id))
    }

    /// Every set of limits there is.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Policy>> {
        let (one, tiers) = match self {
            Self::One(policy) => (Some(policy), None),
            Self::ByTier(tiers) => (None, Some(tiers.values())),
        };
        one.into_iter().chain(tiers.into_iter().flatten())
    }
}

fn allowances(inline: &[Inline], at: &str, is_list: bool) -> Result<Vec<Allowance>, BuildError> {
    if inline.is_empty() {
        return Err(BuildError::at(at, "an empty list limits nothing; give it a limit such as { rate: 100/min }"));
    }
    let one = |(index, inline): (usize, &Inline)| {
        // What cannot be compiled is a bucket that never fills.
        let sound = |allowance| compile(&allowance).map(|_| allowance).map_err(|message| ("burst", message));
        inline.allowance().and_then(sound).map_err(|(key, message)| {
            let item = if is_list { format!("{at}[{index}]") } else { at.to_owned() };
            BuildError::at(if key.is_empty() { item } else { format!("{item}.{key}") }, message)
        })
    };
    inline.iter().enumerate().map(one).collect()
}

impl Policy {
    pub(crate) fn new(name: &str, allowed: &[Allowance], cost: NonZeroU32) -> Result<Self, String> {
        let limits = compile_all(allowed)?;
        let is_one = limits.len() == 1;
        let said: Box<[Said]> = limits.iter().map(|limit| Said::of(limit, name, is_one)).collect();
        let fields: Vec<String> = limits.iter().zip(&said).map(|(limit, said)| said.policy(limit)).collect();
        let field = HeaderValue::try_from(fields.join(", ")).map_err(|_| "its name cannot be put into a header")?;
        let dear = |said: &&Said| said.quota < u64::from(cost.get());
        if let Some(said) = said.iter().find(dear) {
            return Err(format!("a request that costs {cost} never fits into {}", said.what));
        }
        Ok(Self { limits, cost, field, said })
    }

    /// Whether a request of this cost can ever pass, else the limit that is in its way.
    pub(crate) fn fits(&self, cost: u64) -> Result<(), &str> {
        let smooth = |limit: &Limit| matches!(limit, Limit::Bucket(bucket) if bucket.is_smooth);
        let mut pairs = self.limits.iter().zip(&self.said);
        pairs.find(|(limit, said)| !smooth(limit) && said.quota < cost).map_or(Ok(()), |(_, said)| Err(&said.what))
    }

    /// Each limit in words, with how much it has.
    pub(crate) fn told(&self) -> impl Iterator<Item = (&str, u64)> {
        self.said.iter().map(|said| (&*said.what, said.quota))
    }

    /// The answer to a request over a limit.
    pub(crate) fn refusal(&self, refusal: Refusal) -> Reply {
        let Some(said) = self.said.get(refusal.limit) else { return Reply::status(StatusCode::TOO_MANY_REQUESTS) };
        let Said { name, what, .. } = said;
        match refusal.wait {
            Wait::For(wait) => {
                Reply::problem(StatusCode::TOO_MANY_REQUESTS, format!("The limit of {what} is used up."))
                    .header(header::RETRY_AFTER, HeaderValue::from(seconds(wait)))
                    .because(format!("limit {name} of {what} is used up"))
            }
            // Nothing to wait for, so no Retry-After.
            Wait::Forever => {
                let detail = format!("This request counts more than the limit of {what} ever admits.");
                Reply::problem(StatusCode::TOO_MANY_REQUESTS, detail)
                    .because(format!("the request counts more than limit {name} of {what} ever admits"))
            }
        }
    }

    /// Adds the fields of the draft. Both are lists, so that another step may have announced limits of its own.
    pub(crate) fn announce(
        &self,
        cx: &mut ResponseCx<'_>,
        standings: &[Standing],
        waits: Option<Refusal>,
    ) -> Result<()> {
        let mut text = SmallVec::<[u8; 128]>::new();
        for (place, (said, standing)) in self.said.iter().zip(standings).enumerate() {
            // Where the client is told to wait, both fields speak of the same moment (draft §5).
            let wait = waits.filter(|refusal| refusal.limit == place).map(|refusal| refusal.wait);
            let more_in = if let Some(Wait::For(wait)) = wait { wait } else { standing.more_in };
            if place > 0 {
                text.extend_from_slice(b", ");
            }
            text.extend_from_slice(said.name.as_bytes());
            text.extend_from_slice(b";r=");
            push_number(&mut text, standing.remaining.min(MOST));
            text.extend_from_slice(b";t=");
            push_number(&mut text, seconds(more_in));
        }
        cx.append_header(RATELIMIT_POLICY, self.field.clone());
        cx.append_header(RATELIMIT, HeaderValue::from_bytes(&text)?);
        Ok(())
    }

    /// Sets the three fields that older clients know, of the limit with the least left.
    pub(crate) fn announce_legacy(&self, cx: &mut ResponseCx<'_>, standings: &[Standing]) {
        let least = self.said.iter().zip(standings).min_by_key(|(_, standing)| standing.remaining);
        if let Some((said, standing)) = least {
            cx.set_header(X_LIMIT, HeaderValue::from(said.quota));
            cx.set_header(X_REMAINING, HeaderValue::from(standing.remaining));
            cx.set_header(X_RESET, HeaderValue::from(seconds(standing.more_in)));
        }
    }
}

impl Said {
    fn of(limit: &Limit, owner: &str, is_alone: bool) -> Self {
        let (quota, what, short) = match limit {
            Limit::Window(window) => {
                let what = format!("{}/{}", window.count, span_name(window.span));
                (window.count, what.clone(), what)
            }
            Limit::Bucket(bucket) if bucket.is_smooth => {
                let rate = bucket.rate;
                (u64::from(rate.count.get()), format!("{rate}, evenly"), format!("{rate} even"))
            }
            Limit::Bucket(bucket) => {
                let rate = bucket.rate;
                (
                    bucket.burst,
                    format!("{rate} with bursts of {}", bucket.burst),
                    format!("{rate} burst {}", bucket.burst),
                )
            }
            Limit::Calendar(calendar) => {
                let what = format!("{}/{}", calendar.count, calendar.period.as_str());
                (calendar.count, what.clone(), format!("{what} quota"))
            }
        };
        // A structured-fields string holds visible ASCII only; names of tiers and steps rarely are anything else.
        let owner: String = owner.chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\')).collect();
        let name = if is_alone { format!("\"{owner}\"") } else { format!("\"{owner} {short}\"") };
        Self { name, quota, what }
    }

    /// `"free";q=100;w=60`. A month has no fixed length, and so no window.
    fn policy(&self, limit: &Limit) -> String {
        use portreeve_plugin::units::Period;
        let window = match limit {
            Limit::Window(window) => Some(Duration::from_nanos(window.span)),
            Limit::Bucket(bucket) if bucket.is_smooth => Some(bucket.rate.per),
            Limit::Bucket(bucket) => Some(bucket.fill_time()),
            Limit::Calendar(calendar) if calendar.period == Period::Month => None,
            Limit::Calendar(calendar) => Some(calendar.period.length()),
        };
        let window = window.map(|window| format!(";w={}", whole_seconds(window)));
        format!("{};q={}{}", self.name, self.quota.min(MOST), window.unwrap_or_default())
    }
}

/// `min`, `day`, `30 days`.
fn span_name(span: u64) -> String {
    let seconds = span / 1_000_000_000;
    match seconds {
        1 => "s".to_owned(),
        60 => "min".to_owned(),
        3600 => "h".to_owned(),
        86_400 => "day".to_owned(),
        604_800 => "week".to_owned(),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Adds a number in decimal digits. Formatting proper is most of what a field would cost.
fn push_number(text: &mut SmallVec<[u8; 128]>, mut number: u64) {
    let first = text.len();
    loop {
        text.push(b'0' + u8::try_from(number % 10).unwrap_or_default());
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if let Some(digits) = text.get_mut(first..) {
        digits.reverse();
    }
}

/// Whole seconds until something is there, at least one. Rounded up: who waits that long has waited long enough.
fn seconds(nanos: u64) -> u64 {
    whole_seconds(Duration::from_nanos(nanos)).max(1)
}

fn whole_seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_they_are_read() {
        for number in [0, 7, 10, 1_795_338_584, MOST, u64::MAX] {
            let mut text = SmallVec::from_slice(b"r=");
            push_number(&mut text, number);
            assert_eq!(text.as_slice(), format!("r={number}").as_bytes());
        }
    }

    #[test]
    fn a_name_in_a_field_is_visible_ascii_without_quotes() {
        let limits = compile_all([&Allowance { rates: vec!["5/s".parse().unwrap()], ..Allowance::default() }]).unwrap();
        assert_eq!(Said::of(&limits[0], "a\"b\\c\u{e9}\n d", true).name, "\"abc d\"");
    }
}
