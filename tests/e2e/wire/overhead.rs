//! Frames of HTTP/2 that carry nothing: a client may send as many as what it asks for is worth, and then its connection ends.

use std::time::Instant;

use portreeve_tests::Gateway;

use super::Bench;
use super::floods::until_calmed;
use super::frames::{
    ACK, CANCEL, ENHANCE_YOUR_CALM, Frames, GOAWAY, PING, PRIORITY, PROTOCOL_ERROR, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, frame, get, post,
};

/// What frames may cost at once, and how much more with each second.
const AT_ONCE: u64 = 10_000;
const PER_SECOND: u64 = 330;

/// Frames of each kind that a client needs nothing for, and what one costs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_ask_for_nothing_end_the_connection_when_there_are_too_many() {
    let mut bench = Bench::new().await;
    let busy: Vec<u8> = (0..128).flat_map(|n| post(2 * n + 1, &[])).collect();
    let rows: [(&str, Vec<u8>, Vec<u8>, u64); 9] = [
        ("PING", vec![], frame(PING, 0, 0, [7; 8]), 1),
        // CVE-2019-9512 the other way round: each was a line of the h2 library's log.
        ("answers to PING that nobody has sent", vec![], frame(PING, ACK, 0, [7; 8]), 100),
        ("SETTINGS", vec![], frame(SETTINGS, 0, 0, []), 10),
        ("SETTINGS that change windows", busy.clone(), frame(SETTINGS, 0, 0, [0, 4, 0, 0, 9, 9]), 10),
        ("PRIORITY", vec![], frame(PRIORITY, 0, 3, [0, 0, 0, 0, 9]), 1),
        ("WINDOW_UPDATE", vec![], frame(WINDOW_UPDATE, 0, 0, [0, 0, 0, 1]), 1),
        ("frames that nobody knows", vec![], frame(0xee, 0, 0, [7; 600]), 3),
        ("RST_STREAM of a stream that is over", get(1), frame(RST_STREAM, 0, 1, CANCEL.to_be_bytes()), 1),
        ("WINDOW_UPDATE of a stream that is over", get(1), frame(WINDOW_UPDATE, 0, 1, [0, 0, 0, 1]), 1),
    ];
    let count = rows.len();
    for (name, opening, one, cost) in rows {
        let begun = Instant::now();
        let burst = u32::try_from(1_000 / cost).unwrap();
        let taken = until_calmed(&bench, &opening, 40, |_| one.repeat(burst as usize)).await;
        let (spent, seconds) = (u64::from(taken * burst) * cost, begun.elapsed().as_secs() + 1);
        // The bursts are a little more than what is allowed, and what opens the connection is worth something.
        if !(AT_ONCE - 1_000..AT_ONCE + seconds * PER_SECOND + 2 * 1_280 + 1_000).contains(&spent) {
            bench.wrong("9113 §10.5", name, format!("ended after {spent} in {seconds} s"));
        }
        bench.heard("9113 §10.5", name).await;
    }
    bench.finish(count, 9);
}

/// The first is taken at its word, and what is in hand is served; the others serve nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_again_and_again_is_let_go() {
    let bench = Bench::new().await;
    let mut frames = Frames::open(bench.gateway.address()).await;
    frames.send([post(1, &[]), frame(GOAWAY, 0, 0, [0; 8]), frame(PING, 0, 0, [0; 8])].concat()).await;
    assert!(frames.hear(|told| told.pongs > 0).await, "{:?}", frames.told);
    assert!(!frames.told.closed, "{:?}", frames.told);
    frames.send(frame(GOAWAY, 0, 0, [0; 8]).repeat(200)).await;
    assert!(frames.hear(|told| told.closed).await, "{:?}", frames.told);
    assert_eq!(frames.told.goaway, Some(ENHANCE_YOUR_CALM));
}

/// A client that has as many streams as it may asks for more of them again and again: each is refused with a frame of ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_beyond_those_offered_again_and_again_end_the_connection() {
    let mut bench = Bench::new().await;
    let busy: Vec<u8> = (0..128).flat_map(|n| post(2 * n + 1, &[])).collect();
    let burst = |n: u32| (0..500).flat_map(|m| post(2 * (128 + 500 * n + m) + 1, &[])).collect::<Vec<_>>();
    let taken = until_calmed(&bench, &busy, 60, burst).await;
    assert!(taken <= 40, "only after {taken} bursts");
    bench.heard("9113 §5.1.2", "streams beyond those offered").await;
    bench.finish(1, 1);
}

/// CVE-2019-9511: an answer in single bytes costs a frame each way for each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_taken_in_single_bytes_ends_the_connection() {
    let body = "x".repeat(60_000);
    let yaml = format!(
        "routes: [{{ name: all, match: {{ path: \"/**\" }}, public: true, respond: {{ status: 200, body: {body} }} }}]"
    );
    let bench = Bench { gateway: Gateway::setup().workers(1).spawn(&yaml).await, ..Bench::new().await };
    let opening = [frame(SETTINGS, 0, 0, [0, 4, 0, 0, 0, 0]), get(1)].concat();
    let one = frame(WINDOW_UPDATE, 0, 1, [0, 0, 0, 1]);
    let taken = until_calmed(&bench, &opening, 100, |_| one.repeat(500)).await;
    assert!(taken < 40, "only after {taken} bursts");
}

/// Nothing that a client has to say to be served is taken for a flood.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_much_may_say_much() {
    let mut bench = Bench::new().await;
    let mut frames = Frames::open(bench.gateway.address()).await;
    let mut said = 0;
    for round in 0..60_u32 {
        for stream in (0..50).map(|n| 2 * (50 * round + n) + 1) {
            let around = [
                frame(PRIORITY, 0, stream, [0, 0, 0, 0, 9]),
                get(stream),
                frame(0x10, 0, 0, [&stream.to_be_bytes()[..], b"u=3,i"].concat()),
                frame(WINDOW_UPDATE, 0, 0, [0, 0, 0, 9]),
                frame(WINDOW_UPDATE, 0, stream, [0, 0, 0, 9]),
                frame(PING, 0, 0, [0; 8]),
            ];
            said += around.len() - 1;
            frames.send(around.concat()).await;
        }
        let last = 2 * (50 * round + 49) + 1;
        assert!(frames.hear(|told| told.ended.contains(&last)).await, "after {said}: {:?}", frames.told.goaway);
    }
    assert_eq!(frames.told.goaway, None, "after {said}");
    assert!(said as u64 > AT_ONCE + 2_000);
    bench.heard("9113 §10.5", "much").await;
    bench.finish(1, 1);
}

/// What was not asked for is a breach, and told as one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_to_settings_that_were_not_sent_ends_the_connection() {
    let bench = Bench::new().await;
    let mut frames = Frames::open(bench.gateway.address()).await;
    assert!(frames.hear(|told| !told.settings.is_empty()).await);
    frames.send(frame(SETTINGS, ACK, 0, []).repeat(3)).await;
    assert!(frames.hear(|told| told.closed).await, "{:?}", frames.told);
    assert_eq!(frames.told.goaway, Some(PROTOCOL_ERROR));
}
