//! Limits that several nodes share: one script for each decision inside Redis, or slices of a limit drawn from there, and
//! what is promised while it cannot be asked.
//!
//! What Redis admits is counted on the node as well, and what this node's own count refuses is not asked for: so no node
//! by itself ever admits more than the limit, whatever becomes of Redis and its memory.

mod config;
mod lease;
mod link;
mod script;
mod source;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use portreeve_plugin::prelude::*;
use portreeve_plugin::{NoAccount, Subject, Task};

pub(crate) use self::config::{OnStoreError, Store};
use self::lease::Held;
pub(crate) use self::lease::Leases;
use self::link::{Failure, Link};
use self::script::{Answer, Ask, Words};
use self::source::Source;
use crate::account::{Decision, Standings};
use crate::meter::Moment;
use crate::policy::Policy;
use crate::table::Table;

/// The store as one step uses it.
#[derive(Debug)]
pub(crate) struct Shared {
    name: String,
    prefix: String,
    link: Arc<Link>,
    on_error: OnStoreError,
    leases: Option<Arc<Leases>>,
    failures: Counter,
    fallbacks: Counter,
    _tend: Task,
    _draw: Option<Task>,
}

/// One request, as it is counted here and there.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) policy: Arc<Policy>,
    /// Its key in the table of this node.
    pub(crate) key: u128,
    /// Its key in the store.
    pub(crate) tag: u128,
    pub(crate) cost: u64,
    pub(crate) now: Moment,
    pub(crate) max_keys: usize,
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    Decided(Decision),
    /// The table of this node is full.
    Full,
    /// The store cannot be asked, and the file says to let pass.
    Open,
    /// The store cannot be asked, and the file says to refuse.
    Closed,
}

impl Shared {
    pub(crate) fn new(
        store: &Store,
        on_error: OnStoreError,
        lease: Option<units::Percent>,
        name: &str,
        host: &Host,
    ) -> Result<Self, BuildError> {
        let redis = &store.redis;
        let (source, secrets) = Source::new(redis, host)?;
        // Connections survive a reload that does not change them.
        let which = format!("link {redis:?} {secrets:x}");
        let link = host.shared(&which, || Link::new(source, redis.connections, redis.timeout.get()));
        link.tell(host.step(), host.gauge("store_up", "Whether the store that nodes share is there.")?);
        let prefix = redis.prefix.clone();
        let (leases, draw) = match lease {
            None => (None, None),
            Some(share) => {
                let (leases, draws) = Leases::new(share, link.clone(), prefix.clone(), host.clock());
                let leases = Arc::new(leases);
                (Some(leases.clone()), Some(host.spawn(leases.draw_all(draws))))
            }
        };
        Ok(Self {
            name: name.to_owned(),
            prefix,
            _tend: host.spawn(link.clone().tend(host.clock())),
            _draw: draw,
            link,
            on_error,
            leases,
            failures: host.counter("store_failures_total", "Calls to the store that failed or came too late.")?,
            fallbacks: host.counter("store_fallbacks_total", "Decisions taken without the store that nodes share.")?,
        })
    }

    /// The key of a request in the store.
    pub(crate) fn tag<'k>(&self, key: &'k Key, cx: &RequestCx<'_>) -> Result<u128, portreeve_plugin::NoKey<'k>> {
        script::tag(&self.name, key, cx)
    }

    /// The key of a subject in the store.
    pub(crate) fn tag_of_subject(&self, key: &Key, subject: &Subject) -> Result<u128, NoAccount> {
        script::tag_of_subject(&self.name, key, subject)
    }

    /// What this is called: slices are drawn from the store, or every decision is made there.
    pub(crate) fn word(&self) -> &'static str {
        if self.leases.is_some() { "lease" } else { "redis" }
    }

    /// How a key stands over all nodes, with what this node holds of it.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn look(&self, request: &Request, clock: &Clock) -> Result<Standings> {
        let answer = self.call(request, Ask::Decide(0), clock).await.map_err(|failure| self.unanswered(&failure))?;
        let held = self.leases.as_ref().map_or(0, |leases| leases.held(request.tag));
        let mut standings = answer.decision.standings;
        standings.iter_mut().for_each(|standing| standing.remaining = standing.remaining.saturating_add(held));
        Ok(standings)
    }

    /// Forgets what a key has used over all nodes, and what this node holds of it. What other nodes have counted by
    /// themselves they go on counting.
    ///
    /// # Errors
    /// When the store does not answer; nothing has changed then, or all of it.
    pub(crate) async fn forget(&self, request: &Request, clock: &Clock) -> Result<()> {
        let keys = Words::new(&self.prefix, request.tag, &request.policy.limits, Ask::Decide(0), request.now.wall).keys;
        self.link.forget(&keys, clock).await.map_err(|failure| self.unanswered(&failure))?;
        if let Some(leases) = &self.leases {
            leases.forget(request.tag);
        }
        Ok(())
    }

    fn unanswered(&self, failure: &Failure) -> Error {
        self.failed(failure);
        Error::new(format!("the store cannot be asked: {failure}"))
    }

    /// Decides with all nodes together, or as the file says for when that cannot be.
    pub(crate) async fn decide(&self, request: &Request, table: &Table, clock: &Clock) -> Outcome {
        let Request { policy, key, cost, now, max_keys, .. } = request;
        let Some(own) = table.look(&policy.limits, *key, *cost, *now, *max_keys) else { return Outcome::Full };
        if own.verdict.is_err() {
            return Outcome::Decided(own);
        }
        match self.ask(request, clock).await {
            Ok(decision) => {
                if decision.verdict.is_err() {
                    return Outcome::Decided(decision);
                }
                // As of when the request came, which is before Redis counted it: it is free again no later here. Others of
                // the key may have come between the look and this, and Redis have forgotten them.
                let moments = (*now, table.moment(&policy.limits, clock));
                let own = table.settle(&policy.limits, *key, *cost, moments, *max_keys);
                Outcome::Decided(own.filter(|own| own.verdict.is_err()).unwrap_or(decision))
            }
            Err(failure) => {
                self.failed(&failure);
                self.fallbacks.inc();
                match self.on_error {
                    OnStoreError::Local => {
                        let decision = table.decide(&policy.limits, *key, *cost, *now, *max_keys);
                        decision.map_or(Outcome::Full, Outcome::Decided)
                    }
                    OnStoreError::Open => Outcome::Open,
                    OnStoreError::Closed => Outcome::Closed,
                }
            }
        }
    }

    /// Charges a request once more, whether there is room or not; how its key stands afterwards, as far as is known.
    pub(crate) async fn take(&self, request: &Request, table: &Table, clock: &Clock) -> Option<Standings> {
        let Request { policy, key, cost, now, max_keys, .. } = request;
        let own = table.take(&policy.limits, *key, *cost, *now, *max_keys);
        match self.call(request, Ask::Take(*cost), clock).await {
            Ok(answer) => Some(answer.decision.standings),
            Err(failure) => {
                self.failed(&failure);
                own
            }
        }
    }

    async fn ask(&self, request: &Request, clock: &Clock) -> Result<Decision, Failure> {
        let Some(leases) = &self.leases else {
            return self.call(request, Ask::Decide(request.cost), clock).await.map(|answer| answer.decision);
        };
        match leases.take(request) {
            Held::Admitted(decision) => Ok(decision),
            Held::Ask => self.call(request, Ask::Decide(request.cost), clock).await.map(|answer| answer.decision),
            Held::Draw(wish) => {
                let drawing = leases.drawing(request);
                let answer = self.call(request, Ask::Draw(request.cost, wish), clock).await?;
                Ok(drawing.done(request, answer))
            }
        }
    }

    async fn call(&self, request: &Request, ask: Ask, clock: &Clock) -> Result<Answer, Failure> {
        call(&self.link, &self.prefix, request, ask, clock).await
    }

    fn failed(&self, failure: &Failure) {
        // What is not even tried is no failure of a call.
        if !matches!(failure, Failure::Down) {
            self.failures.inc();
            tracing::debug!(error = %failure, "The store of limits failed.");
        }
    }
}

async fn call(link: &Link, prefix: &str, request: &Request, ask: Ask, clock: &Clock) -> Result<Answer, Failure> {
    let limits = &request.policy.limits;
    let call = Words::new(prefix, request.tag, limits, ask, request.now.wall).call(link.script());
    let value = link.ask(&call, clock).await?;
    script::read(&value, limits.len()).ok_or_else(|| {
        Failure::Failed((redis::ErrorKind::UnexpectedReturnType, "an answer that the script does not give").into())
    })
}
