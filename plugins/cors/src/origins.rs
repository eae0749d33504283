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
    /// Those named, and those that fit a pattern.
    These {
        /// Exact origins.
        exact: HashSet<Box<[u8]>>,
        /// Those with a `*` somewhere.
        patterns: Vec<Pattern>,
    },
}

/// Origins that are alike in a part: `https://*.example.com`, `*://example.com`, `chrome-extension://*`, `http://localhost:*`.
#[derive(Debug)]
pub(crate) struct Pattern {
    /// `https`; for `*` either of http and https.
    scheme: Option<Box<[u8]>>,
    host: Hosts,
    /// `:8080`, or nothing for the scheme's own; any for `*`.
    port: Option<Box<[u8]>>,
}

#[derive(Debug)]
enum Hosts {
    /// This one.
    One(Box<[u8]>),
    /// Those that end in this and have at least one label before it: `.example.com`.
    Below(Box<[u8]>),
    Any,
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
        let (mut exact, mut patterns) = (HashSet::new(), Vec::new());
        for (place, origin) in origins.iter().enumerate() {
            let wrong = |message: String| BuildError::at(format!("origins[{place}]"), message);
            match Pattern::parse(origin).map_err(wrong)? {
                Some(pattern) => patterns.push(pattern),
                None => drop(exact.insert(origin.clone().into_bytes().into())),
            }
        }
        Ok(Self::These { exact, patterns })
    }

    /// Whether every origin is allowed, so that answers need not depend on it.
    pub(crate) fn are_any(&self) -> bool {
        matches!(self, Self::Any)
    }

    /// Whether the value of an `Origin` field is allowed.
    pub(crate) fn allow(&self, origin: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::These { exact, patterns } => {
                exact.contains(origin) || patterns.iter().any(|pattern| pattern.holds(origin))
            }
        }
    }
}

impl Pattern {
    /// Nothing if there is no `*` in it.
    fn parse(written: &str) -> Result<Option<Self>, String> {
        let Some((scheme, authority)) = written.split_once("://") else {
            return check(written, written).map(|()| None);
        };
        let (host, port) = if let Some(host) = authority.strip_suffix(":*") {
            (host, None)
        } else {
            let (host, port) = split_port(authority.as_bytes());
            (authority.get(..host.len()).unwrap_or(authority), Some(port))
        };
        let hosts = match host {
            "*" => Hosts::Any,
            _ => match host.strip_prefix("*.") {
                Some(domain) => Hosts::Below(format!(".{domain}").into_bytes().into()),
                None => Hosts::One(host.as_bytes().into()),
            },
        };
        // The same with something in the place of each `*`.
        let plain_host = match &hosts {
            Hosts::Any => "x",
            Hosts::Below(_) | Hosts::One(_) => host.strip_prefix("*.").unwrap_or(host),
        };
        let plain_port = port.map_or_else(String::new, |port| String::from_utf8_lossy(port).into_owned());
        let plain_scheme = if scheme == "*" { "https" } else { scheme };
        check(&format!("{plain_scheme}://{plain_host}{plain_port}"), written)?;
        if scheme == "*" && plain_port == ":80" {
            return Err("browsers leave 80 out of an origin with http; give each scheme an entry of its own".to_owned());
        }
        let is_exact = scheme != "*" && port.is_some() && matches!(hosts, Hosts::One(_));
        let scheme = (scheme != "*").then(|| scheme.as_bytes().into());
        Ok((!is_exact).then(|| Self { scheme, host: hosts, port: port.map(Into::into) }))
    }

    fn holds(&self, origin: &[u8]) -> bool {
        let Some(at) = origin.windows(3).position(|window| window == b"://") else { return false };
        let (Some(scheme), Some(authority)) = (origin.get(..at), origin.get(at + 3..)) else { return false };
        let (host, port) = split_port(authority);
        self.scheme.as_deref().map_or_else(|| matches!(scheme, b"http" | b"https"), |wanted| wanted == scheme)
            && self.port.as_deref().map_or_else(|| is_port(port), |wanted| wanted == port)
            && match &self.host {
                Hosts::One(wanted) => **wanted == *host,
                // Nothing but labels: `https://evil.com/.example.com` and `https://evil.com:1.example.com` are none.
                Hosts::Below(domain) => host.strip_suffix(&**domain).is_some_and(are_labels),
                Hosts::Any => are_labels(host) || is_bracketed(host),
            }
    }
}

/// Host and port, the latter with its colon; nothing if there is none.
fn split_port(authority: &[u8]) -> (&[u8], &[u8]) {
    let bracket = authority.iter().rposition(|byte| *byte == b']').unwrap_or(0);
    let colon = authority.iter().rposition(|byte| *byte == b':').filter(|at| *at >= bracket);
    authority.split_at_checked(colon.unwrap_or(authority.len())).unwrap_or((authority, b""))
}

/// A port with its colon as a browser writes it, or none.
fn is_port(port: &[u8]) -> bool {
    match port {
        [] => true,
        [b':', digits @ ..] => (1..=5).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

fn are_labels(host: &[u8]) -> bool {
    let is_label = |label: &[u8]| {
        let is_of_it = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        !label.is_empty() && label.iter().all(is_of_it)
    };
    host.split(|byte| *byte == b'.').all(is_label)
}

/// An IPv6 address.
fn is_bracketed(host: &[u8]) -> bool {
    let address = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]"));
    address.is_some_and(|address| address.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')))
}

/// Whether `plain` is written as a browser writes an origin; anything else would never match. `written` is the same with `*`.
fn check(plain: &str, written: &str) -> Result<(), String> {
    if written == "null" {
        return Err("\"null\" is what any sandboxed page sends; it cannot be trusted".to_owned());
    }
    let uri: Option<Uri> = plain.parse().ok();
    let parts = uri.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.authority()?)));
    let Some((scheme, authority)) = parts.filter(|(_, authority)| !authority.as_str().contains(['*', '@'])) else {
        return Err(format!(
            "{written:?} is not an origin; write https://app.example.com, or with a `*`: https://*.example.com, https://*, \
             *://app.example.com, http://localhost:*"
        ));
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
