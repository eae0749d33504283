//! Picking a member: every algorithm honours weights, groups, availability and slow start, skips what was tried
//! already, and allocates nothing. A [`Search`] is the one way in.

mod ask;
mod report;
mod search;
mod view;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::hash::{mix, stable};
use crate::table::Slots;
use crate::time::nanos;
use crate::{Algorithm, Group, Ledger, Member, Policy};

use ask::Ask;
pub use report::{Cause, Ejection, Outcome};
pub use search::Search;
use view::View;

/// The targets that a request has tried. Addresses, since places change when a name stands for something else.
pub type Tried = SmallVec<[SocketAddr; 4]>;

/// The members of a pool at one moment, ready to be picked from by a [`Search`].
///
/// What depends on who is a member is made in [`Picker::new`], which may take milliseconds and is not for the request
/// path. What depends on who is available is made by the first pick after a change, in microseconds; everybody else
/// goes on with what there is and looks twice.
#[derive(Debug)]
pub struct Picker<P> {
    members: Box<[Arc<Member<P>>]>,
    /// The hash of each member's address.
    identities: Box<[u64]>,
    /// In their order of preference.
    groups: Box<[Plan]>,
    policy: Policy,
    ledger: Arc<Ledger>,
    view: ArcSwap<View>,
    /// Held by whoever makes the next view.
    viewing: Mutex<()>,
}

/// What is known of a group whoever is available.
#[derive(Debug)]
struct Plan {
    group: Group,
    places: Box<[u16]>,
    /// For round robin: whose turn it is, from one view to the next.
    turn: AtomicUsize,
    /// For hashing.
    slots: Option<Slots>,
}

impl<P> Picker<P> {
    /// A picker over these members, whose seats are of this ledger. Of more than 65,535 the first are taken.
    #[must_use]
    pub fn new(ledger: &Arc<Ledger>, mut members: Vec<Arc<Member<P>>>, policy: Policy) -> Self {
        members.truncate(usize::from(u16::MAX));
        let identities: Box<[u64]> = members.iter().map(|member| hashed(member.target.address)).collect();
        let mut order: Vec<u16> = (0..).zip(&members).map(|(place, _)| place).collect();
        let group = |place: u16| members.get(usize::from(place)).map(|member| member.group).unwrap_or_default();
        order.sort_by_key(|place| group(*place));
        let plan = |places: &[u16]| {
            let hashes = policy.algorithm == Algorithm::Hash;
            let claim = |place: &u16| {
                let index = usize::from(*place);
                Some((*place, *identities.get(index)?, members.get(index)?.share()))
            };
            let claims = || places.iter().filter_map(claim).collect::<Vec<_>>();
            // A fleet that starts in step must not send its first requests all to the same target.
            let turn = AtomicUsize::new(fastrand::usize(..places.len().max(1)));
            let group = places.first().map(|place| group(*place)).unwrap_or_default();
            Plan { group, places: places.into(), turn, slots: hashes.then(|| Slots::new(&claims())) }
        };
        let groups = order.chunk_by(|a, b| group(*a) == group(*b)).map(plan).collect();
        for member in &members {
            member.target.watch(&ledger.changes);
        }
        Self {
            members: members.into(),
            identities,
            groups,
            policy,
            ledger: ledger.clone(),
            view: ArcSwap::from_pointee(View::default()),
            viewing: Mutex::default(),
        }
    }

    /// Its members, in the order they were given.
    #[must_use]
    pub fn members(&self) -> &[Arc<Member<P>>] {
        &self.members
    }

    /// Whether an available member is left that was not tried.
    #[must_use]
    pub fn has_another(&self, now: Instant, tried: &[SocketAddr]) -> bool {
        let search = Search::new(now, 0).without(tried);
        let view = self.view(search.nanos);
        let ask = Ask { picker: self, view: &view, search: &search };
        (0..self.members.len()).any(|place| ask.is_usable(place))
    }

    /// How many members share the requests now: those that can be picked, of the groups that have a part.
    #[must_use]
    pub fn serving(&self, now: Instant) -> usize {
        self.view(nanos(now)).serving
    }

    /// How many members share the requests of clients that each ask the zones in an order of their own.
    #[must_use]
    pub fn serving_somebody(&self, now: Instant) -> usize {
        self.view(nanos(now)).serving_somebody
    }

    /// What holds of availability now, made anew if something has changed and nobody else is at it.
    fn view(&self, nanos: u64) -> Guard<Arc<View>> {
        let view = self.view.load();
        if view.holds(&self.ledger.changes, nanos) {
            return view;
        }
        let Some(_turn) = self.viewing.try_lock() else {
            if view.is_made() {
                return view;
            }
            // There is none to go on with yet: whoever is at it needs microseconds.
            drop(self.viewing.lock());
            return self.view.load();
        };
        if !self.view.load().holds(&self.ledger.changes, nanos) {
            self.view.store(Arc::new(View::new(self, nanos)));
        }
        self.view.load()
    }
}

/// The hash of an address: of its bytes, which no other version of anything writes otherwise.
fn hashed(address: SocketAddr) -> u64 {
    let port = address.port().to_be_bytes();
    mix(match address.ip() {
        IpAddr::V4(ip) => stable(ip.octets().into_iter().chain(port)),
        IpAddr::V6(ip) => stable(ip.octets().into_iter().chain(port)),
    })
}

#[cfg(test)]
mod tests;
