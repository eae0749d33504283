//! A connection through a proxy: it is asked to pass bytes on to somebody else (RFC 9110 §9.3.6).

use bytes::BytesMut;
use http::HeaderValue;
use pingora::{Error, ErrorType, OrErr, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::ANSWERS;
use crate::client::read_answer_head;

/// What a proxy is asked.
#[derive(Debug, Clone)]
pub(crate) struct Tunnel {
    /// To whom: host and port.
    authority: String,
    authorization: Option<HeaderValue>,
}

impl Tunnel {
    pub(crate) fn new(authority: String, authorization: Option<HeaderValue>) -> Self {
        Self { authority, authorization }
    }

    /// Asks for it. What follows on this connection is the other one's.
    ///
    /// # Errors
    /// The proxy refuses. How long that may take is for whoever waits.
    pub(super) async fn open(&self, io: &mut TcpStream) -> Result<()> {
        let mut out = format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n", self.authority).into_bytes();
        if let Some(authorization) = &self.authorization {
            for part in [&b"Proxy-Authorization: "[..], authorization.as_bytes(), b"\r\n"] {
                out.extend_from_slice(part);
            }
        }
        out.extend_from_slice(b"\r\n");
        io.write_all(&out).await.or_err(ErrorType::ConnectProxyFailure, "while the proxy was asked")?;
        let mut came = BytesMut::new();
        let head = loop {
            if let Some(head) = read_answer_head(&mut came)? {
                break head;
            }
            let read =
                io.read_buf(&mut came).await.or_err(ErrorType::ConnectProxyFailure, "the answer of the proxy")?;
            if read == 0 || came.len() > ANSWERS.head_bytes {
                return Error::e_explain(ErrorType::ConnectProxyFailure, "the proxy gave no answer");
            }
        };
        if !head.status.is_success() {
            let why = format!("the proxy answers {}", head.status.as_u16());
            return Error::e_explain(ErrorType::ConnectProxyFailure, why);
        }
        // Whoever is behind it has not been asked anything yet.
        if came.is_empty() {
            Ok(())
        } else {
            Error::e_explain(ErrorType::ConnectProxyFailure, "the proxy speaks unasked")
        }
    }
}
