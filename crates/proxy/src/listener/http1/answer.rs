//! An answer on its way out in HTTP/1.x: its framing is decided here, whatever the fields of its head said, and kept to.

use std::io::Write;

use http::{HeaderName, Method, StatusCode, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::date::get_cached_date;

use crate::head::write_fields;

/// Fields of this connection alone: what goes out says them itself, or not at all.
fn is_of_connection(name: &HeaderName) -> bool {
    matches!(name.as_str(), "connection" | "transfer-encoding" | "keep-alive" | "proxy-connection")
}

/// How the body of an answer is delimited (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// No body, whatever is said of it (HEAD, 204, 304).
    None,
    /// So many bytes are still to come.
    Length(u64),
    Chunked,
    /// For a client of HTTP/1.0 where the length is not known.
    UntilClose,
}

impl Framing {
    /// That of an answer to `asked`. `end`: nothing will follow the head.
    pub(super) fn of(head: &ResponseHeader, asked: &RequestHeader, end: bool) -> Self {
        let has_none = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if has_none || asked.method == Method::HEAD {
            return Self::None;
        }
        let length = head.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        match length {
            Some(length) => Self::Length(length),
            None if end => Self::Length(0),
            None if asked.version >= Version::HTTP_11 => Self::Chunked,
            None => Self::UntilClose,
        }
    }
}

/// What the head of an answer says of the connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Says {
    /// `None` for an interim answer, which says nothing of a body.
    pub(super) framing: Option<Framing>,
    /// Another request may follow.
    pub(super) is_kept: bool,
}

/// Writes a head.
pub(super) fn write_head(out: &mut Vec<u8>, head: &ResponseHeader, says: Says) {
    let reason = head.get_reason_phrase().unwrap_or_default();
    out.reserve(head.headers.len() * 48 + 128);
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(head.status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\r\n");
    write_fields(out, &head.headers, |name, _| !is_of_connection(name));
    if let Some(framing) = says.framing {
        if !head.headers.contains_key(header::DATE) {
            out.extend_from_slice(b"Date: ");
            out.extend_from_slice(get_cached_date().as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        match framing {
            Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            Framing::Length(0) if !head.headers.contains_key(header::CONTENT_LENGTH) => {
                out.extend_from_slice(b"Content-Length: 0\r\n");
            }
            _ => {}
        }
        let connection: &[u8] = if says.is_kept { b"Connection: keep-alive\r\n" } else { b"Connection: close\r\n" };
        out.extend_from_slice(connection);
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the line before a chunk.
pub(super) fn write_chunk_line(out: &mut Vec<u8>, length: usize) {
    // It cannot fail.
    write!(out, "{length:x}\r\n").ok();
}
