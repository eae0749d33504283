//! Trailers: the fields after a body (RFC 9110 §6.5). Whichever of our connections reads them leaves them here, and whoever writes
//! the body on the other side puts them behind it.

use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use parking_lot::Mutex;
use pingora::http::{RequestHeader, ResponseHeader};
use portreeve_wire::http1::{self, Bounds, Refusal};

use crate::head;
use crate::strangers::{Strangers, reads_as};
use crate::upstream::UpstreamAttempt;

/// Trailers on their way over one connection. An exchange has its own: a client's [`Line`](crate::listener::Line), an
/// attempt's [`UpstreamAttempt`].
#[derive(Debug, Default)]
pub(crate) struct Carrier {
    /// Those that came.
    came: Mutex<Option<Box<HeaderMap>>>,
    /// Those that are to be sent.
    due: Mutex<Option<Box<HeaderMap>>>,
    /// The message that goes out may have some.
    is_open: AtomicBool,
    is_used: AtomicBool,
}

impl Carrier {
    /// Another message comes and goes.
    pub(crate) fn clear(&self) {
        if self.is_used.swap(false, Ordering::Relaxed) {
            self.is_open.store(false, Ordering::Relaxed);
            (*self.came.lock(), *self.due.lock()) = (None, None);
        }
    }

    /// These came, behind a body in chunks.
    pub(crate) fn bring(&self, trailers: &http1::Trailers) {
        if !trailers.is_empty() {
            self.bring_fields(
                trailers
                    .iter()
                    .filter_map(|(name, value)| {
                        Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?))
                    })
                    .collect(),
            );
        }
    }

    /// These came.
    pub(crate) fn bring_fields(&self, fields: HeaderMap) {
        self.is_used.store(true, Ordering::Relaxed);
        *self.came.lock() = Some(Box::new(fields));
    }

    /// Whether some came.
    pub(crate) fn have_come(&self) -> bool {
        self.is_used.load(Ordering::Relaxed) && self.came.lock().is_some()
    }

    /// The message that goes out from here on may have some.
    pub(crate) fn open(&self) {
        self.is_used.store(true, Ordering::Relaxed);
        self.is_open.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// Those that are to be sent, once.
    pub(crate) fn take_due(&self) -> Option<Box<HeaderMap>> {
        if self.is_used.load(Ordering::Relaxed) { self.due.lock().take() } else { None }
    }

    /// There are some to be sent.
    pub(crate) fn has_due(&self) -> bool {
        self.is_used.load(Ordering::Relaxed) && self.due.lock().is_some()
    }

    /// Another connection is heard: what came on this one is not said, what came on that one is.
    pub(crate) fn replace(&self, by: &Self) {
        let came = by.came.lock().take();
        if came.is_some() {
            self.is_used.store(true, Ordering::Relaxed);
        }
        *self.came.lock() = came;
    }

    fn send(&self, fields: Box<HeaderMap>) {
        self.is_used.store(true, Ordering::Relaxed);
        *self.due.lock() = Some(fields);
    }
}

/// Writes their lines in HTTP/1.1.
pub(crate) fn write(out: &mut Vec<u8>, fields: &HeaderMap) {
    for (name, value) in fields {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
}

/// Bytes of their lines in HTTP/1.1.
fn size(fields: &HeaderMap) -> usize {
    fields.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// Holds the trailers of a request in HTTP/2 to what HTTP/1.1 allows.
///
/// # Errors
/// Why the request is refused.
pub(crate) fn check(fields: &HeaderMap, bounds: &Bounds) -> Result<(), Refusal> {
    if fields.len() > bounds.fields {
        return Err(Refusal::TooManyFields);
    }
    if size(fields) > bounds.trailer_bytes {
        return Err(Refusal::TrailersTooLarge);
    }
    if fields.keys().all(may_follow) { Ok(()) } else { Err(Refusal::Trailer) }
}

fn may_follow(name: &HeaderName) -> bool {
    http1::may_be_trailer(name.as_str().as_bytes())
}

/// What decides about the trailers of one request and its answer.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    /// The client has said that it takes them (RFC 9110 §10.1.4).
    taken: bool,
    /// Names that the client's `Connection` keeps on its connection.
    of_client: Vec<HeaderName>,
    /// The same of the target's.
    of_target: Vec<HeaderName>,
    /// Names in the head that the target was sent: what was said there is not said again. `None` where no trailers can follow.
    said: Option<Vec<HeaderName>>,
}

impl Terms {
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
        let mut fields = from.came.lock().clone()?;
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
        let mut fields = attempt.trailers.came.lock().take()?;
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
