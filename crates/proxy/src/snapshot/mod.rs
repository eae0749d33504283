//! Everything compiled from one configuration: what a request pins at its first byte and sees until its log line.

pub(crate) mod accounts;
pub(crate) mod mirror;
pub(crate) mod pages;
pub(crate) mod route;
pub(crate) mod split;

use std::sync::Arc;

use portreeve_config::Diagnostics;
use portreeve_plugin::engine::Chain;
use portreeve_router::Router;
use portreeve_usage::{Settings as UsageSettings, Usage};

use crate::acme::{Challenges, Plan};
use crate::http::https::Https;
use crate::http::strangers::Strangers;
use crate::listener::{Expiry, ListenerRules, Tcp, Tls, now};
use crate::observe::{AccessLog, RouteMetrics};
use crate::snapshot::pages::Pages;
use crate::snapshot::route::Route;
use crate::upstream::{Pool, PoolStatus, Priorities};

/// One generation.
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) generation: u64,
    pub(crate) router: Router,
    /// By `RuleId` of the router.
    pub(crate) routes: Box<[Arc<Route>]>,
    /// By the number of the listener in the engine; `None` for listeners that this generation does not have.
    pub(crate) listeners: Box<[Option<Arc<CompiledListener>>]>,
    pub(crate) pools: Box<[Arc<Pool>]>,
    /// Which fields of requests are taken, since only this gateway or trusted proxies may say them.
    pub(crate) strangers: Strangers,
    /// Which tiers go first.
    pub(crate) priorities: Arc<Priorities>,
    pub(crate) access_log: AccessLog,
    /// Pages of the gateway's own errors.
    pub(crate) errors: Pages,
    /// For requests that no route takes.
    pub(crate) unrouted: RouteMetrics,
    /// Where requests are counted by who made them: the same for all generations.
    pub(crate) usage: Arc<Usage>,
    /// What is counted and kept; `None`: nothing.
    pub(crate) usage_settings: Option<UsageSettings>,
    /// The certificates to get and to renew.
    pub(crate) acme: Option<Arc<Plan>>,
    /// What is no error in the configuration, but worth a word.
    pub(crate) warnings: Diagnostics,
    /// Listeners that are not open, since no certificate of theirs can be shown. Only in the first generation: a later one
    /// with such a listener is refused.
    pub(crate) closed: Box<[Closed]>,
}

/// A listener that is not open.
#[derive(Debug)]
pub struct Closed {
    /// Its name.
    pub name: Arc<str>,
    /// Its number in the engine.
    pub(crate) number: usize,
    /// Why.
    pub why: Diagnostics,
}

impl Closed {
    pub(crate) fn tell(&self) {
        for why in &self.why {
            let why = why.headline();
            tracing::error!(listener = &*self.name, why, "The listener stays closed: its TLS cannot work.");
        }
    }
}

/// A certificate of a listener, for the status page.
#[derive(Debug, serde::Serialize)]
pub struct CertificateStatus {
    listener: Arc<str>,
    /// Its file, as the configuration names it.
    certificate: Arc<str>,
    /// `valid`, `ends_soon`, `expired` or `not_yet_valid`.
    state: &'static str,
    /// The last second in which it is valid, since 1970.
    expires: i64,
}

/// What a generation says of one listener.
#[derive(Debug)]
pub(crate) struct CompiledListener {
    pub(crate) name: Arc<str>,
    /// On what terms it takes connections.
    pub(crate) terms: Arc<ListenerRules>,
    /// How its clients are brought to HTTPS: asked between its chain and the router, and of every answer.
    pub(crate) https: Https,
    /// Answered before anything else, to authorities that look whether a name is ours. On a listener in clear only.
    pub(crate) challenges: Option<Challenges>,
    /// Runs before routing.
    pub(crate) chain: Arc<Chain>,
    /// Where its connections go as they are, if it is not for HTTP; nothing else but name and terms counts then.
    pub(crate) tcp: Option<Tcp>,
}

impl Snapshot {
    /// Its number, from 1.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// When each certificate of its listeners ends, with the listener's name.
    pub(crate) fn certificates(&self) -> impl Iterator<Item = (&Arc<str>, Expiry)> {
        self.listeners.iter().flatten().flat_map(|entrance| {
            let tls = entrance.terms.tls.iter();
            tls.flat_map(Tls::expiries).map(|expiry| (&entrance.name, expiry))
        })
    }

    /// The certificates of its listeners, as they are now.
    pub fn certificate_status(&self) -> Vec<CertificateStatus> {
        let now = now();
        let status = |(listener, expiry): (&Arc<str>, Expiry)| CertificateStatus {
            listener: listener.clone(),
            state: expiry.validity(now).word(),
            expires: expiry.at,
            certificate: expiry.certificate,
        };
        self.certificates().map(status).collect()
    }

    /// Listeners that are not open, since no certificate of theirs can be shown.
    pub fn closed(&self) -> &[Closed] {
        &self.closed
    }

    /// What is worth a word in the configuration.
    pub fn warnings(&self) -> &Diagnostics {
        &self.warnings
    }

    /// The state of its upstreams now.
    pub fn pools(&self) -> Vec<PoolStatus> {
        self.pools.iter().map(|pool| pool.status()).collect()
    }
}
