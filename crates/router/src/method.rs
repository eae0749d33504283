//! Sets of methods as one word of bits, so that a rule's methods cost one `and` per request.

use std::fmt;

use http::Method;

/// The methods of RFC 9110 and PATCH, in the order in which `Allow` lists them. Their place is their bit.
const STANDARD: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
    Method::TRACE,
    Method::CONNECT,
];

/// Most further methods that the rules of one router may name: what is left of 64 bits.
pub const MAX_EXTENSION_METHODS: usize = 64 - STANDARD.len();

/// A set of methods of one router. Empty means any where a rule is meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MethodSet(u64);

impl MethodSet {
    pub(crate) const GET: Self = Self(1);
    pub(crate) const HEAD: Self = Self(1 << 1);

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn contains(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// With HEAD if GET is in it: whoever answers GET answers HEAD (RFC 9110 §9.3.2).
    pub(crate) fn with_implied(self) -> Self {
        if self.contains(Self::GET) { self.with(Self::HEAD) } else { self }
    }

    /// How specifically a rule with these methods takes a request; nothing if it does not.
    pub(crate) fn rank(self, asked: Self) -> Option<MethodRank> {
        if self.is_empty() {
            Some(MethodRank::Any)
        } else if self.contains(asked) {
            Some(MethodRank::Named)
        } else if asked == Self::HEAD && self.contains(Self::GET) {
            Some(MethodRank::HeadOfGet)
        } else {
            None
        }
    }
}

/// Least specific first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MethodRank {
    Any,
    HeadOfGet,
    Named,
}

/// The bits of the methods that the rules of one router name.
#[derive(Debug, Default)]
pub(crate) struct MethodTable {
    extensions: Vec<Method>,
}

impl MethodTable {
    /// The bit of a method, given out if it is new. Nothing if all bits are taken.
    pub(crate) fn add(&mut self, method: &Method) -> Option<MethodSet> {
        let known = self.get(method);
        if !known.is_empty() {
            return Some(known);
        }
        if self.extensions.len() == MAX_EXTENSION_METHODS {
            return None;
        }
        self.extensions.push(method.clone());
        Some(self.get(method))
    }

    /// The bit of a method; no bit if no rule names it.
    pub(crate) fn get(&self, method: &Method) -> MethodSet {
        MethodSet(match *method {
            Method::GET => 1,
            Method::HEAD => 1 << 1,
            Method::POST => 1 << 2,
            Method::PUT => 1 << 3,
            Method::PATCH => 1 << 4,
            Method::DELETE => 1 << 5,
            Method::OPTIONS => 1 << 6,
            Method::TRACE => 1 << 7,
            Method::CONNECT => 1 << 8,
            _ => match self.extensions.iter().position(|known| known == method) {
                Some(position) => 1 << (STANDARD.len() + position),
                None => 0,
            },
        })
    }

    /// The methods of a set, in the order of `Allow`.
    pub(crate) fn methods(&self, set: MethodSet) -> impl Iterator<Item = &Method> + use<'_> {
        let all = STANDARD.iter().chain(&self.extensions);
        all.enumerate().filter(move |(bit, _)| set.0 >> bit & 1 == 1).map(|(_, method)| method)
    }

    /// All methods that rules may name, GET first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Method> + use<'_> {
        self.methods(MethodSet(u64::MAX))
    }
}

/// The methods that a path would have been found with. Displays as the value of the `Allow` header field.
#[derive(Clone, Copy)]
pub struct Allow<'r> {
    pub(crate) table: &'r MethodTable,
    pub(crate) set: MethodSet,
}

impl<'r> Allow<'r> {
    /// The methods, in a fixed order; HEAD is among them wherever GET is.
    pub fn iter(&self) -> impl Iterator<Item = &'r Method> + use<'r> {
        self.table.methods(self.set)
    }
}

impl fmt::Display for Allow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, method) in self.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            f.write_str(method.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Allow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Allow({self})")
    }
}
