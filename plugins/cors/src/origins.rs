//! Which origins are allowed. An origin is what a browser sends (RFC 6454 §6.2): scheme, host and, unless it is the
//! scheme's own, port, in lower case and without a path.

use std::collections::HashSet;

use http::Uri;
use portreeve_plugin::BuildError;

/// The origins allowed.
#[derive(Debug)]
pub(crate) enum Origins {
    /// Every one.
    Any,
    /// Those named, and those below one of these domains.
    These {
        /// Exact origins.
        exact: HashSet<Box<[u8]>>,
        /// `https://*.example.com`.
        below: Vec<Below>,
    },
}

/// All subdomains of a domain: an origin that begins and ends like this, with host labels between.
#[derive(Debug)]
pub(crate) struct Below {
    /// `https://`
    scheme: Box<[u8]>,
    /// `.example.com`, with the port if there is one.
    domain: Box<[u8]>,
}

impl Origins {
    pub(crate) fn new(origins: &[String]) -> Result<Self, BuildError> {
        if origins.is_empty() {
            return Err(BuildError::at("origins", "name at least one origin"));
        }
        if origins.iter().any(|origin| origin == "*") {
            return match origins {
                [_] => Ok(Self::Any),
                _ => Err(BuildError::at("origins", "\"*\" allows every origin; it stands alone")),
            };
        }
        let (mut exact, mut below) = (HashSet::new(), Vec::new());
        for (place, origin) in origins.iter().enumerate() {
            let wrong = |message: String| BuildError::at(format!("origins[{place}]"), message);
            let subdomains = origin.split_once("://*.");
            let plain = match subdomains {
                Some((scheme, domain)) => format!("{scheme}://{domain}"),
                None => origin.clone(),
            };
            check(&plain, origin).map_err(wrong)?;
            match subdomains {
                Some((scheme, domain)) => below.push(Below {
                    scheme: format!("{scheme}://").into_bytes().into(),
                    domain: format!(".{domain}").into_bytes().into(),
                }),
                None => drop(exact.insert(plain.into_bytes().into())),
            }
        }
        Ok(Self::These { exact, below })
    }

    /// Whether every origin is allowed, so that answers need not depend on it.
    pub(crate) fn are_any(&self) -> bool {
        matches!(self, Self::Any)
    }

    /// Whether the value of an `Origin` field is allowed.
    pub(crate) fn allow(&self, origin: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::These { exact, below } => exact.contains(origin) || below.iter().any(|below| below.holds(origin)),
        }
    }
}

impl Below {
    fn holds(&self, origin: &[u8]) -> bool {
        let labels = origin.strip_prefix(&*self.scheme).and_then(|rest| rest.strip_suffix(&*self.domain));
        // Nothing but labels: `https://evil.com/.example.com` and `https://evil.com:1.example.com` are none.
        labels.is_some_and(|labels| {
            let is_label = |label: &[u8]| {
                !label.is_empty()
                    && label
                        .iter()
                        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'))
            };
            labels.split(|byte| *byte == b'.').all(is_label)
        })
    }
}

/// Whether `plain` is written as a browser writes an origin; anything else would never match.
fn check(plain: &str, written: &str) -> Result<(), String> {
    if written == "null" {
        return Err("\"null\" is what any sandboxed page sends; it cannot be trusted".to_owned());
    }
    let uri: Option<Uri> = plain.parse().ok();
    let parts = uri.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.authority()?)));
    let Some((scheme, authority)) = parts.filter(|(_, authority)| !authority.host().contains(['*', '@'])) else {
        return Err(format!("{written:?} is not an origin; write https://app.example.com, https://*.example.com or *"));
    };
    let default_port = match scheme {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    };
    let port = authority.port_u16().filter(|port| Some(*port) != default_port);
    let host = authority.host().to_ascii_lowercase();
    let canonical = match port {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    };
    if plain == canonical {
        return Ok(());
    }
    let canonical = if written.contains("://*.") { canonical.replacen("://", "://*.", 1) } else { canonical };
    Err(format!("browsers write this origin {canonical}"))
}
