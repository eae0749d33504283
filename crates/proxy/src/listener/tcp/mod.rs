//! Connections that are passed to an upstream as they are: which upstream, a target of it, and bytes both ways until an end.
//!
//! What comes before is shared with HTTP (`serve.rs`): limits, PROXY protocol, TLS. docs/tcp.md tells what is promised.

mod account;
mod dial;
mod hello;
mod relay;
mod ways;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portreeve_config::TcpTimeouts;
use portreeve_wire::proxy_protocol::Header;

pub(super) use hello::read as read_hello;
pub(crate) use ways::{SameName, Way, Ways};

use super::connection_info::ConnectionInfo;
use super::transport::Transport;
use crate::request::phases::Phases;
use crate::snapshot::CompiledListener;
use account::Account;
use dial::Caller;

/// Where the connections of a listener go, as one generation says. A connection keeps to the one it began with.
#[derive(Debug)]
pub(crate) struct Tcp {
    ways: Ways,
    idle: Duration,
    total: Option<Duration>,
}

impl Tcp {
    pub(crate) fn new(ways: Ways, timeouts: &TcpTimeouts) -> Self {
        Self { ways, idle: timeouts.idle.get(), total: timeouts.total.map(portreeve_config::units::Duration::get) }
    }

    /// Whether it takes the name that a client asks for to tell where its connection goes.
    pub(super) fn goes_by_name(&self) -> bool {
        self.ways.go_by_name()
    }
}

/// Serves a connection to its end. `name` is the one the client asks for in TLS, where that is known.
///
/// # Errors
/// In one word of a closed set, why the connection goes nowhere. Whatever happens after that is counted and logged here.
pub(super) async fn serve(
    phases: &Phases,
    entrance: &Arc<CompiledListener>,
    tcp: &Tcp,
    mut client: Transport,
    facts: &ConnectionInfo,
    name: Option<&str>,
) -> Result<(), &'static str> {
    let mut account = Account::open(phases, entrance, facts.client, name);
    let way = match tcp.ways.find(name) {
        Ok(way) => way,
        Err(reason) => {
            account.end_nowhere(reason);
            return Err(reason);
        }
    };
    account.goes(way.clone());
    let told = if facts.client.ip().is_unspecified() {
        Header::Unknown
    } else {
        Header::Proxied { source: facts.client, destination: destination(&client, facts) }
    };
    let id = account.id();
    let caller = Caller { client: facts.client.ip(), told, name, id: &id };
    match dial::dial(&way.pool, &caller, &mut account).await {
        Ok((mut target, _held)) => {
            let limits = relay::Limits { idle: tcp.idle, total: tcp.total };
            let end = relay::relay(&mut client, &mut target, limits, &mut account).await;
            account.end(end);
        }
        Err(fault) => account.end(account::End::Unreached(fault)),
    }
    Ok(())
}

/// Where the client had connected to: as a trusted proxy says, else as the system does.
fn destination(client: &Transport, facts: &ConnectionInfo) -> SocketAddr {
    let own = || client.local_addr().ok();
    let address = facts.destination.or_else(own).unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)));
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
