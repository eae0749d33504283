//! `rate-limit`: so many requests for each key in any span of time, by tier or by a limit of the step's own.
//!
//! What a key has used is held in a [`table`] that survives reloads; how a limit is kept is in [`meter`]. A request
//! that cannot be counted is refused: nothing here ever means "unlimited".

#[doc(hidden)]
pub mod bench;
mod config;
mod meter;
mod policy;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use portreeve_plugin::prelude::*;

pub use config::{Config, Inline, Limit};
use meter::Outcome;
use policy::{Policies, Policy};
use table::Table;

/// Refuses what goes beyond the limit of its key.
#[derive(Debug)]
pub struct RateLimit {
    by: Template,
    policies: Policies,
    table: Arc<Table>,
    clock: Clock,
    max_keys: usize,
}

/// What the response hook announces.
#[derive(Debug, Default)]
struct Announcement(Option<(Arc<Policy>, Outcome)>);

#[async_trait]
impl Plugin for RateLimit {
    fn hooks(&self) -> Hooks {
        Hooks::REQUEST | Hooks::RESPONSE
    }

    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        let policy = match self.policies.of(cx.consumer()) {
            Ok(policy) => policy.clone(),
            Err(reason) => return Ok(uncountable(reason)),
        };
        let outcome = match cx.render(&self.by) {
            Some(key) => self.table.admit(&policy.limit, &key, &self.clock, self.max_keys),
            None => return Ok(uncountable(format!("`by: {}` has no value", self.by))),
        };
        let flow = match outcome {
            Outcome::Admitted { .. } => Flow::Continue,
            Outcome::Refused { .. } => policy.refusal(outcome).into(),
            Outcome::Full => return Ok(self.full()),
        };
        *cx.state() = Announcement(Some((policy, outcome)));
        Ok(flow)
    }

    async fn on_response(&self, cx: &mut ResponseCx<'_>) -> Result<()> {
        if let Announcement(Some((policy, outcome))) = std::mem::take(cx.state()) {
            // Appended: both fields are lists, and another step may have announced its own limit.
            cx.append_header(policy::RATELIMIT_POLICY, policy.field.clone());
            cx.append_header(policy::RATELIMIT, policy.standing(outcome)?);
        }
        Ok(())
    }
}

impl Build for RateLimit {
    const NAME: &'static str = "rate-limit";
    type Config = Config;

    fn build(config: Config, host: &Host) -> Result<Self, BuildError> {
        let clock = host.clock();
        let max_keys = config.max_keys as usize;
        Ok(Self {
            policies: Policies::compile(&config.limit, host)?,
            // By step alone: a changed limit finds what its keys have used already (see `Limit::identity`).
            table: host.shared(host.step(), || Table::new(&clock)),
            by: config.by,
            clock,
            max_keys,
        })
    }
}

impl RateLimit {
    /// Every key the table may hold is in use: a new one is turned away, since making room would reset a living limit.
    fn full(&self) -> Flow {
        Reply::problem(StatusCode::SERVICE_UNAVAILABLE, "The gateway is serving too many callers at once.")
            .header(header::RETRY_AFTER, HeaderValue::from_static("1"))
            .because(format!("all {} keys of this limiter are in use", self.max_keys))
            .into()
    }
}

fn uncountable(reason: impl Into<std::borrow::Cow<'static, str>>) -> Flow {
    Reply::problem(StatusCode::FORBIDDEN, "This request cannot be counted against a limit.").because(reason).into()
}
