//! What a listener for TCP needs: for each name its upstream, which must be one that connections can go to.

use std::net::Ipv4Addr;
use std::sync::Arc;

use portreeve_config::units::Name;
use portreeve_config::{ConfigPath, Listener};
use portreeve_router::HostPattern;

use super::{Errors, Pools};
use crate::listener::{SameName, Tcp, Way, Ways};
use crate::observe::Metrics;

/// `None` for a listener of HTTP. What is wrong is in `errors`.
pub(super) fn compile(
    listener: &Listener,
    path: &ConfigPath,
    pools: &Pools,
    metrics: &Metrics,
    errors: &mut Errors<'_>,
) -> Option<Tcp> {
    let tcp = listener.tcp.as_ref()?;
    let path = path.key("tcp");
    let way = |upstream: &Name| {
        // One that is not there is an error already.
        let pool = pools.get(upstream.as_str())?.clone();
        let metrics = metrics.tcp(&listener.name.shared(), &pool.name);
        Some(Arc::new(Way { pool, metrics }))
    };
    let mut ways = Ways::new(tcp.upstream.as_ref().and_then(way));
    for (text, upstream) in &tcp.sni {
        let at = path.key("sni").key(text);
        let name = match HostPattern::parse(text) {
            Ok(name) if !is_address(name.name()) => name,
            Ok(_) => {
                errors.at(&at, "an address is never asked for in TLS (RFC 6066 §3)");
                continue;
            }
            Err(error) => {
                errors.at(&at, error.to_string());
                continue;
            }
        };
        let Some(way) = way(upstream) else { continue };
        if let Err(SameName) = ways.insert(&name, way) {
            errors.at(&at, "this name stands here already, in another spelling; keep one");
        }
    }
    Some(Tcp::new(ways, &tcp.timeouts))
}

fn is_address(name: &str) -> bool {
    name.starts_with('[') || name.parse::<Ipv4Addr>().is_ok()
}
