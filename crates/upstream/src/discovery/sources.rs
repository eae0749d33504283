//! The discoveries of one upstream, what each told last, and the targets that come out of all together.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use pingora::Result;
use pingora_load_balancing::Backend;
use portreeve_config::Upstream as UpstreamConfig;
use portreeve_config::units::{Address, Host, ServiceName};
use serde::Serialize;

use super::dns::{Name, Services};
use super::file::{self, File};
use super::{Facts, Found, MAX_FOUND, PacedDiscovery, Resolver, Written, reason};
use crate::Wrong;

/// Where the targets of one upstream come from.
pub struct TargetSources {
    all: Box<[Source]>,
    resolver: Resolver,
}

impl fmt::Debug for TargetSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TargetSources").finish_non_exhaustive()
    }
}

struct Source {
    key: Key,
    written: Written,
    /// By what the weights that it tells are multiplied: the weight of the target that names it.
    weight: u32,
    told: Mutex<SourceReport>,
}

/// What a source is, whatever else the file says of it: one that is the same knows what it knew before a reload.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    /// An address of the file: known for ever, and never asked for.
    Fixed(SocketAddr),
    Name(Address),
    Services(ServiceName),
    File(PathBuf),
}

/// What a source told last.
#[derive(Debug, Clone, Default)]
struct SourceReport {
    found: Option<Arc<[Found]>>,
    /// When it last told something, be it the same, in seconds since 1970.
    at: Option<u64>,
    /// Why the last answer was not used.
    trouble: Option<Arc<str>>,
}

/// What came of taking in an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// The set is another than before; these have left it.
    Changed(Vec<SocketAddr>),
    Same,
    /// Nothing was found: what was known stays.
    Empty,
    /// There was no answer: what was known stays.
    Failed {
        error: Arc<str>,
        /// It is not what was wrong the time before.
        is_news: bool,
    },
}

/// A target that comes out of all sources.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Share {
    /// What the sources give it, together: two that tell the same address are one target with both shares.
    pub(crate) weight: u32,
    /// What the first source with a name calls it.
    pub(crate) name: Option<Arc<str>>,
    /// The most urgent of the sources'.
    pub(crate) priority: u16,
    /// What the first source with a zone says.
    pub(crate) zone: Option<Arc<str>>,
    /// The entries of the file that it comes from.
    pub(crate) written: Vec<Written>,
}

/// What the admin port tells of a source of targets.
#[derive(Debug, Serialize)]
pub struct SourceStatus {
    /// What is asked: `dns users.internal:80`, `srv _http._tcp.users.internal`, `file /etc/portreeve/targets.yaml`.
    pub source: String,
    /// How many targets it told last.
    pub targets: usize,
    /// When it last told something, in seconds since 1970.
    pub at: Option<u64>,
    /// Why the last answer was not used; what was told before still is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Arc<str>>,
}

impl TargetSources {
    /// The sources of an upstream. Knows of each what `before` knew of it. Files are relative to `folder`.
    ///
    /// # Errors
    /// A file that cannot be used and was not in use before: a pool that cannot have anybody is refused.
    pub fn new(
        config: &UpstreamConfig,
        folder: &Path,
        resolver: Resolver,
        before: Option<&Self>,
    ) -> Result<Self, Vec<Wrong>> {
        let before: HashMap<&Key, &Source> =
            before.into_iter().flat_map(|before| &before.all).map(|source| (&source.key, source)).collect();
        let known = |key: &Key| before.get(key).map(|source| source.told.lock().clone()).unwrap_or_default();
        let targets = config.targets.iter().map(|target| {
            let weight = u32::from(target.weight);
            let (key, told) = if let Some(address) = target.address.socket_addr() {
                (Key::Fixed(address), SourceReport::fixed(address))
            } else {
                let key = Key::Name(target.address.clone());
                let told = known(&key);
                (key, told)
            };
            Source { key, written: Written::Target(target.clone()), weight, told: Mutex::new(told) }
        });
        let mut all: Vec<Source> = targets.collect();
        let mut faults = Vec::new();
        for (index, discover) in config.discover.iter().enumerate() {
            let (key, told) = match (&discover.srv, &discover.file) {
                (Some(name), _) => {
                    let key = Key::Services(name.clone());
                    let told = known(&key);
                    (key, told)
                }
                (None, Some(path)) => {
                    let path = folder.join(path);
                    let key = Key::File(path.clone());
                    let mut told = known(&key);
                    if told.found.is_none() {
                        told = SourceReport::first(&path).unwrap_or_else(|message| {
                            faults.push(Wrong::new(format!("discover[{index}].file"), message));
                            SourceReport::default()
                        });
                    }
                    (key, told)
                }
                (None, None) => continue,
            };
            let written = Written::Discover(discover.clone());
            all.push(Source { key, written, weight: 1, told: Mutex::new(told) });
        }
        if faults.is_empty() { Ok(Self { all: all.into(), resolver }) } else { Err(faults) }
    }

    /// Who is asked for names.
    pub(crate) fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// Whether anything must be asked for at all.
    pub(crate) fn are_asked(&self) -> bool {
        self.all.iter().any(|source| !matches!(source.key, Key::Fixed(_)))
    }

    /// Whether every source has told something already.
    pub(crate) fn are_known(&self) -> bool {
        self.all.iter().all(|source| source.told.lock().found.is_some())
    }

    /// The discoveries, each with the number of its source.
    pub(super) fn discoveries(&self) -> Vec<(usize, Box<dyn PacedDiscovery>)> {
        let discovery = |(number, source): (usize, &Source)| -> Option<(usize, Box<dyn PacedDiscovery>)> {
            Some((
                number,
                match &source.key {
                    Key::Name(Address { host: Host::Name(name), port }) => {
                        Box::new(Name::new(name, *port, self.resolver.clone()))
                    }
                    Key::Fixed(_) | Key::Name(_) => return None,
                    Key::Services(name) => Box::new(Services::new(name.clone(), self.resolver.clone())),
                    Key::File(path) => Box::new(File::new(path.clone())),
                },
            ))
        };
        self.all.iter().enumerate().filter_map(discovery).collect()
    }

    /// Takes in what a source told.
    pub(super) fn take(&self, number: usize, outcome: Result<BTreeSet<Backend>>) -> Taken {
        let Some(source) = self.all.get(number) else { return Taken::Same };
        let mut told = source.told.lock();
        // Compared with all that is said of them: a backend is equal to one of another name, priority or zone.
        let mut found: Vec<Found> = match outcome {
            Ok(targets) => targets.iter().filter_map(Found::of).collect(),
            Err(error) => {
                let error: Arc<str> = reason(&error).into();
                let is_news = told.trouble.replace(error.clone()).is_none_or(|known| known != error);
                return Taken::Failed { error, is_news };
            }
        };
        if found.iter().all(|found| found.weight == 0) {
            told.trouble = Some("nobody was found; what was found before is kept".into());
            return Taken::Empty;
        }
        found.dedup_by(|a, b| a.address == b.address);
        found.truncate(MAX_FOUND);
        let known = told.found.replace(found.into()).unwrap_or_default();
        (told.at, told.trouble) = (Some(unix_seconds()), None);
        let found = told.found.as_deref().unwrap_or_default();
        if *known == *found {
            return Taken::Same;
        }
        let left = known.iter().map(|known| known.address);
        Taken::Changed(left.filter(|address| !found.iter().any(|found| found.address == *address)).collect())
    }

    /// What a source is called in the log.
    pub(super) fn label(&self, number: usize) -> String {
        self.all.get(number).map(|source| source.key.to_string()).unwrap_or_default()
    }

    /// The targets of all sources.
    pub(crate) fn shares(&self) -> BTreeMap<SocketAddr, Share> {
        let mut shares: BTreeMap<SocketAddr, Share> = BTreeMap::new();
        for source in &self.all {
            let found = source.told.lock().found.clone().unwrap_or_default();
            for found in &*found {
                let weight = found.weight.saturating_mul(source.weight);
                // What the file says of a name holds for every address that it stands for.
                let (priority, zone) = match &source.written {
                    Written::Target(target) => (target.priority, target.zone.as_deref().map(Arc::from)),
                    Written::Discover(_) => (found.facts.priority, found.facts.zone.clone()),
                };
                let share = shares.entry(found.address).or_insert_with(|| Share {
                    weight: 0,
                    name: None,
                    priority,
                    zone: None,
                    written: Vec::new(),
                });
                share.weight = share.weight.saturating_add(weight);
                share.name = share.name.take().or_else(|| found.facts.name.clone());
                share.priority = share.priority.min(priority);
                share.zone = share.zone.take().or(zone);
                share.written.push(source.written.clone());
            }
        }
        shares
    }

    /// How its discoveries are doing.
    pub(crate) fn status(&self) -> Vec<SourceStatus> {
        let asked = self.all.iter().filter(|source| !matches!(source.key, Key::Fixed(_)));
        let status = |source: &Source| {
            let told = source.told.lock();
            SourceStatus {
                source: source.key.to_string(),
                targets: told.found.as_ref().map_or(0, |found| found.len()),
                at: told.at,
                error: told.trouble.clone(),
            }
        };
        asked.map(status).collect()
    }
}

impl SourceReport {
    fn fixed(address: SocketAddr) -> Self {
        let found = Found { address, weight: 1, facts: Facts::default() };
        Self { found: Some(Arc::new([found])), ..Self::default() }
    }

    /// A file at load.
    fn first(path: &Path) -> Result<Self, String> {
        let found = file::read(path)?;
        if found.iter().all(|found| found.weight == 0) {
            return Err(format!("{} has nobody to send requests to", path.display()));
        }
        Ok(Self { found: Some(found.into()), at: Some(unix_seconds()), trouble: None })
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(address) => address.fmt(f),
            Self::Name(name) => write!(f, "dns {name}"),
            Self::Services(name) => write!(f, "srv {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
        }
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use pingora_load_balancing::discovery::{ServiceDiscovery, Static};
    use serde_json::json;

    use super::*;

    /// Whoever implements the trait of pingora-load-balancing can tell of targets, as its own `Static` does.
    #[test]
    fn a_discovery_that_says_only_addresses_and_weights_is_taken() {
        let config: UpstreamConfig =
            serde_json::from_value(json!({ "discover": { "srv": "_http._tcp.users.test" } })).unwrap();
        let resolver = Resolver::new(&portreeve_config::Resolver::default());
        let sources = TargetSources::new(&config, Path::new(""), resolver, None).unwrap();
        let backends = ["10.0.0.2:80", "10.0.0.1:80"].map(|address| Backend::new_with_weight(address, 7).unwrap());
        let (told, _) = Static::new(BTreeSet::from(backends)).discover().now_or_never().unwrap().unwrap();
        assert_eq!(sources.take(0, Ok(told.clone())), Taken::Changed(Vec::new()));
        assert_eq!(sources.take(0, Ok(told)), Taken::Same);
        let shares = sources.shares();
        let shares: Vec<_> =
            shares.iter().map(|(address, share)| (address.to_string(), share.weight, share.priority)).collect();
        assert_eq!(shares, [("10.0.0.1:80".to_owned(), 7, 0), ("10.0.0.2:80".to_owned(), 7, 0)]);
    }

    #[test]
    fn a_change_of_name_zone_or_priority_is_a_change_although_the_backends_are_equal() {
        let config: UpstreamConfig =
            serde_json::from_value(json!({ "discover": { "srv": "_http._tcp.users.test" } })).unwrap();
        let resolver = Resolver::new(&portreeve_config::Resolver::default());
        let sources = TargetSources::new(&config, Path::new(""), resolver, None).unwrap();
        let told = |facts: Facts| {
            let found = Found { address: ([10, 0, 0, 1], 80).into(), facts, weight: 1 };
            Found::answer(vec![found]).0
        };
        let plain = told(Facts::default());
        assert_eq!(sources.take(0, Ok(plain.clone())), Taken::Changed(Vec::new()));
        for facts in [
            Facts { name: Some("a.test".into()), ..Facts::default() },
            Facts { zone: Some("eu-1".into()), ..Facts::default() },
            Facts { priority: 3, ..Facts::default() },
        ] {
            let told = told(facts);
            assert!(told == plain, "equal to pingora-load-balancing");
            assert_eq!(sources.take(0, Ok(told.clone())), Taken::Changed(Vec::new()));
            assert_eq!(sources.take(0, Ok(told)), Taken::Same);
        }
    }
}
