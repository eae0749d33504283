//! Version 1: one line of text (PROXY §2.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use memchr::memchr;

use super::{Header, Parsed, ProxyError};

pub(super) const SIGNATURE: &[u8] = b"PROXY ";

/// Longest line, CRLF included: `PROXY UNKNOWN` with two addresses of 39 characters and two ports of 5.
const MAX_LINE: usize = 107;

/// `bytes` begin as [`SIGNATURE`] does.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, ProxyError> {
    let reach = bytes.get(..MAX_LINE).unwrap_or(bytes);
    let Some(end) = memchr(b'\n', reach) else {
        return if reach.len() == MAX_LINE { Err(ProxyError::TooLong) } else { Ok(Parsed::Incomplete) };
    };
    let line = reach.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(ProxyError::LineEnd)?;
    if memchr(b'\r', line).is_some() {
        return Err(ProxyError::LineEnd);
    }
    let words = line.strip_prefix(SIGNATURE).ok_or(ProxyError::Line)?;
    Ok(Parsed::Complete { length: end + 1, header: header(words)? })
}

/// What follows `PROXY `.
fn header(words: &[u8]) -> Result<Header, ProxyError> {
    // Whatever follows is to be ignored.
    if words == b"UNKNOWN" || words.starts_with(b"UNKNOWN ") {
        return Ok(Header::Unknown);
    }
    let words = str::from_utf8(words).map_err(|_| ProxyError::Line)?;
    let mut words = words.split(' ');
    let mut next = || words.next().ok_or(ProxyError::Line);
    let (protocol, source, destination, source_port, destination_port) = (next()?, next()?, next()?, next()?, next()?);
    if words.next().is_some() {
        return Err(ProxyError::Line);
    }
    let address = match protocol {
        "TCP4" => address::<Ipv4Addr>,
        "TCP6" => address::<Ipv6Addr>,
        _ => return Err(ProxyError::Line),
    };
    Ok(Header::Proxied {
        source: SocketAddr::new(address(source)?, port(source_port)?),
        destination: SocketAddr::new(address(destination)?, port(destination_port)?),
    })
}

/// An address of one family. The standard library is as strict as `inet_pton`: no leading zeros, no zone.
fn address<A: FromStr + Into<IpAddr>>(text: &str) -> Result<IpAddr, ProxyError> {
    text.parse::<A>().map(Into::into).map_err(|_| ProxyError::Address)
}

/// A decimal number without sign or leading zeros.
fn port(text: &str) -> Result<u16, ProxyError> {
    let is_plain = text == "0" || !text.starts_with(['0', '+']);
    text.parse().ok().filter(|_| is_plain).ok_or(ProxyError::Port)
}
