//! What this gateway says of a request it forwards.

use std::io::Write;
use std::net::IpAddr;

use crate::class::{self, VALUE};

/// One element of `Forwarded` (RFC 7239 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    /// Who made the request; written as `unknown` if it is the unspecified address.
    pub client: IpAddr,
    /// `http` or `https`.
    pub proto: &'a str,
    /// The `Host` that the client sent.
    pub host: Option<&'a [u8]>,
}

impl Element<'_> {
    /// Appends `for=…;proto=…;host=…;by=_portreeve`, quoted where the grammar asks for it. A byte of the host that no
    /// field may hold is left out.
    ///
    /// ```
    /// use portreeve_wire::forwarded::Element;
    ///
    /// let mut field = Vec::new();
    /// let element = Element { client: "2001:db8::7".parse()?, proto: "https", host: Some(b"example.com:8443") };
    /// element.write(&mut field);
    /// assert_eq!(field, br#"for="[2001:db8::7]";proto=https;host="example.com:8443";by=_portreeve"#);
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    pub fn write(&self, out: &mut Vec<u8>) {
        let client = self.client.to_canonical();
        // Writing to a vector cannot fail.
        match client {
            // RFC 7239 §6.2.
            client if client.is_unspecified() => out.write_all(b"for=unknown").ok(),
            IpAddr::V4(client) => write!(out, "for={client}").ok(),
            // Brackets and colons are not of a token (RFC 7239 §6).
            IpAddr::V6(client) => write!(out, "for=\"[{client}]\"").ok(),
        };
        out.extend_from_slice(b";proto=");
        write_value(self.proto.as_bytes(), out);
        if let Some(host) = self.host {
            out.extend_from_slice(b";host=");
            write_value(host, out);
        }
        out.extend_from_slice(b";by=_portreeve");
    }
}

/// As a token if it is one, else as a quoted string.
fn write_value(value: &[u8], out: &mut Vec<u8>) {
    if class::is_token(value) {
        return out.extend_from_slice(value);
    }
    out.push(b'"');
    for &byte in value.iter().filter(|&&byte| class::is(byte, VALUE)) {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}
