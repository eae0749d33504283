//! From the targets of the file to addresses. Names are resolved off the request path, and again and again.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use pingora::protocols::l4::socket::SocketAddr as PingoraAddr;
use pingora::{Error, ErrorType};
use pingora_load_balancing::Backend;
use pingora_load_balancing::discovery::ServiceDiscovery;
use portreeve_config::Target as TargetConfig;
use portreeve_config::units::Host;

/// How often names are resolved again. The system's resolver does not tell how long an answer holds.
pub(super) const RESOLVE_EVERY: Duration = Duration::from_secs(10);
/// Longest wait for one answer of the resolver.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Addresses taken from one name.
const MAX_ADDRESSES: usize = 256;

/// The targets of one upstream as the file names them.
#[derive(Debug, Clone)]
pub(super) struct Addresses(pub(super) Vec<TargetConfig>);

impl Addresses {
    /// Whether a resolver is needed at all.
    pub(super) fn has_names(&self) -> bool {
        self.0.iter().any(|target| matches!(target.address.host, Host::Name(_)))
    }
}

#[async_trait]
impl ServiceDiscovery for Addresses {
    /// All or nothing: if one name cannot be resolved the pool keeps the members it had.
    async fn discover(&self) -> pingora::Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        let mut weights: HashMap<SocketAddr, usize> = HashMap::new();
        for target in &self.0 {
            for address in resolve(target).await? {
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

async fn resolve(target: &TargetConfig) -> pingora::Result<Vec<SocketAddr>> {
    let port = target.address.port;
    match &target.address.host {
        Host::Ip(ip) => Ok(vec![SocketAddr::new(*ip, port)]),
        Host::Name(name) => {
            let lookup = tokio::net::lookup_host((name.as_str(), port));
            let failed = |why: String| Error::because(ErrorType::ConnectNoRoute, format!("{name}: {why}"), "resolving");
            match tokio::time::timeout(RESOLVE_TIMEOUT, lookup).await {
                Ok(Ok(addresses)) => Ok(addresses.take(MAX_ADDRESSES).collect()),
                Ok(Err(error)) => Err(failed(error.to_string())),
                Err(_) => Err(failed(format!("no answer within {RESOLVE_TIMEOUT:?}"))),
            }
        }
    }
}
