//! The whole file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    AccessLog, Acme, Action, Admin, Consumer, Errors, FlatStep, Listener, Named, Resolver, Route, Step, Tier, Upstream,
    Usage, Zone,
};
use crate::units::{Network, Secret};

/// The most steps that a request may pass in one list, once every `use` is followed.
pub const MAX_STEPS: usize = 64;

/// Chains nested deeper are a maze; recursion over them relies on a bound.
pub(crate) const MAX_USE_DEPTH: usize = 16;

/// gateway.yaml: everything the gateway does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The version of this format. Always 1.
    pub version: Version,
    /// Further files, relative to this one; `*` stands for any part of a file name.
    /// They may hold `upstreams`, `tiers`, `chains`, `routes`, `consumers` and `include`.
    /// Lists are joined in order, maps united; a name defined twice is an error.
    #[serde(default)]
    pub include: Vec<String>,
    /// The addresses the gateway accepts requests on; at least one.
    #[schemars(length(min = 1))]
    pub listeners: Vec<Listener>,
    /// Networks of the load balancers and proxies in front of this gateway. What they say of a client is believed:
    /// `X-Forwarded-For`, `X-Forwarded-Proto`, `X-Forwarded-Host`, `Forwarded` and the PROXY protocol. Nobody by default.
    /// Where both are there, `X-Forwarded-For` goes before `Forwarded`: a proxy that says the one has to remove the other.
    #[serde(default)]
    pub trusted_proxies: Vec<Network>,
    /// The admin port: metrics, health, status. Without this key there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<Admin>,
    /// Certificates that the gateway gets and renews by itself: the account. Listeners ask for them with `tls.acme`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acme: Option<Acme>,
    /// The access log: one JSON line for each request.
    #[serde(default)]
    pub access_log: AccessLog,
    /// What consumers have used: what is counted, how much is kept, and where it goes.
    #[serde(default)]
    pub usage: Usage,
    /// How the names of targets are resolved.
    #[serde(default)]
    pub resolver: Resolver,
    /// Where the zones of targets are in the world, by their names: at most 64. For upstreams with `failover.near`.
    #[serde(default)]
    pub zones: Named<Zone>,
    /// Named pools of targets.
    #[serde(default)]
    pub upstreams: Named<Upstream>,
    /// Named limits that consumers are given.
    #[serde(default)]
    pub tiers: Named<Tier>,
    /// Named lists of steps that routes and other chains `use`.
    #[serde(default)]
    pub chains: Named<Vec<Step>>,
    /// What is served. The most specific match wins, whatever the order here.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// Known callers, for plugins such as `key-auth`.
    #[serde(default)]
    pub consumers: Vec<Consumer>,
    /// Pages of the gateway's own error answers, by status.
    #[serde(default)]
    pub errors: Errors,
}

impl Config {
    /// The steps of a list in the order they run, with each `use` replaced by its chain.
    ///
    /// A loaded configuration has no unknown chain, no cycle and at most [`MAX_STEPS`] steps in a list; in one built by hand
    /// an unknown chain is empty, and a chain inside itself or more than 16 deep is left out.
    #[must_use]
    pub fn flatten<'a>(&'a self, steps: &'a [Step]) -> Vec<FlatStep<'a>> {
        let mut flat = Vec::new();
        self.flatten_into(steps, &mut Vec::new(), &mut flat);
        flat
    }

    fn flatten_into<'a>(&'a self, steps: &'a [Step], uses: &mut Vec<&'a Step>, flat: &mut Vec<FlatStep<'a>>) {
        for step in steps {
            match &step.action {
                Action::Plugin { plugin, settings } => {
                    flat.push(FlatStep { step, plugin, settings, uses: uses.clone() });
                }
                Action::Use(chain) => {
                    let entered = uses.iter().any(|outer| outer.action == step.action);
                    let too_deep = uses.len() >= MAX_USE_DEPTH;
                    if let (Some(chain), false) = (self.chains.get(chain), entered || too_deep) {
                        uses.push(step);
                        self.flatten_into(chain, uses, flat);
                        uses.pop();
                    }
                }
            }
        }
    }

    /// Every step of the file where it is written: of listeners, chains and routes, used or not.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        let listeners = self.listeners.iter().flat_map(|listener| &listener.plugins);
        let chains = self.chains.into_iter().flat_map(|(_, steps)| steps);
        listeners.chain(chains).chain(self.routes.iter().flat_map(|route| &route.plugins))
    }

    /// Every secret of the typed sections with its path in text form.
    pub(crate) fn secrets_mut(&mut self) -> impl Iterator<Item = (String, &mut Secret)> {
        let admin = self
            .admin
            .iter_mut()
            .filter_map(|admin| admin.token.as_mut())
            .map(|token| ("admin.token".to_owned(), token));
        let consumers = self.consumers.iter_mut().enumerate().flat_map(|(i, consumer)| {
            let keys = consumer.keys.iter_mut().enumerate();
            keys.map(move |(j, key)| (format!("consumers[{i}].keys[{j}]"), key))
        });
        let binding = self.acme.iter_mut().filter_map(|acme| acme.eab.as_mut());
        let binding = binding.map(|binding| ("acme.eab.key".to_owned(), &mut binding.key));
        let sticky = self.upstreams.values_mut().filter_map(|(name, upstream)| {
            let key = upstream.sticky.as_mut()?.key.as_mut()?;
            Some((format!("upstreams.{name}.sticky.key"), key))
        });
        admin.chain(binding).chain(sticky).chain(consumers)
    }
}

/// The version of the file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub enum Version {
    /// `version: 1`.
    #[default]
    V1,
}

impl TryFrom<u64> for Version {
    type Error = String;

    fn try_from(version: u64) -> Result<Self, String> {
        match version {
            1 => Ok(Self::V1),
            _ => Err(format!("there is no version {version} of this format; write version: 1")),
        }
    }
}

impl From<Version> for u64 {
    fn from(_: Version) -> Self {
        1
    }
}

impl JsonSchema for Version {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Version".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "integer", "enum": [1] })
    }
}
