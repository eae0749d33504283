//! What a verified token must say: `exp`, `nbf`, `iss`, `aud` and the claims the file requires (RFC 7519 §4.1).

use std::time::Duration;

use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// The checks of one instance.
#[derive(Debug)]
pub(crate) struct Checks {
    /// Issuers allowed; `None` allows any.
    pub(crate) issuers: Option<Vec<String>>,
    /// Audiences of which the token must name one; `None` asks for none.
    pub(crate) audiences: Option<Vec<String>>,
    /// Claims that must be there.
    pub(crate) required: Vec<String>,
    /// How far clocks may differ.
    pub(crate) leeway: Duration,
}

impl Checks {
    /// Checks the claims at this time since 1970. Gives the moment from which the token is no longer valid.
    pub(crate) fn pass(&self, claims: &Value, now: Duration) -> Result<Duration, Refusal> {
        let Value::Object(claims) = claims else { return Err(Refusal::invalid("the payload is not a JSON object")) };
        let Some(expires) = date(claims, "exp")? else { return Err(Refusal::invalid("there is no `exp`")) };
        let until = expires.saturating_add(self.leeway);
        // RFC 7519 §4.1.4: on or after `exp` it must not be accepted.
        if now >= until {
            let ago = now.saturating_sub(expires).as_secs();
            return Err(Refusal::invalid(format!("the token expired {ago} s ago")));
        }
        if let Some(not_before) = date(claims, "nbf")?
            && now.saturating_add(self.leeway) < not_before
        {
            let still = not_before.saturating_sub(now).as_secs();
            return Err(Refusal::invalid(format!("the token is not valid for another {still} s (`nbf`)")));
        }
        self.issuer(claims)?;
        self.audience(claims)?;
        let lacks = |name: &&String| claims.get(name.as_str()).is_none_or(Value::is_null);
        match self.required.iter().find(lacks) {
            Some(name) => Err(Refusal::invalid(format!("the required claim `{name}` is missing"))),
            None => Ok(until),
        }
    }

    fn issuer(&self, claims: &Map<String, Value>) -> Result<(), Refusal> {
        let Some(allowed) = &self.issuers else { return Ok(()) };
        match claims.get("iss") {
            Some(Value::String(issuer)) if allowed.contains(issuer) => Ok(()),
            Some(Value::String(_)) => Err(Refusal::invalid("the issuer (`iss`) is another")),
            _ => Err(Refusal::invalid("there is no issuer (`iss`)")),
        }
    }

    fn audience(&self, claims: &Map<String, Value>) -> Result<(), Refusal> {
        let Some(wanted) = &self.audiences else { return Ok(()) };
        let is_wanted = |name: &Value| name.as_str().is_some_and(|name| wanted.iter().any(|one| one == name));
        let found = match claims.get("aud") {
            Some(one @ Value::String(_)) => is_wanted(one),
            Some(Value::Array(many)) => many.iter().any(is_wanted),
            _ => return Err(Refusal::invalid("there is no audience (`aud`)")),
        };
        if found { Ok(()) } else { Err(Refusal::invalid("the token is for another audience (`aud`)")) }
    }
}

/// A `NumericDate` (RFC 7519 §2): seconds since 1970, possibly with a fraction.
fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<Duration>, Refusal> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let whole = value.as_u64().map(Duration::from_secs);
    let date = whole.or_else(|| Duration::try_from_secs_f64(value.as_f64()?).ok());
    date.map(Some).ok_or_else(|| Refusal::invalid(format!("`{name}` is not a date in seconds since 1970")))
}
