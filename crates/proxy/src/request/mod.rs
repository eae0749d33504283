//! The life of a request: `phases.rs` is the list, and every other file one part of it, in this order: admission, a gathered
//! body, attempts at targets, the exchange with one, the answer on its way to the client, the conclusion.

mod admission;
mod attempt;
mod conclusion;
pub(crate) mod context;
mod exchange;
mod gather;
pub(crate) mod phases;
pub(crate) mod reply;
mod response;
mod status;
mod upload;
