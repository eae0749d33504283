//! What never reaches a hook is told here: handshakes, connections that were not served, and requests that were refused at the wire.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::listener::{ConnectionInfo, Reason, TlsInfo};
use crate::observe::{Line, RefusedLine};
use crate::request::phases::Phases;
use crate::snapshot::CompiledListener;

impl Phases {
    /// What the live generation says of a listener; `None` if it does not have it any more.
    pub(crate) fn entrance(&self, listener: usize) -> Option<Arc<CompiledListener>> {
        self.live.load().listeners.get(listener).and_then(Option::as_ref).cloned()
    }

    /// Counts a connection that was not served.
    pub(crate) fn count_refused(&self, entrance: &CompiledListener, reason: &'static str) {
        self.metrics.connection_refused(&entrance.name, reason);
    }

    /// Counts a connection that was not served, and writes its line in the access log.
    pub(crate) fn connection_refused(
        &self,
        entrance: &CompiledListener,
        client: SocketAddr,
        reason: &'static str,
        duration: Duration,
    ) {
        self.count_refused(entrance, reason);
        let snapshot = self.live.load();
        if !snapshot.access_log.is_on() {
            return;
        }
        snapshot.access_log.write(&RefusedLine {
            generation: snapshot.generation,
            client_ip: client.ip().to_canonical(),
            listener: &entrance.name,
            duration,
            reason,
        });
    }

    /// Counts a TLS handshake that came to its end.
    pub(crate) fn shook_hands(&self, entrance: &CompiledListener, tls: &TlsInfo) {
        self.metrics.tls_handshake(&entrance.name, tls.client.version.as_str(), tls.resumed);
    }

    /// Counts a request that was refused at the wire, and writes its line in the access log. `sent`: bytes of the page that the
    /// client was sent; `None` if it was not answered.
    pub(crate) fn request_refused(
        &self,
        entrance: &CompiledListener,
        facts: &ConnectionInfo,
        reason: Reason,
        request_id: &str,
        duration: Duration,
        sent: Option<u64>,
    ) {
        self.metrics.request_refused(&entrance.name, reason.label());
        let snapshot = self.live.load();
        if !snapshot.access_log.is_on() {
            return;
        }
        snapshot.access_log.write(&Line {
            request_id,
            generation: snapshot.generation,
            client_ip: facts.client.ip(),
            listener: &entrance.name,
            // What was sent is not understood, so nothing of it is repeated here.
            method: "",
            host: "",
            path: "",
            status: sent.map(|_| reason.status().as_u16()),
            grpc_status: None,
            route: None,
            consumer: None,
            auth_method: None,
            credential: None,
            upstream: None,
            target: None,
            attempts: 0,
            hedge: None,
            duration,
            bytes_in: 0,
            bytes_out: sent.unwrap_or(0),
            reason: None,
            error: Some(&reason.to_string()),
            decisions: &[],
        });
    }
}
