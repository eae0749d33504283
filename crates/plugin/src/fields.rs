//! Which fields of requests an instance reads, sets and removes, told at load: so the gateway knows what only it may say to
//! targets, and takes that from everybody else.

use http::HeaderName;

use crate::template::Reference;

/// Which fields of requests a plugin reads, sets and removes, as far as it knows when it has been built.
///
/// What it sets is taken from clients that send it themselves, on every route, unless something in the file reads it
/// first: so a client can never say what targets believe of this plugin, not on routes without it either. Of all that
/// is named here, look-alikes (`X_Tier`, `X.Tier` for `x-tier`) are taken as well.
///
/// What templates and expressions in the settings name is known to the gateway, and need not be told again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestFields {
    pub(crate) read: Vec<HeaderName>,
    pub(crate) set: Vec<HeaderName>,
    pub(crate) removed: Vec<HeaderName>,
}

impl RequestFields {
    /// None at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// Also reads these, as a client has sent them.
    #[must_use]
    pub fn reads(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.read.extend(names);
        self
    }

    /// Also sets these, or adds to them: in the request itself, or in calls that it makes to upstreams.
    #[must_use]
    pub fn sets(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.set.extend(names);
        self
    }

    /// Also removes these.
    #[must_use]
    pub fn removes(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.removed.extend(names);
        self
    }

    /// Those that it reads.
    pub fn read(&self) -> &[HeaderName] {
        &self.read
    }

    /// Those that it sets or adds to.
    pub fn set(&self) -> &[HeaderName] {
        &self.set
    }

    /// Those that it removes.
    pub fn removed(&self) -> &[HeaderName] {
        &self.removed
    }
}

/// The fields of requests among these references.
pub fn headers_of<'r>(references: impl IntoIterator<Item = &'r Reference>) -> impl Iterator<Item = HeaderName> {
    references.into_iter().filter_map(|reference| match reference {
        Reference::Header(name) => Some(name.clone()),
        _ => None,
    })
}
