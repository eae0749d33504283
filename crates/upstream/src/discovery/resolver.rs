//! Names and services in DNS, with the time that answers hold. hickory-resolver asks and caches; here it is bounded, built anew
//! when the system's files change, and put behind a trait that tests can play.

use std::fs::Metadata;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup as Records;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use parking_lot::Mutex;
use portreeve_config::Resolver as ResolverSettings;

/// Addresses taken from one name, and services from one.
const MAX_RECORDS: usize = 256;
/// Answers kept, so that upstreams with a name in common ask once.
const CACHED: u64 = 4_096;
/// Most that "there is no such name" holds, whatever its TTL: it may have been asked for a moment too early.
const MAX_NEGATIVE: Duration = Duration::from_secs(10);
/// The files of the system that resolving depends on.
const FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// An answer: what there is, and for how long that holds. Nothing, if there is no such name or it has no such records.
#[derive(Debug, Clone)]
pub(crate) struct Answered<T> {
    pub(crate) records: Vec<T>,
    pub(crate) holds: Duration,
}

/// An SRV record (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Service {
    pub(crate) priority: u16,
    pub(crate) weight: u16,
    pub(crate) port: u16,
    pub(crate) host: String,
}

/// Questions to DNS. An error means that there was no answer.
#[async_trait]
pub(crate) trait Lookup: Send + Sync {
    async fn addresses(&self, name: &str, family: Family) -> Result<Answered<IpAddr>, String>;
    async fn services(&self, name: &str) -> Result<Answered<Service>, String>;
}

/// Whom names are asked of, and how long answers hold.
#[derive(Clone)]
pub struct Resolver {
    lookup: Arc<dyn Lookup>,
    settings: Arc<ResolverSettings>,
}

impl Resolver {
    pub fn new(settings: &ResolverSettings) -> Self {
        let settings = Arc::new(settings.clone());
        let dns = Dns { settings: settings.clone(), built: Arc::default() };
        Self { lookup: Arc::new(dns), settings }
    }

    /// One that asks somebody else.
    #[cfg(test)]
    pub(crate) fn asking(lookup: impl Lookup + 'static) -> Self {
        Self { lookup: Arc::new(lookup), settings: Arc::new(ResolverSettings::default()) }
    }

    /// Whether it is what these settings ask for.
    pub fn is_of(&self, settings: &ResolverSettings) -> bool {
        *self.settings == *settings
    }

    /// The addresses of a name, in order, each once.
    pub(super) async fn addresses(&self, name: &str, family: Family) -> Result<Answered<IpAddr>, String> {
        self.within(self.lookup.addresses(name, family)).await
    }

    /// The services of a name, in order, each once.
    pub(super) async fn services(&self, name: &str) -> Result<Answered<Service>, String> {
        self.within(self.lookup.services(name)).await
    }

    /// One deadline over all tries, and an answer within bounds.
    async fn within<T: Ord>(
        &self,
        asking: impl Future<Output = Result<Answered<T>, String>>,
    ) -> Result<Answered<T>, String> {
        let timeout = self.settings.timeout.get();
        let slow = |_| Err(format!("no answer from DNS within {timeout:?}"));
        let mut answered = tokio::time::timeout(timeout, asking).await.unwrap_or_else(slow)?;
        answered.records.sort_unstable();
        answered.records.dedup();
        answered.records.truncate(MAX_RECORDS);
        let (least, most) = (self.settings.min_ttl.get(), self.settings.max_ttl.get());
        answered.holds = answered.holds.max(least).min(most.max(least));
        Ok(answered)
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Resolver({:?})", self.settings)
    }
}

/// The network.
struct Dns {
    settings: Arc<ResolverSettings>,
    built: Arc<Mutex<Option<(Stamps, TokioResolver)>>>,
}

/// What tells that a file of the system has changed.
type Stamps = [Option<(SystemTime, u64)>; 2];

impl Dns {
    /// The resolver for the files as they are now.
    async fn current(&self) -> Result<TokioResolver, String> {
        let (settings, built) = (self.settings.clone(), self.built.clone());
        let looking = tokio::task::spawn_blocking(move || {
            let stamp = |file| {
                std::fs::metadata(file).ok().and_then(|found: Metadata| Some((found.modified().ok()?, found.len())))
            };
            let stamps = FILES.map(stamp);
            let mut built = built.lock();
            if let Some((known, resolver)) = &*built
                && *known == stamps
            {
                return Ok(resolver.clone());
            }
            let resolver = build(&settings)?;
            *built = Some((stamps, resolver.clone()));
            Ok(resolver)
        });
        looking.await.map_err(|error| error.to_string())?
    }

    async fn ask(&self, name: &str, kind: RecordType) -> Result<Option<Records>, String> {
        match self.current().await?.lookup(name, kind).await {
            Ok(records) => Ok(Some(records)),
            Err(error) if error.is_no_records_found() => Ok(None),
            Err(error) => Err(told(&error)),
        }
    }
}

fn told(error: &NetError) -> String {
    format!("no answer from DNS: {error}")
}

#[async_trait]
impl Lookup for Dns {
    async fn addresses(&self, name: &str, family: Family) -> Result<Answered<IpAddr>, String> {
        let kind = match family {
            Family::V4 => RecordType::A,
            Family::V6 => RecordType::AAAA,
        };
        Ok(answered(self.ask(name, kind).await?, |record| match record {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        }))
    }

    async fn services(&self, name: &str) -> Result<Answered<Service>, String> {
        Ok(answered(self.ask(name, RecordType::SRV).await?, |record| match record {
            RData::SRV(record) => Some(Service {
                priority: record.priority,
                weight: record.weight,
                port: record.port,
                host: record.target.to_utf8().to_ascii_lowercase(),
            }),
            _ => None,
        }))
    }
}

fn answered<T>(records: Option<Records>, read: impl Fn(&RData) -> Option<T>) -> Answered<T> {
    let Some(records) = records else { return Answered { records: Vec::new(), holds: MAX_NEGATIVE } };
    let holds = records.valid_until().saturating_duration_since(std::time::Instant::now());
    Answered { records: records.answers().iter().filter_map(|record| read(&record.data)).collect(), holds }
}

fn build(settings: &ResolverSettings) -> Result<TokioResolver, String> {
    let (config, mut options) = match (&*settings.servers, read_system_conf()) {
        ([], Ok(system)) => system,
        ([], Err(error)) => {
            // Names of /etc/hosts can be resolved without.
            tracing::warn!(%error, "/etc/resolv.conf cannot be read; no DNS server is known.");
            (ResolverConfig::from_parts(None, Vec::new(), Vec::new()), ResolverOpts::default())
        }
        (servers, system) => {
            // The search domains of the system stay, so that a name means the same whoever is asked.
            let search = system.map(|(config, _)| (config.domain, config.search)).unwrap_or_default();
            let servers = servers.iter().filter_map(portreeve_config::Address::socket_addr).map(server).collect();
            (ResolverConfig::from_parts(search.0, search.1, servers), ResolverOpts::default())
        }
    };
    // Two tries within the time of all.
    options.timeout = options.timeout.min(settings.timeout.get() / 2);
    options.attempts = 1;
    options.cache_size = CACHED;
    options.use_hosts_file = ResolveHosts::Always;
    options.positive_min_ttl = Some(settings.min_ttl.get());
    options.positive_max_ttl = Some(settings.max_ttl.get().max(settings.min_ttl.get()));
    options.negative_max_ttl = Some(MAX_NEGATIVE.min(settings.max_ttl.get()));
    let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.with_options(options).build().map_err(|error| told(&error))
}

/// Over UDP, and over TCP where an answer is too long for that.
fn server(address: SocketAddr) -> NameServerConfig {
    let on_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    NameServerConfig::new(address.ip(), true, vec![on_port(ConnectionConfig::udp()), on_port(ConnectionConfig::tcp())])
}
