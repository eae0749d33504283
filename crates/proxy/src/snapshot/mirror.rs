//! Copies of a route's requests for another upstream. The request itself waits for nothing here and fails with nothing here.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, header};
use pingora::http::RequestHeader;
use portreeve_plugin::Call;
use smallvec::SmallVec;
use tokio::sync::Semaphore;

use crate::observe::MirrorMetrics;
use crate::upstream::Pool;

/// Tells a target that nobody waits for its answer. Of requests of strangers it is taken off.
pub(crate) static MARK: HeaderName = HeaderName::from_static("x-mirrored");

/// Of an answer that is thrown away, so much is read for the sake of its connection.
const MAX_ANSWER: usize = 64 * 1024;

/// The `mirror` of one route.
#[derive(Debug)]
pub(crate) struct Mirror {
    pub(crate) pool: Arc<Pool>,
    /// Between 0 and 1.
    pub(crate) sample: f64,
    /// In bytes.
    pub(crate) max_body: usize,
    /// For copies on their way.
    pub(crate) room: Arc<Semaphore>,
    /// How long one may be on its way.
    pub(crate) timeout: Duration,
    pub(crate) metrics: MirrorMetrics,
}

/// A copy in the making.
#[derive(Debug)]
pub(crate) struct Copy {
    mirror: Arc<Mirror>,
    head: Option<Call>,
    chunks: SmallVec<[Bytes; 2]>,
    length: usize,
}

impl Mirror {
    /// Whether this request is one of the sample.
    pub(crate) fn begin(self: &Arc<Self>) -> Option<Box<Copy>> {
        let drawn = fastrand::f64() < self.sample;
        drawn.then(|| Box::new(Copy { mirror: self.clone(), head: None, chunks: SmallVec::new(), length: 0 }))
    }
}

impl Copy {
    /// The head as it goes to the target; another attempt begins the copy anew.
    pub(crate) fn take_head(&mut self, head: &RequestHeader) {
        self.chunks.clear();
        self.length = 0;
        self.head = call(head, &self.mirror);
    }

    /// More of the body as it goes to the target. `false`: the copy can go, since it is longer
    /// than the mirror takes.
    pub(crate) fn take_chunk(&mut self, chunk: &Bytes) -> bool {
        if self.head.is_none() {
            // What is no copy, such as an upgrade.
            return false;
        }
        self.length += chunk.len();
        if self.length > self.mirror.max_body {
            self.mirror.metrics.too_large.inc();
            return false;
        }
        if !chunk.is_empty() {
            self.chunks.push(chunk.clone());
        }
        true
    }

    /// The request is whole: its copy goes out by itself, if there is room for one more.
    pub(crate) fn send(self) {
        let Self { mirror, head, chunks, length } = self;
        let Some(mut call) = head else { return };
        let Ok(room) = mirror.room.clone().try_acquire_owned() else {
            mirror.metrics.behind.inc();
            return;
        };
        let mut body = BytesMut::with_capacity(length);
        chunks.iter().for_each(|chunk| body.extend_from_slice(chunk));
        call.body = body.freeze();
        tokio::spawn(async move {
            let answered = match mirror.pool.once(&call).await {
                // It was answered, with more than anybody wants to read.
                Ok(_) | Err(portreeve_plugin::CallError::TooLarge(_)) => true,
                Err(error) => {
                    tracing::debug!(upstream = %mirror.pool.name, %error, "A copy was not answered.");
                    false
                }
            };
            let outcome = if answered { &mirror.metrics.sent } else { &mirror.metrics.failed };
            outcome.inc();
            drop(room);
        });
    }
}

/// The head as a call. Hop-by-hop fields and framing are left behind where calls are written.
fn call(head: &RequestHeader, mirror: &Mirror) -> Option<Call> {
    let mut headers = head.headers.clone();
    if let Some(host) = mirror.pool.host() {
        headers.insert(header::HOST, host.clone());
    } else if !headers.contains_key(header::HOST)
        && let Some(authority) = head.uri.authority()
    {
        // HTTP/2 has it in the target (RFC 9113 §8.3.1).
        headers.insert(header::HOST, HeaderValue::from_str(authority.as_str()).ok()?);
    }
    headers.insert(MARK.clone(), HeaderValue::from_static("true"));
    let target = head.uri.path_and_query()?.clone();
    Some(Call {
        method: head.method.clone(),
        headers,
        timeout: mirror.timeout,
        max_body: MAX_ANSWER,
        ..Call::get(target)
    })
}
