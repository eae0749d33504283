//! Which upstream a connection goes to: by the name its client asks for, or the one there is.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use portreeve_router::HostPattern;

use crate::observe::TcpMetrics;
use crate::upstream::Pool;

/// From a listener to one of its upstreams.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) pool: Arc<Pool>,
    pub(crate) metrics: TcpMetrics,
}

/// The ways of a listener.
#[derive(Debug)]
pub(crate) struct Ways<W = Arc<Way>> {
    exact: HashMap<Box<str>, W>,
    /// By what stands behind `*.`.
    wildcard: HashMap<Box<str>, W>,
    /// For other names, and for clients that name none.
    other: Option<W>,
}

/// The name is there already, maybe in another spelling.
#[derive(Debug)]
pub(crate) struct SameName;

impl<W> Ways<W> {
    /// All connections go to `other`; without one, nowhere.
    pub(crate) fn new(other: Option<W>) -> Self {
        Self { exact: HashMap::new(), wildcard: HashMap::new(), other }
    }

    /// Clients that ask for such a name go there.
    ///
    /// # Errors
    /// When such names go somewhere already.
    pub(crate) fn insert(&mut self, name: &HostPattern, way: W) -> Result<(), SameName> {
        let table = if name.is_wildcard() { &mut self.wildcard } else { &mut self.exact };
        match table.entry(name.name().into()) {
            Entry::Occupied(_) => Err(SameName),
            Entry::Vacant(free) => {
                free.insert(way);
                Ok(())
            }
        }
    }

    pub(super) fn go_by_name(&self) -> bool {
        !self.exact.is_empty() || !self.wildcard.is_empty()
    }

    /// By the very name, then by the longest wildcard, then any. rustls gives the name in lower case.
    ///
    /// # Errors
    /// In one word of a closed set, why there is no way.
    pub(super) fn find(&self, name: Option<&str>) -> Result<&W, &'static str> {
        let named = name.and_then(|name| {
            let name = name.strip_suffix('.').unwrap_or(name);
            // At most 127 labels (RFC 1035 §2.3.4).
            let mut suffixes =
                std::iter::successors(Some(name), |rest| rest.split_once('.').map(|(_, rest)| rest)).skip(1);
            self.exact.get(name).or_else(|| suffixes.find_map(|suffix| self.wildcard.get(suffix)))
        });
        let why = if name.is_some() { "unknown_sni" } else { "no_sni" };
        named.or(self.other.as_ref()).ok_or(why)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ways(names: &[String], other: Option<usize>) -> Ways<usize> {
        let mut ways = Ways::new(other);
        for (number, name) in names.iter().enumerate() {
            // Of the same name given twice, the first stays.
            ways.insert(&HostPattern::parse(name).unwrap(), number).ok();
        }
        ways
    }

    /// By trying every name.
    fn oracle(names: &[String], other: Option<usize>, asked: &str) -> Option<usize> {
        let fits = |name: &&String| HostPattern::parse(name).unwrap().matches(asked);
        let best = names.iter().filter(fits).max_by_key(|name| (!name.starts_with('*'), name.len()));
        best.and_then(|best| names.iter().position(|name| name == best)).or(other)
    }

    proptest! {
        #[test]
        fn a_name_goes_where_the_rule_says(
            names in prop::collection::vec("(\\*\\.)?(a|b)(\\.(a|b)){0,2}", 0..6),
            asked in "(a|b)(\\.(a|b)){0,3}",
            other in prop::option::of(Just(99_usize)),
        ) {
            prop_assert_eq!(ways(&names, other).find(Some(&asked)).ok().copied(), oracle(&names, other, &asked));
        }
    }

    #[test]
    fn without_a_way_it_is_said_whether_there_was_a_name() {
        let only = ways(&["db.test".to_owned()], None);
        assert_eq!(only.find(Some("db.test.")), Ok(&0));
        assert_eq!(only.find(Some("other.test")), Err("unknown_sni"));
        assert_eq!(only.find(None), Err("no_sni"));
    }

    #[test]
    fn the_same_name_in_another_spelling_is_refused() {
        let mut ways = ways(&["db.test".to_owned()], None);
        assert!(ways.insert(&HostPattern::parse("DB.test.").unwrap(), 1).is_err());
        assert!(ways.insert(&HostPattern::parse("*.db.test").unwrap(), 1).is_ok());
    }
}
