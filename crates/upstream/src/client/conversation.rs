//! An exchange that the gateway makes for itself: what it asks is known as a whole, and the answer is taken as it comes. Calls, copies
//! of requests, health checks and what is fetched from outside are asked so.

use std::future::poll_fn;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::{Error, ErrorType, Result};
use portreeve_wire::http1::Body;

use super::{RequestHead, ResponseEvent, TargetExchange, bad_target};
use crate::answer::{BadAnswer, MAX_INTERIM, check_response};

/// Bytes of a body that are handed over at once: the client in HTTP/1.1 copies what it is to send.
const PIECE: usize = 64 * 1024;

/// One exchange with a target. Dropped at any moment, it closes its connection in HTTP/1.1, or resets its stream.
pub(crate) struct Conversation {
    target: Box<dyn TargetExchange + Send>,
    /// What decides about the answer: method and version.
    asked: RequestHeader,
    /// What of the request's body is still to be sent.
    rest: Bytes,
    interim: u8,
    /// The head that counts has come.
    has_answer: bool,
    is_over: bool,
    trailers: Option<HeaderMap>,
}

/// Why a body was not gathered.
#[derive(Debug)]
pub(crate) enum NotGathered {
    /// It is longer than it may be.
    TooLarge,
    Failed(Box<Error>),
}

impl Conversation {
    /// Begins it. Nothing is sent before the answer is waited for.
    ///
    /// # Errors
    /// The request cannot be carried, or its connection takes no more.
    pub(crate) fn begin(
        mut target: Box<dyn TargetExchange + Send>,
        head: RequestHead<'_>,
        body: Bytes,
    ) -> Result<Self> {
        let asked = RequestHeader::build_no_case(head.method().clone(), b"/", None)?;
        let framing = if body.is_empty() { Body::None } else { Body::Length(body.len() as u64) };
        target.begin(head, framing)?;
        if body.is_empty() {
            target.end(None)?;
        }
        let mut begun =
            Self { target, asked, rest: body, interim: 0, has_answer: false, is_over: false, trailers: None };
        begun.send()?;
        Ok(begun)
    }

    /// The head of the answer, past interim ones.
    ///
    /// # Errors
    /// There is none within the target's time, or none that is well-formed.
    pub(crate) async fn head(&mut self) -> Result<Box<ResponseHeader>> {
        loop {
            let (mut head, last) = match self.next().await? {
                ResponseEvent::Head(head, last) => (head, Some(last)),
                ResponseEvent::Interim(head) => (head, None),
                ResponseEvent::Body(..) | ResponseEvent::Trailers(_) => {
                    return Err(bad_target("an answer without a head"));
                }
            };
            check_response(&mut head, &self.asked).map_err(|bad| bad_target(bad.to_string()))?;
            if let Some(last) = last {
                (self.has_answer, self.is_over) = (true, last);
                return Ok(head);
            }
            self.interim += 1;
            if self.interim > MAX_INTERIM {
                return Err(bad_target(BadAnswer::Interim.to_string()));
            }
        }
    }

    /// The next of the answer's body; `None` behind its end.
    ///
    /// # Errors
    /// It breaks off, or falls silent.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>> {
        while !self.is_over {
            match self.next().await? {
                ResponseEvent::Body(data, last) => {
                    self.is_over = last;
                    if let Some(data) = data.filter(|data| !data.is_empty()) {
                        return Ok(Some(data));
                    }
                }
                ResponseEvent::Trailers(fields) => (self.trailers, self.is_over) = (Some(fields), true),
                ResponseEvent::Head(..) | ResponseEvent::Interim(_) => {
                    return Err(bad_target("a head within the body of an answer"));
                }
            }
        }
        Ok(None)
    }

    /// All of the answer's body, of at most `max` bytes.
    ///
    /// # Errors
    /// There is more, or it does not come to its end.
    pub(crate) async fn gather(&mut self, max: usize) -> Result<Bytes, NotGathered> {
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.chunk().await.map_err(NotGathered::Failed)? {
            if whole.len() + chunk.len() > max {
                return Err(NotGathered::TooLarge);
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    /// What followed the body, in HTTP/2.
    pub(crate) fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }

    /// Whether the head of the answer has come.
    pub(crate) fn has_answer(&self) -> bool {
        self.has_answer
    }

    /// It is over: another exchange may follow on its connection, if both sides have said all.
    pub(crate) fn give_back(mut self) {
        if self.is_over && self.target.has_sent() {
            self.target.give_back();
        }
    }

    /// The next of the answer, while the request is sent.
    async fn next(&mut self) -> Result<ResponseEvent> {
        loop {
            if let Some(event) = self.target.event()? {
                return Ok(event);
            }
            if self.target.wants_more() {
                self.send()?;
            }
            let target = &mut self.target;
            let moved = poll_fn(|cx| target.poll_progress(cx)).await;
            if let Err(error) = moved {
                if matches!(error.etype(), ErrorType::ReadTimedout | ErrorType::WriteTimedout) {
                    self.target.suspect();
                }
                return Err(error);
            }
        }
    }

    /// Hands over the next of the request's body.
    fn send(&mut self) -> Result<()> {
        if self.rest.is_empty() {
            return Ok(());
        }
        self.target.put(self.rest.split_to(PIECE.min(self.rest.len())))?;
        if self.rest.is_empty() { self.target.end(None) } else { Ok(()) }
    }
}
