//! What a connection carries after a 101: bytes as they come, and of a WebSocket the goodbye when the gateway stops.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::{Connection, Reading};
use crate::web_socket::{Guest, Passage, To};

impl Connection {
    /// Follows the hooks into another protocol.
    pub(super) fn note_tunnel(&mut self) {
        if self.reading == Reading::Requests && self.line.is_tunnel() {
            self.reading = Reading::Raw;
            self.web_socket = self.line.web_socket().map(|socket| Box::new(Guest::new(socket.clone(), &self.farewell)));
        }
    }

    /// What comes after a 101, until a WebSocket has been told that the gateway goes away and both ends have said goodbye.
    pub(super) fn poll_tunnel(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(guest) = &mut self.web_socket {
            if let Some(goodbye) = guest.poll_goodbye(cx) {
                self.out.extend_from_slice(&goodbye);
            }
            if guest.socket.is_over() {
                return Poll::Ready(Ok(()));
            }
        }
        let before = buf.filled().len();
        ready!(self.poll_raw(cx, buf))?;
        match &self.web_socket {
            Some(guest) if buf.filled().len() == before && guest.socket.leaves(To::Target) => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        }
    }

    pub(super) fn poll_raw(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        self.hand_over(usize::MAX, buf);
        Poll::Ready(Ok(()))
    }

    /// Sends what goes to the client's side of a WebSocket.
    pub(super) fn poll_frames_out(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Some(socket) = self.web_socket.as_ref().map(|guest| guest.socket.clone()) else {
            return Poll::Ready(Ok(0));
        };
        if let Some(goodbye) = socket.goodbye(To::Client) {
            self.out.extend_from_slice(&goodbye);
        }
        let Passage::Pass(room) = socket.passage(To::Client, buf) else { return Poll::Ready(Ok(buf.len())) };
        let taken = ready!(self.poll_gather(cx, buf.get(..room).unwrap_or(buf)))?;
        socket.passed(To::Client, buf.get(..taken).unwrap_or_default());
        Poll::Ready(Ok(taken))
    }
}
