//! Discovery in DNS: the addresses of a name, and the services of one, asked for again when the answer has grown old.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{FuturesOrdered, StreamExt};
use parking_lot::Mutex;
use pingora::Result;
use pingora_load_balancing::discovery::ServiceDiscovery;
use portreeve_config::units::ServiceName;

use super::resolver::{Answered, Family, Resolver, Service};
use super::{Discovered, Facts, Found, PacedDiscovery, not_found};

/// Most hosts of one service whose addresses are asked for.
const MAX_HOSTS: usize = 256;

/// The A and AAAA records of a name.
pub(super) struct Name {
    /// As it was answered last.
    host: Mutex<Host>,
    port: u16,
    resolver: Resolver,
    pause: Pause,
}

impl Name {
    pub(super) fn new(name: &str, port: u16, resolver: Resolver) -> Self {
        Self { host: Mutex::new(Host::new(name)), port, resolver, pause: Pause::default() }
    }
}

#[async_trait]
impl ServiceDiscovery for Name {
    async fn discover(&self) -> Result<Discovered> {
        let mut host = self.host.lock().clone();
        let outcome = host.ask(&self.resolver).await;
        let found = |ip| Found {
            address: SocketAddr::new(ip, self.port),
            weight: 1,
            facts: Facts { name: Some(host.name.clone()), ..Facts::default() },
        };
        let found = host.addresses().map(found).collect();
        *self.host.lock() = host;
        self.pause.note(outcome.as_ref().ok().copied());
        outcome.map_err(not_found)?;
        Ok(Found::answer(found))
    }
}

#[async_trait]
impl PacedDiscovery for Name {
    async fn due(&self) {
        self.pause.over().await;
    }
}

/// The SRV records of a name, and the addresses of the hosts that they name.
pub(super) struct Services {
    name: ServiceName,
    resolver: Resolver,
    /// As they were answered last.
    hosts: Mutex<Vec<Host>>,
    pause: Pause,
}

impl Services {
    pub(super) fn new(name: ServiceName, resolver: Resolver) -> Self {
        Self { name, resolver, hosts: Mutex::default(), pause: Pause::default() }
    }

    /// What is found, and how long that holds.
    async fn ask(&self) -> Result<(Vec<Found>, Duration), String> {
        let Answered { mut records, mut holds } = self.resolver.services(self.name.as_str()).await?;
        // "." says that the service is decidedly not there (RFC 2782).
        records.retain(|service| service.host != "." && service.port != 0);
        let mut names: Vec<&str> = records.iter().map(|service| service.host.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names.truncate(MAX_HOSTS);
        let mut hosts: Vec<Host> = {
            let before = self.hosts.lock();
            let known = |name: &str| before.iter().find(|host| &*host.name == name).cloned();
            names.iter().map(|name| known(name).unwrap_or_else(|| Host::new(name))).collect()
        };
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
        let found: Vec<Found> = records.iter().flat_map(|service| targets(service, &hosts)).collect();
        *self.hosts.lock() = hosts;
        match failed {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok((found, holds)),
        }
    }
}

#[async_trait]
impl ServiceDiscovery for Services {
    async fn discover(&self) -> Result<Discovered> {
        let outcome = self.ask().await;
        self.pause.note(outcome.as_ref().map(|(_, holds)| *holds).ok());
        let (found, _) = outcome.map_err(not_found)?;
        Ok(Found::answer(found))
    }
}

#[async_trait]
impl PacedDiscovery for Services {
    async fn due(&self) {
        self.pause.over().await;
    }
}

/// The targets of one service.
fn targets(service: &Service, hosts: &[Host]) -> Vec<Found> {
    let host = hosts.iter().find(|host| *host.name == *service.host);
    let found = |ip| Found {
        address: SocketAddr::new(ip, service.port),
        // Weight 0 has a very small chance beside others, and all of it alone (RFC 2782): never none.
        weight: u32::from(service.weight).max(1),
        facts: Facts { name: Some(service.host.trim_end_matches('.').into()), priority: service.priority, zone: None },
    };
    host.into_iter().flat_map(Host::addresses).map(found).collect()
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

/// The time until the next question: what is left of an answer's, and a little at random, so that a fleet does not ask
/// in step.
#[derive(Default)]
struct Pause(Mutex<Pacing>);

#[derive(Default)]
struct Pacing {
    until: Option<tokio::time::Instant>,
    /// Questions in a row without an answer.
    failures: u32,
}

/// The wait after the first question without an answer; it doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest such wait.
const LAST_RETRY: Duration = Duration::from_secs(30);

impl Pause {
    /// After a question: how long its answer holds; `None` without an answer.
    fn note(&self, holds: Option<Duration>) {
        let mut pacing = self.0.lock();
        let wait = if let Some(holds) = holds {
            pacing.failures = 0;
            holds.mul_f64(1.0 + 0.1 * fastrand::f64())
        } else {
            let wait = FIRST_RETRY.saturating_mul(1 << pacing.failures.min(5)).min(LAST_RETRY);
            pacing.failures += 1;
            wait.mul_f64(0.75 + 0.5 * fastrand::f64())
        };
        pacing.until = Some(tokio::time::Instant::now() + wait);
    }

    async fn over(&self) {
        let until = self.0.lock().until;
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
    }
}
