//! How connections to the targets of an upstream are made: what is spoken, with TLS or without, and who proves what to whom.
//! Files are read once, at load.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portreeve_config::units::{self, Address, Host};
use portreeve_config::{Protocol, ProxyProtocol, Timeouts, Upstream as UpstreamConfig, UpstreamTls};
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::connector::TargetConnector;
use super::identity::{authorities, client_identity};
use super::link::{Bound, Dial, client_config};

/// The transport of one upstream. Two with different keys never share a connection.
pub struct Transport {
    protocol: Protocol,
    timeouts: Timeouts,
    tls: Option<Tls>,
    key: u64,
    proxy_protocol: Option<ProxyProtocol>,
}

struct Tls {
    /// What the file says; else it is the name of the target.
    sni: Option<Box<str>>,
    /// For requests.
    config: Arc<ClientConfig>,
    /// For connections that are no requests: no protocol is offered by ALPN.
    raw: Arc<ClientConfig>,
}

/// What is wrong with the `tls` of an upstream, and under which key.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Below the upstream: `tls.ca`.
    pub at: &'static str,
    pub message: String,
}

impl Transport {
    /// Reads the files that `config` names, relative to `folder`.
    ///
    /// # Errors
    /// Everything that is wrong with them, and a name that is missing.
    pub fn load(config: &UpstreamConfig, folder: &Path) -> Result<Self, Vec<Wrong>> {
        let mut hasher = DefaultHasher::new();
        let tls = config.tls.as_ref().map(|tls| Tls::load(tls, config, folder, &mut hasher)).transpose()?;
        let is_usual = tls.is_none() && config.protocol == Protocol::Http1;
        (config.protocol as u8).hash(&mut hasher);
        // Whatever speaks plain HTTP/1.1 to an address may share connections to it.
        let key = if is_usual { 0 } else { hasher.finish() };
        Ok(Self {
            protocol: config.protocol,
            timeouts: config.timeouts.clone(),
            tls,
            key,
            proxy_protocol: config.proxy_protocol,
        })
    }

    /// Whether this is `other` in all that a target or an onlooker could tell.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.key == other.key
    }

    /// What attempts at a target are made of, prepared once. `name` is what the file calls the target,
    /// `bound` how many connections there may be.
    pub(super) fn prepare(&self, address: SocketAddr, name: Option<&str>, bound: Option<Bound>) -> TargetConnector {
        TargetConnector::new(self.dial(address, name, self.timeouts.clone()).bounded(bound), self.is_multiplexed())
    }

    /// The same for a check of the target: connecting is a part of what it has `timeout` for, and its connections are counted with
    /// nobody's.
    pub(super) fn prepare_check(&self, address: SocketAddr, name: Option<&str>, timeout: Duration) -> TargetConnector {
        let mut timeouts = self.timeouts.clone();
        timeouts.connect = units::Duration::from_millis(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        TargetConnector::new(self.dial(address, name, timeouts).uncounted(), self.is_multiplexed())
    }

    fn dial(&self, address: SocketAddr, name: Option<&str>, timeouts: Timeouts) -> Dial {
        let tls = self.tls.as_ref().map(|tls| {
            let name = ServerName::try_from(self.name(address, name));
            // `load` has seen to it that it is a name.
            (tls.config.clone(), name.unwrap_or_else(|_| ServerName::from(address.ip())))
        });
        Dial::new(address, tls, timeouts, self.key).announcing(self.proxy_protocol)
    }

    /// Whose certificate is expected; nobody's without TLS.
    fn name(&self, address: SocketAddr, name: Option<&str>) -> String {
        self.tls.as_ref().map_or_else(String::new, |tls| match (&tls.sni, name) {
            (Some(sni), _) => sni.to_string(),
            (None, Some(name)) => name.to_owned(),
            // Only where nothing is verified; see `load`. An address is never sent as SNI (RFC 6066 §3).
            (None, None) => address.ip().to_string(),
        })
    }

    /// How long a connection may take to be made, TLS included.
    pub fn connect_within(&self) -> Duration {
        self.timeouts.connect.get()
    }

    /// By which PROXY protocol header targets are told of clients, if they are.
    pub fn announces(&self) -> Option<ProxyProtocol> {
        self.proxy_protocol
    }

    /// TLS for connections that are no requests; `None` where nothing is encrypted.
    pub fn stream_tls(&self) -> Option<&Arc<ClientConfig>> {
        self.tls.as_ref().map(|tls| &tls.raw)
    }

    /// Whether HTTP/2 is spoken: exchanges share connections, and no other protocol can follow.
    pub fn is_multiplexed(&self) -> bool {
        self.protocol == Protocol::Http2
    }
}

impl Tls {
    fn load(
        tls: &UpstreamTls,
        config: &UpstreamConfig,
        folder: &Path,
        hasher: &mut DefaultHasher,
    ) -> Result<Self, Vec<Wrong>> {
        let mut wrong: Vec<Wrong> = name_wrong(tls, config).into_iter().collect();
        let mut keep = |at, message| wrong.push(Wrong { at, message });
        let ca = tls.ca.as_deref().and_then(|file| match authorities(&folder.join(file)) {
            Ok(loaded) => Some(loaded),
            Err(message) => {
                keep("tls.ca", message);
                None
            }
        });
        let client = match (&tls.cert, &tls.key) {
            (Some(cert), Some(key)) => match client_identity(&folder.join(cert), &folder.join(key)) {
                Ok(loaded) => Some(loaded),
                Err((of_key, message)) => {
                    keep(if of_key { "tls.key" } else { "tls.cert" }, message);
                    None
                }
            },
            (Some(_), None) => {
                keep("tls.cert", "a certificate is of no use without its key; add key: file".to_owned());
                None
            }
            (None, Some(_)) => {
                keep("tls.key", "a key is of no use without its certificate; add cert: file".to_owned());
                None
            }
            (None, None) => None,
        };
        if !wrong.is_empty() {
            return Err(wrong);
        }
        (&tls.sni, tls.verify).hash(hasher);
        // The content, not the path: a rotated file makes new connections.
        ca.as_ref().map(|ca| ca.digest).hash(hasher);
        client.as_ref().map(|client| client.digest).hash(hasher);
        let shakes = client_config(ca.map(|ca| ca.value), client.map(|client| client.value), tls.verify);
        let mut shakes = shakes.map_err(|message| vec![Wrong { at: "tls", message }])?;
        shakes.alpn_protocols =
            vec![if config.protocol == Protocol::Http2 { b"h2".into() } else { b"http/1.1".into() }];
        let mut raw = shakes.clone();
        raw.alpn_protocols.clear();
        let sni = tls.sni.as_deref().map(Box::from);
        Ok(Self { sni, config: Arc::new(shakes), raw: Arc::new(raw) })
    }
}

/// Every target needs a name that its certificate can be checked against.
fn name_wrong(tls: &UpstreamTls, config: &UpstreamConfig) -> Option<Wrong> {
    if let Some(sni) = &tls.sni {
        let message = format!("{sni:?} is no host name that a certificate could be for");
        return ServerName::try_from(sni.as_str()).is_err().then_some(Wrong { at: "tls.sni", message });
    }
    if tls.verify && !config.discover.is_empty() {
        // A name out of DNS or of another file proves nothing: whoever could write it there would write their own.
        let message =
            "whose certificate is expected of targets that are found? Name it: sni: users.example.com".to_owned();
        return Some(Wrong { at: "tls", message });
    }
    let nameless = config.targets.iter().map(|target| &target.address).find(|address| match &address.host {
        Host::Ip(_) => tls.verify,
        Host::Name(name) => ServerName::try_from(name.as_str()).is_err(),
    })?;
    let message = format!("whose certificate is expected of {nameless}? Name it: sni: users.example.com");
    Some(Wrong { at: "tls", message })
}

/// The names of the targets, where what is said in TLS depends on them.
pub(super) fn names(config: &UpstreamConfig) -> Vec<Address> {
    let by_name = config.tls.as_ref().is_some_and(|tls| tls.sni.is_none());
    if by_name { config.targets.iter().map(|target| target.address.clone()).collect() } else { Vec::new() }
}

impl std::fmt::Debug for Transport {
    /// Without keys and certificates.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transport({:?}, tls: {})", self.protocol, self.tls.is_some())
    }
}

#[cfg(test)]
#[path = "transport_tests.rs"]
mod tests;
