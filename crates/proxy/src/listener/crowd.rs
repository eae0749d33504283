//! How many connections a listener has, in all and from each client. A connection counts for as long as its guard lives.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// An IPv6 client owns at least a network of this many bits (RFC 6177).
const IPV6_NETWORK: u32 = 64;

/// The connections of one listener, from every worker.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    all: AtomicUsize,
    /// Only clients that are connected have an entry. Taken once when a connection begins and once when it ends.
    clients: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection, counted.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Arc<Crowd>,
    client: Option<IpAddr>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// The listener has as many connections as it may.
    Listener,
    /// The client has.
    Client,
}

impl Crowd {
    /// A place among at most `limit`.
    pub(super) fn enter(self: &Arc<Self>, limit: usize) -> Result<Place, Full> {
        if self.all.fetch_add(1, Ordering::Relaxed) >= limit {
            self.all.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::Listener);
        }
        Ok(Place { crowd: self.clone(), client: None })
    }

    #[cfg(test)]
    fn known_clients(&self) -> usize {
        self.clients.lock().len()
    }
}

impl Place {
    /// Counts it for its client as well, who may have `limit`.
    pub(super) fn of_client(&mut self, client: IpAddr, limit: usize) -> Result<(), Full> {
        let client = network(client);
        match self.crowd.clients.lock().entry(client) {
            Entry::Occupied(known) if *known.get() >= limit => return Err(Full::Client),
            Entry::Occupied(mut known) => *known.get_mut() += 1,
            Entry::Vacant(new) => {
                new.insert(1);
            }
        }
        self.client = Some(client);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.all.fetch_sub(1, Ordering::Relaxed);
        let Some(client) = self.client else { return };
        let mut clients = self.crowd.clients.lock();
        if let Entry::Occupied(mut known) = clients.entry(client) {
            *known.get_mut() -= 1;
            if *known.get() == 0 {
                known.remove();
                // A crowd that came and went leaves no table behind.
                if clients.capacity() > 1024 && clients.len() * 4 < clients.capacity() {
                    clients.shrink_to_fit();
                }
            }
        }
    }
}

/// What counts as one client.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - IPV6_NETWORK)))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_connection_ends() {
        let crowd = Arc::new(Crowd::default());
        let first = crowd.enter(1).unwrap();
        assert_eq!(crowd.enter(1).unwrap_err(), Full::Listener);
        drop(first);
        assert!(crowd.enter(1).is_ok());
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_client_and_leave_nothing_behind() {
        let crowd = Arc::new(Crowd::default());
        let mut places: Vec<_> = (0..3).map(|_| crowd.enter(9).unwrap()).collect();
        places[0].of_client("2001:db8:0:1::1".parse().unwrap(), 2).unwrap();
        places[1].of_client("2001:db8:0:1:ffff::".parse().unwrap(), 2).unwrap();
        assert_eq!(places[2].of_client("2001:db8:0:1::7".parse().unwrap(), 2), Err(Full::Client));
        assert!(places[2].of_client("2001:db8:0:2::7".parse().unwrap(), 2).is_ok());
        assert_eq!(crowd.known_clients(), 2);
        drop(places);
        assert_eq!((crowd.known_clients(), crowd.all.load(Ordering::Relaxed)), (0, 0));
    }
}
