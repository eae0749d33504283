//! Body hooks: chunks stream through the steps in turn; a step that wants an answer whole holds it back here, up to its own bound.

use bytes::{Bytes, BytesMut};
use pingora_http::RequestHeader;
use smallvec::SmallVec;

use super::{Chain, Run, fence};
use crate::chain::Step;
use crate::cx::{RequestBodyCx, ResponseBodyCx};
use crate::decision::Verdict;
use crate::error::{Cause, Failure};
use crate::exchange::Exchange;
use crate::plugin::Access;
use crate::reply::{Flow, Reply};

/// What steps hold back of an answer.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    held: SmallVec<[(usize, BytesMut); 1]>,
    /// Steps whose bound was exceeded and that are passed over for the rest of this body.
    overrun: u64,
}

/// What a step gets of a chunk.
enum Portion {
    /// These bytes.
    Bytes(Bytes),
    /// Nothing yet: the step holds them.
    Held,
    /// Nothing more of this body: these bytes go on without it.
    Past(Bytes),
    /// More than the bound of this many bytes, so far: these.
    TooLarge(usize, Bytes),
}

impl Buffers {
    /// Hands `chunk` to the step `index`, which sees bodies as `access` says. Once too much came, the step is past.
    fn portion(&mut self, index: usize, access: Access, chunk: Bytes, last: bool) -> Portion {
        let Access::Buffer(limit) = access else { return Portion::Bytes(chunk) };
        if self.overrun & (1 << index) != 0 {
            return Portion::Past(chunk);
        }
        let place = self.held.iter().position(|(owner, _)| *owner == index);
        let already = place.and_then(|place| self.held.get(place)).map_or(0, |(_, held)| held.len());
        let over = already.saturating_add(chunk.len()) > limit;
        if !over && !last {
            match place.and_then(|place| self.held.get_mut(place)) {
                Some((_, held)) => held.extend_from_slice(&chunk),
                None => self.held.push((index, BytesMut::from(&*chunk))),
            }
            return Portion::Held;
        }
        let whole = match place {
            None => chunk,
            Some(place) => {
                let (_, mut held) = self.held.swap_remove(place);
                held.extend_from_slice(&chunk);
                held.freeze()
            }
        };
        if over {
            self.overrun |= 1 << index;
            return Portion::TooLarge(limit, whole);
        }
        Portion::Bytes(whole)
    }
}

impl Chain {
    /// Runs the request-body hooks on one chunk; `last` says that no more follow. `Some` is an answer to send instead, possible while
    /// no response has begun.
    ///
    /// # Errors
    /// The first step that failed.
    pub async fn request_body(
        &self,
        chunk: &mut Bytes,
        last: bool,
        request: &RequestHeader,
        exchange: &mut Exchange,
        run: &mut Run,
    ) -> Result<Option<Reply>, Failure> {
        for (index, step) in &self.request_body {
            let index = *index;
            if !run.entered(index) || (chunk.is_empty() && !last) {
                continue;
            }
            let mut shown = step.show(chunk);
            let states = &mut run.states;
            let mut cx = RequestBodyCx { chunk: &mut shown, last, request, exchange, step, states, index };
            let outcome = fence::wait(|| step.plugin.on_request_body(&mut cx)).await;
            step.pass_on(chunk, shown);
            match outcome {
                Ok(Flow::Continue) => {}
                Ok(Flow::Respond(reply)) if step.acts() => {
                    step.tell(exchange, Verdict::Respond(reply.status_code()), reply.reason().clone());
                    return Ok(Some(reply));
                }
                Ok(Flow::Respond(reply)) => {
                    step.tell(exchange, Verdict::WouldRespond(reply.status_code()), reply.reason().clone());
                }
                Err(cause) => step.failed(exchange, cause)?,
            }
        }
        Ok(None)
    }

    /// Runs the response-body hooks on one chunk, in reverse. While a step holds bytes back the chunk becomes empty.
    ///
    /// # Errors
    /// The first step that failed, or would hold more than its bound.
    pub async fn response_body(
        &self,
        chunk: &mut Bytes,
        last: bool,
        request: &RequestHeader,
        exchange: &mut Exchange,
        run: &mut Run,
    ) -> Result<(), Failure> {
        for (index, step) in &self.response_body {
            let index = *index;
            if !run.entered(index) {
                continue;
            }
            let mut shown = step.show(chunk);
            match run.response_body.portion(index, step.access, shown, last) {
                Portion::Bytes(bytes) => shown = bytes,
                Portion::Held if step.acts() => return Ok(()),
                Portion::Held => continue,
                Portion::Past(bytes) => {
                    step.pass_on(chunk, bytes);
                    continue;
                }
                Portion::TooLarge(limit, bytes) => {
                    step.pass_on(chunk, bytes);
                    step.failed(exchange, Cause::TooLarge { limit: limit as u64 })?;
                    continue;
                }
            }
            if shown.is_empty() && !last {
                continue;
            }
            let states = &mut run.states;
            let mut cx = ResponseBodyCx { chunk: &mut shown, last, request, exchange, step, states, index };
            let outcome = fence::wait(|| step.plugin.on_response_body(&mut cx)).await;
            step.pass_on(chunk, shown);
            if let Err(cause) = outcome {
                step.failed(exchange, cause)?;
            }
        }
        Ok(())
    }

    /// The smallest bound of the entered steps that want the response body whole, in bytes.
    pub fn response_body_limit(&self, run: &Run) -> Option<usize> {
        let entered = self.response_body.iter().filter(|(index, step)| run.entered(*index) && !step.lenient());
        entered.filter_map(|(_, step)| if let Access::Buffer(limit) = step.access { Some(limit) } else { None }).min()
    }
}

impl Step {
    /// What this step is shown of a chunk. An observer gets a copy: what streams past it is neither held back nor changed.
    fn show(&self, chunk: &mut Bytes) -> Bytes {
        if self.acts() { std::mem::take(chunk) } else { chunk.clone() }
    }

    /// Hands on what it made of a chunk, if what it does has an effect.
    fn pass_on(&self, chunk: &mut Bytes, made: Bytes) {
        if self.acts() {
            *chunk = made;
        }
    }

    /// Whether its failures are passed over.
    fn lenient(&self) -> bool {
        !self.acts() || self.on_error == super::OnError::Skip
    }
}
