//! How a pool's targets are selected: the algorithms of `crates/balance` as a [`BackendSelection`] of
//! pingora-load-balancing, and the one way to them.
//!
//! A target is a [`Backend`], and what the gateway knows of it (its health, what is in flight there, how it is
//! connected to) is a [`Member`] in the backend's `ext`. A [`Selection`] is made of the backends that may be picked,
//! whenever they change; a request goes through its [`Candidates`] until one has room.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use pingora_load_balancing::selection::{BackendIter, BackendSelection};
use pingora_load_balancing::{Backend, Extensions};
use portreeve_balance::hash::{mix, stable};
use portreeve_balance::{Algorithm, Ejection, InFlight, Ledger, Member, Order, Outcome, Picker, Policy, Search};

/// What a request asks of the target that is selected for it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wants {
    /// What is hashed where `balance` hashes, as [`hash_key`] makes it; any number where it does not.
    pub key: u64,
    /// Where the client was before, if the upstream is sticky.
    pub stay: Option<Stay>,
    /// In what order the zones are asked, if that depends on the client and it is known where that is.
    pub order: Option<Order>,
}

/// Where a client was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stay {
    /// Its place among the selection's backends when they were last published; it may be another's by now.
    pub place: usize,
    pub address: SocketAddr,
}

/// The hash of what a request is hashed by: the same on every machine and in every version.
pub fn hash_key(bytes: impl IntoIterator<Item = u8>) -> u64 {
    mix(stable(bytes))
}

/// A target as pingora-load-balancing has it, with its state in `ext`.
pub fn backend<S>(address: SocketAddr, weight: u32, state: Arc<S>) -> Backend
where
    S: Send + Sync + 'static,
{
    let mut ext = Extensions::new();
    ext.insert(state);
    Backend { addr: address.into(), weight: usize::try_from(weight).unwrap_or(usize::MAX), ext }
}

/// The state that [`backend`] has put into a target; `None` for a backend that was made otherwise.
pub fn state<S>(backend: &Backend) -> Option<&Arc<S>>
where
    S: Send + Sync + 'static,
{
    backend.ext.get()
}

/// What a selection is made by, beside its backends.
#[derive(Debug)]
pub struct Settings {
    /// The algorithm, and when groups, ejections and slow start come in.
    pub policy: Policy,
    /// What the pool has learnt of its targets; the members' seats are of it.
    pub ledger: Arc<Ledger>,
}

/// The targets of a pool that may be picked at one moment, each with what it was prepared with, `P`.
///
/// Making one may take milliseconds (it builds the table of a hashed pool) and is not for the request path.
#[derive(Debug)]
pub struct Selection<P> {
    picker: Picker<P>,
    /// By the places of the picker's members.
    backends: Box<[Backend]>,
}

impl<P: Send + Sync + 'static> BackendSelection for Selection<P> {
    type Iter = Candidates<'static, P>;
    type Config = Settings;

    /// A selection of those backends that have a [`Member`] in their `ext`; others have no state to be selected by.
    fn build_with_config(backends: &BTreeSet<Backend>, settings: &Settings) -> Self {
        let known = backends.iter().filter_map(|backend| Some((backend.clone(), state::<Member<P>>(backend)?.clone())));
        let (backends, members): (Vec<_>, Vec<_>) = known.unzip();
        let picker = Picker::new(&settings.ledger, members, settings.policy.clone());
        Self { picker, backends: backends.into() }
    }

    /// Round robin, with nothing learnt yet.
    fn build(backends: &BTreeSet<Backend>) -> Self {
        Self::build_with_config(backends, &Settings { policy: Algorithm::RoundRobin.into(), ledger: Ledger::new() })
    }

    /// The candidates for a key, in the order of preference. A key is hashed as `balance: { hash: … }` hashes a text.
    fn iter(self: &Arc<Self>, key: &[u8]) -> Candidates<'static, P> {
        Candidates { selection: self.clone(), search: Search::new(Instant::now(), hash_key(key.iter().copied())) }
    }
}

impl<P: Send + Sync + 'static> Selection<P> {
    /// Like [`BackendSelection::iter`], for a request that knows more than a key: which targets it has `tried` already,
    /// where its client was before, and in what order that client's zones are asked.
    pub fn candidates<'t>(
        self: &Arc<Self>,
        now: Instant,
        wants: &'t Wants,
        tried: &'t [SocketAddr],
    ) -> Candidates<'t, P> {
        let search = Search::new(now, wants.key).without(tried).near(wants.order.as_ref());
        let search = match wants.stay {
            Some(stay) => search.first_at(stay.place, stay.address),
            None => search,
        };
        Candidates { selection: self.clone(), search }
    }

    /// The addresses of its targets, by their places.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.picker.members().iter().map(|member| member.target.address)
    }

    /// Whether an available target is left that was not tried, be it full.
    pub fn has_another(&self, now: Instant, tried: &[SocketAddr]) -> bool {
        self.picker.has_another(now, tried)
    }

    /// How many targets share the requests now.
    pub fn serving(&self, now: Instant) -> usize {
        self.picker.serving(now)
    }

    /// How many targets share the requests of clients that each ask the zones in an order of their own.
    pub fn serving_somebody(&self, now: Instant) -> usize {
        self.picker.serving_somebody(now)
    }

    /// Takes note of what came of an attempt: once for each, and not for one that the client gave up. Returns the
    /// ejection that follows from it.
    pub fn report(&self, attempt: &InFlight, outcome: Outcome, now: Instant) -> Option<Ejection> {
        self.picker.report(attempt, outcome, now)
    }
}

/// The targets that a request may use, the best one first: each once, then it ends. It goes past those that are out
/// (unhealthy, ejected, unproven) and those that the request has tried; whether one has room is for the caller to see,
/// who asks for the next if it has none. Allocates nothing.
pub struct Candidates<'t, P> {
    selection: Arc<Selection<P>>,
    search: Search<'t>,
}

impl<P: Send + Sync + 'static> BackendIter for Candidates<'_, P> {
    fn next(&mut self) -> Option<&Backend> {
        let place = self.search.next_in(&self.selection.picker)?;
        self.selection.backends.get(place)
    }
}

impl<P> std::fmt::Debug for Candidates<'_, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Candidates").field(&self.search).finish()
    }
}
