//! `maintenance`: refuses some methods for a while and says when to come back; the staff passes.
//!
//! A stranger's plugin: this crate knows `portreeve-plugin` and nothing else of the gateway.
//! docs/writing-plugins.md builds it step by step.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use portreeve_plugin::prelude::*;

/// Refuses requests with 503 while maintenance goes on, and lets the staff pass.
///
/// `Retry-After` counts down what is left of `lasts`. An answer to a request that passed as an exception carries
/// `x-maintenance: exempt`, so that nobody wonders why it works for them alone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How long it will probably take, counted from the moment this step first took effect. A reload does not start it
    /// again; when it is over the step goes on refusing until it is taken out of the file.
    pub lasts: units::Duration,
    /// Methods that are refused. Those that write by default, so that reading goes on.
    #[serde(default = "writes")]
    #[schemars(length(min = 1))]
    pub methods: Vec<units::Method>,
    /// Consumers of these groups pass. Nobody does by default.
    #[serde(default)]
    pub exempt_groups: Vec<String>,
    /// What the client is told. A request for which it has no value is told the default.
    #[serde(default = "sorry")]
    pub message: Template,
}

/// Refuses requests while maintenance goes on.
#[derive(Debug)]
pub struct Maintenance {
    methods: Vec<Method>,
    exempt_groups: Vec<String>,
    message: Template,
    lasts: Duration,
    began: Arc<Instant>,
    clock: Clock,
    exempted: Counter,
}

/// The fact that a request is served in spite of maintenance, for the plugins after this one.
#[derive(Debug, Clone, Copy)]
pub struct Exempt;

/// What one request is remembered for between the two hooks.
#[derive(Debug, Default)]
struct Memory {
    exempt: bool,
}

/// Nobody is asked to come back sooner than this: who guessed the length of a maintenance too short gets no stampede.
const SHORTEST_WAIT: Duration = Duration::from_secs(30);
const SORRY: &str = "This service is under maintenance.";

const X_MAINTENANCE: HeaderName = HeaderName::from_static("x-maintenance");
const EXEMPT: HeaderValue = HeaderValue::from_static("exempt");

#[async_trait]
impl Plugin for Maintenance {
    fn hooks(&self) -> Hooks {
        Hooks::REQUEST | Hooks::RESPONSE
    }

    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        if !self.methods.contains(cx.method()) {
            return Ok(Flow::Continue);
        }
        if cx.consumer().is_some_and(|consumer| self.exempts(consumer)) {
            cx.state::<Memory>().exempt = true;
            cx.put(Exempt);
            cx.note("passes in spite of maintenance");
            self.exempted.inc();
            return Ok(Flow::Continue);
        }
        let message = cx.render(&self.message).map_or(SORRY.to_owned(), std::borrow::Cow::into_owned);
        let reply = Reply::problem(StatusCode::SERVICE_UNAVAILABLE, message)
            .header(header::RETRY_AFTER, HeaderValue::from(self.seconds_left()))
            .because("under maintenance");
        Ok(reply.into())
    }

    async fn on_response(&self, cx: &mut ResponseCx<'_>) -> Result<()> {
        if cx.state::<Memory>().exempt {
            cx.set_header(X_MAINTENANCE, EXEMPT);
        }
        Ok(())
    }
}

impl Build for Maintenance {
    const NAME: &'static str = "maintenance";
    type Config = Config;

    fn build(config: Config, host: &Host) -> Result<Self, BuildError> {
        let clock = host.clock();
        let methods = config.methods.iter().enumerate().map(|(index, method)| {
            let unknown = |_| BuildError::at(format!("methods[{index}]"), "not a method");
            method.as_str().parse().map_err(unknown)
        });
        if let Some(index) = config.exempt_groups.iter().position(String::is_empty) {
            return Err(BuildError::at(format!("exempt_groups[{index}]"), "a group has a name"));
        }
        Ok(Self {
            methods: methods.collect::<Result<_, _>>()?,
            exempt_groups: config.exempt_groups,
            message: config.message,
            lasts: config.lasts.get(),
            began: host.shared(host.step(), || clock.now()),
            clock,
            exempted: host.counter("exempted_total", "Requests served in spite of maintenance.")?,
        })
    }
}

impl Maintenance {
    fn exempts(&self, consumer: &Consumer) -> bool {
        consumer.groups.iter().any(|group| self.exempt_groups.contains(group))
    }

    /// Whole seconds, rounded up.
    fn seconds_left(&self) -> u64 {
        let gone = self.clock.now().saturating_duration_since(*self.began);
        let left = self.lasts.saturating_sub(gone).max(SHORTEST_WAIT);
        left.as_secs() + u64::from(left.subsec_nanos() > 0)
    }
}

fn writes() -> Vec<units::Method> {
    ["POST", "PUT", "PATCH", "DELETE"].into_iter().filter_map(|method| method.parse().ok()).collect()
}

fn sorry() -> Template {
    Template::parse(SORRY).unwrap_or_default()
}
