//! Heads at the bounds of the listener: what just fits passes, one more is refused.

use crate::wire::{Bench, statuses, to_the_end};

const LIMITS: &str = "{ head_size: 2KiB, headers: 10, uri: 100B }";

/// A path of so many bytes.
fn path(length: usize) -> String {
    format!("/{}", "a".repeat(length - 1))
}

/// So many fields beside Host.
fn fields(count: usize) -> String {
    (0..count).fold(String::new(), |fields, n| fields + &format!("X-{n}: {n}\r\n"))
}

/// A head of exactly so many bytes.
fn head(length: usize) -> String {
    let (start, end) = ("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nX-Fill: ", "\r\n\r\n");
    [start, &"x".repeat(length - start.len() - end.len()), end].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_fits_the_bounds_of_its_listener_or_is_refused() {
    let mut bench = Bench::with(LIMITS).await;
    let get = |path: &str, fields: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{fields}\r\n")
    };
    let trailers = |fields: &str| {
        let head = "POST / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
        format!("{head}0\r\n{fields}\r\n")
    };
    let rows = [
        ("9110 §15.5.15", "a target at the bound", get(&path(100), ""), 200),
        ("9110 §15.5.15", "a target beyond the bound", get(&path(101), ""), 414),
        ("9110 §15.5.15", "a query beyond the bound", get(&format!("/?{}", path(99)), ""), 414),
        (
            "9110 §15.5.15",
            "an absolute target beyond the bound",
            get(&format!("http://a.example{}", path(90)), ""),
            414,
        ),
        ("9110 §15.5.15", "a target that never ends", "GET /".to_owned() + &"a".repeat(8_000), 414),
        ("6585 §5", "fields at the bound", get("/", &fields(8)), 200),
        ("6585 §5", "one field beyond the bound", get("/", &fields(9)), 431),
        ("6585 §5", "many fields", get("/", &fields(90)), 431),
        ("6585 §5", "a head at the bound", head(2_048), 200),
        ("6585 §5", "a head one byte beyond the bound", head(2_049), 431),
        ("6585 §5", "a value that never ends", get("/", &format!("X-A: {}", "b".repeat(100_000))), 431),
        ("6585 §5", "a name that never ends", get("/", &"b".repeat(100_000)), 431),
        ("6585 §5", "trailers at the bound", trailers(&fields(10)), 200),
        ("6585 §5", "one trailer beyond the bound", trailers(&fields(11)), 431),
        ("6585 §5", "a trailer that never ends", trailers(&format!("X-A: {}", "b".repeat(10_000))), 431),
    ];
    for (rfc, name, bytes, status) in &rows {
        let mut wire = bench.gateway.wire().await;
        wire.send(bytes).await;
        match to_the_end(&mut wire).await {
            Some(answer) if statuses(&answer) == [*status] => {}
            other => bench.wrong(rfc, name, format!("not one {status} and the end but {other:?}")),
        }
        let heard = bench.heard(rfc, name).await;
        if heard.whole.len() != usize::from(*status == 200) || !heard.broken.is_empty() {
            bench.wrong(rfc, name, format!("the origin was sent {heard:?}"));
        }
    }
    bench.finish(rows.len(), 15);
}

/// What a target is held in takes no more bytes than this, whatever the file says: it is told at load.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_target_that_can_be_passes_and_a_longer_one_is_414() {
    let bench = Bench::with("{ head_size: 128KiB, uri: 65534B }").await;
    for (length, status) in [(65_534, 200), (65_535, 414), (70_000, 414)] {
        let mut wire = bench.gateway.wire().await;
        let target = path(length);
        wire.send(format!("GET {target} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")).await;
        let answer = to_the_end(&mut wire).await.unwrap();
        assert_eq!(statuses(&answer), [status], "{length}");
    }
}
