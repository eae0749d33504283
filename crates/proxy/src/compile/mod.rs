//! From a configuration to a snapshot, all or nothing: every error at once, with its place in the file.

mod chains;
mod host;
mod routes;

use std::collections::HashMap;
use std::sync::Arc;

use portreeve_config::units::{LogTarget, Name};
use portreeve_config::{Balance, Config, ConfigPath, Diagnostic, Diagnostics, Loaded, Sources};
use portreeve_plugin::template::{AtRequest, Template};
use portreeve_plugin::{Consumer, DeclaredConsumer, Registry, Tier};

use crate::engine::Shared;
use crate::observe::AccessLog;
use crate::snapshot::{Entrance, Snapshot};
use crate::upstream::Pool;
use chains::Chains;
use host::LoadHost;

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
    let Loaded { config, sources } = loaded;
    let mut errors = Errors { sources, all: Vec::new() };
    let pools = pools(config, shared, before, &mut errors);
    let host = Arc::new(LoadHost::new(&pools, tiers(config), consumers(config), shared.clone(), purpose));
    let mut chains = Chains::new(config, sources, registry, host.clone());

    let entrances = config.listeners.iter().enumerate().map(|(index, listener)| {
        let path = ConfigPath::from("listeners").index(index);
        let chain = chains.compile(&listener.plugins, &path, &mut errors);
        Arc::new(Entrance { name: listener.name.shared(), chain })
    });
    let entrances: Vec<_> = entrances.collect();
    let (routes, router) = routes::compile(config, &pools, &mut chains, shared, &mut errors);
    // Last, and only when all else is good: a file that is refused makes no log file.
    let access_log = if errors.all.is_empty() { access_log(config, shared, purpose, &mut errors) } else { None };

    let (Some(router), Some(access_log), true) = (router, access_log, errors.all.is_empty()) else {
        return Err(Diagnostics::new(errors.all));
    };
    host.accept();
    let mut numbered: Vec<Option<Arc<Entrance>>> = Vec::new();
    for (number, entrance) in listeners.iter().zip(entrances) {
        if numbered.len() <= *number {
            numbered.resize(*number + 1, None);
        }
        if let Some(slot) = numbered.get_mut(*number) {
            *slot = Some(entrance);
        }
    }
    Ok(Snapshot {
        generation: before.map_or(1, |before| before.generation + 1),
        router,
        routes: routes.into(),
        listeners: numbered.into(),
        pools: pools.into_values().collect(),
        access_log,
        unrouted: shared.metrics.route("(none)"),
    })
}

/// Errors found so far.
pub(crate) struct Errors<'s> {
    sources: &'s Sources,
    all: Vec<Diagnostic>,
}

impl Errors<'_> {
    /// At a value.
    fn at(&mut self, path: &ConfigPath, message: impl Into<String>) {
        self.all.push(self.sources.diagnostic(path, message));
    }

    /// At a byte of a text.
    fn within(&mut self, path: &ConfigPath, offset: usize, message: impl Into<String>) {
        self.all.push(self.sources.diagnostic_within(path, offset, message));
    }

    /// Compiles a template of the engine's own keys.
    fn template(&mut self, path: &ConfigPath, text: &str) -> Template<AtRequest> {
        Template::parse(text).unwrap_or_else(|error| {
            self.within(path, error.offset(), error.message());
            Template::default()
        })
    }
}

type Pools = HashMap<Arc<str>, Arc<Pool>>;

/// The pools of the file: those in effect where nothing about them changed, with all that they have learnt.
fn pools(config: &Config, shared: &Arc<Shared>, before: Option<&Snapshot>, errors: &mut Errors<'_>) -> Pools {
    let before: HashMap<&str, &Arc<Pool>> =
        before.into_iter().flat_map(|before| &before.pools).map(|pool| (&*pool.name, pool)).collect();
    let pool = |(name, upstream): (&Name, &portreeve_config::Upstream)| {
        let before = before.get(name.as_str()).copied();
        if let Some(same) = before.filter(|before| before.is_of(upstream)) {
            return (name.shared(), same.clone());
        }
        let path = ConfigPath::from("upstreams").key(name.as_str()).key("balance").key("hash");
        let key = match &upstream.balance {
            Balance::Hash(template) => Some(errors.template(&path, template)),
            _ => None,
        };
        let metrics = shared.metrics.upstream(name.as_str());
        let pool = Pool::new(name.shared(), upstream, key, &shared.upstreams, metrics, before.map(|before| &**before));
        (name.shared(), Arc::new(pool))
    };
    config.upstreams.into_iter().map(pool).collect()
}

fn tiers(config: &Config) -> Vec<Tier> {
    let tier =
        |(name, tier): (&Name, &portreeve_config::Tier)| Tier { name: name.shared(), rate: tier.rate, burst: None };
    config.tiers.into_iter().map(tier).collect()
}

fn consumers(config: &Config) -> Vec<DeclaredConsumer> {
    let declared = config.consumers.iter().map(|declared| DeclaredConsumer {
        consumer: Arc::new(Consumer {
            id: declared.name.shared(),
            tier: declared.tier.as_ref().map(Name::shared),
            groups: declared.groups.clone(),
            claims: None,
        }),
        keys: declared.keys.iter().map(|key| key.expose().to_owned()).collect(),
    });
    declared.collect()
}

fn access_log(config: &Config, shared: &Shared, purpose: Purpose, errors: &mut Errors<'_>) -> Option<AccessLog> {
    match shared.access_log(&config.access_log.to, purpose) {
        Ok(log) => Some(log),
        Err(error) => {
            let target = match &config.access_log.to {
                LogTarget::File(path) => path.display().to_string(),
                other => other.to_string(),
            };
            errors.at(&ConfigPath::from("access_log.to"), format!("cannot write to {target}: {error}"));
            None
        }
    }
}
