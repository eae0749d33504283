//! TLS towards targets: one configuration for a transport, with which all its connections share what they resume by.

use std::sync::{Arc, OnceLock};

use rustls_native_certs::load_native_certs;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// The authorities of the system, read once.
static SYSTEM: OnceLock<Arc<RootCertStore>> = OnceLock::new();

/// What a transport shakes hands by; no protocol is offered yet. Without `roots`, those of the system are trusted.
///
/// # Errors
/// What is wrong with them, for the operator.
pub(crate) fn client_config(
    roots: Option<Arc<RootCertStore>>,
    identity: Option<Arc<CertifiedKey>>,
    verify: bool,
) -> Result<ClientConfig, String> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let builder = if verify {
        let roots = roots.unwrap_or_else(system);
        if roots.is_empty() {
            // Nobody can be verified; connections fail with that reason, and other upstreams go on.
            builder.with_root_certificates(roots)
        } else {
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
            builder.with_webpki_verifier(verifier.map_err(|error| error.to_string())?)
        }
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
    };
    Ok(match identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity))),
        None => builder.with_no_client_auth(),
    })
}

fn provider() -> Arc<CryptoProvider> {
    CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()))
}

/// Those of the system, or of the file and folder that `SSL_CERT_FILE` and `SSL_CERT_DIR` name. What cannot be read of them is
/// told once, and the others are trusted.
fn system() -> Arc<RootCertStore> {
    let load = || {
        let found = load_native_certs();
        let mut roots = RootCertStore::empty();
        let (_, unfit) = roots.add_parsable_certificates(found.certs);
        if let Some(error) = found.errors.first() {
            tracing::warn!(%error, "The authorities of the system cannot all be read.");
        }
        if unfit > 0 {
            tracing::debug!(unfit, "Some authorities of the system are none that can be used.");
        }
        Arc::new(roots)
    };
    SYSTEM.get_or_init(load).clone()
}

/// `verify: false`: any certificate will do, as long as the target has its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
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
