//! What a gRPC server says of a call: its status, in a head or in trailers.
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>

use http::{HeaderMap, HeaderName};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The code by which a server says that it cannot serve now.
pub const UNAVAILABLE: u16 = 14;

/// The status that a head or trailers tell, if they do: a number of at most three digits, which is more than there are.
pub fn status(fields: &HeaderMap) -> Option<u16> {
    let text = fields.get(&STATUS)?.to_str().ok()?;
    (text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}
