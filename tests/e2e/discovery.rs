//! Targets that are found: names and services in DNS, by a server of ours on the wire, and files that are watched.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portreeve_tests::{Answer, Dns, Gateway, Load, Origin, until};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const ROUTE: &str = "routes: [{ name: all, match: { path: '/**' }, public: true, upstream: pool }]\n";

/// A gateway whose names this server answers, with these settings of its one pool.
async fn gateway(dns: &Dns, pool: &str) -> Gateway {
    Gateway::spawn(&format!(
        "resolver: {{ servers: [\"{}\"], timeout: 400ms }}\nupstreams: {{ pool: {{ {pool} }} }}\n{ROUTE}",
        dns.address()
    ))
    .await
}

/// The origins that answered so many GETs, all with 200.
async fn answering(gateway: &Gateway, requests: usize) -> BTreeSet<String> {
    let mut origins = BTreeSet::new();
    for _ in 0..requests {
        let answer: Answer = gateway.get("/").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        origins.insert(answer.origin());
    }
    origins
}

fn set(origins: &[&str]) -> BTreeSet<String> {
    origins.iter().map(|origin| (*origin).to_owned()).collect()
}

async fn counted(gateway: &Gateway, result: &str) -> f64 {
    let metric = format!("portreeve_upstream_discoveries_total{{result=\"{result}\",upstream=\"pool\"}}");
    gateway.admin().metric(&metric).await.unwrap_or_default()
}

async fn source(gateway: &Gateway) -> Value {
    gateway.admin().json("/api/v1/upstreams").await[0]["sources"][0].clone()
}

/// Says who it is on an address that no other origin has.
async fn elsewhere(address: SocketAddr, name: &'static str) -> JoinSet<()> {
    let listener = TcpListener::bind(address).await.unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { continue };
            let mut buffer = [0; 4_096];
            let _asked = stream.read(&mut buffer).await;
            let body = format!("{{\"origin\": \"{name}\"}}");
            let length = body.len();
            let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.ok();
        }
    });
    serving
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_followed_when_its_time_to_live_is_over_and_no_request_fails() {
    let (dns, a) = (Dns::start().await, Origin::start("a").await);
    let port = a.address().port();
    let _b = elsewhere(SocketAddr::from(([127, 0, 0, 2], port)), "b").await;
    dns.is("users.test", 1, &["127.0.0.1"]);
    let pool = format!("targets: [\"users.test:{port}\"], health: {{ tcp: true }}");
    let gateway = gateway(&dns, &pool).await;
    assert_eq!(answering(&gateway, 5).await, set(&["a"]));
    let moved = Instant::now();
    dns.is("users.test", 1, &["127.0.0.2"]);
    until("the name is followed", async || answering(&gateway, 1).await.contains("b").then_some(())).await;
    // A second is the TTL; without one it would be the half minute of `max_ttl`.
    assert!(moved.elapsed() < Duration::from_secs(15), "{:?}", moved.elapsed());
    assert_eq!(answering(&gateway, 5).await, set(&["b"]));
    assert_eq!(source(&gateway).await["source"], format!("dns users.test:{port}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_flaps_costs_no_request_under_load() {
    let (dns, a) = (Dns::start().await, Origin::start("a").await);
    let port = a.address().port();
    let _b = elsewhere(SocketAddr::from(([127, 0, 0, 2], port)), "b").await;
    dns.is("users.test", 0, &["127.0.0.1"]);
    let gateway = Arc::new(gateway(&dns, &format!("targets: [\"users.test:{port}\"], health: {{ tcp: true }}")).await);
    let load = Load::on(&gateway);
    let addresses: [&[&str]; 4] = [&["127.0.0.2"], &["127.0.0.1", "127.0.0.2"], &["127.0.0.1"], &["127.0.0.2"]];
    for addresses in addresses {
        dns.is("users.test", 0, addresses);
        let wanted: Vec<_> = addresses.iter().map(|ip| format!("{ip}:{port}")).collect();
        until("the name is followed", async || {
            let targets = gateway.admin().json("/api/v1/upstreams").await[0]["targets"].clone();
            let told: Vec<_> = targets.as_array().unwrap().iter().map(|target| target["address"].clone()).collect();
            (told == wanted).then_some(())
        })
        .await;
        load.serve(20).await;
        // A question without an answer in between.
        dns.be_silent(true);
        let failed = counted(&gateway, "failed").await;
        until("a failure is counted", async || (counted(&gateway, "failed").await > failed).then_some(())).await;
        dns.be_silent(false);
        load.serve(20).await;
    }
    assert_eq!(load.end().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_fails_or_knows_nothing_takes_no_target_out() {
    let (dns, a) = (Dns::start().await, Origin::start("a").await);
    let port = a.address().port();
    dns.is("users.test", 0, &["127.0.0.1"]);
    let gateway = gateway(&dns, &format!("targets: [\"users.test:{port}\"]")).await;
    assert_eq!(answering(&gateway, 1).await, set(&["a"]));
    dns.forget();
    until("an empty answer is counted", async || (counted(&gateway, "empty").await > 0.0).then_some(())).await;
    assert_eq!(answering(&gateway, 3).await, set(&["a"]));
    assert!(source(&gateway).await["error"].as_str().unwrap().contains("nobody was found"));
    dns.be_silent(true);
    until("a failure is counted", async || (counted(&gateway, "failed").await > 0.0).then_some(())).await;
    assert_eq!(answering(&gateway, 3).await, set(&["a"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_nobody_knows_at_the_start_is_503_until_somebody_does() {
    let (dns, a) = (Dns::start().await, Origin::start("a").await);
    let port = a.address().port();
    let gateway = gateway(&dns, &format!("targets: [\"users.test:{port}\"]")).await;
    assert_eq!(gateway.get("/").await.status, 503);
    dns.is("users.test", 1, &["127.0.0.1"]);
    until("the name is known", async || (gateway.get("/").await.status == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_tell_hosts_ports_and_weights() {
    let (dns, a, b) = (Dns::start().await, Origin::start("a").await, Origin::start("b").await);
    let (of_a, of_b) = (a.address().port(), b.address().port());
    dns.is("one.test", 60, &["127.0.0.1"]);
    dns.serves(
        "_http._tcp.users.test",
        1,
        &[(5, 3, of_a, "one.test"), (5, 1, of_b, "one.test"), (9, 1, 1, "one.test")],
    );
    let gateway = gateway(&dns, "discover: { srv: _http._tcp.users.test }").await;
    let mut from_a = 0;
    for _ in 0..40 {
        from_a += usize::from(gateway.get("/").await.origin() == "a");
    }
    assert_eq!(from_a, 30, "three to one");
    let target = gateway.admin().target("pool", a.address()).await;
    assert_eq!((&target["name"], &target["weight"], &target["priority"]), (&"one.test".into(), &3.into(), &5.into()));
    dns.serves("_http._tcp.users.test", 1, &[(5, 1, of_b, "one.test")]);
    until("a has left", async || (answering(&gateway, 4).await == set(&["b"])).then_some(())).await;
    let gauge = |origin: &Origin| {
        format!("portreeve_upstream_target_available{{target=\"{}\",upstream=\"pool\"}}", origin.address())
    };
    let admin = gateway.admin();
    assert_eq!((admin.metric(&gauge(&b)).await, admin.metric(&gauge(&a)).await), (Some(1.0), None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_the_hosts_file_need_no_server() {
    let (dns, a) = (Dns::start().await, Origin::start("a").await);
    dns.be_silent(true);
    let gateway = gateway(&dns, &format!("targets: [\"localhost:{}\"]", a.address().port())).await;
    assert_eq!(answering(&gateway, 2).await, set(&["a"]));
    assert_eq!(dns.questions(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upstreams_with_a_name_in_common_ask_once_while_the_answer_holds() {
    let (dns, a) = (Dns::start().await, Origin::start("a").await);
    let port = a.address().port();
    // Of both families: that there is none of one may be asked for again earlier.
    dns.is("users.test", 300, &["127.0.0.1", "::1"]);
    let pools = (0..8)
        .map(|n| format!("  p{n}: {{ targets: [\"users.test:{port}\"], timeouts: {{ connect: {n}1ms }} }}\n"))
        .collect::<Vec<_>>()
        .concat();
    let yaml = format!(
        "resolver: {{ servers: [\"{}\"] }}\nupstreams:\n  pool: {{ targets: [\"users.test:{port}\"] }}\n",
        dns.address()
    );
    let gateway = Gateway::spawn(&format!("{yaml}{ROUTE}")).await;
    let asked = dns.questions().len();
    gateway.reload(&format!("{yaml}{pools}{ROUTE}")).await.unwrap();
    let pools = gateway.admin().json("/api/v1/upstreams").await;
    assert!(pools.as_array().unwrap().iter().all(|pool| pool["targets"].as_array().unwrap().len() == 2), "{pools}");
    assert_eq!(dns.questions().len(), asked, "{:?}", dns.questions());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_targets_is_watched_and_a_broken_one_changes_nothing() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("targets.yaml");
    let write = |text: String| std::fs::write(&file, text).unwrap();
    write(format!("- {}\n", a.address()));
    let yaml = format!("upstreams: {{ pool: {{ discover: {{ file: \"{}\" }} }} }}\n{ROUTE}", file.display());
    let gateway = Gateway::spawn(&yaml).await;
    assert_eq!(answering(&gateway, 2).await, set(&["a"]));
    write(format!("[\"{}\", {{ \"address\": \"{}\", \"weight\": 0 }}]", b.address(), a.address()));
    until("the file is followed", async || (answering(&gateway, 2).await == set(&["b"])).then_some(())).await;
    write("- 127.0.0.1\n".to_owned());
    until("the broken file is counted", async || (counted(&gateway, "failed").await > 0.0).then_some(())).await;
    assert!(
        source(&gateway).await["error"].as_str().unwrap().contains("targets.yaml:1:3"),
        "{}",
        source(&gateway).await
    );
    assert_eq!(answering(&gateway, 3).await, set(&["b"]));
    write("[]\n".to_owned());
    until("the empty file is counted", async || (counted(&gateway, "empty").await > 0.0).then_some(())).await;
    // A reload with a broken file keeps what is known, too: the configuration itself is sound.
    write("- 127.0.0.1\n".to_owned());
    let other = yaml.replace("discover:", "timeouts: { connect: 2s }, discover:");
    gateway.reload(&other).await.unwrap();
    assert_eq!(answering(&gateway, 3).await, set(&["b"]));
    write(format!("- {}\n- {}\n", a.address(), b.address()));
    until("the mended file is followed", async || (answering(&gateway, 4).await.len() == 2).then_some(())).await;
    assert!(source(&gateway).await.get("error").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_with_a_broken_file_of_targets_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("targets.yaml");
    let yaml = format!("upstreams: {{ pool: {{ discover: {{ file: \"{}\" }} }} }}\n{ROUTE}", file.display());
    for (text, expected) in [
        (None, "targets.yaml: cannot read the file: no such file"),
        (Some("- 127.0.0.1\n"), "targets.yaml:1:3: [0]: 127.0.0.1 has no port"),
        (Some("[]\n"), "targets.yaml has nobody to send requests to"),
        (Some("- { address: \"127.0.0.1:1\", weight: 0 }\n"), "targets.yaml has nobody to send requests to"),
    ] {
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let refused = Gateway::setup().try_spawn(&yaml).await.err().unwrap().to_string();
        assert!(refused.contains("upstreams.pool.discover.file: ") && refused.contains(expected), "{refused}");
        assert!(refused.contains("gateway.yaml:"), "{refused}");
    }
}
