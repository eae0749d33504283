//! Handshakes in memory, with certificates made for the test.

mod client;
mod diagnostics;
mod files;
mod handshakes;
mod staples;
