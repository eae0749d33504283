//! Limits as clients are told of them: which one applies to whom, the 429, and the fields of
//! draft-ietf-httpapi-ratelimit-headers-10.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::sync::Arc;

use portreeve_plugin::prelude::*;
use portreeve_plugin::units::Rate;

use crate::config::Limit as Setting;
use crate::meter::{Limit, Outcome};

/// The quota, the same on every answer (draft §3).
pub(crate) const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// What is left of it (draft §4).
pub(crate) const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The longest that an empty token bucket may take to fill: beyond it, times would not fit their type.
const LONGEST_FILL: std::time::Duration = std::time::Duration::from_hours(366 * 24);

/// Which limit applies to whom.
#[derive(Debug)]
pub(crate) enum Policies {
    One(Arc<Policy>),
    ByTier(HashMap<Arc<str>, Arc<Policy>>),
}

/// One limit with its name and all that can be said of it beforehand.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) limit: Limit,
    /// `RateLimit-Policy`, ready to send.
    pub(crate) field: HeaderValue,
    /// The name as a structured-fields string, with its quotes (RFC 9651 §3.3.3).
    name: String,
    detail: Arc<str>,
    reason: Arc<str>,
}

impl Policies {
    pub(crate) fn compile(setting: &Setting, host: &Host) -> Result<Self, BuildError> {
        match setting {
            Setting::Inline(inline) => {
                let policy = Policy::new(host.step(), inline.rate, inline.burst)
                    .map_err(|message| BuildError::at("limit.burst", message))?;
                Ok(Self::One(Arc::new(policy)))
            }
            Setting::Named(_) if host.tiers().is_empty() => Err(BuildError::at(
                "limit",
                "the file has no `tiers`; declare them, or give a limit such as { rate: 100/min }",
            )),
            Setting::Named(_) => {
                let tiers = host.tiers().iter().map(|tier| {
                    let burst = tier.burst.and_then(NonZeroU32::new);
                    let policy = Policy::new(&tier.name, tier.rate, burst)
                        .map_err(|message| BuildError::at("limit", format!("tier \"{}\": {message}", tier.name)))?;
                    Ok((tier.name.clone(), Arc::new(policy)))
                });
                Ok(Self::ByTier(tiers.collect::<Result<_, BuildError>>()?))
            }
        }
    }

    /// The limit of this consumer, or why there is none.
    pub(crate) fn of(&self, consumer: Option<&Consumer>) -> Result<&Arc<Policy>, String> {
        let tiers = match self {
            Self::One(policy) => return Ok(policy),
            Self::ByTier(tiers) => tiers,
        };
        let consumer = consumer.ok_or("nobody is authenticated, so there is no tier")?;
        let tier = consumer.tier.as_ref().ok_or_else(|| format!("consumer \"{}\" has no tier", consumer.id))?;
        tiers.get(tier).ok_or_else(|| format!("the tier of consumer \"{}\" is not one of the file's", consumer.id))
    }
}

impl Policy {
    fn new(name: &str, rate: Rate, burst: Option<NonZeroU32>) -> Result<Self, String> {
        let limit = match burst {
            None => Limit::window(rate),
            Some(burst) => Limit::bucket(rate, burst),
        };
        let (quota, span) = limit.quota();
        if span > LONGEST_FILL {
            return Err(format!("at {rate} a bucket of {quota} takes more than 366 days to fill"));
        }
        // A structured-fields string holds visible ASCII only; names of tiers and steps rarely are anything else.
        let name: String = name.chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\')).collect();
        let name = format!("\"{name}\"");
        let field = HeaderValue::try_from(format!("{name};q={quota};w={}", whole_seconds(span)))
            .map_err(|_| "its name cannot be put into a header".to_owned())?;
        let said = match burst {
            None => rate.to_string(),
            Some(burst) => format!("{rate} with bursts of {burst}"),
        };
        Ok(Self {
            limit,
            field,
            detail: format!("The limit of {said} is used up.").into(),
            reason: format!("limit {name} of {said} is used up").into(),
            name,
        })
    }

    /// The answer to a request over the limit.
    pub(crate) fn refusal(&self, outcome: Outcome) -> Reply {
        Reply::problem(StatusCode::TOO_MANY_REQUESTS, String::from(&*self.detail))
            .header(header::RETRY_AFTER, HeaderValue::from(outcome.seconds()))
            .because(String::from(&*self.reason))
    }

    /// The `RateLimit` field: `r` is what is left, `t` the seconds until there is more.
    pub(crate) fn standing(&self, outcome: Outcome) -> Result<HeaderValue> {
        let mut text = String::with_capacity(self.name.len() + 32);
        write!(text, "{};r={};t={}", self.name, outcome.remaining(), outcome.seconds())?;
        Ok(HeaderValue::try_from(text)?)
    }
}

/// Rounded up: who waits that long has waited long enough.
pub(crate) fn whole_seconds(span: std::time::Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}
