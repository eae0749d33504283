//! Reads a JSON Web Key Set (RFC 7517). A key that cannot be used is passed over and told, it never spoils the others.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use crate::algorithm::{Algorithm, Algorithms, Kind};
use crate::key::Key;

/// The most keys that are read of a set.
const MAX_KEYS: usize = 100;

/// The keys of a set, and what was wrong with those left out.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) keys: Vec<Key>,
    pub(crate) left_out: Vec<String>,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<String>,
}

/// Whether a set may hold shared secrets. One that is published must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secrets {
    /// It may.
    Allowed,
    /// A secret in it is no secret.
    Published,
}

/// Reads a set.
///
/// # Errors
/// When the text is not a set at all.
pub(crate) fn read(text: &[u8], secrets: Secrets) -> Result<Read, String> {
    let set: Set = serde_json::from_slice(text).map_err(|error| format!("not a JSON Web Key Set: {error}"))?;
    let mut read = Read { keys: Vec::new(), left_out: Vec::new() };
    if set.keys.len() > MAX_KEYS {
        read.left_out.push(format!("all keys beyond the first {MAX_KEYS}"));
    }
    for (place, value) in set.keys.into_iter().take(MAX_KEYS).enumerate() {
        match key(value, secrets) {
            Ok(key) => read.keys.push(key),
            Err(why) => read.left_out.push(format!("keys[{place}]: {why}")),
        }
    }
    Ok(read)
}

fn key(value: Value, secrets: Secrets) -> Result<Key, &'static str> {
    let jwk: Jwk = serde_json::from_value(value).map_err(|_| "not a JSON Web Key")?;
    if jwk.purpose.as_ref().is_some_and(|purpose| purpose != "sig") {
        return Err("its `use` is not `sig`");
    }
    if jwk.key_ops.as_ref().is_some_and(|operations| !operations.iter().any(|one| one == "verify")) {
        return Err("its `key_ops` do not include `verify`");
    }
    let key = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => Key::rsa(&bytes(jwk.n.as_ref())?, &bytes(jwk.e.as_ref())?)?,
        ("EC", Some("P-256")) => Key::point(Kind::P256, &point(&jwk, 32)?)?,
        ("EC", Some("P-384")) => Key::point(Kind::P384, &point(&jwk, 48)?)?,
        ("OKP", Some("Ed25519")) => Key::ed25519(&bytes(jwk.x.as_ref())?)?,
        ("oct", _) if secrets == Secrets::Allowed => Key::secret(&bytes(jwk.k.as_ref())?),
        ("oct", _) => return Err("a secret that is published is none"),
        _ => return Err("its `kty` and `crv` are none that are supported"),
    };
    let key = match jwk.alg.as_deref() {
        None => key,
        Some(name) => {
            let algorithm = Algorithm::named(name).ok_or("its `alg` is none that is supported")?;
            key.only_for(Algorithms::from_iter([algorithm]))
        }
    };
    if key.algorithms().is_empty() {
        return Err("its `alg` is not one of its kind");
    }
    let long_enough = |secret: usize| key.algorithms().iter().any(|one| secret >= one.shortest_secret());
    if !key.secret_len().is_none_or(long_enough) {
        return Err("the secret is shorter than the hash of its algorithm");
    }
    Ok(key.with_kid(jwk.kid))
}

fn point(jwk: &Jwk, size: usize) -> Result<Vec<u8>, &'static str> {
    let (x, y) = (bytes(jwk.x.as_ref())?, bytes(jwk.y.as_ref())?);
    if x.len() != size || y.len() != size {
        return Err("its coordinates do not have the size of its curve");
    }
    Ok([&[4], x.as_slice(), y.as_slice()].concat())
}

fn bytes(text: Option<&String>) -> Result<Vec<u8>, &'static str> {
    let text = text.ok_or("a member that its `kty` needs is missing")?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| "a member is not base64url")
}
