//! Pingora's advisories that no other test of the corpus holds. docs/security.md lists them all.

use portreeve_tests::Gateway;

use super::{audit, recorder::Recorder, statuses, to_the_end};

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

async fn gateway(origin: &Recorder) -> Gateway {
    let yaml = r#"
upstreams: { origin: { targets: ["@origin"] } }
routes:
  - { name: own, match: { path: /own }, public: true, respond: { status: 200, body: own } }
  - { name: small, match: { path: /small }, public: true, limits: { body: 10B }, upstream: origin }
  - { name: closed, match: { path: /closed }, plugins: [key-auth: { header: x-api-key }], upstream: origin }
  - { name: all, match: { path: "/**" }, public: true, upstream: origin }
consumers: [{ name: ada, keys: ["env:PATH"] }]
"#;
    Gateway::setup().workers(1).spawn(&yaml.replace("@origin", &origin.address().to_string())).await
}

/// CVE-2025-4366, RUSTSEC-2025-0037: an answer that is given without the body being read, and the body is the next request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_nobody_read_is_never_the_next_request() {
    let origin = Recorder::start().await;
    let gateway = gateway(&origin).await;
    let length = format!("Content-Length: {}\r\n\r\n{SMUGGLED}", SMUGGLED.len());
    let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());
    for (path, status) in [("/own", 200), ("/small", 413), ("/closed", 401)] {
        for body in [&length, &chunked] {
            let mut wire = gateway.wire().await;
            wire.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\n{body}")).await;
            assert_eq!(wire.answer().await.status, status, "{path} {body:?}");
            // Either the connection is over, or what comes next is read as what it is.
            wire.send("GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
            let rest = to_the_end(&mut wire).await.expect("the end of the connection");
            assert!(statuses(&rest).iter().all(|status| *status == 200), "{path} {body:?}: {rest}");
            let heard = origin.take();
            for message in &heard.whole {
                audit(message).unwrap();
                assert!(message.starts_with(b"GET /next "), "{path} {body:?}: {}", message.escape_ascii());
            }
            assert_eq!(heard.whole.len(), statuses(&rest).len(), "{path} {body:?}");
        }
    }
}

/// CVE-2026-2836, RUSTSEC-2026-0035: an answer out of a cache whose key leaves out who asked whom. There is no cache.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_is_given_to_another_request() {
    let origin = Recorder::start().await;
    let gateway = gateway(&origin).await;
    for host in ["a.example", "b.example", "a.example"] {
        assert_eq!(gateway.raw(format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n")).await.status, 200);
    }
    assert_eq!(origin.take().whole.len(), 3);
}

/// Advisories that are mended in a version: nothing older is built in.
#[test]
fn what_is_built_in_is_newer_than_its_advisories() {
    let lock = include_str!("../../../Cargo.lock");
    let number = |version: &str| version.split('.').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u32>>();
    let mut found = Vec::new();
    for package in lock.split("[[package]]") {
        let of = |key: &str| {
            package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"'))
        };
        let (Some(name), Some(version)) = (of("name"), of("version")) else { continue };
        let least = match name {
            _ if name.starts_with("pingora") => "0.9.1",
            "h2" => "0.4.16",
            "lru" => "0.16.3",
            "zstd" => "0.14.3",
            _ => continue,
        };
        assert!(number(version) >= number(least), "{name} {version} is older than {least}");
        found.push(name);
    }
    assert!(["pingora-core", "pingora-proxy", "h2"].iter().all(|name| found.contains(name)), "{found:?}");
}

/// A package of the lock file: its name, its version, and what it is built on.
type Package<'l> = (&'l str, &'l str, Vec<&'l str>);

/// Whether all that is built on this is Pingora, or comes with nothing else than Pingora itself.
fn comes_with_pingora_alone(packages: &[Package<'_>], (name, version, _): &Package<'_>) -> bool {
    let with_version = format!("{name} {version}");
    let above = packages.iter().filter(|(.., built_on)| built_on.iter().any(|on| on == name || **on == with_version));
    above.into_iter().all(|above| above.0.starts_with("pingora") || comes_with_pingora_alone(packages, above))
        && !["portreeve", "portreeve-proxy"].contains(name)
}

/// Crates that nobody mends any more: what is ours, and what else it is built on, does without.
#[test]
fn what_is_no_longer_maintained_comes_with_pingora_alone() {
    let lock = include_str!("../../../Cargo.lock");
    let packages = lock.split("[[package]]").map(|package| {
        let of =
            |key: &str| package.lines().find_map(|line| line.strip_prefix(key)?.strip_suffix('"')).unwrap_or_default();
        let built_on = package.lines().filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix("\","));
        (of("name = \""), of("version = \""), built_on.collect())
    });
    let packages: Vec<Package<'_>> = packages.collect();
    let ours = packages.iter().find(|(name, ..)| *name == "tokio").unwrap();
    assert!(!comes_with_pingora_alone(&packages, ours), "the test finds nothing");
    for gone in packages.iter().filter(|(name, ..)| ["derivative", "rustls-pemfile", "serde_yaml"].contains(name)) {
        assert!(comes_with_pingora_alone(&packages, gone), "{gone:?}");
    }
}
