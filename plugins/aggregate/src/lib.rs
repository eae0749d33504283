//! `aggregate`: one answer put together from the answers of several calls, made at the same time under one deadline.

mod answers;
mod build;
mod calls;
mod config;
#[cfg(test)]
mod tests;

use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use http::HeaderMap;
use portreeve_plugin::prelude::*;
use portreeve_plugin::template::WithCalls;

use answers::Answers;
use calls::{Failure, PreparedCall};
pub use config::{CallConfig, Config};

/// Names the calls whose fallback stands in for their answer.
const PARTIAL: HeaderName = HeaderName::from_static("x-partial");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Answers each request from several upstreams.
#[derive(Debug)]
pub struct Aggregate {
    timeout: Duration,
    calls: Box<[PreparedCall]>,
    forward_headers: Vec<HeaderName>,
    body: JsonTemplate<WithCalls>,
    clock: Clock,
}

#[async_trait]
impl Plugin for Aggregate {
    fn hooks(&self) -> Hooks {
        Hooks::REQUEST
    }

    fn request_fields(&self) -> RequestFields {
        let set = self.calls.iter().flat_map(|call| &call.headers).map(|(name, _)| name.clone());
        RequestFields::none().reads(self.forward_headers.iter().cloned()).sets(set).sets([REQUEST_ID])
    }

    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        let headers = self.common_headers(cx);
        let mut ready = Vec::with_capacity(self.calls.len());
        for call in &self.calls {
            match call.prepare(cx, &headers, self.timeout) {
                Some(mut prepared) => {
                    prepared.tier = cx.consumer().and_then(|consumer| consumer.tier.clone());
                    ready.push(Some(prepared));
                }
                // Nobody is asked for what this request cannot name, not even by the calls that could be made.
                None if !call.optional => return Ok(unnamed(call)),
                None => ready.push(None),
            }
        }
        let mut answers = Answers::fallbacks(&self.calls);
        let mut running: FuturesUnordered<_> = self
            .calls
            .iter()
            .zip(ready)
            .enumerate()
            .filter_map(|(index, (call, ready))| {
                let ready = ready?;
                Some(async move { (index, call, call.ask(ready, &self.clock).await) })
            })
            .collect();
        while let Some((index, call, outcome)) = running.next().await {
            match outcome {
                Ok(value) => answers.put(index, value),
                Err(failure) if call.optional => answers.missed(call, &failure),
                // The rest is of no use now: returning drops it, which closes its connections.
                Err(failure) => return Ok(failed(call, &failure)),
            }
        }
        drop(running);
        self.answer(cx, answers)
    }
}

impl Aggregate {
    /// The headers every call carries: the request's id, and what the settings let through.
    fn common_headers(&self, cx: &mut RequestCx<'_>) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(self.forward_headers.len() + 2);
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        for name in &self.forward_headers {
            headers.remove(name);
            for value in cx.headers().get_all(name) {
                headers.append(name.clone(), value.clone());
            }
        }
        if let Ok(id) = HeaderValue::from_str(cx.request_id()) {
            headers.insert(REQUEST_ID, id);
        }
        headers
    }

    fn answer(&self, cx: &mut RequestCx<'_>, answers: Answers<'_>) -> Result<Flow> {
        let body = self.body.render(&answers.seen_from(cx));
        let reply = Reply::json(StatusCode::OK, &body)?;
        let missing = answers.missing();
        if missing.is_empty() {
            return Ok(reply.because("every call answered").into());
        }
        cx.note(answers.why());
        // A stopgap must not be what the next hour is served from a cache.
        let reply = reply.header(PARTIAL, HeaderValue::try_from(missing)?);
        let reply = reply.header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(reply.because("some optional calls fell back").into())
    }
}

/// The answer when a required call brought nothing usable. It names neither the call nor the upstream.
fn failed(call: &PreparedCall, failure: &Failure) -> Flow {
    Reply::problem(failure.status(), "A part of this answer is not available.")
        .because(format!("required call `{}` to {}: {failure}", call.name, call.upstream.name()))
        .into()
}

/// The answer when the path of a required call cannot be made from this request.
fn unnamed(call: &PreparedCall) -> Flow {
    Reply::problem(StatusCode::BAD_REQUEST, "This request lacks something that its answer is made from.")
        .because(format!("`{}` has no value for the path of call `{}`", call.path, call.name))
        .into()
}
