//! What targets are told before anything else, by a PROXY protocol header: for whom a connection is.

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::{Error, ErrorType, OrErr};
use portreeve_config::ProxyProtocol;
use portreeve_wire::proxy_protocol::{Additions, Header, write_v1, write_v2};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Appends the header. `name` is what the client asked for in TLS, `id` what the access log calls the connection.
pub(crate) fn announcement(version: ProxyProtocol, told: &Header, name: Option<&str>, id: &str, out: &mut Vec<u8>) {
    match version {
        ProxyProtocol::V1 => write_v1(told, out),
        ProxyProtocol::V2 => {
            let authority = name.unwrap_or_default().as_bytes();
            write_v2(told, &Additions { authority, unique_id: id.as_bytes(), ..Additions::default() }, out);
        }
    }
}

/// Connects for the gateway itself, and says so.
#[derive(Debug)]
pub(in crate::upstream) struct Own(pub(in crate::upstream) ProxyProtocol);

#[async_trait]
impl L4Connect for Own {
    /// Its time is the peer's `total_connection_timeout`.
    async fn connect(&self, address: &SocketAddr) -> pingora::Result<Stream> {
        let Some(address) = address.as_inet() else {
            return Error::e_explain(ErrorType::ConnectError, "not an internet address");
        };
        let mut header = Vec::new();
        announcement(self.0, &Header::Local, None, "", &mut header);
        let mut io = TcpStream::connect(address).await.or_err(ErrorType::ConnectError, "no connection")?;
        io.write_all(&header).await.or_err(ErrorType::ConnectError, "no header could be sent")?;
        Ok(io.into())
    }
}
