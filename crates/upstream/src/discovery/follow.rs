//! Keeps the sources of one upstream fresh, for as long as its pool lives.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use pingora::Result;
use pingora_load_balancing::Backend;
use tokio::sync::Notify;

use super::PacedDiscovery;
use super::sources::{Taken, TargetSources};
use crate::metrics::Discoveries;

/// The least time from one call of a discovery to the next, whatever it does: none may spin.
const LEAST_GAP: Duration = Duration::from_millis(100);

/// For whom sources are followed.
pub(crate) struct Followed<'p> {
    pub(crate) upstream: &'p str,
    pub(crate) sources: &'p TargetSources,
    pub(crate) counts: &'p Discoveries,
    /// Told once, when every source has been asked for the first time and what came of it counts.
    pub(crate) first: &'p Notify,
}

/// Asks every source again and again. `changed` is called with those who have left whenever the targets are others than
/// before; it may take its time, in which answers wait.
pub(crate) async fn follow<'p>(followed: Followed<'p>, changed: impl Fn(Vec<SocketAddr>) -> BoxFuture<'p, ()>) {
    let Followed { upstream, sources, counts, first } = followed;
    let discoveries = sources.discoveries();
    let mut waiting = discoveries.len();
    let mut asking: FuturesUnordered<_> =
        discoveries.into_iter().map(|(number, discovery)| ask(number, discovery, Run::First)).collect();
    while let Some((number, discovery, run, outcome)) = asking.next().await {
        let taken = sources.take(number, outcome);
        let was_well = run != Run::InTrouble;
        let source = || sources.label(number);
        let next = match taken {
            Taken::Changed(left) => {
                counts.ok();
                tracing::debug!(upstream, source = source(), "The targets have changed.");
                changed(left).await;
                Run::Well
            }
            Taken::Same => {
                counts.ok();
                Run::Well
            }
            // Once for each time of trouble, not for each question.
            Taken::Empty => {
                counts.empty();
                if was_well {
                    tracing::warn!(upstream, source = source(), "No targets were found; the last ones are kept.");
                }
                Run::InTrouble
            }
            Taken::Failed { error, is_news } => {
                counts.failed();
                if is_news {
                    tracing::warn!(upstream, source = source(), %error, "Targets were not found; the last ones are kept.");
                }
                Run::InTrouble
            }
        };
        if run == Run::InTrouble && next == Run::Well {
            tracing::info!(upstream, source = source(), "Targets are found again.");
        }
        if run == Run::First {
            waiting -= 1;
            if waiting == 0 {
                first.notify_one();
            }
        }
        asking.push(ask(number, discovery, next));
    }
}

/// How the last question of a source went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    First,
    Well,
    InTrouble,
}

type Turn = (usize, Box<dyn PacedDiscovery>, Run, Result<BTreeSet<Backend>>);

fn ask(number: usize, discovery: Box<dyn PacedDiscovery>, run: Run) -> BoxFuture<'static, Turn> {
    Box::pin(async move {
        if run != Run::First {
            tokio::time::sleep(LEAST_GAP).await;
        }
        let outcome = discovery.next().await;
        (number, discovery, run, outcome)
    })
}
