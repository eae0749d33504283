//! What has been read of a request's body, kept as far as another attempt may need it.

use bytes::{Bytes, BytesMut};

/// Bytes that are kept.
const MOST: usize = 64 * 1024;

/// A body as far as it has been read, or that it was too long to be kept.
#[derive(Debug, Default)]
pub(super) struct ReplayBuffer {
    /// Copies: a piece of what was read may hold much more than itself in memory.
    bytes: BytesMut,
    is_truncated: bool,
}

impl ReplayBuffer {
    /// So much more has been read.
    pub(super) fn take(&mut self, bytes: &Bytes) {
        if self.is_truncated || self.bytes.len() + bytes.len() > MOST {
            (self.is_truncated, self.bytes) = (true, BytesMut::new());
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// More was read than is kept.
    pub(super) fn is_truncated(&self) -> bool {
        self.is_truncated
    }

    /// All that was read, if it was kept, and anything was.
    pub(super) fn whole(&self) -> Option<Bytes> {
        let is_there = !self.is_truncated && !self.bytes.is_empty();
        is_there.then(|| Bytes::copy_from_slice(&self.bytes))
    }
}
