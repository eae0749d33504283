//! The values worth trying for one header, query parameter or cookie when looking for a request.

use super::intersect::{Intersection, intersect_values};
use crate::{ValueMatch, condition::Value};

/// The values to try: `None` is absence.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Domain {
    /// If none of these makes a request pass by some other conditions, no value does.
    Complete(Vec<Option<String>>),
    /// Values that are fine, but there may be others.
    Example(Vec<Option<String>>),
    /// The expressions are too large.
    Undecided,
}

/// The values that satisfy all of `wanted`, and no condition of `others` that they need not satisfy. States of regular
/// expressions that are looked at are taken off `budget`.
pub(super) fn domain(wanted: &[&ValueMatch], others: &[&ValueMatch], budget: &mut usize) -> Domain {
    let admitted = |value: &Option<String>| {
        let value = value.as_deref().map(|value| Value::Plain(value.as_bytes()));
        wanted.iter().all(|wanted| wanted.admits(value))
    };
    let mut values = vec![None];
    let mut exact = 0_usize;
    for wanted in wanted {
        match wanted {
            ValueMatch::Exact(value) => {
                values.push(Some(value.clone()));
                exact += 1;
            }
            ValueMatch::OneOf(listed) => {
                values.extend(listed.iter().cloned().map(Some));
                exact += 1;
            }
            _ => {}
        }
    }
    let has_regex = wanted.iter().any(|wanted| matches!(wanted, ValueMatch::Regex(_)));
    if has_regex && exact == 0 && !wanted.contains(&&ValueMatch::Absent) {
        return match intersect_values(wanted, budget) {
            Intersection::Members(members) => Domain::Example(members.into_iter().map(Some).collect()),
            Intersection::Empty => Domain::Complete(Vec::new()),
            Intersection::TooLarge => Domain::Undecided,
        };
    }
    let fresh = if has_regex { None } else { fresh_value(wanted, others) };
    let is_complete = fresh.is_some() || exact > 0;
    values.extend(fresh.map(Some));
    values.retain(admitted);
    if is_complete { Domain::Complete(values) } else { Domain::Example(values) }
}

/// A value that begins as it must and satisfies no other condition but `Present`.
fn fresh_value(wanted: &[&ValueMatch], others: &[&ValueMatch]) -> Option<String> {
    let prefixes = wanted.iter().filter_map(|wanted| match wanted {
        ValueMatch::Prefix(prefix) => Some(prefix.as_str()),
        _ => None,
    });
    let stem = prefixes.max_by_key(|prefix| prefix.len()).unwrap_or_default();
    let avoidable = |value: &str| {
        others.iter().all(|other| match other {
            ValueMatch::Exact(known) => known != value,
            ValueMatch::OneOf(known) => known.iter().all(|known| known != value),
            // A prefix of the stem holds whatever follows.
            ValueMatch::Prefix(prefix) => stem.starts_with(prefix.as_str()) || !value.starts_with(prefix.as_str()),
            _ => true,
        })
    };
    // Letters too, because the prefixes `1` to `9` together leave no number.
    let stems = ["", "v", "w", "x", "y", "z", "-", "_"].map(|letter| format!("{stem}{letter}"));
    let numbered = stems.iter().flat_map(|stem| (1..1000).map(move |number| format!("{stem}{number}")));
    numbered.into_iter().find(|value| avoidable(value))
}
