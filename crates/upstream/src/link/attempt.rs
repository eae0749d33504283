//! One attempt's way to its target and back: what the hooks tell the connection, and what it tells them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use pingora::{Error, ErrorType, ImmutStr};
use portreeve_wire::http1::{Asked, Flaw};

use super::Dial;
use super::hedge_state::{HedgeState, Settled};
use crate::connector::Silence;
use crate::hedge::Hedge;
use portreeve_connection::trailers::Carrier;
use portreeve_connection::web_socket::WebSocket;

/// What an attempt asks of its connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttemptParams {
    pub(crate) asked: Asked,
    pub(crate) silence: Silence,
    /// A kept connection serves only if it has been idle for less.
    pub(crate) idle: Duration,
}

/// What went wrong on a connection, which an error of reading or writing does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WireFault {
    /// The target said nothing for too long.
    Silent,
    /// It took nothing for too long.
    Stalled,
    /// What it said is no well-formed answer.
    Flawed(Flaw),
}

/// One attempt's way to its target and back.
#[derive(Debug)]
pub struct UpstreamAttempt {
    pub(super) dial: Arc<Dial>,
    pub(super) params: AttemptParams,
    reused: AtomicBool,
    /// The request is still coming in, so that the target may wait for the rest of it.
    is_partial: AtomicBool,
    heard: AtomicBool,
    fault: Mutex<Option<WireFault>>,
    /// What is said before anything else, if the target wants to know for whom the connection is. Such a connection serves
    /// nobody else.
    pub(super) first: Bytes,
    /// Who may be asked beside the target.
    pub(super) hedge: HedgeState,
    /// What follows the bodies of the request and of its answer.
    pub trailers: Carrier,
    web_socket: OnceLock<Arc<WebSocket>>,
}

impl UpstreamAttempt {
    pub(crate) fn new(dial: Arc<Dial>, params: AttemptParams) -> Arc<Self> {
        Self::with(dial, params, Bytes::new(), None)
    }

    /// One that begins with these bytes, and may be overtaken.
    pub(crate) fn with(dial: Arc<Dial>, params: AttemptParams, first: Bytes, hedge: Option<Hedge>) -> Arc<Self> {
        Arc::new(Self {
            dial,
            params,
            first,
            hedge: HedgeState::new(hedge),
            reused: AtomicBool::new(false),
            is_partial: AtomicBool::new(false),
            heard: AtomicBool::new(false),
            fault: Mutex::new(None),
            trailers: Carrier::default(),
            web_socket: OnceLock::new(),
        })
    }

    /// Whether the request offers another protocol.
    pub fn offers_upgrade(&self) -> bool {
        self.params.asked.upgrade
    }

    /// The request is still coming in: until it is whole, no silence of the target is too long. What bounds the client bounds it.
    pub(super) fn waits_for_the_rest(&self) {
        self.is_partial.store(true, Ordering::Relaxed);
    }

    /// It has come whole.
    pub(super) fn is_sent(&self) {
        self.is_partial.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_partial(&self) -> bool {
        self.is_partial.load(Ordering::Relaxed)
    }

    /// Something of an answer has come.
    pub(super) fn hear(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    pub(super) fn fail(&self, fault: WireFault) {
        *self.fault.lock() = Some(fault);
    }

    /// What the target has answered 101 to is a WebSocket.
    pub fn open_web_socket(&self, socket: Arc<WebSocket>) {
        self.web_socket.set(socket).ok();
    }

    pub(super) fn web_socket(&self) -> Option<&WebSocket> {
        self.web_socket.get().map(|socket| &**socket)
    }

    /// A kept connection serves only if it has been idle for less.
    pub(super) fn kept(&self) -> Duration {
        if self.first.is_empty() { self.params.idle } else { Duration::ZERO }
    }

    /// The race is over. What was wrong with the first is forgotten when the second is heard.
    pub(super) fn settle(&self, settled: Settled) {
        if settled.won.is_some() {
            *self.fault.lock() = None;
        }
        self.hedge.settle(settled);
    }

    /// How the race ended, if there was one, or that it came to no end: told once.
    pub fn settled(&self) -> Option<Settled> {
        self.hedge.settled()
    }

    /// The connection was used before: it may have been closed meanwhile.
    pub(super) fn reuses(&self) {
        self.reused.store(true, Ordering::Relaxed);
    }

    /// What went wrong, in the words of log and metrics.
    pub(super) fn fault_of(&self) -> crate::fault::Fault {
        match *self.fault.lock() {
            None => crate::fault::Fault::Reset,
            Some(WireFault::Silent | WireFault::Stalled) => crate::fault::Fault::AnswerTimeout,
            Some(WireFault::Flawed(_)) => crate::fault::Fault::BadAnswer,
        }
    }

    /// The attempt met a kept connection that the target had closed meanwhile: nothing came back, and nothing is known of the
    /// target by it. Whether the target has seen the request is not known either.
    pub fn was_stale(&self) -> bool {
        self.reused.load(Ordering::Relaxed) && !self.has_heard() && self.fault.lock().is_none()
    }

    /// Puts into an error what it is about: reading and writing know only that the connection failed.
    pub fn explain(&self, error: &mut Error) {
        match *self.fault.lock() {
            None => {}
            Some(WireFault::Silent) => error.etype = ErrorType::ReadTimedout,
            Some(WireFault::Stalled) => error.etype = ErrorType::WriteTimedout,
            Some(WireFault::Flawed(flaw)) => {
                error.etype = ErrorType::HTTPStatus(502);
                error.context = Some(ImmutStr::from(format!("the target's answer is refused: {flaw}")));
                error.cause = None;
            }
        }
    }
}
