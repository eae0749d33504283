//! A gRPC server and client on the `h2` crate: just enough of the protocol to tell whether a gateway keeps to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use parking_lot::Mutex;
use portreeve_tests::within;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// A server that speaks HTTP/2 only. What it does is in the path:
///
/// | path ends in | does |
/// |---|---|
/// | `/Unary`, `/Client` | reads all, answers with all |
/// | `/Server` | reads all, answers with it three times, each in a message of its own |
/// | `/Bidi` | answers each message as it comes |
/// | `/Silent` | answers nothing, until it is reset |
/// | `/Ticks` | answers with forty thousand small messages, and does not end |
/// | `/Fail` | answers with a status alone |
/// | `/Check` | is `grpc.health.v1`: knows `down` and `broken`, does not know `unknown`, and any other service is well |
pub(crate) struct RpcOrigin {
    address: SocketAddr,
    seen: Arc<Seen>,
    _serving: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    heads: Mutex<Vec<http::request::Parts>>,
    connections: AtomicUsize,
    resets: watch::Sender<Vec<Reason>>,
}

impl RpcOrigin {
    /// One that is spoken to by prior knowledge.
    pub(crate) async fn start() -> Self {
        Self::listen(None).await
    }

    /// One behind TLS.
    pub(crate) async fn start_tls(tls: TlsAcceptor) -> Self {
        Self::listen(Some(tls)).await
    }

    async fn listen(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Seen>::default();
        let mut serving = JoinSet::new();
        let shared = seen.clone();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, tls) = (shared.clone(), tls.clone());
                connections.spawn(async move {
                    match tls {
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, seen).await;
                            }
                        }
                        None => serve(stream, seen).await,
                    }
                });
            }
        });
        Self { address, seen, _serving: serving }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The heads of all requests so far.
    pub(crate) fn heads(&self) -> Vec<http::request::Parts> {
        self.seen.heads.lock().clone()
    }

    /// Connections made so far.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// Why streams of `/Silent` ended, once one has.
    pub(crate) async fn reset(&self) -> Reason {
        let mut resets = self.seen.resets.subscribe();
        within("a reset", async { resets.wait_for(|resets| !resets.is_empty()).await.unwrap()[0] }).await
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, seen: Arc<Seen>) {
    // It takes any number of small messages ahead.
    let handshake = h2::server::Builder::new().data_frame_budget(usize::MAX).handshake(stream);
    let Ok(mut connection) = handshake.await else { return };
    seen.connections.fetch_add(1, Ordering::SeqCst);
    let mut calls = JoinSet::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        calls.spawn(answer(request, respond, seen.clone()));
    }
    // A call may have been reset in the last bytes of the connection.
    while calls.join_next().await.is_some() {}
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, seen: Arc<Seen>) {
    let (head, mut body) = request.into_parts();
    let kind = head.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
    seen.heads.lock().push(head);
    let answer = || Response::builder().header("content-type", "application/grpc");
    match &*kind {
        "Fail" => {
            let status = answer().header("grpc-status", "5").header("grpc-message", "none here").body(()).unwrap();
            respond.send_response(status, true).unwrap();
        }
        "Check" => {
            let asked = read(&mut body).await.unwrap_or_default();
            // Five bytes of framing; then the tag and the length of the one field there is.
            let message: &'static [u8] = match asked.get(7..).unwrap_or_default() {
                b"unknown" => {
                    let status = answer().header("grpc-status", "5").body(()).unwrap();
                    respond.send_response(status, true).unwrap();
                    return;
                }
                b"down" => b"\0\0\0\0\x02\x08\x02",
                b"broken" => b"\0\0\0\0\x02\x08",
                _ => b"\0\0\0\0\x02\x08\x01",
            };
            let Ok(mut sending) = respond.send_response(answer().body(()).unwrap(), false) else { return };
            sending.send_data(Bytes::from_static(message), false).ok();
            sending.send_trailers(trailers()).ok();
        }
        "Silent" => {
            let reason = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
            seen.resets.send_modify(|resets| resets.push(reason.unwrap_or(Reason::INTERNAL_ERROR)));
        }
        "Ticks" => {
            let mut sending = respond.send_response(answer().body(()).unwrap(), false).unwrap();
            for _ in 0..40_000 {
                sending.send_data(message("tick tock"), false).unwrap();
            }
            std::future::poll_fn(|cx| sending.poll_reset(cx)).await.ok();
        }
        "Bidi" => {
            let mut sending = respond.send_response(answer().body(()).unwrap(), false).unwrap();
            while let Some(Ok(message)) = body.data().await {
                body.flow_control().release_capacity(message.len()).unwrap();
                sending.send_data(message, false).unwrap();
            }
            sending.send_trailers(trailers()).ok();
        }
        _ => {
            let all = read(&mut body).await.unwrap_or_default();
            let Ok(mut sending) = respond.send_response(answer().body(()).unwrap(), false) else { return };
            for _ in 0..if kind == "Server" { 3 } else { 1 } {
                sending.send_data(all.clone(), false).ok();
            }
            sending.send_trailers(trailers()).ok();
        }
    }
}

fn trailers() -> HeaderMap {
    let pairs = [("grpc-status", "0"), ("grpc-message", "done"), ("x-checksum", "7")];
    pairs.into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

async fn read(body: &mut RecvStream) -> Result<Bytes, h2::Error> {
    let mut all = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        all.extend_from_slice(&chunk);
    }
    Ok(all.into())
}

/// A message with its prefix: not compressed, and its length.
pub(crate) fn message(text: &str) -> Bytes {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [&[0], &length[..], text.as_bytes()].concat().into()
}

/// One connection of a client.
#[derive(Clone)]
pub(crate) struct RpcClient {
    sender: SendRequest<Bytes>,
    authority: &'static str,
}

/// A call that has begun.
pub(crate) struct RpcCall {
    pub(crate) sending: SendStream<Bytes>,
    pub(crate) answer: ResponseFuture,
}

/// All of an answer.
#[derive(Debug)]
pub(crate) struct RpcAnswer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl RpcClient {
    /// By prior knowledge.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap()).await
    }

    /// Over a connection that has agreed on HTTP/2.
    pub(crate) async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = within("a handshake", h2::client::handshake(stream)).await.unwrap();
        tokio::spawn(async move { connection.await.ok() });
        Self { sender, authority: "gateway.test" }
    }

    /// Begins a call; its messages are sent by the caller.
    pub(crate) async fn begin(&mut self, path: &str, headers: &[(&str, &str)]) -> RpcCall {
        let mut request = Request::builder().method("POST").uri(format!("http://{}{path}", self.authority));
        for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")].iter().chain(headers) {
            request = request.header(*name, *value);
        }
        let mut sender = self.sender.clone().ready().await.unwrap();
        let (answer, sending) = sender.send_request(request.body(()).unwrap(), false).unwrap();
        RpcCall { sending, answer }
    }

    /// A call of one message.
    pub(crate) async fn call(&mut self, path: &str, headers: &[(&str, &str)], text: &str) -> RpcAnswer {
        let mut call = self.begin(path, headers).await;
        call.sending.send_data(message(text), true).unwrap();
        call.finish().await
    }
}

impl RpcCall {
    /// The whole answer.
    pub(crate) async fn finish(self) -> RpcAnswer {
        let (head, mut body) = within("the head of an answer", self.answer).await.unwrap().into_parts();
        let all = within("an answer", read(&mut body)).await.unwrap();
        let trailers = within("trailers", body.trailers()).await.unwrap();
        RpcAnswer { status: head.status.as_u16(), headers: head.headers, body: all, trailers }
    }
}

impl RpcAnswer {
    /// Its gRPC status, from wherever it stands.
    pub(crate) fn code(&self) -> Option<&str> {
        self.field("grpc-status")
    }

    /// A field of the trailers, or of the head of an answer without.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.trailers.as_ref().unwrap_or(&self.headers).get(name)?.to_str().ok()
    }
}

/// Longer than any wait on this machine should take, shorter than any test may hang.
pub(crate) const SOON: Duration = Duration::from_secs(10);
