//! Why there is no place on a connection, told to everybody who waited for one.

use std::sync::Arc;

use pingora::{Error, ErrorType};

/// There is no connection.
#[derive(Debug, Clone)]
pub(super) enum Refused {
    /// None could be made.
    Unreachable { kind: ErrorType, why: Arc<str> },
    /// Whoever answers at the address speaks something else.
    NotHttp2,
}

impl Refused {
    pub(super) fn new(kind: ErrorType, why: impl Into<Arc<str>>) -> Self {
        Self::Unreachable { kind, why: why.into() }
    }

    /// The error that ends an attempt; `None` if the target speaks no HTTP/2.
    pub(super) fn into_error(self) -> Option<Box<Error>> {
        match self {
            Self::Unreachable { kind, why } => Some(Error::explain(kind, why.to_string())),
            Self::NotHttp2 => None,
        }
    }
}

impl From<Box<Error>> for Refused {
    fn from(error: Box<Error>) -> Self {
        let context = error.context.as_ref().map(|context| context.as_str().to_owned());
        let cause = error.cause.as_ref().map(ToString::to_string);
        let why: Vec<_> = context.into_iter().chain(cause).collect();
        Self::new(error.etype().clone(), why.join(": "))
    }
}
