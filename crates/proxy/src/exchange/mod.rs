//! The exchange of a request without a body with a target in HTTP/1.1: most requests there are. It is ours from the first byte
//! to the last; Pingora has those with a body, that switch protocols, or whose target speaks HTTP/2 (docs/adr/0023).
//!
//! What is decided is decided by the same functions as there (`attempt.rs`, `answer.rs`): this only moves the bytes.

mod outgoing;
mod reading;

use std::time::Duration;

use bytes::BytesMut;
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;
use pingora::{Error, ErrorType, OrErr, Result};
use pingora_proxy::Session;
use smallvec::SmallVec;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use self::reading::Reading;
use crate::context::Request;
use crate::phases::facts;
use crate::upstream::{Loan, Prepared};
use crate::{answer, attempt};

/// Bytes read at once: a head and a small body fit.
const READ: usize = 8 * 1024;
/// Bytes read at once of a body that is not over by then.
const READ_MORE: usize = 32 * 1024;

/// Whether this request is exchanged here.
pub(crate) fn is_ours(session: &mut Session, cx: &Request) -> bool {
    session.as_ref().as_custom().is_some()
        && !session.is_upgrade_req()
        && session.as_mut().is_body_empty()
        && cx.pool().is_some_and(|pool| !pool.transport().is_multiplexed())
        && !cx.touches_request_body()
}

/// Tries targets until one has answered, or nothing more can be tried. Dropped at any moment, it closes the connection it has and
/// gives back what is counted.
///
/// # Errors
/// What the client is to be told; nothing of an answer may have gone by then, or a part.
pub(crate) async fn run(session: &mut Session, cx: &mut Request) -> Result<()> {
    loop {
        match once(session, cx).await {
            Err(error) if error.retry() => {}
            ended => return ended,
        }
    }
}

/// One attempt.
async fn once(session: &mut Session, cx: &mut Request) -> Result<()> {
    attempt::begin(session, cx, Prepared::alone).await?;
    let mut loan = match borrow(session, cx).await {
        Ok(loan) => loan,
        Err(Unconnected::NoTarget(error)) => return Err(attempt::is_not_connected(cx, error.into_up()).into_up()),
        // The connection of the client keeps the time of an attempt as well.
        Err(Unconnected::NoClient(_))
            if facts(session.digest()).is_some_and(|facts| facts.line.take_attempt_over()) =>
        {
            return Err(attempt::is_not_connected(cx, too_late()).into_up());
        }
        Err(Unconnected::NoClient(error)) => return Err(attempt::broke(session, cx, error, false)),
    };
    match exchange(session, cx, &mut loan).await {
        Ok(()) => {
            loan.give_back();
            Ok(())
        }
        Err(error) => {
            // Closed, before somebody else is asked.
            drop(loan);
            Err(attempt::broke(session, cx, error, false))
        }
    }
}

/// Why there is no connection.
enum Unconnected {
    NoTarget(Box<Error>),
    /// The client left meanwhile, or its time is up.
    NoClient(Box<Error>),
}

/// A connection for the attempt: one that was kept, or a new one, within the time of an attempt.
async fn borrow(session: &mut Session, cx: &Request) -> Result<Loan, Unconnected> {
    let lost = || Unconnected::NoTarget(Error::explain(ErrorType::InternalError, "an attempt without a target"));
    let leg = cx.shared_leg().ok_or_else(lost)?;
    if let Some(loan) = Loan::kept(&leg) {
        return Ok(loan);
    }
    // Boxed: few requests wait for a connection.
    let most = cx.per_try().unwrap_or(Duration::MAX);
    let opening = Box::pin(tokio::time::timeout(most, Loan::open(&leg)));
    tokio::select! {
        biased;
        opened = opening => opened.unwrap_or_else(|_| Err(too_late())).map_err(Unconnected::NoTarget),
        left = client_leaves(session) => Err(Unconnected::NoClient(left)),
    }
}

#[expect(clippy::unnecessary_box_returns, reason = "Pingora's errors are boxed")]
fn too_late() -> Box<Error> {
    Error::explain(ErrorType::ConnectTimedout, "no connection within the time of an attempt")
}

/// Sends the request, and passes on what is answered, to its end.
async fn exchange(session: &mut Session, cx: &mut Request, loan: &mut Loan) -> Result<()> {
    let head = outgoing::head(session.req_header(), cx)?;
    let sent = async {
        loan.write_all(&head).await?;
        loan.flush().await
    };
    sent.await.or_err(ErrorType::WriteError, "while the request was sent").map_err(Error::into_up)?;
    cx.sent();
    let mut came = BytesMut::with_capacity(READ);
    let (head, mut reading) = loop {
        match reading::head(&mut came)? {
            None if read(session, loan, &mut came, READ).await? == 0 => {
                return Err(Error::explain(ErrorType::ConnectionClosed, "before the head of an answer").into_up());
            }
            None => {}
            Some(mut interim) if interim.status.is_informational() => {
                answer::comes(session, &mut interim, cx)?;
                answer::goes_on(session, &mut interim, cx).await?;
                pass(session, HttpTask::Header(interim, false)).await?;
            }
            Some(head) => break (head, Reading::new(loan, came)?),
        }
    };
    pass_on(session, cx, loan, head, &mut reading).await
}

/// The answer that counts, to its end.
async fn pass_on(
    session: &mut Session,
    cx: &mut Request,
    loan: &mut Loan,
    mut head: Box<ResponseHeader>,
    reading: &mut Reading,
) -> Result<()> {
    answer::comes(session, &mut head, cx)?;
    answer::goes_on(session, &mut head, cx).await?;
    let is_bodiless = reading.is_over();
    let mut tasks: SmallVec<[HttpTask; 4]> = SmallVec::new();
    tasks.push(HttpTask::Header(head, is_bodiless));
    if is_bodiless {
        return write(session, tasks).await;
    }
    loop {
        while let Some((mut data, last)) = reading.next()? {
            answer::chunk(session, &mut data, last, cx)?;
            if data.is_some() || last {
                tasks.push(HttpTask::Body(data, last));
            }
            if last {
                return write(session, tasks).await;
            }
        }
        write(session, std::mem::take(&mut tasks)).await?;
        if read(session, loan, reading.room(), READ_MORE).await? == 0 {
            reading.end()?;
        }
    }
}

async fn pass(session: &mut Session, task: HttpTask) -> Result<()> {
    let mut tasks = SmallVec::new();
    tasks.push(task);
    write(session, tasks).await
}

/// Hands these to the client's session: what is small is sent together.
async fn write(session: &mut Session, tasks: SmallVec<[HttpTask; 4]>) -> Result<()> {
    if tasks.is_empty() {
        return Ok(());
    }
    let Some(client) = session.as_mut().as_custom_mut() else {
        return Error::e_explain(ErrorType::InternalError, "the session is not one of ours");
    };
    client.response_duplex_vec(tasks.into_vec()).await.map(drop)
}

/// Reads on, while the client is watched: one that leaves ends the exchange, and so does the time of the request. 0: the target
/// has sent its last byte.
async fn read(session: &mut Session, loan: &mut Loan, into: &mut BytesMut, most: usize) -> Result<usize> {
    into.reserve(most);
    tokio::select! {
        biased;
        read = loan.read_buf(into) => {
            read.or_err(ErrorType::ReadError, "while the answer was read").map_err(Error::into_up)
        }
        left = client_leaves(session) => Err(left),
    }
}

/// Ready when the client has left, or the time of its request is up.
async fn client_leaves(session: &mut Session) -> Box<Error> {
    match session.as_mut().read_body_or_idle(true).await {
        Err(error) => error.into_down(),
        Ok(_) => Error::explain(ErrorType::ConnectionClosed, "the client left").into_down(),
    }
}
