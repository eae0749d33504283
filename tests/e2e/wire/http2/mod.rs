//! HTTP/2, frame by frame: a breach of the protocol ends its stream or its connection, and reaches no origin.

mod connection;
mod messages;

use portreeve_tests::{Authority, Certificates, Gateway, TlsClient, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::frames::{
    ACK, Frames, GOAWAY, HEADERS, PING, PREFACE, PRIORITY, PROTOCOL_ERROR, SETTINGS, WHOLE, WINDOW_UPDATE, block,
    frame, get, pseudo,
};
use super::{Bench, PATIENCE};

/// Section, what it is, the bytes behind a proper opening, what must come of them.
type Row = (&'static str, &'static str, Vec<u8>, Then);

/// What must come of it.
#[derive(Debug, Clone, Copy)]
enum Then {
    /// A connection error (RFC 9113 §5.4.1): GOAWAY with one of these codes, and the end of the connection.
    Goaway(&'static [u32]),
    /// A stream error (§5.4.2) on this stream with one of these codes; the connection serves on.
    Reset(u32, &'static [u32]),
    /// Stream 1 is answered with this status by the gateway; the connection serves on.
    Status(u16),
    /// Stream 1 is served: one clean request, in which `+` must stand and `-` must not (any case of letters).
    Passes(&'static [&'static str]),
    /// A stream error or a connection error, whichever: nothing is served.
    Refused,
}

/// Plays all rows. `most`: so many requests of a row may have been whole before the breach.
async fn play(bench: &mut Bench, rows: &[Row], most: usize) {
    for (rfc, name, bytes, then) in rows {
        let mut frames = Frames::open(bench.gateway.address()).await;
        frames.send(bytes).await;
        if let Err(what) = judge(&mut frames, *then).await {
            bench.wrong(rfc, name, format!("{what}; {:?}", frames.told));
        }
        let heard = bench.heard(rfc, name).await;
        match then {
            Then::Passes(parts) => passed(bench, rfc, name, &heard.whole, parts),
            _ if heard.whole.len() > most => bench.wrong(rfc, name, format!("the origin was sent {heard:?}")),
            _ => {}
        }
    }
}

async fn judge(frames: &mut Frames, then: Then) -> Result<(), String> {
    let in_time = match then {
        Then::Goaway(_) => frames.hear(|told| told.closed).await,
        Then::Reset(stream, _) => frames.hear(|told| told.resets.contains_key(&stream)).await,
        Then::Status(_) | Then::Passes(_) => {
            frames.hear(|told| told.ended.contains(&1) || told.resets.contains_key(&1)).await
        }
        Then::Refused => frames.hear(|told| !told.resets.is_empty() || told.goaway.is_some()).await,
    };
    if !in_time {
        return Err("nothing came of it".to_owned());
    }
    let told = &frames.told;
    let fine = match then {
        Then::Goaway(codes) => told.goaway.is_some_and(|code| codes.contains(&code)),
        Then::Reset(stream, codes) => told.resets.get(&stream).is_some_and(|code| codes.contains(code)),
        Then::Status(status) => told.statuses.get(&1) == Some(&status),
        Then::Passes(_) => told.statuses.get(&1) == Some(&200),
        Then::Refused => true,
    };
    if !fine {
        return Err(format!("not {then:?}"));
    }
    if matches!(then, Then::Goaway(_) | Then::Refused) {
        return Ok(());
    }
    // The connection serves on.
    frames.send(frame(HEADERS, WHOLE, 1_001, block(&pseudo("GET", "/alive")))).await;
    frames.hear(|told| told.ended.contains(&1_001)).await;
    if frames.told.statuses.get(&1_001) != Some(&200) {
        return Err("the connection does not serve on".to_owned());
    }
    Ok(())
}

fn passed(bench: &mut Bench, rfc: &str, name: &str, whole: &[Vec<u8>], parts: &[&str]) {
    let [message] = whole else {
        return bench.wrong(rfc, name, format!("{} requests at the origin", whole.len()));
    };
    let text = String::from_utf8_lossy(message).to_lowercase();
    for part in parts {
        let (sign, part) = part.split_at(1);
        if text.contains(part) != (sign == "+") {
            bench.wrong(rfc, name, format!("{sign}{part:?} in {text:?}"));
        }
    }
}

/// What may follow the preface, but for `SETTINGS`.
fn improper_openings() -> [(&'static str, Vec<u8>); 9] {
    let settings = frame(SETTINGS, 0, 0, []);
    [
        ("a request of HTTP/1.1", b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n".to_vec()),
        ("ones", vec![0xff; 64]),
        ("a request", get(1)),
        ("a request, and SETTINGS behind it", [get(1), settings.clone()].concat()),
        ("PING", [frame(PING, 0, 0, [0; 8]), settings.clone(), get(1)].concat()),
        ("an answer to SETTINGS", [frame(SETTINGS, ACK, 0, []), settings.clone(), get(1)].concat()),
        ("WINDOW_UPDATE", [frame(WINDOW_UPDATE, 0, 0, [0, 0, 1, 0]), settings.clone(), get(1)].concat()),
        ("PRIORITY", [frame(PRIORITY, 0, 1, [0, 0, 0, 0, 9]), settings.clone(), get(1)].concat()),
        ("a frame that nobody knows", [frame(0xee, 0, 0, []), settings, get(1)].concat()),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_does_not_begin_as_http2_does_is_closed() {
    let mut bench = Bench::new().await;
    let rows = improper_openings();
    for (name, bytes) in &rows {
        let mut frames = Frames::bare(bench.gateway.address()).await;
        frames.send([PREFACE, bytes].concat()).await;
        if !frames.hear(|told| told.closed).await {
            bench.wrong("9113 §3.4", name, "the connection is left open");
        }
        if frames.told.goaway != Some(PROTOCOL_ERROR) || !frames.told.statuses.is_empty() {
            bench.wrong("9113 §3.4", name, format!("{:?}", frames.told));
        }
        let heard = bench.heard("9113 §3.4", name).await;
        if !heard.whole.is_empty() {
            bench.wrong("9113 §3.4", name, "a request was served");
        }
    }
    bench.finish(rows.len(), 9);
}

/// The preface comes another way there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_over_tls_that_does_not_begin_as_http2_does_is_closed() {
    let (authority, files) = (Authority::new("Root"), Certificates::new());
    let certificate = files.put("a", &authority.certify(&["a.example"]));
    let yaml = format!(
        r#"
listeners: [{{ name: public, bind: "127.0.0.1:0", tls: {{ certificates: [{certificate}] }} }}]
routes: [{{ name: all, match: {{ path: "/**" }}, public: true, respond: {{ status: 200 }} }}]
"#
    );
    let gateway = Gateway::spawn(&yaml).await;
    let client = TlsClient::http2(&authority);
    for (name, bytes) in improper_openings() {
        let mut io = client.connect(gateway.address(), "a.example").await.unwrap().into_inner();
        io.write_all(&[PREFACE, &bytes].concat()).await.unwrap();
        let mut told = Vec::new();
        // It may end without a goodbye of TLS.
        timeout(PATIENCE, io.read_to_end(&mut told)).await.expect(name).ok();
        assert!(told.ends_with(&frame(GOAWAY, 0, 0, [0, 0, 0, 0, 0, 0, 0, 1])), "{name}: {told:?}");
    }
    let counted = r#"portreeve_requests_refused_total{listener="public",reason="http2_breach"}"#;
    until("they are counted", async || gateway.admin().count(counted).await.filter(|count| *count == 9)).await;
}
