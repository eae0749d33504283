//! `request-id`: gives every request an id that the upstream, the client and the logs all see.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use portreeve_plugin::prelude::*;

/// The longest id taken over from a client, in bytes.
const MAX_ID: usize = 128;

/// Gives every request an id: in a header to the upstream, in the same header of every answer, and in the logs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("../example.yaml")))]
pub struct Config {
    /// The header that holds the id. `x-request-id` by default.
    #[serde(default)]
    header: Option<units::HeaderName>,
    /// Whether an id that the client sent is kept, if it is 1 to 128 visible characters. Only where every client is
    /// trusted, such as behind another proxy: a stranger could give many requests one id.
    #[serde(default)]
    trust_incoming: bool,
}

/// The plugin.
#[derive(Debug)]
pub struct RequestId {
    header: HeaderName,
    trust_incoming: bool,
}

#[async_trait]
impl Plugin for RequestId {
    fn hooks(&self) -> Hooks {
        Hooks::REQUEST | Hooks::RESPONSE
    }

    fn request_fields(&self) -> RequestFields {
        let read = self.trust_incoming.then(|| self.header.clone());
        RequestFields::none().reads(read).sets([self.header.clone()])
    }

    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        let kept = if self.trust_incoming { self.incoming(cx) } else { None };
        if let Some(id) = kept {
            cx.set_request_id(id);
            return Ok(Flow::Continue);
        }
        let id = HeaderValue::from_str(cx.request_id())?;
        cx.set_header(self.header.clone(), id);
        Ok(Flow::Continue)
    }

    async fn on_response(&self, cx: &mut ResponseCx<'_>) -> Result<()> {
        let id = HeaderValue::from_str(cx.request_id())?;
        cx.set_header(self.header.clone(), id);
        Ok(())
    }
}

impl RequestId {
    /// The id the client sent, if there is exactly one and it is well-formed.
    fn incoming(&self, cx: &RequestCx<'_>) -> Option<Arc<str>> {
        let mut fields = cx.headers().get_all(&self.header).iter();
        let (Some(field), None) = (fields.next(), fields.next()) else { return None };
        let is_id = (1..=MAX_ID).contains(&field.len()) && field.as_bytes().iter().all(u8::is_ascii_graphic);
        if is_id { field.to_str().ok().map(Arc::from) } else { None }
    }
}

impl Build for RequestId {
    const NAME: &'static str = "request-id";
    type Config = Config;

    fn build(config: Config, _host: &Host) -> Result<Self, BuildError> {
        let header = match config.header {
            None => HeaderName::from_static("x-request-id"),
            Some(name) => name.as_str().parse().map_err(|_| BuildError::at("header", "not a header name"))?,
        };
        Ok(Self { header, trust_incoming: config.trust_incoming })
    }
}
