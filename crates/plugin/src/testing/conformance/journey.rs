//! One request through all hooks, a hook at a time, so that two can take turns.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, Method, StatusCode, Uri};
use pingora_http::{RequestHeader, ResponseHeader};

use super::samples::Sample;
use crate::body::{Chunks, fields_of_content};
use crate::cx::{Attempt, Origin, Summary, is_framing};
use crate::error::{Cause, Failure};
use crate::reply::Reply;
use crate::testing::message::{Answered, written};
use crate::testing::probe::Probe;
use crate::testing::request::{Live, Request};
use crate::testing::sent::{marked, response};

/// A request on its way, and what came of it so far.
pub(super) struct Journey<'p> {
    live: Live<'p>,
    stage: Stage,
    request_body: VecDeque<(Bytes, bool)>,
    response: ResponseHeader,
    response_body: VecDeque<(Bytes, bool)>,
    origin: Origin,
    outcome: Outcome,
    /// Makes random draws the same in every journey of this sample, whatever else draws in between.
    seed: u64,
}

#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq)]
enum Stage {
    Request,
    UpstreamRequest,
    RequestBody,
    Response,
    ResponseBody,
    Log,
    Done,
}

/// What came of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// A panic or an error in a hook. A body over the plugin's bound is none: that is how it says so.
    pub(super) failure: Option<String>,
    forwarded: Option<(Method, Uri, HeaderMap)>,
    request_body: BytesMut,
    upstream: Option<String>,
    consumer: Option<String>,
    status: Option<StatusCode>,
    headers: HeaderMap,
    response_body: BytesMut,
    decisions: Vec<String>,
}

impl<'p> Journey<'p> {
    pub(super) fn new<P>(probe: &'p Probe<P>, sample: &Sample) -> Self {
        let request: Request<'p> = probe.request(sample.method.clone(), &sample.target);
        let (live, chunks) = (sample.shape)(request).routed();
        let mut head = response(sample.status);
        for (name, value) in &sample.headers {
            head.append_header(name, value.clone()).ok();
        }
        let mut hasher = DefaultHasher::new();
        format!("{sample:?}").hash(&mut hasher);
        Self {
            live,
            stage: Stage::Request,
            request_body: marked(chunks).collect(),
            response: head,
            response_body: marked(sample.chunks.clone()).collect(),
            origin: Origin::Upstream,
            outcome: Outcome::default(),
            seed: hasher.finish(),
        }
    }

    /// What comes of it if no plugin touches it.
    pub(super) fn untouched<P>(probe: &'p Probe<P>, sample: &Sample) -> Outcome {
        let Journey { live, request_body, response, response_body, outcome, .. } = Self::new(probe, sample);
        let body = |chunks: VecDeque<(Bytes, bool)>| chunks.into_iter().flat_map(|(chunk, _)| chunk).collect();
        Outcome {
            forwarded: Some(parts(&live.head)),
            request_body: body(request_body),
            consumer: live.exchange.consumer.as_ref().map(|consumer| format!("{consumer:?}")),
            status: Some(response.status),
            headers: response.headers.clone(),
            response_body: body(response_body),
            ..outcome
        }
    }

    /// The same, its body cut into pieces of this many bytes.
    pub(super) fn cut<P>(probe: &'p Probe<P>, sample: &Sample, size: usize) -> Self {
        let mut journey = Self::new(probe, sample);
        let body: Vec<u8> = journey.request_body.iter().flat_map(|(chunk, _)| chunk.iter().copied()).collect();
        let chunks: Vec<_> = body.chunks(size).map(Bytes::copy_from_slice).collect();
        journey.live.source = Chunks::of(&chunks);
        journey.request_body = marked(chunks).collect();
        journey
    }

    /// Whether the plugin has asked for the whole body, or set one.
    pub(super) fn gathers(&self) -> bool {
        self.live.exchange.body.is_some()
    }

    /// Goes all the way.
    pub(super) fn finish(mut self) -> Outcome {
        while self.step() {}
        let exchange = &self.live.exchange;
        Outcome {
            upstream: exchange.upstream.as_ref().map(|upstream| upstream.name().to_string()),
            consumer: exchange.consumer.as_ref().map(|consumer| format!("{consumer:?}")),
            decisions: exchange.decisions.iter().map(|told| format!("{:?}: {}", told.what, told.why)).collect(),
            ..self.outcome
        }
    }

    /// Runs one hook; false when there is none left.
    pub(super) fn step(&mut self) -> bool {
        let mut hasher = DefaultHasher::new();
        (self.seed, self.stage, self.response_body.len()).hash(&mut hasher);
        fastrand::seed(hasher.finish());
        let taken = match self.stage {
            Stage::Request => self.request(),
            Stage::UpstreamRequest => self.upstream_request(),
            Stage::RequestBody => self.request_chunk(),
            Stage::Response => self.response(),
            Stage::ResponseBody => self.response_chunk(),
            Stage::Log => {
                self.log();
                Ok(Stage::Done)
            }
            Stage::Done => return false,
        };
        self.stage = taken.unwrap_or_else(|failure| self.fail(failure));
        true
    }

    fn request(&mut self) -> Result<Stage, Failure> {
        let world = self.live.world;
        let reply = world.wait(self.live.enter())?;
        let chunks: Vec<_> = self.request_body.drain(..).map(|(chunk, _)| chunk).collect();
        self.request_body = marked(self.live.body(&chunks)).collect();
        Ok(reply.map_or(Stage::UpstreamRequest, |reply| self.answer(&reply)))
    }

    fn upstream_request(&mut self) -> Result<Stage, Failure> {
        let Live { chain, head, exchange, run, .. } = &mut self.live;
        let mut copy = head.clone();
        let attempt = Attempt { number: 1, upstream: "probe".into(), target: None };
        chain.upstream_request(&mut copy, &attempt, exchange, run)?;
        chain.send(&mut copy, &attempt, exchange, run)?;
        self.outcome.forwarded = Some(parts(&copy));
        Ok(Stage::RequestBody)
    }

    fn request_chunk(&mut self) -> Result<Stage, Failure> {
        let Some((mut chunk, last)) = self.request_body.pop_front() else { return Ok(Stage::Response) };
        let Live { chain, world, head, exchange, run, .. } = &mut self.live;
        if let Some(reply) = world.wait(chain.request_body(&mut chunk, last, head, exchange, run))? {
            return Ok(self.answer(&reply));
        }
        self.outcome.request_body.extend_from_slice(&chunk);
        Ok(Stage::RequestBody)
    }

    fn response(&mut self) -> Result<Stage, Failure> {
        let Live { chain, world, head, exchange, run, .. } = &mut self.live;
        world.wait(chain.response(&mut self.response, head, self.origin, exchange, run))?;
        self.outcome.status = Some(self.response.status);
        self.outcome.headers = self.response.headers.clone();
        Ok(Stage::ResponseBody)
    }

    fn response_chunk(&mut self) -> Result<Stage, Failure> {
        let Some((mut chunk, last)) = self.response_body.pop_front() else { return Ok(Stage::Log) };
        let Live { chain, world, head, exchange, run, .. } = &mut self.live;
        world.wait(chain.response_body(&mut chunk, last, head, exchange, run))?;
        self.outcome.response_body.extend_from_slice(&chunk);
        Ok(Stage::ResponseBody)
    }

    fn log(&mut self) {
        let summary = Summary {
            status: self.outcome.status,
            duration: std::time::Duration::ZERO,
            bytes_in: 0,
            bytes_out: 0,
            upstream: None,
            attempts: u32::from(self.outcome.forwarded.is_some()),
            error: self.outcome.failure.clone(),
        };
        let Live { chain, head, exchange, run, .. } = &self.live;
        chain.log(&summary, head, exchange, run);
    }

    /// The gateway answers this instead of a target.
    fn answer(&mut self, reply: &Reply) -> Stage {
        let Answered { status, headers, body } = written(reply);
        self.response = response(status);
        for (name, value) in &headers {
            self.response.append_header(name, value.clone()).ok();
        }
        self.response_body = marked(vec![body]).collect();
        self.origin = Origin::Gateway;
        Stage::Response
    }

    fn fail(&mut self, failure: Failure) -> Stage {
        if !matches!(failure.cause, Cause::TooLarge { .. }) {
            self.outcome.failure.get_or_insert(failure.to_string());
        }
        if matches!(self.stage, Stage::Response | Stage::ResponseBody) {
            return Stage::Log;
        }
        self.answer(&Reply::status(StatusCode::INTERNAL_SERVER_ERROR))
    }
}

impl Outcome {
    /// The fields of the request that the target gets otherwise than in `untouched`.
    pub(super) fn changed_fields(&self, untouched: &Self) -> Vec<HeaderName> {
        let (Some((_, _, now)), Some((_, _, before))) = (&self.forwarded, &untouched.forwarded) else {
            return Vec::new();
        };
        let is_same = |name: &HeaderName| now.get_all(name).iter().eq(before.get_all(name).iter());
        // Those that follow from another body are the gateway's doing.
        let is_of_body = |name: &HeaderName| is_framing(name) || fields_of_content().contains(name);
        let names = now.keys().chain(before.keys()).filter(|name| !is_same(name) && !is_of_body(name));
        let mut changed: Vec<_> = names.cloned().collect();
        changed.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        changed.dedup();
        changed
    }

    /// Without what random values change: which headers there are, how long bodies are, which kinds of decision.
    pub(super) fn shape(self) -> Self {
        let names = |headers: HeaderMap| {
            headers.keys().map(|name| (name.clone(), http::HeaderValue::from_static(""))).collect()
        };
        let kind = |told: String| told.split(':').next().unwrap_or("").to_owned();
        Self {
            forwarded: self.forwarded.map(|(method, _, headers)| (method, Uri::default(), names(headers))),
            request_body: BytesMut::zeroed(self.request_body.len()),
            consumer: None,
            headers: names(self.headers),
            response_body: BytesMut::zeroed(self.response_body.len()),
            decisions: self.decisions.into_iter().map(kind).collect(),
            ..self
        }
    }

    /// What is different in `other`, one line each, long values cut off.
    pub(super) fn difference(&self, other: &Self) -> String {
        let fields = |outcome: &Self| {
            [
                ("failure", format!("{:?}", outcome.failure)),
                ("forwarded", format!("{:?}", outcome.forwarded)),
                ("request body", format!("{:?}", outcome.request_body)),
                ("upstream", format!("{:?}", outcome.upstream)),
                ("consumer", format!("{:?}", outcome.consumer)),
                ("status", format!("{:?}", outcome.status)),
                ("headers", format!("{:?}", outcome.headers)),
                ("response body", format!("{:?}", outcome.response_body)),
                ("decisions", format!("{:?}", outcome.decisions)),
            ]
        };
        let cut = |text: String| text.chars().take(400).collect::<String>();
        let pairs = fields(self).into_iter().zip(fields(other));
        let different = pairs.filter(|((_, one), (_, two))| one != two);
        let lines: Vec<_> = different
            .map(|((name, one), (_, two))| format!("\n  {name}: {}\n    not {}", cut(two), cut(one)))
            .collect();
        lines.concat()
    }

    /// Without what was decided: only what reached others.
    pub(super) fn effect(self) -> Self {
        Self { decisions: Vec::new(), ..self }
    }
}

fn parts(head: &RequestHeader) -> (Method, Uri, HeaderMap) {
    (head.method.clone(), head.uri.clone(), head.headers.clone())
}
