//! The one client towards targets: an exchange in HTTP/1.1 or HTTP/2, whoever makes it. Requests, calls of plugins, mirrors, health
//! checks and what is fetched from outside differ in what they do with an answer, not in how it is asked for and read.

mod answer_head;
mod conversation;
mod http1;
mod http2;
mod request_body;
mod request_head;

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Version};
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorSource, ErrorType, ImmutStr, Result};
use portreeve_wire::http1::Body;

pub(crate) use self::answer_head::head as read_answer_head;
pub(crate) use self::conversation::{Conversation, NotGathered};
pub use self::http1::Http1;
pub use self::http2::Http2;
pub use self::request_head::{RequestHead, is_of_connection};

/// What a target has sent.
#[derive(Debug)]
pub enum ResponseEvent {
    /// An interim head (1xx but 101): another one follows.
    Interim(Box<ResponseHeader>),
    /// The head that counts, and whether that was all.
    Head(Box<ResponseHeader>, bool),
    /// Some of the body, and whether that was all.
    Body(Option<Bytes>, bool),
    /// What follows the body in HTTP/2, and that it was all. In HTTP/1.1 it comes with the last of the body.
    Trailers(HeaderMap),
}

/// What has moved between a target and us.
#[derive(Debug)]
pub enum Progress {
    /// More of the answer has come.
    Received,
    /// The request has gone as far as it is known.
    Sent,
}

/// The side of a target in an exchange. Whatever is put into it waits there until it is polled.
pub trait TargetExchange {
    /// The version that is spoken.
    fn version(&self) -> Version;

    /// Whether the request may offer another protocol (RFC 9110 §7.8).
    fn offers_upgrade(&self) -> bool {
        false
    }

    /// Begins the request. Its framing is decided here, from `body`, whatever the fields say.
    fn begin(&mut self, head: RequestHead<'_>, body: Body) -> Result<()>;

    /// Goes on with it.
    fn put(&mut self, data: Bytes) -> Result<()>;

    /// Ends it.
    fn end(&mut self, trailers: Option<&HeaderMap>) -> Result<()>;

    /// Whether all that is known of the request has been sent, and more of it is to come.
    fn wants_more(&self) -> bool;

    /// Whether no more of the request can be sent, since all has been, or since the target takes no more.
    fn has_sent(&self) -> bool;

    /// Ready when nothing more is to be sent for now, or can be. An error: the target takes nothing, and has not begun to answer.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>>;

    /// Ready when more of the answer has come, or the request has gone as far as it is known. Keeps the clocks:
    ///
    /// - Before the answer begins: `timeouts.write` while something waits for the target to take it, and the target's silence once
    ///   nothing more is to come.
    /// - Then: silence of both sides, which whatever moves ends. What waits for the target for longer than `timeouts.write` goes
    ///   nowhere any more, and with it the rest of the request.
    ///
    /// None runs while nobody looks here, as when the client takes nothing: they begin when somebody waits, and hearing ends them.
    fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<Result<Progress>>;

    /// The next of the answer, if it has come.
    fn event(&mut self) -> Result<Option<ResponseEvent>>;

    /// Time has passed. No other exchange begins on a connection on which this one has heard nothing: it may be dead.
    fn suspect(&mut self);

    /// The exchange is over, and the connection good for another if request and answer allow it. Without this it is closed.
    fn give_back(&mut self);
}

/// The target does not keep to the protocol: 502, its connection is closed, and it is not asked again.
pub fn bad_target(why: impl Into<ImmutStr>) -> Box<Error> {
    Error::create(ErrorType::HTTPStatus(502), ErrorSource::Upstream, Some(why.into()), None)
}

/// What a failed exchange says of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Staleness {
    /// The target has not begun with the request (RFC 9113 §8.7): any may be sent again.
    Untouched,
    /// The connection had been kept, and may have been closed by then: nothing came back, and nothing is known of the target by it.
    Stale,
    /// It failed by itself.
    Fresh,
}

impl Staleness {
    /// Of the error that ended an exchange before its answer. `was_stale`: what a connection in HTTP/1.1 says; a stream of HTTP/2
    /// says it by the error. `is_reused`: whether the connection of the stream had been used before.
    pub fn of(error: &mut Error, was_stale: Option<bool>, is_reused: bool) -> Self {
        error.retry.decide_reuse(is_reused);
        if *error.etype() == ErrorType::H2Error && error.retry() {
            return Self::Untouched;
        }
        if was_stale.unwrap_or_else(|| error.retry()) { Self::Stale } else { Self::Fresh }
    }
}

#[cfg(test)]
mod tests;
