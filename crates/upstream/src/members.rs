//! Who is in a pool now: its `Backends` of pingora-load-balancing, and the selection of those who may be picked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use futures::FutureExt;
use futures::future::join_all;
use parking_lot::Mutex;
use pingora_load_balancing::Backends;
use pingora_load_balancing::selection::BackendSelection;
use portreeve_balance::{InFlight, Ledger, Outcome};
use portreeve_config::Upstream as UpstreamConfig;
use tokio::runtime::Handle;

use super::TargetRegistry;
use super::connector::TargetConnector;
use super::discovery::{TargetSources, Written};
use super::health::Watched;
use super::limits::Limits;
use super::near::Near;
use super::orders::Operation;
use super::policy::policy;
use super::roster::{Entry, Listed, Roster, RosterDiscovery};
use super::selection::{Selection, Settings, backend, state};
use super::sticky::Sticky;
use super::transport::Transport;

/// The members of one pool, shared with the task that keeps them fresh.
pub(super) struct Members {
    /// Everybody, also those who get no requests: these are not enabled.
    backends: Backends,
    roster: Arc<Roster>,
    pub(super) selection: ArcSwap<Selection<TargetConnector>>,
    settings: Settings,
    /// Held by whoever publishes: updates of [`Backends`] must not overlap.
    publishing: Mutex<()>,
    pub(super) sticky: Option<Sticky>,
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
        let ledger = before.map_or_else(Ledger::new, |before| before.roster.ledger.clone());
        let settings = Settings { policy: policy(config), ledger: ledger.clone() };
        let roster = Arc::new(Roster {
            upstream,
            sources,
            group: registry.group(config, &transport),
            orders: registry.orders().clone(),
            ledger,
            zone: config.failover.zone.as_deref().map(Box::from),
            near,
            limits,
            transport,
            entries: Mutex::default(),
        });
        let backends = Backends::new(Box::new(RosterDiscovery(roster.clone())));
        Self {
            selection: ArcSwap::from_pointee(Selection::build_with_config(&backends.get_backend(), &settings)),
            backends,
            roster,
            settings,
            publishing: Mutex::default(),
            sticky: config.sticky.as_ref().map(|sticky| Sticky::new(sticky, registry.sticky_key())),
        }
    }

    /// Where its targets come from.
    pub(super) fn sources(&self) -> &TargetSources {
        &self.roster.sources
    }

    /// Which zones are near to whom, if that makes a difference.
    pub(super) fn near(&self) -> Option<&Near> {
        self.roster.near.as_ref()
    }

    /// How its targets are spoken to.
    pub(super) fn transport(&self) -> &Transport {
        &self.roster.transport
    }

    /// Whoever is known can be picked from now on, once a check has passed, and is checked.
    pub(super) fn begin(&self, control: &Handle) {
        self.roster.start(control);
        self.publish();
    }

    /// The sources tell of others than before, or otherwise of the same; `left` are no longer among those of a source.
    /// Newcomers are checked before those they come for go, so that a name that stands for other addresses from one
    /// moment to the next costs no request.
    ///
    /// Cancel safe: what was not put into effect is when the sources next tell of a change.
    pub(super) async fn update(&self, left: Vec<SocketAddr>) {
        let newcomers = {
            let known = self.all();
            self.roster.watch_newcomers(|address| known.binary_search_by_key(&address, |(known, _)| *known).is_ok())
        };
        self.first_checks(&newcomers).await;
        self.roster.forget_orders(&left);
        self.publish();
        // Only now: who is watched by nobody is forgotten, and what the check has told with it.
        drop(newcomers);
    }

    /// Waits until everybody has been checked once, whatever came of it, or for a bounded time.
    pub(super) async fn first_round(&self) {
        let all: Vec<_> = self.all().into_iter().filter_map(|(_, listed)| listed.watched.clone()).collect();
        self.first_checks(&all).await;
    }

    async fn first_checks(&self, watched: &[Arc<Watched>]) {
        let Some(most) = self.roster.group.first_round().filter(|_| !watched.is_empty()) else { return };
        let checks = join_all(watched.iter().map(|watched| watched.first_check()));
        if tokio::time::timeout(most, checks).await.is_err() {
            let upstream = &self.roster.upstream;
            tracing::warn!(%upstream, "Some targets are not checked yet; they get no requests until they are.");
        }
    }

    /// Takes in everybody whom the roster has, and makes the selection of those who may be picked: each time, since a
    /// target whose name, zone or priority alone has changed is no change to [`Backends`].
    pub(super) fn publish(&self) {
        let _turn = self.publishing.lock();
        // The roster answers at once and without an error. Without an answer everybody stays as they were.
        if !matches!(self.backends.update(|_| {}).now_or_never(), Some(Ok(()))) {
            return;
        }
        let all = self.backends.get_backend();
        let enabled = all.iter().filter(|target| self.backends.ready(target)).filter_map(state::<Entry>);
        let members = enabled.map(|entry| entry.now().member.clone());
        let selected = members.map(|member| backend(member.target.address, member.weight, member)).collect();
        let selection = Selection::build_with_config(&selected, &self.settings);
        if let Some(sticky) = &self.sticky {
            sticky.publish(&self.roster.upstream, selection.addresses());
        }
        self.selection.store(Arc::new(selection));
    }

    /// Takes orders of an operator into account that came while another pool was in effect.
    pub(super) fn apply_admin_overrides(&self) {
        let is_ordered = self.all().iter().any(|(_, listed)| listed.order.is_some());
        if is_ordered || self.roster.orders.has(&self.roster.upstream) {
            self.publish();
        }
    }

    /// Puts an operator's order into effect for a target that comes from these entries of the file.
    pub(super) fn order(&self, address: SocketAddr, operation: Operation, by: &str, at: u64, written: &[Written]) {
        self.roster.orders.give(&self.roster.upstream, address, operation, by, at, written);
        self.publish();
    }

    /// Takes note of what came of an attempt.
    pub(super) fn report(&self, attempt: &InFlight, outcome: Outcome) {
        if let Some(ejection) = self.selection.load().report(attempt, outcome, Instant::now()) {
            let (target, upstream) = (attempt.target().address, &self.roster.upstream);
            let seconds = ejection.lasts.as_secs_f64();
            tracing::warn!(%upstream, %target, cause = %ejection.cause, seconds, "The target is ejected.");
        }
    }

    /// Everybody, in the order of their addresses.
    pub(super) fn all(&self) -> Vec<(SocketAddr, Arc<Listed>)> {
        let all = self.backends.get_backend();
        let listed = all.iter().filter_map(|target| Some((*target.addr.as_inet()?, state::<Entry>(target)?.now())));
        listed.collect()
    }
}
