//! From settings to an [`Aggregate`]: names resolved, paths tried, what is not built yet refused.

use portreeve_plugin::prelude::*;
use portreeve_plugin::template::{Datum, Escape, Reference, Scope, WithCalls};
use serde_json::Value;

use crate::Aggregate;
use crate::calls::PreparedCall;
use crate::config::{CallConfig, Config};

impl Build for Aggregate {
    const NAME: &'static str = "aggregate";
    /// Every request is answered here.
    const ENDS_CHAIN: bool = true;
    type Config = Config;

    fn build(config: Config, host: &Host) -> Result<Self, BuildError> {
        if config.calls.is_empty() {
            return Err(BuildError::at("calls", "makes no calls"));
        }
        let known: Vec<&str> = config.calls.keys().map(String::as_str).collect();
        for reference in config.body.references() {
            if let Reference::Call { name, .. } = reference
                && !config.calls.contains_key(&**name)
            {
                let message = format!("`${{{reference}}}`: no call \"{name}\"; there are: {}", known.join(", "));
                return Err(BuildError::at("body", message));
            }
        }
        let mut forward_headers = Vec::with_capacity(config.forward_headers.len());
        for (index, name) in config.forward_headers.iter().enumerate() {
            forward_headers.push(header_name(name.as_str(), &format!("forward_headers[{index}]"))?);
        }
        let calls =
            config.calls.into_iter().map(|(name, call)| prepared(name, call, host)).collect::<Result<_, _>>()?;
        Ok(Self { timeout: config.timeout.get(), calls, forward_headers, body: config.body, clock: host.clock() })
    }
}

fn prepared(name: String, call: CallConfig, host: &Host) -> Result<PreparedCall, BuildError> {
    let at = |key: &str| format!("calls.{name}{key}");
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')) {
        return Err(BuildError::at(
            at(""),
            format!("{name:?} is not a name for a call; use letters, digits, `_` and `-`"),
        ));
    }
    if call.fallback.is_some() && !call.optional {
        return Err(BuildError::at(at(".fallback"), "only an optional call has a fallback; add `optional: true`"));
    }
    check_path(&call.path).map_err(|message| BuildError::at(at(".path"), message))?;
    let mut headers = Vec::with_capacity(call.headers.len());
    for (written, value) in call.headers {
        let at = at(&format!(".headers.{written}"));
        no_calls(&value).map_err(|message| BuildError::at(at.as_str(), message))?;
        headers.push((header_name(&written, &at)?, value));
    }
    Ok(PreparedCall {
        upstream: host.upstream(&call.upstream, &at(".upstream"))?,
        path: call.path,
        headers,
        timeout: call.timeout.map(units::Duration::get),
        optional: call.optional,
        fallback: call.fallback.unwrap_or(Value::Null),
        max_body: usize::try_from(call.max_body.bytes()).unwrap_or(usize::MAX),
        name: name.into(),
    })
}

/// Tries the path with a plain value in every place, so that a target that could never be sent is found now.
fn check_path(path: &Template<WithCalls>) -> Result<(), String> {
    struct Plain;

    impl Scope for Plain {
        fn resolve<'s>(&'s self, _: &Reference) -> Option<Datum<'s>> {
            Some(Datum::text("x"))
        }
    }

    no_calls(path)?;
    if !path.source().starts_with('/') || path.source().starts_with("//") {
        return Err("a path begins with one `/`".to_owned());
    }
    if path.source().contains('#') {
        return Err("a fragment (`#…`) is never sent; write `%23` for the character".to_owned());
    }
    let sample = path.render_with(&Plain, Escape::Url);
    let target = sample.and_then(|sample| sample.parse::<http::uri::PathAndQuery>().ok());
    let target = target.ok_or("not a path with an optional query")?;
    let is_dots = |segment: &str| matches!(&*segment.to_ascii_lowercase().replace("%2e", "."), "." | "..");
    if target.path().split('/').any(is_dots) {
        return Err("a path without `.` and `..` says where it goes".to_owned());
    }
    Ok(())
}

fn no_calls(template: &Template<WithCalls>) -> Result<(), String> {
    let call = template.references().find(|reference| matches!(reference, Reference::Call { .. }));
    call.map_or(Ok(()), |call| {
        Err(format!(
            "`${{{call}}}`: calls that wait for the answer of another are not built yet; only `body` may name answers"
        ))
    })
}

fn header_name(written: &str, at: &str) -> Result<HeaderName, BuildError> {
    let name: HeaderName =
        written.parse().map_err(|_| BuildError::at(at, format!("{written:?} is not a header name")))?;
    let reason = match name.as_str() {
        "connection" | "keep-alive" | "proxy-connection" | "te" | "upgrade" | "http2-settings" | "trailer"
        | "content-length" | "transfer-encoding" | "host" | "expect" => {
            "belongs to the connection and is the gateway's to set"
        }
        "accept-encoding"
        | "range"
        | "if-range"
        | "if-match"
        | "if-none-match"
        | "if-modified-since"
        | "if-unmodified-since" => "could make the answer something else than a whole JSON document",
        _ => return Ok(name),
    };
    Err(BuildError::at(at, format!("`{name}` {reason}")))
}
