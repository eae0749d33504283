//! A connection lent for one exchange, as a stream that ends where the answer does.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use portreeve_wire::http1::Content;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::attempt::UpstreamAttempt;
use super::idle;
use super::race::{self, Race};
use super::wire::Link;

/// A connection that is whose exchange it is until this is dropped. Then it is kept if it was given back, and closed otherwise.
#[derive(Debug)]
pub struct ConnectionLease {
    link: Option<Box<Link>>,
    attempt: Arc<UpstreamAttempt>,
    given_back: bool,
    /// As long as another target may be heard instead of this one.
    race: Option<Box<Race>>,
    /// What was read while two raced.
    ahead: BytesMut,
}

impl ConnectionLease {
    /// A connection that was kept, if there is one.
    pub fn kept(attempt: &Arc<UpstreamAttempt>) -> Option<Self> {
        idle::take(&attempt.dial, attempt.kept()).map(|link| Self::new(link, attempt.clone()))
    }

    /// A new connection, or, where there may not be one more, one that has become idle meanwhile. Cancel safe.
    ///
    /// # Errors
    /// Nobody answers at the address in time, or not who should.
    pub async fn open(attempt: &Arc<UpstreamAttempt>) -> pingora::Result<Self> {
        race::connect(attempt).await.map(|link| Self::new(link, attempt.clone()))
    }

    /// How the body of the answer is delimited, once its head has come.
    pub fn content(&self) -> Option<Content> {
        self.link.as_ref()?.content()
    }

    /// Whether the request offers another protocol.
    pub fn offers_upgrade(&self) -> bool {
        self.attempt.offers_upgrade()
    }

    /// More of the request is to come: until then no silence of the target is too long.
    pub fn waits_for_the_rest(&self) {
        self.attempt.waits_for_the_rest();
    }

    /// The request is whole, or cannot be sent: from now on it is the target that is waited for.
    pub fn sends_no_more(&self) {
        self.attempt.is_sent();
    }

    /// The exchange is over. Another may follow if request and answer allow it.
    pub fn give_back(&mut self) {
        self.given_back = true;
    }

    pub(super) fn new(mut link: Box<Link>, attempt: Arc<UpstreamAttempt>) -> Self {
        link.ask(attempt.params.asked);
        if link.was_kept() {
            attempt.reuses();
        }
        let race = Race::new(&attempt);
        Self { link: Some(link), attempt, given_back: false, race, ahead: BytesMut::new() }
    }

    /// Waits for the beginning of an answer, while another target may be heard instead: what came of it, or `None` if the
    /// race is over and there is nothing to hand over from it.
    fn poll_race(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Option<io::Result<()>>> {
        let (Some(race), Some(link)) = (&mut self.race, &mut self.link) else { return Poll::Ready(None) };
        if !race.is_on() {
            if let Poll::Ready(came) = link.poll_answer(cx, buf, &self.attempt) {
                self.race = None;
                return Poll::Ready(Some(came));
            }
            match race.poll_begin(cx, &self.attempt) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(()) => {
                    self.race = None;
                    return Poll::Pending;
                }
            }
        }
        let heard = ready!(race.poll(cx, link, &self.attempt));
        self.race = None;
        if let Some(other) = heard.link {
            self.link = Some(other);
            self.attempt.hear();
        }
        self.ahead = heard.read;
        if self.ahead.is_empty() { Poll::Ready(Some(heard.end)) } else { Poll::Ready(None) }
    }

    /// The connection; it is there until the loan is dropped.
    fn link(&mut self) -> io::Result<(&mut Link, &UpstreamAttempt)> {
        match &mut self.link {
            Some(link) => Ok((link, &self.attempt)),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl AsyncRead for ConnectionLease {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.race.is_some()
            && let Some(came) = ready!(self.poll_race(cx, buf))
        {
            return Poll::Ready(came);
        }
        if !self.ahead.is_empty() {
            let n = self.ahead.len().min(buf.remaining());
            buf.put_slice(&self.ahead.split_to(n));
            return Poll::Ready(Ok(()));
        }
        let (link, attempt) = self.link()?;
        if link.is_at_end() {
            return Poll::Ready(Ok(()));
        }
        link.poll_answer(cx, buf, attempt)
    }
}

impl AsyncWrite for ConnectionLease {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let (link, attempt) = self.link()?;
        let written = ready!(link.poll_request(cx, buf, attempt))?;
        let sent = buf.get(..written).unwrap_or_default();
        if self.race.as_mut().is_some_and(|race| !race.sent(sent)) {
            self.race = None;
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (link, attempt) = self.link()?;
        link.poll_flush(cx, attempt)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (link, _) = self.link()?;
        link.poll_shutdown(cx)
    }
}

impl Drop for ConnectionLease {
    fn drop(&mut self) {
        let is_shared = self.attempt.first.is_empty();
        if let Some(mut link) = self.link.take().filter(|link| self.given_back && is_shared && link.may_be_kept()) {
            link.keep();
            idle::keep(link);
        }
    }
}
