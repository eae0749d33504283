//! An answer on its way out in HTTP/1.x: its framing is decided here, whatever the fields of its head said, and kept to.

use std::io::Write;

use http::{HeaderName, StatusCode, header};
use pingora::http::ResponseHeader;
use pingora::protocols::http::date::get_cached_date;

use portreeve_wire::http1::write_fields;

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
    /// What follows is another protocol.
    Tunnel,
}

/// What the client's request says of its answer: as it came, whatever plugins have made of it since.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// A head alone.
    pub(super) is_head: bool,
    /// HTTP/1.0 knows no chunks.
    pub(super) is_http10: bool,
}

impl Framing {
    /// That of an answer with this head. `end`: nothing will follow it.
    pub(super) fn of(head: &ResponseHeader, wanted: Wanted, end: bool) -> Self {
        if wanted.is_head || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            return Self::None;
        }
        match length(head) {
            _ if end => Self::Length(0),
            Some(length) => Self::Length(length),
            None if wanted.is_http10 => Self::UntilClose,
            None => Self::Chunked,
        }
    }
}

/// The one length that the fields tell, if they do.
fn length(head: &ResponseHeader) -> Option<u64> {
    let mut lengths = head.headers.get_all(header::CONTENT_LENGTH).iter();
    let length = lengths.next()?.to_str().ok()?.parse().ok()?;
    lengths.next().is_none().then_some(length)
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
    let says_length = match says.framing {
        // Of the body that a GET would have had; 204 has none (RFC 9110 §8.6).
        Some(Framing::None) => head.status != StatusCode::NO_CONTENT,
        Some(Framing::Length(framed)) => length(head) == Some(framed),
        Some(Framing::Chunked | Framing::UntilClose | Framing::Tunnel) | None => false,
    };
    write_fields(out, &head.headers, |name, _| {
        !is_of_connection(name) && (says_length || *name != header::CONTENT_LENGTH)
    });
    if let Some(framing) = says.framing {
        if !head.headers.contains_key(header::DATE) {
            out.extend_from_slice(b"Date: ");
            out.extend_from_slice(get_cached_date().as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        match framing {
            Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            Framing::Length(length) if !says_length => {
                // It cannot fail.
                write!(out, "Content-Length: {length}\r\n").ok();
            }
            _ => {}
        }
        let connection: &[u8] = match framing {
            Framing::Tunnel => b"Connection: Upgrade\r\n",
            _ if says.is_kept => b"Connection: keep-alive\r\n",
            _ => b"Connection: close\r\n",
        };
        out.extend_from_slice(connection);
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the line before a chunk.
pub(super) fn write_chunk_line(out: &mut Vec<u8>, length: usize) {
    // It cannot fail.
    write!(out, "{length:x}\r\n").ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: Wanted = Wanted { is_head: false, is_http10: false };

    /// The framing, and what of it is said.
    fn framed(status: u16, fields: &[(&'static str, &str)], wanted: Wanted, end: bool) -> (Framing, Vec<String>) {
        let mut head = ResponseHeader::build_no_case(status, None).unwrap();
        for (name, value) in fields {
            head.append_header(*name, *value).unwrap();
        }
        let framing = Framing::of(&head, wanted, end);
        let mut out = Vec::new();
        write_head(&mut out, &head, Says { framing: Some(framing), is_kept: true });
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with("\r\n\r\n"), "{text}");
        let says = |line: &&str| line.starts_with("Content-Length") || line.starts_with("Transfer-Encoding");
        (framing, text.lines().filter(says).map(str::to_owned).collect())
    }

    #[test]
    fn what_is_said_of_a_body_is_what_is_sent() {
        let none: [String; 0] = [];
        let said = |text: &str| vec![text.to_owned()];
        let length = [("content-length", "5")];
        let head = Wanted { is_head: true, ..GET };
        let old = Wanted { is_http10: true, ..GET };
        assert_eq!(framed(200, &length, GET, false), (Framing::Length(5), said("Content-Length: 5")));
        assert_eq!(framed(200, &[], GET, false), (Framing::Chunked, said("Transfer-Encoding: chunked")));
        assert_eq!(framed(200, &[], old, false), (Framing::UntilClose, none.to_vec()));
        assert_eq!(framed(200, &length, head, true), (Framing::None, said("Content-Length: 5")));
        assert_eq!(framed(304, &length, GET, true), (Framing::None, said("Content-Length: 5")));
        assert_eq!(framed(204, &length, GET, true), (Framing::None, none.to_vec()));
        // Nothing follows, whatever was announced: a plugin has made a 200 of a 304, or a HEAD of a GET.
        assert_eq!(framed(200, &length, GET, true), (Framing::Length(0), said("Content-Length: 0")));
        assert_eq!(framed(200, &[], GET, true), (Framing::Length(0), said("Content-Length: 0")));
        for fields in [&[("content-length", "5"), ("content-length", "6")][..], &[("content-length", "x")]] {
            assert_eq!(framed(200, fields, GET, false), (Framing::Chunked, said("Transfer-Encoding: chunked")));
        }
        let both = [("transfer-encoding", "chunked"), ("content-length", "5")];
        assert_eq!(framed(200, &both, GET, false), (Framing::Length(5), said("Content-Length: 5")));
    }
}
