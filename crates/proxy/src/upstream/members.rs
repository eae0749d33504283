//! Who is in a pool now: from what its sources tell and operators order to a picker over prepared peers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use futures::future::join_all;
use parking_lot::Mutex;
use portreeve_balance::{Group, InFlight, Ledger, Member, Outcome, Picker, Policy, Target};
use portreeve_config::Upstream as UpstreamConfig;
use tokio::runtime::Handle;

use super::TargetRegistry;
use super::discovery::{Share, TargetSources, Written};
use super::health::{HealthGroup, Watched};
use super::limits::Limits;
use super::near::Near;
use super::orders::{Operation, Order, Orders, Standing};
use super::policy::policy;
use super::prepared::Prepared;
use super::sticky::Sticky;
use super::transport::Transport;

/// The members of one pool, shared with the task that keeps them fresh.
pub(super) struct Members {
    upstream: Arc<str>,
    pub(super) sources: TargetSources,
    pub(super) picker: ArcSwap<Picker<Prepared>>,
    /// Everybody, also those who get no requests; by address. Its lock is the turn of whoever changes the picker.
    listed: Mutex<BTreeMap<SocketAddr, Listed>>,
    group: Arc<HealthGroup>,
    orders: Arc<Orders>,
    /// What is known of the members' addresses, from one generation to the next.
    ledger: Arc<Ledger>,
    policy: Policy,
    /// The zone that the gateway is in, if that makes a difference.
    zone: Option<Box<str>>,
    /// Which zones are near to whom, if that makes a difference.
    pub(super) near: Option<Near>,
    limits: Arc<Limits>,
    pub(super) sticky: Option<Sticky>,
    pub(super) transport: Arc<Transport>,
}

/// A target of the pool, whether it gets requests or not.
#[derive(Clone)]
pub(super) struct Listed {
    /// What the file and its sources say of it.
    pub(super) share: Share,
    /// What an operator has ordered.
    pub(super) order: Option<Order>,
    /// `None` while it is disabled.
    pub(super) watched: Option<Arc<Watched>>,
    pub(super) member: Arc<Member<Prepared>>,
}

impl Listed {
    /// Its share in effect; 0 keeps requests from it.
    pub(super) fn weight(&self) -> u32 {
        self.order.as_ref().and_then(|order| order.weight).map_or(self.share.weight, u32::from)
    }

    /// What an operator lets it be.
    pub(super) fn standing(&self) -> Option<Standing> {
        self.order.as_ref().and_then(|order| order.state)
    }

    fn may_be_picked(&self) -> bool {
        self.weight() > 0 && self.standing().is_none()
    }
}

impl Members {
    /// Nobody yet.
    pub(super) fn new(
        upstream: Arc<str>,
        config: &UpstreamConfig,
        transport: Arc<Transport>,
        registry: &TargetRegistry,
        (sources, near, limits): (TargetSources, Option<Near>, Arc<Limits>),
        before: Option<&Self>,
    ) -> Self {
        let ledger = before.map_or_else(Ledger::new, |before| before.ledger.clone());
        let policy = policy(config);
        Self {
            upstream,
            sources,
            picker: ArcSwap::from_pointee(Picker::new(&ledger, Vec::new(), policy.clone())),
            listed: Mutex::default(),
            group: registry.group(config, &transport),
            orders: registry.orders().clone(),
            ledger,
            policy,
            near,
            limits,
            zone: config.failover.zone.as_deref().map(Box::from),
            sticky: config.sticky.as_ref().map(|sticky| Sticky::new(sticky, registry.sticky_key())),
            transport,
        }
    }

    /// Whoever is known can be picked from now on, once a check has passed, and is checked.
    pub(super) fn begin(&self, control: &Handle) {
        self.group.start(control, self.transport.clone());
        self.publish();
    }

    /// The sources tell of others than before; `left` are no longer among them. Newcomers are checked before those they come
    /// for go, so that a name that stands for other addresses from one moment to the next costs no request.
    ///
    /// Cancel safe: what was not put into effect is when the sources next tell of a change.
    pub(super) async fn update(&self, left: Vec<SocketAddr>) {
        let shares = self.sources.shares();
        let newcomers: Vec<_> = {
            let listed = self.listed.lock();
            let new = shares.iter().filter(|(address, _)| !listed.contains_key(address));
            new.map(|(address, share)| self.group.watch(&self.upstream, *address, share.name.clone())).collect()
        };
        self.first_checks(&newcomers).await;
        let left: Vec<_> = left.into_iter().filter(|address| !shares.contains_key(address)).collect();
        self.orders.forget(&self.upstream, &left);
        self.publish();
        // Only now: who is watched by nobody is forgotten, and what the check has told with it.
        drop(newcomers);
    }

    /// Waits until everybody has been checked once, whatever came of it, or for a bounded time.
    pub(super) async fn first_round(&self) {
        let all: Vec<_> = self.listed.lock().values().filter_map(|listed| listed.watched.clone()).collect();
        self.first_checks(&all).await;
    }

    async fn first_checks(&self, watched: &[Arc<Watched>]) {
        let Some(most) = self.group.first_round().filter(|_| !watched.is_empty()) else { return };
        let checks = join_all(watched.iter().map(|watched| watched.first_check()));
        if tokio::time::timeout(most, checks).await.is_err() {
            tracing::warn!(upstream = %self.upstream, "Some targets are not checked yet; they get no requests until they are.");
        }
    }

    /// Lists everybody whom the sources tell of, as they and the orders are now, and puts into the picker who may be picked.
    pub(super) fn publish(&self) {
        let mut listed = self.listed.lock();
        let mut before = std::mem::take(&mut *listed);
        for (address, share) in self.sources.shares() {
            let known = before.remove(&address);
            listed.insert(address, self.list(address, share, known));
        }
        let picked = listed.values().filter(|listed| listed.may_be_picked());
        let members = picked.map(|listed| listed.member.clone()).collect();
        let picker = Picker::new(&self.ledger, members, self.policy.clone());
        if let Some(sticky) = &self.sticky {
            sticky.publish(&self.upstream, picker.members().iter().map(|member| member.target.address));
        }
        self.picker.store(Arc::new(picker));
        drop(listed);
        // Their probers end here, not under the lock.
        drop(before);
    }

    fn list(&self, address: SocketAddr, share: Share, known: Option<Listed>) -> Listed {
        let order = self.orders.of(&self.upstream, address, &share.written);
        let is_disabled = order.as_ref().is_some_and(|order| order.state == Some(Standing::Disabled));
        let watched = (!is_disabled).then(|| self.group.watch(&self.upstream, address, share.name.clone()));
        let target = match (&watched, &known) {
            (Some(watched), _) => watched.target.clone(),
            // Requests that are still there are counted where they were.
            (None, Some(known)) => known.member.target.clone(),
            (None, None) => Arc::new(Target::new(address)),
        };
        let weight = order.as_ref().and_then(|order| order.weight).map_or(share.weight, u32::from);
        let group = self.group_of(&share);
        let is_same = |known: &&Listed| {
            let member = &known.member;
            let is_alike = member.weight == weight && member.group == group && known.share.name == share.name;
            is_alike && Arc::ptr_eq(&member.target, &target)
        };
        let member = if let Some(known) = known.as_ref().filter(is_same) {
            known.member.clone()
        } else {
            let prepared = self.transport.prepare(address, share.name.as_deref(), self.limits.bound(address));
            Arc::new(Member { target, seat: self.ledger.seat(address), weight, group, prepared })
        };
        Listed { share, order, watched, member }
    }

    /// Where a target stands, seen from the gateway's zone.
    fn group_of(&self, share: &Share) -> Group {
        let away = || self.zone.as_deref().is_some_and(|zone| share.zone.as_deref() != Some(zone));
        let zone = self.near.as_ref().map_or_else(|| u8::from(away()), |near| near.zone(share.zone.as_deref()));
        Group { priority: share.priority, zone }
    }

    /// Takes orders into account that came while another pool was in effect.
    pub(super) fn heed_orders(&self) {
        let is_ordered = self.listed.lock().values().any(|listed| listed.order.is_some());
        if is_ordered || self.orders.has(&self.upstream) {
            self.publish();
        }
    }

    /// Puts an operator's order into effect for a target that comes from these entries of the file.
    pub(super) fn order(&self, address: SocketAddr, operation: Operation, by: &str, at: u64, written: &[Written]) {
        self.orders.give(&self.upstream, address, operation, by, at, written);
        self.publish();
    }

    /// Takes note of what came of an attempt.
    pub(super) fn report(&self, attempt: &InFlight, outcome: Outcome) {
        if let Some(ejection) = self.picker.load().report(attempt, outcome, Instant::now()) {
            let (target, upstream) = (attempt.target().address, &self.upstream);
            let seconds = ejection.lasts.as_secs_f64();
            tracing::warn!(%upstream, %target, cause = %ejection.cause, seconds, "The target is ejected.");
        }
    }

    /// Everybody, in the order of their addresses.
    pub(super) fn all(&self) -> Vec<(SocketAddr, Listed)> {
        self.listed.lock().iter().map(|(address, listed)| (*address, listed.clone())).collect()
    }
}
