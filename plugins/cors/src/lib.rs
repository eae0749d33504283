//! `cors`: lets web pages of other origins use an API, as the Fetch standard's CORS protocol has it
//! (<https://fetch.spec.whatwg.org/#http-cors-protocol>).

mod config;
mod origins;
#[cfg(test)]
mod tests;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    ORIGIN, VARY,
};
use portreeve_plugin::prelude::*;

pub use crate::config::Config;
use crate::origins::Origins;

/// What only this plugin may say: an upstream's own word would contradict the file, and two words are an error for browsers.
/// `access-control-allow-private-network` is never said.
const OWNED: [HeaderName; 7] = [
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
    HeaderName::from_static("access-control-allow-private-network"),
];

/// The plugin.
#[derive(Debug)]
pub struct Cors {
    origins: Origins,
    methods: HeaderValue,
    headers: Option<HeaderValue>,
    expose_headers: Option<HeaderValue>,
    credentials: bool,
    max_age: HeaderValue,
}

/// What a request is to CORS. Decided where the request enters: later plugins may change its headers.
#[derive(Debug, Default)]
enum Asked {
    /// It names no origin, or one that is not allowed.
    #[default]
    Nothing,
    /// The page of this origin wants to read the answer.
    Read(HeaderValue),
    /// A browser asks for the page of this origin whether it may send a request.
    Preflight(HeaderValue),
}

#[async_trait]
impl Plugin for Cors {
    fn hooks(&self) -> Hooks {
        Hooks::REQUEST | Hooks::RESPONSE
    }

    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        let headers = cx.headers();
        let is_preflight = cx.method() == Method::OPTIONS
            && headers.contains_key(ORIGIN)
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        let mut fields = headers.get_all(ORIGIN).iter();
        let origin = match (fields.next(), fields.next()) {
            (Some(origin), None) if self.origins.allow(origin.as_bytes()) => Some(origin.clone()),
            _ => None,
        };
        let why = if origin.is_some() { "a preflight" } else { "a preflight from an origin that is not allowed" };
        if let Some(origin) = origin {
            *cx.state() = if is_preflight { Asked::Preflight(origin) } else { Asked::Read(origin) };
        }
        if is_preflight {
            return Ok(Reply::status(StatusCode::NO_CONTENT).because(why).into());
        }
        Ok(Flow::Continue)
    }

    async fn on_response(&self, cx: &mut ResponseCx<'_>) -> Result<()> {
        for name in &OWNED {
            if cx.headers().contains_key(name) {
                cx.remove_header(name);
            }
        }
        // Also on answers without a word on CORS: a cache must not give them to the next origin.
        if !self.origins.are_any() {
            vary_on_origin(cx);
        }
        match std::mem::take(cx.state::<Asked>()) {
            Asked::Nothing => {}
            Asked::Read(origin) => {
                self.allow_origin(cx, origin);
                if let Some(names) = &self.expose_headers {
                    cx.set_header(ACCESS_CONTROL_EXPOSE_HEADERS, names.clone());
                }
            }
            Asked::Preflight(origin) => {
                self.allow_origin(cx, origin);
                cx.set_header(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
                if let Some(names) = &self.headers {
                    cx.set_header(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
                }
                cx.set_header(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
            }
        }
        Ok(())
    }
}

impl Cors {
    fn allow_origin(&self, cx: &mut ResponseCx<'_>, origin: HeaderValue) {
        let allowed = if self.origins.are_any() { HeaderValue::from_static("*") } else { origin };
        cx.set_header(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if self.credentials {
            cx.set_header(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}

/// Adds `Origin` to `Vary` unless it is there (RFC 9110 §12.5.5).
fn vary_on_origin(cx: &mut ResponseCx<'_>) {
    let mut names = cx.headers().get_all(VARY).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let is_there =
        names.any(|name| matches!(name.trim_ascii(), b"*") || name.trim_ascii().eq_ignore_ascii_case(b"origin"));
    if !is_there {
        cx.append_header(VARY, HeaderValue::from_static("Origin"));
    }
}
