//! What a plugin may know of the TLS connection that a request came on.

use std::sync::Arc;
use std::time::SystemTime;

/// The TLS connection of a client, as the gateway's listener ended it. `None` where a context offers it means: in clear.
///
/// One value serves every request of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientTls {
    /// The version that was agreed on.
    pub version: TlsVersion,
    /// The name the client asked for (SNI), in lower case. `None` when it asked for none.
    pub server_name: Option<Arc<str>>,
    /// The certificate the client showed, if it showed one. It was verified then: its chain, its time, its revocation if the
    /// listener has lists, and that the client has its key.
    pub client_certificate: Option<ClientCertificate>,
}

impl ClientTls {
    /// A connection of this version whose client asked for no name and showed no certificate.
    pub const fn new(version: TlsVersion) -> Self {
        Self { version, server_name: None, client_certificate: None }
    }

    /// With the name the client asked for.
    #[must_use]
    pub fn asking_for(mut self, server_name: &str) -> Self {
        self.server_name = Some(server_name.to_ascii_lowercase().into());
        self
    }

    /// With the certificate the client showed.
    #[must_use]
    pub fn with_certificate(mut self, certificate: ClientCertificate) -> Self {
        self.client_certificate = Some(certificate);
        self
    }
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}

impl TlsVersion {
    /// `TLSv1.2`, `TLSv1.3`: the names OpenSSL and nginx use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1_2 => "TLSv1.2",
            Self::V1_3 => "TLSv1.3",
        }
    }
}

/// A certificate that a client showed and that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientCertificate {
    /// Its subject as text (RFC 4514, most general part first as OpenSSL prints it): `O=Example, CN=billing`.
    pub subject: Arc<str>,
    /// Its subject alternative names, each with its kind before it: `DNS:billing.internal`, `URI:spiffe://example/billing`,
    /// `email:ada@example.com`, `IP:192.0.2.7`. Names of other kinds are left out.
    pub names: Vec<Arc<str>>,
    /// SHA-256 of the certificate (DER).
    pub fingerprint_sha256: [u8; 32],
    /// The last moment at which it is valid.
    pub not_after: SystemTime,
}

impl ClientCertificate {
    /// A certificate of this subject, without names, valid until `not_after`.
    pub fn new(subject: &str, fingerprint_sha256: [u8; 32], not_after: SystemTime) -> Self {
        Self { subject: subject.into(), names: Vec::new(), fingerprint_sha256, not_after }
    }

    /// With one more subject alternative name, its kind before it.
    #[must_use]
    pub fn with_name(mut self, name: &str) -> Self {
        self.names.push(name.into());
        self
    }

    /// The fingerprint in 64 lower-case hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::with_capacity(64);
        for byte in self.fingerprint_sha256 {
            // Writing into a text cannot fail.
            write!(text, "{byte:02x}").ok();
        }
        text
    }
}
