//! From a configuration to a snapshot, all or nothing: every error at once, with its place in the file.

mod chains;
mod expressions;
mod host;
mod pages;
mod params;
mod routes;
mod tcp;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use http::HeaderName;
use portreeve_config::units::{LogTarget, Name, Networks};
use portreeve_config::{Balance, Config, ConfigPath, Diagnostics, Doubts, Listener, Loaded, Sources};
use portreeve_plugin::engine::{headers_of, read_regex};
use portreeve_plugin::template::{AtRequest, Template};
use portreeve_plugin::{Allowance, Consumer, DeclaredConsumer, Registry, Spread, Tier};

use crate::acme::{Plan, Settings};
use crate::engine::Shared;
use crate::http::https::Https;
use crate::listener::{Issuing, ListenerRules, Tls};
use crate::observe::{AccessLog, usage_settings};
use crate::snapshot::{Closed, CompiledListener, Snapshot};
use crate::upstream::{Near, Parts, Pool, Priorities, Resolver, TargetSources, Transport};
use chains::Chains;
use expressions::{Expressions, TOO_LARGE, with_besides};
use host::LoadHost;
use params::Params;

/// Whether a compiled configuration is to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It will serve: plugins may start their background tasks.
    Serve,
    /// It is only checked: nothing runs, nothing is opened.
    Check,
}

/// Compiles everything the file asks for, or nothing.
///
/// `before` is the generation in effect, whose pools live on where the file leaves them as they are. `listeners` are the
/// numbers that the engine gave to the listeners of the file, in their order. A file that is refused has had no effect.
pub(crate) fn compile(
    loaded: &Loaded,
    registry: &Registry,
    shared: &Arc<Shared>,
    before: Option<&Snapshot>,
    listeners: &[usize],
    purpose: Purpose,
) -> Result<Snapshot, Diagnostics> {
    let Loaded { config, sources, texts, doubts, warnings, .. } = loaded;
    let mut errors = Errors { doubts: doubts.clone(), warnings: warnings.clone(), ..Errors::none(sources) };
    let written = errors.texts(texts);
    let pools = pools(config, shared, before, &mut errors);
    for (name, _) in config.upstreams.into_iter().filter(|(name, _)| !pools.contains_key(name.as_str())) {
        errors.doubts.insert(ConfigPath::from("upstreams").key(name.as_str()));
    }
    let doubts = errors.doubts.clone();
    let host = Arc::new(LoadHost::new(&pools, tiers(config), consumers(config), shared.clone(), purpose, doubts));
    let mut chains = Chains::new(loaded, &written, registry, host.clone(), &mut errors);

    let trusted: Arc<Networks> = Arc::new(config.trusted_proxies.iter().collect());
    let mut acme = config.acme.as_ref().and_then(|acme| Settings::load(acme, &mut errors)).map(|settings| {
        let (settings, slots) = (Arc::new(settings), Vec::new());
        Plan { settings, slots }
    });
    let is_first = before.is_none() && purpose == Purpose::Serve;
    let mut closed: Vec<Closed> = Vec::new();
    let entrances = config.listeners.iter().zip(listeners).enumerate().map(|(index, (listener, number))| {
        let path = ConfigPath::from("listeners").index(index);
        let chain = chains.compile(&listener.plugins, &path, &mut errors);
        let known = before.and_then(|before| before.listeners.get(*number)?.as_ref()?.terms.tls.as_ref());
        let issuing = acme.as_mut().and_then(|acme| issuing(acme, listener, shared, &mut errors));
        let tls = listener.tls.as_ref();
        let mut own = errors.beside();
        let built = tls.and_then(|tls| Tls::build(tls, &path.key("tls"), &mut own, known, issuing));
        if tls.is_some() && built.is_none() && is_first {
            // At the start there is nothing that could go on instead: the other listeners come up.
            closed.push(Closed { name: listener.name.shared(), number: *number, why: own.all.sorted() });
            return None;
        }
        errors.take_in(own);
        let tls = built;
        let tls = if listener.tcp.is_some() { tls.map(Tls::without_alpn) } else { tls };
        let is_in_clear = listener.tls.is_none() && listener.tcp.is_none();
        let challenges = (config.acme.is_some() && is_in_clear).then(|| shared.acme.challenges());
        let terms = Arc::new(ListenerRules::new(listener, trusted.clone(), tls));
        let (name, https) = (listener.name.shared(), Https::new(listener));
        let tcp = tcp::compile(listener, &path, &pools, &shared.metrics, &mut errors);
        Some(Arc::new(CompiledListener { name, terms, https, challenges, chain, tcp }))
    });
    let entrances: Vec<_> = entrances.collect();
    if entrances.iter().all(Option::is_none) {
        closed.drain(..).for_each(|closed| errors.all = std::mem::take(&mut errors.all).and(closed.why));
    }
    let params = Params::of(loaded, &written);
    params.check_listeners(config, &mut errors);
    let (routes, router) = routes::compile(config, &pools, &mut chains, shared, &params, &mut errors);
    chains.unused(&mut errors);
    let pages = pages::compile(config, sources, &mut errors);
    // Last, and only when all else is good: a file that is refused makes no log file.
    let access_log = if errors.all.is_empty() { access_log(config, shared, purpose, &mut errors) } else { None };

    let (Some(router), Some(access_log), true) = (router, access_log, errors.all.is_empty()) else {
        return Err(errors.all.sorted());
    };
    let mut fields = chains.into_fields();
    errors.read.iter().for_each(|name| fields.read(name));
    pools.values().filter_map(|pool| pool.place_header()).for_each(|name| fields.told_by_proxies(name));
    let strangers = fields.compile();
    host.accept();
    let warnings = errors.warnings.sorted();
    if purpose == Purpose::Serve {
        for warning in &warnings {
            tracing::warn!(warning = warning.headline(), "The configuration has something worth a look.");
        }
    }
    let mut numbered: Vec<Option<Arc<CompiledListener>>> = Vec::new();
    for (number, entrance) in listeners.iter().zip(entrances) {
        if numbered.len() <= *number {
            numbered.resize(*number + 1, None);
        }
        if let Some(slot) = numbered.get_mut(*number) {
            *slot = entrance;
        }
    }
    Ok(Snapshot {
        generation: before.map_or(1, |before| before.generation + 1),
        router,
        routes: routes.into(),
        listeners: numbered.into(),
        strangers,
        pools: pools.into_values().collect(),
        priorities: Arc::new(priorities(config)),
        access_log,
        errors: pages,
        acme: acme.map(Arc::new),
        usage: shared.usage.usage(),
        usage_settings: usage_settings(config, sources),
        unrouted: shared.metrics.route("(none)".into()),
        warnings,
        closed: closed.into(),
    })
}

/// Errors found so far, and what is no error but worth a word.
pub(crate) struct Errors<'s> {
    sources: &'s Sources,
    /// What is wrong already: nothing is said of what follows from it.
    doubts: Doubts,
    /// Fields of requests that the engine's own keys name.
    read: Vec<HeaderName>,
    /// What regular expressions take.
    expressions: Expressions,
    all: Diagnostics,
    warnings: Diagnostics,
}

impl<'s> Errors<'s> {
    /// Nothing found so far.
    pub(crate) fn none(sources: &'s Sources) -> Self {
        let (all, warnings) = (Diagnostics::default(), Diagnostics::default());
        let (doubts, expressions) = (Doubts::default(), Expressions::default());
        Self { sources, doubts, read: Vec::new(), expressions, all, warnings }
    }

    /// Errors and warnings.
    #[cfg(test)]
    pub(crate) fn told(self) -> (Diagnostics, Diagnostics) {
        (self.all.sorted(), self.warnings.sorted())
    }
}

impl Errors<'_> {
    /// At a value.
    pub(crate) fn at(&mut self, path: &ConfigPath, message: impl Into<String>) {
        self.all.add(|| self.sources.diagnostic(path, message));
    }

    /// At a value, of something that is no reason to refuse the file.
    pub(crate) fn warn(&mut self, path: &ConfigPath, message: impl Into<String>) {
        self.warnings.add(|| self.sources.diagnostic(path, message));
    }

    /// Nothing found so far, over the same sources.
    fn beside(&self) -> Self {
        Self { doubts: self.doubts.clone(), ..Errors::none(self.sources) }
    }

    /// Adds what was found beside.
    fn take_in(&mut self, other: Self) {
        self.all = std::mem::take(&mut self.all).and(other.all);
        self.warnings = std::mem::take(&mut self.warnings).and(other.warnings);
        self.read.extend(other.read);
    }

    /// The folder that relative paths of a value count from.
    pub(crate) fn folder(&self, path: &ConfigPath) -> PathBuf {
        self.sources.folder(path).to_owned()
    }

    /// At a byte of a text.
    fn within(&mut self, path: &ConfigPath, offset: usize, message: impl Into<String>) {
        self.all.add(|| self.sources.diagnostic_within(path, offset, message));
    }

    /// Compiles a template of the engine's own keys.
    fn template(&mut self, path: &ConfigPath, text: &str) -> Template<AtRequest> {
        let template = Template::parse(text).unwrap_or_else(|error| {
            self.within(path, error.offset(), error.message());
            Template::default()
        });
        self.read.extend(headers_of(template.references()));
        template
    }

    /// As [`Errors::template`], where one text for all requests would put all of them together.
    fn varying(&mut self, path: &ConfigPath, text: &str) -> Template<AtRequest> {
        let before = self.all.len();
        let template = self.template(path, text);
        if self.all.len() == before
            && let Err(why) = template.must_vary()
        {
            self.at(path, why);
        }
        template
    }
}

/// The part of the gateway itself in a listener's certificates; `None` without one, or after an error, which is reported.
fn issuing(plan: &mut Plan, listener: &Listener, shared: &Shared, errors: &mut Errors<'_>) -> Option<Issuing> {
    let names = listener.tls.as_ref().map(|tls| &tls.acme).filter(|names| !names.is_empty())?;
    let slot = shared.acme.slot(&plan.settings, names, errors)?;
    // Two listeners may show the same.
    if !plan.slots.iter().any(|known| Arc::ptr_eq(known, &slot)) {
        plan.slots.push(slot.clone());
    }
    Some(Issuing { slot, challenges: shared.acme.challenges() })
}

type Pools = HashMap<Arc<str>, Arc<Pool>>;

/// The pools of the file: those in effect where nothing about them changed, with all that they have learnt.
fn pools(config: &Config, shared: &Arc<Shared>, before: Option<&Snapshot>, errors: &mut Errors<'_>) -> Pools {
    let before: HashMap<&str, &Arc<Pool>> =
        before.into_iter().flat_map(|before| &before.pools).map(|pool| (&*pool.name, pool)).collect();
    let pool = |(name, upstream): (&Name, &portreeve_config::Upstream)| {
        let before = before.get(name.as_str()).copied();
        let path = ConfigPath::from("upstreams").key(name.as_str());
        if !count_check(upstream, &path, errors) {
            return None;
        }
        let (transport, near) = (transport(upstream, &path, errors), near(config, upstream, &path, shared, errors));
        let (transport, near) = (transport?, near.ok()?);
        if let Some(same) = before.filter(|before| before.is_of(upstream, &transport, near.as_ref(), &config.resolver))
        {
            return Some((name.shared(), same.clone()));
        }
        let sources = sources(upstream, &path, shared.upstreams.resolver(&config.resolver), before, errors)?;
        let key = match &upstream.balance {
            Balance::Hash(template) => Some(errors.varying(&path.key("balance").key("hash"), template)),
            _ => None,
        };
        check_picking(upstream, &path, errors);
        let metrics = shared.metrics.upstream(name.as_str());
        let parts = Parts { name: name.shared(), config: upstream, transport, key, metrics, sources, near };
        let pool = Pool::new(parts, &shared.upstreams, before.map(|before| &**before));
        Some((name.shared(), Arc::new(pool)))
    };
    config.upstreams.into_iter().filter_map(pool).collect()
}

/// Counts the regular expression of the health check, if there is one. Returns whether there is room for it.
fn count_check(upstream: &portreeve_config::Upstream, path: &ConfigPath, errors: &mut Errors<'_>) -> bool {
    let expected = upstream.health.as_ref().and_then(|health| health.expect.body.as_deref());
    let Some(pattern) = expected.and_then(|body| body.strip_prefix("regex:")) else { return true };
    if errors.has_room() {
        // What is wrong with it is told where it is compiled for its use.
        let size = read_regex(pattern).map_or(TOO_LARGE, |written| with_besides(written.regex_size));
        errors.take(size, &path.key("health").key("expect").key("body"));
    }
    errors.has_room()
}

/// What only the values tell, not the shape of the file.
fn check_picking(upstream: &portreeve_config::Upstream, path: &ConfigPath, errors: &mut Errors<'_>) {
    let key = upstream.sticky.as_ref().and_then(|sticky| sticky.key.as_ref());
    if key.is_some_and(|key| key.expose().len() < MIN_STICKY_KEY) {
        let message =
            format!("a key of fewer than {MIN_STICKY_KEY} bytes can be guessed, and with it who the targets are");
        errors.at(&path.key("sticky").key("key"), message);
    }
    // A file of targets may tell zones, too.
    if let Some(zone) = &upstream.failover.zone
        && !upstream.discover.iter().any(|discover| discover.file.is_some())
        && !upstream.targets.iter().any(|target| target.zone.as_deref() == Some(zone))
    {
        let message = format!("no target is in the zone {zone:?}: those of all zones are asked alike");
        errors.warn(&path.key("failover").key("zone"), message);
    }
}

/// The shortest key of `sticky`, in bytes: that of its values.
const MIN_STICKY_KEY: usize = 16;

/// Where the targets of an upstream come from; `None` after an error, which is then reported, with those of its checks.
fn sources(
    upstream: &portreeve_config::Upstream,
    path: &ConfigPath,
    resolver: Resolver,
    before: Option<&Arc<Pool>>,
    errors: &mut Errors<'_>,
) -> Option<TargetSources> {
    let mut faults = Pool::faults(upstream);
    let folder = errors.folder(&path.key("discover"));
    let sources = TargetSources::new(upstream, &folder, resolver, before.map(|before| before.sources()));
    let sources = sources.map_err(|wrong| faults.extend(wrong)).ok();
    for fault in &faults {
        let at = path.join(&fault.at);
        // One alone may stand without a list around it.
        let alone = path.join(&fault.at.replace("discover[0]", "discover"));
        let at = if errors.sources.place(&at).is_some() { at } else { alone };
        errors.at(&at, &*fault.message);
    }
    sources.filter(|_| faults.is_empty())
}

/// How an upstream is spoken to; `None` after an error, which is then reported.
fn transport(
    upstream: &portreeve_config::Upstream,
    path: &ConfigPath,
    errors: &mut Errors<'_>,
) -> Option<Arc<Transport>> {
    if upstream.tls.as_ref().is_some_and(|tls| !tls.verify) {
        let warning = "the certificates of the targets are not verified: anybody on the way can be them";
        errors.warn(&path.key("tls").key("verify"), warning);
    }
    match Transport::load(upstream, errors.sources.folder(&path.key("tls"))) {
        Ok(transport) => Some(Arc::new(transport)),
        Err(wrong) => {
            for wrong in wrong {
                errors.at(&path.join(wrong.at), wrong.message);
            }
            None
        }
    }
}

/// Which zones are near to whom; `Err` after an error, which is then reported.
fn near(
    config: &Config,
    upstream: &portreeve_config::Upstream,
    path: &ConfigPath,
    shared: &Shared,
    errors: &mut Errors<'_>,
) -> Result<Option<Near>, ()> {
    let at = path.key("failover").key("near").key("database");
    let loaded = Near::load(&upstream.failover, &config.zones, &errors.folder(&at), shared.upstreams.databases());
    loaded.map_err(|message| errors.at(&at, message))
}

fn priorities(config: &Config) -> Priorities {
    let tiers = config.tiers.into_iter().map(|(name, tier)| (name.shared(), tier.priority.unwrap_or_default()));
    Priorities(tiers.filter(|(_, priority)| *priority > 0).collect())
}

fn tiers(config: &Config) -> Vec<Tier> {
    let tiers = portreeve_config::Tier::resolve_all(&config.tiers).into_iter();
    let tier = |(name, tier): (Name, portreeve_config::Tier)| Tier {
        name: name.shared(),
        allowance: Allowance {
            rates: tier.rate.to_vec(),
            spread: match (tier.burst, tier.smooth) {
                (Some(burst), _) => Spread::Burst(burst),
                (None, true) => Spread::Smooth,
                (None, false) => Spread::Window,
            },
            quotas: tier.quota.to_vec(),
        },
        concurrency: tier.concurrency,
        cost: tier.cost.unwrap_or(NonZeroU32::MIN),
    };
    tiers.map(tier).collect()
}

fn consumers(config: &Config) -> Vec<DeclaredConsumer> {
    let declared = config.consumers.iter().map(|declared| DeclaredConsumer {
        consumer: Arc::new(Consumer {
            id: declared.name.shared(),
            tier: declared.tier.as_ref().map(Name::shared),
            groups: declared.groups.clone(),
            ..Consumer::default()
        }),
        keys: declared.keys.clone(),
    });
    declared.collect()
}

fn access_log(config: &Config, shared: &Shared, purpose: Purpose, errors: &mut Errors<'_>) -> Option<AccessLog> {
    let at = ConfigPath::from("access_log.to");
    let target = match &config.access_log.to {
        LogTarget::File(path) => LogTarget::File(errors.sources.folder(&at).join(path)),
        other => other.clone(),
    };
    match shared.access_log(&target, purpose) {
        Ok(log) => Some(log),
        Err(error) => {
            let target = match &target {
                LogTarget::File(path) => path.display().to_string(),
                other => other.to_string(),
            };
            errors.at(&at, format!("cannot write to {target}: {error}"));
            None
        }
    }
}

#[cfg(test)]
mod tests;
