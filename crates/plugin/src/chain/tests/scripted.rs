//! A plugin that does in each hook what its script says and writes down that it was asked, and a request to run it on.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, StatusCode};
use parking_lot::Mutex;
use pingora_http::{RequestHeader, ResponseHeader};

use crate::body::Chunks;
use crate::chain::{Chain, Mode, OnError, Run, Step};
use crate::client::{Answer, Call, CallError, Pool, Upstream};
use crate::consumer::Consumer;
use crate::cx::{Attempt, LogCx, Origin, RequestBodyCx, RequestCx, ResponseBodyCx, ResponseCx, Summary, UpstreamCx};
use crate::decision::Verdict;
use crate::error::{Error, Failure, Result};
use crate::exchange::Exchange;
use crate::expression::Expression;
use crate::plugin::{Access, Hooks, Plugin};
use crate::reply::{Flow, Reply};

/// What a hook does after it has made its changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Continue,
    Respond,
    Fail,
    Panic,
}

/// The script of one step.
#[derive(Debug, Clone)]
pub(super) struct Script {
    pub(super) hooks: Hooks,
    pub(super) access: Access,
    pub(super) when: Option<bool>,
    pub(super) mode: Mode,
    pub(super) on_error: OnError,
    pub(super) request: Act,
    pub(super) request_body: Act,
    pub(super) upstream_request: Act,
    pub(super) response: Act,
    pub(super) response_body: Act,
    pub(super) log: Act,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            hooks: Hooks::all(),
            access: Access::default(),
            when: None,
            mode: Mode::Enforce,
            on_error: OnError::Fail,
            request: Act::Continue,
            request_body: Act::Continue,
            upstream_request: Act::Continue,
            response: Act::Continue,
            response_body: Act::Continue,
            log: Act::Continue,
        }
    }
}

pub(super) type Calls = Arc<Mutex<Vec<String>>>;

/// The status that step number `index` answers with.
pub(super) fn status(index: usize) -> StatusCode {
    StatusCode::from_u16(400 + u16::try_from(index).unwrap()).unwrap()
}

/// The letter that step number `index` adds to each chunk.
pub(super) fn letter(index: usize) -> char {
    char::from(b'a' + u8::try_from(index).unwrap())
}

/// The fact each step leaves: the last one wins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mark(pub(super) usize);

struct Scripted {
    index: usize,
    script: Script,
    calls: Calls,
}

impl Scripted {
    fn asked(&self, hook: &str) {
        self.calls.lock().push(format!("{hook} {}", self.index));
    }

    fn header(&self) -> (HeaderName, HeaderValue) {
        let name = format!("x-{}", self.index);
        (HeaderName::try_from(name).unwrap(), HeaderValue::from_static("set"))
    }

    fn act(act: Act) -> Result<()> {
        match act {
            Act::Continue | Act::Respond => Ok(()),
            Act::Fail => Err(Error::new("scripted failure")),
            // As `panic!`, without a report on standard error.
            Act::Panic => std::panic::resume_unwind(Box::new("scripted panic")),
        }
    }

    fn flow(&self, act: Act) -> Result<Flow> {
        Self::act(act)?;
        Ok(if act == Act::Respond { Reply::status(status(self.index)).into() } else { Flow::Continue })
    }
}

#[async_trait]
impl Plugin for Scripted {
    fn hooks(&self) -> Hooks {
        self.script.hooks
    }

    fn response_access(&self) -> Access {
        self.script.access
    }

    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        self.asked("request");
        let (name, value) = self.header();
        cx.set_header(name, value);
        cx.set_consumer(Arc::new(Consumer::new(self.index.to_string())));
        cx.set_upstream(&Upstream::new(Arc::new(Nowhere(self.index.to_string().into()))));
        cx.put(Mark(self.index));
        once_pending().await;
        self.flow(self.script.request)
    }

    async fn on_request_body(&self, cx: &mut RequestBodyCx<'_>) -> Result<Flow> {
        self.asked("request_body");
        cx.set_chunk(with_letter(cx.chunk(), self.index));
        self.flow(self.script.request_body)
    }

    fn on_upstream_request(&self, cx: &mut UpstreamCx<'_>) -> Result<()> {
        self.asked("upstream_request");
        let (name, value) = self.header();
        cx.set_header(name, value);
        Self::act(self.script.upstream_request)
    }

    async fn on_response(&self, cx: &mut ResponseCx<'_>) -> Result<()> {
        self.asked("response");
        let (name, value) = self.header();
        cx.set_header(name, value);
        once_pending().await;
        Self::act(self.script.response)
    }

    async fn on_response_body(&self, cx: &mut ResponseBodyCx<'_>) -> Result<()> {
        self.asked("response_body");
        cx.set_chunk(with_letter(cx.chunk(), self.index));
        Self::act(self.script.response_body)
    }

    fn on_log(&self, _cx: &LogCx<'_>) {
        self.asked("log");
        if self.script.log != Act::Continue {
            std::panic::resume_unwind(Box::new("scripted panic"));
        }
    }
}

fn with_letter(chunk: &Bytes, index: usize) -> Bytes {
    let mut bytes = BytesMut::from(&**chunk);
    bytes.extend_from_slice(letter(index).to_string().as_bytes());
    bytes.freeze()
}

/// Waits once, so that what follows runs in a later poll.
async fn once_pending() {
    let mut waited = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Polls until done: nothing here waits for anything from outside.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
    }
}

/// An upstream that is only chosen, never called.
struct Nowhere(Arc<str>);

impl Pool for Nowhere {
    fn name(&self) -> &Arc<str> {
        &self.0
    }

    fn call(&self, _: Call) -> futures::future::BoxFuture<'_, Result<Answer, CallError>> {
        Box::pin(std::future::ready(Err(CallError::Unavailable(self.0.clone()))))
    }

    fn as_any(&self) -> &(dyn std::any::Any + Send + Sync) {
        self
    }
}

/// A step of any plugin.
pub(super) fn step(index: usize, plugin: impl Plugin) -> Step {
    Step::new(
        "scripted",
        format!("test/{index}").into(),
        format!("gateway.yaml:{}:3", index + 1).into(),
        Arc::new(plugin),
    )
}

/// A chain, one request in it, and all that was seen of it.
pub(super) struct Rig {
    pub(super) chain: Chain,
    pub(super) head: RequestHeader,
    pub(super) upstream_head: RequestHeader,
    pub(super) response_head: ResponseHeader,
    pub(super) source: Chunks,
    pub(super) exchange: Exchange,
    pub(super) run: Run,
    pub(super) calls: Calls,
}

impl Rig {
    pub(super) fn new(scripts: impl IntoIterator<Item = Script>) -> Self {
        let calls = Calls::default();
        let steps = scripts.into_iter().enumerate().map(|(index, script)| {
            let (when, mode, on_error) = (script.when, script.mode, script.on_error);
            let when = when.map(|holds| Expression::parse(if holds { "true" } else { "false" }).unwrap());
            let scripted = step(index, Scripted { index, script, calls: calls.clone() });
            Arc::new(scripted.when(when).mode(mode).on_error(on_error))
        });
        Self { calls: calls.clone(), ..Self::of(steps.collect()) }
    }

    pub(super) fn of(steps: Vec<Arc<Step>>) -> Self {
        let mut exchange = Exchange::new(([192, 0, 2, 1], 4000).into(), "public".into(), Instant::now());
        exchange.verbose = true;
        let head = RequestHeader::build("POST", b"/a", None).unwrap();
        Self {
            chain: Chain::new(steps).unwrap(),
            upstream_head: head.clone(),
            head,
            response_head: ResponseHeader::build(200, None).unwrap(),
            source: Chunks::default(),
            exchange,
            run: Run::default(),
            calls: Calls::default(),
        }
    }

    pub(super) fn request(&mut self) -> Result<Option<Reply>, Failure> {
        block_on(self.chain.request(&mut self.head, &mut self.source, &mut self.exchange, &mut self.run))
    }

    pub(super) fn upstream_request(&mut self) -> Result<(), Failure> {
        self.upstream_head = self.head.clone();
        let attempt = Attempt { number: 1, upstream: "u".into(), target: None };
        self.chain.upstream_request(&mut self.upstream_head, &attempt, &mut self.exchange, &mut self.run)
    }

    pub(super) fn response(&mut self) -> Result<(), Failure> {
        let Self { chain, head, response_head, exchange, run, .. } = self;
        block_on(chain.response(response_head, head, Origin::Upstream, exchange, run))
    }

    /// The chunks after the request-body hooks, the last of them announced as the last.
    pub(super) fn request_body(&mut self, chunks: &[&str]) -> Result<Result<Vec<String>, Reply>, Failure> {
        let mut out = Vec::new();
        for (index, chunk) in chunks.iter().enumerate() {
            let (mut chunk, last) = (Bytes::copy_from_slice(chunk.as_bytes()), index + 1 == chunks.len());
            let Self { chain, head, exchange, run, .. } = self;
            if let Some(reply) = block_on(chain.request_body(&mut chunk, last, head, exchange, run))? {
                return Ok(Err(reply));
            }
            out.push(String::from_utf8(chunk.to_vec()).unwrap());
        }
        Ok(Ok(out))
    }

    /// The chunks after the response-body hooks.
    pub(super) fn response_body(&mut self, chunks: &[&str]) -> Result<Vec<String>, Failure> {
        let mut out = Vec::new();
        for (index, chunk) in chunks.iter().enumerate() {
            let (mut chunk, last) = (Bytes::copy_from_slice(chunk.as_bytes()), index + 1 == chunks.len());
            let Self { chain, head, exchange, run, .. } = self;
            block_on(chain.response_body(&mut chunk, last, head, exchange, run))?;
            out.push(String::from_utf8(chunk.to_vec()).unwrap());
        }
        Ok(out)
    }

    pub(super) fn log(&self) {
        let summary = Summary {
            status: None,
            duration: Duration::ZERO,
            bytes_in: 0,
            bytes_out: 0,
            upstream: None,
            attempts: 0,
            error: None,
        };
        self.chain.log(&summary, &self.head, &self.exchange, &self.run);
    }

    /// The hooks called so far, and forgets them.
    pub(super) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock())
    }

    /// The decisions of all steps, by place in the chain.
    pub(super) fn verdicts(&self) -> Vec<(String, Verdict)> {
        self.exchange.decisions.iter().map(|decision| (decision.step.to_string(), decision.what)).collect()
    }
}
