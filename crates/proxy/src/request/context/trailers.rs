//! Where trailers pass from the client's connection to the target's, and back.

use http::HeaderMap;
use pingora::http::RequestHeader;

use super::Request;
use crate::http::grpc;
use crate::http::trailers::{admit, fits, send};
use portreeve_connection::trailers::Carrier;

impl Request {
    /// The head of an attempt is about to be sent.
    pub(crate) fn head_goes_out(&mut self, upstream: &mut RequestHeader, may_follow: bool) {
        self.trailers.head_goes_out(upstream, may_follow);
    }

    /// The request's body has come to its end: what goes on of that which followed it.
    pub(crate) fn request_ends(&self, client: &Carrier) -> Option<Box<HeaderMap>> {
        let may_be_another = self.touches_request_body() || self.body_is_set();
        self.trailers.request_ends(client, &self.snapshot.strangers, may_be_another)
    }

    /// The answer's body has come to its end, in HTTP/1.1 with all that followed it.
    pub(crate) fn answer_ends(&mut self, asked: &RequestHeader, client: &Carrier) {
        let Some(attempt) = self.upstream_attempt.as_deref() else { return };
        let Some(fields) = self.trailers.answer_ends(attempt, self.touches_response_body()) else { return };
        self.grpc_status = grpc::status(&fields).or(self.grpc_status);
        send(fields, asked, client);
    }

    /// A target in HTTP/2 ended its answer with these. To a client in HTTP/2 they go as they are.
    pub(crate) fn answer_ends_with(&mut self, fields: &mut HeaderMap, asked: &RequestHeader, client: Option<&Carrier>) {
        self.grpc_status = grpc::status(fields).or(self.grpc_status);
        admit(fields, self.touches_response_body());
        if let Some(client) = client.filter(|client| client.is_open() && fits(fields)) {
            send(Box::new(fields.clone()), asked, client);
        }
    }
}
