//! Bytes both ways between a client and a target, until both have said all, one breaks off, or time is up.
//!
//! A direction holds bytes only while its receiver does not take them, at most one read of [`READ`], and reads no more
//! meanwhile: so a slow receiver slows its sender. An idle connection has no buffer at all.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::super::transport::Transport;
use super::account::{Account, End};
use crate::deadline::Deadline;
use crate::upstream::Io;

/// Bytes read at once, and the most that a direction holds.
const READ: usize = 16 * 1024;

thread_local! {
    /// Shared by the connections of a worker.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// How long a connection may last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) idle: Duration,
    pub(super) total: Option<Duration>,
}

/// Passes bytes on until the end. What was passed is in `account` as it goes.
///
/// Where one side breaks off, the other is reset as well, so that it does not take a part for the whole.
pub(super) async fn relay(client: &mut Transport, target: &mut Io, limits: Limits, account: &mut Account) -> End {
    let end = between(client, target, limits, &mut |to_target, to_client| account.passed(to_target, to_client)).await;
    match end {
        Ended::Both => End::Closed,
        Ended::Idle { stuck } => {
            // Closed in the usual way, the kernel would go on holding what this client does not take.
            if stuck {
                reset(&SockRef::from(&*client));
            }
            End::IdleTimeout
        }
        Ended::Total => End::TotalTimeout,
        Ended::First { error } => {
            if is_reset(&error) {
                reset(&target.socket());
            }
            End::ClientReset
        }
        Ended::Second { error } => {
            if is_reset(&error) {
                reset(&SockRef::from(&*client));
            }
            End::TargetReset
        }
    }
}

/// The end of TLS without its farewell may be no more than bad manners; what was said before must still arrive.
fn is_reset(error: &io::Error) -> bool {
    error.kind() != io::ErrorKind::UnexpectedEof
}

/// When it is closed, the other side is told that this is no regular end.
fn reset(socket: &SockRef<'_>) {
    // It may be gone already.
    socket.set_linger(Some(Duration::ZERO)).ok();
}

/// How it ended between two streams.
#[derive(Debug)]
enum Ended {
    Both,
    /// `stuck`: bytes were waiting for the first stream, which did not take them.
    Idle {
        stuck: bool,
    },
    Total,
    First {
        error: io::Error,
    },
    Second {
        error: io::Error,
    },
}

/// Passes bytes on between two streams. `passed` is told how many more the second got of the first, and the other way round.
async fn between<A, B>(first: &mut A, second: &mut B, limits: Limits, passed: &mut impl FnMut(u64, u64)) -> Ended
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut there, mut back) = (Direction::default(), Direction::default());
    let (mut silence, mut life) = (Deadline::default(), Deadline::default());
    let until = limits.total.map(|total| Instant::now() + total);
    poll_fn(|cx| {
        let going = there.poll(cx, first, second);
        let coming = back.poll(cx, second, first);
        let (to_second, to_first) = (there.take_moved(), back.take_moved());
        if to_second + to_first > 0 {
            passed(to_second, to_first);
        }
        match (going, coming) {
            (Poll::Ready(Err(Broken::Source(error))), _) | (_, Poll::Ready(Err(Broken::Sink(error)))) => {
                return Poll::Ready(Ended::First { error });
            }
            (Poll::Ready(Err(Broken::Sink(error))), _) | (_, Poll::Ready(Err(Broken::Source(error)))) => {
                return Poll::Ready(Ended::Second { error });
            }
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(Ended::Both),
            _ => {}
        }
        if there.has_stirred() | back.has_stirred() {
            silence.clear();
        }
        if silence.poll_within(cx, limits.idle).is_ready() {
            return Poll::Ready(Ended::Idle { stuck: back.holds() });
        }
        if until.is_some_and(|until| life.poll_until(cx, until).is_ready()) {
            return Poll::Ready(Ended::Total);
        }
        Poll::Pending
    })
    .await
}

/// Which end of a direction broke.
enum Broken {
    Source(io::Error),
    Sink(io::Error),
}

/// Where a direction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stands {
    #[default]
    Open,
    /// The source has said all; the sink is to be told.
    Ending,
    Over,
}

/// One of the two directions.
#[derive(Debug, Default)]
struct Direction {
    /// Read, and not yet taken by the sink from `at` on.
    held: Vec<u8>,
    at: usize,
    stands: Stands,
    /// Written, but maybe not sent yet: TLS has a buffer of its own.
    unsent: bool,
    moved: u64,
    stirred: bool,
}

impl Direction {
    fn take_moved(&mut self) -> u64 {
        std::mem::take(&mut self.moved)
    }

    /// Whether anything happened since it was last asked.
    fn has_stirred(&mut self) -> bool {
        std::mem::take(&mut self.stirred)
    }

    fn holds(&self) -> bool {
        self.at < self.held.len()
    }

    /// Ready when the source has said all and the sink has been told.
    fn poll<A, B>(&mut self, cx: &mut Context<'_>, source: &mut A, sink: &mut B) -> Poll<Result<(), Broken>>
    where
        A: AsyncRead + Unpin,
        B: AsyncWrite + Unpin,
    {
        loop {
            if let Err(error) = ready!(self.poll_held(cx, sink)) {
                return Poll::Ready(Err(Broken::Sink(error)));
            }
            match self.stands {
                Stands::Open => match self.poll_source(cx, source, sink) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(broken)) => return Poll::Ready(Err(broken)),
                    Poll::Pending => {
                        if self.unsent {
                            ready!(Pin::new(&mut *sink).poll_flush(cx)).map_err(Broken::Sink)?;
                            self.unsent = false;
                        }
                        return Poll::Pending;
                    }
                },
                Stands::Ending => {
                    ready!(Pin::new(&mut *sink).poll_shutdown(cx)).map_err(Broken::Sink)?;
                    self.stands = Stands::Over;
                }
                Stands::Over => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Hands over what is held. Ready when nothing is.
    fn poll_held<B: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, sink: &mut B) -> Poll<io::Result<()>> {
        while let Some(rest) = self.held.get(self.at..).filter(|rest| !rest.is_empty()) {
            let n = ready!(Pin::new(&mut *sink).poll_write(cx, rest))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.at += n;
            self.has_moved(n);
        }
        if self.at > 0 {
            // Given back: most connections never hold anything again.
            (self.held, self.at) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once, and hands over what the sink takes at once. The rest is held.
    fn poll_source<A, B>(&mut self, cx: &mut Context<'_>, source: &mut A, sink: &mut B) -> Poll<Result<(), Broken>>
    where
        A: AsyncRead + Unpin,
        B: AsyncWrite + Unpin,
    {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buf = ReadBuf::new(scratch);
            ready!(Pin::new(source).poll_read(cx, &mut buf)).map_err(Broken::Source)?;
            let read = buf.filled();
            self.stirred = true;
            if read.is_empty() {
                self.stands = Stands::Ending;
                return Poll::Ready(Ok(()));
            }
            let n = match Pin::new(sink).poll_write(cx, read) {
                Poll::Ready(written) => written.map_err(Broken::Sink)?,
                Poll::Pending => 0,
            };
            self.has_moved(n);
            self.held.extend_from_slice(read.get(n..).unwrap_or_default());
            Poll::Ready(Ok(()))
        })
    }

    fn has_moved(&mut self, n: usize) {
        self.moved += n as u64;
        if n > 0 {
            (self.unsent, self.stirred) = (true, true);
        }
    }
}

#[cfg(test)]
#[path = "relay_tests.rs"]
mod tests;
