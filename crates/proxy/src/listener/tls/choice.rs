//! Which certificate a client is shown: by the name it asks for (SNI, RFC 6066 §3) and by what it can verify.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use portreeve_config::UnknownSni;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::certificate::Certified;
use super::expiry::Expiry;
use crate::acme::Slot;

/// The certificates of a listener.
#[derive(Debug)]
pub(super) struct Choice {
    all: Vec<Certified>,
    names: Names,
    unknown: UnknownSni,
    /// The one that the gateway gets by itself.
    slot: Option<Arc<Slot>>,
}

impl Choice {
    pub(super) fn new(all: Vec<Certified>, unknown: UnknownSni, slot: Option<Arc<Slot>>) -> Self {
        let offers = all.iter().map(|certified| Offer {
            names: &certified.names,
            rank: certified.rank(),
            not_after: certified.not_after,
        });
        let names = Names::new(&offers.collect::<Vec<_>>());
        Self { all, names, unknown, slot }
    }

    pub(super) fn expiries(&self) -> impl Iterator<Item = Expiry> {
        let issued = self.slot.iter().filter_map(|slot| slot.shown()).map(|issued| issued.expiry());
        self.all.iter().map(Certified::expiry).chain(issued)
    }

    /// By its very name, then the one that the gateway got by itself, then by a wildcard, then any.
    fn pick(&self, name: Option<&str>, usable: impl Fn(&Certified) -> bool) -> Option<Arc<CertifiedKey>> {
        let name = name.map(|name| name.strip_suffix('.').unwrap_or(name));
        let first = |all: &mut dyn Iterator<Item = usize>| {
            all.filter_map(|at| self.all.get(at)).find(|own| usable(own)).map(Certified::to_show)
        };
        let issued = |name: Option<&str>| {
            let issued = self.slot.as_ref()?.shown()?;
            // Until its own is there, one for some of the names may be shown.
            let fits = name.is_none_or(|name| issued.names().iter().any(|own| own == name));
            (fits && usable(&issued)).then(|| issued.to_show())
        };
        let wanted = name.is_some_and(|name| self.slot.as_ref().is_some_and(|slot| slot.is_for(name)));
        let named = name.and_then(|name| {
            first(&mut self.names.exact(name))
                .or_else(|| if wanted { issued(Some(name)) } else { None })
                .or_else(|| first(&mut self.names.wildcard(name)))
        });
        // A name that is being asked for is no unknown one: a certificate for others would not help its clients.
        if named.is_some() || wanted || self.unknown == UnknownSni::Refuse {
            return named;
        }
        first(&mut (0..self.all.len())).or_else(|| issued(None))
    }
}

impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls gives the name in lower case, and of the schemes those that go with the cipher suites.
        let usable = |certified: &Certified| certified.key().choose_scheme(hello.signature_schemes()).is_some();
        // Without one that this client can use, rustls says so in the right alert (handshake_failure) only if it has one.
        self.pick(hello.server_name(), usable).or_else(|| self.pick(hello.server_name(), |_| true))
    }
}

/// What counts about a certificate when there is a choice.
pub(super) struct Offer<'o> {
    /// In lower case, wildcards among them.
    pub(super) names: &'o [String],
    /// Lower goes first.
    pub(super) rank: u8,
    /// Later goes first, among those of one rank.
    pub(super) not_after: i64,
}

/// Names to positions, each list in the order of preference.
#[derive(Debug, Default)]
pub(super) struct Names {
    exact: HashMap<Box<str>, Vec<usize>>,
    /// By what stands behind `*.`.
    wildcard: HashMap<Box<str>, Vec<usize>>,
}

impl Names {
    pub(super) fn new(offers: &[Offer<'_>]) -> Self {
        let mut order: Vec<(usize, &Offer<'_>)> = offers.iter().enumerate().collect();
        order.sort_by_key(|(at, offer)| (offer.rank, Reverse(offer.not_after), *at));
        let mut names = Self::default();
        for (at, offer) in order {
            for name in offer.names {
                let (table, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut names.wildcard, parent),
                    None => (&mut names.exact, name.as_str()),
                };
                let list = table.entry(name.into()).or_default();
                // A certificate may say a name twice.
                if list.last() != Some(&at) {
                    list.push(at);
                }
            }
        }
        names
    }

    /// The positions of those that have this very name (lower case, without a final dot).
    fn exact(&self, name: &str) -> impl Iterator<Item = usize> {
        self.exact.get(name).into_iter().flatten().copied()
    }

    /// The positions of those that have this name by a wildcard, which stands for one label (RFC 6125 §6.4.3).
    fn wildcard(&self, name: &str) -> impl Iterator<Item = usize> {
        let parent = name.split_once('.').filter(|(label, _)| !label.is_empty()).map(|(_, parent)| parent);
        parent.and_then(|parent| self.wildcard.get(parent)).into_iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    struct Sample {
        names: Vec<String>,
        rank: u8,
        not_after: i64,
    }

    fn sample() -> impl Strategy<Value = Sample> {
        let label = || prop::sample::select(vec!["a", "b", "www"]);
        let name = (prop::bool::ANY, prop::collection::vec(label(), 1..3)).prop_map(|(wild, labels)| {
            let star = if wild { "*." } else { "" };
            format!("{star}{}.test", labels.join("."))
        });
        (prop::collection::vec(name, 1..4), 0..3_u8, 0..4_i64).prop_map(|(names, rank, not_after)| Sample {
            names,
            rank,
            not_after,
        })
    }

    /// The rule, as the configuration reference states it, one certificate at a time.
    fn oracle(all: &[Sample], name: &str, usable: &[bool]) -> Option<usize> {
        let exact = |sample: &Sample| sample.names.iter().any(|own| own == name);
        let wild = |sample: &Sample| {
            sample.names.iter().any(|own| {
                let label = own.strip_prefix('*').and_then(|rest| name.strip_suffix(rest));
                label.is_some_and(|label| !label.is_empty() && !label.contains('.'))
            })
        };
        let best = |fits: &dyn Fn(&Sample) -> bool| {
            let fitting = all.iter().enumerate().filter(|(at, sample)| usable[*at] && fits(sample));
            fitting.min_by_key(|(at, sample)| (sample.rank, -sample.not_after, *at)).map(|(at, _)| at)
        };
        best(&exact).or_else(|| best(&wild))
    }

    proptest! {
        #[test]
        fn a_certificate_is_chosen_as_the_rule_says(
            all in prop::collection::vec(sample(), 0..6),
            name in "(a|b|www)(\\.(a|b|www)){0,3}\\.test",
            usable in prop::collection::vec(prop::bool::ANY, 6),
        ) {
            let offers = all.iter().map(|s| Offer { names: &s.names, rank: s.rank, not_after: s.not_after });
            let names = Names::new(&offers.collect::<Vec<_>>());
            let found = names.exact(&name).chain(names.wildcard(&name)).find(|at| usable[*at]);
            prop_assert_eq!(found, oracle(&all, &name, &usable));
        }
    }

    #[test]
    fn a_wildcard_stands_for_one_label() {
        let (own, other) = (vec!["*.example.com".to_owned()], vec!["example.com".to_owned()]);
        let offer = |names| Offer { names, rank: 0, not_after: 0 };
        let names = Names::new(&[offer(&own), offer(&other)]);
        let first = |name: &str| names.exact(name).chain(names.wildcard(name)).next();
        assert_eq!(first("api.example.com"), Some(0));
        assert_eq!(first("example.com"), Some(1));
        assert_eq!(first("v1.api.example.com"), None);
        assert_eq!(first(".example.com"), None);
        assert_eq!(first("*.example.com"), Some(0), "as a label like any other");
    }
}
