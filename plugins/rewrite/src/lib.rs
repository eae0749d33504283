//! `rewrite`: changes path, query and host of a request before it goes upstream.

mod config;
mod path;
mod query;
mod target;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use portreeve_plugin::prelude::*;
use portreeve_plugin::units::Authority;

pub use config::{Config, Pattern, QueryEdits};
use path::PathRewrite;
use query::QueryRewrite;

/// Changes path, query and host of each request.
#[derive(Debug)]
pub struct Rewrite {
    path: PathRewrite,
    query: QueryRewrite,
    host: Option<Template>,
}

#[async_trait]
impl Plugin for Rewrite {
    fn hooks(&self) -> Hooks {
        Hooks::REQUEST
    }

    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        if let Some(host) = &self.host {
            let Some(host) = host.render(cx).and_then(|host| host.parse().ok()) else {
                return Ok(refusal("`host` makes no host of this request"));
            };
            cx.set_target_host(&host);
        }
        if !cx.path().starts_with('/') {
            // `OPTIONS *` asks about the server as a whole (RFC 9112 §3.2.4): there is no path to change.
            return Ok(Flow::Continue);
        }
        let path = match self.path.apply(cx) {
            Ok(path) => path,
            Err(reason) => return Ok(refusal(reason)),
        };
        let query = self.query.apply(cx);
        if matches!(path, Cow::Borrowed(path) if path == cx.path()) && query.as_deref() == cx.uri().query() {
            return Ok(Flow::Continue);
        }
        match target::join(&path, query.as_deref()) {
            Some(target) => {
                cx.set_path_and_query(target);
                Ok(Flow::Continue)
            }
            None => Ok(refusal("the new path or query is not one that can be sent")),
        }
    }
}

impl Build for Rewrite {
    const NAME: &'static str = "rewrite";
    type Config = Config;

    fn build(config: Config, _host: &Host) -> Result<Self, BuildError> {
        let rewrite = Self {
            query: QueryRewrite::compile(config.query.unwrap_or_default())?,
            path: PathRewrite::compile(config.path, config.strip_prefix, config.add_prefix, config.regex)?,
            host: config.host,
        };
        if let Some(host) = rewrite.host.as_ref().and_then(Template::as_literal) {
            host.parse::<Authority>().map_err(|error| BuildError::at("host", error.to_string()))?;
        }
        if rewrite.path.is_nothing() && rewrite.query.is_nothing() && rewrite.host.is_none() {
            let message = "rewrites nothing; give `path`, `strip_prefix`, `add_prefix`, `regex`, `query` or `host`";
            return Err(BuildError::new(message));
        }
        Ok(rewrite)
    }
}

/// A request whose target cannot be made is the client's: nothing is sent to a place that was not meant.
fn refusal(reason: &'static str) -> Flow {
    Reply::problem(StatusCode::BAD_REQUEST, "This request cannot be turned into one for the service behind.")
        .because(reason)
        .into()
}
