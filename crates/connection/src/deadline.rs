//! One timer for a connection, however many deadlines it has, and however often they move.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is set once and moved only when it goes off: a deadline that moves further away, as every request on a kept
/// connection moves it, costs nothing.
#[derive(Debug, Default)]
pub struct Deadline {
    sleep: Option<Pin<Box<Sleep>>>,
    until: Option<Instant>,
}

impl Deadline {
    /// No deadline any more. The timer may still go off and finds that out.
    pub fn clear(&mut self) {
        self.until = None;
    }

    /// Ready when `limit` has passed since the first call after the last [`Self::clear`].
    pub fn poll_within(&mut self, cx: &mut Context<'_>, limit: Duration) -> Poll<()> {
        let until = *self.until.get_or_insert_with(|| Instant::now() + limit);
        self.poll_until(cx, until)
    }

    /// Nearer than that it was: at most `limit` from now.
    pub fn hurry(&mut self, limit: Duration) {
        let soon = Instant::now() + limit;
        self.until = Some(self.until.map_or(soon, |until| until.min(soon)));
    }

    /// Ready at `until`.
    pub fn poll_until(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if sleep.deadline() > until {
            sleep.as_mut().reset(until);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= until {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(until);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_moved_away_goes_off_where_it_moved_to() {
        let (mut deadline, start) = (Deadline::default(), Instant::now());
        let poll_once = |deadline: &mut Deadline, limit: Duration| {
            let waker = futures::task::noop_waker();
            deadline.poll_within(&mut Context::from_waker(&waker), limit)
        };
        assert!(poll_once(&mut deadline, Duration::from_secs(5)).is_pending());
        tokio::time::advance(Duration::from_secs(3)).await;
        deadline.clear();
        poll_fn(|cx| deadline.poll_within(cx, Duration::from_secs(5))).await;
        assert_eq!(start.elapsed().as_secs(), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn a_nearer_deadline_does_not_wait_for_the_farther_one() {
        let (mut deadline, start) = (Deadline::default(), Instant::now());
        let waker = futures::task::noop_waker();
        let first = deadline.poll_within(&mut Context::from_waker(&waker), Duration::from_secs(75));
        assert!(first.is_pending());
        deadline.hurry(Duration::from_millis(100));
        poll_fn(|cx| deadline.poll_within(cx, Duration::from_secs(75))).await;
        assert_eq!(start.elapsed().as_millis(), 100);
    }
}
