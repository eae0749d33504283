//! When the authority would have a certificate renewed (ACME renewal information, RFC 9773), where it says so.

use std::time::{Duration, SystemTime};

use instant_acme::{Account, CertificateIdentifier, Error};
use tokio_rustls::rustls::pki_types::{CertificateDer, Der};
use x509_parser::prelude::{FromDer as _, ParsedExtension, X509Certificate};

use crate::listener::moment;

/// How often it is asked: what it says is taken within these (RFC 9773 §4.3.2), and this if it says nothing (§4.3.3).
const OFTENEST: Duration = Duration::from_mins(1);
const SELDOMEST: Duration = Duration::from_hours(24);
pub(super) const USUAL: Duration = Duration::from_hours(6);

/// The time within which a certificate is to be renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    start: SystemTime,
    end: SystemTime,
}

impl Window {
    /// A moment in it, the same chance for each (RFC 9773 §4.2), but while there is still time to try again and again: in the
    /// first nine tenths of a certificate that is valid from and until these. `chance` is between 0 and 1.
    pub(super) fn moment(&self, from: SystemTime, until: SystemTime, chance: f64) -> SystemTime {
        let width = self.end.duration_since(self.start).unwrap_or_default();
        let latest = from + until.duration_since(from).unwrap_or_default() * 9 / 10;
        (self.start + width.mul_f64(chance.clamp(0.0, 1.0))).min(latest)
    }
}

/// What an authority says of a certificate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Suggestion {
    pub(super) window: Window,
    /// When to ask again.
    pub(super) again: Duration,
}

/// What names a certificate to its authority (RFC 9773 §4.1). `None` if it does not say who issued it.
pub(super) fn identifier(leaf: &CertificateDer<'_>) -> Option<CertificateIdentifier<'static>> {
    let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
    let issuer = leaf.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(issuer) => issuer.key_identifier.as_ref(),
        _ => None,
    })?;
    let serial = Der::from_slice(leaf.tbs_certificate.raw_serial());
    Some(CertificateIdentifier::new(Der::from_slice(issuer.0), serial).into_owned())
}

/// What the authority suggests for a certificate. `None` if it never suggests anything.
pub(super) async fn ask(
    account: &Account,
    certificate: &CertificateIdentifier<'_>,
) -> Result<Option<Suggestion>, Error> {
    match account.renewal_info(certificate).await {
        Ok((told, again)) => {
            let (start, end) = (told.suggested_window.start, told.suggested_window.end);
            let window = Window { start: moment(start.unix_timestamp()), end: moment(end.unix_timestamp()) };
            Ok(Some(Suggestion { window, again: again.clamp(OFTENEST, SELDOMEST) }))
        }
        Err(Error::Unsupported(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    #[test]
    fn a_moment_is_in_the_window_and_leaves_time_to_try_again() {
        let from = SystemTime::UNIX_EPOCH;
        let until = from + 90 * DAY;
        let window = Window { start: from + 50 * DAY, end: from + 60 * DAY };
        assert_eq!(window.moment(from, until, 0.0), from + 50 * DAY);
        assert_eq!(window.moment(from, until, 0.5), from + 55 * DAY);
        assert_eq!(window.moment(from, until, 1.0), from + 60 * DAY);
        let late = Window { start: from + 89 * DAY, end: from + 99 * DAY };
        assert_eq!(late.moment(from, until, 0.5), from + 81 * DAY);
        let backwards = Window { start: from + 5 * DAY, end: from };
        assert_eq!(backwards.moment(from, until, 0.5), from + 5 * DAY);
    }
}
