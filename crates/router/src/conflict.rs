//! What makes a set of rules refused, and the search for it. All conflicts are found at once, each with a request that
//! shows it.

use std::fmt;

use http::Method;

use crate::RuleId;

mod cover;
mod domain;
mod elsewhere;
mod fresh;
mod intersect;
mod overlap;
mod search;
mod survey;
#[cfg(test)]
mod tests;
mod witness;

pub(crate) use elsewhere::find as find_elsewhere;
pub use elsewhere::{Elsewhere, OpenMethods};
pub(crate) use survey::find_all;
pub use witness::Witness;

/// Why rules cannot be compiled together.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Conflict {
    /// Both rules take the witness, none is more specific or has the higher priority, and no third one takes it before them
    /// (where guards or regular expressions leave that open, one might).
    Tie {
        /// The earlier of the two.
        a: RuleId,
        /// The later of the two.
        b: RuleId,
        /// A request that both take.
        witness: Witness,
    },
    /// The rules are equally specific, with the same priority, and it cannot be told whether both could take the same request:
    /// their regular expressions are too large, or there are too many such rules.
    Undecided {
        /// The earlier of the two.
        a: RuleId,
        /// The later of the two.
        b: RuleId,
    },
    /// More specific rules take each request before this rule.
    Unreachable {
        /// The rule that never matches.
        rule: RuleId,
        /// The rules that take its requests.
        by: Vec<RuleId>,
        /// One of its requests, taken by one of them.
        witness: Witness,
    },
    /// The rule's own conditions exclude each other: there is no such request.
    Impossible {
        /// The rule that never matches.
        rule: RuleId,
    },
    /// No path that a request can have fits the rule's regular expression.
    NoPath {
        /// The rule that never matches.
        rule: RuleId,
    },
    /// All rules together name more methods beyond the standard ones than
    /// [`MAX_EXTENSION_METHODS`](crate::MAX_EXTENSION_METHODS).
    TooManyMethods {
        /// The rule with the first method too many.
        rule: RuleId,
        /// That method.
        method: Method,
    },
}

impl Conflict {
    /// The rule at which the conflict is best reported: of two the later.
    pub fn rule(&self) -> RuleId {
        match self {
            Self::Tie { b, .. } | Self::Undecided { b, .. } => *b,
            Self::Unreachable { rule, .. }
            | Self::Impossible { rule }
            | Self::NoPath { rule }
            | Self::TooManyMethods { rule, .. } => *rule,
        }
    }
}

/// Rules are written `#3`; whoever knows their names says it in their own words.
impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tie { a, b, witness } => {
                write!(f, "#{} and #{} both take `{witness}`, and none is more specific", a.0, b.0)
            }
            Self::Undecided { a, b } => {
                write!(f, "#{} and #{} are equally specific, and too large or too many to compare", a.0, b.0)
            }
            Self::Unreachable { rule, by, witness } => {
                write!(f, "#{} never matches: `{witness}` is always taken by", rule.0)?;
                for (index, id) in by.iter().enumerate() {
                    write!(f, "{} #{}", if index == 0 { "" } else { "," }, id.0)?;
                }
                Ok(())
            }
            Self::Impossible { rule } => write!(f, "#{} never matches: its conditions exclude each other", rule.0),
            Self::NoPath { rule } => {
                write!(f, "#{} never matches: no path that a request can have fits its expression", rule.0)
            }
            Self::TooManyMethods { rule, method } => {
                write!(f, "#{}: `{method}` is one method too many for all rules together", rule.0)
            }
        }
    }
}
