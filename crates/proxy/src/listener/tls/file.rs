//! The files that a `tls` section names: read once, bounded, and what is wrong with them said in words.

use std::fs::Metadata;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use portreeve_config::{ConfigPath, units};
use tokio_rustls::rustls::pki_types::pem::{PemObject as _, SectionKind};

use crate::compile::Errors;

/// Large revocation lists have some megabytes; what is larger is surely another file.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// A file that was read.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) bytes: Vec<u8>,
    /// Whether everybody on this machine may read it.
    pub(super) is_open: bool,
}

/// Reads a file that the value at `path` names. An error is told there.
pub(super) fn read(file: &Path, path: &ConfigPath, errors: &mut Errors<'_>) -> Option<Contents> {
    let whole = errors.folder(path).join(file);
    read_bounded(&whole).map_err(|why| errors.at(path, format!("cannot read {}: {why}", file.display()))).ok()
}

/// As [`read`], for a file that need not be there.
pub(super) fn read_if_there(file: &Path, path: &ConfigPath, errors: &Errors<'_>) -> Option<Result<Contents, String>> {
    let whole = errors.folder(path).join(file);
    whole.exists().then(|| read_bounded(&whole))
}

fn read_bounded(file: &Path) -> Result<Contents, String> {
    let open = |file: &Path| -> io::Result<(Metadata, Vec<u8>)> {
        let file = units::file::open(file)?;
        let about = file.metadata()?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        Ok((about, bytes))
    };
    let (about, bytes) = open(file).map_err(|error| plain(&error))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("it is larger than {} MiB", MAX_BYTES >> 20));
    }
    Ok(Contents { bytes, is_open: about.permissions().mode() & 0o004 != 0 })
}

/// What went wrong, without the number of the error.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    }
}

/// The sections of a PEM file, in order.
#[derive(Debug)]
pub(super) struct Pem(Vec<(SectionKind, Vec<u8>)>);

impl Pem {
    /// Takes a file apart.
    ///
    /// # Errors
    /// What it is instead of PEM; `wanted` is what it should hold, with its article.
    pub(super) fn parse(bytes: &[u8], wanted: &str) -> Result<Self, String> {
        let sections: Result<Vec<_>, _> = <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes).collect();
        match sections {
            Err(_) => Err(format!("is broken: a -----BEGIN … line has no good end; it should hold {wanted}")),
            Ok(sections) if !sections.is_empty() || has(bytes, "-----BEGIN ") => Ok(Self(sections)),
            // DER begins with a SEQUENCE of more than 127 bytes.
            Ok(_) if bytes.starts_with(&[0x30, 0x82]) || bytes.starts_with(&[0x30, 0x81]) => {
                Err(format!("is DER, not PEM; it should hold {wanted} as text (openssl … -inform DER turns it over)"))
            }
            Ok(_) if bytes.trim_ascii().is_empty() => Err(format!("is empty; it should hold {wanted}")),
            Ok(_) => Err(format!("is not PEM: it has no -----BEGIN … line; it should hold {wanted}")),
        }
    }

    /// The sections of one kind.
    pub(super) fn of(&self, kind: SectionKind) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter(move |(found, _)| *found == kind).map(|(_, der)| der.as_slice())
    }

    /// What it holds, for a message that says it is the wrong thing.
    pub(super) fn holds(&self) -> &'static str {
        match self.0.first().map(|(kind, _)| kind) {
            Some(SectionKind::Certificate) => "a certificate",
            Some(SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey) => "a private key",
            Some(SectionKind::Crl) => "a revocation list",
            Some(SectionKind::Csr) => "a request for a certificate, not the certificate",
            Some(SectionKind::PublicKey) => "a public key",
            _ => "something else",
        }
    }
}

/// Whether a file has this text in it.
pub(super) fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
