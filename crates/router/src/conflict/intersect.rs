//! Whether several regular expressions have a text in common, and which: a walk over the product of their automata,
//! shortest text first.

use std::collections::VecDeque;

use ahash::{AHashMap, AHashSet};
use regex_automata::{
    Anchored, Input, MatchKind,
    hybrid::{
        LazyStateID,
        dfa::{Cache, DFA},
    },
    nfa::thompson::NFA,
};

use crate::{
    ValueMatch,
    pattern::{anchored, parse_hir},
};

/// Bytes for the states of one expression. Arbitrary: thousands of states.
const STATES_SIZE: usize = 1 << 20;
/// Most states of the product. Arbitrary: some 50 ms.
const MOST_STATES: usize = 20_000;
/// Most texts that are found. Arbitrary.
const MOST_MEMBERS: usize = 8;

/// What several expressions have in common.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Intersection {
    /// Nothing.
    Empty,
    /// At least these texts, of which there is one; the shortest first.
    Members(Vec<String>),
    /// They are too large, or look at Unicode word boundaries.
    TooLarge,
}

/// What a normal path is when it is compared (see [`crate::path`]): segments that are no dot segments, in which only that is
/// encoded which cannot stand raw, with at most one slash at the end.
pub(super) const NORMAL_PATH: &str = concat!(
    r"(?:/(?:[a-zA-Z0-9_~!$&'()*+,;=:@-]|",
    r"%(?:2[0235F]|3[CEF]|5[B-E]|60|7[BCD]|[89A-F][0-9A-F])",
    r"|\.(?:[a-zA-Z0-9_~!$&'()*+,=:@-]|%(?:2[0235]|3[CEF]|5[BDE]|60|7[BCD]|[89A-F][0-9A-F])|\.[a-zA-Z0-9._~!$&'()*+,=:@-]))",
    r"(?:[a-zA-Z0-9._~!$&'()*+,;=:@-]|%(?:2[0235F]|3[CEF]|5[B-E]|60|7[BCD]|[89A-F][0-9A-F]))*)*/?"
);

/// In the order in which a reader would like to see them.
pub(super) const PATH_BYTES: &[u8] =
    b"/1023456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.~!$&'()*+,;=:@%";

/// Of `bytes`, one for each way in which the automata tell bytes apart.
pub(super) fn alphabet(bytes: &[u8], automata: &[&DFA]) -> Vec<u8> {
    let mut known = AHashSet::new();
    let class = |byte: u8| automata.iter().map(|dfa| dfa.byte_classes().get(byte)).collect::<Vec<u8>>();
    bytes.iter().copied().filter(|byte| known.insert(class(*byte))).collect()
}

/// Making the automata of one search costs about as much as looking at so many states.
pub(super) const MAKING: usize = 100;

/// Paths that all expressions match. Each state that is looked at is taken off `budget`.
pub(super) fn intersect_paths(expressions: &[&str], budget: &mut usize) -> Intersection {
    match budget.checked_sub(MAKING) {
        Some(left) => *budget = left,
        None => return Intersection::TooLarge,
    }
    let normal = [NORMAL_PATH, "/.*"];
    intersect(expressions.iter().copied().chain(normal), PATH_BYTES, budget)
}

/// A value that satisfies all of `wanted`, none of which is `Absent`. Each state that is looked at is taken off `budget`.
pub(super) fn intersect_values(wanted: &[&ValueMatch], budget: &mut usize) -> Intersection {
    match budget.checked_sub(MAKING) {
        Some(left) => *budget = left,
        None => return Intersection::TooLarge,
    }
    let expressions = wanted.iter().map(|wanted| match wanted {
        ValueMatch::Present | ValueMatch::Absent => "(?s).*".to_owned(),
        ValueMatch::Exact(value) => regex_syntax::escape(value),
        ValueMatch::Prefix(value) => format!("(?s){}.*", regex_syntax::escape(value)),
        ValueMatch::OneOf(values) => {
            let values: Vec<_> = values.iter().map(|value| regex_syntax::escape(value)).collect();
            values.join("|")
        }
        ValueMatch::Regex(regex) => regex.as_str().to_owned(),
    });
    let expressions: Vec<String> = expressions.collect();
    // Readable characters first; then what a header value may hold besides.
    let readable = PATH_BYTES.iter().copied().filter(|byte| *byte != b'/');
    let further = (0x20..=0xff).filter(|byte| !PATH_BYTES.contains(byte) && *byte != 0x7f);
    let bytes: Vec<u8> = readable.chain([b'/']).chain(further).collect();
    intersect(expressions.iter().map(String::as_str), &bytes, budget)
}

/// An automaton that builds its states as they are asked for.
pub(super) struct Automaton {
    dfa: DFA,
    cache: Cache,
}

impl Automaton {
    pub(super) fn new(expression: &str) -> Option<Self> {
        let hir = anchored(parse_hir(expression).ok()?);
        let nfa = NFA::compiler().build_from_hir(&hir).ok()?;
        let config = DFA::config()
            .match_kind(MatchKind::All)
            .unicode_word_boundary(true)
            .cache_capacity(STATES_SIZE)
            .skip_cache_capacity_check(true)
            // Gives up when full: a cleared cache would give old names to new states.
            .minimum_cache_clear_count(Some(0));
        let dfa = DFA::builder().configure(config).build_from_nfa(nfa).ok()?;
        let cache = dfa.create_cache();
        Some(Self { dfa, cache })
    }

    pub(super) fn dfa(&self) -> &DFA {
        &self.dfa
    }

    pub(super) fn start(&mut self) -> Option<LazyStateID> {
        let input = Input::new("").anchored(Anchored::Yes);
        self.dfa.start_state_forward(&mut self.cache, &input).ok()
    }

    pub(super) fn is_match(&mut self, state: LazyStateID) -> Option<bool> {
        let end = self.dfa.next_eoi_state(&mut self.cache, state).ok()?;
        Some(end.is_match())
    }

    /// The state after one more byte. Nothing: too many states.
    pub(super) fn next_or_dead(&mut self, state: LazyStateID, byte: u8) -> Option<LazyStateID> {
        self.dfa.next_state(&mut self.cache, state, byte).ok().filter(|next| !next.is_quit())
    }

    /// The state after one more byte; the inner nothing if no text can go on so.
    #[expect(clippy::option_option, reason = "the outer one is for `?`: too many states")]
    pub(super) fn next(&mut self, state: LazyStateID, byte: u8) -> Option<Option<LazyStateID>> {
        Some(Some(self.next_or_dead(state, byte)?).filter(|next| !next.is_dead()))
    }
}

fn intersect<'e>(expressions: impl Iterator<Item = &'e str>, bytes: &[u8], budget: &mut usize) -> Intersection {
    let search = || {
        let mut automata = expressions.map(Automaton::new).collect::<Option<Vec<_>>>()?;
        // Whether there is one is told by one byte of each kind.
        let kinds = alphabet(bytes, &automata.iter().map(Automaton::dfa).collect::<Vec<_>>());
        let first = members(&mut automata, &kinds, 1, budget)?;
        // Several, because a more specific rule may take the first.
        let several = if first.is_empty() { None } else { members(&mut automata, bytes, MOST_MEMBERS, budget) };
        Some(several.unwrap_or(first))
    };
    let Some(texts) = search() else { return Intersection::TooLarge };
    if texts.is_empty() {
        return Intersection::Empty;
    }
    match texts.into_iter().map(String::from_utf8).collect() {
        Ok(texts) => Intersection::Members(texts),
        Err(_) => Intersection::TooLarge,
    }
}

/// The `most` shortest texts that all automata match, or fewer if there are no more or they go in circles. Nothing:
/// too many states.
fn members(automata: &mut [Automaton], bytes: &[u8], most: usize, budget: &mut usize) -> Option<Vec<Vec<u8>>> {
    let start = automata.iter_mut().map(Automaton::start).collect::<Option<Vec<_>>>()?;
    let mut visits = AHashMap::from_iter([(start.clone(), 1)]);
    let mut queue = VecDeque::from([(start, Vec::new())]);
    let mut members = Vec::new();
    while let Some((states, text)) = queue.pop_front() {
        *budget = budget.checked_sub(1)?;
        let mut all_match = true;
        for (automaton, &state) in automata.iter_mut().zip(&states) {
            all_match &= automaton.is_match(state)?;
        }
        if all_match {
            members.push(text.clone());
            if members.len() == most {
                break;
            }
        }
        for &byte in bytes {
            let Some(next) = step(automata, &states, byte)? else {
                continue;
            };
            if visits.len() == MOST_STATES {
                return None;
            }
            let visits = visits.entry(next.clone()).or_insert(0);
            if *visits < most {
                *visits += 1;
                queue.push_back((next, [&text[..], &[byte]].concat()));
            }
        }
    }
    Some(members)
}

/// The states after one more byte; the inner nothing if no text can go on so.
#[expect(clippy::option_option, reason = "the outer one is for `?`: too many states")]
fn step(automata: &mut [Automaton], states: &[LazyStateID], byte: u8) -> Option<Option<Vec<LazyStateID>>> {
    let mut next = Vec::with_capacity(states.len());
    for (automaton, &state) in automata.iter_mut().zip(states) {
        match automaton.next(state, byte)? {
            Some(state) => next.push(state),
            None => return Some(None),
        }
    }
    Some(Some(next))
}
