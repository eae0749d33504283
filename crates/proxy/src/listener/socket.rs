//! Listening sockets: one for each worker on each listener, sharing the address through `SO_REUSEPORT`.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};

/// Connections the kernel keeps for us until they are accepted; it caps this at `net.core.somaxconn`.
const BACKLOG: i32 = 65_535;

/// Bytes that the kernel holds back unsent before it says that there is room again. Without a bound it says so only when a
/// third of its buffer, up to megabytes, is free, and a client that is slow looks like one that takes nothing.
#[cfg(target_os = "linux")]
const NOT_SENT: u32 = 16 * 1024;

/// The sockets of one listener: one for each worker, or more if another process with more workers handed them over.
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

    /// Takes over sockets that another process listens with, and adds what is missing for as many workers. Nobody who
    /// connects meanwhile is refused: the queue of a socket lives as long as anyone has it.
    ///
    /// # Errors
    /// When a further socket cannot be had.
    pub(super) fn take_over(inherited: Inherited, workers: usize) -> Result<Self, BindError> {
        let Inherited { address, sockets: mut each, .. } = inherited;
        let failed = |source| BindError { address, source };
        for socket in &each {
            socket.set_nonblocking(true).map_err(failed)?;
        }
        for _ in each.len()..workers {
            each.push(open(address, true).map_err(failed)?);
        }
        Ok(Self { each, address })
    }

    /// The address in use.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same sockets once more, to be handed over.
    pub(super) fn copies(&self) -> Result<Vec<TcpListener>, BindError> {
        let failed = |source| BindError { address: self.address, source };
        self.each.iter().map(|socket| socket.try_clone().map_err(failed)).collect()
    }
}

/// The sockets of one listener, on their way from one process to the next.
#[derive(Debug)]
pub struct Inherited {
    /// The listener's name.
    pub name: Arc<str>,
    /// Its address as the file has it; port 0 stays 0.
    pub wanted: SocketAddr,
    /// Where they listen.
    pub address: SocketAddr,
    /// At least one.
    pub sockets: Vec<TcpListener>,
}

impl Inherited {
    /// The same once more.
    pub(super) fn copy(&self) -> Result<Self, BindError> {
        let Self { wanted, address, .. } = *self;
        let sockets = self.sockets.iter().map(TcpListener::try_clone).collect::<io::Result<_>>();
        Ok(Self {
            name: self.name.clone(),
            wanted,
            address,
            sockets: sockets.map_err(|source| BindError { address, source })?,
        })
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
    // Connections take these two over from the socket that accepts them. Answers leave in one piece when they are flushed;
    // waiting for more (Nagle) would only delay them.
    socket.set_tcp_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(NOT_SENT)?;
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
