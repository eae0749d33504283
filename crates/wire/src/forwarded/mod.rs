//! For whom a request was forwarded: whom to believe (`X-Forwarded-For`, and `Forwarded` of RFC 7239), and how to say
//! it.
//!
//! Anyone can send such fields. Each proxy appends what it saw, so the rightmost hop is the word of the peer, and each
//! further hop the word of the one to its right: the walk goes left as long as the word is that of somebody trusted. Where
//! such a word cannot be read, nobody knows who the client is: it is not the one who said it, who is trusted.

mod element;
mod node;
mod walk;

use std::net::IpAddr;

pub use element::Element;

/// Most hops that are looked at, from the right. Arbitrary: chains of proxies are shorter, and lists that are longer
/// are made up.
pub const MAX_HOPS: usize = 32;

/// The client's address by `X-Forwarded-For`: the peer's if that is not trusted; else of the first hop from the right
/// that is not; and if all are trusted, of the last.
///
/// `values` are the values of all such fields, in the order they came in. A hop may be an IPv4 or IPv6 address, with or
/// without a port, the latter in brackets then. `None`: there is anything else where the walk comes to, or more than
/// [`MAX_HOPS`], and so no address that is certain. IPv4 written as IPv6 (`::ffff:192.0.2.1`) counts, and is returned, as
/// IPv4. Empty members of the list are passed over.
///
/// ```
/// use portreeve_wire::forwarded::by_x_forwarded_for;
///
/// let trusted = |address: std::net::IpAddr| address.to_string().starts_with("10.");
/// let fields = [&b"127.0.0.1, 203.0.113.9"[..], b"10.0.0.2"];
/// let client = by_x_forwarded_for("10.0.0.1".parse()?, trusted, fields.into_iter());
/// assert_eq!(client, Some("203.0.113.9".parse()?));
/// let nobody = by_x_forwarded_for("10.0.0.1".parse()?, trusted, [&b"203.0.113.9, unknown"[..]].into_iter());
/// assert_eq!(nobody, None);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
pub fn by_x_forwarded_for<'a>(
    peer: IpAddr,
    trusted: impl Fn(IpAddr) -> bool,
    values: impl DoubleEndedIterator<Item = &'a [u8]>,
) -> Option<IpAddr> {
    walk::walk(peer, trusted, values.rev().flat_map(walk::x_forwarded_for))
}

/// The client's address by `Forwarded` (RFC 7239 §4), in the same way. Of a hop that is `unknown` or obfuscated, and of an
/// element without `for`, no address is known. In a field that is not well-formed as a whole, those elements count that
/// are: what a client has sent there does not hide what a proxy has written behind it.
///
/// ```
/// use portreeve_wire::forwarded::by_forwarded;
///
/// let trusted = |address: std::net::IpAddr| address.to_string().starts_with("10.");
/// let field = br#"for=_hidden, for="[2001:db8::7]:4711";proto=https, for=10.0.0.2"#;
/// let client = by_forwarded("10.0.0.1".parse()?, trusted, [&field[..]].into_iter());
/// assert_eq!(client, Some("2001:db8::7".parse()?));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
pub fn by_forwarded<'a>(
    peer: IpAddr,
    trusted: impl Fn(IpAddr) -> bool,
    values: impl DoubleEndedIterator<Item = &'a [u8]>,
) -> Option<IpAddr> {
    walk::walk(peer, trusted, values.rev().flat_map(walk::forwarded))
}
