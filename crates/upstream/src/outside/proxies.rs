//! The proxies that the environment names (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`), as curl reads them.

use std::fmt;
use std::sync::OnceLock;

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use url::Host;

/// Read when first needed.
#[derive(Default)]
pub(super) struct Proxies(OnceLock<Matcher>);

/// A proxy, spoken to in HTTP/1.1 without TLS.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Proxy {
    pub(super) host: Host,
    pub(super) port: u16,
    /// By name and password.
    pub(super) authorization: Option<HeaderValue>,
}

impl Proxies {
    /// The one for this destination, if there is one.
    ///
    /// # Errors
    /// It is of a kind that is not spoken to.
    pub(super) fn of(&self, destination: &Uri) -> Result<Option<Proxy>, String> {
        let Some(found) = self.0.get_or_init(Matcher::from_env).intercept(destination) else { return Ok(None) };
        let (uri, authorization) = (found.uri(), found.basic_auth().cloned());
        if uri.scheme_str() != Some("http") {
            return Err("the proxy of the environment is no http:// proxy; others are not supported".to_owned());
        }
        let host = Host::parse(uri.host().unwrap_or_default());
        let host = host.map_err(|error| format!("the proxy of the environment: {error}"))?;
        let mut authorization = authorization;
        if let Some(secret) = &mut authorization {
            secret.set_sensitive(true);
        }
        Ok(Some(Proxy { host, port: uri.port_u16().unwrap_or(80), authorization }))
    }

    #[cfg(test)]
    pub(super) fn with(matcher: Matcher) -> Self {
        Self(OnceLock::from(matcher))
    }
}

impl fmt::Debug for Proxies {
    /// Without passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proxies")
    }
}
