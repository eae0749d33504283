//! The walk along the hops, and where the hops come from.

use std::net::IpAddr;

use super::{MAX_HOPS, node};
use crate::class::{self, QUOTED, TOKEN, VALUE};

/// From the peer along `hops`, nearest first, as long as whoever names the next hop is trusted. `None`: one of them spoke for
/// somebody without a word that can be read.
pub(super) fn walk(
    peer: IpAddr,
    trusted: impl Fn(IpAddr) -> bool,
    mut hops: impl Iterator<Item = Option<IpAddr>>,
) -> Option<IpAddr> {
    let mut here = peer.to_canonical();
    let mut looked_at = 0;
    while trusted(here) {
        let Some(next) = hops.next() else { break };
        looked_at += 1;
        here = next.filter(|_| looked_at <= MAX_HOPS)?.to_canonical();
    }
    Some(here)
}

/// The hops of one `X-Forwarded-For`, nearest first. Empty ones are none (RFC 9110 §5.6.1).
pub(super) fn x_forwarded_for(value: &[u8]) -> impl Iterator<Item = Option<IpAddr>> {
    let hops = value.rsplit(|&byte| byte == b',').map(class::trim);
    hops.filter(|hop| !hop.is_empty()).map(node::loose)
}

/// The last hops of one `Forwarded`, and how many there were.
struct Hops {
    /// The one that stands at `n` has the place `n % MAX_HOPS`.
    ring: [Option<IpAddr>; MAX_HOPS],
    count: usize,
}

impl Hops {
    const NONE: Self = Self { ring: [None; MAX_HOPS], count: 0 };

    fn push(&mut self, hop: Option<IpAddr>) {
        if let Some(place) = self.ring.get_mut(self.count % MAX_HOPS) {
            *place = hop;
        }
        self.count += 1;
    }

    /// Nearest first. Behind those that were kept there is nobody who is known.
    fn nearest_first(self) -> impl Iterator<Item = Option<IpAddr>> {
        let Self { ring, count } = self;
        let kept = count.min(MAX_HOPS);
        let known = (0..kept).map(move |back| ring.get((count - 1 - back) % MAX_HOPS).copied().flatten());
        known.chain((count > MAX_HOPS).then_some(None))
    }
}

/// The hops of one `Forwarded`, nearest first. `None`: whoever it is, there is no address.
///
/// Quoted strings can only be told from what is around them from the left, so the whole field is read. Of one that is malformed,
/// what stands between two commas counts where it is a whole element: a part of a quoted string never is, since there is a
/// quotation mark without its other one, or a backslash outside, on either side of each comma in it.
pub(super) fn forwarded(value: &[u8]) -> impl Iterator<Item = Option<IpAddr>> {
    elements(value).unwrap_or_else(|| pieces(value)).nearest_first()
}

/// `#forwarded-element` (RFC 7239 §4). `None` if the field is malformed.
fn elements(mut rest: &[u8]) -> Option<Hops> {
    let mut hops = Hops::NONE;
    loop {
        let start = class::trim_start(rest);
        let (hop, after) = element(start)?;
        // Empty ones are none (RFC 9110 §5.6.1).
        if after.len() < start.len() {
            hops.push(hop);
        }
        rest = match class::trim_start(after) {
            [] => return Some(hops),
            [b',', rest @ ..] => rest,
            _ => return None,
        };
    }
}

/// What can be read of a field that is malformed as a whole.
fn pieces(value: &[u8]) -> Hops {
    let mut hops = Hops::NONE;
    for piece in value.split(|&byte| byte == b',').map(class::trim).filter(|piece| !piece.is_empty()) {
        hops.push(element(piece).and_then(|(hop, after)| hop.filter(|_| after.is_empty())));
    }
    hops
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
