//! What the head of a message says of the rest of it.

/// How a message's body is delimited (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    None,
    /// So many bytes (`Content-Length`); may be 0.
    Length(u64),
    /// Chunks, and perhaps trailers.
    Chunked,
}

/// What a request's head says of the message and of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own; they do not form states")]
pub struct Head {
    /// How the body is delimited.
    pub body: Body,
    /// Asks to switch protocols: `Upgrade` with `Connection: upgrade`, HTTP/1.1. Not set for `h2c` alone, which nobody
    /// answers with 101 (RFC 9113 §3.1). Once such a request is answered with 101, the connection is no longer
    /// HTTP/1.x: pass on what follows without this reader.
    pub upgrade: bool,
    /// The request is HTTP/1.0, else HTTP/1.1.
    pub is_http10: bool,
    /// The client may wait for `100 Continue` before it sends the body (RFC 9110 §10.1.1).
    pub expects_continue: bool,
    /// The method is HEAD: the answer has no body, whatever its fields say.
    pub is_head: bool,
    /// The client means to send further requests on the connection (RFC 9112 §9.3).
    pub is_persistent: bool,
}

/// How far a reader came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// How many of the bytes given belong to the message in hand.
    pub taken: usize,
    /// Where the reader is after them.
    pub at: At,
}

/// Where in a message a reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Before a message: nothing of it has come, but perhaps an empty line, which does not count.
    Between,
    /// In a head: first line and fields.
    Head,
    /// The head is complete, the body is not. `head()` tells of the message.
    Body,
    /// The message is complete. `head()` still tells of it; the next byte read begins the next message.
    End,
}
