//! Version 2: binary (PROXY §2.2).

use std::net::{IpAddr, SocketAddr};

use super::{Header, Parsed, ProxyError, crc32c};

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Bytes of the part that every header has: signature, version and command, family, length.
pub(super) const FIXED: usize = 16;

/// Most bytes after it. The length field allows 65,535, but whoever fills them means harm: what is in use (addresses,
/// authority, names from a client's certificate) stays below 2 KiB.
pub(super) const MAX_REST: usize = 2048;

/// Version and command (§2.2): the peer speaks for itself, or for a client.
pub(super) const LOCAL: u8 = 0x20;
pub(super) const PROXY: u8 = 0x21;

/// Kinds of additions (§2.2): the protocol by ALPN, the name asked for, a CRC32C of the whole header, the peer's own name
/// for the connection.
pub(super) const ALPN: u8 = 0x01;
pub(super) const AUTHORITY: u8 = 0x02;
const CRC32C: u8 = 0x03;
pub(super) const UNIQUE_ID: u8 = 0x05;

/// `bytes` begin as [`SIGNATURE`] does. Each byte of the fixed part is judged as soon as it is there.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, ProxyError> {
    let Some(&command) = bytes.get(12) else { return Ok(Parsed::Incomplete) };
    let is_local = match command {
        LOCAL => true,
        PROXY => false,
        0x22..=0x2f => return Err(ProxyError::Command),
        _ => return Err(ProxyError::Version),
    };
    let Some(&family) = bytes.get(13) else { return Ok(Parsed::Incomplete) };
    let address_bytes = match family {
        // Of what is local, and of what is unspecified, the rest is to be skipped, whatever it is.
        _ if is_local => None,
        0x00 => None,
        0x11 => Some(4),
        0x21 => Some(16),
        _ => return Err(ProxyError::Family),
    };
    let Some(&[high, low]) = bytes.get(14..FIXED) else { return Ok(Parsed::Incomplete) };
    let rest = usize::from(u16::from_be_bytes([high, low]));
    if rest > MAX_REST {
        return Err(ProxyError::TooLong);
    }
    if address_bytes.is_some_and(|size| rest < 2 * (size + 2)) {
        return Err(ProxyError::Truncated);
    }
    let length = FIXED + rest;
    let Some(whole) = bytes.get(..length) else { return Ok(Parsed::Incomplete) };
    let header = match address_bytes {
        None if is_local => Header::Local,
        None => Header::Unknown,
        Some(size) => {
            check_additions(whole, FIXED + 2 * (size + 2))?;
            addresses(whole, size).ok_or(ProxyError::Truncated)?
        }
    };
    Ok(Parsed::Complete { length, header })
}

/// Two addresses of `size` bytes, then two ports.
fn addresses(whole: &[u8], size: usize) -> Option<Header> {
    let (source, rest) = whole.get(FIXED..)?.split_at_checked(size)?;
    let (destination, ports) = rest.split_at_checked(size)?;
    let ([a, b, rest @ ..], address) = (ports, address) else { return None };
    let [c, d, ..] = rest else { return None };
    Some(Header::Proxied {
        source: SocketAddr::new(address(source)?, u16::from_be_bytes([*a, *b])),
        destination: SocketAddr::new(address(destination)?, u16::from_be_bytes([*c, *d])),
    })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from);
    v4().or_else(v6)
}

/// The additions (TLVs, §2.2) from `at` on: their lengths must fill the header exactly, and a checksum must be right.
fn check_additions(whole: &[u8], mut at: usize) -> Result<(), ProxyError> {
    while at < whole.len() {
        let Some(&[kind, high, low]) = whole.get(at..at + 3) else { return Err(ProxyError::Tlv) };
        let start = at + 3;
        at = start + usize::from(u16::from_be_bytes([high, low]));
        let value = whole.get(start..at).ok_or(ProxyError::Tlv)?;
        if kind == CRC32C {
            let sum = <[u8; 4]>::try_from(value).map_err(|_| ProxyError::Tlv)?;
            // Summed with the sum itself as zeros (§2.2.3).
            let before = whole.get(..start).unwrap_or_default();
            let after = whole.get(at..).unwrap_or_default();
            let summed = crc32c::checksum(before.iter().chain(&[0; 4]).chain(after).copied());
            if summed != u32::from_be_bytes(sum) {
                return Err(ProxyError::Checksum);
            }
        }
    }
    Ok(())
}
