//! What a template or an expression sees through each context.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use pingora_http::{RequestHeader, ResponseHeader};

use super::{LogCx, RequestBodyCx, RequestCx, ResponseBodyCx, ResponseCx, UpstreamCx, cookie, host, query_value};
use crate::exchange::Exchange;
use crate::template::{Datum, Reference, Scope};

/// The parts of a request that references can name; `response` once there is one.
#[derive(Debug)]
pub struct View<'v> {
    /// The request as the plugins left it.
    pub request: &'v RequestHeader,
    /// Its answer, once there is one.
    pub response: Option<&'v ResponseHeader>,
    /// What else is known.
    pub exchange: &'v Exchange,
}

impl<'v> View<'v> {
    fn datum(&self, reference: &Reference) -> Option<Datum<'v>> {
        let (head, exchange) = (self.request, self.exchange);
        Some(match reference {
            Reference::Method => text(head.method.as_str()),
            Reference::Path => text(head.uri.path()),
            Reference::Host => text(host(&head.uri, &head.headers)),
            Reference::ClientIp => Datum::Text(Cow::Owned(exchange.client_ip().to_string())),
            Reference::RequestId => text(exchange.known_request_id()?),
            Reference::Route => text(exchange.route.as_deref()?),
            Reference::Header(name) => Datum::header(head.headers.get(name)?),
            Reference::Query(name) => Datum::Text(query_value(head.uri.query()?, name)?),
            Reference::Cookie(name) => text(cookie(&head.headers, name)?),
            Reference::Param(name) => Datum::Text(percent_decode_str(exchange.params.get(name)?).decode_utf8_lossy()),
            Reference::ConsumerId => text(&exchange.consumer.as_ref()?.id),
            Reference::ConsumerTier => text(exchange.consumer.as_ref()?.tier.as_deref()?),
            Reference::ConsumerGroups => Datum::List(&exchange.consumer.as_ref()?.groups),
            Reference::ConsumerScopes => Datum::List(&exchange.consumer.as_ref()?.scopes),
            Reference::ConsumerMethod => text(exchange.consumer.as_ref()?.method.as_deref()?),
            Reference::ConsumerCredential => text(exchange.consumer.as_ref()?.credential.as_deref()?),
            Reference::Claim(path) => Datum::Json(path.find(exchange.consumer.as_ref()?.claims.as_deref()?)?),
            Reference::ResponseStatus => Datum::Integer(i64::from(self.response?.status.as_u16())),
            Reference::ResponseHeader(name) => Datum::header(self.response?.headers.get(name)?),
            // Calls belong to the plugin that makes them; it wraps this scope in one of its own.
            Reference::Call { .. } => return None,
        })
    }
}

impl Scope for View<'_> {
    fn resolve<'s>(&'s self, reference: &Reference) -> Option<Datum<'s>> {
        self.datum(reference)
    }
}

fn text(text: &str) -> Datum<'_> {
    Datum::Text(Cow::Borrowed(text))
}

macro_rules! scope {
    ($context:ident, $request:ident, $response:expr) => {
        impl Scope for $context<'_> {
            fn resolve<'s>(&'s self, reference: &Reference) -> Option<Datum<'s>> {
                let response: fn(&'s Self) -> Option<&'s ResponseHeader> = $response;
                View { request: &*self.$request, response: response(self), exchange: &*self.exchange }.datum(reference)
            }
        }
    };
}

scope!(RequestCx, head, |_| None);
scope!(RequestBodyCx, request, |_| None);
scope!(UpstreamCx, head, |_| None);
scope!(ResponseCx, request, |cx| Some(&*cx.head));
scope!(ResponseBodyCx, request, |_| None);
scope!(LogCx, request, |_| None);
