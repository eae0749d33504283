//! `request-deadline`: less time for some requests than their route allows.

use portreeve_plugin::prelude::*;
use portreeve_plugin::units::Duration;

/// Gives a request less time than its route does.
///
/// A route has a `timeout` already; this is for a smaller one that depends on who asks or what for, through `when`. It is
/// counted from the moment the head of the request was complete, over all attempts, and holds for streams as well. When it
/// has passed the answer is 504, or what has begun of it is cut off.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("../example.yaml")))]
pub struct Config {
    /// The time of the whole request: `2s`.
    within: Duration,
}

/// The plugin.
#[derive(Debug)]
pub struct RequestDeadline(std::time::Duration);

#[async_trait]
impl Plugin for RequestDeadline {
    fn hooks(&self) -> Hooks {
        Hooks::REQUEST
    }

    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        cx.limit_time(self.0);
        Ok(Flow::Continue)
    }
}

impl Build for RequestDeadline {
    const NAME: &'static str = "request-deadline";
    type Config = Config;

    fn build(config: Config, _host: &Host) -> Result<Self, BuildError> {
        Ok(Self(config.within.get()))
    }
}

#[cfg(test)]
mod tests {
    use portreeve_plugin::testing::conformance;
    use serde_json::json;

    use super::*;

    #[test]
    fn it_keeps_the_contract() {
        conformance::<RequestDeadline>(json!({ "within": "2s" }));
    }
}
