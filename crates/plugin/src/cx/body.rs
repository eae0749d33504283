//! The contexts of the body hooks. There are no header setters here: the headers are gone by then.

use bytes::Bytes;
use pingora_http::RequestHeader;

use super::{shared_accessors, state_accessors};
use crate::chain::Step;
use crate::exchange::Exchange;
use crate::facts::States;

macro_rules! body_context {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name<'a> {
            pub(crate) chunk: &'a mut Bytes,
            pub(crate) last: bool,
            pub(crate) request: &'a RequestHeader,
            pub(crate) exchange: &'a mut Exchange,
            pub(crate) step: &'a Step,
            pub(crate) states: &'a mut States,
            pub(crate) index: usize,
        }

        shared_accessors!($name);
        state_accessors!($name);

        impl $name<'_> {
            /// The bytes at hand; empty when there are none.
            pub fn chunk(&self) -> &Bytes {
                self.chunk
            }

            /// Replaces the bytes at hand.
            pub fn set_chunk(&mut self, chunk: Bytes) {
                if self.step.acts() {
                    *self.chunk = chunk;
                }
            }

            /// Whether no more bytes follow. The last call may carry no bytes of its own.
            pub fn is_last(&self) -> bool {
                self.last
            }

            /// Headers of the request as the plugins left them.
            pub fn request_headers(&self) -> &http::HeaderMap {
                &self.request.headers
            }
        }
    };
}

body_context!(
    /// A piece of the request body.
    RequestBodyCx
);
body_context!(
    /// A piece of the response body.
    ResponseBodyCx
);
