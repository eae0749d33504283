//! The challenges in flight: what an authority that looks at us now is answered, over HTTP (RFC 8555 §8.3) or in the TLS
//! handshake (RFC 8737). Nothing is in flight most of the time, and then nothing here is ever found.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use portreeve_plugin::Reply;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::server::ClientHello;
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{Error, ServerConfig};

const WELL_KNOWN: &str = "/.well-known/acme-challenge/";
/// The protocol by which the authority says that it only looks (RFC 8737 §6.2).
const PROTOCOL: &[u8] = b"acme-tls/1";

/// What is answered now. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Challenges(Arc<ArcSwap<Answers>>);

#[derive(Debug, Clone, Default)]
struct Answers {
    /// By token.
    pages: HashMap<Box<str>, Bytes>,
    /// By name, in lower case.
    handshakes: HashMap<Box<str>, Arc<ServerConfig>>,
}

/// One answer. It is taken back when this is dropped.
#[derive(Debug)]
#[must_use = "the answer is taken back when this is dropped"]
pub(super) struct Published {
    challenges: Challenges,
    token: Option<Box<str>>,
    name: Option<Box<str>>,
}

impl Challenges {
    /// The answer to an authority that asks for this path.
    pub(crate) fn page(&self, path: &str) -> Option<Reply> {
        let token = path.strip_prefix(WELL_KNOWN)?;
        let page = self.0.load().pages.get(token)?.clone();
        let kind = HeaderValue::from_static("application/octet-stream");
        Some(Reply::bytes(StatusCode::OK, kind, page).because("ACME challenge"))
    }

    /// How to shake hands with an authority that only looks.
    pub(crate) fn handshake(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let mut protocols = hello.alpn()?;
        if protocols.next() != Some(PROTOCOL) || protocols.next().is_some() {
            return None;
        }
        self.0.load().handshakes.get(hello.server_name()?).cloned()
    }

    /// Answers over HTTP.
    pub(super) fn publish_page(&self, token: &str, authorization: &str) -> Published {
        let page = Bytes::copy_from_slice(authorization.as_bytes());
        self.change(|answers| drop(answers.pages.insert(token.into(), page.clone())));
        Published { challenges: self.clone(), token: Some(token.into()), name: None }
    }

    /// Answers in the handshake. `digest` is the SHA-256 of the key authorization.
    ///
    /// # Errors
    /// When no certificate can be made for the name.
    pub(super) fn publish_handshake(&self, name: &str, digest: [u8; 32]) -> Result<Published, String> {
        let name: Box<str> = name.to_ascii_lowercase().into();
        let config = Arc::new(proof(&name, digest)?);
        self.change(|answers| drop(answers.handshakes.insert(name.clone(), config.clone())));
        Ok(Published { challenges: self.clone(), token: None, name: Some(name) })
    }

    fn change(&self, change: impl Fn(&mut Answers)) {
        self.0.rcu(|answers| {
            let mut answers = Answers::clone(answers);
            change(&mut answers);
            answers
        });
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        self.challenges.change(|answers| {
            self.token.iter().for_each(|token| drop(answers.pages.remove(token)));
            self.name.iter().for_each(|name| drop(answers.handshakes.remove(name)));
        });
    }
}

/// A certificate that holds the digest (RFC 8737 §3), shown to nobody but the authority: it asks for no client certificate,
/// and nothing is resumed from it.
fn proof(name: &str, digest: [u8; 32]) -> Result<ServerConfig, String> {
    let made = |error: rcgen::Error| error.to_string();
    let mut params = CertificateParams::new([name.to_owned()]).map_err(made)?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
    let key = KeyPair::generate().map_err(made)?;
    let certificate = params.self_signed(&key).map_err(made)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let unusable = |error: Error| error.to_string();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let key = provider.key_provider.load_private_key(key.into()).map_err(unusable)?;
    // Not `with_single_cert`: it looks whether clients would take this certificate, and its extension is critical and
    // unknown to all but authorities.
    let shown = SingleCertAndKey::from(CertifiedKey::new(vec![certificate.into()], key));
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config.map_err(unusable)?.with_no_client_auth().with_cert_resolver(Arc::new(shown));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.send_tls13_tickets = 0;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_there_for_as_long_as_its_challenge_and_for_its_own_token_only() {
        let challenges = Challenges::default();
        let found = |token: &str| challenges.page(&format!("{WELL_KNOWN}{token}")).is_some();
        assert!(!found("a"));
        let (a, b) = (challenges.publish_page("a", "a.thumb"), challenges.publish_page("b", "b.thumb"));
        assert!(found("a") && found("b") && !found("") && !found("a/b") && challenges.page("/a").is_none());
        drop(a);
        assert!(!found("a") && found("b"));
        drop(b);
        assert!(challenges.0.load().pages.is_empty());
    }
}
