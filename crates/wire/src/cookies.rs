//! Cookies of HTTP/2, which come in crumbs (RFC 9113 §8.2.3).

/// One field of several, in their order, with `; ` between: what an HTTP/1.1 target is sent, and what everybody here reads.
/// Crumbs of nothing but blanks leave nothing.
pub fn join<'c>(crumbs: impl IntoIterator<Item = &'c [u8]>) -> Vec<u8> {
    let mut joined = Vec::new();
    for crumb in crumbs.into_iter().map(<[u8]>::trim_ascii).filter(|crumb| !crumb.is_empty()) {
        if !joined.is_empty() {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(crumb);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crumbs_are_one_field_in_their_order() {
        assert_eq!(join([&b"a=1"[..], b"b=2; c=3", b"d=4"]), b"a=1; b=2; c=3; d=4");
        assert_eq!(join([&b"a=1"[..]]), b"a=1");
        assert_eq!(join([&b""[..], b" ", b"a=1", b""]), b"a=1");
        assert!(join([]).is_empty());
    }
}
