//! Writing the header: what a server of ours is told of the client it gets a connection of.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

use super::{Header, v1, v2};

/// `PROXY` over TCP in IPv4 and in IPv6 (PROXY §2.2).
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// Most bytes of a unique id (PROXY §2.2.5).
const MAX_UNIQUE_ID: usize = 128;
/// Most bytes of the other additions: a name of TLS has at most so many.
const MAX_ADDITION: usize = 255;

/// What a version 2 header may tell besides the addresses (TLVs, PROXY §2.2). What is empty or longer than it may be is
/// left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Additions<'a> {
    /// The protocol that client and proxy agreed on by ALPN (`PP2_TYPE_ALPN`); at most 255 bytes.
    pub alpn: &'a [u8],
    /// The name the client asked for, in TLS the SNI (`PP2_TYPE_AUTHORITY`); at most 255 bytes.
    pub authority: &'a [u8],
    /// What the connection is called in the proxy's own log (`PP2_TYPE_UNIQUE_ID`); at most 128 bytes.
    pub unique_id: &'a [u8],
}

/// Appends a version 1 header: one line of text (PROXY §2.1). Addresses of two families are both written as IPv6.
///
/// ```
/// use portreeve_wire::proxy_protocol::{Header, write_v1};
///
/// let mut bytes = Vec::new();
/// write_v1(&Header::Proxied { source: "192.0.2.7:4711".parse()?, destination: "10.0.0.1:443".parse()? }, &mut bytes);
/// assert_eq!(bytes, b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
pub fn write_v1(header: &Header, out: &mut Vec<u8>) {
    out.extend_from_slice(v1::SIGNATURE);
    let Header::Proxied { source, destination } = *header else {
        out.extend_from_slice(b"UNKNOWN\r\n");
        return;
    };
    let (from, to) = of_one_family(source, destination);
    let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
    // Writing into memory cannot fail.
    write!(out, "{family} {from} {to} {} {}\r\n", source.port(), destination.port()).ok();
}

/// Appends a version 2 header (PROXY §2.2). Addresses of two families are both written as IPv6.
pub fn write_v2(header: &Header, additions: &Additions<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(v2::SIGNATURE);
    let Header::Proxied { source, destination } = *header else {
        let command = if *header == Header::Local { v2::LOCAL } else { v2::PROXY };
        out.extend_from_slice(&[command, 0, 0, 0]);
        return;
    };
    let mut rest = Vec::with_capacity(64);
    let (from, to) = of_one_family(source, destination);
    for address in [from, to] {
        match address {
            IpAddr::V4(ip) => rest.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => rest.extend_from_slice(&ip.octets()),
        }
    }
    rest.extend_from_slice(&source.port().to_be_bytes());
    rest.extend_from_slice(&destination.port().to_be_bytes());
    let Additions { alpn, authority, unique_id } = *additions;
    let each = [(v2::ALPN, alpn, MAX_ADDITION), (v2::AUTHORITY, authority, MAX_ADDITION)];
    for (kind, value, most) in each.into_iter().chain([(v2::UNIQUE_ID, unique_id, MAX_UNIQUE_ID)]) {
        let Some(length) = u16::try_from(value.len()).ok().filter(|_| !value.is_empty() && value.len() <= most) else {
            continue;
        };
        rest.push(kind);
        rest.extend_from_slice(&length.to_be_bytes());
        rest.extend_from_slice(value);
    }
    let family = if from.is_ipv4() { TCP4 } else { TCP6 };
    out.extend_from_slice(&[v2::PROXY, family]);
    // At most 36 + 258 + 258 + 131 bytes.
    out.extend_from_slice(&u16::try_from(rest.len()).unwrap_or_default().to_be_bytes());
    out.extend_from_slice(&rest);
}

/// Both as they are, or both in IPv6: a header has one family.
fn of_one_family(source: SocketAddr, destination: SocketAddr) -> (IpAddr, IpAddr) {
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), to @ IpAddr::V6(_)) => (from.to_ipv6_mapped().into(), to),
        (from @ IpAddr::V6(_), IpAddr::V4(to)) => (from, to.to_ipv6_mapped().into()),
        same => same,
    }
}
