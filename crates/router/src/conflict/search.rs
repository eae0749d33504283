//! The search for a request that some rules take and that no more specific rule takes before them.
//!
//! It tries few requests, chosen so that they stand for all: segments, hosts and methods that no rule names, and for
//! each value that matters its absence, a value that nobody names, and those that the rules name themselves.

use std::{collections::BTreeSet, ops::ControlFlow};

use http::Method;

use super::{
    Witness,
    domain::{Domain, domain},
};
use crate::{
    Router, RuleId, ValueMatch,
    condition::{Condition, Source, Value},
    rule::Compiled,
    tree::{Entry, Tree, visit_place},
};

/// Most combinations of values that are tried for one path and method. Arbitrary; rules have one to three conditions.
const MOST_COMBINATIONS: usize = 4096;

/// Where in the router the rules stand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'r> {
    pub(super) tree: &'r Tree,
    pub(super) host: &'r str,
    pub(super) entries: &'r [Entry],
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// A request that one of the rules gets, by whichever of its paths.
    Reach,
    /// A request that comes to this very place, where the rules meet.
    Meet,
}

/// Requests to try: every path with every method.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trial<'a> {
    pub(super) goal: Goal,
    pub(super) paths: &'a [String],
    pub(super) methods: &'a [&'a Method],
}

/// What the search found.
#[derive(Debug)]
pub(super) enum Finding {
    /// The rules' conditions exclude each other.
    Impossible,
    /// There is no path for them.
    NoPath,
    /// Regular expressions are too large to tell.
    Undecided,
    /// A request that the rules get.
    Free(Witness),
    /// Requests that they would take are taken before them; all such requests, if proven.
    Taken { by: BTreeSet<RuleId>, witness: Witness, is_proven: bool },
}

type Assignment<'r> = Vec<(&'r Source, Option<String>)>;

/// Looks for a request that all of `rules` admit and that no other rule takes before them. Guards of `rules` are taken
/// to admit everything, those of other rules to admit nothing. States of regular expressions over values are taken off `budget`.
pub(super) fn search(
    router: &Router,
    place: Place<'_>,
    rules: &[RuleId],
    trial: Trial<'_>,
    budget: &mut usize,
) -> Finding {
    let own: Vec<&Condition> =
        rules.iter().filter_map(|id| router.rules.get(id.0)).flat_map(|rule| &rule.conditions).collect();
    let mut by = BTreeSet::new();
    let mut taken = None;
    let mut is_proven = true;
    for method in trial.methods {
        for path in trial.paths {
            let rivals = rivals(router, place, rules, trial.goal, path, method);
            let conditions: Vec<&Condition> = rivals.iter().flat_map(|rival| &rival.rule.conditions).collect();
            let mut domains = Vec::new();
            for source in sources(&own, &conditions) {
                let values = match domain(&matches_on(source, &own), &matches_on(source, &conditions), budget) {
                    Domain::Complete(values) => values,
                    Domain::Example(values) => {
                        is_proven = false;
                        values
                    }
                    Domain::Undecided => return Finding::Undecided,
                };
                if values.is_empty() {
                    return Finding::Impossible;
                }
                domains.push((source, values));
            }
            let mut tried = 0;
            for assignment in combinations(&domains) {
                tried += 1;
                if tried > MOST_COMBINATIONS {
                    is_proven = false;
                    break;
                }
                let taker = rivals.iter().find(|rival| holds(rival.rule, &assignment));
                let witness = || witness(method, place.host, path, &assignment);
                match taker {
                    None => return Finding::Free(witness()),
                    Some(rival) => {
                        by.insert(rival.id);
                        is_proven &= rival.is_decided;
                        taken.get_or_insert_with(witness);
                    }
                }
            }
        }
    }
    match taken {
        Some(witness) => Finding::Taken { by, witness, is_proven },
        None => Finding::Undecided,
    }
}

/// A rule that is asked before those that are looked at.
#[derive(Debug, Clone, Copy)]
struct Rival<'r> {
    id: RuleId,
    rule: &'r Compiled,
    /// It takes either all requests like the one tried or none: it has no expressions.
    is_decided: bool,
}

/// The rules that are asked before `rules`.
fn rivals<'r>(
    router: &'r Router,
    place: Place<'r>,
    rules: &[RuleId],
    goal: Goal,
    path: &str,
    method: &Method,
) -> Vec<Rival<'r>> {
    let asked = router.methods.get(method);
    let own_rank = place.entries.iter().find(|entry| rules.contains(&entry.rule));
    let own_rank = own_rank.map(|entry| (entry.methods.rank(asked), entry.rank));
    let mut rivals = Vec::new();
    let walked = place.tree.walk(path, &mut |entries| {
        let is_own_place = std::ptr::eq(entries, place.entries);
        visit_place(entries, asked, |entry| {
            // Rules of the same rank at the same place are disjoint, or have been reported as a tie.
            let is_level = is_own_place && Some((entry.methods.rank(asked), entry.rank)) == own_rank;
            let is_own = rules.contains(&entry.rule);
            if is_level || is_own && goal == Goal::Reach {
                return ControlFlow::Break(());
            }
            if let Some((rule, pattern)) = router.entry(entry)
                // Own rules too, that also have a more specific path: their guards are taken to admit everything.
                && (rule.guard.is_none() || is_own)
                && (!entry.is_regex || pattern.fits(path))
            {
                let is_decided = !entry.is_regex && !rule.has_expressions();
                rivals.push(Rival { id: entry.rule, rule, is_decided });
            }
            ControlFlow::Continue(())
        })
    });
    // The walk breaks off where the rules' own turn comes.
    match walked {
        ControlFlow::Break(()) | ControlFlow::Continue(()) => rivals,
    }
}

fn sources<'r>(own: &[&'r Condition], others: &[&'r Condition]) -> Vec<&'r Source> {
    let mut sources: Vec<&Source> = Vec::new();
    for condition in own.iter().chain(others) {
        if !sources.contains(&&condition.source) {
            sources.push(&condition.source);
        }
    }
    sources
}

fn matches_on<'r>(source: &Source, conditions: &[&'r Condition]) -> Vec<&'r ValueMatch> {
    let on_source = conditions.iter().filter(|condition| condition.source == *source);
    on_source.map(|condition| &condition.wanted).collect()
}

/// All ways to give each source one of its values; the first value of each comes first.
fn combinations<'a, 'r>(
    domains: &'a [(&'r Source, Vec<Option<String>>)],
) -> impl Iterator<Item = Assignment<'r>> + use<'a, 'r> {
    let total = domains.iter().fold(1_usize, |total, (_, values)| total.saturating_mul(values.len()));
    (0..total).map(move |mut number| {
        let pick = |(source, values): &(&'r Source, Vec<Option<String>>)| {
            let value = values.get(number % values.len().max(1)).cloned().flatten();
            number /= values.len().max(1);
            (*source, value)
        };
        domains.iter().map(pick).collect()
    })
}

fn holds(rule: &Compiled, assignment: &Assignment<'_>) -> bool {
    rule.conditions.iter().all(|condition| {
        let assigned = assignment.iter().find(|(source, _)| **source == condition.source);
        let value = assigned.and_then(|(_, value)| value.as_deref());
        condition.wanted.admits(value.map(|value| Value::Plain(value.as_bytes())))
    })
}

fn witness(method: &Method, host: &str, path: &str, assignment: &Assignment<'_>) -> Witness {
    let mut witness = Witness {
        method: method.clone(),
        host: host.to_owned(),
        path: path.to_owned(),
        headers: Vec::new(),
        query: Vec::new(),
        cookies: Vec::new(),
    };
    for (source, value) in assignment {
        let Some(value) = value.clone() else {
            continue;
        };
        match source {
            Source::Header(name) => witness.headers.push((name.clone(), value)),
            Source::Query(name) => witness.query.push((name.to_string(), value)),
            Source::Cookie(name) => witness.cookies.push((name.to_string(), value)),
        }
    }
    witness
}
