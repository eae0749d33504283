//! The account with the authority: made once, kept in the store, and brought in line with the `contact` of the file.

use std::path::Path;

use instant_acme::{Account, AccountCredentials, NewAccount};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::failure::Failure;
use super::settings::Settings;
use super::store;

/// The file of the account in the store.
const FILE: &str = "account.json";

/// What the store keeps. No `Debug`: it holds a private key.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// What the authority was told.
    contact: Vec<String>,
    credentials: Value,
}

/// Opens the account; makes it if there is none. Whoever calls holds the store's lock.
pub(super) async fn open(settings: &Settings) -> Result<Account, Failure> {
    let file = settings.folder().join(FILE);
    let builder = Account::builder_with_http(Box::new(settings.client()?));
    let contact: Vec<&str> = settings.contact().iter().map(String::as_str).collect();
    let Some(bytes) = store::read(&file).map_err(Failure::Store)? else {
        let wanted = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let directory = settings.directory().to_owned();
        let (account, credentials) = builder.create(&wanted, directory, settings.binding().as_ref()).await?;
        keep(settings, serde_json::to_value(credentials))?;
        tracing::info!(account = account.id(), "An ACME account was made.");
        return Ok(account);
    };
    let (Kept { contact: told, credentials }, parsed) = parse(&bytes, &file)?;
    let account = builder.from_credentials(parsed).await?;
    if told != settings.contact() {
        account.update_contacts(&contact).await?;
        keep(settings, Ok(credentials))?;
    }
    Ok(account)
}

/// Opens the account as it is, if there is one. Changes nothing, so whoever calls needs no lock.
pub(super) async fn known(settings: &Settings) -> Result<Option<Account>, Failure> {
    let file = settings.folder().join(FILE);
    let Some(bytes) = store::read(&file).map_err(Failure::Store)? else { return Ok(None) };
    let (_, parsed) = parse(&bytes, &file)?;
    let builder = Account::builder_with_http(Box::new(settings.client()?));
    Ok(Some(builder.from_credentials(parsed).await?))
}

fn parse(bytes: &[u8], file: &Path) -> Result<(Kept, AccountCredentials), Failure> {
    let broken = |error: serde_json::Error| {
        // Never made anew by itself: the authority may know it by this key alone.
        let what =
            format!("{} is broken: {error}; restore it, or move it away to have a new account made", file.display());
        Failure::Store(what)
    };
    let kept: Kept = serde_json::from_slice(bytes).map_err(broken)?;
    let parsed = AccountCredentials::deserialize(&kept.credentials).map_err(broken)?;
    Ok((kept, parsed))
}

fn keep(settings: &Settings, credentials: serde_json::Result<Value>) -> Result<(), Failure> {
    let failed = |error: serde_json::Error| Failure::Failed(error.to_string());
    let kept = Kept { contact: settings.contact().to_vec(), credentials: credentials.map_err(failed)? };
    store::write(&settings.folder().join(FILE), &serde_json::to_vec_pretty(&kept).map_err(failed)?)
}
