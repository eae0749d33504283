//! One call to a target in HTTP/2: a stream on a connection that it shares with requests.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::{RecvStream, SendStream};
use portreeve_plugin::{Answer, Call, CallError};
use tokio::time::{Instant, sleep, timeout};

use super::{Broken, Failed, request, unconnected};
use crate::fault::Fault;
use crate::upstream::prepared::{Prepared, Silence};
use crate::upstream::{ANSWERS, Ending, Stream};

/// One try.
///
/// # Errors
/// There is no connection, or the target does not speak HTTP/2.
pub(super) async fn attempt(
    prepared: &Prepared,
    call: &Call,
    silence: Silence,
) -> Result<Result<Answer, Broken>, Failed> {
    let stream = Stream::open(prepared.dial()).await.map_err(|error| unconnected(&error))?;
    let stream = stream.ok_or_else(|| {
        let message = "the target does not speak HTTP/2".to_owned();
        (Fault::BadAnswer, CallError::Failed(message))
    })?;
    Ok(exchange(stream, prepared, call, silence).await)
}

/// Sends the request and reads the whole answer, within the target's timeouts and the call's bound. Both at once: the target may
/// answer before it has read everything, and need not read the rest.
async fn exchange(mut stream: Stream, prepared: &Prepared, call: &Call, silence: Silence) -> Result<Answer, Broken> {
    let impossible = |error: &dyn ToString| Broken::InAnswer(error.to_string());
    let head = request(prepared, call).map_err(|error| impossible(&error))?;
    let begun = stream.begin(http::Request::from_parts(head.into(), ()), call.body.is_empty());
    let begun = begun.map_err(|error| impossible(&error))?;
    let Some((mut answer, out)) = begun else {
        return Err(Broken::Untouched("the connection has come to its end".to_owned()));
    };
    let write = stream.write_limit();
    let (mut sending, mut is_sent) = (pin!(send(out, call.body.clone(), write)), false);
    // Its time begins when it has everything.
    let mut patience = pin!(sleep(silence.first_byte));
    let answer = loop {
        tokio::select! {
            biased;
            answer = &mut answer => break answer,
            is_taken = &mut sending, if !is_sent => {
                if !is_taken {
                    stream.retire();
                    return Err(Broken::TimedOut(write));
                }
                is_sent = true;
                patience.as_mut().reset(Instant::now() + silence.first_byte);
            }
            () = &mut patience, if is_sent => {
                // It may hang with all its streams.
                stream.retire();
                return Err(Broken::TimedOut(silence.first_byte));
            }
        }
    };
    let (head, body) = answer.map_err(|error| unanswered(&error, stream.is_reused()))?.into_parts();
    let bytes = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>();
    if bytes > ANSWERS.head_bytes {
        return Err(Broken::InAnswer("the head of an answer is too large".to_owned()));
    }
    let mut reading = pin!(read(body, call.max_body, silence.later));
    let body = loop {
        tokio::select! {
            biased;
            body = &mut reading => break body?,
            _ = &mut sending, if !is_sent => is_sent = true,
        }
    };
    Ok(Answer { status: head.status, headers: head.headers, body })
}

/// There is no answer.
fn unanswered(error: &h2::Error, is_reused: bool) -> Broken {
    let told = error.to_string();
    match Ending::of(error) {
        Ending::Untouched => Broken::Untouched(told),
        Ending::Lost if is_reused => Broken::Stale(told),
        Ending::Malformed => Broken::InAnswer(told),
        Ending::Lost | Ending::Broken => Broken::BeforeAnswer(told),
    }
}

/// Sends the body, as far as the target takes it. Whether it took something within `limit`, each time, or no more at all.
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
        // Only a stream that has ended takes none back.
        body.flow_control().release_capacity(piece.len()).ok();
        whole.extend_from_slice(&piece);
    }
}
