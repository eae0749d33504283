//! What usage is told apart by: consumer, tier, route, version.

use std::sync::Arc;

use indexmap::Equivalent;
use serde::{Deserialize, Serialize};

/// Who used what. A part is missing where nobody was authenticated, the consumer has no tier, no route was found, or
/// nothing said which version it was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Key {
    /// Id of the consumer.
    pub consumer: Option<Arc<str>>,
    /// Name of its tier.
    pub tier: Option<Arc<str>>,
    /// Name of the route.
    pub route: Option<Arc<str>>,
    /// Name of the version.
    pub version: Option<Arc<str>>,
}

/// A [`Key`] as a request has it, borrowed. Its fields are hashed in the order and form of [`Key`]'s.
#[derive(Debug, Clone, Copy, Default, Hash)]
pub struct Asked<'a> {
    /// As [`Key::consumer`].
    pub consumer: Option<&'a Arc<str>>,
    /// As [`Key::tier`].
    pub tier: Option<&'a Arc<str>>,
    /// As [`Key::route`].
    pub route: Option<&'a Arc<str>>,
    /// As [`Key::version`].
    pub version: Option<&'a Arc<str>>,
}

/// The longest name, in bytes, that has a row of its own: whoever names itself must not choose how much memory that takes.
const LONGEST: usize = 256;

impl Asked<'_> {
    /// Whether the names may be kept.
    pub(crate) fn is_short(&self) -> bool {
        let names = [self.consumer, self.tier, self.version];
        names.into_iter().flatten().all(|name| name.len() <= LONGEST)
    }

    /// The same to keep.
    pub(crate) fn to_key(self) -> Key {
        Key {
            consumer: self.consumer.cloned(),
            tier: self.tier.cloned(),
            route: self.route.cloned(),
            version: self.version.cloned(),
        }
    }
}

impl Equivalent<Key> for Asked<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.consumer == key.consumer.as_ref()
            && self.tier == key.tier.as_ref()
            && self.route == key.route.as_ref()
            && self.version == key.version.as_ref()
    }
}

/// One part of a [`Key`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    /// [`Key::consumer`].
    Consumer,
    /// [`Key::tier`].
    Tier,
    /// [`Key::route`].
    Route,
    /// [`Key::version`].
    Version,
}

impl Dimension {
    /// All of them, in the order of [`Key`].
    pub const ALL: [Self; 4] = [Self::Consumer, Self::Tier, Self::Route, Self::Version];

    /// Its name in queries.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::Tier => "tier",
            Self::Route => "route",
            Self::Version => "version",
        }
    }

    /// This part of a key.
    pub(crate) fn of(self, key: &Key) -> Option<&Arc<str>> {
        match self {
            Self::Consumer => key.consumer.as_ref(),
            Self::Tier => key.tier.as_ref(),
            Self::Route => key.route.as_ref(),
            Self::Version => key.version.as_ref(),
        }
    }

    /// Where this part of a key stands.
    pub(crate) fn within(self, key: &mut Key) -> &mut Option<Arc<str>> {
        match self {
            Self::Consumer => &mut key.consumer,
            Self::Tier => &mut key.tier,
            Self::Route => &mut key.route,
            Self::Version => &mut key.version,
        }
    }
}
