//! What a connection carries after a 101: bytes as they come, and of a WebSocket the goodbye when the gateway stops.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::Connection;
use crate::web_socket::{ClientEnd, Passage, To};

impl Connection {
    /// What follows the head of the answer is another protocol.
    pub(in crate::listener) fn open_tunnel(&mut self) {
        self.pass_raw();
        self.web_socket = self.line.web_socket().map(|socket| Box::new(ClientEnd::new(socket.clone(), &self.farewell)));
    }

    /// Gathers bytes for the client's side. They go out while somebody waits for the client.
    pub(in crate::listener) fn put_tunnel(&mut self, mut bytes: &[u8]) {
        let Some(socket) = self.web_socket.as_ref().map(|guest| guest.socket.clone()) else {
            return self.out.extend_from_slice(bytes);
        };
        while !bytes.is_empty() {
            if let Some(goodbye) = socket.goodbye(To::Client) {
                self.out.extend_from_slice(&goodbye);
            }
            let Passage::Pass(room) = socket.passage(To::Client, bytes) else { return };
            let (passes, rest) = bytes.split_at(room.clamp(1, bytes.len()));
            self.out.extend_from_slice(passes);
            socket.passed(To::Client, passes);
            bytes = rest;
        }
    }

    /// Whether all that was gathered has been sent.
    pub(in crate::listener) fn has_sent(&self) -> bool {
        self.out.is_empty() && !self.is_held
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
}
