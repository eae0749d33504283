//! What Pingora wants of a stream beside bytes: an id, digests, a polite end.

use std::os::fd::AsRawFd;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID,
    UniqueIDType,
};
use tokio::io::AsyncWriteExt;

use super::Connection;

#[async_trait]
impl Shutdown for Connection {
    async fn shutdown(&mut self) {
        // The client may be gone already; there is nobody to tell.
        AsyncWriteExt::shutdown(self).await.ok();
    }
}

impl UniqueID for Connection {
    fn id(&self) -> UniqueIDType {
        self.io.as_raw_fd()
    }
}

/// TLS ends below, and HTTP/2 is chosen before Pingora gets a connection.
impl Ssl for Connection {}

#[async_trait]
impl Peek for Connection {}

impl GetTimingDigest for Connection {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Connection {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(self.facts.clone())
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.facts = Arc::new(digest);
    }
}

impl GetSocketDigest for Connection {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.socket.clone())
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.socket = Arc::new(digest);
    }
}
