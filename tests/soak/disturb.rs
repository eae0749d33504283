//! What goes on beside the clients: the configuration changes, certificates are renewed, targets die and come back.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinHandle;

use crate::plan::Plan;
use crate::tally::{Came, Tally};
use crate::world::World;

/// What has begun and can be stopped.
#[derive(Debug)]
pub(crate) struct Disturbing {
    stop: tokio::sync::watch::Sender<bool>,
    going: Vec<JoinHandle<()>>,
}

impl Disturbing {
    /// Ends when what is going on has come to its end.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        for going in self.going {
            going.await.unwrap();
        }
    }
}

/// Begins.
pub(crate) fn begin(plan: &Plan, world: &Arc<World>, tally: &Arc<Tally>) -> Disturbing {
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let going = vec![
        tokio::spawn(reload(Rng::with_seed(plan.seed), world.clone(), tally.clone(), stopped.clone())),
        tokio::spawn(flap(Rng::with_seed(!plan.seed), world.clone(), stopped)),
    ];
    Disturbing { stop, going }
}

type Stopped = tokio::sync::watch::Receiver<bool>;

/// Waits; false if there is nothing to wait for any more.
async fn after(stopped: &mut Stopped, pause: Duration) -> bool {
    tokio::time::timeout(pause, stopped.wait_for(|stopped| *stopped)).await.is_err()
}

/// Every few seconds another configuration; now and then a wrong one, or a new certificate.
async fn reload(mut rng: Rng, world: Arc<World>, tally: Arc<Tally>, mut stopped: Stopped) {
    let mut side = 0;
    while after(&mut stopped, Duration::from_millis(rng.u64(1_000..4_000))).await {
        let expected = if rng.u8(..8) == 0 { 422 } else { 200 };
        let status = if expected == 422 {
            world.reload_wrong().await
        } else {
            if rng.u8(..4) == 0 {
                world.renew();
            }
            side += 1;
            world.reload(side).await
        };
        let outcome =
            if status == expected { Ok(Came::right(1)) } else { Err(format!("{status} instead of {expected}")) };
        tally.add("reload", outcome);
    }
}

/// One of two targets is gone for a while, then perhaps the other; at times none, at times both.
async fn flap(mut rng: Rng, world: Arc<World>, mut stopped: Stopped) {
    while after(&mut stopped, Duration::from_millis(rng.u64(300..2_000))).await {
        world.flap(rng.usize(..2), rng.bool()).await;
    }
}
