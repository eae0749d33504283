//! Tokens as an issuer would make them.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// The secret of [`hs256`].
pub const SECRET: &str = "a-secret-of-the-tests-with-enough-bytes";

/// A token of the issuer `https://issuer.example/` for the audience `api`, valid for an hour, with these claims besides.
pub fn hs256(claims: Value) -> String {
    hs256_with(SECRET, claims)
}

/// The same, signed with another secret.
///
/// # Panics
/// When `claims` is not an object.
pub fn hs256_with(secret: &str, claims: Value) -> String {
    sign(&Header::new(Algorithm::HS256), &EncodingKey::from_secret(secret.as_bytes()).unwrap(), claims)
}

/// An issuer with an RSA key.
#[derive(Clone)]
pub struct RsaIssuer {
    key: EncodingKey,
    kid: String,
}

impl std::fmt::Debug for RsaIssuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RsaIssuer({})", self.kid)
    }
}

impl RsaIssuer {
    /// An issuer whose key has this id. Only two are told apart: the key is one of two that lie in the repository.
    ///
    /// # Panics
    /// When `number` is neither 1 nor 2.
    pub fn new(number: usize) -> Self {
        let keys = [
            include_bytes!("../../plugins/jwt/tests/keys/rsa.pem").as_slice(),
            include_bytes!("../../plugins/jwt/tests/keys/rsa-other.pem").as_slice(),
        ];
        let key = EncodingKey::from_rsa_pem(keys[number - 1]).unwrap();
        Self { key, kid: format!("key-{number}") }
    }

    /// A token as of [`hs256`], signed with RS256.
    ///
    /// # Panics
    /// When `claims` is not an object.
    pub fn token(&self, claims: Value) -> String {
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::RS256) };
        sign(&header, &self.key, claims)
    }

    /// Its public key as a set (RFC 7517).
    ///
    /// # Panics
    /// Never: the key is one of ours.
    pub fn jwks(&self) -> String {
        let mut key = serde_json::to_value(Jwk::from_encoding_key(&self.key, Algorithm::RS256).unwrap()).unwrap();
        key["kid"] = self.kid.clone().into();
        json!({ "keys": [key] }).to_string()
    }
}

fn sign(header: &Header, key: &EncodingKey, claims: Value) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut all = json!({ "iss": "https://issuer.example/", "aud": "api", "exp": now + 3_600 });
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    jsonwebtoken::encode(header, &all, key).unwrap()
}
