//! `request-size`: refuses requests whose body is too long, by what they announce and by what comes.

#[cfg(test)]
mod tests;

use portreeve_plugin::prelude::*;
use portreeve_plugin::units::Size;

/// Refuses requests with a longer body than this with 413.
///
/// A route has `limits: { body: … }` already; this is for a smaller bound that depends on who asks or what for, through
/// `when`. A body that announces its length is refused before any of it is read, one that does not when it becomes too long:
/// by then the target may have seen the beginning.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("../example.yaml")))]
pub struct Config {
    /// The longest body: `64KiB`.
    max: Size,
}

/// The plugin.
#[derive(Debug)]
pub struct RequestSize {
    max: u64,
    shown: Size,
}

#[async_trait]
impl Plugin for RequestSize {
    fn hooks(&self) -> Hooks {
        Hooks::REQUEST
    }

    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        let announced = cx.header(&header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        if announced.is_some_and(|length| length > self.max) {
            let detail = format!("The body is longer than {}.", self.shown);
            return Ok(Reply::problem(StatusCode::PAYLOAD_TOO_LARGE, detail).into());
        }
        // The engine counts what comes, so that no body hook has to.
        cx.limit_body(self.max);
        Ok(Flow::Continue)
    }
}

impl Build for RequestSize {
    const NAME: &'static str = "request-size";
    type Config = Config;

    fn build(config: Config, _host: &Host) -> Result<Self, BuildError> {
        Ok(Self { max: config.max.bytes(), shown: config.max })
    }
}
