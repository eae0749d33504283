//! Requests that are refused before any hook sees them: why, and what the client is sent.

use std::fmt;
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use pingora::protocols::http::date::get_cached_date;
use portreeve_wire::http1::Refusal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::connection::Connection;
use crate::request::reply;

/// After the answer, what the client is still sending is read for so long: closing with bytes unread would reset the
/// connection, and the client might lose the answer with it.
const LINGER: Duration = Duration::from_secs(1);
/// And only so many bytes of it.
pub(super) const LINGER_BYTES: u64 = 256 * 1024;
/// For sending the answer.
const SEND: Duration = Duration::from_secs(5);

/// What a listener takes at most (RFC 9110 §15.5.6 wants it in a 405): all but `CONNECT`, since a gateway is no tunnel.
pub(crate) const ALLOW: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Why a request is refused at the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It is no well-formed request, or larger than the listener allows.
    Malformed(Refusal),
    /// Its head did not come in time.
    SlowHead,
    /// Its body trickles.
    SlowBody,
    /// Its time has passed, whoever it was that took it.
    Late,
    /// Its connection broke the rules of HTTP/2, and ended with it.
    Breach,
    /// Its connection asked for more of what serves nobody than is good for others (RFC 9113 §10.5), and ended with it.
    Flood,
    /// Its client has as many requests in hand as it may have connections.
    Crowded,
}

impl Reason {
    /// What the client is answered.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Malformed(refusal) => StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST),
            Self::SlowHead | Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::Late => StatusCode::GATEWAY_TIMEOUT,
            // Never sent: the connection has ended, or the stream was refused.
            Self::Breach | Self::Flood => StatusCode::BAD_REQUEST,
            Self::Crowded => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// The reason in one word of a closed set, for metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Malformed(refusal) => refusal.name(),
            Self::SlowHead => "slow_head",
            Self::SlowBody => "slow_body",
            Self::Late => "late",
            Self::Breach => "http2_breach",
            Self::Flood => "http2_flood",
            Self::Crowded => "too_many_of_client",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(refusal) => write!(f, "refused: {refusal}"),
            Self::SlowHead => f.write_str("refused: the head did not come in time"),
            Self::SlowBody => f.write_str("refused: the body comes too slowly"),
            Self::Late => f.write_str("the time of the request passed"),
            Self::Breach => f.write_str("refused: the connection broke the rules of HTTP/2"),
            Self::Flood => f.write_str("refused: the connection asked for too much of what serves nobody"),
            Self::Crowded => {
                f.write_str("refused: the client has as much at once as limits.connections_per_client allows")
            }
        }
    }
}

/// Answers a request that no hook has seen, and closes the connection. Returns how many bytes of a page the client was sent;
/// `None` if it could not be sent an answer.
pub(super) async fn answer(
    mut connection: Connection,
    reason: Reason,
    request_id: &str,
    hsts: Option<&HeaderValue>,
) -> Option<u64> {
    let status = reason.status();
    let page = reply::problem(status, None, request_id);
    let mut text = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\nConnection: close\r\nDate: ",
        status.as_str(),
        status.canonical_reason().unwrap_or("Error"),
        page.len(),
    )
    .into_bytes();
    text.extend_from_slice(get_cached_date().as_bytes());
    if status == StatusCode::METHOD_NOT_ALLOWED {
        text.extend_from_slice(format!("\r\nAllow: {ALLOW}").as_bytes());
    }
    if let Some(hsts) = hsts {
        text.extend_from_slice(b"\r\nStrict-Transport-Security: ");
        text.extend_from_slice(hsts.as_bytes());
    }
    text.extend_from_slice(b"\r\n\r\n");
    text.extend_from_slice(&page);
    connection.pass_raw();
    let sent = timeout(SEND, async {
        connection.write_all(&text).await?;
        AsyncWriteExt::shutdown(&mut connection).await
    });
    if !matches!(sent.await, Ok(Ok(()))) {
        return None;
    }
    let (mut rest, mut nowhere) = (connection.take(LINGER_BYTES), tokio::io::sink());
    // Whatever comes of it: the client has been answered.
    timeout(LINGER, tokio::io::copy(&mut rest, &mut nowhere)).await.ok();
    Some(page.len() as u64)
}
