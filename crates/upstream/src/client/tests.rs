//! The same exchange in HTTP/1.1 and in HTTP/2: whatever a target does, what comes of it is the same, in the same words.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use portreeve_config::{Timeouts, units};
use portreeve_wire::http1::Asked;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;
use crate::connector::{Silence, TargetConnector};
use crate::fault::Fault;
use crate::link::Dial;

/// More than what sockets and windows take of a request that nobody reads.
const LARGE: usize = 16 << 20;

/// What a target does when it has the head of a request.
#[derive(Debug, Clone, Copy)]
enum Play {
    /// Answers 200 with so many fields beside its length, and so much of a body of this length.
    Answers { fields: usize, length: usize, sends: usize },
    /// The same with an empty body, after so many interim answers.
    Hints(u8),
    /// Answers at once, and reads nothing of the body.
    AnswersEarly,
    /// Reads all, and says nothing.
    IsSilent,
    /// Takes nothing, and says nothing.
    TakesNothing,
    /// Closes the connection.
    Closes,
}

/// A target that does this on its first connection, and its address.
async fn target(is_http2: bool, play: Play) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let playing = tokio::spawn(async move {
        let (io, _) = listener.accept().await.unwrap();
        if is_http2 {
            http2(io, play).await;
        } else {
            http1(io, play).await;
        }
        std::future::pending::<()>().await;
    });
    (address, playing)
}

async fn http1(mut io: TcpStream, play: Play) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.unwrap());
    }
    let interim = "HTTP/1.1 103 Early Hints\r\n\r\n";
    let answer = match play {
        Play::Answers { fields, length, sends } => {
            let fields = "a: b\r\n".repeat(fields);
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{fields}\r\n{}", "x".repeat(sends))
        }
        Play::Hints(times) => interim.repeat(times.into()) + "HTTP/1.1 204 No Content\r\n\r\n",
        Play::AnswersEarly => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(),
        Play::IsSilent => {
            io.read_to_end(&mut Vec::new()).await.ok();
            return;
        }
        Play::TakesNothing => std::future::pending().await,
        Play::Closes => return,
    };
    io.write_all(answer.as_bytes()).await.unwrap();
    let is_whole = !matches!(play, Play::Answers { length, sends, .. } if sends < length);
    if is_whole {
        std::future::pending::<()>().await;
    }
}

async fn http2(io: TcpStream, play: Play) {
    let mut connection = h2::server::handshake(io).await.unwrap();
    let (request, mut respond) = connection.accept().await.unwrap().unwrap();
    let answer = http::Response::builder();
    let mut sending = None;
    match play {
        Play::Answers { fields, length, sends } => {
            let mut answer = answer.header("content-length", length);
            for _ in 0..fields {
                answer = answer.header("a", "b");
            }
            let mut body = respond.send_response(answer.body(()).unwrap(), false).unwrap();
            body.send_data("x".repeat(sends).into(), sends == length).unwrap();
            if sends < length {
                // What it has said goes out, and then the connection ends.
                tokio::time::timeout(Duration::from_millis(100), connection.accept()).await.ok();
                return;
            }
            sending = Some(body);
        }
        Play::Hints(times) => {
            for _ in 0..times {
                let hints = http::Response::builder().status(103).body(()).unwrap();
                respond.send_informational(hints).unwrap();
            }
            respond.send_response(answer.status(204).body(()).unwrap(), true).unwrap();
        }
        Play::AnswersEarly => {
            let mut body = respond.send_response(answer.body(()).unwrap(), false).unwrap();
            body.send_data("ok".into(), true).unwrap();
        }
        Play::IsSilent | Play::TakesNothing => {}
        Play::Closes => return,
    }
    let reading = async {
        let mut body = request.into_body();
        if matches!(play, Play::TakesNothing | Play::AnswersEarly) {
            std::future::pending::<()>().await;
        }
        while let Some(Ok(data)) = body.data().await {
            body.flow_control().release_capacity(data.len()).unwrap();
        }
        std::future::pending::<()>().await;
    };
    tokio::select! { () = reading => {}, () = async { while connection.accept().await.is_some() {} } => {} }
    drop(sending);
}

/// What comes of a request with so much of a body: the length of the answer's, or what went wrong.
async fn outcome(is_http2: bool, play: Play, length: usize) -> Result<usize, Fault> {
    let (address, playing) = target(is_http2, play).await;
    let short = units::Duration::from_millis(300);
    let timeouts = Timeouts { write: short, ..Timeouts::default() };
    let prepared = TargetConnector::new(Dial::new(address, None, timeouts, 0), is_http2);
    let silence = Silence { first_byte: short.get(), later: Duration::from_secs(20) };
    let handle = prepared.own_attempt(Asked { is_head: false, upgrade: false }, silence, Duration::ZERO);
    let place = handle.open_alone().await.unwrap().unwrap();
    let mut has_answer = false;
    let asked = async {
        let mut head = pingora::http::RequestHeader::build_no_case("PUT", b"/", None)?;
        head.insert_header("host", "a.test")?;
        let mut conversation = Conversation::begin(place.target, RequestHead::made(head), vec![b'x'; length].into())?;
        conversation.head().await?;
        has_answer = true;
        match conversation.gather(1000).await {
            Ok(body) => Ok(Some(body.len())),
            Err(NotGathered::TooLarge) => Ok(None),
            Err(NotGathered::Failed(error)) => Err(error),
        }
    };
    let outcome = asked.await.map_err(|mut error| {
        if let Some(attempt) = handle.upstream_attempt() {
            attempt.explain(&mut error);
        }
        Fault::of(&error)
    });
    // As calls are told of it: what breaks off is no good answer, whether that is found by its length or by its connection.
    let outcome = outcome.map_err(|fault| if has_answer && fault == Fault::Reset { Fault::BadAnswer } else { fault });
    playing.abort();
    outcome.map(|length| length.unwrap_or(usize::MAX))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_target_does_comes_to_the_same_in_either_version() {
    let whole = |fields| Play::Answers { fields, length: 9, sends: 9 };
    for (play, length, expected) in [
        (whole(0), 0, Ok(9)),
        (whole(0), 1 << 20, Ok(9)),
        // Of heads, bytes and fields are bounded alike.
        (whole(250), 0, Ok(9)),
        (whole(256), 0, Err(Fault::BadAnswer)),
        (Play::Answers { fields: 0, length: 1001, sends: 1001 }, 0, Ok(usize::MAX)),
        (Play::Answers { fields: 0, length: 9, sends: 4 }, 0, Err(Fault::BadAnswer)),
        (Play::Hints(8), 0, Ok(0)),
        (Play::Hints(9), 0, Err(Fault::BadAnswer)),
        // It need not read the rest.
        (Play::AnswersEarly, LARGE, Ok(2)),
        (Play::IsSilent, 0, Err(Fault::AnswerTimeout)),
        (Play::IsSilent, 1 << 20, Err(Fault::AnswerTimeout)),
        (Play::TakesNothing, LARGE, Err(Fault::AnswerTimeout)),
        (Play::Closes, 0, Err(Fault::Reset)),
    ] {
        for is_http2 in [false, true] {
            let outcome = outcome(is_http2, play, length).await;
            assert_eq!(outcome, expected, "{play:?} after {length} bytes, in HTTP/2: {is_http2}");
        }
    }
}
