//! HTTP/1.1 by the rules: on kept connections, on one for each request, with tokens, over TLS.

use crate::origins::body;
use crate::tally::Came;
use crate::visits::Guest;
use crate::visits::connection::{Clear, Exchange, shake};
use crate::world::NAME;

/// Many requests on one connection.
pub(crate) async fn kept(mut guest: Guest) -> Came {
    let mut connection = Clear::connect(guest.world.clear).await;
    let requests = guest.rng.u64(1..30);
    for done in 1..=requests {
        let exchange = Exchange::any("good", &mut guest.rng);
        if !connection.exchange(&exchange, guest.rng.bool()).await {
            return Came::right(done);
        }
        guest.pause(40).await;
    }
    Came::right(requests)
}

/// One request on a connection.
pub(crate) async fn closed(mut guest: Guest) -> Came {
    let mut exchange = Exchange::any("good", &mut guest.rng);
    exchange.fields.push(("connection", "close".into()));
    let kept = Clear::connect(guest.world.clear).await.exchange(&exchange, guest.rng.bool()).await;
    assert!(!kept, "a connection that was to be closed is kept");
    guest.pause(40).await;
    Came::right(1)
}

/// A consumer with a token, one of many.
pub(crate) async fn member(mut guest: Guest) -> Came {
    let mut connection = Clear::connect(guest.world.clear).await;
    let requests = guest.rng.u64(1..30);
    for done in 1..=requests {
        let mut exchange = Exchange::any("member", &mut guest.rng);
        let token = &guest.world.tokens[guest.rng.usize(..guest.world.tokens.len())];
        exchange.fields.push(("authorization", format!("Bearer {token}")));
        if !connection.exchange(&exchange, guest.rng.bool()).await {
            return Came::right(done);
        }
        guest.pause(40).await;
    }
    Came::right(requests)
}

/// Some requests on a TLS connection.
pub(crate) async fn secure(mut guest: Guest) -> Came {
    let mut connection = shake(&guest.world.tls, guest.world.secure).await;
    let requests = guest.rng.u64(1..20);
    for done in 1..=requests {
        let (id, length) = (guest.rng.u64(..), guest.rng.usize(..30_000));
        let path = format!("/good/bytes/{length}/{id}");
        let answer = connection.get(NAME, &path).await.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(answer.status == 200 && answer.body == body(id, length), "{path}: {}", answer.status);
        if answer.header("connection") == Some("close") {
            return Came::right(done);
        }
        guest.pause(40).await;
    }
    Came::right(requests)
}
