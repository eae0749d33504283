//! Certificates and keys of upstream TLS: from PEM files to what rustls takes.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use portreeve_config::units;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error, InconsistentKeys, RootCertStore};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Longest file that is read. All public authorities together are about 200 KiB.
const MAX_BYTES: u64 = 4 << 20;

/// What was made of files, and what tells it from anything made of others.
pub(super) struct Loaded<T> {
    pub(super) value: T,
    pub(super) digest: u64,
}

/// The certificate authorities of a file.
///
/// # Errors
/// What is wrong with the file, ready to stand behind `tls.ca: `.
pub(super) fn authorities(file: &Path) -> Result<Loaded<Arc<RootCertStore>>, String> {
    let certificates = certificates(file)?;
    let mut roots = RootCertStore::empty();
    for (number, certificate) in certificates.iter().enumerate() {
        if roots.add(certificate.clone()).is_err() {
            return Err(format!("{}: certificate {} cannot be an authority", file.display(), number + 1));
        }
    }
    let digest = digest(certificates.iter().map(AsRef::as_ref));
    Ok(Loaded { value: Arc::new(roots), digest })
}

/// A certificate with its chain, and its key.
///
/// # Errors
/// Whether it is about the key, and what is wrong.
pub(super) fn client_identity(cert: &Path, key: &Path) -> Result<Loaded<Arc<CertifiedKey>>, (bool, String)> {
    let chain = certificates(cert).map_err(|message| (false, message))?;
    let of_key = |message: &str| (true, format!("{}: {message}", key.display()));
    let pem = read(key).map_err(|message| (true, message))?;
    let parsed = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| of_key("no private key in PEM form is in it"))?;
    let der = parsed.secret_der().to_vec();
    let provider = CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()));
    let certified = match CertifiedKey::from_der(chain.clone(), parsed, &provider) {
        Ok(certified) => Arc::new(certified),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            return Err(of_key(&format!("not the key of the certificate in {}", cert.display())));
        }
        Err(error) => return Err(of_key(&error.to_string())),
    };
    if let Some(Ok((_, leaf))) = chain.first().map(|der| X509Certificate::from_der(der))
        && !leaf.validity().is_valid()
    {
        let validity = leaf.validity();
        let (from, to) = (validity.not_before, validity.not_after);
        return Err((false, format!("{}: the certificate is valid from {from} to {to} only", cert.display())));
    }
    let digest = digest(chain.iter().map(AsRef::as_ref).chain([der.as_slice()]));
    Ok(Loaded { value: certified, digest })
}

/// The certificates of a file: at least one, and each can be read.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(file)?;
    let parsed: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = parsed.map_err(|error| format!("{}: not PEM: {error}", file.display()))?;
    if certificates.is_empty() {
        return Err(format!("{}: no certificate in PEM form is in it", file.display()));
    }
    for (number, der) in certificates.iter().enumerate() {
        if X509Certificate::from_der(der).is_err() {
            return Err(format!("{}: certificate {} is not an X.509 certificate", file.display(), number + 1));
        }
    }
    Ok(certificates)
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let shown = file.display();
    let found = std::fs::metadata(file)
        .and_then(|found| if found.is_dir() { Err(ErrorKind::IsADirectory.into()) } else { Ok(found.len()) });
    match found.and_then(|length| {
        if length > MAX_BYTES { Err(ErrorKind::FileTooLarge.into()) } else { units::file::read(file, MAX_BYTES) }
    }) {
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(match error.kind() {
            ErrorKind::NotFound => format!("{shown}: no such file"),
            ErrorKind::PermissionDenied => format!("{shown}: permission denied"),
            ErrorKind::IsADirectory => format!("{shown}: it is a folder"),
            ErrorKind::FileTooLarge => format!("{shown}: larger than {} MiB", MAX_BYTES >> 20),
            _ => format!("{shown}: {error}"),
        }),
    }
}

fn digest<'d>(parts: impl Iterator<Item = &'d [u8]>) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.for_each(|part| part.hash(&mut hasher));
    hasher.finish()
}
