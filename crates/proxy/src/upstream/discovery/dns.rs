//! Discovery in DNS: the addresses of a name, and the services of one, asked for again when the answer has grown old.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesOrdered, StreamExt};
use portreeve_config::units::ServiceName;

use super::resolver::{Answered, Family, Resolver, Service};
use super::{Discovery, Found};

/// Most hosts of one service whose addresses are asked for.
const MAX_HOSTS: usize = 256;

/// The A and AAAA records of a name.
pub(super) struct Name {
    host: Host,
    port: u16,
    resolver: Resolver,
    pause: Pause,
}

impl Name {
    pub(super) fn new(name: &str, port: u16, resolver: Resolver) -> Self {
        Self { host: Host::new(name), port, resolver, pause: Pause::default() }
    }
}

impl Discovery for Name {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Found>, String>> {
        Box::pin(async {
            self.pause.over().await;
            let holds = self.pause.after(self.host.ask(&self.resolver).await)?;
            self.pause.lasts(holds);
            let found = |ip| Found {
                address: SocketAddr::new(ip, self.port),
                name: Some(self.host.name.clone()),
                weight: 1,
                priority: 0,
                zone: None,
            };
            Ok(self.host.addresses().map(found).collect())
        })
    }
}

/// The SRV records of a name, and the addresses of the hosts that they name.
pub(super) struct Services {
    name: ServiceName,
    resolver: Resolver,
    hosts: Vec<Host>,
    pause: Pause,
}

impl Services {
    pub(super) fn new(name: ServiceName, resolver: Resolver) -> Self {
        Self { name, resolver, hosts: Vec::new(), pause: Pause::default() }
    }
}

impl Discovery for Services {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Found>, String>> {
        Box::pin(async {
            self.pause.over().await;
            let answered = self.resolver.services(self.name.as_str()).await;
            let Answered { mut records, mut holds } = self.pause.after(answered)?;
            // "." says that the service is decidedly not there (RFC 2782).
            records.retain(|service| service.host != "." && service.port != 0);
            let mut names: Vec<&str> = records.iter().map(|service| service.host.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            names.truncate(MAX_HOSTS);
            let known = |name: &str| self.hosts.iter().find(|host| &*host.name == name).cloned();
            let mut hosts: Vec<Host> =
                names.iter().map(|name| known(name).unwrap_or_else(|| Host::new(name))).collect();
            let asked: Vec<_> =
                hosts.iter_mut().map(|host| host.ask(&self.resolver)).collect::<FuturesOrdered<_>>().collect().await;
            let mut failed = None;
            for outcome in asked {
                match outcome {
                    Ok(answered) => holds = holds.min(answered),
                    Err(error) => failed = Some(error),
                }
            }
            // A host that has no answer now keeps what it had. If none has anything, that is a failure, not an empty set.
            self.hosts = hosts;
            self.pause.lasts(holds);
            let found: Vec<Found> = records.iter().flat_map(|service| self.of(service)).collect();
            match failed {
                Some(error) if found.is_empty() => self.pause.after(Err(error)),
                _ => Ok(found),
            }
        })
    }
}

impl Services {
    fn of(&self, service: &Service) -> Vec<Found> {
        let host = self.hosts.iter().find(|host| *host.name == *service.host);
        let found = |ip| Found {
            address: SocketAddr::new(ip, service.port),
            name: Some(service.host.trim_end_matches('.').into()),
            // Weight 0 has a very small chance beside others, and all of it alone (RFC 2782): never none.
            weight: u32::from(service.weight).max(1),
            priority: service.priority,
            zone: None,
        };
        host.into_iter().flat_map(Host::addresses).map(found).collect()
    }
}

/// A name and the addresses it has, each family for itself: where one fails to be answered, its last ones stay.
#[derive(Clone)]
struct Host {
    name: Arc<str>,
    v4: Vec<IpAddr>,
    v6: Vec<IpAddr>,
}

impl Host {
    fn new(name: &str) -> Self {
        Self { name: name.into(), v4: Vec::new(), v6: Vec::new() }
    }

    /// Asks for both families. Returns how long the answers hold.
    async fn ask(&mut self, resolver: &Resolver) -> Result<Duration, String> {
        let (v4, v6) =
            futures::join!(resolver.addresses(&self.name, Family::V4), resolver.addresses(&self.name, Family::V6));
        let (mut full, mut empty, mut failed) = (None, None, None);
        for (answer, known) in [(v4, &mut self.v4), (v6, &mut self.v6)] {
            match answer {
                Ok(answer) => {
                    let holds: &mut Option<Duration> = if answer.records.is_empty() { &mut empty } else { &mut full };
                    *holds = Some(holds.map_or(answer.holds, |holds| holds.min(answer.holds)));
                    *known = answer.records;
                }
                Err(error) => failed = Some(error),
            }
        }
        // That there are none of one family says nothing about when the other may change.
        match (full.or(empty), failed) {
            (_, Some(error)) if self.addresses().next().is_none() => Err(error),
            (None, Some(error)) => Err(error),
            (holds, _) => Ok(holds.unwrap_or_default()),
        }
    }

    fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.v4.iter().chain(&self.v6).copied()
    }
}

/// The time until the next question: what is left of an answer's, and a little at random, so that a fleet does not ask in step.
#[derive(Default)]
struct Pause {
    until: Option<tokio::time::Instant>,
    /// Questions in a row without an answer.
    failures: u32,
}

/// The wait after the first question without an answer; it doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest such wait.
const LAST_RETRY: Duration = Duration::from_secs(30);

impl Pause {
    /// After an answer that holds so long.
    fn lasts(&mut self, holds: Duration) {
        self.failures = 0;
        self.until = Some(tokio::time::Instant::now() + holds.mul_f64(1.0 + 0.1 * fastrand::f64()));
    }

    /// After a question: where there was no answer, the next one waits.
    fn after<T>(&mut self, outcome: Result<T, String>) -> Result<T, String> {
        if outcome.is_err() {
            let wait = FIRST_RETRY.saturating_mul(1 << self.failures.min(5)).min(LAST_RETRY);
            self.failures += 1;
            self.until = Some(tokio::time::Instant::now() + wait.mul_f64(0.75 + 0.5 * fastrand::f64()));
        }
        outcome
    }

    async fn over(&self) {
        if let Some(until) = self.until {
            tokio::time::sleep_until(until).await;
        }
    }
}
