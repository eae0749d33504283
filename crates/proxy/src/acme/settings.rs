//! The `acme` section, compiled: with which authority, under which account, and where things are kept.

use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use instant_acme::ExternalAccountKey;
use portreeve_config::{Acme, AcmeChallenge, ConfigPath};
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::client::Client;
use super::failure::Failure;
use crate::compile::Errors;
use crate::listener::{authorities, sha256};

/// The account and its authority. Equal ones behave alike.
#[derive(Debug, PartialEq)]
pub(crate) struct Settings {
    acme: Acme,
    trusted: Option<Vec<CertificateDer<'static>>>,
    /// Of this authority, in the store.
    folder: PathBuf,
}

impl Settings {
    /// `None` when an error was found; all are in `errors`.
    pub(crate) fn load(acme: &Acme, errors: &mut Errors<'_>) -> Option<Self> {
        let path = ConfigPath::from("acme");
        let trusted = match &acme.ca {
            None => Some(None),
            Some(ca) => authorities(ca, &path.key("ca"), errors).map(Some),
        };
        if let Some(eab) = &acme.eab
            && binding_key(eab.key.expose()).is_none()
        {
            errors.at(&path.key("eab").key("key"), "this key is not base64url, as authorities give it");
            return None;
        }
        // Another authority is another account, and its certificates are not this one's: a test directory's least of all.
        let host = acme
            .directory
            .expose()
            .trim_start_matches("https://")
            .split(['/', ':', '?', '@'])
            .next()
            .unwrap_or_default();
        let own = format!("{host}-{}", short(acme.directory.expose()));
        let folder = errors.folder(&path.key("store")).join(&acme.store).join(own);
        Some(Self { acme: acme.clone(), trusted: trusted?, folder })
    }

    /// The file of the certificate for these names, whatever their order.
    pub(crate) fn file(&self, names: &[String]) -> PathBuf {
        let mut sorted: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        sorted.sort();
        let own = short(&sorted.join(" "));
        let first = names.first().map_or("", String::as_str).to_ascii_lowercase();
        self.folder.join(format!("{first}-{own}.pem"))
    }

    pub(super) fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// What tells these settings from others under which something may have failed. Says nothing of the secrets among them.
    pub(super) fn digest(&self) -> String {
        let Acme { directory, contact, challenge, eab, ca, .. } = &self.acme;
        let eab = eab.as_ref().map(|eab| (&eab.kid, sha256(&[eab.key.expose().as_bytes()])));
        short(&format!("{directory} {contact:?} {challenge:?} {eab:?} {ca:?}"))
    }

    pub(super) fn directory(&self) -> &str {
        self.acme.directory.expose()
    }

    pub(super) fn contact(&self) -> &[String] {
        &self.acme.contact
    }

    pub(super) fn challenge(&self) -> AcmeChallenge {
        self.acme.challenge
    }

    /// What binds the account to another, if the authority wants that.
    pub(super) fn binding(&self) -> Option<ExternalAccountKey> {
        let eab = self.acme.eab.as_ref()?;
        Some(ExternalAccountKey::new(eab.kid.clone(), &binding_key(eab.key.expose())?))
    }

    /// A client for the authority.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        let client = Client::new(self.trusted.as_deref());
        client.map_err(|error| instant_acme::Error::Other(Box::new(error)).into())
    }
}

fn binding_key(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text.trim().trim_end_matches('=')).ok().filter(|key| !key.is_empty())
}

/// Enough of a hash to tell names apart.
fn short(text: &str) -> String {
    let [a, b, c, d, ..] = sha256(&[text.as_bytes()]);
    format!("{a:02x}{b:02x}{c:02x}{d:02x}")
}
