//! What targets are told before anything else, by a PROXY protocol header: for whom a connection is.

use portreeve_config::ProxyProtocol;
use portreeve_wire::proxy_protocol::{Additions, Header, write_v1, write_v2};

/// Appends the header. `name` is what the client asked for in TLS, `id` what the access log calls the connection.
pub fn announcement(version: ProxyProtocol, told: &Header, name: Option<&str>, id: &str, out: &mut Vec<u8>) {
    match version {
        ProxyProtocol::V1 => write_v1(told, out),
        ProxyProtocol::V2 => {
            let authority = name.unwrap_or_default().as_bytes();
            write_v2(told, &Additions { authority, unique_id: id.as_bytes(), ..Additions::default() }, out);
        }
    }
}
