//! HTTP/1 as bytes: just enough to read a message exactly as it came, with nothing tidied up on the way.

use std::io;

use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// A start line and header lines, in their order and with their case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// The request line or the status line.
    pub line: String,
    /// Names as they were written, with their values.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// The first value of a header, by any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every value of a header, by any case.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// A word of the start line.
    pub fn word(&self, index: usize) -> &str {
        self.line.split(' ').nth(index).unwrap_or_default()
    }

    fn is_chunked(&self) -> bool {
        self.all("transfer-encoding").any(|coding| coding.to_ascii_lowercase().contains("chunked"))
    }

    fn length(&self) -> Option<usize> {
        self.header("content-length")?.parse().ok()
    }
}

/// An answer as a client sees it.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its status line and headers.
    pub head: Head,
    /// Its body, without framing.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Who made this answer, if an echoing [`crate::Origin`] did.
    pub fn origin(&self) -> String {
        self.json()["origin"].as_str().unwrap_or_default().to_owned()
    }

    /// Whether this is a problem document (RFC 9457) of the gateway.
    pub fn is_problem(&self) -> bool {
        self.header("content-type") == Some("application/problem+json") && self.json()["status"] == self.status
    }
}

/// Reads a head; `None` if the peer closed before the first byte of one.
pub(crate) async fn read_head(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Head>> {
    let mut head = Head::default();
    loop {
        let mut line = Vec::new();
        if from.read_until(b'\n', &mut line).await? == 0 {
            let begun = !head.line.is_empty();
            return if begun { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(None) };
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches(['\r', '\n']);
        match (head.line.is_empty(), line.is_empty()) {
            (true, true) => {}
            (true, false) => line.clone_into(&mut head.line),
            (false, true) => return Ok(Some(head)),
            (false, false) => {
                let (name, value) = line.split_once(':').unwrap_or((line, ""));
                head.headers.push((name.to_owned(), value.trim().to_owned()));
            }
        }
    }
}

/// Reads the body of a request.
pub(crate) async fn read_request_body(from: &mut (impl AsyncBufRead + Unpin), head: &Head) -> io::Result<Vec<u8>> {
    if head.is_chunked() {
        return read_chunks(from).await;
    }
    let mut body = vec![0; head.length().unwrap_or(0)];
    from.read_exact(&mut body).await?;
    Ok(body)
}

/// Reads an answer to a request of this method, whole.
pub(crate) async fn read_answer(from: &mut (impl AsyncBufRead + Unpin), method: &str) -> io::Result<Answer> {
    let head = read_head(from).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.word(1).parse().map_err(io::Error::other)?;
    let mut body = Vec::new();
    let bodyless = method == "HEAD" || matches!(status, 100..=199 | 204 | 304);
    if bodyless {
    } else if head.is_chunked() {
        body = read_chunks(from).await?;
    } else if let Some(length) = head.length() {
        body.resize(length, 0);
        from.read_exact(&mut body).await?;
    } else {
        from.read_to_end(&mut body).await?;
    }
    Ok(Answer { status, head, body })
}

async fn read_chunks(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut size = String::new();
        from.read_line(&mut size).await?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
        let start = body.len();
        body.resize(start + size, 0);
        from.read_exact(&mut body[start..]).await?;
        // After the last chunk come trailers and an empty line; after any other, the end of its line.
        loop {
            let mut line = String::new();
            let read = from.read_line(&mut line).await?;
            if read == 0 || size > 0 || line.trim().is_empty() {
                break;
            }
        }
        if size == 0 {
            return Ok(body);
        }
    }
}
