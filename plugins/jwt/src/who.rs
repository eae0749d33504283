//! Makes the consumer from the claims of a verified token.

use std::sync::Arc;

use portreeve_plugin::template::{Datum, Reference, Roots, Scope};
use portreeve_plugin::{BuildError, Consumer, Template, Tier};
use serde_json::Value;

use crate::config::ConsumerSetting;
use crate::refusal::Refusal;

/// The longest id of a token that is kept beside its consumer, in bytes: it goes into logs. Arbitrary; a UUID has 36.
const MAX_JTI: usize = 128;

/// Who a token speaks for.
#[derive(Debug)]
pub(crate) struct Who {
    id: Option<Template>,
    tier: Option<Template>,
    groups: Option<Template>,
    default_tier: Option<Arc<str>>,
    tiers: Vec<Arc<str>>,
    method: Arc<str>,
}

/// The claims are all that the templates see.
struct Claims<'c>(&'c Value);

impl Scope for Claims<'_> {
    fn resolve<'s>(&'s self, reference: &Reference) -> Option<Datum<'s>> {
        match reference {
            Reference::Claim(path) => path.find(self.0).map(Datum::Json),
            _ => None,
        }
    }
}

impl Who {
    /// Checks that the templates name claims only.
    pub(crate) fn new(setting: ConsumerSetting, tiers: &[Tier]) -> Result<Self, BuildError> {
        let ConsumerSetting { id, tier, groups, default_tier } = setting;
        for (name, template) in [("id", &id), ("tier", &tier), ("groups", &groups)] {
            let mut references = template.iter().flat_map(Template::references);
            if let Some(stranger) = references.find(|reference| reference.root() != Roots::CLAIMS) {
                let message = format!("{stranger} is not known here: a consumer is made from claims.… alone");
                return Err(BuildError::at(format!("consumer.{name}"), message));
            }
        }
        let plain = |name: &str, why: String| BuildError::at(format!("consumer.{name}"), why);
        // One id for everybody would be one consumer for everybody.
        if let Some(id) = &id {
            id.must_vary().map_err(|why| plain("id", why))?;
        }
        for (name, template) in [("tier", &tier), ("groups", &groups)] {
            if let Some(template) = template {
                template.must_not_look_like_one().map_err(|why| plain(name, why))?;
            }
        }
        let tiers: Vec<_> = tiers.iter().map(|tier| tier.name.clone()).collect();
        let default_tier = default_tier.map(|name| interned(&tiers, &name));
        Ok(Self { id, tier, groups, default_tier, tiers, method: "jwt".into() })
    }

    /// The consumer these claims speak for.
    pub(crate) fn consumer(&self, claims: Value) -> Result<Consumer, Refusal> {
        let scope = Claims(&claims);
        let id = match &self.id {
            Some(template) => template.render(&scope),
            None => claims.get("sub").and_then(Value::as_str).map(Into::into),
        };
        let Some(id) = id.filter(|id| !id.is_empty()) else {
            return Err(Refusal::invalid("the token has no claim that names its consumer"));
        };
        let tier = self.tier.as_ref().and_then(|template| template.render(&scope));
        let known = |name: &str| {
            let declared = self.tiers.is_empty() || self.tiers.iter().any(|tier| **tier == *name);
            (declared && !name.is_empty()).then(|| interned(&self.tiers, name))
        };
        let tier = tier.and_then(|name| known(&name)).or_else(|| self.default_tier.clone());
        let groups = self.groups.as_ref().and_then(|template| template.render_value(&scope)).map(names);
        let id = Arc::from(&*id);
        Ok(Consumer {
            id,
            tier,
            groups: groups.unwrap_or_default(),
            // As OAuth says it (RFC 8693 §4.2), and as some servers do.
            scopes: ["scope", "scp"].into_iter().find_map(|name| claims.get(name)).map(scopes).unwrap_or_default(),
            method: Some(self.method.clone()),
            credential: claims.get("jti").and_then(Value::as_str).filter(|jti| jti.len() <= MAX_JTI).map(Arc::from),
            claims: Some(Arc::new(claims)),
        })
    }
}

/// The file's own copy of a tier's name if it has one.
fn interned(tiers: &[Arc<str>], name: &str) -> Arc<str> {
    tiers.iter().find(|tier| ***tier == *name).cloned().unwrap_or_else(|| name.into())
}

/// The scopes in a claim.
fn scopes(claim: &Value) -> Vec<String> {
    names(claim.clone())
}

/// The names in a claim: a list of texts, or text with spaces between them, as `scope` is written (RFC 8693 §4.2).
fn names(claim: Value) -> Vec<String> {
    match claim {
        Value::Array(names) => names.into_iter().filter_map(|name| name.as_str().map(str::to_owned)).collect(),
        Value::String(names) => names.split_whitespace().map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}
