//! What became of a connection: counted and logged once, when it is over, whatever ended it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use portreeve_plugin::engine::fresh_request_id;

use super::ways::Way;
use crate::fault::Fault;
use crate::observe::TcpLine;
use crate::request::phases::Phases;
use crate::snapshot::CompiledListener;

/// How a connection ended: one closed list, for metric and log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Both sides had said all.
    Closed,
    /// The client broke off.
    ClientReset,
    /// The target broke off.
    TargetReset,
    /// Both were silent for too long.
    IdleTimeout,
    /// It had lasted as long as it may.
    TotalTimeout,
    /// It reached no target: no turn, none to be tried, or the last one tried did not take it.
    Unreached(Fault),
    /// The gateway stopped.
    Cut,
}

impl End {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::ClientReset => "client_reset",
            Self::TargetReset => "target_reset",
            Self::IdleTimeout => "idle_timeout",
            Self::TotalTimeout => "total_timeout",
            Self::Unreached(fault) => fault.as_str(),
            Self::Cut => "cut",
        }
    }
}

/// The account of one connection. It is closed when it is dropped: a connection that a stop cuts is told of, too.
#[derive(Debug)]
pub(super) struct Account {
    phases: Phases,
    entrance: Arc<CompiledListener>,
    /// Of the generation that it began in.
    generation: u64,
    id: Arc<str>,
    client: SocketAddr,
    name: Option<Box<str>>,
    way: Option<Arc<Way>>,
    target: Option<SocketAddr>,
    attempts: u32,
    started: Instant,
    to_target: u64,
    to_client: u64,
    end: &'static str,
}

impl Account {
    pub(super) fn open(
        phases: &Phases,
        entrance: &Arc<CompiledListener>,
        client: SocketAddr,
        name: Option<&str>,
    ) -> Self {
        Self {
            phases: phases.clone(),
            entrance: entrance.clone(),
            generation: phases.live.load().generation,
            id: fresh_request_id(),
            client,
            name: name.map(Box::from),
            way: None,
            target: None,
            attempts: 0,
            started: Instant::now(),
            to_target: 0,
            to_client: 0,
            end: End::Cut.as_str(),
        }
    }

    /// What the connection is called.
    pub(super) fn id(&self) -> Arc<str> {
        self.id.clone()
    }

    /// It goes there.
    pub(super) fn goes(&mut self, way: Arc<Way>) {
        self.way = Some(way);
    }

    /// This target is tried next.
    pub(super) fn tries(&mut self, target: SocketAddr) {
        self.target = Some(target);
        self.attempts += 1;
    }

    /// So many bytes more have been passed on.
    pub(super) fn passed(&mut self, to_target: u64, to_client: u64) {
        self.to_target += to_target;
        self.to_client += to_client;
        if let Some(way) = &self.way {
            way.metrics.passed(to_target, to_client);
        }
    }

    /// It has ended so.
    pub(super) fn end(mut self, end: End) {
        self.end = end.as_str();
    }

    /// It went nowhere, and is counted as a connection that was refused.
    pub(super) fn end_nowhere(mut self, reason: &'static str) {
        self.end = reason;
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let duration = self.started.elapsed();
        if let Some(way) = &self.way {
            way.metrics.ended(self.end, duration);
        }
        let snapshot = self.phases.live.load();
        if !snapshot.access_log.is_on() {
            return;
        }
        snapshot.access_log.write(&TcpLine {
            connection_id: &self.id,
            generation: self.generation,
            client_ip: self.client.ip(),
            listener: &self.entrance.name,
            sni: self.name.as_deref(),
            upstream: self.way.as_ref().map(|way| &*way.pool.name),
            target: self.target,
            attempts: self.attempts,
            duration,
            bytes_in: self.to_target,
            bytes_out: self.to_client,
            end: self.end,
        });
    }
}
