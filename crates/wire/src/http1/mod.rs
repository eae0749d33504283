//! HTTP/1.x, read strictly: where each message begins and ends, and whether it is well-formed (RFC 9110, 9112, 3986).

mod answer;
mod body;
mod bounds;
mod chunk;
mod content;
mod field;
mod framing;
mod head;
mod host;
mod incoming;
mod lines;
mod names;
mod parts;
mod refusal;
mod request_head;
mod requests;
mod responses;
mod status_line;
mod target;
mod trailers;

pub use answer::{Answer, AnswerBody, Asked, Flaw};
pub use bounds::Bounds;
pub use content::{Content, Piece};
pub use field::is_look_alike;
pub use head::{At, Body, Head, Progress};
pub use host::is_host;
pub use incoming::{Incoming, head_length};
pub use names::{fields, is_hop_by_hop, write_fields};
pub use parts::Parts;
pub use refusal::Refusal;
pub use requests::Requests;
pub use responses::Responses;
pub use target::MAX_METHOD;
pub use trailers::{Trailers, may_be_trailer};
