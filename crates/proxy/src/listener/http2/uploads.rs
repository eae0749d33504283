//! The request bodies that are on their way on one HTTP/2 connection: whether it is the client that keeps one waiting, or others
//! that fill the window all share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use h2::{FlowControl, StreamId};
use parking_lot::Mutex;

use super::CONNECTION_WINDOW;

/// What the bodies of a connection know of each other, and of the frame that is coming in.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    /// The stream whose frame is on its way, and how many bytes of it have come: h2 hands over whole frames only.
    arriving: AtomicU64,
    /// Of each open body, what we have not taken of it.
    open: Mutex<HashMap<StreamId, FlowControl>>,
}

impl Uploads {
    /// So much has come of the frame that is on its way, if it is one of a body.
    pub(crate) fn arrives(&self, frame: Option<(u32, usize)>) {
        let (stream, bytes) = frame.unwrap_or_default();
        // A frame is shorter than 2^24 bytes.
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.arriving.store(u64::from(stream) << 32 | u64::from(bytes), Ordering::Relaxed);
    }

    /// Bytes that have come of this stream's body, but not as a whole frame.
    pub(super) fn arriving(&self, stream: StreamId) -> u64 {
        let arriving = self.arriving.load(Ordering::Relaxed);
        if arriving >> 32 == u64::from(stream.as_u32()) { arriving & 0xffff_ffff } else { 0 }
    }

    pub(super) fn begins(&self, stream: StreamId, window: FlowControl) {
        self.open.lock().insert(stream, window);
    }

    pub(super) fn ends(&self, stream: StreamId) {
        self.open.lock().remove(&stream);
    }

    /// Whether bodies that wait for their targets hold so much that the window of the connection may be shut: h2 opens it
    /// again when half of it has been given back.
    pub(super) fn hold_the_window(&self) -> bool {
        let held: usize = self.open.lock().values().map(FlowControl::used_capacity).sum();
        held >= CONNECTION_WINDOW as usize / 2
    }
}
