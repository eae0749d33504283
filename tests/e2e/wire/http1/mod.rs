//! HTTP/1.1 requests that are refused: one answer, then the end of the connection, and nothing at the origin.

mod bodies;
mod fields;
mod framing;
mod lines;
mod sizes;

use super::{Bench, statuses, to_the_end};

/// A refused head, or a part of one: section, what it is, bytes, status.
type Refused = (&'static str, &'static str, &'static [u8], u16);

/// Sends each row as `whole` makes it, and expects it refused.
async fn refuse(bench: &mut Bench, rows: &[Refused], whole: impl Fn(&[u8]) -> Vec<u8>) {
    for (rfc, name, bytes, status) in rows {
        let mut wire = bench.gateway.wire().await;
        // What follows must not be taken for a request, whatever was before it.
        wire.send([&whole(bytes)[..], b"GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n"].concat()).await;
        match to_the_end(&mut wire).await {
            None => bench.wrong(rfc, name, "the connection is left open"),
            Some(answer) => {
                let head = answer.split("\r\n\r\n").next().unwrap_or_default().to_ascii_lowercase();
                if statuses(&answer) != [*status] {
                    bench.wrong(rfc, name, format!("not one {status} but {answer:?}"));
                } else if !head.contains("\r\nconnection: close") {
                    bench.wrong(rfc, name, "the answer does not say that the connection closes");
                }
            }
        }
        let heard = bench.heard(rfc, name).await;
        if !(heard.whole.is_empty() && heard.broken.is_empty()) {
            bench.wrong(rfc, name, format!("the origin was sent {heard:?}"));
        }
    }
}
