//! What a reload has changed, by name: the operator who reads the log need not compare files.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use portreeve_config::Config;
use serde::Serialize;

/// Names that are told of one kind of change; of more, only how many they are.
const MAX_NAMES: usize = 20;

/// What is there now and was not, what is no longer, and what is otherwise than before.
#[derive(Debug, Default, PartialEq)]
struct Difference {
    added: Option<String>,
    removed: Option<String>,
    changed: Option<String>,
}

/// What has changed between two configurations.
#[derive(Debug)]
pub(crate) struct Changes {
    listeners: Difference,
    routes: Difference,
    upstreams: Difference,
    /// Other sections of the file that are otherwise than before.
    sections: Option<String>,
}

impl Changes {
    pub(crate) fn between(old: &Config, new: &Config) -> Self {
        let sections = [
            ("trusted_proxies", old.trusted_proxies != new.trusted_proxies),
            ("acme", old.acme != new.acme),
            ("access_log", old.access_log != new.access_log),
            ("usage", old.usage != new.usage),
            ("resolver", old.resolver != new.resolver),
            ("zones", old.zones != new.zones),
            ("tiers", old.tiers != new.tiers),
            ("chains", differs(&old.chains, &new.chains)),
            ("consumers", old.consumers != new.consumers),
            ("errors", old.errors != new.errors),
            ("admin", old.admin != new.admin),
        ];
        let changed = sections.into_iter().filter(|(_, is_changed)| *is_changed).map(|(name, _)| name);
        Self {
            listeners: difference(
                old.listeners.iter().map(|listener| (listener.name.as_str(), listener)),
                new.listeners.iter().map(|listener| (listener.name.as_str(), listener)),
            ),
            routes: difference(
                old.routes.iter().map(|route| (route.name.as_str(), route)),
                new.routes.iter().map(|route| (route.name.as_str(), route)),
            ),
            upstreams: difference(
                old.upstreams.iter().map(|(name, upstream)| (name.as_str(), upstream)),
                new.upstreams.iter().map(|(name, upstream)| (name.as_str(), upstream)),
            ),
            sections: names(changed.collect()),
        }
    }

    /// Tells of it in the log. `reason` is what asked for it.
    pub(crate) fn tell(&self, generation: u64, reason: &'static str) {
        let Self { listeners, routes, upstreams, sections } = self;
        tracing::info!(
            generation,
            reason,
            listeners_added = listeners.added,
            listeners_removed = listeners.removed,
            listeners_changed = listeners.changed,
            routes_added = routes.added,
            routes_removed = routes.removed,
            routes_changed = routes.changed,
            upstreams_added = upstreams.added,
            upstreams_removed = upstreams.removed,
            upstreams_changed = upstreams.changed,
            sections_changed = sections,
            "The configuration took effect."
        );
    }
}

/// Whether two values say different things, wherever in the file they stand.
fn differs<T: PartialEq + Serialize>(old: &T, new: &T) -> bool {
    // What is written is without its place; it is made only where something is otherwise.
    old != new && serde_json::to_value(old).ok() != serde_json::to_value(new).ok()
}

fn difference<'c, T: PartialEq + Serialize + 'c>(
    old: impl Iterator<Item = (&'c str, &'c T)>,
    new: impl Iterator<Item = (&'c str, &'c T)>,
) -> Difference {
    let mut left: BTreeMap<_, _> = old.collect();
    let (mut added, mut changed) = (Vec::new(), Vec::new());
    for (name, now) in new {
        match left.remove(name) {
            None => added.push(name),
            Some(before) if differs(before, now) => changed.push(name),
            Some(_) => {}
        }
    }
    Difference { added: names(added), removed: names(left.into_keys().collect()), changed: names(changed) }
}

fn names(names: Vec<&str>) -> Option<String> {
    let (told, rest) = names.split_at(names.len().min(MAX_NAMES));
    let told = told.join(", ");
    match rest.len() {
        0 if told.is_empty() => None,
        0 => Some(told),
        more => Some(format!("{told} and {more} more")),
    }
}

/// Tells of listeners that are open now and were not, and of those that are no longer.
pub(crate) fn tell_listeners(before: &[(Arc<str>, SocketAddr)], now: &[(Arc<str>, SocketAddr)]) {
    let known: HashSet<_> = before.iter().collect();
    for (name, address) in now.iter().filter(|listener| !known.contains(listener)) {
        tracing::info!(listener = &**name, %address, "Listening.");
    }
    let left: HashSet<_> = now.iter().collect();
    for (name, address) in before.iter().filter(|listener| !left.contains(listener)) {
        tracing::info!(listener = &**name, %address, "No longer listening.");
    }
}

#[cfg(test)]
mod tests {
    use portreeve_config::{Catalog, load_str};

    use super::*;

    fn config(routes: &str, rest: &str) -> Config {
        let yaml = format!(
            "version: 1\nlisteners: [{{ name: public, bind: '127.0.0.1:0' }}]\nroutes: [{routes}]\nupstreams: {{ a: {{ targets: ['127.0.0.1:1'] }}, {rest} }}\n"
        );
        load_str("gateway.yaml", &yaml, &Catalog::default(), &|_| None).unwrap().config
    }

    #[test]
    fn what_came_what_went_and_what_is_otherwise_is_told_by_name() {
        let route = |name: &str, upstream: &str| {
            format!("{{ name: {name}, match: {{ path: /{name} }}, public: true, upstream: {upstream} }},")
        };
        let old = config(
            &[route("one", "a"), route("two", "a"), route("three", "a")].concat(),
            "b: { targets: ['127.0.0.1:1'] }",
        );
        let new = config(
            &[route("two", "c"), route("three", "a"), route("four", "c")].concat(),
            "c: { targets: ['127.0.0.1:1'] }",
        );
        let changes = Changes::between(&old, &new);
        let told = |added: &str, removed: &str, changed: Option<&str>| Difference {
            added: Some(added.into()),
            removed: Some(removed.into()),
            changed: changed.map(str::to_owned),
        };
        assert_eq!(changes.routes, told("four", "one", Some("two")));
        assert_eq!(changes.upstreams, told("c", "b", None));
        assert_eq!((changes.listeners, changes.sections), (Difference::default(), None));
    }

    #[test]
    fn of_many_names_only_the_first_are_told_and_how_many_there_are() {
        let all: Vec<_> = (0..25).map(|n| format!("r{n}")).collect();
        let told = names(all.iter().map(String::as_str).collect()).unwrap();
        assert!(told.starts_with("r0, r1, ") && told.ends_with("r19 and 5 more"), "{told}");
    }
}
