//! A connection of HTTP/1.1 in clear or over TLS, and requests whose answers can be told right from wrong.

use std::io;
use std::net::SocketAddr;

use fastrand::Rng;
use portreeve_tests::{Answer, TlsClient, Wire};

use crate::origins::body;
use crate::world::NAME;

/// A request, and the only right answer to it.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) status: u16,
    pub(crate) answer: Vec<u8>,
}

impl Exchange {
    /// One of those that a good target gives a right answer to.
    pub(crate) fn any(service: &str, rng: &mut Rng) -> Self {
        let id = rng.u64(..);
        let length = match rng.u8(..10) {
            0 => 200_000,
            1..=3 => rng.usize(..20_000),
            _ => rng.usize(..300),
        };
        let whole = body(id, length);
        let of = |does: &str| format!("/{service}/{does}/{length}/{id}");
        let plain = |method, path, status, answer| Self { method, path, fields: vec![], body: vec![], status, answer };
        match rng.u8(..8) {
            0 => plain("HEAD", of("bytes"), 200, vec![]),
            1 => plain("GET", of("nothing"), 204, vec![]),
            2 => plain("GET", of("chunks"), 200, whole),
            3 | 4 => Self { body: whole.clone(), ..plain("POST", of("echo"), 200, whole) },
            _ => plain("GET", of("bytes"), 200, whole),
        }
    }

    /// The request as HTTP/1.1; a body comes in chunks if so wished.
    pub(crate) fn bytes(&self, chunked: bool) -> Vec<u8> {
        let fields: String = self.fields.iter().map(|(name, value)| [name, ": ", value, "\r\n"].concat()).collect();
        let head = format!("{} {} HTTP/1.1\r\nhost: {NAME}\r\n{fields}", self.method, self.path);
        let mut bytes = head.into_bytes();
        if self.body.is_empty() {
            bytes.extend_from_slice(if self.method == "POST" { b"content-length: 0\r\n\r\n" } else { b"\r\n" });
        } else if chunked {
            bytes.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
            for chunk in self.body.chunks(4_000) {
                bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
        } else {
            bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", self.body.len()).as_bytes());
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }

    /// Panics if this is not the right answer.
    pub(crate) fn judge(&self, status: u16, answer: &[u8]) {
        let what = format!("{} {}", self.method, self.path);
        assert_eq!(status, self.status, "{what}: {}", String::from_utf8_lossy(&answer[..answer.len().min(300)]));
        assert!(answer == self.answer, "{what}: {} bytes instead of {}, or others", answer.len(), self.answer.len());
    }

    /// Panics if an answer does not come from one configuration alone.
    pub(crate) fn judge_sides(&self, listener: Option<&str>, route: Option<&str>) {
        assert!(listener.is_some() && listener == route, "{}: two configurations: {listener:?}, {route:?}", self.path);
    }
}

/// A connection in clear.
pub(crate) struct Clear(Wire);

impl Clear {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self(Wire::connect(address).await)
    }

    /// Sends a request and judges the answer. Whether the connection may be used again.
    pub(crate) async fn exchange(&mut self, exchange: &Exchange, chunked: bool) -> bool {
        self.0.send(exchange.bytes(chunked)).await;
        let answer = self.0.try_answer(exchange.method).await;
        let answer = answer.unwrap_or_else(|error| panic!("{} {}: {error}", exchange.method, exchange.path));
        exchange.judge(answer.status, &answer.body);
        exchange.judge_sides(answer.header("x-listener"), answer.header("x-route"));
        answer.header("connection") != Some("close")
    }

    /// Sends a request, and returns whatever comes.
    pub(crate) async fn ask(&mut self, path: &str) -> io::Result<Answer> {
        self.0.send(format!("GET {path} HTTP/1.1\r\nhost: {NAME}\r\n\r\n")).await;
        self.0.try_answer("GET").await
    }
}

/// A TLS connection that has shaken hands.
pub(crate) async fn shake(tls: &TlsClient, address: SocketAddr) -> portreeve_tests::Secure {
    tls.connect(address, NAME).await.unwrap_or_else(|error| panic!("a handshake: {error}"))
}
