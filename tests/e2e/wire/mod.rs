//! A corpus of our own, through a real gateway to an origin that keeps every byte: what is malformed is refused, what is
//! merely unusual passes, and whatever is forwarded is one clean request.
//!
//! A case is a row: the section that decides it, what it is in words, the bytes, what must come of them. Every test runs its
//! whole table and names all the rows that failed. After each row the gateway must still serve.

mod advisories;
mod audit;
mod doors;
mod floods;
pub(crate) mod frames;
mod http1;
mod http2;
mod overhead;
mod pipelines;
mod recorder;
mod unusual;

use std::time::Duration;

use portreeve_tests::{Gateway, Wire};
use tokio::time::timeout;

use audit::audit;
use recorder::{Heard, Recorder};

/// The longest that one row may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A gateway with one open route, before a recording origin.
struct Bench {
    gateway: Gateway,
    origin: Recorder,
    wrong: Vec<String>,
}

impl Bench {
    async fn new() -> Self {
        Self::with("{}").await
    }

    /// With these `limits` of the listener.
    async fn with(limits: &str) -> Self {
        let origin = Recorder::start().await;
        let yaml = format!(
            r#"
listeners: [{{ name: public, bind: "127.0.0.1:0", limits: {limits} }}]
upstreams: {{ origin: {{ targets: ["{}"] }} }}
routes: [{{ name: all, match: {{ path: "/**" }}, public: true, upstream: origin }}]
"#,
            origin.address()
        );
        Self { gateway: Gateway::setup().workers(1).spawn(&yaml).await, origin, wrong: Vec::new() }
    }

    /// Notes that a row failed.
    fn wrong(&mut self, rfc: &str, name: &str, what: impl std::fmt::Display) {
        self.wrong.push(format!("{name} (RFC {rfc}): {what}"));
    }

    /// What came to the origin since the last row, the clean messages and the others. Asks for something ordinary first: the
    /// gateway must be alive, and what it still had to send has been sent.
    async fn heard(&mut self, rfc: &str, name: &str) -> Heard {
        let alive = timeout(PATIENCE, self.gateway.raw("GET /alive HTTP/1.1\r\nHost: a.example\r\n\r\n")).await;
        if !alive.is_ok_and(|answer| answer.status == 200) {
            self.wrong(rfc, name, "the gateway does not serve any more");
        }
        let mut heard = self.origin.take();
        heard.whole.retain(|message| !message.starts_with(b"GET /alive "));
        for message in &heard.whole {
            if let Err(flaw) = audit(message) {
                self.wrong(rfc, name, flaw);
            }
        }
        heard
    }

    /// Ends a table: none of its rows, of which there must be so many, may have failed.
    fn finish(self, rows: usize, least: usize) {
        assert!(self.wrong.is_empty(), "{} of {rows} rows:\n{}", self.wrong.len(), self.wrong.join("\n"));
        assert!(rows >= least, "only {rows} rows");
    }
}

/// Everything that is sent until the gateway closes; `None` if it does not.
async fn to_the_end(wire: &mut Wire) -> Option<String> {
    let all = timeout(PATIENCE, wire.rest()).await.ok()?;
    Some(String::from_utf8_lossy(&all).into_owned())
}

/// The statuses of the answers in what a client received, without interim ones.
fn statuses(answers: &str) -> Vec<u16> {
    let heads = answers.split("HTTP/1.1 ").skip(1);
    let statuses = heads.map(|answer| answer.get(..3).and_then(|status| status.parse().ok()).unwrap_or(0));
    statuses.filter(|status| !(100..200).contains(status)).collect()
}
