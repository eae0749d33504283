//! What a connection in HTTP/2 looks at in the frames that it hands to the h2 library.

use std::io;
use std::task::{Context, Poll, ready};

use portreeve_wire::http2::GOAWAY_AT_ONCE;
use tokio::io::ReadBuf;

use super::{Arriving, Connection};
use crate::listener::refused::Reason;

impl Connection {
    /// Hands over frames. While a head is open nothing else may come (RFC 9113 §4.3), so one that trickles holds up the whole
    /// connection, and ends it.
    pub(super) fn poll_frames(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = self.poll_raw(cx, buf);
        let Some(Arriving { frames, uploads }) = self.frames.as_deref_mut() else { return read };
        if read.is_ready() {
            let heads = frames.heads();
            frames.take(buf.filled().get(before..).unwrap_or_default());
            uploads.arrives(frames.arriving());
            if frames.open_improperly() {
                return Poll::Ready(Err(self.refuse_opening(cx)));
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
}
