//! Which certificate a client is shown: by the name it asks for (SNI, RFC 6066 §3) and by what it can verify.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use portreeve_config::UnknownSni;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::certificate::Certified;

/// The certificates of a listener.
#[derive(Debug)]
pub(super) struct Choice {
    all: Vec<Certified>,
    names: Names,
    unknown: UnknownSni,
}

impl Choice {
    pub(super) fn new(all: Vec<Certified>, unknown: UnknownSni) -> Self {
        let offers = all.iter().map(|certified| Offer {
            names: &certified.names,
            rank: certified.rank(),
            not_after: certified.not_after,
        });
        let names = Names::new(&offers.collect::<Vec<_>>());
        Self { all, names, unknown }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Certified> {
        self.all.iter()
    }

    /// Whether this leaf (DER) is one of them.
    pub(super) fn has(&self, leaf: &[u8]) -> bool {
        self.all.iter().any(|certified| certified.is(leaf))
    }

    fn pick(&self, name: Option<&str>, usable: impl Fn(&Certified) -> bool) -> Option<&Certified> {
        let named = name.into_iter().flat_map(|name| self.names.candidates(name)).filter_map(|at| self.all.get(at));
        let others = match self.unknown {
            UnknownSni::Default => self.all.as_slice(),
            UnknownSni::Refuse => &[],
        };
        named.chain(others).find(|certified| usable(certified))
    }
}

impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls gives the name in lower case, and of the schemes those that go with the cipher suites.
        let usable = |certified: &Certified| certified.key().choose_scheme(hello.signature_schemes()).is_some();
        self.pick(hello.server_name(), usable).map(Certified::to_show)
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

    /// The positions of those that have this name (lower case): exactly first, then by a wildcard, which stands for one
    /// label (RFC 6125 §6.4.3).
    pub(super) fn candidates(&self, name: &str) -> impl Iterator<Item = usize> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let parent = name.split_once('.').filter(|(label, _)| !label.is_empty()).map(|(_, parent)| parent);
        let exact = self.exact.get(name);
        let wildcard = parent.and_then(|parent| self.wildcard.get(parent));
        exact.into_iter().chain(wildcard).flatten().copied()
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
            let found = names.candidates(&name).find(|at| usable[*at]);
            prop_assert_eq!(found, oracle(&all, &name, &usable));
        }
    }

    #[test]
    fn a_wildcard_stands_for_one_label_and_a_final_dot_is_no_part_of_a_name() {
        let (own, other) = (vec!["*.example.com".to_owned()], vec!["example.com".to_owned()]);
        let offer = |names| Offer { names, rank: 0, not_after: 0 };
        let names = Names::new(&[offer(&own), offer(&other)]);
        let first = |name: &str| names.candidates(name).next();
        assert_eq!(first("api.example.com"), Some(0));
        assert_eq!(first("api.example.com."), Some(0));
        assert_eq!(first("example.com"), Some(1));
        assert_eq!(first("v1.api.example.com"), None);
        assert_eq!(first(".example.com"), None);
        assert_eq!(first("*.example.com"), Some(0), "as a label like any other");
    }
}
