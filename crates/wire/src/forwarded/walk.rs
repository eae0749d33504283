//! The walk along the hops, and where the hops come from.

use std::net::IpAddr;

use super::{MAX_HOPS, node};
use crate::class::{self, QUOTED, TOKEN, VALUE};

/// From the peer along `hops`, nearest first, as long as whoever names the next hop is trusted.
pub(super) fn walk(
    peer: IpAddr,
    trusted: impl Fn(IpAddr) -> bool,
    hops: impl Iterator<Item = Option<IpAddr>>,
) -> IpAddr {
    let mut here = peer.to_canonical();
    let mut hops = hops.take(MAX_HOPS);
    while trusted(here)
        && let Some(Some(next)) = hops.next()
    {
        here = next.to_canonical();
    }
    here
}

/// The hops of one `X-Forwarded-For`, nearest first.
pub(super) fn x_forwarded_for(value: &[u8]) -> impl Iterator<Item = Option<IpAddr>> {
    value.rsplit(|&byte| byte == b',').map(|hop| node::loose(class::trim(hop)))
}

/// The hops of one `Forwarded`, nearest first, at most [`MAX_HOPS`]. `None`: whoever it is, there is no address.
pub(super) fn forwarded(value: &[u8]) -> impl Iterator<Item = Option<IpAddr>> {
    // Quoted strings can only be told from what is around them from the left: so the whole field is read, and the last
    // hops are kept in a ring.
    let mut ring = [None; MAX_HOPS];
    let count = elements(value, &mut ring).unwrap_or_else(|| {
        // One hop, of which nothing is known.
        ring = [None; MAX_HOPS];
        1
    });
    let kept = count.min(MAX_HOPS);
    (0..kept).map(move |back| ring.get((count - 1 - back) % MAX_HOPS).copied().flatten())
}

/// `#forwarded-element` (RFC 7239 §4) into `ring`: how many there are, or `None` if the field is malformed.
fn elements(mut rest: &[u8], ring: &mut [Option<IpAddr>; MAX_HOPS]) -> Option<usize> {
    let mut count: usize = 0;
    loop {
        let (hop, after) = element(class::trim_start(rest))?;
        *ring.get_mut(count % MAX_HOPS)? = hop;
        count += 1;
        rest = match class::trim_start(after) {
            [] => return Some(count),
            [b',', rest @ ..] => rest,
            _ => return None,
        };
    }
}

/// `[ forwarded-pair ] *( ";" [ forwarded-pair ] )`: the address of its `for`, and what follows the element.
fn element(mut rest: &[u8]) -> Option<(Option<IpAddr>, &[u8])> {
    let mut hop = None;
    let mut has_for = false;
    loop {
        let name_length = class::run(rest, TOKEN);
        if name_length > 0 {
            let (name, after) = rest.split_at_checked(name_length)?;
            let (value, after) = value(after.strip_prefix(b"=")?)?;
            if name.eq_ignore_ascii_case(b"for") {
                // No parameter may stand twice in an element.
                if has_for {
                    return None;
                }
                has_for = true;
                hop = node::node(value);
            }
            rest = after;
        }
        match rest {
            [b';', after @ ..] => rest = after,
            _ => return Some((hop, rest)),
        }
    }
}

/// `token / quoted-string`: what it holds, and what follows. An escape within is left as it stands: no address has one.
fn value(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let length = class::run(text, TOKEN);
        return text.split_at_checked(length).filter(|_| length > 0);
    };
    let mut end = 0;
    loop {
        end += class::run(quoted.get(end..)?, QUOTED);
        match quoted.get(end..)? {
            [b'"', rest @ ..] => return Some((quoted.get(..end)?, rest)),
            [b'\\', escaped, ..] if class::is(*escaped, VALUE) => end += 2,
            _ => return None,
        }
    }
}
