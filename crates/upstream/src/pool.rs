//! One upstream: its members now, the policy for attempts, and the task that keeps the membership fresh.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use portreeve_balance::{InFlight, Tried};
use portreeve_config::{Balance, Resolver as ResolverSettings, Upstream as UpstreamConfig};
use portreeve_plugin::Template;
use portreeve_plugin::engine::View;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::breaker::{Breaker, CircuitStatus};
use super::discovery::{Followed, TargetSources, follow};
use super::gate::Slot;
use super::hedge::{Hedge, Hedges};
use super::limits::{AttemptOutcome, LimitStatus, Limits, Picked, Priorities};
use super::members::Members;
use super::near::Near;
use super::retry::{Failed, NoRetry, Override, Retries, RetryPolicy};
use super::selection::{Stay, Wants, hash_key};
use super::transport::Transport;
use super::{TargetRegistry, Wrong, health};
use crate::fault::Fault;
use crate::metrics::UpstreamMetrics;

/// Longest wait for the first answers of discoveries when a pool begins. What comes later is taken when it comes.
const FIRST_RESOLVE: Duration = Duration::from_secs(3);

/// One upstream, for as many generations as leave its configuration as it is.
pub struct Pool {
    pub name: Arc<str>,
    config: UpstreamConfig,
    /// What is hashed, if `balance: { hash: … }`.
    key: Option<Template>,
    /// What its targets are called, if the file says so.
    host: Option<HeaderValue>,
    pub metrics: UpstreamMetrics,
    retries: Retries,
    limits: Arc<Limits>,
    hedges: Option<Arc<Hedges>>,
    pub(super) members: Arc<Members>,
    /// Set when the pool starts: what ends with it, if its targets must be asked for again and again.
    refresher: OnceLock<Option<AbortHandle>>,
}

/// What a pool is made of.
pub struct Parts<'p> {
    pub name: Arc<str>,
    pub config: &'p UpstreamConfig,
    pub transport: Arc<Transport>,
    /// What is hashed, if `balance: { hash: … }`.
    pub key: Option<Template>,
    pub metrics: UpstreamMetrics,
    pub sources: TargetSources,
    /// Which zones are near to whom, if the file says so.
    pub near: Option<Near>,
}

impl fmt::Debug for Parts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

impl Pool {
    /// What is wrong with a configuration beyond what the loader could see.
    pub fn faults(config: &UpstreamConfig) -> Vec<Wrong> {
        config.health.as_ref().map(health::wrong).unwrap_or_default()
    }

    /// A pool at rest: nobody is found or checked before it starts. `before` is the pool of this name in the generation
    /// before: what it has learnt of its targets, and who is in flight there, goes on.
    pub fn new(parts: Parts<'_>, registry: &TargetRegistry, before: Option<&Self>) -> Self {
        let Parts { name, config, transport, key, metrics, sources, near } = parts;
        let of_before = before.map(|before| &*before.members);
        let is_near = config.failover.near.is_some();
        let limits_before = before.map(|before| &*before.limits);
        let breaker = config
            .circuit_breaker
            .as_ref()
            .map(|breaker| Breaker::new(breaker, name.clone(), &metrics, limits_before.and_then(Limits::breaker)));
        let limits = Arc::new(Limits::new(config.limits.as_ref(), breaker, is_near, limits_before));
        let members =
            Members::new(name.clone(), config, transport, registry, (sources, near, limits.clone()), of_before);
        let members = Arc::new(members);
        let hedges = config.hedge.as_ref().map(|hedge| Arc::new(Hedges::new(hedge, &members, &limits, &metrics)));
        Self {
            name,
            config: config.clone(),
            key,
            // Visible ASCII, so that there is no error.
            host: config.host.as_ref().and_then(|host| HeaderValue::from_str(host.as_str()).ok()),
            metrics,
            retries: Retries::new(&config.retry),
            limits,
            hedges,
            members,
            refresher: OnceLock::new(),
        }
    }

    /// Where its targets come from: what they told last serves until they tell something else, in another pool as well.
    pub fn sources(&self) -> &TargetSources {
        self.members.sources()
    }

    /// Whether this is the pool that `config` asks for, its files are as they were, and names are asked of the same.
    pub fn is_of(
        &self,
        config: &UpstreamConfig,
        transport: &Transport,
        near: Option<&Near>,
        resolver: &ResolverSettings,
    ) -> bool {
        let sources = self.members.sources();
        self.config == *config
            && self.members.near() == near
            && self.members.transport().is_like(transport)
            && (!sources.are_asked() || sources.resolver().is_of(resolver))
    }

    /// Takes orders into account that came while it was made.
    pub fn apply_admin_overrides(&self) {
        self.members.apply_admin_overrides();
    }

    /// What its targets are called in `Host`, if the file says so.
    pub fn host(&self) -> Option<&HeaderValue> {
        self.host.as_ref()
    }

    /// How its targets are spoken to.
    pub fn transport(&self) -> &Transport {
        self.members.transport()
    }

    /// Begins to check the members, and to find them where they are to be found. Waits, for a bounded time each, for
    /// the first answers and for the first checks: whoever is put to work next has targets that are known to be well,
    /// if there are any. A target that is found or well only later joins then. A pool that has started already goes on
    /// as it is.
    pub async fn start(&self, control: &Handle) {
        let first = Arc::new(Notify::new());
        let mut is_first = false;
        self.refresher.get_or_init(|| {
            is_first = true;
            self.members.begin(control);
            let (members, name, first) = (self.members.clone(), self.name.clone(), first.clone());
            let counts = self.metrics.discoveries.clone();
            let following = async move {
                let sources = members.sources();
                let followed = Followed { upstream: &name, sources, counts: &counts, first: &first };
                follow(followed, |left| Box::pin(members.update(left))).await;
            };
            self.members.sources().are_asked().then(|| control.spawn(following).abort_handle())
        });
        if !is_first {
            return;
        }
        if !self.members.sources().are_known() {
            let answered = tokio::time::timeout(FIRST_RESOLVE, first.notified());
            if answered.await.is_err() {
                tracing::warn!(upstream = %self.name, "The resolver is slow; the upstream starts without some targets.");
            }
        }
        self.members.first_round().await;
    }

    /// Learns which tiers go first where it is full.
    pub fn rank(&self, priorities: &Arc<Priorities>) {
        self.limits.rank(priorities);
    }

    /// Lets a request of this tier in, or waits for its turn, at most until `until`. `None`: nothing is limited.
    ///
    /// # Errors
    /// When it has no turn. Cancel safe.
    pub async fn admit(&self, tier: Option<&str>, until: Instant) -> Result<Option<Slot>, Fault> {
        let selection = self.members.selection.load_full();
        self.limits.admit(&selection, tier, until).await
    }

    /// Picks an available target with room that this request has not tried, and counts the request there for as long as
    /// the guard lives.
    ///
    /// # Errors
    /// Why nobody was picked.
    pub fn pick(&self, key: u64, tried: &[SocketAddr]) -> Result<Picked, Fault> {
        self.pick_for(&Wants { key, ..Wants::default() }, tried)
    }

    /// Like [`Pool::pick`], but goes back to where the client was before, if that can be picked, and else asks the
    /// zones in the client's own order.
    ///
    /// # Errors
    /// Why nobody was picked.
    pub fn pick_for(&self, wants: &Wants, tried: &[SocketAddr]) -> Result<Picked, Fault> {
        let (now, selection) = (Instant::now(), self.members.selection.load());
        let pass = self.limits.pass(now)?;
        self.limits
            .pick(&selection, now, wants, tried)
            .map(|(member, in_flight)| (member, in_flight.by(pass)))
            .ok_or_else(|| if selection.has_another(now, tried) { Fault::TargetsFull } else { Fault::NoTarget })
    }

    /// How long nobody is asked, where its circuit breaker has it so; zero where that is not known.
    pub fn refuses(&self) -> Option<Duration> {
        self.limits.breaker()?.refuses(Instant::now())
    }

    /// How its circuit breaker stands, if it has one.
    pub(super) fn circuit(&self, now: Instant) -> Option<CircuitStatus> {
        self.limits.breaker().map(|breaker| breaker.status(now))
    }

    /// The longest that one attempt may wait for the head of an answer, if the file says so.
    pub fn per_try(&self) -> Option<Duration> {
        self.config.timeouts.per_try.map(portreeve_config::units::Duration::get)
    }

    /// Whether requests may have to wait for their turn.
    pub fn is_limited(&self) -> bool {
        self.config.limits.is_some()
    }

    /// Whether it ejects targets at which attempts fail.
    pub(super) fn ejects(&self) -> bool {
        self.config.outlier.is_some()
    }

    /// How full it is; `None` where nothing is limited.
    pub(super) fn limits(&self) -> Option<LimitStatus> {
        self.limits.status(&self.members.selection.load())
    }

    /// Takes note of what came of an attempt: once for each, and not of one that the client gave up.
    pub fn report(&self, attempt: &InFlight, told: AttemptOutcome) {
        self.limits.learn(attempt, told, Instant::now());
        self.members.report(attempt, told.outcome());
    }

    /// What an attempt may do that is not answered for a while, if the file says so. `tried` holds its own target, too.
    pub fn hedge(&self, wants: &Wants, tried: Tried, begun: Instant) -> Option<Hedge> {
        self.hedges.as_ref().map(|hedges| Hedge::new(hedges, wants, tried, begun))
    }

    /// What this request asks of whoever is picked for it.
    pub fn wants(&self, view: &View<'_>) -> Wants {
        let stay = self.members.sticky.as_ref().and_then(|sticky| sticky.stay(view));
        let near = self.members.near();
        let order = near.and_then(|near| near.order(view.exchange.client_ip(), Some(&view.request.headers)));
        Wants { key: self.key_of(view), stay, order }
    }

    /// What a connection that is no request asks.
    pub fn client_wants(&self, client: IpAddr) -> Wants {
        let order = self.members.near().and_then(|near| near.order(client, None));
        Wants { key: self.client_key(client), stay: None, order }
    }

    /// The header by which trusted proxies tell where a client is, if this pool asks for one.
    pub fn place_header(&self) -> Option<&HeaderName> {
        self.members.near()?.header()
    }

    /// Whether clients come back to their targets by a cookie.
    pub fn is_sticky(&self) -> bool {
        self.members.sticky.is_some()
    }

    /// Takes the cookie of a sticky upstream off what its target is sent.
    pub fn hide_cookie(&self, head: &mut RequestHeader) {
        if let Some(sticky) = &self.members.sticky {
            sticky.hide(head);
        }
    }

    /// Gives the client a cookie by which it comes back to this target, unless it has that one.
    pub fn remember(
        &self,
        target: SocketAddr,
        stay: Option<Stay>,
        is_secure: impl FnOnce() -> bool,
        answer: &mut ResponseHeader,
    ) {
        if let Some(sticky) = self.members.sticky.as_ref().filter(|_| stay.is_none_or(|stay| stay.address != target)) {
            sticky.remember(target, is_secure(), answer);
        }
    }

    /// What a request is hashed by, where `balance` hashes; any number where it does not. A request without the key
    /// goes anywhere: all of them to one target would drown it.
    fn key_of(&self, view: &View<'_>) -> u64 {
        match (&self.config.balance, &self.key) {
            (_, Some(template)) => {
                let text = template.render(view).filter(|text| !text.is_empty());
                text.map_or_else(|| fastrand::u64(..), |text| hash_key(text.bytes()))
            }
            (Balance::IpHash, None) => of_client(view.exchange.client_ip()),
            _ => 0,
        }
    }

    /// What a connection that is no request is hashed by: its client, as [`Pool::key_of`] would. The loader sees to it
    /// that no other template is asked for.
    fn client_key(&self, client: IpAddr) -> u64 {
        match self.config.balance {
            Balance::Hash(_) => hash_key(client.to_string().bytes()),
            Balance::IpHash => of_client(client),
            _ => 0,
        }
    }

    /// Counts a request towards the budgets of retries and hedges.
    pub fn earn_retry(&self) {
        self.retries.earn();
        if let Some(hedges) = &self.hedges {
            hedges.earn();
        }
    }

    /// The retry policy, but for what a route says instead.
    pub fn terms<'t>(&'t self, of_route: Option<&'t Override>) -> RetryPolicy<'t> {
        self.retries.terms(of_route)
    }

    /// Whether an attempt that failed so may be followed by another, after those at the targets `tried`, and after what
    /// pause. Without another target there is none, and the client is told of this failure.
    pub fn take_retry(
        &self,
        terms: RetryPolicy<'_>,
        failed: Failed<'_>,
        tried: &[SocketAddr],
        until: Instant,
    ) -> Option<Duration> {
        // One that was let through no more is none: the client is told of this failure.
        if self.refuses().is_some() || !self.members.selection.load().has_another(Instant::now(), tried) {
            return None;
        }
        match terms.take(failed, Instant::now(), until) {
            Ok(pause) => {
                self.metrics.retried();
                Some(pause)
            }
            Err(NoRetry::Budget) => {
                self.metrics.over_budget();
                None
            }
            Err(NoRetry::Policy) => None,
        }
    }
}

fn of_client(client: IpAddr) -> u64 {
    match client {
        IpAddr::V4(ip) => hash_key(ip.octets()),
        IpAddr::V6(ip) => hash_key(ip.octets()),
    }
}

/// Whether this status says that the target is not well, and not that it dislikes the request.
pub(super) fn is_failure(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502..=504)
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(Some(refresher)) = self.refresher.get() {
            refresher.abort();
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({})", self.name)
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
