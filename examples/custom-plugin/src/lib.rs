//! A stranger's plugin crate and a gateway binary of its own.
