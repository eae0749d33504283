//! Floods of HTTP/2: what costs a client nothing costs the gateway a bounded amount, and then the connection.

use std::time::Duration;

use portreeve_tests::{Gateway, RawOrigin, until, within};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::time::timeout;

use super::frames::{
    ACK, CANCEL, CONTINUATION, DATA, END_HEADERS, ENHANCE_YOUR_CALM, Frames, HEADERS, PING, PREFACE, PRIORITY,
    REFUSED_STREAM, RST_STREAM, SETTINGS, WHOLE, WINDOW_UPDATE, block, frame, get, post, pseudo,
};
use super::{Bench, PATIENCE};
use crate::rpc::{RpcClient, RpcOrigin, message};

/// Streams that are offered to a client at once.
const STREAMS: u32 = 128;
const FLOODS: &str = r#"portreeve_requests_refused_total{listener="public",reason="http2_flood"}"#;

/// Sends what `burst` makes for 0, 1, 2 … until the gateway says `ENHANCE_YOUR_CALM` and closes. How many it took.
pub(super) async fn until_calmed(bench: &Bench, opening: &[u8], most: u32, burst: impl Fn(u32) -> Vec<u8>) -> u32 {
    let before = bench.gateway.admin().count(FLOODS).await.unwrap_or_default();
    let mut frames = Frames::open(bench.gateway.address()).await;
    frames.send(opening).await;
    for n in 0..most {
        // What comes back is read to the end of each burst, so that the last word is not lost in a reset.
        let bytes = [burst(n), frame(PING, 0, 0, [0; 8])].concat();
        let pongs = frames.told.pongs + pings(&bytes);
        frames.send(bytes).await;
        assert!(frames.hear(|told| told.pongs >= pongs || told.goaway.is_some()).await, "neither answered nor ended");
        if frames.told.closed || frames.told.goaway.is_some() {
            assert_eq!(frames.told.goaway, Some(ENHANCE_YOUR_CALM), "after {n}: {:?}", frames.told);
            assert!(frames.hear(|told| told.closed).await, "the connection is left open");
            let counted = async || bench.gateway.admin().count(FLOODS).await.filter(|count| *count == before + 1);
            until("it is counted", counted).await;
            return n + 1;
        }
    }
    panic!("{most} and no end: {:?}", frames.told);
}

/// How many of these frames are PINGs that want an answer.
fn pings(mut frames: &[u8]) -> usize {
    let mut count = 0;
    while let Some([a, b, c, kind, flags, ..]) = frames.first_chunk::<9>() {
        count += usize::from(*kind == PING && flags & ACK == 0);
        frames = &frames[9 + u32::from_be_bytes([0, *a, *b, *c]) as usize..];
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_streams_than_were_offered_are_refused() {
    let mut bench = Bench::new().await;
    let mut frames = Frames::open(bench.gateway.address()).await;
    for n in 0..=STREAMS {
        frames.send(post(2 * n + 1, &[])).await;
    }
    let beyond = 2 * STREAMS + 1;
    assert!(frames.hear(|told| told.resets.contains_key(&beyond)).await, "{:?}", frames.told);
    assert_eq!(frames.told.resets.iter().collect::<Vec<_>>(), [(&beyond, &REFUSED_STREAM)]);
    // Place for one is place for another.
    frames.send(frame(RST_STREAM, 0, 1, CANCEL.to_be_bytes())).await;
    frames.send(get(beyond + 2)).await;
    assert!(frames.hear(|told| told.ended.contains(&(beyond + 2))).await);
    assert_eq!(frames.told.statuses.get(&(beyond + 2)), Some(&200), "{:?}", frames.told);
    drop(frames);
    bench.heard("9113 §5.1.2", "streams").await;
    bench.finish(1, 1);
}

/// CVE-2023-44487.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_reset_ends_the_connection() {
    let mut bench = Bench::new().await;
    let burst = |n: u32| {
        let streams = (0..50).map(|m| 2 * (50 * n + m) + 1);
        streams.flat_map(|stream| [get(stream), frame(RST_STREAM, 0, stream, CANCEL.to_be_bytes())].concat()).collect()
    };
    let taken = until_calmed(&bench, b"", 20, burst).await;
    let heard = bench.heard("9113 §10.5", "rapid reset").await;
    assert!(heard.whole.len() <= taken as usize * 50, "{} requests of {taken} bursts", heard.whole.len());
    bench.finish(1, 1);
}

/// The same at a pace at which every request is begun before it is given up, and its target asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_given_up_again_and_again_end_the_connection_at_any_pace() {
    let target = RawOrigin::start().await;
    let yaml = format!(
        "upstreams: {{ a: {{ targets: [\"{}\"] }} }}\nroutes: [{{ name: all, match: {{ path: \"/**\" }}, public: true, upstream: a }}]",
        target.address()
    );
    let gateway = Gateway::spawn(&yaml).await;
    let mut frames = Frames::open(gateway.address()).await;
    let mut asked = 0;
    while frames.told.goaway.is_none() && asked < 5_000 {
        let streams = (asked..asked + 50).map(|n| 2 * n + 1);
        frames.send(streams.clone().flat_map(get).collect::<Vec<_>>()).await;
        let mut begun = Vec::new();
        while begun.len() < 50 && frames.told.goaway.is_none() {
            begun.push(target.request().await);
        }
        let given_up = streams.flat_map(|stream| frame(RST_STREAM, 0, stream, CANCEL.to_be_bytes()));
        frames.send(given_up.chain(frame(PING, 0, 0, [0; 8])).collect::<Vec<_>>()).await;
        let pongs = frames.told.pongs;
        assert!(frames.hear(|told| told.pongs > pongs || told.goaway.is_some()).await);
        asked += 50;
    }
    // A client that keeps to the rules loses nothing by it: what it asked for before it was told is served.
    assert_eq!(frames.told.goaway, Some(0), "after {asked}: {:?}", frames.told);
    // A few are forgiven while the machine is busy.
    assert!((1_000..3_000).contains(&asked), "after {asked}");
    drop(frames);
    until("it is counted", async || gateway.admin().count(FLOODS).await.filter(|count| *count == 1)).await;
}

/// CVE-2025-8671, RUSTSEC-2025-0070: streams that the client makes the server reset.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_you_reset_ends_the_connection() {
    let mut bench = Bench::new().await;
    let overflow = |stream| frame(WINDOW_UPDATE, 0, stream, 0x7fff_ffff_u32.to_be_bytes());
    let on_itself = |stream: u32| frame(PRIORITY, 0, stream, [&stream.to_be_bytes()[..], &[9]].concat());
    let too_short = |stream| {
        frame(HEADERS, WHOLE, stream, [block(&pseudo("POST", "/")), block(&[("content-length", "9")])].concat())
    };
    for made in [
        &(|stream| [post(stream, &[]), overflow(stream)].concat()) as &(dyn Fn(u32) -> Vec<u8> + Sync),
        &|stream| [post(stream, &[]), on_itself(stream)].concat(),
        &too_short,
    ] {
        let taken = until_calmed(&bench, b"", 500, |n| made(2 * n + 1)).await;
        assert!(taken <= 100, "only after {taken}");
    }
    let heard = bench.heard("9113 §5.4.2", "MadeYouReset").await;
    assert_eq!(heard.whole.len(), 0);
    bench.finish(1, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_refused_again_and_again_end_the_connection() {
    let mut bench = Bench::new().await;
    let mut frames = Frames::open(bench.gateway.address()).await;
    let two_hosts = [(":method", "GET"), (":scheme", "http"), (":path", "/"), ("host", "a"), ("host", "b")];
    let mut sent = 0;
    while !frames.told.closed && sent < 500 {
        frames.send(frame(HEADERS, WHOLE, 2 * sent + 1, block(&two_hosts))).await;
        let stream = 2 * sent + 1;
        assert!(frames.hear(|told| told.statuses.contains_key(&stream)).await);
        sent += 1;
    }
    assert!(sent <= 33, "only after {sent}");
    until("it is counted", async || bench.gateway.admin().count(FLOODS).await.filter(|count| *count == 1)).await;
    assert!(bench.heard("9113 §8.3.1", "refused").await.whole.is_empty());
    bench.finish(1, 1);
}

/// CVE-2024-27316 and its kin.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_block_that_never_ends_ends_the_connection() {
    let mut bench = Bench::new().await;
    for piece in [&b""[..], b"\0\x01a\x01b", &[0; 1_000]] {
        let mut frames = Frames::open(bench.gateway.address()).await;
        frames.send(frame(HEADERS, 0, 1, block(&pseudo("GET", "/")))).await;
        for _ in 0..100 {
            frames.send(frame(CONTINUATION, 0, 1, piece)).await;
        }
        assert!(frames.hear(|told| told.closed).await, "{:?}", frames.told);
        assert_eq!(frames.told.goaway, Some(ENHANCE_YOUR_CALM), "{:?}", frames.told);
    }
    until("they are counted", async || bench.gateway.admin().count(FLOODS).await.filter(|count| *count == 3)).await;
    assert!(bench.heard("9113 §10.5.1", "CONTINUATION").await.whole.is_empty());
    bench.finish(3, 3);
}

/// CVE-2019-9518.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_without_bytes_again_and_again_ends_the_connection() {
    let mut bench = Bench::new().await;
    let taken = until_calmed(&bench, &post(1, &[]), 500, |_| frame(DATA, 0, 1, [])).await;
    assert!(taken <= 110, "only after {taken}");
    assert!(bench.heard("9113 §10.5", "empty DATA").await.whole.is_empty());
    bench.finish(1, 1);
}

/// CVE-2019-9512, CVE-2019-9515: every PING and SETTINGS must be answered. Who does not read the answers is read no further.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_floods_and_reads_nothing_is_cut_off_after_a_bounded_amount() {
    let mut bench = Bench::with("{ stall: 500ms }").await;
    let request_per_frame = |kind| frame(kind, 0, 0, if kind == PING { &[0; 8][..] } else { &[] }).repeat(4_000);
    for kind in [PING, SETTINGS] {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let mut stream = socket.connect(bench.gateway.address()).await.unwrap();
        stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, [])].concat()).await.unwrap();
        let (burst, mut sent) = (request_per_frame(kind), 0);
        let flood = async {
            while sent < 64 << 20 && stream.write_all(&burst).await.is_ok() {
                sent += burst.len();
            }
        };
        timeout(PATIENCE, flood).await.expect("the connection to be cut off");
        assert!(sent < 64 << 20, "all was taken");
    }
    assert!(bench.heard("9113 §10.5", "flood").await.whole.is_empty());
    bench.finish(2, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_ask_for_nothing_leave_nothing_behind() {
    let mut bench = Bench::new().await;
    let floods: [(&str, Vec<u8>); 5] = [
        ("PRIORITY", (1..=9_000).flat_map(|n| frame(PRIORITY, 0, 2 * n + 1, [0, 0, 0, 0, 9])).collect()),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, [0, 0, 0, 1]).repeat(9_000)),
        ("unknown", frame(0xee, 0, 0, [7; 64]).repeat(9_000)),
        ("PING", frame(PING, 0, 0, [0; 8]).repeat(9_000)),
        ("SETTINGS", frame(SETTINGS, 0, 0, [0, 3, 0, 0, 0, 9]).repeat(900)),
    ];
    for (name, flood) in &floods {
        let mut frames = Frames::open(bench.gateway.address()).await;
        let asked = frame(HEADERS, END_HEADERS | 1, 30_001, block(&pseudo("GET", "/")));
        frames.send(flood).await;
        frames.send(asked).await;
        frames.hear(|told| told.ended.contains(&30_001)).await;
        if frames.told.statuses.get(&30_001) != Some(&200) {
            bench.wrong("9113 §10.5", name, format!("{:?}", frames.told));
        }
        // No answer is longer than what it answers, but for the opening and the request.
        if frames.told.bytes > flood.len() + 4_096 {
            bench.wrong("9113 §10.5", name, format!("{} bytes for {}", frames.told.bytes, flood.len()));
        }
        bench.heard("9113 §10.5", name).await;
    }
    bench.finish(floods.len(), 5);
}

/// What waits for one client must not end what others have with the same target.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_nothing_of_many_small_messages_leaves_the_calls_of_others_alone() {
    let origin = RpcOrigin::start().await;
    let yaml = format!(
        "upstreams: {{ rpc: {{ targets: [\"{}\"], protocol: http2 }} }}\n\
         routes: [{{ name: rpc, match: {{ path: '/echo.Echo/**' }}, public: true, upstream: rpc }}]\n",
        origin.address()
    );
    let gateway = Gateway::setup().workers(1).spawn(&yaml).await;
    let mut client = RpcClient::connect(gateway.address()).await;
    let mut call = client.begin("/echo.Echo/Bidi", &[]).await;
    let mut echo = within("a head", call.answer).await.unwrap().into_body();
    let mut greedy = Frames::open(gateway.address()).await;
    let ask = [(":method", "POST"), (":scheme", "http"), (":authority", "a.example"), (":path", "/echo.Echo/Ticks")];
    let fields = [&ask[..], &[("content-type", "application/grpc"), ("te", "trailers")]].concat();
    for n in 0..10 {
        greedy.send(frame(HEADERS, WHOLE, 2 * n + 1, block(&fields))).await;
    }
    // All that its windows allow has come, so the gateway has taken all that it takes ahead for it.
    assert!(greedy.hear(|told| told.bytes > 65_000).await, "{:?}", greedy.told);
    for round in 0..20 {
        call.sending.send_data(message("still here"), false).unwrap();
        let answer = within("an echo", echo.data()).await.unwrap();
        assert_eq!(answer.as_deref().ok(), Some(&message("still here")[..]), "round {round}");
        echo.flow_control().release_capacity(15).unwrap();
    }
    assert_eq!(origin.connections(), 1, "they share it");
}

/// Streams that wait for their client for ever: a body that does not come, an answer for which there is no window.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_whose_client_neither_sends_nor_takes_ends_in_time() {
    let origin = super::Recorder::start().await;
    let yaml = format!(
        "listeners: [{{ name: public, bind: '127.0.0.1:0', limits: {{ stall: 1s }} }}]\n\
         upstreams: {{ origin: {{ targets: [\"{}\"] }} }}\n\
         routes: [{{ name: all, match: {{ path: \"/**\" }}, public: true, timeout: 1s, upstream: origin }}]\n",
        origin.address()
    );
    let gateway = Gateway::setup().workers(1).spawn(&yaml).await;
    let no_window = frame(SETTINGS, 0, 0, [0, 4, 0, 0, 0, 0]);
    for (what, bytes) in [("no body", post(1, &[])), ("no window", [no_window, get(1)].concat())] {
        let mut frames = Frames::open(gateway.address()).await;
        frames.send(bytes).await;
        let ended = frames.hear(|told| told.ended.contains(&1) || told.resets.contains_key(&1)).await;
        assert!(ended, "{what}: {:?}", frames.told);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_may_send_ahead_no_more_than_it_is_told() {
    let bench = Bench::new().await;
    let mut frames = Frames::open(bench.gateway.address()).await;
    assert!(frames.hear(|told| told.widened > 0 && !told.settings.is_empty()).await, "{:?}", frames.told);
    let told = |id| frames.told.settings.get(&id).copied();
    // MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_HEADER_LIST_SIZE; every connection begins with 65,535.
    assert_eq!((told(3), told(4), told(6)), (Some(STREAMS), Some(256 * 1024), Some(64 * 1024)));
    assert_eq!(65_535 + frames.told.widened, 1024 * 1024);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_of_http2_without_a_request_is_let_go_after_its_idle_time() {
    let bench = Bench::with("{ idle: 300ms }").await;
    let mut idle = Frames::open(bench.gateway.address()).await;
    // Who only pings does not count as busy.
    let pinging = async {
        while !idle.told.closed {
            idle.send(frame(PING, 0, 0, [0; 8])).await;
            let pongs = idle.told.pongs;
            idle.hear(|told| told.pongs > pongs).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, pinging).await.expect("the connection to be let go");
    assert_eq!(idle.told.goaway, Some(0), "{:?}", idle.told);
    // A request that is not whole is one.
    let mut busy = Frames::open(bench.gateway.address()).await;
    busy.send(post(1, &[])).await;
    assert!(timeout(Duration::from_secs(1), busy.hear(|told| told.goaway.is_some())).await.is_err(), "{:?}", busy.told);
    busy.send(frame(DATA, 1, 1, b"hello")).await;
    assert!(busy.hear(|told| told.ended.contains(&1)).await);
    assert_eq!(busy.told.statuses.get(&1), Some(&200), "{:?}", busy.told);
}

/// What never was a request is told of: counted, and in the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_the_rules_of_http2_is_counted_and_has_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let yaml = format!(
        "access_log: {{ to: \"file:{}\" }}\nroutes: [{{ name: all, match: {{ path: \"/**\" }}, public: true, respond: {{ status: 200 }} }}]",
        log.display()
    );
    let gateway = Gateway::spawn(&yaml).await;
    let no_frame = [PREFACE, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"].concat();
    let on_a_stream = [PREFACE, &frame(SETTINGS, 0, 0, []), &frame(PING, 0, 1, [0; 8])].concat();
    for (count, bytes) in [no_frame, on_a_stream].iter().enumerate() {
        let mut frames = Frames::bare(gateway.address()).await;
        frames.send(bytes).await;
        assert!(frames.hear(|told| told.closed).await);
        let line = crate::admin::lines(&log, count + 1).await.pop().unwrap();
        assert_eq!(line["client_ip"], "127.0.0.1", "{line}");
        assert!(line["status"].is_null() && line["error"].as_str().unwrap().contains("the rules of HTTP/2"), "{line}");
        let counted = r#"portreeve_requests_refused_total{listener="public",reason="http2_breach"}"#;
        assert_eq!(gateway.admin().count(counted).await, Some(count as u64 + 1));
    }
    // Who leaves, or has had its answer, has done nothing wrong.
    let mut fine = Frames::open(gateway.address()).await;
    fine.send(get(1)).await;
    assert!(fine.hear(|told| told.ended.contains(&1)).await);
    drop(fine);
    let last = crate::admin::lines(&log, 3).await.pop().unwrap();
    assert_eq!(last["status"], 200, "{last}");
}
