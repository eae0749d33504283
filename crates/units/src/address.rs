//! `10.0.0.7:8080`, `[::1]:8080`, `users.internal:8080`: where to connect to or listen on.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::url::without_credentials;
use super::{Unit, UnitError, parses, text_form};

/// The host part of an [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// An IPv4 or IPv6 address.
    Ip(IpAddr),
    /// A name for the resolver, in lower case.
    Name(String),
}

/// Where a target listens: a host and a port from 1 to 65535.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// An address or a name.
    pub host: Host,
    /// The TCP port, never 0.
    pub port: u16,
}

impl Address {
    /// The address when no resolver is needed.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self.host {
            Host::Ip(ip) => Some(SocketAddr::new(ip, self.port)),
            Host::Name(_) => None,
        }
    }
}

impl FromStr for Address {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        if let Some((scheme, rest)) = text.split_once("://") {
            // A password is not repeated.
            let (text, rest) = (without_credentials(text), rest.trim_end_matches('/'));
            let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
            return Err(UnitError(format!(
                "{text:?} is a URL, not an address; write host:port, such as {}",
                example(scheme, rest)
            )));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return match address.port() {
                0 => Err(UnitError(format!("{text}: no target listens on port 0"))),
                port => Ok(Self { host: Host::Ip(address.ip()), port }),
            };
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            let example = SocketAddr::new(ip, 8080);
            return Err(UnitError(format!("{text} has no port; write host:port, such as {example}")));
        }
        let Some((name, port)) = text.rsplit_once(':') else {
            return if is_host_name(text) {
                Err(UnitError(format!("{text} has no port; write host:port, such as {text}:8080")))
            } else {
                Err(UnitError(not_an_address(text)))
            };
        };
        if !is_host_name(name) {
            return Err(UnitError(not_an_address(text)));
        }
        let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        match port.parse::<u16>() {
            Ok(0) => Err(UnitError(format!("{text}: no target listens on port 0"))),
            Ok(port) if digits => Ok(Self { host: Host::Name(name.to_ascii_lowercase()), port }),
            _ => Err(UnitError(format!("{text}: a port is a number from 1 to 65535, not {port:?}"))),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// Where the gateway itself listens: an IP address of this machine and a port. Port 0 lets the system choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BindAddress(SocketAddr);

impl BindAddress {
    /// Listens on `address`.
    #[must_use]
    pub const fn new(address: SocketAddr) -> Self {
        Self(address)
    }

    /// The address for the socket call.
    #[must_use]
    pub const fn get(self) -> SocketAddr {
        self.0
    }

    /// Whether only this machine can reach it.
    #[must_use]
    pub fn is_loopback(self) -> bool {
        self.0.ip().to_canonical().is_loopback()
    }
}

impl FromStr for BindAddress {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        if let Ok(address) = text.parse() {
            return Ok(Self(address));
        }
        let port = text.rsplit_once(':').map_or(text, |(_, port)| port);
        let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        if digits && port.parse::<u16>().is_err() {
            return Err(UnitError(format!("{text}: a port is at most 65535")));
        }
        let port: u16 = port.parse().unwrap_or(8080);
        Err(UnitError(format!(
            "{text:?} is not an address to listen on; write ip:port, such as 0.0.0.0:{port} (everyone) or 127.0.0.1:{port} (this machine only)"
        )))
    }
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// RFC 1123 host names, with the underscore that service discovery uses (RFC 2782).
pub(crate) fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    text.len() <= 253 && text.strip_suffix('.').unwrap_or(text).split('.').all(label)
}

fn not_an_address(text: &str) -> String {
    format!("{text:?} is not an address; write host:port, such as 10.0.0.7:8080, [::1]:8080 or users.internal:8080")
}

/// The address somebody meant who wrote a URL.
fn example(scheme: &str, rest: &str) -> String {
    let host = rest.split(['/', '?']).next().unwrap_or(rest);
    let has_port = host.rsplit_once(':').is_some_and(|(_, p)| p.bytes().all(|b| b.is_ascii_digit()));
    match (has_port, scheme) {
        (true, _) => host.to_owned(),
        (false, "https") => format!("{host}:443"),
        (false, _) => format!("{host}:80"),
    }
}

pub(crate) const UNIT: Unit = Unit {
    kind: "address",
    expected: "an address such as 10.0.0.7:8080 or users.internal:8080",
    check: parses::<Address>,
    bare_number: Some(|port| format!("{port} has no host; write host:port, such as 127.0.0.1:{port}")),
};

pub(crate) const BIND_UNIT: Unit = Unit {
    kind: "bind",
    expected: "an address to listen on, such as 0.0.0.0:8080",
    check: parses::<BindAddress>,
    bare_number: Some(|port| {
        format!("{port} has no address; write 0.0.0.0:{port} (everyone) or 127.0.0.1:{port} (this machine only)")
    }),
};

text_form!(
    Address,
    "Address",
    UNIT,
    r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$",
    "A host and a port: `10.0.0.7:8080`, `[::1]:8080` or `users.internal:8080`."
);

text_form!(
    BindAddress,
    "BindAddress",
    BIND_UNIT,
    r"^(\[[0-9A-Fa-f:.]+\]|[0-9.]+):[0-9]{1,5}$",
    "An IP address of this machine and a port: `0.0.0.0:8080`, `[::]:8080` or `127.0.0.1:8080`."
);
