//! Everybody in a pool, whether they get requests or not: from what the file and its sources tell and operators order
//! to the backends of pingora-load-balancing, and which of them are enabled.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::Result;
use pingora_load_balancing::Backend;
use pingora_load_balancing::discovery::ServiceDiscovery;
use portreeve_balance::{Group, Ledger, Member, Target};
use tokio::runtime::Handle;

use super::connector::TargetConnector;
use super::discovery::{Discovered, Share, TargetSources};
use super::health::{HealthGroup, Watched};
use super::limits::Limits;
use super::near::Near;
use super::orders::{Order, Orders, Standing};
use super::selection::backend;
use super::transport::Transport;

/// What makes the targets of one pool.
pub(super) struct Roster {
    pub(super) upstream: Arc<str>,
    pub(super) sources: TargetSources,
    pub(super) group: Arc<HealthGroup>,
    pub(super) orders: Arc<Orders>,
    /// What is known of the targets' addresses, from one generation to the next.
    pub(super) ledger: Arc<Ledger>,
    /// The zone that the gateway is in, if that makes a difference.
    pub(super) zone: Option<Box<str>>,
    /// Which zones are near to whom, if that makes a difference.
    pub(super) near: Option<Near>,
    pub(super) limits: Arc<Limits>,
    pub(super) transport: Arc<Transport>,
    /// The entries of those who are in the pool, as long as its backends have them.
    pub(super) entries: Mutex<HashMap<SocketAddr, Weak<Entry>>>,
}

/// A target for as long as it is in the pool: what stands in the `ext` of its backend. Since backends are equal
/// whatever their `ext`, what can change of a target without its address and weight changes inside.
pub(super) struct Entry(ArcSwap<Listed>);

/// What holds of a target of the pool, whether it gets requests or not.
pub(super) struct Listed {
    /// What the file and its sources say of it.
    pub(super) share: Share,
    /// What an operator has ordered.
    pub(super) order: Option<Order>,
    /// `None` while it is disabled.
    pub(super) watched: Option<Arc<Watched>>,
    pub(super) member: Arc<Member<TargetConnector>>,
}

impl Entry {
    /// What holds now.
    pub(super) fn now(&self) -> Arc<Listed> {
        self.0.load_full()
    }
}

impl Listed {
    /// Its share in effect; 0 keeps requests from it.
    pub(super) fn weight(&self) -> u32 {
        weight(&self.share, self.order.as_ref())
    }

    /// What an operator lets it be.
    pub(super) fn standing(&self) -> Option<Standing> {
        self.order.as_ref().and_then(|order| order.state)
    }

    fn may_be_picked(&self) -> bool {
        self.weight() > 0 && self.standing().is_none()
    }
}

impl Roster {
    /// Checks whoever comes to the pool from now on.
    pub(super) fn start(&self, control: &Handle) {
        self.group.start(control, self.transport.clone());
    }

    /// Watches those whom the sources tell of and `known` does not: their checks begin.
    pub(super) fn watch_newcomers(&self, known: impl Fn(SocketAddr) -> bool) -> Vec<Arc<Watched>> {
        let shares = self.sources.shares();
        let new = shares.iter().filter(|(address, _)| !known(**address));
        new.map(|(address, share)| self.group.watch(&self.upstream, *address, share.name.clone())).collect()
    }

    /// Forgets what is ordered of those who have left a source, unless another one still tells of them.
    pub(super) fn forget_orders(&self, left: &[SocketAddr]) {
        let shares = self.sources.shares();
        let left: Vec<_> = left.iter().copied().filter(|address| !shares.contains_key(address)).collect();
        self.orders.forget(&self.upstream, &left);
    }

    /// Everybody as the sources and the orders have them now. Waits for nothing.
    fn call(&self) -> Discovered {
        let mut entries = self.entries.lock();
        let (mut all, mut enabled, mut outdated) = (BTreeSet::new(), HashMap::new(), Vec::new());
        for (address, share) in self.sources.shares() {
            let known = entries.get(&address).and_then(Weak::upgrade);
            let listed = Arc::new(self.list(address, share, known.as_ref().map(|known| known.now()).as_deref()));
            let (weight, may_be_picked) = (listed.weight(), listed.may_be_picked());
            let entry = if let Some(known) = known {
                outdated.push(known.0.swap(listed));
                known
            } else {
                let entry = Arc::new(Entry(ArcSwap::new(listed)));
                entries.insert(address, Arc::downgrade(&entry));
                entry
            };
            let target = backend(address, weight, entry);
            enabled.insert(enablement_key(&target), may_be_picked);
            all.insert(target);
        }
        entries.retain(|_, entry| entry.strong_count() > 0);
        drop(entries);
        // The probers of those who were disabled end here, not under the lock.
        drop(outdated);
        (all, enabled)
    }

    fn list(&self, address: SocketAddr, share: Share, known: Option<&Listed>) -> Listed {
        let order = self.orders.of(&self.upstream, address, &share.written);
        let is_disabled = order.as_ref().is_some_and(|order| order.state == Some(Standing::Disabled));
        let watched = (!is_disabled).then(|| self.group.watch(&self.upstream, address, share.name.clone()));
        let target = match (&watched, known) {
            (Some(watched), _) => watched.target.clone(),
            // Requests that are still there are counted where they were.
            (None, Some(known)) => known.member.target.clone(),
            (None, None) => Arc::new(Target::new(address)),
        };
        let (weight, group) = (weight(&share, order.as_ref()), self.group_of(&share));
        let is_same = |known: &&Listed| {
            let member = &known.member;
            let is_alike = member.weight == weight && member.group == group && known.share.name == share.name;
            is_alike && Arc::ptr_eq(&member.target, &target)
        };
        let member = if let Some(known) = known.filter(is_same) {
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
}

fn weight(share: &Share, order: Option<&Order>) -> u32 {
    order.and_then(|order| order.weight).map_or(share.weight, u32::from)
}

/// By what [`ServiceDiscovery`] says whether a backend is enabled.
fn enablement_key(target: &Backend) -> u64 {
    let mut hasher = DefaultHasher::new();
    target.hash(&mut hasher);
    hasher.finish()
}

/// The roster as the discovery of a pool's `Backends`. It answers at once, and never with an error: what its sources
/// could not tell they have told before. A target without weight, and one that an operator drains or disables, is not
/// enabled.
pub(super) struct RosterDiscovery(pub(super) Arc<Roster>);

#[async_trait]
impl ServiceDiscovery for RosterDiscovery {
    async fn discover(&self) -> Result<Discovered> {
        Ok(self.0.call())
    }
}
