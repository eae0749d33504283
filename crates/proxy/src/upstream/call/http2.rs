//! One call to a target in HTTP/2: a stream on a connection that it shares with requests.

use std::future::poll_fn;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::{RecvStream, SendStream};
use portreeve_plugin::{Answer, Call, CallError};
use tokio::time::timeout;

use super::{Broken, Failed, request, unconnected};
use crate::fault::Fault;
use crate::upstream::Stream;
use crate::upstream::prepared::Prepared;

/// One try. The target may be silent for `silence`.
///
/// # Errors
/// There is no connection, or the target does not speak HTTP/2.
pub(super) async fn attempt(
    prepared: &Prepared,
    call: &Call,
    silence: Duration,
) -> Result<Result<Answer, Broken>, Failed> {
    let stream = Stream::open(prepared.dial()).await.map_err(|error| unconnected(&error))?;
    let stream = stream.ok_or_else(|| {
        let message = "the target does not speak HTTP/2".to_owned();
        (Fault::BadAnswer, CallError::Failed(message))
    })?;
    Ok(exchange(stream, prepared, call, silence).await)
}

/// Sends the request and reads the whole answer, within the target's timeouts and the call's bound.
async fn exchange(mut stream: Stream, prepared: &Prepared, call: &Call, silence: Duration) -> Result<Answer, Broken> {
    let is_reused = stream.is_reused();
    let unanswered = |error: String| if is_reused { Broken::Stale(error) } else { Broken::BeforeAnswer(error) };
    let head = request(prepared, call).map_err(|error| Broken::BeforeAnswer(error.to_string()))?;
    let begun = stream.begin(http::Request::from_parts(head.into(), ()), call.body.is_empty());
    let begun = begun.map_err(|error| Broken::BeforeAnswer(error.to_string()))?;
    let Some((answer, body)) = begun else { return Err(unanswered("the connection has come to its end".to_owned())) };
    if !send(body, call.body.clone(), stream.write_limit()).await {
        stream.retire();
        return Err(Broken::TimedOut(stream.write_limit()));
    }
    let Ok(answer) = timeout(silence, answer).await else {
        // It may hang with all its streams.
        stream.retire();
        return Err(Broken::TimedOut(silence));
    };
    let (head, body) = answer.map_err(|error| unanswered(error.to_string()))?.into_parts();
    let body = read(body, call.max_body, silence).await?;
    Ok(Answer { status: head.status, headers: head.headers, body })
}

/// Sends the body, as far as the target takes it: it may have answered before. Whether it took something within `limit`, each time.
async fn send(mut out: SendStream<Bytes>, mut body: Bytes, limit: Duration) -> bool {
    while !body.is_empty() {
        out.reserve_capacity(body.len());
        let room = match out.capacity() {
            0 => match timeout(limit, poll_fn(|cx| out.poll_capacity(cx))).await {
                Ok(Some(Ok(room))) => room,
                Ok(_) => break,
                Err(_) => return false,
            },
            room => room,
        };
        let piece = body.split_to(room.min(body.len()));
        if out.send_data(piece, body.is_empty()).is_err() {
            break;
        }
    }
    true
}

/// The body of the answer, of which a piece comes within `limit`, each time.
async fn read(mut body: RecvStream, most: usize, limit: Duration) -> Result<Bytes, Broken> {
    let mut whole = BytesMut::new();
    loop {
        let piece = timeout(limit, body.data()).await.map_err(|_| Broken::TimedOut(limit))?;
        let Some(piece) = piece else { return Ok(whole.freeze()) };
        let piece = piece.map_err(|error| Broken::InAnswer(error.to_string()))?;
        if whole.len() + piece.len() > most {
            return Err(Broken::TooLarge);
        }
        body.flow_control().release_capacity(piece.len()).ok();
        whole.extend_from_slice(&piece);
    }
}
