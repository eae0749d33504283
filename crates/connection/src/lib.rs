//! What connections on either side of the gateway share: the file descriptors of the process, deadlines that move without a timer,
//! trailers on their way from one connection to the other, and the end of a `WebSocket` when the gateway stops.
//!
//! Nothing here knows who is at the other end.
#![forbid(unsafe_code)]

pub mod deadline;
pub mod descriptors;
pub mod trailers;
pub mod web_socket;
