//! A token issuer as the `jwt` plugin expects one: RS256 tokens (RFC 7519) and a JWKS endpoint (RFC 7517). Its key is made
//! afresh at every start and never leaves the process.

use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};

/// Seconds that a token is valid: a day of trying things out.
const LIFETIME: u64 = 12 * 60 * 60;
const AUDIENCE: &str = "api";

/// Signs tokens.
#[derive(Debug)]
pub(crate) struct Issuer {
    name: String,
    key: RsaKeyPair,
    /// Tells the key of this start from that of the last, which a gateway may still hold.
    kid: String,
}

impl Issuer {
    /// An issuer of this name, with a new key.
    ///
    /// # Errors
    /// When the machine has no randomness to give.
    pub(super) fn new(name: &str) -> Result<Self, String> {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| "cannot make a key for the issuer".to_owned())?;
        Ok(Self { name: name.to_owned(), key, kid: format!("demo-{}", now()) })
    }

    /// A token for this subject, whose plan is its tier.
    ///
    /// # Errors
    /// When it cannot be signed, which a sound key excludes.
    pub(crate) fn token(&self, subject: &str, plan: &str) -> Result<String, String> {
        let now = now();
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": self.kid });
        let claims = json!({
            "iss": self.name, "aud": AUDIENCE, "sub": subject, "plan": plan, "iat": now, "exp": now + LIFETIME,
        });
        let mut token = format!("{}.{}", base64(header.to_string()), base64(claims.to_string()));
        let mut signature = vec![0; self.key.public_modulus_len()];
        let signed = self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature);
        signed.map_err(|_| "cannot sign a token".to_owned())?;
        token.push('.');
        token.push_str(&base64(signature));
        Ok(token)
    }

    /// The public key as a set.
    pub(super) fn jwks(&self) -> Value {
        let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(self.key.public_key());
        let key =
            json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid, "n": base64(n), "e": base64(e) });
        json!({ "keys": [key] })
    }
}

/// Whom a token is wanted for.
#[derive(Deserialize)]
struct Wanted {
    #[serde(default = "ada")]
    sub: String,
    #[serde(default = "free")]
    plan: String,
}

/// `/.well-known/jwks.json`, and `/token?sub=ada&plan=paid` for whoever asks: this is a demo.
pub(super) fn router(issuer: Arc<Issuer>) -> Router {
    let jwks = |State(issuer): State<Arc<Issuer>>| async move { axum::Json(issuer.jwks()) };
    let token = |State(issuer): State<Arc<Issuer>>, Query(wanted): Query<Wanted>| async move {
        let failed = |error| (StatusCode::INTERNAL_SERVER_ERROR, error);
        issuer.token(&wanted.sub, &wanted.plan).map_err(failed)
    };
    Router::new().route("/.well-known/jwks.json", get(jwks)).route("/token", get(token)).with_state(issuer)
}

fn ada() -> String {
    "ada".to_owned()
}

fn free() -> String {
    "free".to_owned()
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
