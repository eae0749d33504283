//! One attempt's way to its target and back: what the hooks tell the connection, and what it tells them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::VirtualSocketStream;
use pingora::{Error, ErrorType, ImmutStr};
use portreeve_wire::http1::{Asked, Flaw};

use super::loan::Loan;
use super::{Dial, idle};
use crate::trailers::Carrier;
use crate::web_socket::WebSocket;

/// What an attempt asks of its connection.
#[derive(Debug, Clone, Copy)]
pub(in crate::upstream) struct Terms {
    pub(in crate::upstream) asked: Asked,
    /// Longest silence of the target while anything is expected of it.
    pub(in crate::upstream) silence: Duration,
    /// A kept connection serves only if it has been idle for less.
    pub(in crate::upstream) idle: Duration,
}

/// What went wrong on a connection, which Pingora cannot tell by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The target said nothing for too long.
    Silent,
    /// It took nothing for too long.
    Stalled,
    /// What it said is no well-formed answer.
    Flawed(Flaw),
}

/// One attempt's way to its target and back.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(super) dial: Arc<Dial>,
    pub(super) terms: Terms,
    reused: AtomicBool,
    heard: AtomicBool,
    fault: Mutex<Option<Fault>>,
    /// What follows the bodies of the request and of its answer.
    pub(crate) trailers: Carrier,
    web_socket: OnceLock<Arc<WebSocket>>,
}

impl Leg {
    pub(in crate::upstream) fn new(dial: Arc<Dial>, terms: Terms) -> Arc<Self> {
        Arc::new(Self {
            dial,
            terms,
            reused: AtomicBool::new(false),
            heard: AtomicBool::new(false),
            fault: Mutex::new(None),
            trailers: Carrier::default(),
            web_socket: OnceLock::new(),
        })
    }

    /// Something of an answer has come.
    pub(super) fn hear(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    pub(super) fn fail(&self, fault: Fault) {
        *self.fault.lock() = Some(fault);
    }

    /// What the target has answered 101 to is a WebSocket.
    pub(crate) fn open_web_socket(&self, socket: Arc<WebSocket>) {
        self.web_socket.set(socket).ok();
    }

    pub(super) fn web_socket(&self) -> Option<&WebSocket> {
        self.web_socket.get().map(|socket| &**socket)
    }

    /// The attempt met a kept connection that the target had closed meanwhile: nothing came back, and nothing is known of the
    /// target by it. Whether the target has seen the request is not known either.
    pub(crate) fn was_stale(&self) -> bool {
        self.reused.load(Ordering::Relaxed) && !self.has_heard() && self.fault.lock().is_none()
    }

    /// Puts into an error of Pingora's what it is about: it knows only that the connection failed.
    pub(crate) fn explain(&self, error: &mut Error) {
        match *self.fault.lock() {
            None => {}
            Some(Fault::Silent) => error.etype = ErrorType::ReadTimedout,
            Some(Fault::Stalled) => error.etype = ErrorType::WriteTimedout,
            Some(Fault::Flawed(flaw)) => {
                error.etype = ErrorType::HTTPStatus(502);
                error.context = Some(ImmutStr::from(format!("the target's answer is refused: {flaw}")));
                error.cause = None;
            }
        }
    }
}

/// What Pingora is given to connect by: it gets a kept connection, or a new one.
#[derive(Debug)]
pub(in crate::upstream) struct Connecting(pub(in crate::upstream) Arc<Leg>);

#[async_trait]
impl L4Connect for Connecting {
    async fn connect(&self, _: &SocketAddr) -> pingora::Result<Stream> {
        let leg = &self.0;
        let link = match idle::take(&leg.dial, leg.terms.idle) {
            Some(link) => {
                leg.reused.store(true, Ordering::Relaxed);
                link
            }
            None => leg.dial.open().await?,
        };
        Ok(VirtualSocketStream::new(Box::new(Loan::new(link, leg.clone()))).into())
    }
}
