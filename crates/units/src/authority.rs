//! `api.internal`, `api.internal:8443`, `[::1]:8080`: what a site is called in `Host` and `:authority`.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use super::address::is_host_name;
use super::{Unit, UnitError, parses, text_form};

/// A host and, where it is not the usual one, a port (RFC 9110 §7.2). In lower case, without a final dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Authority(String);

impl Authority {
    /// As it stands in a `Host` field: visible ASCII.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Authority {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || {
            UnitError(format!(
                "{text:?} is not a host; write a name or an address, with a port where it needs one: api.internal, [::1]:8080"
            ))
        };
        let at = if text.ends_with(']') { None } else { text.rfind(':') };
        let (host, port) = match at.and_then(|at| text.split_at_checked(at)) {
            Some((host, port)) => (host, port.get(1..)),
            None => (text, None),
        };
        let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
        if !port.is_none_or(is_port) {
            return Err(wrong());
        }
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => address.parse::<Ipv6Addr>().map(|address| format!("[{address}]")).map_err(|_| wrong())?,
            None if is_host_name(host) => host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase(),
            None => return Err(wrong()),
        };
        Ok(Self(port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))))
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(crate) const UNIT: Unit = Unit {
    kind: "authority",
    expected: "a host such as api.internal or api.internal:8443",
    check: parses::<Authority>,
    bare_number: None,
};

text_form!(
    Authority,
    "Authority",
    UNIT,
    "^[A-Za-z0-9._:\\[\\]-]+$",
    "A host with a port where it needs one, such as `api.internal` or `api.internal:8443`."
);
