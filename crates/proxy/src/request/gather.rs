//! The body of a request, read before a target is chosen for plugins that ask for it whole.

use std::fmt;
use std::time::Instant;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::StatusCode;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::{HttpTask, ServerSession as Session};
use pingora::{Error, Result};
use portreeve_plugin::engine::{BodySource, Broken};

use crate::request::context::Leave;
use crate::request::phases::facts;
use crate::request::upload;

/// The body as the client sends it, at no less than the listener's rate.
pub(crate) struct ClientBody<'s> {
    session: &'s mut Session,
    leave: &'s mut Leave,
    has_body: bool,
    announced: Option<u64>,
    limit: u64,
    /// By when it must have come.
    until: Instant,
    /// The client waits to be told that it may send it.
    waits_for_leave: bool,
    /// The client is waited for, or was when nobody wanted to know any more.
    is_awaited: bool,
    ended: Option<Box<Error>>,
}

impl<'s> ClientBody<'s> {
    /// That of a request with this head, which need not be in its session. `limit`: in bytes.
    pub(crate) fn new(
        session: &'s mut Session,
        head: &RequestHeader,
        leave: &'s mut Leave,
        limit: u64,
        until: Instant,
    ) -> Self {
        Self {
            has_body: !session.is_body_empty(),
            announced: upload::announced(head),
            waits_for_leave: upload::waits_for_leave(head, *leave, session.body_bytes_read()),
            session,
            leave,
            limit,
            until,
            is_awaited: false,
            ended: None,
        }
    }

    /// Whether the client was being waited for when its body was last asked for.
    pub(crate) fn is_awaited(&self) -> bool {
        self.is_awaited
    }

    /// Why it did not come whole, if that was so.
    pub(crate) fn ended(self) -> Option<Box<Error>> {
        self.ended
    }

    async fn read(&mut self, until: Option<Instant>) -> Result<Option<Bytes>> {
        let until = until.map_or(self.until, |until| until.min(self.until));
        if let Some(facts) = facts(self.session.digest()) {
            // The connection keeps the time while it waits.
            facts.line.set_deadline(Some(until));
        }
        if std::mem::take(&mut self.waits_for_leave) {
            let go_on = ResponseHeader::build_no_case(StatusCode::CONTINUE, Some(0))?;
            self.session.response_duplex_vec(vec![HttpTask::Header(Box::new(go_on), false)]).await?;
            *self.leave = Leave::Given;
        }
        self.is_awaited = true;
        let read = self.session.read_request_body().await;
        self.is_awaited = false;
        read
    }
}

impl BodySource for ClientBody<'_> {
    fn has_body(&self) -> bool {
        self.has_body
    }

    fn announced(&self) -> Option<u64> {
        self.announced
    }

    fn limit(&self) -> u64 {
        self.limit
    }

    fn next(&mut self, until: Option<Instant>) -> BoxFuture<'_, Result<Option<Bytes>, Broken>> {
        Box::pin(async move {
            let read = self.read(until).await;
            read.map_err(|error| {
                self.ended = Some(error.into_down());
                Broken
            })
        })
    }
}

impl fmt::Debug for ClientBody<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBody")
            .field("has_body", &self.has_body)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
