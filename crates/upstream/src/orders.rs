//! What operators have ordered of single targets: drained, disabled, weighed otherwise. An order outlives reloads, until the file
//! changes the entry that the target comes from, or the target is gone.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use portreeve_config::units::Name;
use portreeve_config::{Named, Upstream as UpstreamConfig};
use serde::Serialize;

use super::discovery::Written;

/// What an operator may do with one target of one upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Gives it no new request; those in flight end. Its checks go on.
    Drain,
    /// Takes it out altogether: no new request, and no checks. It proves itself again when it is enabled.
    Disable,
    /// Ends draining and disabling.
    Enable,
    /// Gives it another share than the file; 0 takes it out, `None` gives the file's back.
    Weight(Option<u16>),
}

/// How a target stands by order of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// No new requests.
    Draining,
    /// No new requests, no checks.
    Disabled,
}

/// What is ordered of a target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Order {
    /// What keeps requests from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Standing>,
    /// Its share, instead of the file's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// Who ordered it last: the address that the order came from.
    pub by: Arc<str>,
    /// When, in seconds since 1970.
    pub at: u64,
    /// The entries of the file that the target came from when it was ordered.
    #[serde(skip)]
    pub(super) written: Vec<Written>,
}

impl Order {
    /// Whether it still orders anything.
    fn is_void(&self) -> bool {
        self.state.is_none() && self.weight.is_none()
    }

    /// Whether it holds for a target that comes from these entries.
    fn holds_for(&self, written: &[Written]) -> bool {
        self.written.iter().any(|entry| written.contains(entry))
    }
}

/// The orders in force, by upstream and address.
#[derive(Debug, Default)]
pub struct Orders(Mutex<HashMap<Arc<str>, HashMap<SocketAddr, Order>>>);

impl Orders {
    /// What is ordered of a target that comes from these entries of the file.
    pub(super) fn of(&self, upstream: &str, address: SocketAddr, written: &[Written]) -> Option<Order> {
        let all = self.0.lock();
        all.get(upstream)?.get(&address).filter(|order| order.holds_for(written)).cloned()
    }

    /// Whether anything is ordered of this upstream's targets.
    pub(super) fn has(&self, upstream: &str) -> bool {
        self.0.lock().contains_key(upstream)
    }

    /// Adds to what is ordered of a target.
    pub(super) fn give(
        &self,
        upstream: &Arc<str>,
        address: SocketAddr,
        operation: Operation,
        by: &str,
        at: u64,
        written: &[Written],
    ) {
        let mut all = self.0.lock();
        let of_upstream = all.entry(upstream.clone()).or_default();
        let known = of_upstream.remove(&address).filter(|order| order.holds_for(written));
        let (mut state, mut weight) = known.map(|order| (order.state, order.weight)).unwrap_or_default();
        match operation {
            Operation::Drain => state = Some(Standing::Draining),
            Operation::Disable => state = Some(Standing::Disabled),
            Operation::Enable => state = None,
            Operation::Weight(ordered) => weight = ordered,
        }
        let order = Order { state, weight, by: by.into(), at, written: written.to_vec() };
        if !order.is_void() {
            of_upstream.insert(address, order);
        }
        all.retain(|_, orders| !orders.is_empty());
    }

    /// These have left the upstream: whoever has their address next is another.
    pub(super) fn forget(&self, upstream: &str, left: &[SocketAddr]) {
        let mut all = self.0.lock();
        if let Some(orders) = all.get_mut(upstream) {
            orders.retain(|address, _| !left.contains(address));
        }
        all.retain(|_, orders| !orders.is_empty());
    }

    /// Forgets what the configuration that has taken effect leaves nothing of.
    pub fn settle(&self, upstreams: &Named<UpstreamConfig>) {
        let mut all = self.0.lock();
        all.retain(|name, orders| {
            let config = upstreams.into_iter().find(|(known, _): &(&Name, _)| known.as_str() == &**name);
            let Some((_, config)) = config else { return false };
            orders.retain(|_, order| {
                order.written.iter().any(|written| match written {
                    Written::Target(target) => config.targets.contains(target),
                    Written::Discover(discover) => config.discover.contains(discover),
                })
            });
            !orders.is_empty()
        });
    }

    /// How many there are.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.0.lock().values().map(HashMap::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn upstreams(of_users: serde_json::Value) -> Named<UpstreamConfig> {
        serde_json::from_value(json!({ "users": of_users })).unwrap()
    }

    fn written(upstreams: &Named<UpstreamConfig>) -> Vec<Written> {
        upstreams["users"].targets.iter().cloned().map(Written::Target).collect()
    }

    const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 80);

    #[test]
    fn orders_add_up_and_an_order_that_is_taken_back_is_gone() {
        let orders = Orders::default();
        let name: Arc<str> = "users".into();
        let config = upstreams(json!({ "targets": ["127.0.0.1:80"] }));
        let written = written(&config);
        let give = |operation| {
            orders.give(&name, ADDRESS, operation, "10.0.0.9", 7, &written);
            orders.of("users", ADDRESS, &written).map(|order| (order.state, order.weight))
        };
        assert_eq!(give(Operation::Drain), Some((Some(Standing::Draining), None)));
        assert_eq!(give(Operation::Weight(Some(5))), Some((Some(Standing::Draining), Some(5))));
        assert_eq!(give(Operation::Disable), Some((Some(Standing::Disabled), Some(5))));
        assert_eq!(give(Operation::Enable), Some((None, Some(5))));
        assert_eq!(give(Operation::Weight(None)), None);
        assert_eq!(orders.count(), 0);
    }

    #[test]
    fn an_order_holds_until_the_file_changes_that_target() {
        let orders = Orders::default();
        let name: Arc<str> = "users".into();
        let config = upstreams(json!({ "targets": ["127.0.0.1:80", "127.0.0.1:81"] }));
        let entry = vec![written(&config).remove(0)];
        orders.give(&name, ADDRESS, Operation::Drain, "10.0.0.9", 7, &entry);
        // Another target comes, another key changes: nothing to this one.
        orders.settle(&upstreams(json!({ "targets": ["127.0.0.1:80", "127.0.0.1:82"], "balance": "random_two" })));
        assert!(orders.of("users", ADDRESS, &entry).is_some());
        let changed = upstreams(json!({ "targets": [{ "address": "127.0.0.1:80", "weight": 2 }] }));
        assert!(orders.of("users", ADDRESS, &written(&changed)).is_none(), "even before it has taken effect");
        orders.settle(&changed);
        assert_eq!(orders.count(), 0);
    }
}
