//! From the targets of the file to addresses. Names are resolved off the request path, again and again, and what a name last
//! stood for is kept until it stands for something else.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, Stream};
use parking_lot::Mutex;
use pingora::protocols::l4::socket::SocketAddr as PingoraAddr;
use pingora_load_balancing::Backend;
use pingora_load_balancing::discovery::ServiceDiscovery;
use portreeve_config::Target as TargetConfig;
use portreeve_config::units::{Address, Host};

/// How often names are resolved again. The system's resolver does not tell how long an answer holds.
pub(super) const RESOLVE_EVERY: Duration = Duration::from_secs(10);
/// Longest wait for one answer of the resolver.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Addresses taken from one name.
const MAX_ADDRESSES: usize = 256;

/// Whom names are asked of.
#[derive(Clone)]
pub(super) struct Resolver(Arc<Lookup>);

type Lookup = dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync;

impl Resolver {
    pub(super) fn new(
        lookup: impl Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(lookup))
    }

    async fn ask(&self, name: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        let lookup = (self.0)(name.to_owned(), port);
        let mut addresses = match tokio::time::timeout(RESOLVE_TIMEOUT, lookup).await {
            Ok(answer) => answer.map_err(|error| error.to_string())?,
            Err(_) => return Err(format!("no answer within {RESOLVE_TIMEOUT:?}")),
        };
        // In order, so that of more than are taken it is always the same ones, and each once.
        addresses.sort_unstable();
        addresses.dedup();
        addresses.truncate(MAX_ADDRESSES);
        if addresses.is_empty() { Err("no addresses".to_owned()) } else { Ok(addresses) }
    }
}

impl Default for Resolver {
    /// The system's.
    fn default() -> Self {
        Self::new(|name, port| Box::pin(async move { Ok(tokio::net::lookup_host((name, port)).await?.collect()) }))
    }
}

/// The targets of one upstream as the file names them, and what their names last stood for.
#[derive(Clone)]
pub(super) struct Addresses {
    targets: Arc<[TargetConfig]>,
    names: Arc<[Address]>,
    known: Arc<Mutex<HashMap<Address, Vec<SocketAddr>>>>,
    resolver: Resolver,
}

/// What became of the question for one name.
pub(super) struct Answer {
    pub(super) name: Address,
    pub(super) addresses: Result<Vec<SocketAddr>, String>,
}

impl Addresses {
    /// Knows of its names what `before` knew of them.
    pub(super) fn new(targets: &[TargetConfig], resolver: Resolver, before: Option<&Self>) -> Self {
        let names = targets.iter().filter(|target| target.weight > 0 && matches!(target.address.host, Host::Name(_)));
        let names: HashSet<Address> = names.map(|target| target.address.clone()).collect();
        let known = before.map(|before| {
            let known = before.known.lock();
            known
                .iter()
                .filter(|(name, _)| names.contains(*name))
                .map(|(name, all)| (name.clone(), all.clone()))
                .collect()
        });
        Self {
            targets: targets.into(),
            names: names.into_iter().collect(),
            known: Arc::new(Mutex::new(known.unwrap_or_default())),
            resolver,
        }
    }

    /// Whether a resolver is needed at all.
    pub(super) fn has_names(&self) -> bool {
        !self.names.is_empty()
    }

    /// Whether every name has stood for something already.
    pub(super) fn are_known(&self) -> bool {
        self.known.lock().len() == self.names.len()
    }

    /// What the file calls the target at this address, if it does by a name: the first of several.
    pub(super) fn name_of(&self, address: SocketAddr) -> Option<Box<str>> {
        let known = self.known.lock();
        self.targets.iter().find_map(|target| match &target.address.host {
            Host::Name(name) if known.get(&target.address)?.contains(&address) => Some(name.as_str().into()),
            _ => None,
        })
    }

    /// What the file says of the target at this address: the first of several that stand for it.
    pub(super) fn target_of(&self, address: SocketAddr) -> Option<&TargetConfig> {
        let known = self.known.lock();
        let stands_for = |target: &&TargetConfig| {
            let named = || known.get(&target.address).is_some_and(|all| all.contains(&address));
            target.weight > 0 && (target.address.socket_addr() == Some(address) || named())
        };
        self.targets.iter().find(stands_for)
    }

    /// Asks for every name at once; answers come as they arrive.
    pub(super) fn ask(&self) -> impl Stream<Item = Answer> + Send + use<> {
        let ask = |name: &Address| {
            let (name, resolver) = (name.clone(), self.resolver.clone());
            async move {
                let addresses = match &name.host {
                    Host::Name(host) => resolver.ask(host, name.port).await,
                    Host::Ip(ip) => Ok(vec![SocketAddr::new(*ip, name.port)]),
                };
                Answer { name, addresses }
            }
        };
        self.names.iter().map(ask).collect::<FuturesUnordered<_>>()
    }

    /// Takes note of what a name stands for now.
    pub(super) fn learn(&self, name: Address, addresses: Vec<SocketAddr>) {
        self.known.lock().insert(name, addresses);
    }
}

#[async_trait]
impl ServiceDiscovery for Addresses {
    /// What is known now; never waits, never fails. A name that never had an answer adds nothing.
    async fn discover(&self) -> pingora::Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        let mut weights: HashMap<SocketAddr, usize> = HashMap::new();
        let known = self.known.lock();
        for target in &*self.targets {
            let literal = target.address.socket_addr();
            let named = known.get(&target.address).into_iter().flatten().copied();
            for address in literal.into_iter().chain(named) {
                // Two names for one address are one target with both shares.
                *weights.entry(address).or_default() += usize::from(target.weight);
            }
        }
        let members = weights.into_iter().filter(|(_, weight)| *weight > 0).map(|(address, weight)| Backend {
            addr: PingoraAddr::Inet(address),
            weight,
            ext: http::Extensions::new(),
        });
        Ok((members.collect(), HashMap::new()))
    }
}
