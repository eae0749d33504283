//! A client over a pipe in memory: what it offers is set piece by piece, what it was shown is kept.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, HandshakeKind, SignatureScheme, SupportedProtocolVersion,
};

use super::super::{HandshakeError, Tls, TlsInfo};
use super::files::Leaf;

/// What a client offers.
#[derive(Default)]
pub(super) struct Offer<'o> {
    pub(super) version: Option<&'static SupportedProtocolVersion>,
    pub(super) schemes: Option<Vec<SignatureScheme>>,
    pub(super) alpn: Vec<&'static [u8]>,
    pub(super) certificate: Option<&'o Leaf>,
}

/// A client, with its memory of sessions.
pub(super) struct Client {
    connector: TlsConnector,
    shown: Arc<Shown>,
}

/// What came of a handshake.
#[derive(Debug)]
pub(super) struct Met {
    pub(super) facts: TlsInfo,
    pub(super) leaf: CertificateDer<'static>,
    pub(super) alpn: Option<Vec<u8>>,
    pub(super) resumed: bool,
    pub(super) staple: Vec<u8>,
}

impl Client {
    pub(super) fn new(offer: Offer<'_>) -> Self {
        let shown = Arc::new(Shown { schemes: offer.schemes, ..Shown::default() });
        let provider = Arc::new(aws_lc_rs::default_provider());
        let versions = offer.version.map_or(vec![&TLS13, &TLS12], |version| vec![version]);
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(shown.clone());
        let mut config = match offer.certificate {
            None => config.with_no_client_auth(),
            Some(leaf) => {
                let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).unwrap();
                config.with_client_auth_cert(vec![leaf.der.clone()], key).unwrap()
            }
        };
        config.alpn_protocols = offer.alpn.into_iter().map(<[u8]>::to_vec).collect();
        Self { connector: TlsConnector::from(Arc::new(config)), shown }
    }

    /// Shakes hands, asking for `name`: a host, or an address, which is never asked for (RFC 6066 §3).
    pub(super) async fn meet(&self, tls: &Tls, name: &str) -> Result<Met, HandshakeError> {
        let (near, far) = duplex(64 * 1024);
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let client = async {
            let mut stream = self.connector.connect(name, near).await.ok()?;
            // Tickets of TLS 1.3 come behind the handshake.
            let mut byte = [0];
            stream.read_exact(&mut byte).await.ok()?;
            let (_, connection) = stream.get_ref();
            let alpn = connection.alpn_protocol().map(<[u8]>::to_vec);
            let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
            Some((connection.peer_certificates()?[0].clone().into_owned(), alpn, resumed))
        };
        let server = async {
            let (mut stream, facts) = tls.accept(far).await?;
            stream.write_all(b"!").await.unwrap();
            stream.flush().await.unwrap();
            Ok::<_, HandshakeError>(facts)
        };
        let (client, server) = tokio::join!(client, server);
        let facts = server?;
        let (leaf, alpn, resumed) = client.expect("the server is content, and so is the client");
        Ok(Met { facts, leaf, alpn, resumed, staple: self.shown.staple.lock().clone() })
    }

    /// Shakes hands in vain. Why, in the word of the metric.
    #[track_caller]
    pub(super) fn refused(&self, tls: &Tls, name: &str) -> impl Future<Output = &'static str> {
        let meeting = self.meet(tls, name);
        async { meeting.await.expect_err("refused").reason() }
    }
}

/// Believes everything and keeps the OCSP response.
#[derive(Debug, Default)]
struct Shown {
    schemes: Option<Vec<SignatureScheme>>,
    staple: Mutex<Vec<u8>>,
}

impl ServerCertVerifier for Shown {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.staple.lock() = ocsp_response.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let all = || aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes();
        self.schemes.clone().unwrap_or_else(all)
    }
}
