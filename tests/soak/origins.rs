//! The services behind the gateway: what a request's path asks for, in HTTP/1.1, WebSocket and gRPC, with bodies that tell
//! one request from every other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use portreeve_tests::{Beat, Certificate, Received};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A body of this length that no other `id` has.
pub(crate) fn body(id: u64, length: usize) -> Vec<u8> {
    let mut body = format!("{id:016x}-").into_bytes().repeat(length / 17 + 1);
    body.truncate(length);
    body
}

/// What an HTTP origin does: `/SERVICE/DOES/LENGTH/ID`.
///
/// | DOES | answers with |
/// |---|---|
/// | `bytes` | a body of that length |
/// | `chunks` | the same in chunks |
/// | `trickle` | the same, slowly |
/// | `echo` | the body it was sent |
/// | `nothing` | 204 |
/// | `events` | so many events, one after the other |
/// | `stall` | nothing for longer than the gateway waits |
/// | `reset` | a reset |
/// | `garbage` | what is not HTTP |
/// | `cut` | half of a body |
pub(crate) fn script(received: &Received) -> Vec<Beat> {
    let mut words = received.target().split('/').skip(2);
    let does = words.next().unwrap_or_default();
    let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).unwrap_or_default();
    let (length, id) = (number(), number());
    let whole = || body(id, usize::try_from(length).unwrap());
    let chunked = |kind: &str| {
        Beat::write(format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n"))
    };
    let pause = |milliseconds| Beat::Pause(Duration::from_millis(milliseconds));
    let announced = || Beat::write(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"));
    match does {
        "bytes" if received.method() == "HEAD" => vec![announced()],
        "bytes" => vec![Beat::answer(200, &[], whole())],
        "chunks" => {
            let chunks = whole().chunks(5_000).map(Beat::chunk).collect::<Vec<_>>();
            [vec![chunked("text/plain")], chunks, vec![Beat::write("0\r\n\r\n")]].concat()
        }
        "trickle" => {
            let pieces = whole().chunks(300).flat_map(|piece| [Beat::write(piece), pause(20)]).collect::<Vec<_>>();
            [vec![announced()], pieces].concat()
        }
        "echo" => vec![Beat::answer(200, &[], &received.body)],
        "nothing" => vec![Beat::write("HTTP/1.1 204 No Content\r\n\r\n")],
        "events" => {
            let events = (0..length).flat_map(|number| [Beat::chunk(event(id, number)), pause(20)]).collect::<Vec<_>>();
            [vec![chunked("text/event-stream")], events, vec![Beat::write("0\r\n\r\n")]].concat()
        }
        "stall" => vec![pause(6_000), Beat::Close],
        "reset" => vec![Beat::Reset],
        "garbage" => vec![Beat::write("SSH-2.0-OpenSSH_9.2\r\n\r\n"), Beat::Close],
        "cut" => vec![announced(), Beat::write(body(id, usize::try_from(length / 2).unwrap())), Beat::Close],
        _ => vec![Beat::answer(404, &[], "")],
    }
}

/// One server-sent event.
pub(crate) fn event(id: u64, number: u64) -> String {
    format!("data: {id}-{number}\n\n")
}

/// A server of one protocol, until it is dropped.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    serving: JoinSet<()>,
}

impl Service {
    /// Serves each connection by `serve`.
    async fn start<F: Future<Output = ()> + Send + 'static>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let accepted = listener.accept().await;
                while connections.try_join_next().is_some() {}
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(stream));
                }
            }
        });
        Self { address, serving }
    }

    /// Closes every connection.
    pub(crate) async fn end(&mut self) {
        self.serving.shutdown().await;
    }

    /// Sends every WebSocket message back.
    pub(crate) async fn web_socket() -> Self {
        Self::start(|stream| async {
            let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
            while let Some(Ok(message)) = socket.next().await {
                if message.is_close() || socket.send(message).await.is_err() {
                    break;
                }
            }
            // Says goodbye in turn, if it was said.
            while let Some(Ok(_)) = socket.next().await {}
        })
        .await
    }

    /// A gRPC server by prior knowledge.
    pub(crate) async fn rpc() -> Self {
        Self::start(serve_rpc).await
    }

    /// A gRPC server behind TLS.
    pub(crate) async fn rpc_over_tls(own: &Certificate) -> Self {
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let chain = vec![CertificateDer::from_pem_slice(own.pem.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
        let mut config = config.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let tls = TlsAcceptor::from(Arc::new(config));
        Self::start(move |stream| {
            let tls = tls.clone();
            async move {
                if let Ok(stream) = tls.accept(stream).await {
                    serve_rpc(stream).await;
                }
            }
        })
        .await
    }
}

async fn serve_rpc<S: AsyncRead + AsyncWrite + Unpin>(stream: S) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let mut calls = JoinSet::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        calls.spawn(call(request, respond));
        while calls.try_join_next().is_some() {}
    }
}

/// `…/Unary` answers with the whole of what it was sent, `…/Server` three times, `…/Bidi` piece by piece.
async fn call(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let kind = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let mut body = request.into_body();
    let Ok(mut sending) = respond.send_response(head, false) else { return };
    let mut all = Vec::new();
    while let Some(piece) = body.data().await {
        let Ok(piece) = piece else { return };
        body.flow_control().release_capacity(piece.len()).ok();
        if kind == "Bidi" {
            sending.send_data(piece, false).ok();
        } else {
            all.extend_from_slice(&piece);
        }
    }
    let times = match &*kind {
        "Unary" => 1,
        "Server" => 3,
        _ => 0,
    };
    for _ in 0..times {
        sending.send_data(all.clone().into(), false).ok();
    }
    end(sending);
}

fn end(mut sending: SendStream<Bytes>) {
    let trailers = [("grpc-status", "0"), ("x-checksum", "7")];
    let trailers: HeaderMap =
        trailers.into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    sending.send_trailers(trailers).ok();
}
