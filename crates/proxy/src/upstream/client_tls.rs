//! TLS towards targets of TCP connections: what Pingora does for requests, for bytes that are no HTTP. No protocol is offered
//! by ALPN, which Pingora always does; and what is made of files is made once, not for each connection.

use std::sync::Arc;

use pingora::protocols::tls::CaType;
use pingora::utils::tls::CertKey;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// Whom to believe, what to show, and whether to look at all.
///
/// # Errors
/// What cannot be, ready to stand behind `upstreams.NAME.tls: `.
pub(super) fn config(ca: Option<&CaType>, client: Option<&CertKey>, verify: bool) -> Result<ClientConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?;
    let config = if verify {
        config.with_root_certificates(roots(ca)?)
    } else {
        config.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider)))
    };
    let Some(own) = client else { return Ok(config.with_no_client_auth()) };
    let chain = std::iter::once(own.leaf()).chain(own.intermediates()).map(CertificateDer::from).collect();
    let key = PrivateKeyDer::try_from(own.key().clone()).map_err(str::to_owned)?;
    config.with_client_auth_cert(chain, key).map_err(|error| error.to_string())
}

fn roots(ca: Option<&CaType>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    if let Some(own) = ca {
        for authority in own {
            roots.add(CertificateDer::from(authority)).map_err(|error| error.to_string())?;
        }
        return Ok(roots);
    }
    // Some of a system's may be unreadable or too old to be parsed; the others count.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("the system has no certificate authorities; name those of the targets: ca: file".to_owned());
    }
    Ok(roots)
}

/// `verify: false`: whoever answers is believed to be the target. That it has the key of what it shows is still checked.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
