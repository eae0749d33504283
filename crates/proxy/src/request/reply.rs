//! The one way to answer from here: response hooks run over the answer, then it is written.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::{HttpTask, ServerSession as Session};
use portreeve_plugin::engine::{Cause, Failure, Origin};
use portreeve_plugin::{Reply, ReplyBody};
use tokio::time::timeout;

use crate::http::grpc;
use crate::request::context::Request;
use crate::request::phases::facts;
use crate::snapshot::pages;
use portreeve_wire::http1::is_hop_by_hop;

/// A problem document for a request that never became one: it was refused at the wire.
pub(crate) fn problem(status: StatusCode, detail: Option<&str>, request_id: &str) -> Vec<u8> {
    pages::problem(status, detail, request_id)
}

/// Sends an answer of the gateway. If a response hook fails, a bare 500 goes out instead: never what a hook meant to change.
pub(crate) async fn send(session: &mut Session, request: &mut Request, reply: Reply) -> pingora::Result<()> {
    request.answered = true;
    if let Some(facts) = facts(session.digest()) {
        request.begins(&facts.line);
    }
    // Whatever plugins hold of a target's answer is not part of this one.
    request.restart_bodies();
    let (mut head, mut body) = compose(&reply, session.req_header(), request)?;
    if let Err(failure) = decorate(session, request, &mut head, &mut body).await {
        tracing::error!(error = %failure, "A plugin failed on the response.");
        request.error = Some(failure.to_string());
        let bare = Reply::status(StatusCode::INTERNAL_SERVER_ERROR);
        (head, body) = compose(&bare, session.req_header(), request)?;
    }
    let is_status = head.status.as_u16() >= 400 && grpc::is_grpc(&session.req_header().headers);
    if is_status {
        // After the hooks, which know nothing of gRPC: they have seen the error that it is.
        head.insert_header("x-request-id", &**request.exchange.request_id())?;
        let message = message(&reply, head.status);
        grpc::as_status(&mut head, &session.req_header().headers, message)?;
        request.grpc_status = grpc::status(&head.headers);
        body = Bytes::new();
    }
    request.mark(&mut head);
    let bodyless = head.status.is_informational() || matches!(head.status.as_u16(), 204 | 304);
    let http2 = session.req_header().version == Version::HTTP_2;
    if !(bodyless || (is_status && http2)) {
        head.insert_header(header::CONTENT_LENGTH, body.len())?;
    }
    let unsent = bodyless || body.is_empty() || session.req_header().method == Method::HEAD;
    // With the end on the head itself, where that is all: a gRPC client reads a status in the head only if nothing comes behind it.
    session.response_duplex_vec(vec![HttpTask::Header(Box::new(head), unsent)]).await?;
    if !unsent {
        session.write_response_body(body, true).await?;
    }
    drain(session).await;
    Ok(())
}

/// Closing with bytes unread resets the connection, and the client may lose the answer with it (RFC 9112 §9.6): what it is
/// still sending is read for so long. Whoever reads the answer and closes is not held.
const DRAIN: Duration = Duration::from_secs(1);

/// Reads what a client is still sending when it has been answered, if that comes to an end soon.
///
/// In HTTP/2, too: a reset of the stream takes nothing of the answer (RFC 9113 §8.1), but clients that are still sending, the
/// curl of Debian 12 among them, take it for a failure and never look at what came before it.
pub(crate) async fn drain(session: &mut Session) {
    if session.is_body_done() {
        return;
    }
    // What does not come to an end is never taken for another request: the connection knows where this one ends.
    timeout(DRAIN, session.drain_request_body()).await.ok();
}

/// Runs the response hooks over an answer of our own.
async fn decorate(
    session: &Session,
    request: &mut Request,
    head: &mut ResponseHeader,
    body: &mut Bytes,
) -> Result<(), Failure> {
    let asked = session.req_header();
    request.response(head, asked, Origin::Gateway).await?;
    if request.touches_response_body() {
        let whole = body.clone();
        match request.response_body(body, true, asked).await {
            // A plugin's bound is for what targets send; a page of ours goes out without that plugin's hand on it.
            Err(Failure { cause: Cause::TooLarge { .. }, .. }) => *body = whole,
            outcome => outcome?,
        }
    }
    Ok(())
}

fn compose(reply: &Reply, asked: &RequestHeader, request: &mut Request) -> pingora::Result<(ResponseHeader, Bytes)> {
    let mut head = ResponseHeader::build_no_case(reply.status_code(), Some(reply.headers().len() + 4))?;
    let body = match reply.body() {
        ReplyBody::Bytes(bytes) => bytes.clone(),
        ReplyBody::Problem { detail } => {
            let snapshot = request.snapshot.clone();
            snapshot.errors.write(&mut head, detail.as_deref(), asked, &mut request.exchange)?
        }
    };
    for (name, value) in reply.headers() {
        if !is_hop_by_hop(name) && *name != header::CONTENT_LENGTH {
            head.append_header(name.clone(), value.clone())?;
        }
    }
    Ok((head, body))
}

/// What a gRPC client is told beside the status: what a problem says, as far as it is still about this status.
fn message(reply: &Reply, status: StatusCode) -> &str {
    match reply.body() {
        ReplyBody::Problem { detail: Some(detail) } if reply.status_code() == status => detail,
        _ => status.canonical_reason().unwrap_or("Error"),
    }
}
