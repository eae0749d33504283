//! Targets that say more than they were asked, or something else.

use portreeve_tests::{Beat, Gateway, Origin, at};

const POISON: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison";

async fn before(origin: &Origin) -> Gateway {
    let yaml = r#"
upstreams: { a: { targets: ["@a"] } }
routes: [{ name: all, match: { path: "/**" }, public: true, upstream: a }]
"#;
    Gateway::setup().workers(1).spawn(&at(&[origin], yaml)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_target_says_beyond_its_answer_is_nobodys_answer() {
    let a = Origin::start("a").await.playing(|received| {
        let said = received.target().to_owned();
        let length = said.len();
        let head = match said.split('/').nth(1) {
            Some("chunked") => {
                format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{said}\r\n0\r\n\r\n")
            }
            Some("head") => format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"),
            Some("none") => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
            Some("same") => format!("HTTP/1.1 304 Not Modified\r\ncontent-length: {length}\r\n\r\n"),
            _ => format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{said}"),
        };
        vec![Beat::write(head + POISON)]
    });
    let gateway = before(&a).await;
    for round in 0..20 {
        for (method, kind) in
            [("GET", "length"), ("GET", "chunked"), ("HEAD", "head"), ("GET", "none"), ("GET", "same")]
        {
            let path = format!("/{kind}/{round}");
            let mut wire = gateway.wire().await;
            wire.send(format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
            let all = String::from_utf8(wire.rest().await).unwrap();
            let (head, body) = all.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {all:?}"));
            let said = if ["length", "chunked"].contains(&kind) { path.as_str() } else { "" };
            assert!(body.contains(said) && !body.contains("poison") && !body.contains("HTTP/1.1"), "{path}: {all:?}");
            let status = match kind {
                "none" => "204",
                "same" => "304",
                _ => "200",
            };
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {all:?}");
            assert!(!said.is_empty() || body.is_empty(), "{path}: {all:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_that_nobody_asked_for_is_502() {
    let a = Origin::start("a").await.playing(|_| {
        vec![Beat::write(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nfree bytes",
        )]
    });
    let gateway = before(&a).await;
    for body in ["", "content-length: 4\r\n\r\nbody"] {
        let end = if body.is_empty() { "\r\n" } else { "" };
        let mut wire = gateway.wire().await;
        wire.send(format!("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{body}{end}")).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, 502, "{answer:?}");
        assert!(answer.is_problem(), "{answer:?}");
        assert_eq!(String::from_utf8_lossy(&wire.rest().await), "");
    }
}
