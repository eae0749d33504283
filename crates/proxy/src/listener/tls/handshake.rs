//! Why a handshake failed: a closed set of words, for metrics.

use std::io;

use tokio_rustls::rustls::{CertificateError, Error, InvalidMessage, PeerIncompatible};

/// A handshake that did not come to its end.
#[derive(Debug, thiserror::Error)]
#[error("the TLS handshake failed ({}): {source}", reason.as_str())]
pub(crate) struct HandshakeError {
    reason: Reason,
    source: io::Error,
}

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Closed,
    NotTls,
    Version,
    Cipher,
    Protocol,
    Name,
    ClientCertificateMissing,
    ClientCertificateRefused,
    Alert,
    Looked,
    Other,
}

impl Reason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::NotTls => "not_tls",
            Self::Version => "no_shared_version",
            Self::Cipher => "no_shared_cipher",
            Self::Protocol => "no_shared_protocol",
            Self::Name => "no_certificate",
            Self::ClientCertificateMissing => "client_certificate_missing",
            Self::ClientCertificateRefused => "client_certificate_refused",
            Self::Alert => "refused_by_client",
            Self::Looked => "acme_challenge",
            Self::Other => "other",
        }
    }
}

impl HandshakeError {
    /// One word of a closed set.
    pub(crate) fn reason(&self) -> &'static str {
        self.reason.as_str()
    }

    /// An authority has looked whether a name is ours, which is all it wanted.
    pub(super) fn looked() -> Self {
        Self { reason: Reason::Looked, source: io::Error::other("an ACME challenge") }
    }

    /// The certificate that the client showed is not good after all.
    pub(super) fn client(why: CertificateError) -> Self {
        let error = Error::InvalidCertificate(why);
        Self { reason: Reason::ClientCertificateRefused, source: io::Error::new(io::ErrorKind::InvalidData, error) }
    }
}

impl From<io::Error> for HandshakeError {
    fn from(source: io::Error) -> Self {
        let reason = source.get_ref().and_then(|inner| inner.downcast_ref()).map_or(Reason::Closed, why);
        Self { reason, source }
    }
}

fn why(error: &Error) -> Reason {
    match error {
        // What is not TLS looks like a record of an unknown kind or version, or of a length that cannot be.
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge
            | InvalidMessage::InvalidEmptyPayload,
        ) => Reason::NotTls,
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired,
        ) => Reason::Version,
        Error::PeerIncompatible(_) => Reason::Cipher,
        Error::NoApplicationProtocol => Reason::Protocol,
        // What rustls says when the resolver has no certificate.
        Error::General(_) => Reason::Name,
        Error::NoCertificatesPresented => Reason::ClientCertificateMissing,
        Error::InvalidCertificate(_) | Error::InvalidCertRevocationList(_) => Reason::ClientCertificateRefused,
        Error::AlertReceived(_) => Reason::Alert,
        _ => Reason::Other,
    }
}
