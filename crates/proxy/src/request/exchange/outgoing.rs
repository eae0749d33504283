//! The head of a request on its way out, after the hooks of an attempt.

use http::{Version, header};
use pingora::Result;
use pingora::http::RequestHeader;
use portreeve_wire::http1::Body;

use crate::http::grpc;
use crate::request::attempt;
use crate::request::context::Request;
use crate::request::phases::fatal;
use crate::upstream::{RequestHead, TargetExchange, is_of_connection};

/// The head of `asked` for this target, after the hooks of this attempt. It is the very head that was received where nobody changes
/// it.
///
/// # Errors
/// A hook failed.
pub(super) fn head<'a>(
    asked: &'a RequestHeader,
    cx: &mut Request,
    body: Body,
    target: &impl TargetExchange,
) -> Result<RequestHead<'a>> {
    let is_http1 = target.version() == Version::HTTP_11;
    let offer = asked.headers.get(header::UPGRADE).filter(|_| target.offers_upgrade());
    if is_http1 && offer.is_none() && !cx.changes_the_head() && body != Body::Chunked {
        return Ok(RequestHead::received(asked));
    }
    Ok(RequestHead::made(prepared(asked, cx, target.version(), body)?).offering(offer))
}

/// The head of `asked` as it goes to a target in this version, after the hooks of this attempt.
///
/// # Errors
/// A hook failed.
fn prepared(asked: &RequestHeader, cx: &mut Request, version: Version, body: Body) -> Result<RequestHeader> {
    let mut head = asked.clone();
    head.set_version(version);
    let gone: Vec<_> = head.headers.keys().filter(|name| is_of_connection(name)).cloned().collect();
    for name in &gone {
        head.remove_header(name);
    }
    attempt::prepares(&mut head, cx)?;
    grpc::set_te(&mut head);
    // Of what is said from here on, no signature can speak: it is of one connection.
    cx.send(&mut head).map_err(|failure| fatal(cx, &failure))?;
    cx.copy_head(&head, body == Body::None);
    // In HTTP/2 they have a place behind every body.
    cx.head_goes_out(&mut head, body == Body::Chunked || (version == Version::HTTP_2 && body != Body::None));
    Ok(head)
}
