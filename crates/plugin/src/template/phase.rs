//! Which references a template may use: the closed set of roots, and the moments of a request at which each is known.

use std::fmt;

/// A set of template roots.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Roots(u8);

impl Roots {
    /// No root at all.
    pub const NONE: Self = Self(0);
    /// `request.…`
    pub const REQUEST: Self = Self(1);
    /// `params.…`
    pub const PARAMS: Self = Self(1 << 1);
    /// `consumer.…`
    pub const CONSUMER: Self = Self(1 << 2);
    /// `claims.…`
    pub const CLAIMS: Self = Self(1 << 3);
    /// `calls.…`
    pub const CALLS: Self = Self(1 << 4);
    /// `response.…`
    pub const RESPONSE: Self = Self(1 << 5);

    /// Everything that is in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every root of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the set holds nothing.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The roots of this set that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// Root names as they are written, in the order in which errors list them. `env` is folded at load and has no bit.
pub(crate) const NAMES: [(&str, Roots); 7] = [
    ("request", Roots::REQUEST),
    ("params", Roots::PARAMS),
    ("consumer", Roots::CONSUMER),
    ("claims", Roots::CLAIMS),
    ("calls", Roots::CALLS),
    ("response", Roots::RESPONSE),
    ("env", Roots::NONE),
];

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Roots(")?;
        let held = NAMES.iter().filter(|(_, root)| !root.is_empty() && self.contains(*root));
        for (position, (name, _)) in held.enumerate() {
            f.write_str(if position == 0 { "" } else { " | " })?;
            f.write_str(name)?;
        }
        f.write_str(")")
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A moment in the life of a request, as a type: it decides at load which roots a template or an expression may name.
///
/// Sealed: the moments are [`AtMatch`], [`AtRequest`], [`AtResponse`] and [`WithCalls`].
pub trait Phase: sealed::Sealed + Copy + Eq + fmt::Debug + Send + Sync + 'static {
    /// The roots that have a value at this moment.
    const ROOTS: Roots;
    /// The moment as schemas name it: the value of `x-template` and `x-expression`.
    const WORD: &'static str;
    /// The moment in words, to end the sentence "`response` is not known …".
    const WHAT: &'static str;
}

/// While the route is being chosen: the request and the path parameters, nobody authenticated yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtMatch {}

/// While the request is handled, before a target is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtRequest {}

/// While the answer is handled: all that the request knew, and the answer's status and headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtResponse {}

/// While an answer is put together from the answers of several calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithCalls {}

impl sealed::Sealed for AtMatch {}
impl sealed::Sealed for AtRequest {}
impl sealed::Sealed for AtResponse {}
impl sealed::Sealed for WithCalls {}

impl Phase for AtMatch {
    const ROOTS: Roots = Roots::REQUEST.union(Roots::PARAMS);
    const WORD: &'static str = "match";
    const WHAT: &'static str = "when the route is chosen";
}

impl Phase for AtRequest {
    const ROOTS: Roots = AtMatch::ROOTS.union(Roots::CONSUMER).union(Roots::CLAIMS);
    const WORD: &'static str = "request";
    const WHAT: &'static str = "when the request is handled";
}

impl Phase for AtResponse {
    const ROOTS: Roots = AtRequest::ROOTS.union(Roots::RESPONSE);
    const WORD: &'static str = "response";
    const WHAT: &'static str = "when the response is handled";
}

impl Phase for WithCalls {
    const ROOTS: Roots = AtRequest::ROOTS.union(Roots::CALLS);
    const WORD: &'static str = "calls";
    const WHAT: &'static str = "when the answers of the calls are put together";
}

/// A [`Phase`] as a value, for the parsers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) roots: Roots,
    pub(crate) what: &'static str,
}

impl Bounds {
    pub(crate) const fn of<P: Phase>() -> Self {
        Self { roots: P::ROOTS, what: P::WHAT }
    }

    /// Those of the moment that a schema names; `None` of one that is not known here.
    pub(crate) fn at(moment: &str) -> Option<Self> {
        let all = [
            (AtMatch::WORD, Self::of::<AtMatch>()),
            (AtRequest::WORD, Self::of::<AtRequest>()),
            (AtResponse::WORD, Self::of::<AtResponse>()),
            (WithCalls::WORD, Self::of::<WithCalls>()),
        ];
        all.into_iter().find_map(|(word, bounds)| (word == moment).then_some(bounds))
    }

    pub(crate) const fn within(self, roots: Roots) -> Self {
        Self { roots: self.roots.without(self.roots.without(roots)), what: self.what }
    }
}
