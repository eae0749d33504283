//! HTTP/2 by the rules: many streams at a time over TLS and in clear, and gRPC calls of three kinds.

use std::net::SocketAddr;

use bytes::Bytes;
use fastrand::Rng;
use futures::future::join_all;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request};
use portreeve_tests::TlsClient;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::origins::body;
use crate::tally::Came;
use crate::visits::Guest;
use crate::visits::connection::{Exchange, shake};
use crate::world::NAME;

/// A connection. When it is dropped, so is every stream on it, as soon as the streams are.
pub(crate) struct Http2 {
    sender: SendRequest<Bytes>,
    connection: tokio::task::JoinHandle<()>,
}

impl Http2 {
    pub(crate) async fn in_clear(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap()).await
    }

    pub(crate) async fn over_tls(tls: &TlsClient, address: SocketAddr) -> Self {
        Self::over(shake(tls, address).await.into_inner()).await
    }

    /// In clear or over TLS, as it falls.
    pub(crate) async fn either(guest: &mut Guest) -> Self {
        if guest.rng.bool() {
            Self::in_clear(guest.world.clear).await
        } else {
            Self::over_tls(&guest.world.http2, guest.world.secure).await
        }
    }

    async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        let connection = tokio::spawn(async move {
            connection.await.ok();
        });
        Self { sender, connection }
    }

    /// Begins a request whose body is still to be sent.
    pub(crate) async fn begin(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        ends: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut request = Request::builder().method(method).uri(format!("http://{NAME}{path}"));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut sender = self.sender.clone().ready().await.unwrap_or_else(|error| panic!("{path}: {error}"));
        sender.send_request(request.body(()).unwrap(), ends).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// A request whose answer is judged.
    async fn exchange(&self, exchange: Exchange) {
        let ends = exchange.body.is_empty();
        let (answer, mut sending) = self.begin(exchange.method, &exchange.path, &[], ends).await;
        if !ends {
            send(&mut sending, exchange.body.clone(), true).await;
        }
        let (head, body) = answer.await.unwrap_or_else(|error| panic!("{}: {error}", exchange.path)).into_parts();
        let (all, _) = read(body).await.unwrap_or_else(|error| panic!("{}: {error}", exchange.path));
        exchange.judge(head.status.as_u16(), &all);
        let side = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        exchange.judge_sides(side("x-listener"), side("x-route"));
    }

    /// Leaves without a word.
    pub(crate) fn vanish(self) {
        self.connection.abort();
    }
}

/// Sends a part of a body, or the last of it, as the window allows.
async fn send(sending: &mut SendStream<Bytes>, body: Vec<u8>, last: bool) {
    let mut body = Bytes::from(body);
    while !body.is_empty() {
        sending.reserve_capacity(body.len());
        let Some(Ok(room)) = std::future::poll_fn(|cx| sending.poll_capacity(cx)).await else {
            // Refused or reset meanwhile: the answer tells.
            return;
        };
        let piece = body.split_to(room.min(body.len()));
        sending.send_data(piece, last && body.is_empty()).ok();
    }
}

/// Reads all of an answer, and its trailers.
async fn read(mut body: RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut all = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        all.extend_from_slice(&piece);
    }
    Ok((all, body.trailers().await?))
}

pub(crate) async fn over_tls(guest: Guest) -> Came {
    let connection = Http2::over_tls(&guest.world.http2, guest.world.secure).await;
    rounds(guest, connection).await
}

pub(crate) async fn in_clear(guest: Guest) -> Came {
    let connection = Http2::in_clear(guest.world.clear).await;
    rounds(guest, connection).await
}

/// A few rounds of several streams at a time.
async fn rounds(mut guest: Guest, connection: Http2) -> Came {
    let mut right = 0;
    for _ in 0..guest.rng.u64(1..6) {
        let exchanges: Vec<_> = (0..guest.rng.usize(1..8)).map(|_| Exchange::any("good", &mut guest.rng)).collect();
        right += exchanges.len() as u64;
        join_all(exchanges.into_iter().map(|exchange| connection.exchange(exchange))).await;
        guest.pause(100).await;
    }
    Came::right(right)
}

/// What a gRPC client sends beside its messages.
pub(crate) const RPC: [(&str, &str); 2] = [("content-type", "application/grpc"), ("te", "trailers")];

/// A gRPC message with its prefix.
pub(crate) fn message(rng: &mut Rng) -> Vec<u8> {
    let length = if rng.u8(..10) == 0 { 40_000 } else { rng.usize(..500) };
    let text = body(rng.u64(..), length);
    let prefix = u32::try_from(length).unwrap().to_be_bytes();
    [&[0], &prefix[..], &text].concat()
}

/// Calls of three kinds, over targets in clear and over TLS.
pub(crate) async fn rpc(mut guest: Guest) -> Came {
    let connection = Http2::either(&mut guest).await;
    let calls = guest.rng.u64(1..15);
    for _ in 0..calls {
        let service = ["/soak.Clear", "/soak.Secure"][guest.rng.usize(..2)];
        let kind = ["Unary", "Server", "Bidi"][guest.rng.usize(..3)];
        let messages: Vec<_> = (0..if kind == "Bidi" { 4 } else { 1 }).map(|_| message(&mut guest.rng)).collect();
        let path = format!("{service}/{kind}");
        let (answer, mut sending) = connection.begin("POST", &path, &RPC, false).await;
        for (number, message) in messages.iter().enumerate() {
            send(&mut sending, message.clone(), number + 1 == messages.len()).await;
        }
        let (head, body) = answer.await.unwrap_or_else(|error| panic!("{path}: {error}")).into_parts();
        let (all, trailers) = read(body).await.unwrap_or_else(|error| panic!("{path}: {error}"));
        let expected = messages.concat().repeat(if kind == "Server" { 3 } else { 1 });
        let got = (head.status.as_u16(), all.len(), &trailers);
        assert!(got.0 == 200 && all == expected, "{path}: {got:?} of {} bytes: {:?}", expected.len(), head.headers);
        let trailers = trailers.unwrap_or_else(|| panic!("{path}: no trailers: {:?}", head.headers));
        assert!(trailers["grpc-status"] == "0" && trailers["x-checksum"] == "7", "{path}: {trailers:?}");
        guest.pause(50).await;
    }
    Came::right(calls)
}
