//! What `ip-filter` does to requests and answers, through the test kit.

use std::net::IpAddr;

use ipnet::IpNet;
use portreeve_plugin::testing::{Probe, conformance};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::IpFilter;
use portreeve_plugin::units::{Network, Networks};

fn passes(settings: &Value, client: &str) -> bool {
    let probe = Probe::<IpFilter>::new(settings.clone());
    let sent = probe.get("/").client(client).send();
    sent.answered().is_none_or(|answer| {
        assert_eq!(answer.status, 403);
        false
    })
}

fn refuses(settings: Value) -> String {
    Probe::<IpFilter>::try_new(settings).expect_err("these settings cannot work").to_string()
}

#[test]
fn it_conforms() {
    conformance::<IpFilter>(json!({ "allow": ["10.0.0.0/8", "2001:db8::/32"], "deny": ["10.1.2.3"] }));
}

#[test]
fn what_is_allowed_passes_unless_it_is_denied() {
    let settings = json!({ "allow": ["10.0.0.0/8", "2001:db8::/32"], "deny": ["10.1.0.0/16", "2001:db8::1"] });
    assert!(passes(&settings, "10.0.0.1") && passes(&settings, "10.255.255.255") && passes(&settings, "2001:db8::2"));
    assert!(!passes(&settings, "10.1.0.0") && !passes(&settings, "2001:db8::1"));
    assert!(!passes(&settings, "11.0.0.0") && !passes(&settings, "9.255.255.255") && !passes(&settings, "::1"));
}

#[test]
fn without_allow_everything_else_passes() {
    let settings = json!({ "deny": ["192.0.2.0/24"] });
    assert!(passes(&settings, "198.51.100.1") && passes(&settings, "::1"));
    assert!(!passes(&settings, "192.0.2.255"));
}

#[test]
fn an_ipv4_address_written_as_ipv6_is_an_ipv4_address() {
    for network in ["192.0.2.0/24", "::ffff:192.0.2.0/120"] {
        let settings = json!({ "deny": [network] });
        assert!(!passes(&settings, "::ffff:192.0.2.7") && !passes(&settings, "192.0.2.7"));
        assert!(passes(&settings, "::192.0.2.7"));
    }
    let all_of_v6 = json!({ "allow": ["::/0"] });
    assert!(passes(&all_of_v6, "2001:db8::1"));
    assert!(!passes(&all_of_v6, "192.0.2.7") && !passes(&all_of_v6, "::ffff:192.0.2.7"));
    assert!(passes(&json!({ "allow": ["0.0.0.0/0"] }), "::ffff:192.0.2.7"));
}

#[test]
fn slips_are_refused_with_what_was_meant() {
    assert_eq!(
        refuses(json!({ "allow": ["10.1.2.3/8"] })),
        "allow[0]: 10.1.2.3/8 has address bits beyond its prefix; write 10.0.0.0/8, or 10.1.2.3 for one address"
    );
    assert!(refuses(json!({ "deny": ["10.0.0.0/33"] })).contains("is not a network"));
    assert!(refuses(json!({ "deny": ["localhost"] })).contains("is not a network"));
    assert_eq!(refuses(json!({})), "wants `allow`, `deny` or both");
    assert_eq!(refuses(json!({ "deny": [] })), "wants `allow`, `deny` or both");
    assert!(refuses(json!({ "allow": [], "deny": ["10.0.0.1"] })).starts_with("allow: an empty list"));
}

fn network() -> impl Strategy<Value = IpNet> {
    let v4 = (any::<[u8; 4]>(), 0_u8..=32).prop_map(|(address, prefix)| IpNet::new(address.into(), prefix));
    let v6 = (any::<[u8; 16]>(), 0_u8..=128).prop_map(|(address, prefix)| IpNet::new(address.into(), prefix));
    prop_oneof![v4, v6].prop_map(|net| net.expect("a prefix of its family").trunc())
}

proptest! {
    #[test]
    fn a_set_holds_what_one_of_its_networks_holds(
        nets in proptest::collection::vec(network(), 0..20),
        near in any::<(prop::sample::Index, bool)>(),
        far in any::<[u8; 4]>(),
    ) {
        let written: Vec<Network> = nets.iter().map(|net| net.to_string().parse().unwrap()).collect();
        let set: Networks = written.iter().collect();
        let edge = (!nets.is_empty()).then(|| {
            let net = near.0.get(&nets);
            if near.1 { net.broadcast() } else { net.network() }
        });
        for address in edge.into_iter().chain([IpAddr::from(far)]) {
            let address = address.to_canonical();
            prop_assert_eq!(set.contain(address), nets.iter().any(|net| net.contains(&address)));
        }
    }
}
