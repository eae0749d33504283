//! Answers of targets, byte for byte: one clear message goes on to the client, or 502 and the connection to the target closed.
//! And what the gateway's own errors look like to whom.

use portreeve_tests::{Answer, Beat, Gateway, Origin, RawOrigin, at};

const ROUTE: &str = r#"
upstreams: { a: { targets: ["@a"] } }
routes: [{ name: a, match: { path: "/**" }, public: true, upstream: a }]
"#;

/// What a client gets when a target answers a GET with these bytes and then falls silent.
async fn answered(bytes: &str) -> Answer {
    let origin = Origin::start("a").await;
    let (bytes, ends) = match bytes.strip_suffix("<close>") {
        Some(bytes) => (bytes.to_owned(), true),
        None => (bytes.to_owned(), false),
    };
    origin.play(move |_| {
        let close = if ends { vec![Beat::Close] } else { vec![Beat::Await(1)] };
        [vec![Beat::write(&bytes)], close].concat()
    });
    let gateway = Gateway::spawn(&at(&[&origin], ROUTE)).await;
    gateway.raw("GET /x HTTP/1.1\r\nhost: gateway.test\r\n\r\n").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_two_could_read_differently_is_refused() {
    for bytes in [
        // RFC 9112 §6.3: no two lengths, and none that is not a number.
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!",
        "HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0x2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\nok",
        // RFC 9112 §6.1: only what was asked for, and only in HTTP/1.1.
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: xchunked\r\n\r\nok",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent_length: 5\r\n\r\nok<close>",
        // RFC 9110 §8.6: what has no body has no length.
        "HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\ncontent-length: 2\r\n\r\nok",
        // RFC 9110 §7.8: nobody asked.
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        // RFC 9112 §6.3: both framings, whichever goes before the other.
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        // RFC 9112 §5.1 and §5.2: white space that some readers take for a part of the name, and some for another field.
        "HTTP/1.1 200 OK\r\nx-a : 1\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nx-a: 1\r\n 2\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nx-a: 1\r\n\tcontent-length: 9\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\n x-a: 1\r\ncontent-length: 2\r\n\r\nok",
        // RFC 9112 §2.2: lines end in CR LF, and neither stands alone.
        "HTTP/1.1 200 OK\ncontent-length: 2\n\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\nok",
        "HTTP/1.1 200 OK\r\nx-a: 1\rcontent-length: 9\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 O\rK\r\ncontent-length: 2\r\n\r\nok",
        "\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        // RFC 9110 §5.5: NUL and its like.
        "HTTP/1.1 200 O\0K\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nx\0a: 1\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nx-a: \u{1}\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nx-a: \u{7f}\r\ncontent-length: 2\r\n\r\nok",
        // RFC 9112 §7.1: chunks, as far as they come with the head.
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0x2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n+2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n 2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10000000000000000\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok!\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;\0\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;a=b\rc\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;a=\"b\r\nok\r\n0\r\n\r\n",
        // RFC 9110 §6.5.1: trailers that would frame, route or prove something.
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\ncontent-length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx : 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n x: 1\r\n\r\n",
        // RFC 9112 §4: no HTTP/0.9, and nothing but a status line at the beginning.
        "ok<close>",
        "<html>ok</html><close>",
        "HTTP/1.1\r\n\r\nok<close>",
        "HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1  200 OK\r\ncontent-length: 2\r\n\r\nok",
        "http/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.2 200 OK\r\ncontent-length: 2\r\n\r\nok",
        // RFC 9110 §15, RFC 9112 §4 and §5.
        "HTTP/1.1 600 What\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        "ICY 200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx a: 1\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: a\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nnothing\r\ncontent-length: 0\r\n\r\n",
    ] {
        let answer = answered(bytes).await;
        assert!(answer.status == 502 && answer.is_problem(), "{bytes:?}: {answer:?}");
        assert!(!answer.text().contains("127.0.0.1"), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interim_answers_without_end_are_an_error() {
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    for (count, expected) in [(8, 200), (9, 502)] {
        let origin = Origin::start("a").await;
        origin.play(move |_| vec![Beat::write(hints.repeat(count)), Beat::answer(200, &[], "ok")]);
        let gateway = Gateway::spawn(&at(&[&origin], ROUTE)).await;
        // A client that reads over interim answers.
        assert_eq!(gateway.get("/x").await.status, expected, "{count}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unusual_answer_that_is_clear_goes_on_in_one_form() {
    for (bytes, body) in [
        ("HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\nok", "ok"),
        ("HTTP/1.1 299 Fine by me\r\ncontent-length: 2\r\n\r\nok", "ok"),
        ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", "ok"),
        ("HTTP/1.0 200 OK\r\n\r\nok<close>", "ok"),
        ("HTTP/1.1 200 OK\r\n\r\nok<close>", "ok"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx:\r\n\r\nok", "ok"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2;a=b\r\nok\r\n0\r\nx-trailer: 1\r\n\r\n", "ok"),
        ("HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", ""),
        ("HTTP/1.1 200 OK\r\ncontent-length:2\r\nx-a: \t1\t \r\n\r\nok", "ok"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a: caf\u{e9}\r\n\r\nok", "ok"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n00000002\r\nok\r\n000\r\n\r\n", "ok"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2 ; a=\"b\\\"c\"\r\nok\r\n0;last\r\n\r\n", "ok"),
    ] {
        let answer = answered(bytes).await;
        assert!((200..300).contains(&answer.status) && answer.text() == body, "{bytes:?}: {answer:?}");
        let framings = answer.head.all("content-length").count() + answer.head.all("transfer-encoding").count();
        assert!(framings <= 1, "{bytes:?}: {answer:?}");
        assert!(answer.head.headers.iter().all(|(name, value)| !name.ends_with(' ') && !value.contains(['\r', '\n'])));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_breaks_off_is_never_taken_for_a_whole_one() {
    for bytes in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok<close>",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nok<close>",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n<close>",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\nok\r\n0\r\n\r\n<close>",
    ] {
        let (origin, sent) = (Origin::start("a").await, bytes.trim_end_matches("<close>").to_owned());
        origin.play(move |_| vec![Beat::write(&sent), Beat::Close]);
        let gateway = Gateway::spawn(&at(&[&origin], ROUTE)).await;
        match gateway.get("/x").send().await {
            Err(_) => {}
            Ok(answer) => assert_eq!(answer.status, 502, "{bytes:?}: {answer:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_after_an_answer_is_nobodys_answer() {
    for (bytes, body) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison", "ok"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n!", "ok"),
        ("HTTP/1.1 204 No Content\r\n\r\nok", ""),
        ("HTTP/1.1 304 Not Modified\r\ncontent-length: 2\r\n\r\nok", ""),
    ] {
        let origin = RawOrigin::start().await;
        let yaml = ROUTE.replace("@a", &origin.address().to_string());
        let gateway = Gateway::setup().workers(1).spawn(&yaml).await;
        let mut client = gateway.wire().await;
        client.send("GET /1 HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let (mut first, _) = origin.request().await;
        first.send(bytes).await;
        assert_eq!(client.answer().await.text(), body, "{bytes:?}");
        client.send("GET /2 HTTP/1.1\r\nhost: x\r\n\r\n").await;
        // Another connection: the first one is closed with whatever was left in it.
        let (mut second, head) = origin.request().await;
        assert!(head.starts_with("GET /2 "), "{bytes:?}: {head}");
        second.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nmine").await;
        assert_eq!(client.answer().await.text(), "mine", "{bytes:?}");
        assert_eq!(first.rest().await, b"", "{bytes:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_kept_where_the_answer_and_its_version_say_so() {
    for (bytes, kept) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", true),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n", true),
        ("HTTP/1.1 204 No Content\r\n\r\n", true),
        ("HTTP/1.1 304 Not Modified\r\ncontent-length: 2\r\n\r\n", true),
        ("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok", true),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", false),
        ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", false),
    ] {
        let origin = RawOrigin::start().await;
        let yaml = ROUTE.replace("@a", &origin.address().to_string());
        let gateway = Gateway::setup().workers(1).spawn(&yaml).await;
        let mut client = gateway.wire().await;
        client.send("GET /1 HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let (mut first, _) = origin.request().await;
        first.send(bytes).await;
        client.answer().await;
        client.send("GET /2 HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let mut next = if kept { first } else { origin.accept().await };
        let head = next.read_until("\r\n\r\n").await;
        assert!(head.starts_with("GET /2 "), "{bytes:?}: {head}");
        next.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nmine").await;
        assert_eq!(client.answer().await.text(), "mine", "{bytes:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_one_however_its_packets_are_cut() {
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    let plain = format!("{hints}HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a: b\r\n\r\nok");
    let chunked =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;a\r\no\r\n1\r\nk\r\n0\r\nx: y\r\n\r\n".to_owned();
    for whole in [plain, chunked] {
        let origin = RawOrigin::start().await;
        let yaml = ROUTE.replace("@a", &origin.address().to_string());
        let gateway = Gateway::setup().workers(1).spawn(&yaml).await;
        let (mut client, mut target) = (gateway.wire().await, None);
        for cut in 1..whole.len() {
            client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
            let mut wire = match target.take() {
                Some(wire) => wire,
                None => origin.accept().await,
            };
            wire.read_until("\r\n\r\n").await;
            let (first, rest) = whole.split_at(cut);
            wire.send(first).await;
            tokio::task::yield_now().await;
            wire.send(rest).await;
            let mut answer = client.answer().await;
            while answer.status == 103 {
                answer = client.answer().await;
            }
            assert_eq!((answer.status, answer.text()), (200, "ok".to_owned()), "cut at {cut}: {whole:?}");
            target = Some(wire);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_is_written_as_its_client_reads_it() {
    let gateway = Gateway::spawn("routes: []\n").await;
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    for (accept, kind, begins) in [
        ("*/*", "application/problem+json", "{\"type\":\"about:blank\""),
        (browser, "text/html; charset=utf-8", "<!doctype html>"),
        ("text/plain", "text/plain; charset=utf-8", "404 Not Found\n"),
    ] {
        let answer = gateway.get("/nowhere").header("accept", accept).await;
        assert_eq!((answer.status, answer.header("content-type")), (404, Some(kind)));
        assert!(answer.text().starts_with(begins), "{answer:?}");
        assert_eq!(answer.header("vary"), Some("accept"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_the_file_are_sent_and_followed_when_they_change() {
    let yaml = r#"
errors:
  404: { file: missing.html }
  4xx: { body: '{"path": "${request.path}", "status": ${response.status}, "id": "${request.id}"}', content_type: application/json }
routes:
  - { name: found, match: { path: /found, methods: [GET] }, public: true, respond: { status: 404, body: "of its own" } }
"#;
    let refused = Gateway::setup().try_spawn(yaml).await.unwrap_err().to_string();
    assert!(refused.contains("errors.404.file: missing.html: "), "{refused}");
    let gateway = Gateway::spawn("routes: []\n").await;
    std::fs::write(gateway.folder().join("missing.html"), "<p>No ${request.headers.x-name} here.</p>").unwrap();
    gateway.reload(yaml).await.unwrap();
    let answer = gateway.get("/nowhere").header("x-name", "<script>").await;
    assert_eq!(answer.text(), "<p>No &lt;script&gt; here.</p>");
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    let id = answer.header("x-request-id").unwrap().to_owned();
    assert_eq!((id.len(), answer.header("vary")), (32, Some("accept")));
    // A program that asks for JSON is no reader of pages; one of JSON is for all.
    let answer = gateway.get("/nowhere").header("x-name", "a").header("accept", "application/json, */*").await;
    assert!(answer.is_problem() && answer.header("vary") == Some("accept"), "{answer:?}");
    let answer = gateway.ask("DELETE", "/found").header("accept", "application/json").await;
    assert_eq!((answer.header("content-type"), answer.header("vary")), (Some("application/json"), None));
    // What the page names is not there: the usual one.
    assert!(gateway.get("/nowhere").await.is_problem());
    let answer = gateway.ask("DELETE", "/found").await;
    assert_eq!((&answer.json()["path"], &answer.json()["status"]), (&"/found".into(), &405.into()));
    assert_eq!(answer.json()["id"], answer.header("x-request-id").unwrap());
    assert_eq!(gateway.get("/found").await.text(), "of its own");
    std::fs::write(gateway.folder().join("missing.html"), "<p>Gone.</p>").unwrap();
    gateway.reload(yaml).await.unwrap();
    assert_eq!(gateway.get("/nowhere").await.text(), "<p>Gone.</p>");
    let wrong = yaml.replace("${request.path}", "${consumer.id}");
    let refused = gateway.reload(&wrong).await.unwrap_err();
    assert!(
        refused.contains("an error page may name `request.…` and `response.status`, not `consumer.id`"),
        "{refused}"
    );
}
