//! How many requests of one HTTP/2 connection are being served, for a connection that waits until none is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;

/// Counts them. Their connection is woken by the last one's end only: others mean nothing to it.
#[derive(Debug, Default)]
pub(super) struct Running {
    requests: AtomicUsize,
    connection: AtomicWaker,
}

/// A request that is being served, until it is dropped.
#[derive(Debug)]
pub(super) struct Counted(Arc<Running>);

impl Running {
    pub(super) fn begins(self: &Arc<Self>) -> Counted {
        self.requests.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
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
        if self.0.requests.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.connection.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Wake, Waker};

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_connection_is_woken_by_the_end_of_its_last_request_alone() {
        let (running, woken) = (Arc::<Running>::default(), Arc::<Woken>::default());
        let waker = Waker::from(woken.clone());
        let is_none = || running.poll_none(&mut Context::from_waker(&waker)).is_ready();
        assert!(is_none());
        let (one, another) = (running.begins(), running.begins());
        assert!(!is_none());
        drop(one);
        assert_eq!((is_none(), woken.0.load(Ordering::Relaxed)), (false, 0));
        drop(another);
        assert_eq!((is_none(), woken.0.load(Ordering::Relaxed)), (true, 1));
    }
}
