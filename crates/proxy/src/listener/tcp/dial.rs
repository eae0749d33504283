//! A connection to a target: picked like for a request, and another one tried where that fails.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portreeve_balance::{InFlight, Tried};
use portreeve_wire::proxy_protocol::Header;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::account::Account;
use crate::descriptors::{self, Descriptor};
use crate::fault::Fault;
use crate::upstream::{AttemptOutcome, Failed, Io, Pool, RetryCause, Slot, announcement};

/// For whom a target is connected to.
pub(super) struct Caller<'c> {
    pub(super) client: IpAddr,
    /// What targets are told of it, where they want to know.
    pub(super) told: Header,
    pub(super) name: Option<&'c str>,
    pub(super) id: &'c str,
}

/// What a connection holds of its upstream for as long as it lasts.
#[derive(Debug)]
pub(super) struct Held {
    _slot: Option<Slot>,
    _in_flight: InFlight,
}

/// Longest wait for a turn and for a target that takes the connection, over all tries.
const WAIT: Duration = Duration::from_secs(30);

/// Connects to a target of the pool, or to the next one, as often as its policy has it. The guard counts the connection there.
///
/// Cancel safe: dropping the future closes what it had opened.
pub(super) async fn dial(pool: &Pool, caller: &Caller<'_>, account: &mut Account) -> Result<(Io, Held), Fault> {
    let transport = pool.transport();
    let refused = |fault| {
        pool.metrics.failed(fault);
        fault
    };
    let until = Instant::now() + WAIT;
    let slot = pool.admit(None, until).await.map_err(refused)?;
    let mut first = Vec::new();
    if let Some(version) = transport.announces() {
        announcement(version, &caller.told, caller.name, caller.id, &mut first);
    }
    let (wants, mut tried, mut made) = (pool.client_wants(caller.client), Tried::new(), 0);
    pool.earn_retry();
    loop {
        let Some(descriptor) = descriptors::of_target() else { return Err(refused(Fault::NoDescriptors)) };
        let (member, in_flight) = pool.pick_for(&wants, &tried).map_err(refused)?;
        let address = member.target.address;
        tried.push(address);
        account.tries(address);
        made += 1;
        let tls = transport.stream_tls().zip(member.prepared.server_name());
        let connecting = connect(address, &first, tls, descriptor);
        let fault = match timeout(transport.connect_within(), connecting).await {
            Ok(Ok(target)) => {
                pool.metrics.answered();
                // The time to a connection stands for that to a first byte, which a target of TCP may never send.
                pool.report(&in_flight, AttemptOutcome::Answered);
                return Ok((target, Held { _slot: slot, _in_flight: in_flight }));
            }
            Ok(Err(error)) if descriptors::is_exhaustion(&error) => {
                descriptors::tell(&error);
                return Err(refused(Fault::NoDescriptors));
            }
            Ok(Err(error)) => {
                tracing::debug!(upstream = %pool.name, %address, %error, "The target could not be connected to.");
                if error.kind() == ErrorKind::ConnectionRefused { Fault::ConnectRefused } else { Fault::ConnectFailed }
            }
            Err(_) => Fault::ConnectTimeout,
        };
        pool.report(&in_flight, AttemptOutcome::Failed);
        drop(in_flight);
        pool.metrics.failed(fault);
        let failed = Failed { number: made, cause: RetryCause::Connect, answer: None };
        let Some(pause) = pool.take_retry(pool.terms(None), failed, &tried, until) else { return Err(fault) };
        tokio::time::sleep(pause).await;
    }
}

async fn connect(
    address: SocketAddr,
    first: &[u8],
    tls: Option<(&Arc<ClientConfig>, ServerName<'static>)>,
    descriptor: Descriptor,
) -> io::Result<Io> {
    let mut io = TcpStream::connect(address).await?;
    // Pieces have the size their sender gave them; waiting for more (Nagle) would only delay them.
    io.set_nodelay(true)?;
    if !first.is_empty() {
        io.write_all(first).await?;
    }
    let Some((tls, name)) = tls else { return Ok(Io::Plain(io, Some(descriptor))) };
    let stream = TlsConnector::from(tls.clone()).connect(name, io).await?;
    Ok(Io::Tls(Box::new(stream), Some(descriptor)))
}
