//! Listening sockets: one for each worker on each listener, sharing the address through `SO_REUSEPORT`.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections the kernel keeps for us until they are accepted; it caps this at `net.core.somaxconn`.
const BACKLOG: i32 = 65_535;

/// The sockets of one listener, one for each worker.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) each: Vec<TcpListener>,
    address: SocketAddr,
}

/// An address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl Sockets {
    /// Binds `workers` sockets to one address. Port 0 lets the system choose, once for all of them.
    ///
    /// # Errors
    /// When the address is taken, not ours, or needs a privilege.
    pub(super) fn bind(address: SocketAddr, workers: usize) -> Result<Self, BindError> {
        let failed = |source| BindError { address, source };
        // Without SO_REUSEPORT this probe fails if any other process listens here, even one of our own kind: two gateways that
        // unknowingly share a port would each get some of the traffic.
        drop(open(address, false).map_err(failed)?);
        let first = open(address, true).map_err(failed)?;
        let bound = first.local_addr().map_err(failed)?;
        let mut each = vec![first];
        for _ in 1..workers {
            each.push(open(bound, true).map_err(failed)?);
        }
        Ok(Self { each, address: bound })
    }

    /// The address in use.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// The connections that had been established on `listener` but not accepted when it is to close: closing it would reset them.
///
/// What comes between the last of them and the close is still reset; there is no way to close only the way in.
pub(super) fn waiting(listener: &TcpListener) -> impl Iterator<Item = (TcpStream, SocketAddr)> {
    // Bounded, since clients might come as fast as they are accepted.
    let accepted = (0..BACKLOG).map(|_| listener.accept());
    let accepted = accepted.take_while(|accepted| match accepted {
        Ok(_) => true,
        // The client gave up meanwhile; the next may not have.
        Err(error) => matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted),
    });
    accepted.flatten()
}

fn open(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // `[::]` means what it says on every system: IPv6 only.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    if shared {
        socket.listen(BACKLOG)?;
    }
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_workers_share_the_port_that_the_system_chose() {
        let sockets = Sockets::bind("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        assert_eq!(sockets.each.len(), 3);
        assert!(sockets.each.iter().all(|each| each.local_addr().unwrap() == sockets.address()));
    }

    #[test]
    fn whoever_was_connected_but_not_accepted_is_found_before_the_close() {
        let sockets = Sockets::bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let clients: Vec<_> = (0..3).map(|_| TcpStream::connect(sockets.address()).unwrap()).collect();
        let mut found: Vec<_> = waiting(&sockets.each[0]).map(|(_, peer)| peer).collect();
        let mut wanted: Vec<_> = clients.iter().map(|client| client.local_addr().unwrap()).collect();
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted);
        assert_eq!(waiting(&sockets.each[0]).count(), 0);
    }

    #[test]
    fn a_port_that_another_listener_holds_is_refused() {
        let held = Sockets::bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let error = Sockets::bind(held.address(), 1).unwrap_err();
        assert!(error.to_string().starts_with("cannot listen on 127.0.0.1:"), "{error}");
    }
}
