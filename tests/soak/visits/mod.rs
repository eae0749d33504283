//! The clients: each comes, does what its kind does, goes, and comes again. A visit panics at the first wrong answer.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use futures::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::plan::Plan;
use crate::samples::PATIENCE;
use crate::tally::{Came, Tally};
use crate::world::World;

mod connection;
mod http1;
mod http2;
mod offences;
mod offences_http2;
mod slow;
mod streams;
mod targets;

/// Who comes: the world, and what this visit draws from.
pub(crate) struct Guest {
    pub(crate) world: Arc<World>,
    pub(crate) rng: Rng,
}

impl Guest {
    /// Waits for less than so many milliseconds.
    pub(crate) async fn pause(&mut self, below: u64) {
        tokio::time::sleep(Duration::from_millis(self.rng.u64(..below))).await;
    }
}

type Visit = fn(Guest) -> Pin<Box<dyn Future<Output = Came> + Send>>;

/// A kind of visit.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    visit: Visit,
}

macro_rules! kinds {
    ($($name:literal => $visit:path),+ $(,)?) => {
        &[$(Kind { name: $name, visit: |guest| Box::pin($visit(guest)) }),+]
    };
}

/// All kinds: first those that keep to the rules, then those that do not.
pub(crate) const KINDS: &[Kind] = kinds! {
    "HTTP/1.1, kept" => http1::kept,
    "HTTP/1.1, closed" => http1::closed,
    "HTTP/1.1 with tokens" => http1::member,
    "HTTP/1.1 over TLS" => http1::secure,
    "HTTP/2 over TLS" => http2::over_tls,
    "HTTP/2 in clear" => http2::in_clear,
    "gRPC" => http2::rpc,
    "WebSocket" => streams::web_socket,
    "server-sent events" => streams::events,
    "slow, within the rules" => slow::within_the_rules,
    "targets that fail" => targets::faulty,
    "targets that come and go" => targets::flapping,
    "× in a head" => offences::in_a_head,
    "× in a body" => offences::in_a_body,
    "× in an answer" => offences::in_an_answer,
    "× while a target stalls" => offences::while_a_target_stalls,
    "× malformed" => offences::malformed,
    "× in a handshake" => offences::in_a_handshake,
    "× in a WebSocket" => offences::in_a_web_socket,
    "× in an event stream" => offences::in_an_event_stream,
    "× in HTTP/2 streams" => offences_http2::resets,
    "× in an HTTP/2 connection" => offences_http2::half_open,
    "× in gRPC calls" => offences_http2::calls,
    "slow head" => slow::head,
    "slow body" => slow::body,
    "reads nothing" => slow::reader,
};

/// Those that keep to the rules.
pub(crate) fn well_behaved() -> impl Iterator<Item = Kind> {
    KINDS.iter().take_while(|kind| !kind.name.starts_with('×')).copied()
}

/// All that come.
#[derive(Debug)]
pub(crate) struct Visitors {
    stop: watch::Sender<bool>,
    coming: JoinSet<()>,
}

impl Visitors {
    /// Nobody comes any more; ends when the last has gone.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        while let Some(gone) = self.coming.join_next().await {
            gone.unwrap();
        }
    }
}

/// Lets them come, so many of each kind at a time.
pub(crate) fn begin(plan: &Plan, world: &Arc<World>, tally: &Arc<Tally>) -> Visitors {
    let (stop, stopped) = watch::channel(false);
    let mut coming = JoinSet::new();
    for (number, kind) in KINDS.iter().enumerate() {
        for client in 0..plan.clients {
            let seed = plan.seed.wrapping_mul(1_000_003) + (number * 1_000 + client) as u64;
            let (mut rng, world, tally, stopped) =
                (Rng::with_seed(seed), world.clone(), tally.clone(), stopped.clone());
            coming.spawn(async move {
                while !*stopped.borrow() {
                    visit(*kind, rng.fork(), &world, &tally).await;
                }
            });
        }
    }
    Visitors { stop, coming }
}

/// One visit more.
pub(crate) async fn one(kind: Kind, plan: &Plan, world: &Arc<World>, tally: &Tally) {
    visit(kind, Rng::with_seed(plan.seed), world, tally).await;
}

async fn visit(kind: Kind, rng: Rng, world: &Arc<World>, tally: &Tally) {
    let visit = (kind.visit)(Guest { world: world.clone(), rng });
    let outcome = match tokio::time::timeout(PATIENCE, AssertUnwindSafe(visit).catch_unwind()).await {
        Ok(Ok(came)) => Ok(came),
        Ok(Err(panic)) => Err(message(&*panic)),
        Err(_) => Err(format!("not at its end after {PATIENCE:?}")),
    };
    tally.add(kind.name, outcome);
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic").to_owned()
}
