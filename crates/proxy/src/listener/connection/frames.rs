//! What a connection in HTTP/2 looks at in the frames that it hands to the h2 library.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use portreeve_wire::http2::GOAWAY_AT_ONCE;
use tokio::io::ReadBuf;

use super::{Arriving, Connection};
use crate::listener::refused::{LINGER_BYTES, Reason};

impl Connection {
    /// Hands over frames. While a head is open nothing else may come (RFC 9113 §4.3), so one that trickles holds up the whole
    /// connection, and ends it. Of a client that floods nothing more is read: whoever serves the connection looks for that
    /// ([`RequestControl::is_flooded`](crate::listener::connection_info::Line::is_flooded)) whenever it has asked for more, and ends it.
    pub(super) fn poll_frames(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.line.is_flooded() {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let read = self.poll_raw(cx, buf);
        let Some(Arriving { frames, uploads, overhead }) = self.frames.as_deref_mut() else { return read };
        if read.is_ready() {
            let heads = frames.heads();
            frames.take(buf.filled().get(before..).unwrap_or_default());
            uploads.arrives(frames.arriving());
            if frames.open_improperly() {
                return Poll::Ready(Err(self.refuse_opening(cx)));
            }
            if overhead.is_too_much(frames.cost(), || self.line.take_worth(), Instant::now) {
                self.line.set_flooded();
                return Poll::Pending;
            }
            if frames.heads() != heads || !frames.in_head() {
                self.patience.clear();
            }
        } else if frames.in_head() {
            ready!(self.patience.poll_within(cx, self.terms.head));
            return Poll::Ready(Err(self.refuse(Reason::SlowHead)));
        }
        read
    }

    /// The client does not begin as HTTP/2 does, which the h2 library lets pass (RFC 9113 §3.4).
    fn refuse_opening(&mut self, cx: &mut Context<'_>) -> io::Error {
        // What has been written so far are whole frames.
        self.out.extend_from_slice(&GOAWAY_AT_ONCE);
        match self.poll_all(cx) {
            // Whoever does not take it at once is not waited for.
            Poll::Ready(_) | Poll::Pending => self.refuse(Reason::Breach),
        }
    }

    /// Reads what a client that floods has still on the way, and throws it away: closing with bytes unread would reset the
    /// connection, and the client might lose the last word with it. Ready when it has closed its side, or sends too much.
    pub(super) fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.lingered < LINGER_BYTES {
            match ready!(self.poll_fill(cx)) {
                Ok(n) if n > 0 => self.lingered += n as u64,
                Ok(_) | Err(_) => break,
            }
            self.ahead.clear();
        }
        Poll::Ready(())
    }
}
