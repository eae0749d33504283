//! The discoveries of one upstream, what each told last, and the targets that come out of all together.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use portreeve_config::Upstream as UpstreamConfig;
use portreeve_config::units::{Address, Host, ServiceName};
use serde::Serialize;

use super::dns::{Name, Services};
use super::file::{self, File};
use super::{Discovery, Found, MAX_FOUND, Resolver, Written};
use crate::upstream::Wrong;

/// Where the targets of one upstream come from.
pub(crate) struct TargetSources {
    all: Box<[Source]>,
    resolver: Resolver,
}

struct Source {
    key: Key,
    written: Written,
    /// By what the weights that it tells are multiplied: the weight of the target that names it.
    weight: u32,
    told: Mutex<Told>,
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
struct Told {
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
pub(in crate::upstream) struct Share {
    /// What the sources give it, together: two that tell the same address are one target with both shares.
    pub(in crate::upstream) weight: u32,
    /// What the first source with a name calls it.
    pub(in crate::upstream) name: Option<Arc<str>>,
    /// The most urgent of the sources'.
    pub(in crate::upstream) priority: u16,
    /// What the first source with a zone says.
    pub(in crate::upstream) zone: Option<Arc<str>>,
    /// The entries of the file that it comes from.
    pub(in crate::upstream) written: Vec<Written>,
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
    pub(crate) fn new(
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
                (Key::Fixed(address), Told::fixed(address))
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
                        told = Told::first(&path).unwrap_or_else(|message| {
                            faults.push(Wrong::new(format!("discover[{index}].file"), message));
                            Told::default()
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
    pub(in crate::upstream) fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// Whether anything must be asked for at all.
    pub(in crate::upstream) fn are_asked(&self) -> bool {
        self.all.iter().any(|source| !matches!(source.key, Key::Fixed(_)))
    }

    /// Whether every source has told something already.
    pub(in crate::upstream) fn are_known(&self) -> bool {
        self.all.iter().all(|source| source.told.lock().found.is_some())
    }

    /// The discoveries, each with the number of its source.
    pub(super) fn discoveries(&self) -> Vec<(usize, Box<dyn Discovery>)> {
        let discovery = |(number, source): (usize, &Source)| -> Option<(usize, Box<dyn Discovery>)> {
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
    pub(super) fn take(&self, number: usize, outcome: Result<Vec<Found>, String>) -> Taken {
        let Some(source) = self.all.get(number) else { return Taken::Same };
        let mut told = source.told.lock();
        let mut found = match outcome {
            Ok(found) => found,
            Err(error) => {
                let error: Arc<str> = error.into();
                let is_news = told.trouble.replace(error.clone()).is_none_or(|known| known != error);
                return Taken::Failed { error, is_news };
            }
        };
        if found.iter().all(|found| found.weight == 0) {
            told.trouble = Some("nobody was found; what was found before is kept".into());
            return Taken::Empty;
        }
        found.sort_unstable();
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
    pub(in crate::upstream) fn shares(&self) -> BTreeMap<SocketAddr, Share> {
        let mut shares: BTreeMap<SocketAddr, Share> = BTreeMap::new();
        for source in &self.all {
            let found = source.told.lock().found.clone().unwrap_or_default();
            for found in &*found {
                let weight = found.weight.saturating_mul(source.weight);
                // What the file says of a name holds for every address that it stands for.
                let (priority, zone) = match &source.written {
                    Written::Target(target) => (target.priority, target.zone.as_deref().map(Arc::from)),
                    Written::Discover(_) => (found.priority, found.zone.clone()),
                };
                let share = shares.entry(found.address).or_insert_with(|| Share {
                    weight: 0,
                    name: None,
                    priority,
                    zone: None,
                    written: Vec::new(),
                });
                share.weight = share.weight.saturating_add(weight);
                share.name = share.name.take().or_else(|| found.name.clone());
                share.priority = share.priority.min(priority);
                share.zone = share.zone.take().or(zone);
                share.written.push(source.written.clone());
            }
        }
        shares
    }

    /// How its discoveries are doing.
    pub(in crate::upstream) fn status(&self) -> Vec<SourceStatus> {
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

impl Told {
    fn fixed(address: SocketAddr) -> Self {
        let found = Found { address, name: None, weight: 1, priority: 0, zone: None };
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
