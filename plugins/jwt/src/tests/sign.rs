//! Makes tokens for the tests, also ones no honest issuer would make.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

/// Seconds since 1970 at which the tests play.
pub(crate) const TODAY: u64 = 1_800_000_000;

/// The same as a time.
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(TODAY)
}

/// The claims of an ordinary token, changed by `with`; `null` takes a claim away.
pub(crate) fn claims(with: Value) -> Value {
    let mut claims = json!({ "sub": "ada", "exp": TODAY + 60, "iss": "https://idp.example.com/", "aud": "api" });
    let (Value::Object(all), Value::Object(more)) = (&mut claims, with) else { panic!("claims are objects") };
    all.extend(more);
    all.retain(|_, value| !value.is_null());
    claims
}

/// Somebody who can sign.
pub(crate) struct Signer {
    pub(crate) algorithm: Algorithm,
    key: EncodingKey,
    kid: Option<&'static str>,
}

impl Signer {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        let rsa = include_bytes!("../../tests/keys/rsa.pem");
        let key = match algorithm {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
                EncodingKey::from_secret(include_bytes!("../../tests/keys/secret.txt")).unwrap()
            }
            Algorithm::ES256 => EncodingKey::from_ec_pem(include_bytes!("../../tests/keys/p256.pem")).unwrap(),
            Algorithm::ES384 => EncodingKey::from_ec_pem(include_bytes!("../../tests/keys/p384.pem")).unwrap(),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(include_bytes!("../../tests/keys/ed25519.pem")).unwrap(),
            _ => EncodingKey::from_rsa_pem(rsa).unwrap(),
        };
        Self { algorithm, key, kid: None }
    }

    pub(crate) fn rsa() -> Self {
        Self::new(Algorithm::RS256)
    }

    /// The holder of another RSA key.
    pub(crate) fn rsa_other() -> Self {
        let key = EncodingKey::from_rsa_pem(include_bytes!("../../tests/keys/rsa-other.pem")).unwrap();
        Self { key, ..Self::rsa() }
    }

    /// Somebody who takes these bytes for a secret.
    pub(crate) fn secret(algorithm: Algorithm, secret: &[u8]) -> Self {
        Self { algorithm, key: EncodingKey::from_secret(secret).unwrap(), kid: None }
    }

    pub(crate) fn kid(self, kid: &'static str) -> Self {
        Self { kid: Some(kid), ..self }
    }

    /// A token with these claims.
    pub(crate) fn token(&self, claims: &Value) -> String {
        let mut header = json!({ "typ": "JWT", "alg": self.algorithm });
        if let Some(kid) = self.kid {
            header["kid"] = kid.into();
        }
        self.raw(&header.to_string(), &claims.to_string())
    }

    /// A token with this header and this payload, whatever they are.
    pub(crate) fn raw(&self, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signer = (DEFAULT_PROVIDER.signer_factory)(&self.algorithm, &self.key).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signer.sign(signed.as_bytes())))
    }

    /// Its public key as a member of a key set.
    pub(crate) fn jwk(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["kid"] = self.kid.into();
        jwk
    }
}

/// A key set of these keys.
pub(crate) fn set(signers: &[&Signer]) -> String {
    let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
    json!({ "keys": keys }).to_string()
}
