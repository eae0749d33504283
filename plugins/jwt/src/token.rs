//! A token taken apart: the JWS compact serialisation (RFC 7515 §7.1). Nothing in it is believed yet.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::algorithm::Algorithm;
use crate::refusal::Refusal;

/// A token as its sender wrote it.
#[derive(Debug)]
pub(crate) struct Token<'t> {
    /// What the sender says it was signed with.
    pub(crate) algorithm: Algorithm,
    /// Which key the sender says it was signed with.
    pub(crate) kid: Option<String>,
    /// The bytes that were signed: header, dot, payload.
    pub(crate) signed: &'t [u8],
    /// The signature.
    pub(crate) signature: Vec<u8>,
    payload: &'t [u8],
}

/// The part of the header that matters here. `jku`, `jwk`, `x5u` and `x5c` are ignored on purpose: a token must not
/// bring its own key. serde refuses a field that comes twice.
#[derive(Deserialize)]
struct Header<'h> {
    #[serde(borrow)]
    alg: Cow<'h, str>,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
    enc: Option<IgnoredAny>,
}

impl<'t> Token<'t> {
    /// Takes a token apart.
    pub(crate) fn parse(token: &'t [u8]) -> Result<Self, Refusal> {
        let mut dots = token.iter().enumerate().filter(|(_, byte)| **byte == b'.').map(|(place, _)| place);
        let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
            return Err(Refusal::invalid("the token is not three parts joined by dots"));
        };
        let parts = || {
            let (signed, signature) = (token.get(..second)?, token.get(second + 1..)?);
            Some((signed, token.get(..first)?, token.get(first + 1..second)?, signature))
        };
        let Some((signed, header, payload, signature)) = parts() else {
            return Err(Refusal::invalid("the token is not three parts joined by dots"));
        };
        let header = decoded(header, "the header is not base64url")?;
        let Ok(header) = serde_json::from_slice::<Header<'_>>(&header) else {
            return Err(Refusal::invalid("the header is not a JSON object with one `alg`"));
        };
        // RFC 7515 §4.1.11: an extension that is marked critical and not understood makes the token invalid. None is.
        if header.crit.is_some() {
            return Err(Refusal::invalid("the header has a `crit` that this gateway does not understand"));
        }
        if header.enc.is_some() {
            return Err(Refusal::invalid("the token is encrypted"));
        }
        let Some(algorithm) = Algorithm::named(&header.alg) else {
            return Err(Refusal::invalid("the token's algorithm is none that can be allowed"));
        };
        Ok(Self {
            algorithm,
            kid: header.kid,
            signed,
            signature: decoded(signature, "the signature is not base64url")?,
            payload,
        })
    }

    /// The claims. To be called once the signature holds.
    pub(crate) fn claims(&self) -> Result<Value, Refusal> {
        let payload = decoded(self.payload, "the payload is not base64url")?;
        match serde_json::from_slice(&payload) {
            Ok(claims @ Value::Object(_)) => Ok(claims),
            _ => Err(Refusal::invalid("the payload is not a JSON object")),
        }
    }
}

/// Strict base64url: no padding and no stray bits, so that a token can be written in one way only.
fn decoded(part: &[u8], why: &'static str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::invalid(why))
}
