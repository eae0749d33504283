//! A soak: a real gateway in front of origins that live, die and misbehave, with clients of every protocol that keep to the
//! rules and clients that break off wherever one can, while its configuration and its certificates change.
//!
//! Memory must stay flat, descriptors and counts go back, and clients that keep to the rules get right answers only. The
//! short form runs with all tests; `make soak` runs the long one, with a binary built for use (`tests/soak/run`).

#[cfg(test)]
mod disturb;
#[cfg(test)]
mod origins;
#[cfg(test)]
mod plan;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tally;
#[cfg(test)]
mod visits;
#[cfg(test)]
mod world;

#[cfg(test)]
mod soak {
    use std::sync::Arc;

    use portreeve_tests::until;

    use crate::plan::Plan;
    use crate::samples::{Sampler, settled};
    use crate::tally::Tally;
    use crate::world::World;
    use crate::{disturb, visits};

    /// The whole of it, in the long form or the short one (see [`Plan`]).
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn memory_stays_flat_counts_go_back_and_no_answer_is_wrong_whatever_clients_and_targets_do() {
        let plan = Plan::from_environment();
        let world = Arc::new(World::start(&plan).await);
        let tally = Arc::new(Tally::default());
        let before = world.gauges().await;
        println!("{plan}");

        let mut sampler = Sampler::new(&plan);
        let visitors = visits::begin(&plan, &world, &tally);
        let disturbing = disturb::begin(&plan, &world, &tally);
        sampler.watch(&world, &tally).await;
        disturbing.stop().await;
        visitors.stop().await;

        // Whoever came through all that serves on as if nothing had been.
        world.revive().await;
        for kind in visits::well_behaved() {
            visits::one(kind, &plan, &world, &tally).await;
        }
        world.end_origins().await;
        let after = until("everything has been given back", async || {
            let now = world.gauges().await;
            settled(&before, &now).then_some(now)
        })
        .await;
        println!("{}\n{}", tally, sampler.summary(&before, &after));
        assert!(tally.wrong().is_empty(), "wrong:\n{}", tally.wrong().join("\n"));
        assert!(tally.every_kind_was_tried(), "{tally}");
        sampler.assert_flat();
        Arc::into_inner(world).expect("nobody is there any more").stop().await;
    }
}
