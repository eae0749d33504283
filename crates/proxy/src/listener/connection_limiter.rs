//! How many connections a listener has, in all and from each client. A connection counts for as long as its guard lives, and so
//! does each of the requests that it has at once in HTTP/2.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use portreeve_config::ConnectionRate;

use super::connection_rate::{ConnectionRates, TooFast};
use crate::descriptors;

/// An IPv6 client owns at least a network of this many bits (RFC 6177).
const IPV6_NETWORK: u32 = 64;

/// The connections of one listener, from every worker.
#[derive(Debug, Default)]
pub(super) struct ConnectionLimiter {
    all: AtomicUsize,
    /// Only clients that are connected have an entry. Taken once when a connection begins and once when it ends.
    clients: Mutex<HashMap<IpAddr, Arc<AtomicUsize>>>,
    rates: ConnectionRates,
}

/// One connection, counted.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Arc<ConnectionLimiter>,
    client: Option<Client>,
}

/// What one client has at once.
#[derive(Debug)]
struct Client {
    network: IpAddr,
    count: Arc<AtomicUsize>,
    limit: usize,
}

/// A further request of a connection, counted. The connection counts for as long as it lives, whatever has become of itself.
#[derive(Debug)]
pub(super) struct Another(Arc<Place>);

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// The listener has as many connections as it may.
    Listener,
    /// The client has.
    Client,
    /// The client makes connections faster than it may.
    Fast(TooFast),
}

impl ConnectionLimiter {
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
    /// Counts it for its client as well, who may have `limit`, and no more than its share of the descriptors, and may make
    /// connections no faster than `rate`.
    pub(super) fn of_client(
        &mut self,
        client: IpAddr,
        limit: usize,
        rate: Option<&ConnectionRate>,
    ) -> Result<(), Full> {
        let network = network(client);
        if let Some(rate) = rate {
            self.crowd.rates.check(network, rate).map_err(Full::Fast)?;
        }
        let limit = limit.min(descriptors::of_one_client());
        let mut clients = self.crowd.clients.lock();
        let count = clients.get(&network).cloned().unwrap_or_default();
        // Who has nothing yet has no entry, either.
        if count.load(Ordering::Relaxed) >= limit {
            return Err(Full::Client);
        }
        if count.fetch_add(1, Ordering::Relaxed) == 0 {
            clients.insert(network, count.clone());
        }
        self.client = Some(Client { network, count, limit });
        Ok(())
    }

    /// Counts one more for its client: a request beside another one. Takes no lock.
    pub(super) fn another(self: &Arc<Self>) -> Result<Another, Full> {
        if let Some(Client { count, limit, .. }) = &self.client
            && count.fetch_add(1, Ordering::Relaxed) >= *limit
        {
            count.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::Client);
        }
        Ok(Another(self.clone()))
    }
}

impl Drop for Another {
    fn drop(&mut self) {
        if let Some(client) = &self.0.client {
            client.count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.all.fetch_sub(1, Ordering::Relaxed);
        let Some(Client { network, count, .. }) = self.client.take() else { return };
        let mut clients = self.crowd.clients.lock();
        // Whatever else is counted has a place of its own.
        if count.fetch_sub(1, Ordering::Relaxed) == 1 {
            clients.remove(&network);
            // A crowd that came and went leaves no table behind.
            if clients.capacity() > 1024 && clients.len() * 4 < clients.capacity() {
                clients.shrink_to_fit();
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
        let crowd = Arc::new(ConnectionLimiter::default());
        let first = crowd.enter(1).unwrap();
        assert_eq!(crowd.enter(1).unwrap_err(), Full::Listener);
        drop(first);
        assert!(crowd.enter(1).is_ok());
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_client_and_leave_nothing_behind() {
        let crowd = Arc::new(ConnectionLimiter::default());
        let mut places: Vec<_> = (0..3).map(|_| crowd.enter(9).unwrap()).collect();
        places[0].of_client("2001:db8:0:1::1".parse().unwrap(), 2, None).unwrap();
        places[1].of_client("2001:db8:0:1:ffff::".parse().unwrap(), 2, None).unwrap();
        assert_eq!(places[2].of_client("2001:db8:0:1::7".parse().unwrap(), 2, None), Err(Full::Client));
        assert!(places[2].of_client("2001:db8:0:2::7".parse().unwrap(), 2, None).is_ok());
        assert_eq!(crowd.known_clients(), 2);
        drop(places);
        assert_eq!((crowd.known_clients(), crowd.all.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn requests_at_once_count_for_their_client_as_its_connections_do() {
        let crowd = Arc::new(ConnectionLimiter::default());
        let (mut first, mut second) = (crowd.enter(9).unwrap(), crowd.enter(9).unwrap());
        let client = "192.0.2.1".parse().unwrap();
        first.of_client(client, 3, None).unwrap();
        let first = Arc::new(first);
        let (one, another) = (first.another().unwrap(), first.another().unwrap());
        assert_eq!(first.another().unwrap_err(), Full::Client);
        assert_eq!(second.of_client(client, 3, None), Err(Full::Client));
        drop(one);
        assert!(second.of_client(client, 3, None).is_ok());
        assert_eq!(first.another().unwrap_err(), Full::Client);
        drop((first, second));
        assert_eq!(crowd.known_clients(), 1, "a request outlives its connection");
        drop(another);
        assert_eq!((crowd.known_clients(), crowd.all.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn requests_of_a_connection_whose_client_is_not_counted_are_not_counted() {
        let place = Arc::new(Arc::new(ConnectionLimiter::default()).enter(9).unwrap());
        assert!((0..100).all(|_| place.another().is_ok()));
    }
}
