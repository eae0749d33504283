//! Streams by the rules: web sockets in clear and over TLS, and server-sent events.

use futures::{Sink, SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::origins::{body, event};
use crate::tally::Came;
use crate::visits::Guest;
use crate::visits::connection::{Clear, shake};
use crate::world::NAME;

/// Messages there and back, and a proper goodbye.
pub(crate) async fn web_socket(mut guest: Guest) -> Came {
    if guest.rng.bool() {
        let socket = open(TcpStream::connect(guest.world.clear).await.unwrap()).await;
        talk(&mut guest, socket).await
    } else {
        let socket = open(shake(&guest.world.tls, guest.world.secure).await.into_inner()).await;
        talk(&mut guest, socket).await
    }
}

/// Opens a WebSocket on a connection.
pub(crate) async fn open<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> WebSocketStream<S> {
    let opened = tokio_tungstenite::client_async(format!("ws://{NAME}/socket"), stream).await;
    opened.unwrap_or_else(|error| panic!("a WebSocket was not opened: {error}")).0
}

async fn talk<S>(guest: &mut Guest, mut socket: S) -> Came
where
    S: Sink<Message, Error = Error> + Stream<Item = Result<Message, Error>> + Unpin,
{
    let messages = guest.rng.u64(1..40);
    for _ in 0..messages {
        let length = if guest.rng.u8(..10) == 0 { 70_000 } else { guest.rng.usize(..400) };
        let message = Message::binary(body(guest.rng.u64(..), length));
        socket.send(message.clone()).await.unwrap();
        let echo = socket.next().await;
        assert!(matches!(&echo, Some(Ok(echo)) if *echo == message), "not the echo of {length} bytes");
        guest.pause(50).await;
    }
    socket.send(Message::Close(None)).await.unwrap();
    let goodbye = socket.next().await;
    assert!(matches!(goodbye, Some(Ok(Message::Close(_)))), "{goodbye:?}");
    Came::right(messages)
}

/// All events of a stream, in order.
pub(crate) async fn events(mut guest: Guest) -> Came {
    let (events, id) = (guest.rng.u64(1..40), guest.rng.u64(..));
    let path = format!("/good/events/{events}/{id}");
    let answer =
        Clear::connect(guest.world.clear).await.ask(&path).await.unwrap_or_else(|error| panic!("{path}: {error}"));
    let expected: String = (0..events).map(|number| event(id, number)).collect();
    assert!(answer.status == 200 && answer.text() == expected, "{path}: {answer:?}");
    Came::right(events)
}
