//! Which of many regular expressions have a path in common: found for all of them together, since each with each would be
//! minutes for some hundred.

use std::collections::VecDeque;

use ahash::{AHashMap, AHashSet};
use regex_automata::{Anchored, Input, MatchKind, PatternID, hybrid::dfa::DFA, nfa::thompson::NFA};
use regex_syntax::hir::{
    Hir,
    literal::{ExtractKind, Extractor},
};

use super::intersect::{Automaton, NORMAL_PATH, PATH_BYTES, alphabet};
use crate::pattern::{anchored, parse_hir};

/// Bytes for the states of all expressions of a group together. Arbitrary: some ten thousand states.
const STATES_SIZE: usize = 8 << 20;
/// Bytes of a group's expressions compiled together.
const COMPILED_SIZE: usize = 4 << 20;
/// Most states that are looked at for a group. Arbitrary: a fraction of a second.
const MOST_STATES: usize = 50_000;
/// The largest group of which each is compared with each when the group as a whole is too large.
const MOST_PAIRED: usize = 300;

/// What is known of two expressions, of which the first stands earlier in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Pair {
    /// They may have a path in common; a closer look tells.
    Close(usize, usize),
    /// There are too many like these to look.
    Untold(usize, usize),
}

/// The pairs of expressions that may have a path in common, in order. All others have none.
pub(super) fn overlapping(expressions: &[&str]) -> Vec<Pair> {
    let hirs: Vec<Option<Hir>> = expressions.iter().map(|expression| parse_hir(expression).ok()).collect();
    let mut pairs = Vec::new();
    for group in groups(&hirs) {
        match together(expressions, &group) {
            Some(found) => pairs.extend(found.into_iter().map(|(a, b)| Pair::Close(a, b))),
            None => apart(&hirs, &group, &mut pairs),
        }
    }
    pairs.sort_unstable_by_key(|pair| match *pair {
        Pair::Close(a, b) | Pair::Untold(a, b) => (b, a),
    });
    pairs
}

/// Puts together those that can begin alike. Expressions of different groups have no path in common.
fn groups(hirs: &[Option<Hir>]) -> Vec<Vec<usize>> {
    let mut beginnings: Vec<(Vec<u8>, usize)> = Vec::new();
    for (index, hir) in hirs.iter().enumerate() {
        beginnings.extend(literals(hir.as_ref(), ExtractKind::Prefix).into_iter().map(|text| (text, index)));
    }
    beginnings.sort();
    // Each expression leads to another of its group, or to itself.
    let mut leads: Vec<usize> = (0..hirs.len()).collect();
    let mut shortest: Option<&(Vec<u8>, usize)> = None;
    for beginning in &beginnings {
        match shortest {
            Some((text, first)) if beginning.0.starts_with(text) => {
                let (one, other) = (root(&leads, *first), root(&leads, beginning.1));
                if let Some(lead) = leads.get_mut(one.max(other)) {
                    *lead = one.min(other);
                }
            }
            _ => shortest = Some(beginning),
        }
    }
    let mut groups: AHashMap<usize, Vec<usize>> = AHashMap::new();
    for index in 0..hirs.len() {
        groups.entry(root(&leads, index)).or_default().push(index);
    }
    groups.into_values().filter(|group| group.len() > 1).collect()
}

fn root(leads: &[usize], mut index: usize) -> usize {
    while let Some(lead) = leads.get(index).filter(|lead| **lead != index) {
        index = *lead;
    }
    index
}

/// What every match begins or ends with, one of these; one empty text when that is not known.
fn literals(hir: Option<&Hir>, kind: ExtractKind) -> Vec<Vec<u8>> {
    let mut extractor = Extractor::new();
    extractor.kind(kind);
    let found = hir.map(|hir| extractor.extract(hir));
    match found.as_ref().and_then(|found| found.literals()) {
        Some(literals) => literals.iter().map(|literal| literal.as_bytes().to_vec()).collect(),
        None => vec![Vec::new()],
    }
}

/// The pairs of a group that have a path in common, from one automaton of all of them. Nothing: it is too large.
fn together(expressions: &[&str], group: &[usize]) -> Option<Vec<(usize, usize)>> {
    let hirs = group.iter().filter_map(|index| expressions.get(*index));
    let hirs = hirs.map(|text| parse_hir(text).ok().map(anchored)).collect::<Option<Vec<_>>>()?;
    let config = NFA::config().nfa_size_limit(Some(COMPILED_SIZE));
    let nfa = NFA::compiler().configure(config).build_many_from_hir(&hirs).ok()?;
    let config = DFA::config()
        .match_kind(MatchKind::All)
        .unicode_word_boundary(true)
        .cache_capacity(STATES_SIZE)
        .skip_cache_capacity_check(true)
        .minimum_cache_clear_count(Some(0));
    let dfa = DFA::builder().configure(config).build_from_nfa(nfa).ok()?;
    let mut cache = dfa.create_cache();
    let mut normal = Automaton::new(NORMAL_PATH)?;
    let bytes = alphabet(PATH_BYTES, &[&dfa, normal.dfa()]);

    let start = dfa.start_state_forward(&mut cache, &Input::new("").anchored(Anchored::Yes)).ok()?;
    let start = (start, normal.start()?);
    let mut seen = AHashSet::from_iter([start]);
    let mut queue = VecDeque::from([start]);
    let (mut sets, mut pairs) = (AHashSet::new(), AHashSet::new());
    while let Some((state, normal_state)) = queue.pop_front() {
        if normal.is_match(normal_state)? {
            let end = dfa.next_eoi_state(&mut cache, state).ok()?;
            let count = if end.is_match() { dfa.match_len(&cache, end) } else { 0 };
            if count > 1 {
                let mut set: Vec<PatternID> = (0..count).map(|index| dfa.match_pattern(&cache, end, index)).collect();
                set.sort_unstable();
                if sets.insert(set.clone()) {
                    add_pairs(&set, group, &mut pairs)?;
                }
            }
        }
        for &byte in &bytes {
            let Some(normal_next) = normal.next(normal_state, byte)? else { continue };
            let next = dfa.next_state(&mut cache, state, byte).ok()?;
            if next.is_quit() {
                return None;
            }
            if !next.is_dead() && seen.insert((next, normal_next)) {
                if seen.len() > MOST_STATES {
                    return None;
                }
                queue.push_back((next, normal_next));
            }
        }
    }
    Some(pairs.into_iter().collect())
}

/// More pairs than this are not listed.
const MOST_PAIRS: usize = 200_000;

fn add_pairs(set: &[PatternID], group: &[usize], pairs: &mut AHashSet<(usize, usize)>) -> Option<()> {
    let of = |id: &PatternID| group.get(id.as_usize()).copied();
    for (position, later) in set.iter().enumerate() {
        for earlier in set.iter().take(position) {
            pairs.insert((of(earlier)?, of(later)?));
            if pairs.len() > MOST_PAIRS {
                return None;
            }
        }
    }
    Some(())
}

/// The pairs of a group that can end alike.
fn apart(hirs: &[Option<Hir>], group: &[usize], pairs: &mut Vec<Pair>) {
    let Some((first, others)) = group.split_first().filter(|_| group.len() > MOST_PAIRED) else {
        let ends = |index: &usize| literals(hirs.get(*index).and_then(Option::as_ref), ExtractKind::Suffix);
        let ends: Vec<_> = group.iter().map(ends).collect();
        let alike = |one: &[Vec<u8>], other: &[Vec<u8>]| {
            one.iter().any(|one| other.iter().any(|other| one.ends_with(other) || other.ends_with(one)))
        };
        for (position, (later, later_ends)) in group.iter().zip(&ends).enumerate() {
            let earlier = group.iter().zip(&ends).take(position).filter(|(_, ends)| alike(ends, later_ends));
            pairs.extend(earlier.map(|(earlier, _)| Pair::Close(*earlier, *later)));
        }
        return;
    };
    pairs.extend(others.iter().map(|other| Pair::Untold(*first, *other)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::conflict::intersect::{Intersection, intersect_paths};

    fn close(expressions: &[&str]) -> Vec<(usize, usize)> {
        let pair = |pair| if let Pair::Close(a, b) = pair { (a, b) } else { panic!("{pair:?}") };
        overlapping(expressions).into_iter().map(pair).collect()
    }

    #[test]
    fn only_those_with_a_path_in_common_are_close() {
        assert_eq!(close(&[r"^/u/\d+$", "/u/[0-4]+x?", "/u/[a-z]+", "/v/.*", "/.*9"]), [(0, 1), (0, 4), (3, 4)]);
        // What they have in common is no normal path.
        assert_eq!(close(&[r"/u/(\.|a)", r"/u/(\.|b)"]), []);
    }

    #[test]
    fn expressions_that_begin_in_different_ways_are_in_different_groups() {
        let hirs = ["/a[0-9]+", "/ab?", "/b.*", "/(c|b1)", "/d"].map(|text| parse_hir(text).ok());
        let mut groups = groups(&hirs);
        groups.sort();
        assert_eq!(groups, [vec![0, 1], vec![2, 3]]);
    }

    proptest! {
        #[test]
        fn found_together_is_what_each_with_each_finds(
            parts in prop::collection::vec(prop::collection::vec("(a|b|[ab]|a\\*|\\[ab\\]\\+|\\.\\*|/|\\(a\\|b\\))", 1..4), 2..6),
        ) {
            let texts: Vec<String> = parts.iter().map(|parts| format!("/{}", parts.concat())).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let (found, mut budget) = (close(&texts), usize::MAX);
            for later in 0..texts.len() {
                for earlier in 0..later {
                    let meets = intersect_paths(&[texts[earlier], texts[later]], &mut budget) != Intersection::Empty;
                    prop_assert_eq!(found.contains(&(earlier, later)), meets, "{} {}", texts[earlier], texts[later]);
                }
            }
        }
    }
}
