//! What each reader takes and refuses, by the section of its RFC; and that it does so however the bytes come.
#![expect(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test may stop at what cannot be"
)]

mod bounds;
mod drive;
mod forwarded;
mod oracle;
mod properties;
mod proxy_protocol;
mod requests;
mod responses;
mod websocket;
