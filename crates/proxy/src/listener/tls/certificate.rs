//! One certificate with its chain, its key and its OCSP response: read, and refused with a reason when something is wrong.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use portreeve_config::{Certificate, ConfigPath};
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::SectionKind;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::{CertifiedKey, SigningKey};
use tokio_rustls::rustls::{Error, InconsistentKeys, SignatureAlgorithm};
use x509_parser::certificate::X509Certificate;
use x509_parser::x509::X509Version;

use super::expiry::Expiry;
use super::file::{Contents, Pem, has, read, read_if_there};
use super::staple::{self, Staple};
use super::x509::{self, day, now};
use crate::compile::Errors;

/// What to do about a certificate in the form of 1988, which old scripts still make.
const V1: &str = "is an X.509 v1 certificate, which has no room for the names that clients look at; make one of version 3: openssl req -x509 … -addext subjectAltName=DNS:api.example.com, or openssl x509 -req … -extfile with that line";

/// Before a certificate ends there is a word in the log for so long. Renewal is usual a month before.
const SOON: i64 = 14 * 24 * 60 * 60;

/// A certificate that can be shown.
#[derive(Debug)]
pub(crate) struct Certified {
    /// Its file, as the configuration names it.
    file: Arc<str>,
    bare: Arc<CertifiedKey>,
    /// The same with an OCSP response, and until when that is good.
    stapled: Option<(Arc<CertifiedKey>, SystemTime)>,
    /// Host names in lower case, wildcards among them.
    pub(super) names: Vec<String>,
    /// The first second in which it is valid, since 1970.
    not_before: i64,
    /// The last second in which it is valid, since 1970.
    pub(super) not_after: i64,
    /// So many seconds before its end it is worth a word.
    soon: i64,
}

impl Certified {
    /// A certificate that the gateway asked for by itself: its key and its chain, in one PEM text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn issued(pem: &[u8], file: &str) -> Result<Self, String> {
        let key = parse_key(pem)?;
        let chain: Vec<_> = Pem::parse(pem, "a certificate")?
            .of(SectionKind::Certificate)
            .map(|der| CertificateDer::from(der.to_vec()))
            .collect();
        let key = aws_lc_rs::default_provider().key_provider.load_private_key(key);
        let key = CertifiedKey::new(chain, key.map_err(|error| format!("holds a key that cannot be used: {error}"))?);
        let leaf = key.cert.first().ok_or("holds no certificate")?;
        let leaf = x509::parse(leaf).ok_or("holds a certificate that cannot be read")?;
        let (names, _) = x509::hosts(&leaf);
        let (not_before, not_after) = (leaf.validity().not_before.timestamp(), leaf.validity().not_after.timestamp());
        match key.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(_) => return Err("holds a key that is not that of its certificate".to_owned()),
        }
        // Renewed at two thirds: with half of the rest gone, that has failed for long.
        let soon = ((not_after - not_before) / 6).min(SOON);
        Ok(Self { file: file.into(), bare: Arc::new(key), stapled: None, names, not_before, not_after, soon })
    }

    /// Host names in lower case, wildcards among them.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The first and the last second in which it is valid, since 1970.
    pub(crate) fn life(&self) -> (i64, i64) {
        (self.not_before, self.not_after)
    }

    /// The certificate itself.
    pub(crate) fn leaf(&self) -> Option<&CertificateDer<'static>> {
        self.bare.cert.first()
    }

    /// Until when it is valid, for people.
    pub(crate) fn until(&self) -> String {
        day(self.not_after)
    }

    /// What to show a client now: with an OCSP response if there is one that is still good.
    pub(super) fn to_show(&self) -> Arc<CertifiedKey> {
        match &self.stapled {
            Some((stapled, until)) if SystemTime::now() < *until => stapled.clone(),
            _ => self.bare.clone(),
        }
    }

    pub(super) fn key(&self) -> &dyn SigningKey {
        &*self.bare.key
    }

    /// Its kind as a rank: what costs the gateway less comes first. Verifying costs clients little in any case.
    pub(super) fn rank(&self) -> u8 {
        match self.key().algorithm() {
            SignatureAlgorithm::ECDSA => 0,
            SignatureAlgorithm::ED25519 => 1,
            _ => 2,
        }
    }

    pub(super) fn expiry(&self) -> Expiry {
        Expiry { certificate: self.file.clone(), from: self.not_before, at: self.not_after, soon: self.soon }
    }
}

/// Reads a certificate. One out of its time is told, not held against it.
pub(super) fn load(
    certificate: &Certificate,
    path: &ConfigPath,
    errors: &mut Errors<'_>,
    provider: &CryptoProvider,
) -> Option<Certified> {
    let chain = chain(&certificate.cert, &path.key("cert"), errors);
    let key = key(&certificate.key, &path.key("key"), errors, provider);
    let response = response(certificate, path, errors);
    // All are read before any is given up, so that every error is told.
    let (chain, key, response) = (chain?, key?, response?);
    let key = CertifiedKey::new(chain, key);
    if let Err(why) = belongs(&key, certificate) {
        errors.at(&path.key("key"), why);
        return None;
    }
    let file: Arc<str> = certificate.cert.display().to_string().into();
    let (names, (not_before, not_after)) = checked(&key, &file, &path.key("cert"), errors)?;
    let expiry = Expiry { certificate: file.clone(), from: not_before, at: not_after, soon: SOON };
    if let Some(warning) = expiry.warning(now()) {
        errors.warn(&path.key("cert"), warning);
    }
    let stapled = response.and_then(|response| staple(response, &key, errors)).map(|Staple { response, until }| {
        let stapled = CertifiedKey { ocsp: Some(response), ..key.clone() };
        (Arc::new(stapled), until)
    });
    Some(Certified { file, bare: Arc::new(key), stapled, names, not_before, not_after, soon: SOON })
}

fn chain(file: &Path, path: &ConfigPath, errors: &mut Errors<'_>) -> Option<Vec<CertificateDer<'static>>> {
    let contents = read(file, path, errors)?;
    let shown = file.display();
    let chain = Pem::parse(&contents.bytes, "a certificate").and_then(|pem| {
        let chain: Vec<_> = pem.of(SectionKind::Certificate).map(|der| CertificateDer::from(der.to_vec())).collect();
        if let Some(position) = chain.iter().position(|der| x509::parse(der).is_none()) {
            return Err(format!("is broken: certificate {} in it cannot be read", position + 1));
        }
        if chain.first().and_then(|der| x509::parse(der)).is_some_and(|leaf| leaf.version() == X509Version::V1) {
            return Err(V1.to_owned());
        }
        if !chain.is_empty() {
            return Ok(chain);
        }
        let slip = if pem.holds() == "a private key" { "; are cert and key the wrong way round?" } else { "" };
        Err(format!("holds no certificate but {}{slip}", pem.holds()))
    });
    chain.map_err(|why| errors.at(path, format!("{shown} {why}"))).ok()
}

fn key(
    file: &Path,
    path: &ConfigPath,
    errors: &mut Errors<'_>,
    provider: &CryptoProvider,
) -> Option<Arc<dyn SigningKey>> {
    let contents = read(file, path, errors)?;
    let shown = file.display();
    if contents.is_open {
        errors.warn(path, format!("{shown} can be read by everybody on this machine; chmod 600 keeps it private"));
    }
    let key = parse_key(&contents.bytes).and_then(|key| {
        // What exactly is wrong with a key is nobody's business.
        let unusable = |_: Error| "holds a key of a kind that is not supported: RSA from 2048 bits, ECDSA P-256, P-384, P-521 and Ed25519 are";
        provider.key_provider.load_private_key(key).map_err(|error| unusable(error).to_owned())
    });
    key.map_err(|why| errors.at(path, format!("{shown} {why}"))).ok()
}

fn parse_key(bytes: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    // PKCS#8 and the older form of OpenSSL; neither text can stand in base64.
    if has(bytes, "ENCRYPTED PRIVATE KEY") || has(bytes, "4,ENCRYPTED") {
        return Err("holds an encrypted key; the gateway has nobody to ask for the passphrase: openssl pkey -in … -out … takes it off".into());
    }
    let pem = Pem::parse(bytes, "a private key")?;
    let kinds = [SectionKind::PrivateKey, SectionKind::RsaPrivateKey, SectionKind::EcPrivateKey];
    let mut keys = kinds.into_iter().flat_map(|kind| pem.of(kind).map(move |der| (kind, der.to_vec())));
    match (keys.next(), keys.next()) {
        (None, _) => {
            let slip = if pem.holds() == "a certificate" { "; are cert and key the wrong way round?" } else { "" };
            Err(format!("holds no private key but {}{slip}", pem.holds()))
        }
        (Some(_), Some(_)) => Err("holds several private keys; which one is meant?".into()),
        (Some((SectionKind::RsaPrivateKey, der)), None) => Ok(PrivateKeyDer::Pkcs1(der.into())),
        (Some((SectionKind::EcPrivateKey, der)), None) => Ok(PrivateKeyDer::Sec1(der.into())),
        (Some((_, der)), None) => Ok(PrivateKeyDer::Pkcs8(der.into())),
    }
}

/// Whether the key is that of the first certificate.
fn belongs(key: &CertifiedKey, certificate: &Certificate) -> Result<(), String> {
    let (shown, cert) = (certificate.key.display(), certificate.cert.display());
    match key.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(()),
        Err(Error::InconsistentKeys(_)) => {
            let of = |der: &CertificateDer<'static>| {
                CertifiedKey::new(vec![der.clone()], key.key.clone()).keys_match().is_ok()
            };
            match key.cert.iter().skip(1).position(of) {
                Some(position) => Err(format!(
                    "{shown} is the key of certificate {} in {cert}; that one must come first, then its issuer, and so on",
                    position + 2
                )),
                None => Err(format!("{shown} is not the key of the certificate in {cert}")),
            }
        }
        Err(error) => Err(format!("{cert} cannot be used: {error}")),
    }
}

/// Names, beginning and end of the first certificate, when all of the chain is good.
fn checked(
    key: &CertifiedKey,
    file: &str,
    path: &ConfigPath,
    errors: &mut Errors<'_>,
) -> Option<(Vec<String>, (i64, i64))> {
    let parsed: Option<Vec<X509Certificate<'_>>> = key.cert.iter().map(|der| x509::parse(der)).collect();
    // Looked at already when they were read.
    let parsed = parsed?;
    let leaf = parsed.first()?;
    let life = (leaf.validity().not_before.timestamp(), leaf.validity().not_after.timestamp());
    if let Some(wrong) = out_of_order(&parsed) {
        errors.at(path, format!("{file} {wrong}"));
        return None;
    }
    if let Some(wrong) = issuer_out_of_time(&parsed) {
        errors.warn(path, format!("{file} {wrong}; clients may refuse it"));
    }
    let (names, has_addresses) = x509::hosts(leaf);
    if names.is_empty() && !has_addresses {
        let subject = x509::name(leaf.subject());
        errors.at(path, format!("{file} ({subject}) names no host: clients look at subject alternative names only, not at CN; ask for a certificate that has them"));
        return None;
    }
    Some((names, life))
}

/// What is wrong with the order: each certificate must be followed by its issuer.
fn out_of_order(chain: &[X509Certificate<'_>]) -> Option<String> {
    let pairs = chain.iter().zip(chain.iter().skip(1)).enumerate();
    let wrong = pairs.into_iter().find(|(_, (subject, issuer))| subject.issuer() != issuer.subject());
    wrong.map(|(position, (subject, issuer))| {
        format!(
            "is not in order: certificate {} ({}) did not issue certificate {} ({}), its issuer is {}; the server's own comes first, then its issuer, and so on",
            position + 2,
            x509::name(issuer.subject()),
            position + 1,
            x509::name(subject.subject()),
            x509::name(subject.issuer()),
        )
    })
}

/// What is wrong with the time of a certificate of the chain that is not its first.
fn issuer_out_of_time(chain: &[X509Certificate<'_>]) -> Option<String> {
    let now = now();
    chain.iter().enumerate().skip(1).find_map(|(position, certificate)| {
        let whose = format!("certificate {} ({}) ", position + 1, x509::name(certificate.subject()));
        let (from, until) =
            (certificate.validity().not_before.timestamp(), certificate.validity().not_after.timestamp());
        if until < now {
            return Some(format!("{whose}expired on {}", day(until)));
        }
        (from > now).then(|| format!("{whose}is not valid before {}", day(from)))
    })
}

/// An OCSP response as it was read, and where it is named.
struct Response {
    bytes: Vec<u8>,
    file: PathBuf,
    path: ConfigPath,
}

/// Reads the OCSP response. The outer `None`: one is named and not there, which is told. The inner: there is none.
#[expect(clippy::option_option, reason = "an error and nothing to do, told apart right where it is called")]
fn response(certificate: &Certificate, path: &ConfigPath, errors: &mut Errors<'_>) -> Option<Option<Response>> {
    let file = certificate.ocsp_file().into_owned();
    if certificate.ocsp.is_some() {
        let path = path.key("ocsp");
        let bytes = read(&file, &path, errors)?.bytes;
        return Some(Some(Response { bytes, file, path }));
    }
    let path = path.key("cert");
    match read_if_there(&file, &path, errors) {
        None => Some(None),
        Some(Ok(Contents { bytes, .. })) => Some(Some(Response { bytes, file, path })),
        Some(Err(why)) => {
            errors.warn(&path, format!("cannot read {}: {why}; nothing is stapled", file.display()));
            Some(None)
        }
    }
}

/// One that is no good is left out, with a warning: clients ask by themselves then.
fn staple(response: Response, key: &CertifiedKey, errors: &mut Errors<'_>) -> Option<Staple> {
    let Response { bytes, file, path } = response;
    let leaf = key.cert.first().and_then(|leaf| x509::parse(leaf))?;
    match staple::parse(bytes, leaf.raw_serial()) {
        Ok(staple) => Some(staple),
        Err(why) => {
            errors.warn(&path, format!("{} {why}; it is left out", file.display()));
            None
        }
    }
}
