//! Client certificates: who may have issued them, and which of them were revoked.

use std::path::Path;
use std::sync::Arc;

use portreeve_config::{ClientAuth, ClientAuthMode, ConfigPath};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::SectionKind;
use tokio_rustls::rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

use super::file::{Pem, read};
use super::resumption::Identity;
use super::x509::{self, day, now, sha256};
use crate::compile::Errors;

/// Whom a listener lets in.
#[derive(Debug)]
pub(super) struct Clients {
    verifier: Arc<dyn ClientCertVerifier>,
    identity: Identity,
}

impl Clients {
    /// Reads authorities and revocation lists. `before` is what is in effect: lists that were good when they came into effect
    /// and have passed their time since are told of, not held against the file.
    pub(super) fn load(
        auth: &ClientAuth,
        path: &ConfigPath,
        errors: &mut Errors<'_>,
        provider: &Arc<CryptoProvider>,
        before: Option<&Self>,
    ) -> Option<Self> {
        let authorities = authorities(&auth.ca, &path.key("ca"), errors);
        let lists: Vec<_> = auth
            .crl
            .iter()
            .enumerate()
            .map(|(index, file)| revoked(file, &path.key("crl").index(index), errors))
            .collect();
        // Everything is read before anything is given up, so that every error is told.
        let authorities = authorities?;
        let lists = lists.into_iter().collect::<Option<Vec<_>>>()?;
        let identity = identity(auth.mode, &authorities, &lists);
        let known = before.is_some_and(|before| before.identity == identity);
        let mut past = Vec::new();
        for (index, list) in lists.iter().enumerate().filter(|(_, list)| list.until <= now()) {
            past.push((path.key("crl").index(index), format!("{} was good until {}", list.file, day(list.until))));
        }
        for (path, message) in &past {
            if known {
                errors.warn(path, format!("{message}; clients of its authority are refused"));
            } else {
                errors.at(path, message.clone());
            }
        }
        if !known && !past.is_empty() {
            return None;
        }
        match verifier(auth.mode, authorities, lists, provider) {
            Ok(verifier) => Some(Self { verifier, identity }),
            Err(why) => {
                errors.at(path, why);
                None
            }
        }
    }

    pub(super) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        self.verifier.clone()
    }

    /// Tells rules of another content apart.
    pub(super) fn identity(&self) -> Identity {
        self.identity
    }
}

/// Reads certificates of authorities. What is wrong with them is told at `path`.
pub(crate) fn authorities(
    file: &Path,
    path: &ConfigPath,
    errors: &mut Errors<'_>,
) -> Option<Vec<CertificateDer<'static>>> {
    let contents = read(file, path, errors)?;
    let shown = file.display();
    let found = Pem::parse(&contents.bytes, "certificates of authorities").and_then(|pem| {
        let all: Vec<_> = pem.of(SectionKind::Certificate).map(|der| CertificateDer::from(der.to_vec())).collect();
        if let Some(position) = all.iter().position(|der| x509::parse(der).is_none()) {
            return Err(format!("is broken: certificate {} in it cannot be read", position + 1));
        }
        if all.is_empty() { Err(format!("holds no certificate but {}", pem.holds())) } else { Ok(all) }
    });
    found.map_err(|why| errors.at(path, format!("{shown} {why}"))).ok()
}

/// The revocation lists of one file, as one.
struct Lists {
    file: String,
    all: Vec<CertificateRevocationListDer<'static>>,
    /// When the first of them is past its time, in seconds since 1970.
    until: i64,
}

fn revoked(file: &Path, path: &ConfigPath, errors: &mut Errors<'_>) -> Option<Lists> {
    let contents = read(file, path, errors)?;
    let shown = file.display();
    let found = Pem::parse(&contents.bytes, "a revocation list").and_then(|pem| {
        let ders: Vec<&[u8]> = pem.of(SectionKind::Crl).collect();
        if ders.is_empty() {
            return Err(format!("holds no revocation list but {}", pem.holds()));
        }
        let mut until = i64::MAX;
        for der in &ders {
            let Ok((_, list)) = CertificateRevocationList::from_der(der) else {
                return Err("holds a revocation list that cannot be read".to_owned());
            };
            // RFC 5280 §5.1.2.5: there always is one.
            let next = list.next_update().ok_or("holds a revocation list that does not say until when it is good")?;
            until = until.min(next.timestamp());
        }
        let all = ders.into_iter().map(|der| CertificateRevocationListDer::from(der.to_vec())).collect();
        Ok(Lists { file: shown.to_string(), all, until })
    });
    found.map_err(|why| errors.at(path, format!("{shown} {why}"))).ok()
}

fn identity(mode: ClientAuthMode, authorities: &[CertificateDer<'static>], lists: &[Lists]) -> Identity {
    let mode: &[u8] = match mode {
        ClientAuthMode::Require => b"require",
        ClientAuthMode::Request => b"request",
    };
    // DER says its own length, so that no two lists of certificates run together into the same bytes.
    let ders = authorities.iter().map(AsRef::as_ref);
    let lists = lists.iter().flat_map(|list| &list.all).map(AsRef::as_ref);
    let parts: Vec<&[u8]> = std::iter::once(mode).chain(ders).chain(lists).collect();
    sha256(&parts)
}

fn verifier(
    mode: ClientAuthMode,
    authorities: Vec<CertificateDer<'static>>,
    lists: Vec<Lists>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for (position, authority) in authorities.into_iter().enumerate() {
        roots
            .add(authority)
            .map_err(|error| format!("certificate {} of ca cannot be an authority: {error}", position + 1))?;
    }
    // A list past its time, or none for an authority of the chain, would let in whoever was revoked since.
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .with_crls(lists.into_iter().flat_map(|list| list.all))
        .enforce_revocation_expiration();
    let verifier = match mode {
        ClientAuthMode::Require => verifier,
        ClientAuthMode::Request => verifier.allow_unauthenticated(),
    };
    verifier.build().map_err(|error| error.to_string())
}
