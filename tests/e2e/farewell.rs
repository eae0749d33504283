//! What clients are told when the gateway stops: of their connections, and at its limit both ends of a WebSocket, in the words of
//! their own protocol.

use std::time::{Duration, Instant};

use portreeve_tests::{Gateway, RawOrigin, Wire, until, within};

async fn before(origin: &RawOrigin) -> Gateway {
    let yaml = r#"
upstreams: { raw: { targets: ["@raw"] } }
routes: [{ name: all, match: { path: "/**" }, public: true, upstream: raw, timeouts: { idle: 1m } }]
"#;
    Gateway::setup().workers(1).spawn(&yaml.replace("@raw", &origin.address().to_string())).await
}

/// Both ends of a tunnel that has just been opened, and of which `first` has come with the 101.
async fn open(gateway: &Gateway, origin: &RawOrigin, first: &str) -> (Wire, Wire) {
    let mut client = gateway.wire().await;
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
    client.send(format!("GET /ws HTTP/1.1\r\nhost: x\r\n{upgrade}\r\n")).await;
    let (mut target, _) = origin.request().await;
    target.send(format!("HTTP/1.1 101 Switching Protocols\r\n{upgrade}\r\n{first}")).await;
    let head = client.read_until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let mut came = head.split_once("\r\n\r\n").unwrap().1.len();
    while came < first.len() {
        came += client.next().await.len();
    }
    (client, target)
}

/// Stops with this limit, as soon as this is polled.
async fn stop(gateway: &Gateway, limit: Duration) -> (String, Duration) {
    let begun = Instant::now();
    let drained = within("the stop", gateway.running().stop(Duration::ZERO, limit)).await;
    (format!("{drained:?}"), begun.elapsed())
}

async fn exactly(wire: &mut Wire, count: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < count {
        let next = wire.next().await;
        assert!(!next.is_empty(), "closed after {all:x?}");
        all.extend(next);
    }
    all
}

const GOING_AWAY: [u8; 4] = [0x88, 2, 0x03, 0xe9];

/// Reads the close frame that a target is sent.
fn unmasked(frame: &[u8]) -> [u8; 4] {
    let &[0x88, 0x82, a, b, _, _, high, low] = frame else { panic!("{frame:x?}") };
    [0x88, 2, high ^ a, low ^ b]
}

const LIMIT: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_web_socket_is_closed_with_1001_on_both_sides_and_waited_for() {
    let origin = RawOrigin::start().await;
    // Frames that came with the head, too.
    for first in ["", "\u{1}\u{2}hi\0\u{2}ho"] {
        let gateway = before(&origin).await;
        let (mut client, mut target) = open(&gateway, &origin, first).await;
        client.send(b"\x81\x82\0\0\0\0hi").await;
        assert_eq!(exactly(&mut target, 8).await, b"\x81\x82\0\0\0\0hi");
        let ends = async {
            assert_eq!(exactly(&mut client, 4).await, GOING_AWAY);
            assert_eq!(unmasked(&exactly(&mut target, 8).await), GOING_AWAY);
            // What still comes after the goodbye is nobody's; each answers the close frame. The target hangs up first.
            target.send(b"\x81\x02no").await;
            target.send(GOING_AWAY).await;
            target.finish().await;
            assert!(client.is_silent_for(Duration::from_millis(100)).await);
            client.send(b"\x81\x82\0\0\0\0no").await;
            client.send(b"\x88\x82\0\0\0\0\x03\xe9").await;
            (client.closed().await, target.closed().await)
        };
        let ((drained, took), ended) = tokio::join!(stop(&gateway, LIMIT), ends);
        assert_eq!((drained.as_str(), ended.0.unwrap(), ended.1.unwrap()), ("Clean", vec![], vec![]));
        assert!(took >= LIMIT && took < Duration::from_millis(1_100), "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_is_on_its_way_comes_whole_before_the_goodbye() {
    let origin = RawOrigin::start().await;
    let gateway = before(&origin).await;
    let (mut client, mut target) = open(&gateway, &origin, "").await;
    target.send(b"\x82\x04ab").await;
    client.send(b"\x82\x84\0\0").await;
    assert_eq!(
        (exactly(&mut client, 4).await, exactly(&mut target, 4).await),
        (b"\x82\x04ab".to_vec(), b"\x82\x84\0\0".to_vec())
    );
    let ends = async {
        assert!(client.is_silent_for(LIMIT + Duration::from_millis(300)).await);
        assert!(target.is_silent_for(Duration::from_millis(1)).await);
        target.send(b"cd\x81\x02no\x88\x02\x03\xe9").await;
        client.send(b"\0\0abcd\x81\x82\0\0\0\0no\x88\x82\0\0\0\0\x03\xe9").await;
        (client.closed().await.unwrap(), target.closed().await.unwrap())
    };
    let ((drained, _), (to_client, to_target)) = tokio::join!(stop(&gateway, LIMIT), ends);
    assert_eq!(drained, "Clean");
    assert_eq!(to_client, [b"cd", &GOING_AWAY[..]].concat());
    assert_eq!((&to_target[..6], unmasked(&to_target[6..])), (&b"\0\0abcd"[..], GOING_AWAY));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_answer_the_goodbye_is_waited_for_only_so_long() {
    let origin = RawOrigin::start().await;
    let gateway = before(&origin).await;
    let (mut client, mut target) = open(&gateway, &origin, "").await;
    // The one answers nothing, the other never ends its frame.
    client.send(b"\x82\x84\0\0").await;
    exactly(&mut target, 4).await;
    let (drained, took) = stop(&gateway, LIMIT).await;
    assert_eq!(drained, "Cut(1)");
    assert!(took > Duration::from_secs(1) && took < Duration::from_secs(5), "{took:?}");
    assert_eq!((client.rest().await, target.rest().await), (GOING_AWAY.to_vec(), vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_socket_whose_ends_are_closing_it_is_not_told_again() {
    let origin = RawOrigin::start().await;
    let gateway = before(&origin).await;
    let (mut client, mut target) = open(&gateway, &origin, "").await;
    let theirs = b"\x88\x02\x03\xe8";
    target.send(theirs).await;
    assert_eq!(exactly(&mut client, 4).await, theirs);
    let ends = async {
        assert_eq!(unmasked(&exactly(&mut target, 8).await), GOING_AWAY);
        client.send(b"\x88\x82\0\0\0\0\x03\xe8").await;
        (client.rest().await, target.rest().await)
    };
    let ((drained, _), ended) = tokio::join!(stop(&gateway, LIMIT), ends);
    assert_eq!((drained.as_str(), ended), ("Clean", (vec![], vec![])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_have_no_word_for_it_are_cut_at_the_limit_itself() {
    let origin = RawOrigin::start().await;
    let gateway = before(&origin).await;
    let mut client = gateway.wire().await;
    client.send("GET / HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n").await;
    let (mut target, _) = origin.request().await;
    target.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n").await;
    client.read_until("\r\n\r\n").await;
    let (drained, took) = stop(&gateway, LIMIT).await;
    assert_eq!(drained, "Cut(1)");
    assert!(took < Duration::from_millis(900), "{took:?}");
    assert_eq!((client.rest().await, target.rest().await), (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_comes_while_the_gateway_stops_says_that_its_connection_ends() {
    let origin = RawOrigin::start().await;
    let gateway = before(&origin).await;
    let mut client = gateway.wire().await;
    client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let (mut target, _) = origin.request().await;
    let answered = async {
        // Begun before anybody could know.
        let is_refused = async || tokio::net::TcpStream::connect(gateway.address()).await.is_err().then_some(());
        until("nobody else is served", is_refused).await;
        target.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        client.rest().await
    };
    let ((drained, _), answer) = tokio::join!(stop(&gateway, Duration::from_secs(10)), answered);
    let answer = String::from_utf8(answer).unwrap().to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 200 ") && answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert_eq!(drained, "Clean");
}
