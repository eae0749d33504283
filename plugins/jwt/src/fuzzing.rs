//! What strangers' bytes go through, for the fuzz targets and for the property tests: the token of a request, and a key set
//! that was fetched.

use std::time::Duration;

use serde_json::Value;

use crate::claims::Checks;
use crate::jwk::{self, Secrets};
use crate::keyset::{Generation, KeySet};
use crate::token::Token;

/// Takes a token apart, checks its claims, and holds its signature against the keys of a set. Returns whether all of that
/// went well, which for bytes nobody signed it never does.
pub fn token(token: &[u8], set: &[u8]) -> bool {
    let Ok(token) = Token::parse(token) else { return false };
    let checks = Checks {
        issuers: Some(vec!["https://idp.example.com/".to_owned()]),
        audiences: Some(vec!["api".to_owned()]),
        required: vec!["sub".to_owned()],
        leeway: Duration::from_mins(1),
    };
    let passes = match token.claims() {
        Ok(claims) => checks.pass(&claims, Duration::from_secs(1_700_000_000)).is_ok(),
        Err(_) => false,
    };
    let keys = jwk::read(set, Secrets::Published).map(|read| read.keys).unwrap_or_default();
    let verdict = KeySet::new(Generation::next(), keys).verify(&token, [token.algorithm].into_iter().collect());
    passes && matches!(verdict, crate::keyset::Verdict::Signed)
}

/// Checks claims of any kind at a time of any kind. Returns whether they pass.
pub fn claims(claims: &Value, now: u64, leeway: u64) -> bool {
    let checks = Checks { issuers: None, audiences: None, required: Vec::new(), leeway: Duration::from_secs(leeway) };
    checks.pass(claims, Duration::from_secs(now)).is_ok()
}

/// Reads a key set. Returns how many keys it has and how many lines say what was left out; `None` for what is no set.
pub fn key_set(text: &[u8]) -> Option<(usize, usize)> {
    let read = jwk::read(text, Secrets::Allowed).ok()?;
    Some((read.keys.len(), read.left_out.len()))
}
