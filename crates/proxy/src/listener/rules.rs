//! On what terms a listener takes connections, as one generation says.

use std::sync::Arc;
use std::time::Duration;

use portreeve_config::units::Networks;
use portreeve_config::{ConnectionRate, Listener, ListenerLimits};
use portreeve_wire::http1::Bounds;

use super::tls::Tls;

/// The terms of one listener. A connection keeps those it was accepted on.
#[derive(Debug)]
pub(crate) struct ListenerRules {
    /// What a request's head may take up.
    pub(crate) bounds: Bounds,
    pub(super) connections: usize,
    pub(super) connections_per_client: usize,
    pub(super) connection_rate: Option<ConnectionRate>,
    pub(super) requests_per_connection: u32,
    pub(super) handshake: Duration,
    pub(super) head: Duration,
    pub(super) idle: Duration,
    pub(super) stall: Duration,
    /// Bytes per second; 0 for none.
    pub(super) min_body_rate: u64,
    pub(super) proxy_protocol: bool,
    /// Whether HTTP/2 is spoken here without TLS, by prior knowledge. With TLS, ALPN says.
    pub(super) http2: bool,
    pub(super) trusted: Arc<Networks>,
    pub(crate) tls: Option<Tls>,
}

impl ListenerRules {
    pub(crate) fn new(listener: &Listener, trusted: Arc<Networks>, tls: Option<Tls>) -> Self {
        let ListenerLimits { head_size, headers, uri, .. } = &listener.limits;
        let limits = &listener.limits;
        let bytes = |size: portreeve_config::units::Size| usize::try_from(size.bytes()).unwrap_or(usize::MAX);
        Self {
            bounds: Bounds {
                head_bytes: bytes(*head_size),
                fields: usize::from(*headers),
                target_bytes: bytes(*uri),
                ..Bounds::default()
            },
            connections: usize::try_from(limits.connections).unwrap_or(usize::MAX),
            connections_per_client: usize::try_from(limits.connections_per_client).unwrap_or(usize::MAX),
            connection_rate: limits.connection_rate,
            requests_per_connection: limits.requests_per_connection,
            handshake: limits.handshake.get(),
            head: limits.head.get(),
            idle: limits.idle.get(),
            stall: limits.stall.get(),
            min_body_rate: limits.min_body_rate.bytes(),
            proxy_protocol: listener.proxy_protocol,
            http2: true,
            trusted,
            tls,
        }
    }
}
