//! `key-auth`: lets only requests with a known API key pass, and says whose key it is.

mod query;
#[cfg(test)]
mod tests;
mod vault;

use http::uri::PathAndQuery;
use portreeve_plugin::prelude::*;

use crate::vault::Vault;

/// Lets only requests with an API key of one of the file's `consumers` pass, and says who calls.
///
/// A request without a known key is answered with 401.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("../example.yaml")))]
pub struct Config {
    /// The header that holds the key. `x-api-key` if neither this nor `query` is given.
    #[serde(default)]
    header: Option<units::HeaderName>,
    /// The query parameter that holds the key, looked at if the header is absent. Keys in URLs end up in logs and browser
    /// histories; prefer the header.
    #[serde(default)]
    #[schemars(length(min = 1))]
    query: Option<String>,
    /// Whether the upstream gets to see the key. By default it is removed.
    #[serde(default)]
    forward_key: bool,
}

/// The plugin.
#[derive(Debug)]
pub struct KeyAuth {
    header: Option<HeaderName>,
    query: Option<String>,
    forward_key: bool,
    vault: Vault,
    challenge: HeaderValue,
}

#[async_trait]
impl Plugin for KeyAuth {
    fn hooks(&self) -> Hooks {
        Hooks::REQUEST
    }

    fn request_fields(&self) -> RequestFields {
        let removed = self.header.clone().filter(|_| !self.forward_key);
        RequestFields::none().reads(self.header.clone()).removes(removed)
    }

    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        let consumer = match self.find(cx) {
            Ok(key) => self.vault.owner(&key).cloned().ok_or("the key is nobody's"),
            Err(why) => Err(why),
        };
        match consumer {
            Ok(consumer) => {
                cx.set_consumer(consumer);
                if !self.forward_key {
                    self.remove(cx);
                }
                Ok(Flow::Continue)
            }
            Err(why) => {
                let reply = Reply::problem(StatusCode::UNAUTHORIZED, "a valid API key is required");
                Ok(reply.header(header::WWW_AUTHENTICATE, self.challenge.clone()).because(why).into())
            }
        }
    }
}

impl KeyAuth {
    /// The key of this request. Two are refused rather than one of them believed: the upstream might believe the other.
    fn find(&self, cx: &RequestCx<'_>) -> Result<Vec<u8>, &'static str> {
        if let Some(name) = &self.header {
            let mut fields = cx.headers().get_all(name).iter();
            match (fields.next(), fields.next()) {
                (Some(key), None) => return Ok(key.as_bytes().to_vec()),
                (Some(_), Some(_)) => return Err("the header of the key comes more than once"),
                (None, _) => {}
            }
        }
        let Some(name) = &self.query else { return Err("there is no key") };
        let mut values = query::values(cx.uri().query().unwrap_or_default(), name);
        match (values.next(), values.next()) {
            (Some(key), None) => Ok(key.into_owned().into_bytes()),
            (Some(_), Some(_)) => Err("the query parameter of the key comes more than once"),
            (None, _) => Err("there is no key"),
        }
    }

    /// Takes the key out of the request, wherever it stands.
    fn remove(&self, cx: &mut RequestCx<'_>) {
        if let Some(name) = &self.header {
            cx.remove_header(name);
        }
        let stripped = self.query.as_ref().and_then(|name| query::without(cx.uri(), name));
        if let Some(target) = stripped.and_then(|target| PathAndQuery::try_from(target).ok()) {
            cx.set_path_and_query(target);
        }
    }
}

impl Build for KeyAuth {
    const NAME: &'static str = "key-auth";
    const AUTHENTICATES: bool = true;
    type Config = Config;

    fn build(config: Config, host: &Host) -> Result<Self, BuildError> {
        let header = match (&config.header, &config.query) {
            (None, None) => Some(HeaderName::from_static("x-api-key")),
            (None, Some(_)) => None,
            (Some(name), _) => Some(name.as_str().parse().map_err(|_| BuildError::at("header", "not a header name"))?),
        };
        Ok(Self {
            header,
            query: config.query,
            forward_key: config.forward_key,
            vault: Vault::new(host.consumers())?,
            challenge: HeaderValue::from_static("ApiKey realm=\"api\""),
        })
    }
}
