//! The PROXY protocol, versions 1 and 2: the header with which a load balancer tells whom it speaks for, read and written.
//!
//! By the specification of `HAProxy`, `doc/proxy-protocol.txt`, cited as "PROXY §". Only for connections from peers that
//! are trusted to say so: anyone can write such a header.

mod crc32c;
mod error;
mod v1;
mod v2;
mod write;

use std::net::SocketAddr;

pub use error::ProxyError;
pub use write::{Additions, write_v1, write_v2};

/// Most bytes that a header can have: version 2 with all the additions that we skip.
pub const MAX_HEADER: usize = v2::FIXED + v2::MAX_REST;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a header: call again with the same bytes and more after them.
    Incomplete,
    /// A whole header.
    Complete {
        /// Its bytes; what follows is the connection's own.
        length: usize,
        /// What it says.
        header: Header,
    },
}

/// What a header says of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// The peer speaks for itself (v2 `LOCAL`): what the socket says holds.
    Local,
    /// The peer speaks for somebody, and cannot say for whom (v1 `UNKNOWN`, v2 `UNSPEC`). In version 1 it may as well speak
    /// for itself: there is no other word for it.
    Unknown,
    /// The peer speaks for a client. Addresses stand as they were sent: IPv4 within IPv6 is not yet IPv4.
    Proxied {
        /// The client.
        source: SocketAddr,
        /// Where the client had connected to.
        destination: SocketAddr,
    },
}

/// Reads the header that must stand at the beginning of a connection. `bytes` are all that came so far.
///
/// Never asks for more than could still be a header: at most 107 bytes for version 1, [`MAX_HEADER`] for version 2; and
/// whoever does not begin as one of the two signatures is refused at the first byte that differs.
///
/// ```
/// use portreeve_wire::proxy_protocol::{Header, Parsed, ProxyError, parse};
///
/// assert_eq!(parse(b"PROXY TCP4 192.0.2.7 "), Ok(Parsed::Incomplete));
/// let header = Header::Proxied { source: "192.0.2.7:4711".parse()?, destination: "10.0.0.1:443".parse()? };
/// let bytes = b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\nGET /";
/// assert_eq!(parse(bytes), Ok(Parsed::Complete { length: 40, header }));
/// assert_eq!(parse(b"GET /"), Err(ProxyError::Signature));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
///
/// # Errors
/// The bytes cannot become a header that we accept, whatever comes after them.
pub fn parse(bytes: &[u8]) -> Result<Parsed, ProxyError> {
    let begins = |signature: &[u8]| signature.starts_with(bytes) || bytes.starts_with(signature);
    if begins(v1::SIGNATURE) {
        v1::parse(bytes)
    } else if begins(v2::SIGNATURE) {
        v2::parse(bytes)
    } else {
        Err(ProxyError::Signature)
    }
}
