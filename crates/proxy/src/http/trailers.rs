//! What goes on of the fields after a body (RFC 9110 §6.5), from one side of the gateway to the other.

use http::{HeaderMap, HeaderName, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use portreeve_connection::trailers::{Carrier, check, may_follow};
use portreeve_wire::http1::Bounds;

use crate::http::head;
use crate::http::strangers::{Strangers, reads_as};
use crate::upstream::UpstreamAttempt;

/// What decides about the trailers of one request and its answer.
#[derive(Debug, Default)]
pub(crate) struct TrailerRules {
    /// The client has said that it takes them (RFC 9110 §10.1.4).
    taken: bool,
    /// Names that the client's `Connection` keeps on its connection.
    of_client: Vec<HeaderName>,
    /// The same of the target's.
    of_target: Vec<HeaderName>,
    /// Names in the head that the target was sent: what was said there is not said again. `None` where no trailers can follow.
    said: Option<Vec<HeaderName>>,
}

impl TrailerRules {
    /// Those of a request that has just come, before anything is removed from its head.
    pub(crate) fn of(asked: &RequestHeader) -> Self {
        let may_have_some = asked.headers.contains_key(header::TRANSFER_ENCODING);
        let mut offers = asked.headers.get_all(header::TE).iter().filter_map(|offer| offer.to_str().ok());
        let says = |offer: &str| offer.split(',').any(|coding| coding.trim().eq_ignore_ascii_case("trailers"));
        Self {
            taken: asked.version >= Version::HTTP_11 && offers.any(says),
            of_client: if may_have_some { head::nominated(&asked.headers) } else { Vec::new() },
            ..Self::default()
        }
    }

    /// The client takes them.
    pub(crate) fn are_taken(&self) -> bool {
        self.taken
    }

    /// The head of an attempt is about to be sent: tells the target that trailers are taken, and prepares for those of the
    /// request if there can be some.
    pub(crate) fn head_goes_out(&mut self, upstream: &mut RequestHeader, may_follow: bool) {
        let is_http2 = upstream.version == Version::HTTP_2;
        if self.taken && !upstream.headers.contains_key(header::UPGRADE) && !upstream.headers.contains_key(header::TE) {
            // They cannot fail for these names. `TE` is of one connection, and HTTP/1.1 wants that said.
            upstream.insert_header(header::TE, "trailers").ok();
            if !is_http2 {
                upstream.insert_header(header::CONNECTION, "te").ok();
            }
        }
        self.said = may_follow.then(|| upstream.headers.keys().cloned().collect());
    }

    /// The request's body has come to its end: what followed it, if that goes on. `changed`: the body may be another one now.
    pub(crate) fn request_ends(&self, from: &Carrier, strangers: &Strangers, changed: bool) -> Option<Box<HeaderMap>> {
        let said = self.said.as_ref()?;
        // Kept for another attempt.
        let mut fields = from.came()?;
        remove(&mut fields, |name| {
            let is_said = said.iter().any(|said| reads_as(name, said));
            is_said || self.of_client.contains(name) || strangers.knows(name) || changed && head::is_body_fact(name)
        });
        Some(fields)
    }

    /// The head of the answer is about to be sent. `nominated`: what the target's `Connection` named.
    pub(crate) fn answer_begins(
        &mut self,
        nominated: Vec<HeaderName>,
        asked: &RequestHeader,
        answer: &ResponseHeader,
        to: &Carrier,
    ) {
        self.of_target = nominated;
        if self.taken && asked.version == Version::HTTP_11 && !answer.headers.contains_key(header::CONTENT_LENGTH) {
            to.open();
        }
    }

    /// The answer's body has come to its end in HTTP/1.1: what followed it.
    pub(crate) fn answer_ends(&self, attempt: &UpstreamAttempt, changed: bool) -> Option<Box<HeaderMap>> {
        let mut fields = attempt.trailers.take_came()?;
        remove(&mut fields, |name| self.of_target.contains(name) || changed && head::is_body_fact(name));
        Some(fields)
    }
}

/// Sends these behind the answer, if the client takes them there.
pub(crate) fn send(fields: Box<HeaderMap>, asked: &RequestHeader, to: &Carrier) {
    if asked.version == Version::HTTP_2 || to.is_open() {
        to.send(fields);
    }
}

/// What a target in HTTP/2 sent behind its answer, brought to what may go on. To a client in HTTP/1.1 all of it goes, or, if it is
/// too much, nothing.
pub(crate) fn admit(fields: &mut HeaderMap, changed: bool) {
    remove(fields, |name| !may_follow(name) || changed && head::is_body_fact(name));
}

pub(crate) fn fits(fields: &HeaderMap) -> bool {
    check(fields, &Bounds::default()).is_ok()
}

/// Removes these fields. Usually there are none of them.
fn remove(fields: &mut HeaderMap, these: impl Fn(&HeaderName) -> bool) {
    if !fields.keys().any(&these) {
        return;
    }
    let gone: Vec<_> = fields.keys().filter(|name| these(name)).cloned().collect();
    for name in &gone {
        fields.remove(name);
    }
}

#[cfg(test)]
#[path = "trailers_tests.rs"]
mod tests;
