//! What is asked of an origin, what the head of its answer says, and what can be wrong with it.

use std::fmt;

use super::{Body, Refusal};

/// What an answer depends on that stands in the request (RFC 9112 §6.3).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The method was HEAD: no body follows, whatever the fields say.
    pub is_head: bool,
    /// The request asked to switch protocols: it may be answered with 101.
    pub upgrade: bool,
}

/// What the head of a final answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// From 200 to 599; or 101, if that was asked for. Then the connection is no longer HTTP/1.x: pass on what follows
    /// without this reader.
    pub status: u16,
    /// How the body is delimited.
    pub body: AnswerBody,
    /// The answer is HTTP/1.0, else HTTP/1.1.
    pub is_http10: bool,
    /// The connection may be used for another request after the body (RFC 9112 §9.3).
    pub is_persistent: bool,
}

/// How the body of an answer is delimited (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerBody {
    /// As that of a request may be.
    Framed(Body),
    /// By the end of the connection.
    UntilClose,
}

/// Why bytes are no answer. The connection must be closed; the client gets 502, if its answer has not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Flaw {
    /// What would be wrong in a request too.
    Malformed(Refusal),
    /// Not version SP status SP reason, or a status outside 100 to 599 (RFC 9112 §4, RFC 9110 §15).
    StatusLine,
    /// 101 that was not asked for, or that does not say which protocol (RFC 9110 §7.8, §15.2.2).
    Switching,
    /// A length in an answer that has no body: 1xx, 204 (RFC 9110 §8.6, RFC 9112 §6.1).
    Length,
    /// More than 16 interim answers.
    Interim,
    /// Bytes that no request asked for.
    Unasked,
    /// The connection ended within an answer (RFC 9112 §8).
    Truncated,
}

impl Flaw {
    /// The reason in one word: a metric's label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed(refusal) => refusal.name(),
            Self::StatusLine => "status_line",
            Self::Switching => "switching",
            Self::Length => "length",
            Self::Interim => "interim",
            Self::Unasked => "unasked",
            Self::Truncated => "truncated",
        }
    }
}

impl From<Refusal> for Flaw {
    fn from(refusal: Refusal) -> Self {
        Self::Malformed(refusal)
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed(refusal) => return refusal.fmt(f),
            Self::StatusLine => "the status line is not version SP status SP reason (RFC 9112 §4)",
            Self::Switching => "protocols are switched without being asked to (RFC 9110 §15.2.2)",
            Self::Length => "an answer without a body has a length (RFC 9110 §8.6)",
            Self::Interim => "too many interim answers (RFC 9110 §15.2)",
            Self::Unasked => "an answer that no request asked for (RFC 9112 §9.2)",
            Self::Truncated => "the connection ended within an answer (RFC 9112 §8)",
        })
    }
}

impl std::error::Error for Flaw {}
