//! What is known of a connection once its handshake is over.

use std::sync::Arc;
use std::time::SystemTime;

use portreeve_plugin::{ClientTls, TlsVersion};
use tokio_rustls::rustls::{CertificateError, HandshakeKind, ProtocolVersion, ServerConnection};

use super::handshake::HandshakeError;
use super::x509;

/// What is known of a TLS connection.
#[derive(Debug, Clone)]
pub(crate) struct TlsInfo {
    /// What plugins may know: version, the name asked for, the client's certificate. One value for all requests.
    pub(crate) client: Arc<ClientTls>,
    /// Whether the client and this listener agreed on HTTP/2; else it is HTTP/1.1.
    pub(crate) http2: bool,
    /// The handshake went on from an earlier one: a session was resumed.
    pub(crate) resumed: bool,
}

impl TlsInfo {
    /// The client's certificate is looked at again: a ticket may be older than its last day.
    pub(super) fn of(connection: &ServerConnection) -> Result<Self, HandshakeError> {
        let version = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => TlsVersion::V1_2,
            _ => TlsVersion::V1_3,
        };
        let mut client = ClientTls::new(version);
        if let Some(name) = connection.server_name() {
            client = client.asking_for(name);
        }
        if let Some(leaf) = connection.peer_certificates().and_then(<[_]>::first) {
            let certificate =
                x509::client(leaf).ok_or_else(|| HandshakeError::client(CertificateError::BadEncoding))?;
            if certificate.not_after < SystemTime::now() {
                return Err(HandshakeError::client(CertificateError::Expired));
            }
            client = client.with_certificate(certificate);
        }
        Ok(Self {
            client: Arc::new(client),
            http2: connection.alpn_protocol() == Some(b"h2"),
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        })
    }
}
