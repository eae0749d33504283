//! `_http._tcp.users.internal`: the name of a service in DNS.

use std::fmt;
use std::str::FromStr;

use super::address::is_host_name;
use super::{Unit, UnitError, parses, text_form};

/// The name under which SRV records stand (RFC 2782), in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServiceName(String);

impl ServiceName {
    /// The name as it is asked for.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServiceName {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        if is_host_name(text) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        let has_port = |(name, port): &(&str, &str)| is_host_name(name) && port.bytes().all(|b| b.is_ascii_digit());
        if let Some((name, _)) = text.rsplit_once(':').filter(has_port) {
            return Err(UnitError(format!("{text:?} has a port, which SRV records tell themselves; write {name}")));
        }
        Err(UnitError(format!("{text:?} is no name of a service; write one such as _http._tcp.users.internal")))
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(crate) const UNIT: Unit = Unit {
    kind: "service",
    expected: "the name of a service such as _http._tcp.users.internal",
    check: parses::<ServiceName>,
    bare_number: None,
};

text_form!(
    ServiceName,
    "ServiceName",
    UNIT,
    r"^[A-Za-z0-9._-]+$",
    "The name of SRV records: `_http._tcp.users.internal`."
);
