//! One hop: an address, perhaps with a port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `IPv4address [ ":" node-port ]` or `"[" IPv6address "]" [ ":" node-port ]` (RFC 7239 §6). `None`: `unknown`, an
/// obfuscated identifier, or nothing of this grammar.
pub(super) fn node(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?;
    let (address, port) = if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        (address.parse::<Ipv6Addr>().ok()?.into(), port)
    } else {
        let (address, port) = text.split_at(text.find(':').unwrap_or(text.len()));
        (address.parse::<Ipv4Addr>().ok()?.into(), port)
    };
    let is_port = match port.strip_prefix(':') {
        None => port.is_empty(),
        Some(port) => is_node_port(port.as_bytes()),
    };
    is_port.then_some(address)
}

/// The same, or an IPv6 address without brackets: what is found in `X-Forwarded-For`, which nothing specifies.
pub(super) fn loose(text: &[u8]) -> Option<IpAddr> {
    let bare = || str::from_utf8(text).ok()?.parse::<Ipv6Addr>().ok().map(IpAddr::from);
    node(text).or_else(bare)
}

/// `1*5DIGIT`, or `"_" 1*( ALPHA / DIGIT / "." / "_" / "-" )`.
fn is_node_port(port: &[u8]) -> bool {
    match port {
        [b'_', rest @ ..] => {
            !rest.is_empty() && rest.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
        }
        digits => (1..=5).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit),
    }
}
