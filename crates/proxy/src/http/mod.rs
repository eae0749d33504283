//! What a gateway does with a message of HTTP, whoever sent it: heads are brought into one form and checked, strangers' fields
//! and those of one hop are removed, what targets are told of a client is added, gRPC is recognised.
//!
//! Functions of heads: nothing here knows a route, a pool or a connection.

pub(crate) mod accept;
pub(crate) mod cookies;
pub(crate) mod forwarding;
pub(crate) mod grpc;
pub(crate) mod head;
pub(crate) mod https;
mod query;
pub(crate) mod strangers;
pub(crate) mod trailers;
