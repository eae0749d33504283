//! Networks as they are written, and a set of them that answers in a time that hardly grows with their number.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Unit, UnitError, parses, text_form};

/// A network in CIDR notation (RFC 4632), or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpNet);

/// A set of networks: sorted ranges that do not touch, for each family.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks {
    v4: Ranges,
    v6: Ranges,
}

/// First and last address, as numbers.
type Ranges = Box<[(u128, u128)]>;

impl FromStr for Network {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let net = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse::<IpNet>().map_err(|_| {
                UnitError(format!(
                    "{text:?} is not a network; write an address or a network such as 10.0.0.0/8 or 2001:db8::/32"
                ))
            })?,
        };
        if net.addr() != net.network() {
            // One of the two halves is a slip, and only the author knows which.
            let (whole, single) = (net.trunc(), net.addr());
            return Err(UnitError(format!(
                "{text} has address bits beyond its prefix; write {whole}, or {single} for one address"
            )));
        }
        Ok(Self(unmapped(net)))
    }
}

/// `::ffff:a.b.c.d/n` as the IPv4 network it stands for.
fn unmapped(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    let v4 = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    match v4.map(|(address, prefix)| Ipv4Net::new(address, prefix)) {
        Some(Ok(v4)) => IpNet::V4(v4),
        _ => net,
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            net if net.prefix_len() == net.max_prefix_len() => net.addr().fmt(f),
            net => net.fmt(f),
        }
    }
}

impl Networks {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether one of the networks holds this address. An IPv4 address written as IPv6 counts as IPv4.
    pub fn contain(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => within(&self.v4, u128::from(address.to_bits())),
            IpAddr::V6(address) => within(&self.v6, address.to_bits()),
        }
    }
}

fn within(ranges: &[(u128, u128)], address: u128) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    ranges.get(..after).and_then(<[_]>::last).is_some_and(|(_, last)| address <= *last)
}

impl<'n> FromIterator<&'n Network> for Networks {
    fn from_iter<I: IntoIterator<Item = &'n Network>>(networks: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for Network(net) in networks {
            match net {
                IpNet::V4(net) => v4.push((u128::from(net.network().to_bits()), u128::from(net.broadcast().to_bits()))),
                IpNet::V6(net) => v6.push(ends(*net)),
            }
        }
        Self { v4: merged(v4), v6: merged(v6) }
    }
}

fn ends(net: Ipv6Net) -> (u128, u128) {
    (Ipv6Addr::to_bits(net.network()), Ipv6Addr::to_bits(net.broadcast()))
}

fn merged(mut ranges: Vec<(u128, u128)>) -> Ranges {
    ranges.sort_unstable();
    let mut merged: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged.into()
}

pub(crate) const UNIT: Unit = Unit {
    kind: "network",
    expected: "an address or a network such as 10.0.0.0/8",
    check: parses::<Network>,
    bare_number: None,
};

text_form!(
    Network,
    "Network",
    UNIT,
    "^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$",
    "An address or a network, such as `192.0.2.7`, `10.0.0.0/8` or `2001:db8::/32`."
);
