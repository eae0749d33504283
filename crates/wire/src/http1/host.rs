//! `host [ ":" port ]`, as it stands in `Host` and in the authority of a target (RFC 9110 §7.2, RFC 3986 §3.2).

use std::net::Ipv6Addr;

use super::Refusal;
use crate::class::{self, HOST};

/// Longest host: no name that can be looked up is longer (RFC 1035 §2.3.4), but for its final dot.
const MAX_HOST: usize = 254;

/// Whether this is `host [ ":" port ]` as a request over HTTP/1.x may say it: for the authority of an HTTP/2 request, which
/// becomes the `Host` of an HTTP/1.1 target.
pub fn is_host(text: &[u8]) -> bool {
    HostPort::parse(text).is_ok()
}

/// A host and a port, as they were sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct HostPort<'a> {
    host: &'a [u8],
    port: Option<u16>,
}

impl<'a> HostPort<'a> {
    /// No user information, no empty host, no empty port; an address in brackets is IPv6 and has no zone.
    pub(super) fn parse(text: &'a [u8]) -> Result<Self, Refusal> {
        let end = if text.starts_with(b"[") {
            1 + memchr::memchr(b']', text).ok_or(Refusal::Host)?
        } else {
            class::run(text, HOST)
        };
        let (host, rest) = text.split_at_checked(end).ok_or(Refusal::Host)?;
        let is_host = match host {
            [b'[', address @ .., b']'] => {
                str::from_utf8(address).is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok())
            }
            name => is_name(name),
        };
        let port = match rest {
            [] => None,
            [b':', digits @ ..] => Some(port(digits).ok_or(Refusal::Host)?),
            _ => return Err(Refusal::Host),
        };
        if is_host { Ok(Self { host, port }) } else { Err(Refusal::Host) }
    }

    /// Whether both name the same place, where `default` is the port that need not be written.
    pub(super) fn is_same(&self, other: &Self, default: u16) -> bool {
        self.host.eq_ignore_ascii_case(other.host) && self.port.unwrap_or(default) == other.port.unwrap_or(default)
    }
}

/// A name whose labels are not empty, but for the root's behind a final dot (RFC 1034 §3.1): what a resolver would take.
fn is_name(name: &[u8]) -> bool {
    let labels = name.strip_suffix(b".").unwrap_or(name);
    name.len() <= MAX_HOST && labels.split(|&byte| byte == b'.').all(|label| !label.is_empty())
}

/// A port in decimal digits, at least one and at most five.
fn port(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 5 {
        return None;
    }
    digits.iter().try_fold(0_u16, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| u16::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}
