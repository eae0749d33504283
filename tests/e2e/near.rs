//! Zones by their nearness to each client: found in a database, or told by a proxy that is believed.

use std::fs;
use std::path::PathBuf;

use portreeve_tests::{Answer, Gateway, Origin, at, until};

const ZONES: &str = "zones: { eu: { at: [50.1, 8.7], countries: [DE] }, us: { at: [39.0, -77.5], countries: [US] } }\n";
const ROUTE: &str = "routes: [{ name: all, match: { path: '/**' }, public: true, upstream: pool }]\n";
const ALL_TRUSTED: &str = "trusted_proxies: [127.0.0.0/8]\n";

fn places(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("places").join(name)
}

fn pool(eu: &Origin, us: &Origin, near: &str) -> String {
    let targets = "[{ address: \"@eu\", zone: eu }, { address: \"@us\", zone: us }]";
    let health = "health: { tcp: true, interval: 20ms, timeout: 5s, unhealthy_after: 1, healthy_after: 1 }";
    let upstream = format!("targets: {targets}, failover: {{ zone: eu, near: {near} }}, {health}");
    at(&[eu, us], &format!("{ZONES}upstreams: {{ pool: {{ {upstream} }} }}\n{ROUTE}"))
}

async fn origins() -> (Origin, Origin) {
    (Origin::start("eu").await, Origin::start("us").await)
}

/// Who serves a client that a load balancer in front announces by the PROXY protocol.
async fn announced(gateway: &Gateway, client: &str) -> Answer {
    let family = if client.contains(':') { "TCP6" } else { "TCP4" };
    let mut wire = gateway.wire().await;
    wire.send(format!("PROXY {family} {client} {client} 4711 80\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    wire.answer().await
}

async fn is_healthy(gateway: &Gateway, origin: &Origin, healthy: bool) {
    let admin = gateway.admin();
    let what = format!("{origin:?} becomes healthy: {healthy}");
    until(&what, async || (admin.target("pool", origin.address()).await["healthy"] == healthy).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_real_client_is_looked_up_and_served_by_its_nearest_zone_that_is_well() {
    let (eu, mut us) = origins().await;
    let listener = "listeners: [{ name: public, bind: \"127.0.0.1:0\", proxy_protocol: true }]\n";
    let near = format!("{{ database: \"{}\" }}", places("places.mmdb").display());
    let gateway = Gateway::spawn(&format!("{listener}{ALL_TRUSTED}{}", pool(&eu, &us, &near))).await;
    // Berlin, New York, Sydney, a German of whom no more is known, and two of whom nothing is.
    let nearest = [
        ("192.0.2.7", "eu"),
        ("198.51.100.7", "us"),
        ("2001:db8:1::7", "us"),
        ("2001:db8:2::7", "eu"),
        ("203.0.113.200", "eu"),
        ("10.0.0.7", "eu"),
    ];
    for (client, zone) in nearest {
        for _ in 0..3 {
            assert_eq!(announced(&gateway, client).await.origin(), zone, "{client}");
        }
    }
    us.die().await;
    is_healthy(&gateway, &us, false).await;
    assert_eq!(announced(&gateway, "198.51.100.7").await.origin(), "eu", "the next nearest");
    us.revive().await;
    is_healthy(&gateway, &us, true).await;
    assert_eq!(announced(&gateway, "198.51.100.7").await.origin(), "us", "and back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_is_believed_tells_where_a_client_is_and_nobody_else_does() {
    let (eu, us) = origins().await;
    let near = "{ header: x-client-place }";
    let trusting = Gateway::spawn(&format!("{ALL_TRUSTED}{}", pool(&eu, &us, near))).await;
    let told = [
        ("US", "us"),
        ("us", "us"),
        ("40.7, -74.0", "us"),
        ("52.5,13.4", "eu"),
        ("DE", "eu"),
        ("XX", "eu"),
        ("", "eu"),
    ];
    for (place, zone) in told {
        assert_eq!(trusting.get("/").header("x-client-place", place).await.origin(), zone, "{place:?}");
    }
    assert_eq!(us.last().header("x-client-place"), Some("40.7, -74.0"), "told on");
    let twice = trusting.raw("GET / HTTP/1.1\r\nhost: x\r\nx-client-place: US\r\nx-client-place: DE\r\n\r\n").await;
    assert_eq!(twice.origin(), "eu", "two places are none");

    let wary = Gateway::spawn(&format!("trusted_proxies: [192.0.2.1]\n{}", pool(&eu, &us, near))).await;
    assert_eq!(wary.get("/").header("x-client-place", "US").await.origin(), "eu");
    assert_eq!(eu.last().header("x-client-place"), None, "a stranger's word goes no further");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_no_request_goes_to_its_nearest_zone_too() {
    let (eu, us) = origins().await;
    let listener = "listeners: [{ name: raw, bind: \"127.0.0.1:0\", proxy_protocol: true, tcp: { upstream: pool } }]\n";
    let near = format!("{{ database: \"{}\" }}", places("places.mmdb").display());
    let yaml = format!("{listener}{ALL_TRUSTED}{}", pool(&eu, &us, &near)).replace(ROUTE, "");
    let gateway = Gateway::spawn(&yaml).await;
    for (client, zone) in [("192.0.2.7", "eu"), ("198.51.100.7", "us"), ("10.0.0.7", "eu")] {
        assert_eq!(announced(&gateway, client).await.origin(), zone, "{client}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_changed_takes_effect_with_the_reload_and_a_broken_one_changes_nothing() {
    let (eu, us) = origins().await;
    let listener = "listeners: [{ name: public, bind: \"127.0.0.1:0\", proxy_protocol: true }]\n";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("places.mmdb");
    fs::copy(places("places.mmdb"), &file).unwrap();
    let near = format!("{{ database: \"{}\" }}", file.display());
    let yaml = format!("{listener}{ALL_TRUSTED}{}", pool(&eu, &us, &near));
    let gateway = Gateway::spawn(&yaml).await;
    assert_eq!(announced(&gateway, "192.0.2.7").await.origin(), "eu");

    fs::write(&file, "half of it").unwrap();
    let told = gateway.reload(&yaml).await.unwrap_err();
    assert!(told.contains("upstreams.pool.failover.near.database") && told.contains("no whole database"), "{told}");
    assert_eq!(announced(&gateway, "192.0.2.7").await.origin(), "eu");

    fs::copy(places("moved.mmdb"), &file).unwrap();
    gateway.reload(&yaml).await.unwrap();
    assert_eq!(announced(&gateway, "192.0.2.7").await.origin(), "us");
}
