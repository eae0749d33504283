//! The fields of a head as they come over the wire, and their names. Nearly all names have come before, spelt the same: each worker
//! remembers some, so that a name is neither checked nor copied again.

use std::cell::RefCell;

use super::Parts;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// How many a worker remembers. A power of two; arbitrary: clients and targets use some dozens.
const SEEN: usize = 256;
/// Longer ones are not worth remembering. Arbitrary.
const LONGEST: usize = 48;

thread_local! {
    static NAMES: RefCell<Box<[Option<Seen>]>> = RefCell::new((0..SEEN).map(|_| None).collect());
}

struct Seen {
    spelt: Box<[u8]>,
    name: HeaderName,
}

/// The name that is spelt so; `None` if it is none (RFC 9110 §5.1).
fn name(spelt: &[u8]) -> Option<HeaderName> {
    NAMES.with_borrow_mut(|names| {
        let seen = names.get_mut(place(spelt))?;
        if let Some(seen) = seen.as_ref().filter(|seen| *seen.spelt == *spelt) {
            return Some(seen.name.clone());
        }
        let name = HeaderName::from_bytes(spelt).ok()?;
        if spelt.len() <= LONGEST {
            *seen = Some(Seen { spelt: spelt.into(), name: name.clone() });
        }
        Some(name)
    })
}

/// The fields of a head whose bytes are these, with room for so many. `None` if it is none, or has not come whole.
pub fn fields(parts: &mut Parts<'_>, bytes: &Bytes, room: usize) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(room);
    for (spelt, value) in parts.by_ref() {
        // Values share the bytes of the head.
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(value)).ok()?;
        headers.try_append(name(spelt)?, value).ok()?;
    }
    parts.length()?;
    Some(headers)
}

/// Fields that concern one connection only (RFC 9110 §7.6.1).
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    // By their text: one comparison, of those that are as long.
    matches!(
        name.as_str(),
        "connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "keep-alive"
            | "proxy-connection"
    )
}

/// Writes the fields that go on in HTTP/1.1. Names mean the same in any letter case (RFC 9110 §5.1), and none is kept: each word
/// begins with a capital, as nearly everybody writes them.
pub fn write_fields(out: &mut Vec<u8>, headers: &HeaderMap, goes_on: impl Fn(&HeaderName, &HeaderValue) -> bool) {
    for (name, value) in headers {
        if !goes_on(name, value) {
            continue;
        }
        let at = out.len();
        out.extend_from_slice(name.as_str().as_bytes());
        let mut begins = true;
        for letter in out.get_mut(at..).unwrap_or_default() {
            if begins {
                letter.make_ascii_uppercase();
            }
            begins = *letter == b'-';
        }
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Where a name is remembered, by its ends and its length: names that share a place take it from each other.
fn place(spelt: &[u8]) -> usize {
    let word = |bytes: Option<&[u8; 8]>| bytes.map(|bytes| u64::from_le_bytes(*bytes));
    let (first, last) = match (word(spelt.first_chunk()), word(spelt.last_chunk())) {
        (Some(first), Some(last)) => (first, last),
        _ => (spelt.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0),
    };
    // Fibonacci hashing: the high bits of the product depend on all bits of the word.
    let mixed = (first ^ last.rotate_left(29) ^ spelt.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> (u64::BITS - SEEN.ilog2())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_is_what_it_would_be_without_memory(spelt in prop::collection::vec("[A-Za-z-]{0,6}|.{0,60}", 1..40)) {
            for spelt in spelt.iter().chain(&spelt) {
                prop_assert_eq!(name(spelt.as_bytes()), HeaderName::from_bytes(spelt.as_bytes()).ok());
            }
        }
    }

    #[test]
    fn usual_names_do_not_take_each_others_places() {
        let usual = [
            "Host",
            "User-Agent",
            "Accept",
            "Accept-Encoding",
            "Accept-Language",
            "Authorization",
            "Cookie",
            "Referer",
            "Connection",
            "Content-Type",
            "Content-Length",
            "Date",
            "Server",
            "Cache-Control",
            "ETag",
            "Last-Modified",
            "X-Request-Id",
            "Vary",
            "Set-Cookie",
            "Transfer-Encoding",
        ];
        let places: std::collections::BTreeSet<_> = usual.iter().map(|name| place(name.as_bytes())).collect();
        // Perhaps a pair of them does; more would make remembering useless.
        assert!(places.len() + 1 >= usual.len(), "{places:?}");
    }
}
