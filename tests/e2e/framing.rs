//! Where one message ends and the next begins: pipelines, HTTP/1.0, bodies that plugins empty.

use std::net::SocketAddr;

use portreeve_tests::{Beat, Gateway, Origin, RawOrigin, Wire};

use crate::plugins::Swallow;

const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";

async fn before(origin: SocketAddr, plugins: &str) -> Gateway {
    let yaml = r#"
upstreams: { raw: { targets: ["@raw"] } }
routes: [{ name: all, match: { path: "/**" }, public: true, plugins: PLUGINS, upstream: raw }]
"#;
    let yaml = yaml.replace("@raw", &origin.to_string()).replace("PLUGINS", plugins);
    Gateway::with_plugin::<Swallow>().workers(1).spawn(&yaml).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_requests_are_answered_in_order_however_their_packets_are_cut() {
    let a = Origin::start("a").await.playing(|received| {
        let said = format!("{} {}", received.target(), String::from_utf8_lossy(&received.body));
        let sent = if received.method() == "HEAD" { "" } else { said.as_str() };
        vec![Beat::write(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{sent}", said.len()))]
    });
    let gateway = before(a.address(), "[]").await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    let (one, two, three) = (get("/1"), get("/2"), get("/3"));
    let head = "HEAD /h HTTP/1.1\r\nhost: x\r\n\r\n";
    let post = "POST /p HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody";
    let chunked = "POST /c HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    let pipelines: [(&[&str], &[&str]); 5] = [
        (&[head, &one], &["/h", "/1"]),
        (&[&one, &two, &three], &["/1", "/2", "/3"]),
        (&[post, &two], &["/p", "/2"]),
        (&[chunked, post, head, &one], &["/c", "/p", "/h", "/1"]),
        (&[&one, head, chunked, &two], &["/1", "/h", "/c", "/2"]),
    ];
    for round in 0..200 {
        let (requests, answers) = pipelines[round % pipelines.len()];
        let whole = requests.concat().into_bytes();
        let mut wire = gateway.wire().await;
        // Every fifth time in one packet, else cut at another place each time: in a head, in a body, between two requests.
        let cut = if round % 5 == 4 { whole.len() } else { 1 + (round * 37) % (whole.len() - 1) };
        wire.send(&whole[..cut]).await;
        if round % 2 == 1 {
            // So that what follows is a packet of its own: the gateway is busy with what it has.
            tokio::task::yield_now().await;
        }
        wire.send(&whole[cut..]).await;
        for path in answers {
            let answer = wire.try_answer(if *path == "/h" { "HEAD" } else { "GET" }).await;
            let answer = answer.unwrap_or_else(|error| panic!("round {round}, cut at {cut}, {path}: {error}"));
            assert_eq!(answer.status, 200, "round {round}, cut at {cut}, {path}");
            let body = match *path {
                "/h" => "",
                "/p" | "/c" => "body",
                _ => " ",
            };
            let said = answer.text();
            assert!(*path == "/h" || (said.starts_with(path) && said.ends_with(body)), "round {round}, {path}: {said}");
        }
        wire.send("GET /last HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        assert_eq!(wire.answer().await.text(), "/last ", "round {round}");
        assert_eq!(wire.rest().await, b"", "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answers_before_a_refused_request_of_a_pipeline_are_whole() {
    let a = Origin::start("a").await;
    let gateway = before(a.address(), "[]").await;
    let mut wire = gateway.wire().await;
    wire.send(format!("{GET}GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n{GET}")).await;
    assert_eq!(wire.answer().await.origin(), "a");
    assert_eq!(wire.answer().await.status, 400);
    // Nothing that follows a doubtful message is a request.
    assert_eq!(wire.rest().await, b"");
    assert_eq!(a.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_a_request_that_closes_is_not_a_request() {
    let a = Origin::start("a").await;
    let gateway = before(a.address(), "[]").await;
    for closing in ["GET /1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "GET /1 HTTP/1.0\r\nhost: x\r\n\r\n"] {
        let mut wire = gateway.wire().await;
        wire.send(format!("{closing}GET /2 HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        assert_eq!(wire.answer().await.json()["target"], "/1");
        assert_eq!(wire.rest().await, b"");
    }
    assert_eq!(a.count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_beyond_the_length_of_a_body_are_the_next_request_or_the_end() {
    let a = Origin::start("a").await;
    let gateway = before(a.address(), "[]").await;
    let mut wire = gateway.wire().await;
    wire.send("POST /1 HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbodyjunk\r\n\r\n").await;
    assert_eq!(wire.answer().await.json()["body"], "body");
    let rest = String::from_utf8(wire.rest().await).unwrap();
    assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 400 "), "{rest}");
    assert_eq!(a.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_http_1_0_never_sees_a_chunk() {
    let a = Origin::start("a").await.playing(|_| {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        vec![
            Beat::write(head),
            Beat::chunk("one "),
            Beat::chunk("two "),
            Beat::chunk("three"),
            Beat::write("0\r\n\r\n"),
        ]
    });
    for plugins in ["[]", "[swallow: {}]"] {
        let gateway = before(a.address(), plugins).await;
        for wish in ["", "connection: keep-alive\r\n", "connection: close\r\n", "te: chunked\r\n"] {
            let mut wire = gateway.wire().await;
            wire.send(format!("GET / HTTP/1.0\r\nhost: x\r\n{wish}\r\n")).await;
            let all = String::from_utf8(wire.rest().await).unwrap();
            let (head, body) = all.split_once("\r\n\r\n").unwrap();
            assert_eq!(body, "one two three", "{plugins} {wish}");
            let head = head.to_ascii_lowercase();
            assert!(!head.contains("transfer-encoding") && !head.contains("keep-alive"), "{plugins} {wish} {head}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_http_1_0_that_asks_for_it_keeps_its_connection_when_the_length_is_known() {
    let a = Origin::start("a").await;
    let gateway = before(a.address(), "[]").await;
    let mut wire = gateway.wire().await;
    for _ in 0..3 {
        wire.send("GET / HTTP/1.0\r\nhost: x\r\nconnection: keep-alive\r\n\r\n").await;
        let answer = wire.answer().await;
        assert_eq!((answer.origin().as_str(), answer.header("transfer-encoding")), ("a", None));
        if answer.header("connection").is_none_or(|connection| !connection.eq_ignore_ascii_case("keep-alive")) {
            // It may be closed instead, as long as it says so.
            assert_eq!(wire.rest().await, b"");
            wire = gateway.wire().await;
        }
    }
}

/// Everything that has come since, and nothing more follows it: the next request begins right after.
async fn next_request(client: &mut Wire, target: &mut Wire) -> String {
    client.send("GET /next HTTP/1.1\r\nhost: x\r\n\r\n").await;
    target.read_until("\r\n\r\n").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_a_plugin_empties_ends_exactly_once() {
    let length = "content-length: 5\r\n\r\n";
    let chunked = "transfer-encoding: chunked\r\n\r\n";
    for (framing, body, passed) in [
        (length, "abxxx", "2\r\nab\r\n0\r\n\r\n"),
        (length, "xxxxx", "0\r\n\r\n"),
        (chunked, "3\r\nabc\r\n2\r\nxx\r\n0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n"),
        (chunked, "2\r\nxx\r\n3\r\nabc\r\n0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n"),
        (chunked, "2\r\nxx\r\n2\r\nxx\r\n0\r\n\r\n", "0\r\n\r\n"),
        (chunked, "0\r\n\r\n", "0\r\n\r\n"),
    ] {
        let origin = RawOrigin::start().await;
        let gateway = before(origin.address(), "[swallow: {}]").await;
        let mut client = gateway.wire().await;
        client.send(format!("POST / HTTP/1.1\r\nhost: x\r\n{framing}")).await;
        for chunk in body.split_inclusive("\r\n").collect::<Vec<_>>().chunks(2) {
            client.send(chunk.concat()).await;
        }
        let (mut target, mut request) = origin.request().await;
        while !request.ends_with("0\r\n\r\n") {
            request.push_str(&target.read_until("\n").await);
        }
        let (head, sent) = request.split_once("\r\n\r\n").unwrap();
        let head = head.to_ascii_lowercase();
        assert!(head.contains("transfer-encoding: chunked") && !head.contains("content-length"), "{body:?} {head}");
        assert_eq!(decoded(sent), decoded(passed), "{body:?}");
        assert_eq!(sent.matches("0\r\n\r\n").count(), 1, "{body:?} {sent:?}");
        target.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        assert_eq!(client.answer().await.text(), "ok", "{body:?}");
        let next = next_request(&mut client, &mut target).await;
        assert!(next.starts_with("GET /next HTTP/1.1\r\n"), "{body:?}: {next:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_that_a_plugin_empties_ends_exactly_once() {
    let length = "content-length: 5\r\n\r\n";
    let chunked = "transfer-encoding: chunked\r\n\r\n";
    for (framing, body, passed) in [
        (length, "abxxx", "ab"),
        (length, "xxxxx", ""),
        (chunked, "3\r\nabc\r\n2\r\nxx\r\n0\r\n\r\n", "abc"),
        (chunked, "2\r\nxx\r\n3\r\nabc\r\n0\r\n\r\n", "abc"),
        (chunked, "2\r\nxx\r\n0\r\n\r\n", ""),
        (chunked, "0\r\n\r\n", ""),
    ] {
        let a = Origin::start("a").await.playing(move |_| {
            let answer = vec![Beat::write(format!("HTTP/1.1 200 OK\r\n{framing}"))];
            answer.into_iter().chain(body.split_inclusive("\r\n").map(Beat::write)).collect()
        });
        let gateway = before(a.address(), "[swallow: {}]").await;
        let mut wire = gateway.wire().await;
        wire.send(format!("{GET}GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
        let all = String::from_utf8(wire.rest().await).unwrap();
        let answers: Vec<_> = all.split("HTTP/1.1 200 OK\r\n").skip(1).collect();
        assert_eq!(answers.len(), 2, "{body:?}: {all:?}");
        for answer in answers {
            let (head, sent) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.to_ascii_lowercase().contains("transfer-encoding: chunked"), "{head}");
            assert_eq!((decoded(sent).as_str(), sent.matches("0\r\n\r\n").count()), (passed, 1), "{body:?}: {sent:?}");
        }
    }
}

/// The bytes of a chunked body that ends with its terminator and nothing after it.
fn decoded(chunked: &str) -> String {
    let (mut rest, mut whole) = (chunked, String::new());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("{chunked:?} is not chunked"));
        let (chunk, after) = after.split_at(size);
        whole.push_str(chunk);
        rest = after.strip_prefix("\r\n").unwrap_or_else(|| panic!("{chunked:?} is not chunked"));
        if size == 0 {
            assert_eq!(rest, "", "{chunked:?} goes on after its end");
        }
    }
    whole
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunked_upload_of_a_client_passes_with_its_own_end_alone() {
    let origin = RawOrigin::start().await;
    let gateway = before(origin.address(), "[]").await;
    let mut client = gateway.wire().await;
    client.send("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n").await;
    let (mut target, mut request) = origin.request().await;
    while !request.ends_with("0\r\n\r\n") {
        request.push_str(&target.read_until("\n").await);
    }
    assert_eq!(decoded(request.split_once("\r\n\r\n").unwrap().1), "abc");
    target.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 204);
    assert!(next_request(&mut client, &mut target).await.starts_with("GET /next "));
}
