//! Whether other patterns take every path of a regular expression, and if not, a path that they leave to it.

use std::collections::VecDeque;

use ahash::AHashSet;

use super::intersect::{Automaton, MAKING, NORMAL_PATH, PATH_BYTES, alphabet};
use crate::{
    Pattern,
    pattern::{Segment, Shape},
};

/// What is left of an expression.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing: every path that it matches is taken.
    Nothing,
    /// Among others this path.
    Path(String),
    /// Too large to tell.
    Untold,
}

/// Looks for a normal path that the expression matches and none of `covers`. Each state that is looked at is taken off
/// `budget`.
pub(super) fn rest(expression: &str, covers: &[&Pattern], budget: &mut usize) -> Rest {
    search(expression, covers, budget).unwrap_or(Rest::Untold)
}

fn search(expression: &str, covers: &[&Pattern], budget: &mut usize) -> Option<Rest> {
    *budget = budget.checked_sub(MAKING)?;
    // What must match; the others must not.
    let mut own = [expression, NORMAL_PATH, "/.*"].map(Automaton::new).into_iter().collect::<Option<Vec<_>>>()?;
    let covers = covers.iter().map(|cover| Automaton::new(&expression_of(cover)));
    let mut covers = covers.collect::<Option<Vec<_>>>()?;
    let bytes = {
        let dfas: Vec<_> = own.iter().chain(&covers).map(Automaton::dfa).collect();
        alphabet(PATH_BYTES, &dfas)
    };
    let start = own.iter_mut().chain(&mut covers).map(Automaton::start).collect::<Option<Vec<_>>>()?;
    let mut seen = AHashSet::from_iter([start.clone()]);
    let mut queue = VecDeque::from([(start, Vec::new())]);
    while let Some((states, text)) = queue.pop_front() {
        *budget = budget.checked_sub(1)?;
        let (own_states, cover_states) = states.split_at_checked(own.len())?;
        let (mut matches, mut is_taken) = (true, false);
        for (automaton, state) in own.iter_mut().zip(own_states) {
            matches &= automaton.is_match(*state)?;
        }
        for (automaton, state) in covers.iter_mut().zip(cover_states) {
            is_taken |= automaton.is_match(*state)?;
        }
        if matches && !is_taken {
            return String::from_utf8(text).ok().map(Rest::Path);
        }
        'bytes: for &byte in &bytes {
            let mut next = Vec::with_capacity(states.len());
            for (automaton, state) in own.iter_mut().zip(own_states) {
                match automaton.next(*state, byte)? {
                    Some(state) => next.push(state),
                    // No match of the expression goes on so.
                    None => continue 'bytes,
                }
            }
            for (automaton, state) in covers.iter_mut().zip(cover_states) {
                next.push(automaton.next_or_dead(*state, byte)?);
            }
            if seen.insert(next.clone()) {
                queue.push_back((next, [&text[..], &[byte]].concat()));
            }
        }
    }
    Some(Rest::Nothing)
}

/// A pattern as a regular expression.
fn expression_of(pattern: &Pattern) -> String {
    match &pattern.shape {
        Shape::Regex(regex) => regex.as_str().to_owned(),
        Shape::Segments(pattern) => {
            let mut expression = String::new();
            for segment in &pattern.fixed {
                expression.push('/');
                match segment {
                    Segment::Literal(literal) => expression.push_str(&regex_syntax::escape(literal)),
                    Segment::Param | Segment::Any => expression.push_str("[^/]+"),
                }
            }
            if pattern.tail {
                expression.push_str(if expression.is_empty() { "/.*" } else { "(?:/.*)?" });
            }
            expression
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(expression: &str, covers: &[&str]) -> Rest {
        let covers: Vec<Pattern> = covers.iter().map(|text| Pattern::parse(text).unwrap()).collect();
        rest(expression, &covers.iter().collect::<Vec<_>>(), &mut 20_000)
    }

    #[test]
    fn what_is_left_of_an_expression_is_found_or_proven_to_be_nothing() {
        assert_eq!(of("/users/(a|b)", &["/users/a", "/users/b"]), Rest::Nothing);
        assert_eq!(of("/users/(a|b|c)", &["/users/a", "/users/b"]), Rest::Path("/users/c".to_owned()));
        assert_eq!(of(r"/users/\d+", &["/users/{id}"]), Rest::Nothing);
        assert_eq!(of("/users/.*", &["/users/{id}", "/users/{id}/**"]), Rest::Path("/users/".to_owned()));
        assert_eq!(of("/users(/.*)?", &["/users/**"]), Rest::Nothing);
        assert_eq!(of("/.*", &["/**"]), Rest::Nothing);
        assert_eq!(of("/a/x[0-9]", &["regex:/a/x.*"]), Rest::Nothing);
        // No normal path at all.
        assert_eq!(of("/a//b", &[]), Rest::Nothing);
    }

    #[test]
    fn the_search_ends_with_its_budget() {
        assert_eq!(rest("/(a|.)*a.{14}", &[], &mut (MAKING + 3)), Rest::Untold);
        assert_eq!(rest("/a", &[], &mut 3), Rest::Untold);
    }
}
