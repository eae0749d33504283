//! The table of hosts. One lookup for the exact name; one for each suffix that is not longer than the longest wildcard.

use std::ops::ControlFlow;

use ahash::AHashMap;

use super::{HostPattern, MAX_HOST, canonical};

/// Something for each host pattern, found by host.
#[derive(Debug)]
pub(crate) struct HostTable<T> {
    exact: AHashMap<Box<str>, T>,
    wildcard: AHashMap<Box<str>, T>,
    any: Option<T>,
    /// Bytes of the longest wildcard suffix: longer suffixes of a host need no look.
    longest: usize,
}

/// One host pattern of the table with what it leads to. `None` is any host.
#[derive(Debug)]
pub(crate) struct Hosted<'t, T> {
    pub(crate) wildcard: bool,
    pub(crate) name: Option<&'t str>,
    pub(crate) value: &'t T,
}

impl<T> Default for HostTable<T> {
    fn default() -> Self {
        Self { exact: AHashMap::new(), wildcard: AHashMap::new(), any: None, longest: 0 }
    }
}

impl<T: Default> HostTable<T> {
    /// What a pattern leads to, made if it is new.
    pub(crate) fn entry(&mut self, pattern: Option<&HostPattern>) -> &mut T {
        match pattern {
            None => self.any.get_or_insert_default(),
            Some(pattern) if pattern.wildcard => {
                self.longest = self.longest.max(pattern.name.len());
                self.wildcard.entry(pattern.name.clone()).or_default()
            }
            Some(pattern) => self.exact.entry(pattern.name.clone()).or_default(),
        }
    }
}

impl<T> HostTable<T> {
    /// Visits what the host leads to, most specific pattern first.
    pub(crate) fn visit<'t, B>(&'t self, host: &str, mut visit: impl FnMut(&'t T) -> ControlFlow<B>) -> ControlFlow<B> {
        let named = !self.exact.is_empty() || !self.wildcard.is_empty();
        let mut buffer = [0; MAX_HOST];
        if named && let Some(host) = canonical(host, &mut buffer) {
            if let Some(value) = self.exact.get(host) {
                visit(value)?;
            }
            if !self.wildcard.is_empty() {
                let mut rest = host;
                while let Some((label, suffix)) = rest.split_once('.') {
                    rest = suffix;
                    let is_whole = label.len() + 1 + suffix.len() == host.len();
                    if suffix.len() > self.longest || is_whole && label.is_empty() {
                        continue;
                    }
                    if let Some(value) = self.wildcard.get(suffix) {
                        visit(value)?;
                    }
                }
            }
        }
        match &self.any {
            Some(value) => visit(value),
            None => ControlFlow::Continue(()),
        }
    }

    /// All patterns, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Hosted<'_, T>> {
        let exact = self.exact.iter().map(|(name, value)| Hosted { wildcard: false, name: Some(name.as_ref()), value });
        let wildcard =
            self.wildcard.iter().map(|(name, value)| Hosted { wildcard: true, name: Some(name.as_ref()), value });
        let any = self.any.iter().map(|value| Hosted { wildcard: false, name: None, value });
        exact.chain(wildcard).chain(any)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.exact.values_mut().chain(self.wildcard.values_mut()).chain(&mut self.any)
    }
}
