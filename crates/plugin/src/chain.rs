//! The one loop that runs plugins, in production and in tests: per hook a list of the steps that take part in it, and nothing else.

mod body;
pub(crate) mod fence;
mod step;

use std::sync::Arc;

use http::StatusCode;
use pingora_http::{RequestHeader, ResponseHeader};

use body::Buffers;
pub use step::{Mode, OnError, Step};

use crate::body::BodySource;
use crate::cx::{Attempt, LogCx, Origin, RequestCx, ResponseCx, Summary, UpstreamCx};
use crate::decision::Verdict;
use crate::error::{Cause, Failure};
use crate::exchange::Exchange;
use crate::facts::States;
use crate::plugin::{Hooks, Plugin};
use crate::reply::{Flow, Reply};

/// The most steps a chain may have: which of them a request entered is one machine word.
pub const MAX_STEPS: usize = 64;

/// An ordered list of steps, compiled: one list for each hook, the response side already reversed.
#[derive(Debug, Default)]
pub struct Chain {
    steps: Box<[Arc<Step>]>,
    request: Links,
    request_body: Links,
    upstream_request: Links,
    send: Links,
    response: Links,
    response_body: Links,
    log: Links,
}

/// The steps that take part in one hook, with their places in the chain.
type Links = Box<[(usize, Arc<Step>)]>;

/// How far one request came in one chain, and what the steps remember of it.
#[derive(Debug, Default)]
pub struct Run {
    reached: usize,
    left_out: u64,
    states: States,
    response_body: Buffers,
}

impl Run {
    /// Whether the request entered this step: it came that far, and the step's `when` held.
    pub fn entered(&self, index: usize) -> bool {
        index < self.reached && self.left_out & (1 << index) == 0
    }

    /// Forgets buffered body bytes, before another answer.
    pub fn restart_bodies(&mut self) {
        self.response_body = Buffers::default();
    }
}

impl Chain {
    /// Compiles the steps, in the order written; `None` if there are more than [`MAX_STEPS`].
    pub fn new(steps: Vec<Arc<Step>>) -> Option<Self> {
        if steps.len() > MAX_STEPS {
            return None;
        }
        let links = |wanted: &dyn Fn(&Step) -> bool| -> Vec<(usize, Arc<Step>)> {
            steps
                .iter()
                .enumerate()
                .filter(|(_, step)| wanted(step))
                .map(|(index, step)| (index, step.clone()))
                .collect()
        };
        let takes = |hook: Hooks| move |step: &Step| step.hooks.contains(hook);
        let reversed = |mut links: Vec<(usize, Arc<Step>)>| -> Links {
            links.reverse();
            links.into()
        };
        Some(Self {
            // A condition is decided where the request passes the step, whatever hooks the step has.
            request: links(&|step| step.hooks.contains(Hooks::REQUEST) || !step.when.is_empty()).into(),
            request_body: links(&takes(Hooks::REQUEST_BODY)).into(),
            upstream_request: links(&takes(Hooks::UPSTREAM_REQUEST)).into(),
            send: links(&takes(Hooks::SEND)).into(),
            response: reversed(links(&takes(Hooks::RESPONSE))),
            response_body: reversed(links(&takes(Hooks::RESPONSE_BODY))),
            log: links(&takes(Hooks::LOG)).into(),
            steps: steps.into(),
        })
    }

    /// The steps in the order written.
    pub fn steps(&self) -> &[Arc<Step>] {
        &self.steps
    }

    /// Lets a request pass that no step has a request hook for.
    pub fn pass_by(&self, run: &mut Run) {
        run.reached = self.steps.len();
    }

    /// Runs the request hooks. `Some` is an answer to send instead of asking the upstream. `body`: where those that want the body
    /// have it read from.
    ///
    /// # Errors
    /// The first step that failed and does not say `on_error: skip`, or one that asked for a body that did not come whole.
    pub async fn request(
        &self,
        head: &mut RequestHeader,
        body: &mut (dyn BodySource + '_),
        exchange: &mut Exchange,
        run: &mut Run,
    ) -> Result<Option<Reply>, Failure> {
        for (index, step) in &self.request {
            let index = *index;
            run.reached = index + 1;
            let mut cx = RequestCx { head, source: &mut *body, exchange, step, states: &mut run.states, index };
            if step.when.iter().any(|when| !when.eval(&cx)) {
                run.left_out |= 1 << index;
                step.tell(exchange, Verdict::NotEntered, "its `when` does not hold");
                continue;
            }
            if !step.hooks.contains(Hooks::REQUEST) {
                continue;
            }
            let outcome = fence::wait(|| step.plugin.on_request(&mut cx)).await;
            if exchange.body_is_broken() {
                return Err(step.failure(Cause::Incomplete));
            }
            match outcome {
                Ok(Flow::Continue) => step.tell(exchange, Verdict::Continue, ""),
                Ok(Flow::Respond(reply)) if step.acts() => {
                    step.tell(exchange, Verdict::Respond(reply.status_code()), reply.reason().clone());
                    return Ok(Some(reply));
                }
                Ok(Flow::Respond(reply)) => {
                    step.tell(exchange, Verdict::WouldRespond(reply.status_code()), reply.reason().clone());
                }
                Err(Cause::TooLarge { limit }) => {
                    if let Some(reply) = step.too_large(exchange, limit) {
                        return Ok(Some(reply));
                    }
                }
                Err(cause) => step.failed(exchange, cause)?,
            }
        }
        run.reached = self.steps.len();
        Ok(None)
    }

    /// Runs the upstream-request hooks on the copy of the request made for this attempt.
    ///
    /// # Errors
    /// As [`Chain::request`].
    pub fn upstream_request(
        &self,
        head: &mut RequestHeader,
        attempt: &Attempt,
        exchange: &mut Exchange,
        run: &mut Run,
    ) -> Result<(), Failure> {
        let hook = |plugin: &dyn Plugin, cx: &mut UpstreamCx<'_>| plugin.on_upstream_request(cx);
        before_attempt(&self.upstream_request, hook, head, attempt, exchange, run)
    }

    /// Runs the last hooks before this attempt is sent, on the same copy.
    ///
    /// # Errors
    /// As [`Chain::request`].
    pub fn send(
        &self,
        head: &mut RequestHeader,
        attempt: &Attempt,
        exchange: &mut Exchange,
        run: &mut Run,
    ) -> Result<(), Failure> {
        let hook = |plugin: &dyn Plugin, cx: &mut UpstreamCx<'_>| plugin.on_send(cx);
        before_attempt(&self.send, hook, head, attempt, exchange, run)
    }

    /// Runs the response hooks, in reverse, of the steps the request had entered.
    ///
    /// # Errors
    /// As [`Chain::request`].
    pub async fn response(
        &self,
        head: &mut ResponseHeader,
        request: &RequestHeader,
        origin: Origin,
        exchange: &mut Exchange,
        run: &mut Run,
    ) -> Result<(), Failure> {
        for (index, step) in &self.response {
            let index = *index;
            if !run.entered(index) {
                continue;
            }
            let mut cx = ResponseCx { head, request, origin, exchange, step, states: &mut run.states, index };
            if let Err(cause) = fence::wait(|| step.plugin.on_response(&mut cx)).await {
                step.failed(exchange, cause)?;
            }
        }
        Ok(())
    }

    /// Runs the log hooks of all steps but those whose `when` did not hold. A failure here is counted and has no other effect.
    pub fn log(&self, summary: &Summary, request: &RequestHeader, exchange: &Exchange, run: &Run) {
        for (index, step) in &self.log {
            if run.left_out & (1 << index) != 0 {
                continue;
            }
            let cx = LogCx { summary, request, exchange, step, states: &run.states, index: *index };
            let logged = fence::call(|| {
                step.plugin.on_log(&cx);
                Ok(())
            });
            if logged.is_err() {
                step.count(Verdict::Failed);
            }
        }
    }

    /// Whether any step that the request entered may see, and so change, the request body.
    pub fn touches_request_body(&self, run: &Run) -> bool {
        self.request_body.iter().any(|(index, _)| run.entered(*index))
    }

    /// Whether any step that the request entered may change what a target is sent.
    pub fn touches_upstream_request(&self, run: &Run) -> bool {
        self.upstream_request.iter().chain(&self.send).any(|(index, _)| run.entered(*index))
    }

    /// Whether there is any request hook at all.
    pub fn touches_request(&self) -> bool {
        !self.request.is_empty()
    }

    /// Whether there is any response hook at all.
    pub fn touches_response(&self) -> bool {
        !self.response.is_empty()
    }

    /// Whether any step that the request entered may see, and so change, the response body.
    pub fn touches_response_body(&self, run: &Run) -> bool {
        self.response_body.iter().any(|(index, _)| run.entered(*index))
    }
}

impl Step {
    fn failure(&self, cause: Cause) -> Failure {
        Failure { plugin: self.plugin_name, place: self.place.clone(), cause }
    }

    /// The body of the request is longer than this step holds: what it is answered with, unless the step is passed over.
    fn too_large(&self, exchange: &mut Exchange, limit: u64) -> Option<Reply> {
        const STATUS: StatusCode = StatusCode::PAYLOAD_TOO_LARGE;
        let why = format!("the body of the request is longer than {limit} bytes");
        if !self.acts() {
            self.tell(exchange, Verdict::WouldRespond(STATUS), why);
            return None;
        }
        if self.on_error == OnError::Skip {
            self.tell(exchange, Verdict::Skipped, why);
            return None;
        }
        self.tell(exchange, Verdict::Respond(STATUS), why.clone());
        Some(Reply::problem(STATUS, "the request body is longer than is allowed here").because(why))
    }

    /// A failure of this step: passed over if it says so or only observes, else the end of the request.
    fn failed(&self, exchange: &mut Exchange, cause: Cause) -> Result<(), Failure> {
        let failure = self.failure(cause);
        let passed_over = self.on_error == OnError::Skip || !self.acts();
        let verdict = if passed_over { Verdict::Skipped } else { Verdict::Failed };
        self.tell(exchange, verdict, failure.to_string());
        if passed_over {
            tracing::warn!(plugin = self.plugin_name, place = %self.place, error = %failure, "Plugin failed and was skipped.");
            return Ok(());
        }
        Err(failure)
    }
}

/// Runs a hook over the copy of the request made for an attempt, for those of these steps that the request had entered.
fn before_attempt(
    steps: &[(usize, Arc<Step>)],
    hook: impl Fn(&dyn Plugin, &mut UpstreamCx<'_>) -> crate::Result<()>,
    head: &mut RequestHeader,
    attempt: &Attempt,
    exchange: &mut Exchange,
    run: &mut Run,
) -> Result<(), Failure> {
    for (index, step) in steps {
        let index = *index;
        if !run.entered(index) {
            continue;
        }
        let mut cx = UpstreamCx { head, exchange, step, states: &mut run.states, index, attempt };
        if let Err(cause) = fence::call(|| hook(&*step.plugin, &mut cx)) {
            step.failed(exchange, cause)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
