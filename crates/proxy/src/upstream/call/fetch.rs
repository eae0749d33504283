//! What plugins fetch from outside: key sets, discovery documents.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::BytesMut;
use futures::future::BoxFuture;
use portreeve_plugin::{Answer, CallError, Fetch};

/// GETs outside URLs. The client is made when first needed: most gateways never fetch, and a machine without trusted roots
/// must not keep them from starting.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fetcher(Arc<OnceLock<Result<reqwest::Client, String>>>);

/// Redirects followed for one fetch.
const MAX_REDIRECTS: usize = 5;
/// Longest wait for a connection of a fetch.
const CONNECT: Duration = Duration::from_secs(5);

impl Fetcher {
    pub(crate) fn fetch(&self, fetch: Fetch) -> BoxFuture<'static, Result<Answer, CallError>> {
        let fetcher = self.clone();
        Box::pin(async move {
            let client = fetcher.0.get_or_init(client).as_ref().map_err(|error| CallError::Failed(error.clone()))?;
            let failed = |error: reqwest::Error| {
                if error.is_timeout() { CallError::TimedOut(fetch.timeout) } else { CallError::Failed(chain(&error)) }
            };
            let mut answer = client.get(&fetch.url).timeout(fetch.timeout).send().await.map_err(failed)?;
            let mut body = BytesMut::new();
            while let Some(chunk) = answer.chunk().await.map_err(failed)? {
                if body.len() + chunk.len() > fetch.max_body {
                    return Err(CallError::TooLarge(fetch.max_body));
                }
                body.extend_from_slice(&chunk);
            }
            Ok(Answer { status: answer.status(), headers: answer.headers().clone(), body: body.freeze() })
        })
    }
}

fn client() -> Result<reqwest::Client, String> {
    let redirects = reqwest::redirect::Policy::limited(MAX_REDIRECTS);
    let client = reqwest::Client::builder().redirect(redirects).connect_timeout(CONNECT).user_agent("portreeve");
    client.build().map_err(|error| chain(&error))
}

/// An error with all its causes: `error sending request: connection refused`.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
