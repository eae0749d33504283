//! How somebody stands with their limits, and giving back what they have used: `/api/v1/limits`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use portreeve_config::Loaded;
use portreeve_plugin::{Consumer, NoAccount, Standing, Subject};
use portreeve_proxy::StepAccount;
use serde_json::{Value, json};

use super::Shown;
use super::usage::{Parameters, bad, read};

/// The longest value of a parameter, in bytes: that of what clients can send.
const LONGEST: usize = 64 * 1024;
/// The parts of a key at most. (Arbitrary.)
const MOST_PARTS: usize = 16;

/// Whom a query is about.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    consumer: Option<String>,
    tier: Option<String>,
    key: Vec<String>,
    step: Option<String>,
}

/// How a consumer, or a key of one step, stands with each limit.
pub(super) async fn limits(State(shown): State<Shown>, parameters: Parameters) -> Response {
    let asked = match read(parameters).and_then(Asked::parse) {
        Ok(asked) => asked,
        Err(why) => return bad(&why),
    };
    let subject = asked.subject(&shown.reloader.loaded());
    let told = shown.engine.accounts(&subject, asked.step.as_deref()).await;
    if told.is_empty() {
        return nobody(asked.step.as_deref());
    }
    let rows = told.into_iter().map(|account| {
        row(
            &account,
            |account| json!({ "store": account.store, "limits": account.limits.iter().map(limit).collect::<Vec<_>>() }),
        )
    });
    Json(rows.collect::<Vec<_>>()).into_response()
}

/// Gives back what a consumer, or a key of one step, has used. Who ordered it is in the log.
pub(super) async fn reset(
    State(shown): State<Shown>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    parameters: Parameters,
) -> Response {
    let asked = match read(parameters).and_then(Asked::parse) {
        Ok(asked) => asked,
        Err(why) => return bad(&why),
    };
    let subject = asked.subject(&shown.reloader.loaded());
    let told = shown.engine.reset_accounts(&subject, asked.step.as_deref()).await;
    if told.is_empty() {
        return nobody(asked.step.as_deref());
    }
    let by = from.ip().to_canonical();
    let (mut done, mut failed) = (0, false);
    // Not the key itself: it may be a credential.
    let by_key = !asked.key.is_empty();
    for account in &told {
        let (step, consumer) = (&*account.step, asked.consumer.as_deref());
        match &account.told {
            Ok(()) => {
                done += 1;
                tracing::info!(%by, step, consumer, by_key, "What was used of limits was given back, as ordered.");
            }
            Err(NoAccount::Failed(error)) => {
                failed = true;
                tracing::warn!(%by, step, consumer, by_key, %error, "What was used of limits could not be given back.");
            }
            Err(NoAccount::NotCounted(_)) => {}
        }
    }
    let rows: Vec<Value> = told.iter().map(|account| row(account, |()| json!({ "reset": true }))).collect();
    let status = match (failed, done) {
        (true, _) => StatusCode::BAD_GATEWAY,
        (false, 0) => StatusCode::NOT_FOUND,
        (false, _) => StatusCode::OK,
    };
    (status, Json(rows)).into_response()
}

fn nobody(step: Option<&str>) -> Response {
    let why = match step {
        Some(_) => "no step of this name limits anybody\n",
        None => "no step of this configuration limits anybody\n",
    };
    (StatusCode::NOT_FOUND, why).into_response()
}

/// One step: what it told, or why it did not.
fn row<T>(account: &StepAccount<T>, told: impl FnOnce(&T) -> Value) -> Value {
    let mut row = json!({ "step": account.step, "plugin": account.plugin, "place": account.place });
    let more = match &account.told {
        Ok(account) => told(account),
        Err(NoAccount::NotCounted(why)) => json!({ "not_counted": why }),
        Err(NoAccount::Failed(error)) => json!({ "error": error.to_string() }),
    };
    if let (Value::Object(row), Value::Object(more)) = (&mut row, more) {
        row.extend(more);
    }
    row
}

/// One limit. When something comes back is told in seconds since 1970, rounded up.
fn limit(standing: &Standing) -> Value {
    let Standing { limit, most, used, remaining, resets_at } = standing;
    let seconds = |at: SystemTime| {
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        since.as_secs() + u64::from(since.subsec_nanos() > 0)
    };
    let resets_at = resets_at.map(seconds);
    json!({ "limit": limit, "most": most, "used": used, "remaining": remaining, "resets_at": resets_at })
}

impl Asked {
    fn parse(parameters: Vec<(String, String)>) -> Result<Self, String> {
        let mut asked = Self::default();
        for (name, value) in parameters {
            if value.is_empty() || value.len() > LONGEST {
                return Err(format!("{} is empty or too long", name.chars().take(64).collect::<String>()));
            }
            let place = match name.as_str() {
                "consumer" => &mut asked.consumer,
                "tier" => &mut asked.tier,
                "step" => &mut asked.step,
                "key" => {
                    asked.key.push(value);
                    continue;
                }
                other => {
                    let other: String = other.chars().take(64).collect();
                    return Err(format!("there is no parameter {other:?}; there are: consumer, tier, key, step"));
                }
            };
            if place.replace(value).is_some() {
                return Err(format!("{name} is given twice"));
            }
        }
        match (&asked.consumer, asked.key.len()) {
            (None, 0) => Err("say whose: consumer, or key and step".to_owned()),
            (Some(_), 1..) => Err("give consumer or key, not both".to_owned()),
            (None, 1..) if asked.step.is_none() => Err("a key is that of one step; give step".to_owned()),
            (_, parts) if parts > MOST_PARTS => Err(format!("a key has at most {MOST_PARTS} parts")),
            _ => Ok(asked),
        }
    }

    /// Whom it is about: of a consumer of the file also tier and groups are known.
    fn subject(&self, loaded: &Loaded) -> Subject {
        let declared = self
            .consumer
            .as_ref()
            .and_then(|id| loaded.config.consumers.iter().find(|declared| declared.name.as_str() == id));
        let of_file = declared.and_then(|declared| Some(declared.tier.as_ref()?.as_str().into()));
        let consumer = Consumer {
            id: self.consumer.as_deref().unwrap_or_default().into(),
            tier: self.tier.as_deref().map(Arc::from).or(of_file),
            groups: declared.map(|declared| declared.groups.clone()).unwrap_or_default(),
            ..Consumer::default()
        };
        Subject { consumer: Arc::new(consumer), key: self.key.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_that_names_nobody_is_told_what_to_say() {
        let parse = |pairs: &[(&str, &str)]| {
            Asked::parse(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
        };
        let error = |pairs: &[(&str, &str)]| parse(pairs).unwrap_err();
        assert_eq!(error(&[]), "say whose: consumer, or key and step");
        assert_eq!(error(&[("step", "a/rate-limit")]), "say whose: consumer, or key and step");
        assert_eq!(error(&[("consumer", "ada"), ("key", "x")]), "give consumer or key, not both");
        assert_eq!(error(&[("key", "x")]), "a key is that of one step; give step");
        assert_eq!(error(&[("consumer", "ada"), ("consumer", "bob")]), "consumer is given twice");
        assert_eq!(error(&[("consumer", "")]), "consumer is empty or too long");
        assert_eq!(error(&[("who", "ada")]), "there is no parameter \"who\"; there are: consumer, tier, key, step");
        let many: Vec<_> = std::iter::repeat_n(("key", "x"), 17).chain([("step", "s")]).collect();
        assert_eq!(error(&many), "a key has at most 16 parts");
        assert_eq!(parse(&[("key", "a"), ("key", "b"), ("step", "s")]).unwrap().key, ["a", "b"]);
    }
}
