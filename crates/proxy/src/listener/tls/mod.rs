//! TLS on a listener: what happens to a connection before HTTP. Certificates by SNI, client certificates, resumption, ALPN.
//!
//! [`Tls`] is compiled with the configuration, like everything else of a generation: a file that changed is another
//! configuration, and one that is wrong is refused as a whole. What must outlive a generation (the keys of session tickets)
//! is handed on from the [`Tls`] before.

mod certificate;
mod choice;
mod clients;
mod connection_info;
mod expiry;
mod file;
mod handshake;
mod resumption;
mod staple;
mod tickets;
mod x509;

use std::sync::Arc;

use portreeve_config::{ConfigPath, ListenerTls, TlsVersion};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::server::{Acceptor, WebPkiClientVerifier};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ServerConfig, SupportedProtocolVersion};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use crate::acme::{Challenges, Slot};
use crate::compile::Errors;
use choice::Choice;
use clients::Clients;
use resumption::Resumption;

pub(crate) use certificate::Certified;
pub(crate) use clients::authorities;
pub(crate) use connection_info::TlsInfo;
pub(crate) use expiry::{Expiry, watch as watch_expiry};
pub(crate) use handshake::HandshakeError;
pub(crate) use x509::{moment, now, sha256};

/// What a listener does to a connection before HTTP. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Tls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Arc<ServerConfig>,
    choice: Arc<Choice>,
    resumption: Resumption,
    clients: Option<Clients>,
    /// Of authorities that look whether a name is ours.
    challenges: Option<Challenges>,
}

/// The part of the gateway in a listener's certificates: the one it gets by itself.
#[derive(Debug)]
pub(crate) struct Issuing {
    /// Where that is.
    pub(crate) slot: Arc<Slot>,
    /// What authorities are answered in the handshake meanwhile.
    pub(crate) challenges: Challenges,
}

impl Tls {
    /// Reads every file and puts them together. `path` is that of the `tls` section, `previous` what the same listener has in
    /// effect: its session tickets stay good, unless who may come in has changed. `issuing` is the part of the gateway itself
    /// in its certificates. A certificate that has expired or is not valid yet is shown all the same, with a warning: it keeps
    /// nothing else from working.
    ///
    /// `None` when an error was found; all are in `errors`.
    pub(crate) fn build(
        config: &ListenerTls,
        path: &ConfigPath,
        errors: &mut Errors<'_>,
        previous: Option<&Self>,
        issuing: Option<Issuing>,
    ) -> Option<Self> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let certificates = certificates(config, path, errors, &provider);
        let clients = match &config.client_auth {
            None => Some(None),
            Some(auth) => {
                let before = previous.and_then(|previous| previous.0.clients.as_ref());
                Clients::load(auth, &path.key("client_auth"), errors, &provider, before).map(Some)
            }
        };
        // Both are read before either is given up, so that every error is told.
        let (certificates, clients) = (certificates?, clients?);
        let (slot, challenges) = issuing.map(|Issuing { slot, challenges }| (slot, challenges)).unzip();
        let choice = Arc::new(Choice::new(certificates, config.unknown_sni, slot));
        let of = clients.as_ref().map(Clients::identity);
        let resumption = match previous.map(|previous| &previous.0.resumption) {
            Some(same) if same.is_of(of) => same.clone(),
            _ => Resumption::new(of).map_err(|error| errors.at(path, error.to_string())).ok()?,
        };
        match server_config(config, provider, &choice, clients.as_ref(), &resumption) {
            Ok(config) => {
                Some(Self(Arc::new(Inner { config: Arc::new(config), choice, resumption, clients, challenges })))
            }
            Err(error) => {
                errors.at(path, error.to_string());
                None
            }
        }
    }

    /// For a listener that does not speak HTTP: nothing is agreed on by ALPN, and so nobody is turned away by it. Called right
    /// after it was built, while nobody else has it.
    pub(crate) fn without_alpn(mut self) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            Arc::make_mut(&mut inner.config).alpn_protocols.clear();
        }
        self
    }

    /// Shakes hands. Has no deadline of its own; dropping the future drops the connection.
    ///
    /// # Errors
    /// See [`HandshakeError`]; the client was sent an alert where TLS has one for it.
    pub(crate) async fn accept<Io>(&self, io: Io) -> Result<(TlsStream<Io>, TlsInfo), HandshakeError>
    where
        Io: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = match &self.0.challenges {
            None => TlsAcceptor::from(self.0.config.clone()).accept(io).await,
            Some(challenges) => {
                let begun = LazyConfigAcceptor::new(Acceptor::default(), io).await?;
                if let Some(config) = challenges.handshake(&begun.client_hello()) {
                    let mut looked = begun.into_stream(config).await?;
                    // It has seen what it wanted to, whether it still hears the farewell or not (RFC 8737 §3).
                    looked.shutdown().await.ok();
                    return Err(HandshakeError::looked());
                }
                begun.into_stream(self.0.config.clone()).await
            }
        };
        let stream = stream?;
        let facts = TlsInfo::of(stream.get_ref().1)?;
        Ok((stream, facts))
    }

    /// When each certificate ends.
    pub(crate) fn expiries(&self) -> impl Iterator<Item = Expiry> {
        self.0.choice.expiries()
    }
}

fn certificates(
    config: &ListenerTls,
    path: &ConfigPath,
    errors: &mut Errors<'_>,
    provider: &CryptoProvider,
) -> Option<Vec<Certified>> {
    let each = config.certificates.iter().enumerate().map(|(index, certificate)| {
        certificate::load(certificate, &path.key("certificates").index(index), errors, provider)
    });
    // All are read before the first that is missing ends it.
    let each: Vec<_> = each.collect();
    each.into_iter().collect()
}

fn server_config(
    config: &ListenerTls,
    provider: Arc<CryptoProvider>,
    choice: &Arc<Choice>,
    clients: Option<&Clients>,
    resumption: &Resumption,
) -> Result<ServerConfig, tokio_rustls::rustls::Error> {
    let versions: &[&SupportedProtocolVersion] = match config.min_version {
        TlsVersion::V1_2 => &[&TLS13, &TLS12],
        TlsVersion::V1_3 => &[&TLS13],
    };
    let verifier = clients.map_or_else(WebPkiClientVerifier::no_client_auth, Clients::verifier);
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(choice.clone());
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    if config.http2 {
        // The server's order decides.
        server.alpn_protocols.insert(0, b"h2".to_vec());
    }
    // Every suite there is here is strong; that ours comes first is what scanners look for.
    server.ignore_client_order = true;
    // A request in 0-RTT can be sent again by anybody who saw it (RFC 8446 §8).
    server.max_early_data_size = 0;
    resumption.put_into(&mut server);
    Ok(server)
}

#[cfg(test)]
mod tests;
