//! How many requests of one HTTP/2 connection are being served, for a connection that waits until none is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;

use crate::listener::connection_limiter::{Another, Full, Place};

/// Counts them. Their connection is woken by the last one's end only: others mean nothing to it.
#[derive(Debug)]
pub(super) struct Running {
    requests: AtomicUsize,
    connection: AtomicWaker,
    place: Arc<Place>,
}

/// A request that is being served, until it is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    running: Arc<Running>,
    _another: Option<Another>,
}

impl Running {
    pub(super) fn new(place: Arc<Place>) -> Arc<Self> {
        Arc::new(Self { requests: AtomicUsize::new(0), connection: AtomicWaker::new(), place })
    }

    /// Another request: it counts for its client as a connection does if it is not the only one of its own.
    pub(super) fn begins(self: &Arc<Self>) -> Result<Counted, Full> {
        let is_only = self.requests.load(Ordering::Relaxed) == 0;
        let another = if is_only { None } else { Some(self.place.another()?) };
        self.requests.fetch_add(1, Ordering::Relaxed);
        Ok(Counted { running: self.clone(), _another: another })
    }

    /// Ready while no request is being served. For one task, the connection's.
    pub(super) fn poll_none(&self, cx: &mut Context<'_>) -> Poll<()> {
        // Registered before it looks, or the end of the last one could come in between.
        self.connection.register(cx.waker());
        if self.requests.load(Ordering::Acquire) == 0 { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.running.requests.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.running.connection.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Wake, Waker};

    use super::*;
    use crate::listener::connection_limiter::ConnectionLimiter;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_connection_is_woken_by_the_end_of_its_last_request_alone() {
        let place = Arc::new(ConnectionLimiter::default()).enter(1).unwrap();
        let (running, woken) = (Running::new(Arc::new(place)), Arc::<Woken>::default());
        let waker = Waker::from(woken.clone());
        let is_none = || running.poll_none(&mut Context::from_waker(&waker)).is_ready();
        assert!(is_none());
        let (one, another) = (running.begins().unwrap(), running.begins().unwrap());
        assert!(!is_none());
        drop(one);
        assert_eq!((is_none(), woken.0.load(Ordering::Relaxed)), (false, 0));
        drop(another);
        assert_eq!((is_none(), woken.0.load(Ordering::Relaxed)), (true, 1));
    }
}
