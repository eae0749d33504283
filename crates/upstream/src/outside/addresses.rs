//! Which addresses a name may have of which something is fetched, so that nobody who writes a URL, or a name in DNS, makes the
//! gateway ask what only it can reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use portreeve_plugin::Addresses;
use url::Host;

/// The addresses of a host, which the connection is then made to: a name that is another one a moment later changes nothing.
///
/// # Errors
/// It has none, or only such as it may not have.
pub(super) async fn resolve(host: &Host, port: u16, within: Addresses) -> Result<Vec<SocketAddr>, String> {
    let name = match host {
        Host::Domain(name) => name,
        Host::Ipv4(address) => return Ok(vec![SocketAddr::from((*address, port))]),
        Host::Ipv6(address) => return Ok(vec![SocketAddr::from((*address, port))]),
    };
    let found = tokio::net::lookup_host((name.as_str(), port)).await;
    let found = found.map_err(|error| format!("{name} has no address: {error}"))?;
    let (may, may_not): (Vec<_>, Vec<_>) = found.partition(|address| is_within(within, name, address.ip()));
    match may_not.first() {
        Some(address) if may.is_empty() => {
            Err(format!("{name} has the address {}, which a name may not have here", address.ip()))
        }
        _ => Ok(may),
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
        let name = || Host::Domain("localhost".to_owned());
        let refused = resolve(&name(), 80, Addresses::Public).await.unwrap_err();
        assert!(refused.contains("which a name may not have here"), "{refused}");
        let found = resolve(&name(), 80, Addresses::Network).await.unwrap();
        assert!(!found.is_empty() && found.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
    }

    #[tokio::test]
    async fn an_address_in_the_url_itself_was_meant() {
        for (host, address) in [
            (Host::Ipv4(Ipv4Addr::LOCALHOST), "127.0.0.1:8080"),
            (Host::Ipv6("fe80::1".parse().unwrap()), "[fe80::1]:8080"),
        ] {
            assert_eq!(resolve(&host, 8080, Addresses::Public).await, Ok(vec![address.parse().unwrap()]));
        }
    }
}
