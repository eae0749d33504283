//! Keys that are in force together, and the choice among them for one token.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::algorithm::Algorithms;
use crate::key::Key;
use crate::refusal::Refusal;
use crate::token::Token;

/// The most keys tried for a token that does not say which: each try costs a signature check, and the sender is a stranger.
const MAX_TRIES: usize = 8;

/// A number no other set of keys in this process has. What was verified with one set is worth nothing under another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Generation(u64);

impl Generation {
    /// A new one.
    pub(crate) fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed))
    }
}

/// Keys that are in force together.
#[derive(Debug)]
pub(crate) struct KeySet {
    generation: Generation,
    keys: Box<[Key]>,
}

/// How a token fared against a set of keys.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// One of the keys signed it.
    Signed,
    /// Its `kid` is none of this set: another set may know it.
    UnknownKey,
    /// None of the keys signed it.
    NotSigned(Refusal),
}

impl KeySet {
    pub(crate) fn new(generation: Generation, keys: Vec<Key>) -> Self {
        Self { generation, keys: keys.into() }
    }

    pub(crate) fn generation(&self) -> Generation {
        self.generation
    }

    pub(crate) fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Whether one of the keys signed this token with one of these algorithms.
    pub(crate) fn verify(&self, token: &Token<'_>, allowed: Algorithms) -> Verdict {
        let algorithm = token.algorithm;
        if !allowed.contains(algorithm) {
            return Verdict::NotSigned(Refusal::invalid(format!("{} is not among `algorithms`", algorithm.name())));
        }
        let named = |key: &&Key| token.kid.is_none() || key.kid() == token.kid.as_deref();
        let is_known = self.keys.iter().any(|key| named(&key));
        // A key without an id is for every token whose id no other key has.
        let candidates = self.keys.iter().filter(|key| if is_known { named(key) } else { key.kid().is_none() });
        let mut candidates = candidates.peekable();
        if candidates.peek().is_none() {
            return Verdict::UnknownKey;
        }
        let mut fit = candidates.filter(|key| key.algorithms().contains(algorithm)).take(MAX_TRIES).peekable();
        if fit.peek().is_none() {
            let why = format!("no key of this token's `kid` can be used with {}", algorithm.name());
            return Verdict::NotSigned(Refusal::invalid(why));
        }
        if fit.any(|key| key.verifies(algorithm, token.signed, &token.signature)) {
            return Verdict::Signed;
        }
        Verdict::NotSigned(Refusal::invalid("the signature does not match"))
    }
}
