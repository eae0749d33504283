//! What may come in over a wire: strict, pure, incremental readers. No I/O, no clock, nothing asynchronous.
//!
//! The gateway speaks HTTP through Pingora, which is more lenient than a front door should be. What stands here reads
//! the same bytes before Pingora does, by the strictest reading of the RFCs, and lets exactly one well-formed message
//! through at a time. Everything is a function of the bytes alone, so that it can be tested and fuzzed without a socket.
//!
//! - [`http1`]: the requests of a client and the answers of an origin, on an HTTP/1.x connection;
//! - [`http2`]: where the frames of a client begin and end, for the clock; what they say is read elsewhere;
//! - [`websocket`]: where the frames of a WebSocket begin and end, to put one of ours between them;
//! - [`proxy_protocol`]: the header with which a load balancer in front tells whom it speaks for;
//! - [`cookies`]: of several fields, as HTTP/2 may send them, one;
//! - [`forwarded`]: the same in fields of HTTP: whom to believe, and how to pass it on.
#![forbid(unsafe_code)]

mod class;
pub mod cookies;
pub mod forwarded;
pub mod http1;
pub mod http2;
pub mod proxy_protocol;
pub mod websocket;
