//! What plugins fetch from outside: key sets, discovery documents.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::BytesMut;
use futures::future::BoxFuture;
use portreeve_plugin::{Addresses, Answer, CallError, Fetch};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// GETs outside URLs. The clients are made when first needed: most gateways never fetch, and a machine without trusted roots
/// must not keep them from starting.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fetcher(Arc<Clients>);

/// One for each kind of addresses: connections that are kept must not be another kind's.
#[derive(Debug, Default)]
struct Clients {
    network: OnceLock<Made>,
    public: OnceLock<Made>,
    any: OnceLock<Made>,
}

type Made = Result<reqwest::Client, String>;

/// Longest wait for a connection of a fetch.
const CONNECT: Duration = Duration::from_secs(5);

impl Fetcher {
    pub(crate) fn fetch(&self, fetch: Fetch) -> BoxFuture<'static, Result<Answer, CallError>> {
        let clients = self.0.clone();
        Box::pin(async move {
            let client = clients.of(fetch.addresses).map_err(|error| CallError::Failed(error.clone()))?;
            let failed = |error: reqwest::Error| {
                if error.is_timeout() {
                    return CallError::TimedOut(fetch.timeout);
                }
                // Its URL may hold a key.
                CallError::Failed(chain(&error.without_url()))
            };
            let mut answer = client.get(&fetch.url).timeout(fetch.timeout).send().await.map_err(failed)?;
            let mut body = BytesMut::new();
            while let Some(chunk) = answer.chunk().await.map_err(failed)? {
                if body.len() + chunk.len() > fetch.max_body {
                    return Err(CallError::TooLarge(fetch.max_body));
                }
                body.extend_from_slice(&chunk);
            }
            Ok(Answer { status: answer.status(), headers: answer.headers().clone(), body: body.freeze() })
        })
    }
}

impl Clients {
    fn of(&self, addresses: Addresses) -> Result<&reqwest::Client, &String> {
        let made = match addresses {
            Addresses::Network => &self.network,
            Addresses::Public => &self.public,
            Addresses::Any => &self.any,
        };
        made.get_or_init(|| client(addresses)).as_ref()
    }
}

fn client(addresses: Addresses) -> Made {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .dns_resolver(Arc::new(Within(addresses)))
        .connect_timeout(CONNECT)
        .user_agent("portreeve");
    client.build().map_err(|error| chain(&error))
}

/// Resolves names as the system does, to addresses that they may have. The connection is made to these, so that a name which is
/// another one a moment later changes nothing.
#[derive(Debug)]
struct Within(Addresses);

impl Resolve for Within {
    fn resolve(&self, name: Name) -> Resolving {
        let within = self.0;
        Box::pin(async move {
            let name = name.as_str();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name, 0)).await?.collect();
            let (may, may_not): (Vec<_>, Vec<_>) =
                found.into_iter().partition(|address| is_within(within, name, address.ip()));
            match may_not.first() {
                Some(address) if may.is_empty() => {
                    let message = format!("{name} has the address {}, which a name may not have here", address.ip());
                    Err(message.into())
                }
                _ => Ok(Box::new(may.into_iter()) as Addrs),
            }
        })
    }
}

fn is_within(within: Addresses, name: &str, address: IpAddr) -> bool {
    let address = address.to_canonical();
    match within {
        Addresses::Any => true,
        Addresses::Network => !is_special(address) && (!address.is_loopback() || is_of_network(name)),
        Addresses::Public => !is_special(address) && !address.is_loopback() && !is_private(address),
    }
}

/// Link-local, of nobody, or of many.
fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_link_local() || address.is_multicast() || address.is_broadcast() || address.octets()[0] == 0
        }
        IpAddr::V6(address) => {
            // The metadata of one cloud is in its own private network (fd00:ec2::254).
            let is_metadata = address == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
            address.is_unicast_link_local() || address.is_multicast() || address.is_unspecified() || is_metadata
        }
    }
}

/// RFC 1918, RFC 6598, RFC 4193.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || Ipv4Addr::from_bits(address.to_bits() & 0xffc0_0000) == SHARED,
        IpAddr::V6(address) => address.is_unique_local(),
    }
}

/// 100.64.0.0/10, between a carrier and its customers.
const SHARED: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 0);

/// Whether a name is of this machine or its network by its looks (RFC 6761, RFC 6762 appendix G, RFC 8375).
fn is_of_network(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let last = name.rsplit('.').next().unwrap_or_default();
    !name.contains('.')
        || matches!(last, "localhost" | "local" | "internal" | "lan" | "test")
        || name.ends_with(".home.arpa")
}

/// An error with all its causes: `error sending request: connection refused`.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_addresses_that_it_may_have() {
        use Addresses::{Any, Network, Public};
        for (name, address, may) in [
            ("idp.example.com", "203.0.113.7", [true, true, true]),
            ("idp.example.com", "2001:db8::7", [true, true, true]),
            ("idp.example.com", "10.1.2.3", [true, false, true]),
            ("idp.example.com", "fd12::1", [true, false, true]),
            ("idp.example.com", "100.64.0.1", [true, false, true]),
            ("idp.example.com", "127.0.0.1", [false, false, true]),
            ("idp.example.com", "::1", [false, false, true]),
            ("idp.example.com", "::ffff:127.0.0.1", [false, false, true]),
            ("idp.example.com", "169.254.169.254", [false, false, true]),
            ("idp.example.com", "fe80::1", [false, false, true]),
            ("idp.example.com", "fd00:ec2::254", [false, false, true]),
            ("idp.example.com", "0.0.0.0", [false, false, true]),
            ("idp.example.com", "::", [false, false, true]),
            ("localhost", "127.0.0.1", [true, false, true]),
            ("Idp.Localhost.", "::1", [true, false, true]),
            ("idp", "127.0.1.1", [true, false, true]),
            ("idp.internal", "127.0.0.1", [true, false, true]),
            ("localhost.example.com", "127.0.0.1", [false, false, true]),
            ("metadata.google.internal", "169.254.169.254", [false, false, true]),
        ] {
            let found = [Network, Public, Any].map(|within| is_within(within, name, address.parse().unwrap()));
            assert_eq!(found, may, "{name} {address}");
        }
    }

    #[tokio::test]
    async fn a_name_without_an_address_that_it_may_have_is_not_asked() {
        let name = || "localhost".parse().unwrap();
        let Err(error) = Within(Addresses::Public).resolve(name()).await else { panic!("localhost is public") };
        assert!(error.to_string().contains("which a name may not have here"), "{error}");
        assert!(Within(Addresses::Network).resolve(name()).await.is_ok_and(|found| found.count() > 0));
    }

    #[tokio::test]
    async fn an_error_does_not_show_the_url() {
        let url = "http://127.0.0.1:1/?key=hunter2".to_owned();
        let fetch = Fetch { url, addresses: Addresses::Network, timeout: Duration::from_secs(5), max_body: 1 };
        let error = Fetcher::default().fetch(fetch).await.unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
