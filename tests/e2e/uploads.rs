//! Uploads that are answered before they have ended, and clients and targets that break off in the middle of one.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use portreeve_tests::{Beat, Gateway, Origin, RawOrigin, Wire, at, until};

const LARGE: usize = 10 * 1024 * 1024;

async fn before(origin: SocketAddr) -> Gateway {
    let yaml = r#"
upstreams: { raw: { targets: ["@raw"], timeouts: { first_byte: 5s } } }
routes: [{ name: all, match: { path: "/**" }, public: true, upstream: raw, limits: { body: 20MiB } }]
"#;
    Gateway::setup().workers(1).spawn(&yaml.replace("@raw", &origin.to_string())).await
}

fn upload(length: usize, more: &str) -> Vec<u8> {
    let head = format!("POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{more}\r\n");
    [head.into_bytes(), vec![b'x'; length]].concat()
}

/// After an early answer either the next request is answered right, or there is no connection to ask on.
async fn asks_on_or_ends(mut wire: Wire, what: &str) {
    wire.send("GET /next HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    let rest = String::from_utf8_lossy(&wire.rest().await).into_owned();
    assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 200 ") && rest.contains("/next"), "{what}: {rest:.300}");
    assert_eq!(rest.matches("HTTP/1.1").count(), usize::from(!rest.is_empty()), "{what}: {rest:.300}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_answer_of_a_target_that_reads_on_reaches_a_client_that_is_still_sending() {
    for status in [413, 200] {
        let origin = RawOrigin::start().await;
        let gateway = before(origin.address()).await;
        let target = tokio::spawn(async move {
            let (mut target, _) = origin.request().await;
            target.send(format!("HTTP/1.1 {status} Early\r\ncontent-length: 5\r\n\r\nearly")).await;
            // For as long as there is a connection, which the gateway may keep for another request.
            target.rest().await;
        });
        let mut client = gateway.wire().await;
        let (_, answer) = client.send_and_hear(upload(LARGE, "")).await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (status, "early"));
        target.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_answer_of_a_target_that_hangs_up_reaches_the_client() {
    for length in [1_000, LARGE] {
        let origin = RawOrigin::start().await;
        let gateway = before(origin.address()).await;
        let target = tokio::spawn(async move {
            let (mut target, _) = origin.request().await;
            target.send("HTTP/1.1 413 Early\r\ncontent-length: 5\r\nconnection: close\r\n\r\nearly").await;
            target.finish().await;
            // Read to the end, so that it is a close and not a reset, which may overtake the answer.
            target.rest().await;
        });
        let mut client = gateway.wire().await;
        let (_, answer) = client.send_and_hear(upload(length, "")).await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (413, "early"), "{length}");
        drop(client);
        target.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_early_answer_the_rest_of_the_upload_is_never_a_request() {
    for (length, sent) in [(1_000, 10), (1_000, 1_000), (LARGE, 100_000)] {
        let a = Origin::start("a").await;
        let origin = RawOrigin::start().await;
        let yaml = r#"
upstreams: { raw: { targets: ["@raw"] }, a: { targets: ["@a"] } }
routes:
  - { name: upload, match: { path: /upload }, public: true, upstream: raw, limits: { body: 20MiB } }
  - { name: all, match: { path: "/**" }, public: true, upstream: a }
"#;
        let yaml = at(&[&a], &yaml.replace("@raw", &origin.address().to_string()));
        let gateway = Gateway::setup().workers(1).spawn(&yaml).await;
        let mut client = gateway.wire().await;
        // What looks like a request in the body is a part of the body.
        let smuggled = "GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n".repeat(length / 30);
        let body = &smuggled.as_bytes()[..length];
        client.send(format!("POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n")).await;
        client.send(&body[..sent]).await;
        let (mut target, _) = origin.request().await;
        target.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly").await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "early"), "{length} {sent}");
        // It reads on, for as long as there is a connection.
        let reading = tokio::spawn(async move { target.rest().await });
        client.send(&body[sent..]).await;
        asks_on_or_ends(client, &format!("{length} {sent}")).await;
        assert!(a.seen().iter().all(|received| received.target() == "/next"), "{:?}", a.seen());
        reading.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_upload_is_told_so_whole_whatever_its_length() {
    let a = Origin::start("a").await;
    let yaml = r#"
upstreams: { a: { targets: ["@a"] } }
consumers: [{ name: ada, keys: ["env:PATH"] }]
routes:
  - { name: upload, match: { path: /upload }, plugins: [key-auth], upstream: a, limits: { body: 20MiB } }
  - { name: all, match: { path: "/**" }, public: true, upstream: a }
"#;
    let gateway = Gateway::setup().workers(1).spawn(&at(&[&a], yaml)).await;
    for length in [1_024, LARGE] {
        for more in ["", "expect: 100-continue\r\n"] {
            let what = format!("{length} {more:?}");
            // One that sends without waiting.
            let mut hasty = gateway.wire().await;
            let answer = hasty.send_and_hear(upload(length, more)).await;
            let (sent, answer) = answer.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(answer.status, 401, "{what}");
            assert!(answer.is_problem(), "{what}: {answer:?}");
            // A reset would take the answer with it on systems that are quicker to forget than this one.
            assert!(sent.is_ok(), "{what}: {sent:?}");
            if length == LARGE {
                assert!(hasty.closed().await.is_ok_and(|rest| rest.is_empty()), "{what}");
            }
            asks_on_or_ends(hasty, &what).await;
            // One that reads the answer first, and then sends what it had announced.
            let mut polite = gateway.wire().await;
            let whole = upload(length, more);
            let (head, body) = whole.split_at(whole.len() - length);
            polite.send(head).await;
            assert_eq!(polite.answer().await.status, 401, "{what}");
            polite.send(body).await;
            asks_on_or_ends(polite, &what).await;
        }
        // One that waits, is refused, and rightly sends no body at all but asks for something else.
        let mut patient = gateway.wire().await;
        patient
            .send(format!(
                "POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\nexpect: 100-continue\r\n\r\n"
            ))
            .await;
        assert_eq!(patient.answer().await.status, 401, "{length}");
        drop(patient);
    }
    assert!(a.seen().iter().all(|received| received.target() == "/next"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_breaks_off_is_never_whole_to_the_target() {
    let chunked = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let half_chunk = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel";
    let length = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhello";
    for begun in [chunked, half_chunk, length] {
        for end in ["close", "finish", "reset"] {
            let origin = RawOrigin::start().await;
            let gateway = before(origin.address()).await;
            let mut client = gateway.wire().await;
            client.send(begun).await;
            let (mut target, request) = origin.request().await;
            let mut request = request;
            while !request.contains("hel") {
                request.push_str(&target.read_until("hel").await);
            }
            let mut kept = None;
            match end {
                "close" => drop(client),
                "reset" => client.reset(),
                _ => {
                    client.finish().await;
                    kept = Some(client);
                }
            }
            request.push_str(&String::from_utf8_lossy(&target.rest().await));
            let body = request.split_once("\r\n\r\n").unwrap().1;
            assert!(!body.contains("0\r\n\r\n") && !body.contains("hellohello"), "{begun:?} {end}: {body:?}");
            drop(kept);
            let in_flight = async || {
                let pools = gateway.admin().json("/api/v1/upstreams").await;
                (pools[0]["targets"][0]["in_flight"] == 0).then_some(())
            };
            until("the target is left", in_flight).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_before_or_within_its_answer_leaves_the_target_too() {
    let begun = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbegun";
    for answer in ["", begun] {
        for end in ["close", "reset"] {
            let origin = RawOrigin::start().await;
            let gateway = before(origin.address()).await;
            let mut client = gateway.wire().await;
            client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
            let (mut target, _) = origin.request().await;
            target.send(answer).await;
            if !answer.is_empty() {
                client.read_until("begun").await;
            }
            let left = Instant::now();
            if end == "reset" {
                client.reset();
            } else {
                drop(client);
            }
            assert_eq!(target.rest().await, b"", "{answer:?} {end}");
            assert!(left.elapsed() < Duration::from_secs(3), "{answer:?} {end}: {:?}", left.elapsed());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_to_a_target_that_takes_nothing_ends_in_time() {
    let origin = RawOrigin::start().await;
    let yaml = r#"
upstreams: { raw: { targets: ["@raw"], timeouts: { first_byte: 300ms, write: 300ms } } }
routes: [{ name: all, match: { path: "/**" }, public: true, upstream: raw, timeout: 5s, limits: { body: 200MiB } }]
"#;
    let gateway = Gateway::spawn(&yaml.replace("@raw", &origin.address().to_string())).await;
    let mut client = gateway.wire().await;
    let begun = Instant::now();
    let (answer, _target) = tokio::join!(client.send_and_hear(upload(50 * 1024 * 1024, "")), origin.accept());
    let status = answer.map_or(504, |(_, answer)| answer.status);
    assert!(status == 504 || status == 502, "{status}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_a_target_breaks_off_never_looks_whole() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ] {
        let a = Origin::start("a").await.playing(move |_| vec![Beat::write(answer), Beat::Close]);
        let gateway = before(a.address()).await;
        let mut client = gateway.wire().await;
        client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let heard = client.try_answer("GET").await;
        assert!(heard.as_ref().map_or(true, |heard| heard.status == 502), "{answer:?}: {heard:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_http_1_0_can_tell_an_answer_that_was_broken_off_if_the_length_was_known() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello";
    let a = Origin::start("a").await.playing(move |_| vec![Beat::write(answer), Beat::Await(1), Beat::Close]);
    let gateway = before(a.address()).await;
    let mut client = gateway.wire().await;
    client.send("GET / HTTP/1.0\r\nhost: x\r\n\r\n").await;
    let begun = client.read_until("hello").await;
    assert!(begun.to_ascii_lowercase().contains("\r\ncontent-length: 10\r\n"), "{begun}");
    a.cue();
    assert_eq!(String::from_utf8(client.closed().await.unwrap()).unwrap(), "");
}
